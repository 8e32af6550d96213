"""The exporter's side of its connections: who is let in, for how long, and who has to go."""

import asyncio
import gzip
import io
import itertools
import json
import math
import resource
import socket
import ssl
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import ParamSpec, TypeVar

import pytest
import trustme
from aiohttp import web

from exporter import logs
from exporter.clock import Clock, SystemClock
from exporter.config import load
from exporter.connection import Connection, Limits
from exporter.desk import MOST_WAITING
from exporter.errors import ConfigError
from exporter.listener import SPARE_FILES, listen
from exporter.service import Service
from exporter.settings import Settings
from exporter.simulator import Simulator, World
from exporter.web import Web
from tests.conftest import Configure
from tests.hostile import FAULTS, LAST, Fault, ask, connected, read
from tests.manual_clock import ManualClock
from tests.process import spawned

QUICK = Limits(
    head_seconds=0.4,
    write_seconds=0.4,
    keep_alive_seconds=0.4,
    body_seconds=0.2,
    sweep_seconds=0.02,
)
PATIENT = Limits(sweep_seconds=0.01)
HEALTHY = b"GET /-/healthy HTTP/1.1\r\n" + LAST
KEPT = b"GET /-/healthy HTTP/1.1\r\nHost: exporter\r\n\r\n"
SCRAPE = b"GET /metrics HTTP/1.1\r\n" + LAST
WORK = (b"/sd/servers?max_per_pop=999", b"/?filter=a")
PAGE = bytes(8 * 1024 * 1024)  # more than the kernel keeps for a client that does not read

CAP_TOLD = 'level=warning msg="too many connections, closing idle ones" limit=1'
REFUSED = 'level=warning msg="bad request refused" client=127.0.0.1 error=BadHttpMessage'
HOSTILE = {
    "says nothing",
    "sends half a head",
    "sends a header line at a time",
    "reads nothing of its answers",
}

Where = tuple[str, int]
P = ParamSpec("P")
T = TypeVar("T")


@asynccontextmanager
async def exporter(settings: Settings, clock: Clock, limits: Limits) -> AsyncIterator[Where]:
    """The real pages, with something to scrape, behind a listener with limits of its own."""
    service = Service(settings, clock=clock)
    async with service.pollers() as pollers:
        for poller in pollers:
            await poller.poll()
    handlers = Web(
        store=service.store,
        telemetry=service.telemetry,
        status=service.status,
        is_alive=lambda: True,
        telemetry_path="/metrics",
    )
    async with listen(handlers.app(), ["127.0.0.1:0"], clock=SystemClock(), limits=limits) as [url]:
        yield _where(url)


