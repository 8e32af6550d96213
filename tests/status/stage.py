"""The status page on a real port, in virtual time: the test decides when polls happen."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from exporter.events import PollPlanned
from exporter.listener import listen
from exporter.poll import Poller
from exporter.service import Service
from exporter.settings import Settings
from exporter.web import Web
from tests.manual_clock import ManualClock


@dataclass(frozen=True, slots=True)
class Stage:
    """What a test works with: the exporter without its scheduler, and the page's address."""

    url: str
    service: Service
    clock: ManualClock
    pollers: Mapping[tuple[str, str], Poller] = field(default_factory=dict)

    async def poll(self, collector: str = "", account: str = "") -> None:
        """Polls once, all that is not narrowed down."""
        for (whose, what), poller in self.pollers.items():
            if collector in {"", what} and account in {"", whose}:
                await poller.poll()
                self.plan(poller)

    def plan(self, poller: Poller, *, backoff_until: datetime | None = None) -> None:
        """Says what the scheduler would: the next poll is due an interval from now."""
        interval = poller.collector.options.interval
        self.service.emit(
            PollPlanned(
                account=poller.account,
                collector=poller.collector.name,
                at=max(self.clock.now() + interval, backoff_until or self.clock.now()),
                interval_seconds=interval / timedelta(seconds=1),
                backoff_until=backoff_until,
            )
        )


@asynccontextmanager
async def staged(settings: Settings, clock: ManualClock) -> AsyncIterator[Stage]:
    """Opens the exporter and serves it."""
    service = Service(settings, clock=clock, runtime=False)
    web = Web(
        store=service.store,
        telemetry=service.telemetry,
        status=service.status,
        is_alive=lambda: True,
        telemetry_path=settings.web.telemetry_path,
    )
    async with (
        service.pollers() as pollers,
        listen(web.app(), ["127.0.0.1:0"], clock=clock) as [url],
    ):
        named = {(each.account, each.collector.name): each for each in pollers}
        yield Stage(url, service, clock, named)
