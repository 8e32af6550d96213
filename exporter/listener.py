"""Takes connections, has aiohttp serve them, and shows out whoever takes too long.

By itself aiohttp takes any number of clients, and keeps the silent and the slow for ever: see
decision 11.
"""

import asyncio
import logging
import resource
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from operator import itemgetter
from typing import cast

from aiohttp import web
from aiohttp.http import HttpProcessingError
from aiohttp.typedefs import Handler

from exporter.address import bind, format_url, reason_of
from exporter.clock import Clock
from exporter.connection import Connection, Limits
from exporter.errors import ConfigError
from exporter.logs import Seldom

BACKLOG = 1024  # who waits for a place waits in the kernel
SPARE_FILES = 64  # for polls, listeners, logs, who waits, and what Python has open itself
BATCH = 16  # connections taken at once
LOOK_SECONDS = 0.005  # between two looks for who may give way
TRUST_SPAN = 16  # connections that "lately" means
TURNS = 3  # of the loop, until bytes that have arrived are a request in progress

Precedence = tuple[int, float]
Tls = Callable[[], ssl.SSLContext | None]

_LOG = logging.getLogger("exporter.http")


@asynccontextmanager
async def listen(
    app: web.Application,
    addresses: Sequence[str],
    *,
    clock: Clock,
    tls: Tls = lambda: None,
    limits: Limits | None = None,
) -> AsyncIterator[list[str]]:
    """Serves the app on all addresses until it is left; gives the URLs.

    Args:
        app: what to serve; it cannot be served twice.
        addresses: where, as `parse_address` reads them.
        clock: the time.
        tls: asked anew for each connection; raises nothing.
        limits: what clients may take.

    Raises:
        ConfigError: an address cannot be listened on.
    """
    limits = limits or Limits()
    seldom = Seldom(clock)
    door = Door(clock=clock, tls=tls, limits=limits, seldom=seldom)
    app.middlewares.insert(0, door.watch)
    async with AsyncExitStack() as exits:
        exits.enter_context(_refusals_told(seldom))
        door.server = await exits.enter_async_context(_serving(app, limits))
        bound = [found for address in addresses for found in await _bind(address, exits)]
        await exits.enter_async_context(door.open(bound))
        scheme = "https" if tls() else "http"
        urls = [format_url(*found.getsockname()[:2]) for found in bound]
        yield [url.replace("http", scheme, 1) for url in urls]