@asynccontextmanager
async def plain(
    limits: Limits, clock: Clock | None = None, **options: Callable[[], ssl.SSLContext | None]
) -> AsyncIterator[Where]:
    """An app that is healthy, has a page of some size, and can be made to wait or to fail."""
    app = web.Application()

    async def healthy(_: web.Request) -> web.Response:
        return web.Response(text="healthy\n")

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=PAGE)

    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(0.3)
        return web.Response(text="slow\n")

    async def hang(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async def broken(_: web.Request) -> web.Response:
        raise ZeroDivisionError

    app.router.add_get("/-/healthy", healthy)
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/slow", slow)
    app.router.add_get("/hang", hang)
    app.router.add_get("/broken", broken)
    clock = clock or SystemClock()
    async with listen(app, ["127.0.0.1:0"], clock=clock, limits=limits, **options) as [url]:
        yield _where(url)


def _where(url: str) -> Where:
    host, _, port = url.partition("://")[2].rpartition(":")
    return host, int(port)


async def is_served(where: Where, request: bytes = HEALTHY) -> bool:
    """Whether requests are answered, and the quickest of three within a tenth of a second."""
    seconds = []
    for _ in range(3):
        started = time.monotonic()
        answer = await asyncio.wait_for(ask(*where, request), 5)
        seconds.append(time.monotonic() - started)
        if not answer.startswith(b"HTTP/1.1 200 "):
            return False
    return min(seconds) < 0.1


@pytest.fixture
def told() -> Callable[[], list[str]]:
    """Gives the lines logged so far, without their times."""
    stream = io.StringIO()
    logs.start("info", "logfmt", stream)
    return lambda: [line.partition(" ")[2] for line in stream.getvalue().splitlines()]


# Faults


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
async def test_a_fault_costs_nobody_else_a_scrape(
    fault: Fault, configure: Configure, clock: ManualClock
) -> None:
    """Whatever a client does: it sees what is due to it, and a scrape is answered within 0.1 s."""
    async with exporter(configure(), clock, QUICK) as where, asyncio.timeout(10):
        doing = asyncio.create_task(fault.act(*where))
        if fault.is_held:
            await asyncio.sleep(0.1)
            assert await is_served(where, SCRAPE)
            assert not doing.done()
        assert fault.expected == await doing
        assert await is_served(where, SCRAPE)


# Work for clients


@asynccontextmanager
async def no_thread() -> AsyncIterator[Callable[[], int]]:
    """Keeps the loop's one thread occupied; gives how much work has been handed to it."""
    pool, end = Counted(1), threading.Event()
    pool.submit(end.wait)
    pool.works = 0
    asyncio.get_running_loop().set_default_executor(pool)
    try:
        yield lambda: pool.works
    finally:
        end.set()


class Counted(ThreadPoolExecutor):
    """Threads that count what they are given."""

    works = 0

    def submit(self, fn: Callable[P, T], /, *args: P.args, **options: P.kwargs) -> Future[T]:
        self.works += 1
        return super().submit(fn, *args, **options)


@pytest.mark.parametrize("path", WORK)
async def test_a_crowd_is_told_to_come_again(
    path: bytes, configure: Configure, clock: ManualClock
) -> None:
    """At once, while some wait; those are answered."""
    request = b"GET " + path + b" HTTP/1.1\r\n" + LAST
    async with exporter(configure(), clock, Limits()) as where, asyncio.timeout(10):
        async with no_thread():
            waiting = [asyncio.create_task(ask(*where, request)) for _ in range(1 + MOST_WAITING)]
            await settle(where)
            head, _, text = (await ask(*where, request)).partition(b"\r\n\r\n")
            assert not any(task.done() for task in waiting)
        answers = await asyncio.gather(*waiting)
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nRetry-After: 1\r\n" in head
    assert b"too many ask for this at the same time: try again\n" == text
    assert [True] * len(answers) == [each.startswith(b"HTTP/1.1 200 ") for each in answers]


@pytest.mark.parametrize("path", WORK)
async def test_nothing_is_done_for_those_who_have_gone(
    path: bytes, configure: Configure, clock: ManualClock, told: Callable[[], list[str]]
) -> None:
    """But for one whose work had begun, and it keeps nobody else waiting longer than that."""
    request = b"GET " + path + b" HTTP/1.1\r\n" + LAST
    async with exporter(configure(), clock, Limits()) as where, asyncio.timeout(10):
        before = len(told())
        async with no_thread() as works:
            for _ in range(3 * MOST_WAITING):
                async with connected(*where) as client:
                    client.send(request)
                    await settle(where)
            await settle(where)
            last = asyncio.create_task(ask(*where, request))
            await settle(where)
            assert 1 == works()
        assert (await last).startswith(b"HTTP/1.1 200 ")
        assert 2 == works()
    assert [] == told()[before:]


async def settle(where: Where) -> None:
    """Waits until what was sent before has been read."""
    for _ in range(2):
        await ask(*where, HEALTHY)


@pytest.mark.parametrize("path", WORK)
async def test_who_asks_for_work_without_end_keeps_no_scrape_out(
    path: bytes, fleet: Simulator, clock: ManualClock
) -> None:
    """More of them than there are places, each on connections that it keeps."""
    request = b"GET " + path + b" HTTP/1.1\r\nHost: exporter\r\n\r\n"

    async def ask_without_end(where: Where) -> None:
        while True:
            with suppress(ConnectionError):
                async with connected(*where) as client:
                    while True:
                        await asyncio.get_running_loop().sock_sendall(client, request)
                        await take_answer(client)

    async with exporter(at(fleet), clock, Limits()) as where:
        asking = [asyncio.create_task(ask_without_end(where)) for _ in range(300)]
        await asyncio.sleep(1)
        for _ in range(3):
            answer = await asyncio.wait_for(ask(*where, SCRAPE), 5)  # seen: 0.5
            assert answer.startswith(b"HTTP/1.1 200 ")
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)


async def take_answer(client: socket.socket) -> None:
    """Reads one answer to its end.

    Raises:
        ConnectionError: it has none.
    """
    answer = b""
    length = math.inf
    while len(answer) < length:
        piece = await asyncio.get_running_loop().sock_recv(client, 1024 * 1024)
        if not piece:
            raise ConnectionError
        answer += piece
        head, end, _ = answer.partition(b"\r\n\r\n")
        if end:
            told = head.lower().partition(b"content-length:")[2].split()[0]
            length = len(head) + len(end) + int(told)


