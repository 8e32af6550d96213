"""What we know and how we are, for people: the status page, its JSON, and readiness."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import cache, singledispatchmethod
from importlib.resources import files
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jinja2

from exporter import __version__
from exporter.clock import Clock
from exporter.collectors.servers import Server, Servers
from exporter.duration import format_age
from exporter.errors import ApiError
from exporter.events import Accepted, Event, PollEnded, PollPlanned
from exporter.snapshot import Slot, Store

TOP = 10
"""Rows of each table on the page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectorStatus:
    """How one collector of one account is; ages and times in seconds."""

    account: str
    collector: str
    state: str
    records: int | None
    age_seconds: float | None
    next_poll_seconds: float | None
    reason: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Usedness:
    """How full something is."""

    name: str
    servers: int
    capacity_used_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountStatus:
    """What is most used of one account."""

    account: str
    servers: int
    capacity_used_ratio: float
    countries: list[Usedness]
    pops: list[Usedness]
    fullest: list[Usedness]


class Status:
    """Listens to events, and tells people; `stopping` is set once we are asked to stop."""

    def __init__(self, store: Store, *, clock: Clock, telemetry_path: str) -> None:
        self.stopping = False
        self._store = store
        self._clock = clock
        self._telemetry_path = telemetry_path
        self._ended: dict[tuple[str, str], PollEnded] = {}
        self._planned: dict[tuple[str, str], PollPlanned] = {}

    def __call__(self, event: Event) -> None:
        """Remembers the last of what a page shows."""
        self._note(event)

    @singledispatchmethod
    def _note(self, event: Event) -> None:
        """Events that the page does not show."""

    @_note.register
    def _(self, event: PollEnded) -> None:
        self._ended[event.account, event.collector] = event

    @_note.register
    def _(self, event: PollPlanned) -> None:
        self._planned[event.account, event.collector] = event

    @property
    def is_ready(self) -> bool:
        """Whether every collector was attempted, some reading accepted, and we are not stopping."""
        slots = self._store.slots()
        attempted = all((slot.account, slot.collector.name) in self._ended for slot in slots)
        return attempted and any(slot.reading for slot in slots) and not self.stopping

    def as_json(self) -> dict[str, object]:
        """Everything on the page."""
        slots = self._store.slots()
        return {
            "version": __version__,
            "ready": self.is_ready,
            "telemetry_path": self._telemetry_path,
            "collectors": [asdict(self._collector(slot)) for slot in slots],
            "accounts": [asdict(account) for account in _accounts(slots)],
        }

    def as_html(self) -> str:
        """The page."""
        slots = self._store.slots()
        return _template().render(
            version=__version__,
            ready=self.is_ready,
            telemetry_path=self._telemetry_path,
            collectors=[self._collector(slot) for slot in slots],
            accounts=list(_accounts(slots)),
            age=format_age,
        )

    def _collector(self, slot: Slot) -> CollectorStatus:
        pair = slot.account, slot.collector.name
        ended, planned = self._ended.get(pair), self._planned.get(pair)
        error = ended.outcome if ended and isinstance(ended.outcome, ApiError) else None
        return CollectorStatus(
            account=slot.account,
            collector=slot.collector.name,
            state=self._state(slot, ended),
            records=slot.reading.records if slot.reading and not slot.dropped else None,
            age_seconds=self._store.age_seconds(*pair),
            next_poll_seconds=(planned.at - self._clock.now()).total_seconds() if planned else None,
            reason=error.reason if error else None,
            error=str(error) if error else None,
        )

    def _state(self, slot: Slot, ended: PollEnded | None) -> str:
        if ended is None:
            return "starting"
        if slot.reading is None or slot.dropped:
            return "no data"
        if self._store.is_stale(slot.account, slot.collector.name):
            return "stale"
        return "ok" if isinstance(ended.outcome, Accepted) else "failing"


@cache
def _template() -> "jinja2.Template":
    import jinja2  # noqa: PLC0415 - most are never looked at, and it costs 3 MB

    page = files("exporter").joinpath("status.html").read_text(encoding="utf-8")
    return jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).from_string(page)


def _accounts(slots: Iterable[Slot]) -> Iterable[AccountStatus]:
    for slot in slots:
        if slot.dropped or not slot.reading or not isinstance(slot.reading.content, Servers):
            continue
        servers = slot.reading.content.servers
        if servers:
            yield AccountStatus(
                account=slot.account,
                servers=len(servers),
                capacity_used_ratio=fmean(server.capacity_used_ratio for server in servers),
                countries=_most_used(servers, lambda server: server.country),
                pops=_most_used(servers, lambda server: server.pop),
                fullest=_most_used(servers, lambda server: server.fqdn),
            )


def _most_used(servers: Iterable[Server], name: Callable[[Server], str]) -> list[Usedness]:
    ratios = defaultdict(list)
    for server in servers:
        ratios[name(server)].append(server.capacity_used_ratio)
    rows = [Usedness(name, len(found), fmean(found)) for name, found in ratios.items()]
    return sorted(rows, key=lambda row: (-row.capacity_used_ratio, row.name))[:TOP]