class Door:
    """Lets clients in, up to the cap, and watches them while they are here."""

    def __init__(self, *, clock: Clock, tls: Tls, limits: Limits, seldom: Seldom) -> None:
        self.server: web.Server | None = None
        self._clock = clock
        self._tls = tls
        self._limits = limits
        self._seldom = seldom
        self._cap = limits.connections
        self._trust = 1.0
        """The share of those who asked among those who left lately."""
        self._candidates: list[tuple[Precedence, Connection]] = []
        self._connections: dict[web.RequestHandler, Connection] = {}
        self._beginnings: set[asyncio.Task[None]] = set()

    @web.middleware
    async def watch(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Notes which connections have a request in progress."""
        connection = self._connections.get(request.protocol)
        if connection is None:
            return await handler(request)
        connection.begin()
        try:
            return await handler(request)
        finally:
            connection.end()

    @asynccontextmanager
    async def open(self, bound: Sequence[socket.socket]) -> AsyncIterator[None]:
        """Accepts; on leaving closes the sockets, lets requests be answered and ends the rest."""
        # Each may hold some who wait for a place.
        self._cap = _cap(self._limits.connections, SPARE_FILES + BATCH * (len(bound) - 1))
        accepting = [asyncio.create_task(self._accept(found)) for found in bound]
        sweeping = asyncio.create_task(self._sweep())
        try:
            yield
        finally:
            await _pass_turns()
            await _end(accepting)
            for found in bound:
                found.close()
            await self._drain()
            await _end([sweeping, *self._beginnings])

    async def _accept(self, bound: socket.socket) -> None:
        while True:
            try:
                await self._accept_all(bound)
            except Exception as error:  # noqa: BLE001 - whatever it is, we must not become deaf
                self._seldom("cannot accept connections, pausing", error=_name(error))
                await asyncio.sleep(self._limits.pause_seconds)

    async def _accept_all(self, bound: socket.socket) -> None:
        waiting: list[socket.socket] = []
        try:
            while True:
                waiting = await self._take(bound)
                while waiting:
                    if self._is_full():
                        await self._make_room(len(waiting))
                    places = self._cap - len(self._connections)
                    for _ in range(min(places, len(waiting))):
                        self._admit(waiting[0])
                        del waiting[0]  # it is the connection's to close now
                    await asyncio.sleep(0)
        finally:
            for each in waiting:
                each.close()

    async def _take(self, bound: socket.socket) -> list[socket.socket]:
        """Takes those who have connected: at least one, and of many only some."""
        taken: list[socket.socket] = []
        while len(taken) < BATCH:
            try:
                taken.append(bound.accept()[0])
            except OSError as error:
                if taken:
                    break
                await self._pause(bound, error)
        return taken

    async def _pause(self, bound: socket.socket, error: OSError) -> None:
        if isinstance(error, BlockingIOError | ConnectionAbortedError):
            await _readable(bound)
            return
        # No file or no memory is left, and the next attempt would fail at once.
        self._seldom("cannot accept connections, pausing", error=reason_of(error))
        await asyncio.sleep(self._limits.pause_seconds)

    def _admit(self, found: socket.socket) -> None:
        found.setblocking(False)  # noqa: FBT003 - as the socket has it
        context = self._tls()
        connection = Connection(
            cast(web.Server, self.server)(),
            clock=self._clock,
            limits=self._limits,
            leave=self._forget,
            is_secured=context is not None,
        )
        self._connections[connection.handler] = connection
        task = asyncio.create_task(self._connect(connection, found, context))
        self._beginnings.add(task)
        task.add_done_callback(self._beginnings.discard)

    async def _connect(
        self, connection: Connection, found: socket.socket, context: ssl.SSLContext | None
    ) -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_accepted_socket(lambda: connection, found)
        if context:
            await self._secure(connection, transport, context)

    async def _secure(
        self, connection: Connection, transport: asyncio.Transport, context: ssl.SSLContext
    ) -> None:
        """Shakes hands. Only TLS over a transport of ours lets us see what has left the process."""
        secured = None
        try:
            secured = await asyncio.get_running_loop().start_tls(
                transport,
                connection,
                context,
                server_side=True,
                ssl_handshake_timeout=self._limits.head_seconds,
                ssl_shutdown_timeout=self._limits.keep_alive_seconds,
            )
        except ssl.SSLError as error:
            client = transport.get_extra_info("peername")
            self._seldom("bad request refused", client=client and client[0], error=_name(error))
        except OSError:
            pass  # it has gone, or takes too long
        if secured:
            connection.open(secured)
        else:
            connection.abort()

    def _forget(self, connection: Connection) -> None:
        self._connections.pop(connection.handler, None)
        self._trust += (connection.has_been_answered - self._trust) / TRUST_SPAN

    async def _make_room(self, wanted: int) -> None:
        """Waits for a place. Some of those with no request in progress give up theirs."""
        while self._is_full():
            self._seldom("too many connections, closing idle ones", limit=self._cap)
            chosen = {each: each.stirred for each in self._choose(wanted)}
            if not chosen:
                # Looking at all of them for each that comes would cost more than a scrape.
                await asyncio.sleep(LOOK_SECONDS)
                self._candidates = self._find_candidates()
                continue
            await _pass_turns()
            for each, stirred in chosen.items():
                # A request that had arrived already is in progress by now. One that is answered
                # already is not: who asks without end must not keep the place for ever.
                if stirred == each.stirred or each.is_idle():
                    each.abort()

    def _is_full(self) -> bool:
        return len(self._connections) >= self._cap

    def _choose(self, wanted: int) -> list[Connection]:
        chosen: list[Connection] = []
        while self._candidates and len(chosen) < wanted:
            precedence, each = self._candidates.pop()
            if precedence == each.precedence(grace_seconds=self._grace_seconds):
                chosen.append(each)
        return chosen

    def _find_candidates(self) -> list[tuple[Precedence, Connection]]:
        """Those who may give way, the first last."""
        grace = self._grace_seconds
        everybody = self._connections.values()
        found = ((each.precedence(grace_seconds=grace), each) for each in everybody)
        able = [(precedence, each) for precedence, each in found if precedence]
        return sorted(able, key=itemgetter(0), reverse=True)

    @property
    def _grace_seconds(self) -> float:
        # A crowd of scrapers may be slow to ask; one that never asks must not hold up who does.
        limits = self._limits
        return limits.stall_seconds if self._trust > 0.5 else limits.grace_seconds

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self._limits.sweep_seconds)
            self._abort(Connection.is_overdue)

    async def _drain(self) -> None:
        await _pass_turns()
        for connection in self._connections.values():
            connection.finish()
        await _pass_turns()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._limits.shutdown_seconds):
                while self._connections:
                    self._abort(Connection.is_answered)
                    await asyncio.sleep(0.01)
        self._abort(lambda _: True)
        await _pass_turns()

    def _abort(self, is_over: Callable[[Connection], bool]) -> None:
        for connection in list(self._connections.values()):
            if is_over(connection):
                connection.abort()


class Refusals(logging.Filter):
    """Makes of what aiohttp says about a bad request a line that quotes nothing of it."""

    def __init__(self, seldom: Seldom) -> None:
        super().__init__()
        self._seldom = seldom

    def filter(self, record: logging.LogRecord) -> bool:
        """Lets pass what is no client's fault."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, ConnectionError):
            return False  # it has gone, which is nobody's fault
        if not isinstance(error, HttpProcessingError):
            return True
        client = record.args[0] if isinstance(record.args, tuple) and record.args else None
        self._seldom("bad request refused", client=client, error=_name(error))
        return False


@contextmanager
def _refusals_told(seldom: Seldom) -> Iterator[None]:
    refusals = Refusals(seldom)
    _LOG.addFilter(refusals)
    try:
        yield
    finally:
        _LOG.removeFilter(refusals)


@asynccontextmanager
async def _serving(app: web.Application, limits: Limits) -> AsyncIterator[web.Server | None]:
    """Has aiohttp make its side of connections."""
    runner = web.AppRunner(
        app,
        access_log=None,
        auto_decompress=False,  # nobody wants a body, and a small one may become a large one
        handle_signals=False,
        handler_cancellation=True,  # or it works, and waits when stopping, for who has gone
        keepalive_timeout=limits.keep_alive_seconds,
        lingering_time=limits.body_seconds,
        max_headers=limits.headers,
        max_line_size=limits.line_bytes,
        logger=_LOG,
        shutdown_timeout=limits.shutdown_seconds / 3,  # aiohttp may take it twice
    )
    await runner.setup()
    try:
        yield runner.server
    finally:
        await runner.cleanup()


async def _bind(address: str, exits: AsyncExitStack) -> list[socket.socket]:
    try:
        bound = await bind(address, backlog=BACKLOG)
    except (OSError, UnicodeError) as error:
        raise ConfigError(
            [f"web.listen_address: {address}: {reason_of(error)}: choose another address"]
        ) from None
    for each in bound:
        exits.callback(each.close)
    return bound


def _cap(connections: int, spare: int) -> int:
    """Leaves files for everything else where the process may open few."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return connections
    return max(1, min(connections, files - spare))


async def _readable(bound: socket.socket) -> None:
    # loop.sock_accept() would lose a connection when it is cancelled at the wrong moment.
    arrived = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(bound, arrived.set)
    try:
        await arrived.wait()
    finally:
        loop.remove_reader(bound)


async def _pass_turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _name(error: Exception) -> str:
    return type(error).__name__