# Time


async def is_closed(client: socket.socket) -> bool:
    """Whether the listener closes a connection soon; whatever was answered is passed over."""
    try:
        async with asyncio.timeout(2):
            await read(client)
    except TimeoutError:
        return False
    return True


async def is_kept(client: socket.socket) -> bool:
    """Whether several sweeps leave a connection alone."""
    try:
        async with asyncio.timeout(20 * PATIENT.sweep_seconds):
            await read(client)
    except TimeoutError:
        return True
    return False


@pytest.mark.parametrize(
    "said", [b"", b"GET", b"GET /metrics HTTP/1.1\r\nHost: exporter\r\n"], ids=repr
)
async def test_a_head_has_ten_seconds(said: bytes, clock: ManualClock) -> None:
    """From the connection's beginning to the end of the first head."""
    async with plain(PATIENT, clock) as where, connected(*where) as client:
        client.send(said)
        clock.advance(9.9)
        assert await is_kept(client)
        clock.advance(0.1)
        assert await is_closed(client)


async def test_the_next_head_has_ten_seconds_from_its_first_byte(clock: ManualClock) -> None:
    """Idle time is not held against it, half a head is."""
    async with plain(PATIENT, clock) as where, connected(*where) as client:
        client.send(KEPT)
        assert await asyncio.get_running_loop().sock_recv(client, 1000)
        clock.advance(60)
        assert await is_kept(client)
        client.send(b"GET")
        assert await is_kept(client)
        clock.advance(9.9)
        assert await is_kept(client)
        clock.advance(0.1)
        assert await is_closed(client)


async def test_an_idle_connection_is_closed() -> None:
    """When the time of keep-alive is over."""
    async with plain(QUICK) as where, connected(*where) as client:
        client.send(KEPT)
        started = time.monotonic()
        assert await is_closed(client)
        assert time.monotonic() - started >= QUICK.keep_alive_seconds


@pytest.mark.parametrize(("seconds", "is_whole"), [(9.9, True), (10.0, False)])
@pytest.mark.parametrize("lines", [b"", b"Connection: close\r\n"], ids=["kept", "closing"])
async def test_an_answer_that_nobody_reads_is_given_up(
    lines: bytes, seconds: float, clock: ManualClock, *, is_whole: bool
) -> None:
    """Ten seconds after its last byte left, also when aiohttp has closed the connection already."""
    async with plain(PATIENT, clock) as where, connected(*where, buffer=4096) as client:
        client.send(b"GET /metrics HTTP/1.1\r\nHost: exporter\r\n" + lines + b"\r\n")
        await asyncio.sleep(0.2)
        clock.advance(seconds)
        await asyncio.sleep(0.1)
        taken = 0
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(2):  # a connection that is kept has no end
                while piece := await asyncio.get_running_loop().sock_recv(client, 1024 * 1024):
                    taken += len(piece)
        assert is_whole == (taken > len(PAGE))


async def test_a_slow_reader_gets_its_answer(clock: ManualClock) -> None:
    """As long as some of it leaves every ten seconds, however long it takes."""
    loop = asyncio.get_running_loop()
    async with plain(PATIENT, clock) as where, connected(*where, buffer=65536) as client:
        client.send(SCRAPE)
        taken = 0
        async with asyncio.timeout(20):
            while piece := await loop.sock_recv(client, 256 * 1024):
                taken += len(piece)
                await asyncio.sleep(2 * PATIENT.sweep_seconds)
                clock.advance(1)
        assert taken > len(PAGE)
        assert clock.monotonic() > 1030


# Number


async def test_at_the_cap_the_silent_give_way(clock: ManualClock) -> None:
    """After a second, the longest silent first; a scrape needs no more than one place."""
    async with AsyncExitStack() as exits:
        where = await exits.enter_async_context(plain(replace(PATIENT, connections=2), clock))
        silent = []
        for _ in range(2):
            silent.append(await exits.enter_async_context(connected(*where)))
            await asyncio.sleep(0.05)
            clock.advance(0.1)
        clock.advance(0.75)
        asking = asyncio.create_task(ask(*where, HEALTHY))
        await asyncio.sleep(0.1)
        assert not asking.done()
        clock.advance(0.06)
        assert (await asking).startswith(b"HTTP/1.1 200 ")
        assert await is_closed(silent[0])
        assert await is_kept(silent[1])


