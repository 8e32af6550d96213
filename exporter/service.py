"""The composition root: makes the parts, gives each what it needs, and takes them down in order."""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from exporter.backfill import Order

from aiohttp import web
from aiohttp.abc import AbstractResolver

from exporter import logs, process
from exporter.api import Api
from exporter.clock import Clock, SystemClock
from exporter.collectors.base import Collector
from exporter.config import Target, check, targets
from exporter.events import Event, Listener
from exporter.listener import Tls, listen
from exporter.poll import Poller
from exporter.scheduler import Scheduler
from exporter.settings import Settings
from exporter.snapshot import Store
from exporter.status import Status
from exporter.telemetry import Telemetry
from exporter.web import Web
from exporter.webconfig.guard import Guard

_LOG = logging.getLogger("exporter")


class Service:
    """All parts but the outermost, for one configuration; `listeners` are told every event.

    Args:
        settings: the configuration.
        clock: the time; tests hand in their own.
        random: spreads retries.
        runtime: whether the page tells of this process as well.
        resolver: finds the API's address; tests hand in a name server of their own.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock | None = None,
        random: Random | None = None,
        runtime: bool = True,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self.settings = settings
        self.clock = clock or SystemClock()
        self._random = random or Random()
        self._resolver = resolver
        self.listeners: list[Listener] = []
        self._targets = targets(settings)
        pairs = [(t.account, collector) for t in self._targets for collector in t.collectors]
        self.store = Store(pairs, clock=self.clock, emit=self.emit)
        self.telemetry = Telemetry(self.store, clock=self.clock, runtime=runtime)
        self.status = Status(
            self.store, clock=self.clock, telemetry_path=settings.web.telemetry_path
        )
        self.listeners += [self.telemetry, self.status, logs.Logs(self.clock)]

    def emit(self, event: Event) -> None:
        """Tells an event to all who listen."""
        for listener in self.listeners:
            listener(event)

    @asynccontextmanager
    async def pollers(self) -> AsyncIterator[list[Poller]]:
        """Opens the way to the API for every account."""
        async with AsyncExitStack() as exits:
            found = []
            for target in self._targets:
                api = await exits.enter_async_context(self._api(target))
                found += [self._poller(target, collector, api) for collector in target.collectors]
            yield found

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[list[str]]:
        """Polls and serves until it is left; gives the URLs. Polls stop first.

        Raises:
            ConfigError: an address cannot be listened on, or the web config file is wrong.
        """
        settings = self.settings.web
        async with self.pollers() as pollers:
            scheduler = Scheduler(pollers, clock=self.clock, emit=self.emit)
            handlers = Web(
                store=self.store,
                telemetry=self.telemetry,
                status=self.status,
                is_alive=lambda: scheduler.is_alive,
                telemetry_path=settings.telemetry_path,
            )
            app = handlers.app()
            tls = self._guard(app)
            listening = listen(app, settings.listen_address, clock=self.clock, tls=tls)
            async with listening as urls, scheduler:
                yield urls
                self.status.stopping = True

    def _guard(self, app: web.Application) -> Tls:
        """Lets in whom the web config file lets in; gives what it says of TLS."""
        file = self.settings.web.config.file
        if file is None:
            return lambda: None
        guard = Guard(file, clock=self.clock)
        guard.protect(app)
        return guard.tls

    def _poller(self, target: Target, collector: Collector[Any, Any], api: Api) -> Poller:
        return Poller(
            account=target.account,
            collector=collector,
            api=api,
            store=self.store,
            clock=self.clock,
            emit=self.emit,
        )

    def _api(self, target: Target) -> Api:
        return Api(
            account=target.account,
            base_url=target.base_url,
            key=target.key,
            clock=self.clock,
            random=self._random,
            emit=self.emit,
            proxy_url=target.proxy_url,
            ca_file=target.ca_file,
            max_body_bytes=target.max_body_bytes,
            resolver=self._resolver,
        )


async def backfill(settings: Settings, order: "Order") -> int:
    """Writes the history that is wanted; gives the exit code.

    Raises:
        ConfigError: with all that is wrong.
    """
    from exporter.backfill import Walk  # noqa: PLC0415 - nobody else needs it

    service = Service(settings, runtime=False)
    async with service.pollers() as pollers:
        walk = Walk(order, targets(settings), pollers, clock=service.clock)
        service.listeners.append(walk.hear)
        return await walk.run()


async def serve(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT; a second one exits at once.

    Raises:
        ConfigError: with all that is wrong, at once; an address cannot be listened on.
    """
    check(settings)
    process.settle()
    stop = stop_signal()
    async with Service(settings).serving() as urls:
        for url in urls:
            _LOG.info("listening", extra={"fields": {"url": url + settings.web.telemetry_path}})
        await stop.wait()
        _LOG.info("stopping")


def stop_signal() -> asyncio.Event:
    """Gives an event that the first SIGTERM or SIGINT sets."""
    stop = asyncio.Event()

    def handle() -> None:
        if stop.is_set():
            os._exit(1)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, handle)
    return stop