async def test_at_the_cap_a_silent_crowd_gives_way_soon(clock: ManualClock) -> None:
    """After 50 ms each, where most who come say nothing."""
    async with AsyncExitStack() as exits:
        where = await exits.enter_async_context(plain(replace(PATIENT, connections=1), clock))
        for _ in range(20):
            async with connected(*where):
                await asyncio.sleep(0.01)
        silent = await exits.enter_async_context(connected(*where))
        await asyncio.sleep(0.05)
        clock.advance(0.04)
        asking = asyncio.create_task(ask(*where, HEALTHY))
        await asyncio.sleep(0.1)
        assert not asking.done()
        clock.advance(0.02)
        assert (await asyncio.wait_for(asking, 2)).startswith(b"HTTP/1.1 200 ")
        assert await is_closed(silent)


async def test_nobody_gives_way_to_nobody(clock: ManualClock) -> None:
    """Every place may be taken, as long as nobody waits for one."""
    async with AsyncExitStack() as exits:
        where = await exits.enter_async_context(plain(replace(PATIENT, connections=2), clock))
        silent = [await exits.enter_async_context(connected(*where)) for _ in range(2)]
        await asyncio.sleep(0.05)
        clock.advance(5)
        assert [True, True] == [await is_kept(client) for client in silent]


async def test_at_the_cap_the_silent_go_before_the_idle(clock: ManualClock) -> None:
    """Who has asked before will ask again."""
    limits = replace(PATIENT, connections=2)
    async with (
        AsyncExitStack() as exits,
        plain(limits, clock) as where,
        connected(*where) as idle,
    ):
        idle.send(KEPT)
        await asyncio.sleep(0.05)
        clock.advance(1)
        silent = await exits.enter_async_context(connected(*where))
        await asyncio.sleep(0.05)
        clock.advance(1)
        assert (await ask(*where, HEALTHY)).startswith(b"HTTP/1.1 200 ")
        assert await is_closed(silent)
        assert await is_kept(idle)


async def test_at_the_cap_the_idle_give_way(clock: ManualClock) -> None:
    """The longest idle first."""
    limits = replace(PATIENT, connections=2)
    async with (
        plain(limits, clock) as where,
        connected(*where) as first,
        connected(*where) as second,
    ):
        for client in (second, first):
            client.send(KEPT)
            await asyncio.sleep(0.05)
            clock.advance(1)
        assert (await ask(*where, HEALTHY)).startswith(b"HTTP/1.1 200 ")
        assert await is_closed(second)
        assert await is_kept(first)


async def test_at_the_cap_a_request_in_progress_does_not_give_way() -> None:
    """Others wait for their turn, in the kernel, and everybody is answered."""
    async with plain(replace(PATIENT, connections=4)) as where:
        started = time.monotonic()
        slow = KEPT + b"GET /slow HTTP/1.1\r\n" + LAST
        answers = await asyncio.gather(*[ask(*where, slow) for _ in range(12)])
        assert [True] * 12 == [answer.endswith(b"\r\n\r\nslow\n") for answer in answers]
        assert time.monotonic() - started > 0.8


async def test_at_the_cap_who_asks_without_end_gives_way() -> None:
    """Several requests on their way at any time are no reason to keep a place for ever."""

    async def ask_without_end(where: Where) -> None:
        loop = asyncio.get_running_loop()
        while True:
            async with connected(*where) as client:
                with suppress(ConnectionError):
                    await loop.sock_sendall(client, KEPT * 4)
                    while piece := await loop.sock_recv(client, 1024 * 1024):
                        await loop.sock_sendall(client, KEPT * piece.count(b"200 OK"))

    async with plain(replace(PATIENT, connections=8)) as where:
        asking = [asyncio.create_task(ask_without_end(where)) for _ in range(8)]
        await asyncio.sleep(0.2)
        async with asyncio.timeout(5):
            for _ in range(3):
                answer = await ask(*where, HEALTHY)
                assert answer.startswith(b"HTTP/1.1 200 ")
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)


async def test_what_has_ended_is_not_ended_again(clock: ManualClock) -> None:
    """Asyncio fails when a transport is aborted that has closed with bytes left and lost them."""
    left: list[Connection] = []

    async def never(_: web.BaseRequest) -> web.StreamResponse:
        raise AssertionError

    connection = Connection(
        web.Server(never)(), clock=clock, limits=PATIENT, leave=left.append, is_secured=False
    )
    mine, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    with theirs:
        mine.setblocking(False)  # noqa: FBT003 - as the socket has it
        theirs.setblocking(False)  # noqa: FBT003 - as above
        transport, _ = await loop.connect_accepted_socket(lambda: connection, mine)
        transport.write(PAGE)
        transport.close()
        while await loop.sock_recv(theirs, len(PAGE)):
            pass
        connection.abort()
    assert [connection] == left


async def test_at_the_cap_an_answer_that_is_not_taken_gives_way(clock: ManualClock) -> None:
    """After a second without a byte leaving."""
    limits = replace(PATIENT, connections=1)
    async with plain(limits, clock) as where, connected(*where, buffer=4096) as client:
        client.send(SCRAPE)
        await asyncio.sleep(0.2)
        clock.advance(0.9)
        asking = asyncio.create_task(ask(*where, HEALTHY))
        await asyncio.sleep(0.1)
        assert not asking.done()
        clock.advance(0.1)
        assert (await asking).startswith(b"HTTP/1.1 200 ")


async def test_the_cap_is_told_once_a_minute(
    clock: ManualClock, told: Callable[[], list[str]]
) -> None:
    """With how often it was met since."""
    async with AsyncExitStack() as exits:
        where = await exits.enter_async_context(plain(replace(PATIENT, connections=1), clock))

        async def come() -> None:
            client = await exits.enter_async_context(connected(*where))
            client.send(KEPT)
            assert await asyncio.get_running_loop().sock_recv(client, 1000)

        for _ in range(4):
            await come()
        assert [CAP_TOLD] == told()
        clock.advance(60)
        await come()
    assert CAP_TOLD in told()[0]
    assert told()[1].startswith(f"{CAP_TOLD} suppressed=")


@pytest.fixture
def few_files() -> Iterator[Callable[[int], None]]:
    """Lets the process open so many files, until the test ends."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)

    def limit(files: int) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, before[1]))

    yield limit
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def test_few_files_lower_the_cap(few_files: Callable[[int], None]) -> None:
    """Of those that the process may open, some are for everything else."""
    few_files(SPARE_FILES + 12)
    async with AsyncExitStack() as exits:
        where = await exits.enter_async_context(plain(PATIENT))
        clients = [await exits.enter_async_context(connected(*where)) for _ in range(12)]
        assert await is_served(where)
        assert await is_closed(clients[0])
        assert await is_kept(clients[-1])


async def test_no_files_left_is_a_pause(
    few_files: Callable[[int], None], clock: ManualClock, told: Callable[[], list[str]]
) -> None:
    """One line, an attempt now and then, and whoever waited is served when there are some again."""
    async with AsyncExitStack() as exits:
        where = await exits.enter_async_context(plain(replace(PATIENT, pause_seconds=0.1), clock))
        client = await exits.enter_async_context(connected(*where))
        await asyncio.sleep(0.05)
        *clients, last = [exits.enter_context(_unconnected()) for _ in range(3)]
        few_files(last.fileno() + 1)
        client.send(KEPT)
        for late in clients:
            await asyncio.get_running_loop().sock_connect(late, where)
            late.send(HEALTHY)
        await asyncio.sleep(0.35)
        assert [
            'level=warning msg="cannot accept connections, pausing" error="Too many open files"'
        ] == told()
        few_files(1000)
        for late in clients:
            assert (await asyncio.wait_for(read(late), 1)).startswith(b"HTTP/1.1 200 ")
        assert 1 == len(told())
        few_files(last.fileno() + 1)
        clock.advance(60)
        await asyncio.get_running_loop().sock_connect(last, where)
        await asyncio.sleep(0.15)
        few_files(1000)
    suppressed = int(told()[1].rpartition("=")[2])
    assert 2 <= suppressed <= 4


def _unconnected() -> socket.socket:
    client = socket.socket()
    client.setblocking(False)  # noqa: FBT003 - as the socket has it
    return client


# Log lines


async def test_bad_requests_cost_a_line_a_minute(
    clock: ManualClock, told: Callable[[], list[str]]
) -> None:
    """It quotes nothing of the request, for that may hold a password."""
    bad = b"GET /metrics HTTP/1.1\r\nAuthorization : Basic c2VjcmV0\r\n\r\n"
    async with plain(PATIENT, clock) as where:
        for _ in range(5):
            await ask(*where, bad)
        assert [REFUSED] == told()
        clock.advance(60)
        await ask(*where, bad)
    assert [REFUSED, f"{REFUSED} suppressed=4"] == told()


async def test_no_body_is_decompressed() -> None:
    """A small one may become a large one, and the loop would stand still for it."""
    bomb = gzip.compress(bytes(512 * 1024 * 1024), compresslevel=1)
    head = b"POST /metrics HTTP/1.1\r\nContent-Encoding: gzip\r\n"
    head += b"Content-Length: %d\r\n" % len(bomb) + LAST
    async with plain(PATIENT) as where:
        began = time.process_time()
        answer = await ask(*where, head + bomb)
        used = time.process_time() - began
    assert answer.startswith(b"HTTP/1.1 405 ")
    assert used < 0.1


async def test_a_fault_of_ours_makes_nobody_deaf(told: Callable[[], list[str]]) -> None:
    """It costs the one connection that it struck, and a pause."""
    asked = itertools.count(1)

    def tls() -> None:
        if next(asked) == 3:  # once for the URL, once for each who comes
            raise ZeroDivisionError

    async with plain(replace(PATIENT, pause_seconds=0.05), tls=tls) as where:
        # Both are there before the loop turns, so they are taken together.
        with socket.create_connection(where) as first, socket.create_connection(where):
            first.setblocking(False)  # noqa: FBT003 - as the socket has it
            first.send(HEALTHY)
            assert (await asyncio.wait_for(read(first), 5)).startswith(b"HTTP/1.1 200 ")
        assert await is_served(where)
    assert [
        'level=warning msg="cannot accept connections, pausing" error=ZeroDivisionError'
    ] == told()


async def test_a_fault_of_ours_is_told_each_time(told: Callable[[], list[str]]) -> None:
    """A handler that fails is a bug, not a bad request."""
    async with plain(PATIENT) as where:
        for _ in range(2):
            answer = await ask(*where, b"GET /broken HTTP/1.1\r\n" + LAST)
            assert answer.startswith(b"HTTP/1.1 500 ")
    line = 'level=error msg="Error handling request from 127.0.0.1" error=ZeroDivisionError'
    assert [line] * 2 == told()


async def test_no_fault_costs_more_than_a_line(
    configure: Configure, clock: ManualClock, told: Callable[[], list[str]]
) -> None:
    """All that is not held, ten times over."""
    async with exporter(configure(), clock, QUICK) as where:
        before = len(told())
        quick = [fault for fault in FAULTS if not fault.is_held and "body" not in fault.name]
        for _ in range(10):
            await asyncio.gather(*(fault.act(*where) for fault in quick))
    assert 1 == len(told()[before:])


# Stopping


async def test_stopping_answers_what_was_asked() -> None:
    """A request in progress, and an answer that is still being read; nobody new comes in."""
    async with AsyncExitStack() as exits:
        stop = AsyncExitStack()
        where = await stop.enter_async_context(plain(PATIENT))
        slow = await exits.enter_async_context(connected(*where))
        slow.send(b"GET /slow HTTP/1.1\r\nHost: exporter\r\n\r\n")
        large = await exits.enter_async_context(connected(*where))
        large.send(SCRAPE)
        await asyncio.sleep(0.1)
        late = await exits.enter_async_context(connected(*where))
        late.send(HEALTHY)
        stopping = asyncio.create_task(stop.aclose())
        await asyncio.sleep(0.05)
        with pytest.raises(ConnectionRefusedError):
            await ask(*where, HEALTHY)
        assert (await read(late)).startswith(b"HTTP/1.1 200 ")
        assert len(await read(large)) > len(PAGE)
        assert (await read(slow)).endswith(b"\r\n\r\nslow\n")
        await stopping


async def test_stopping_answers_no_more_than_that() -> None:
    """A request that waits behind the one in progress is not begun."""
    async with AsyncExitStack() as exits:
        stop = AsyncExitStack()
        where = await stop.enter_async_context(plain(PATIENT))
        client = await exits.enter_async_context(connected(*where))
        client.send(b"GET /slow HTTP/1.1\r\nHost: exporter\r\n\r\n" * 2)
        await asyncio.sleep(0.1)
        await stop.aclose()
        assert 1 == (await read(client)).count(b"slow\n")


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHo", KEPT], ids=repr)
async def test_stopping_waits_for_nobody_who_asks_nothing(said: bytes) -> None:
    """Silent, slow and idle connections are closed at once."""
    async with AsyncExitStack() as exits:
        stop = AsyncExitStack()
        where = await stop.enter_async_context(plain(PATIENT))
        clients = [await exits.enter_async_context(connected(*where)) for _ in range(50)]
        for client in clients:
            client.send(said)
        await asyncio.sleep(0.1)
        started = time.monotonic()
        await stop.aclose()
        assert time.monotonic() - started < 0.3
        for client in clients:
            assert await is_closed(client)


async def test_stopping_waits_for_nobody_who_has_gone(told: Callable[[], list[str]]) -> None:
    """Requests of clients that went before are over; nothing is told of them."""
    async with AsyncExitStack() as exits:
        where = await exits.enter_async_context(plain(PATIENT))
        for _ in range(50):
            async with connected(*where) as client:
                client.send(b"GET /hang HTTP/1.1\r\n" + LAST)
                await asyncio.sleep(0.005)
        await asyncio.sleep(0.1)
        started = time.monotonic()
        await exits.aclose()
        assert time.monotonic() - started < 0.3
    assert [] == told()


async def test_stopping_amid_a_hostile_crowd_takes_less_than_four_seconds() -> None:
    """With every place taken by somebody silent, slow, deaf, or endlessly asking."""
    silent = [b"", b"GET / HTTP/1.1\r\nHo", KEPT] * 2
    said = [*silent, KEPT * 300, SCRAPE, b"GET /hang HTTP/1.1\r\n" + LAST]
    async with AsyncExitStack() as exits:
        stop = AsyncExitStack()
        where = await stop.enter_async_context(plain(PATIENT))
        deaf = await exits.enter_async_context(connected(*where, buffer=4096))
        deaf.send(SCRAPE)
        for number in range(Limits().connections - 1):
            client = await exits.enter_async_context(connected(*where, buffer=4096))
            client.send(said[number % len(said)])
        await asyncio.sleep(0.3)
        started = time.monotonic()
        await stop.aclose()
        seconds = time.monotonic() - started
        assert len(await read(deaf)) < len(PAGE)
    assert Limits().shutdown_seconds <= seconds < 4


# Addresses


async def serve_at(*addresses: str) -> list[str]:
    """Listens there for a moment; gives the URLs, each of which answered."""
    app = web.Application()
    async with listen(app, addresses, clock=SystemClock(), limits=PATIENT) as urls:
        for url in urls:
            host, port = _where(url)
            family = socket.AF_INET6 if "[" in host else socket.AF_INET
            with socket.socket(family) as client:
                client.connect((host.strip("[]"), port))
        return urls


async def test_a_name_may_mean_several_addresses() -> None:
    """`localhost` is IPv4, IPv6 or both, `:0` is everything; each can be reached."""
    families = {
        found[4][0] for found in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)
    }
    assert len(families) == len(await serve_at("localhost:0"))
    assert 1 <= len(await serve_at(":0")) <= 2


async def test_a_port_can_be_taken_again_at_once() -> None:
    """Connections that linger in the kernel do not keep a restart from listening."""
    stop = AsyncExitStack()
    where = await stop.enter_async_context(plain(PATIENT))
    async with connected(*where) as client:
        client.send(KEPT)
        await asyncio.get_running_loop().sock_recv(client, 1000)
        await stop.aclose()
        assert b"" == await read(client)
    host, port = where
    assert [f"http://{host}:{port}"] == await serve_at(f"{host}:{port}")


@pytest.mark.parametrize(
    ("address", "reason"),
    [("192.0.2.1:0", "Cannot assign requested address"), ("..:80", "no such address")],
)
async def test_an_address_that_is_not_ours_is_told(address: str, reason: str) -> None:
    """In one line; whatever was listened on before it is closed."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        good = f"127.0.0.1:{probe.getsockname()[1]}"
    with pytest.raises(ConfigError, match=f"web.listen_address: .*: {reason}: choose another"):
        await serve_at(good, address)
    assert [f"http://{good}"] == await serve_at(good)


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def client_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def ask_secured(where: Where, request: bytes, context: ssl.SSLContext) -> bytes:
    reader, writer = await asyncio.open_connection(*where, ssl=context)
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer


async def test_tls_is_asked_for_with_each_connection(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """So that a new certificate, or none, serves whoever connects next."""
    asked: list[ssl.SSLContext | None] = []

    def tls() -> ssl.SSLContext | None:
        asked.append(None if len(asked) == 2 else server_context)
        return asked[-1]

    async with plain(PATIENT, tls=tls) as where:
        assert b"healthy" in await ask_secured(where, HEALTHY, client_context)
        assert b"healthy" in await ask(*where, HEALTHY)
        assert b"healthy" in await ask_secured(where, HEALTHY, client_context)
    assert [server_context, server_context, None, server_context] == asked


async def test_a_silent_handshake_holds_up_nobody(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """It has the time of a head; others are served meanwhile."""
    async with (
        plain(QUICK, tls=lambda: server_context) as where,
        connected(*where) as silent,
        connected(*where) as partial,
    ):
        partial.send(b"\x16\x03\x01\x02\x00")
        started = time.monotonic()
        assert b"healthy" in await ask_secured(where, HEALTHY, client_context)
        assert time.monotonic() - started < QUICK.head_seconds
        assert await is_closed(silent)
        assert await is_closed(partial)


async def test_a_bad_handshake_costs_a_line(
    server_context: ssl.SSLContext, clock: ManualClock, told: Callable[[], list[str]]
) -> None:
    """As any bad request does; who hangs up costs none."""
    async with plain(PATIENT, clock, tls=lambda: server_context) as where:
        async with connected(*where):
            pass
        for _ in range(3):
            assert b"" == await ask(*where, b"GET / HTTP/1.1\r\n" + LAST)
    assert ['level=warning msg="bad request refused" client=127.0.0.1 error=SSLError'] == told()


async def test_an_encrypted_answer_that_nobody_reads_is_given_up(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext, clock: ManualClock
) -> None:
    """What TLS has handed to the socket has not left yet."""
    async with plain(PATIENT, clock, tls=lambda: server_context) as where:
        loop = asyncio.get_running_loop()
        client = await loop.run_in_executor(None, _connect_secured, where, client_context)
        with client:
            client.send(SCRAPE)
            await asyncio.sleep(0.3)
            clock.advance(10)
            await asyncio.sleep(0.1)
            assert await loop.run_in_executor(None, _read_secured, client) < len(PAGE)


def _connect_secured(where: Where, context: ssl.SSLContext) -> ssl.SSLSocket:
    client = socket.create_connection(where)
    client.settimeout(5)
    return context.wrap_socket(client, server_hostname=where[0])


def _read_secured(client: ssl.SSLSocket) -> int:
    taken = 0
    with suppress(ConnectionError, ssl.SSLError):
        while piece := client.recv(1024 * 1024):
            taken += len(piece)
    return taken


async def test_an_encrypted_answer_is_whole(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """However large, and also when stopping."""
    stop = AsyncExitStack()
    where = await stop.enter_async_context(plain(PATIENT, tls=lambda: server_context))
    asking = asyncio.create_task(ask_secured(where, SCRAPE, client_context))
    await asyncio.sleep(0.1)
    await stop.aclose()
    assert len(await asking) > len(PAGE)


# Crowds


async def crowd(
    where: Where, scrapers: int, *, rounds: int, pause_seconds: float, anew: bool = False
) -> dict[str, float]:
    """Scrapers in a process of their own."""
    program = Path(__file__).with_name("scrapers.py")
    words = [*where, scrapers, rounds, pause_seconds, *["anew"] * anew]
    async with spawned(sys.executable, str(program), *map(str, words)) as process:
        out, _ = await asyncio.wait_for(process.communicate(), 60)
    told: dict[str, float] = json.loads(out)
    return told


@pytest.fixture
async def fleet(clock: ManualClock) -> AsyncIterator[Simulator]:
    async with Simulator(World(servers=5000), clock.simulated) as simulator:
        yield simulator


def at(fleet: Simulator) -> Settings:
    return load({"base_url": fleet.url, "api_key": "demo-key"})


@pytest.mark.parametrize("rounds", [1, 3], ids=["once", "kept"])
async def test_a_thousand_scrapers_are_all_answered(
    rounds: int, fleet: Simulator, clock: ManualClock
) -> None:
    """Four for each place there is, in a few seconds, and the API hears nothing of it."""
    async with exporter(at(fleet), clock, Limits()) as where:
        asked = len(fleet.requests)
        found = await crowd(where, 1000, rounds=rounds, pause_seconds=0.5)
        assert asked == len(fleet.requests)
    assert (1000 * rounds, 0) == (found["answers"], found["errors"])
    assert found["p99"] < 1.5  # decision 11 has the figures; a busy machine takes its time


async def test_five_hundred_hostile_clients_slow_no_scrape(
    fleet: Simulator, clock: ManualClock
) -> None:
    """Silent, amid a head, dripping or deaf: 99 of 100 scrapes take less than 0.1 s.

    Each comes on a connection of its own, so there is a place to be made for it. The first may have
    to wait until the crowd has been silent for a second.
    """
    acts = [fault.act for fault in FAULTS if fault.name in HOSTILE]
    async with exporter(at(fleet), clock, Limits()) as where:
        doing = [asyncio.create_task(acts[n % len(acts)](*where)) for n in range(500)]
        await asyncio.sleep(1.5)
        found = await crowd(where, 1, rounds=200, pause_seconds=0.005, anew=True)
        for task in doing:
            task.cancel()
        await asyncio.gather(*doing, return_exceptions=True)
    assert (200, 0) == (found["answers"], found["errors"])
    assert found["p99"] < 0.1
    assert found["max"] < 3
