"""What a scrape costs does not grow with the fleet, and no scrape waits for a poll.

Each verdict is a ratio of two figures of the same moments, the least of some rounds, so that a busy
machine hardly changes it; beside each stands a test that it would notice.
"""

import asyncio
import gc
import gzip
import http.client
import json
import sys
import time
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random
from types import FrameType
from urllib.parse import urlsplit

import pytest

from exporter.api import Api
from exporter.clock import SystemClock
from exporter.collectors.servers import Server, Servers, ServersCollector
from exporter.errors import ApiError, SchemaError
from exporter.events import Accepted, PollEnded
from exporter.exposition import Body, Format, body
from exporter.key import Key
from exporter.listener import listen
from exporter.poll import Poller
from exporter.snapshot import Reading, Store
from exporter.status import Status
from exporter.telemetry import Telemetry
from exporter.web import Web
from tests.inline_loop import InlineLoop

FEW, MANY = 500, 10_000
MEGABYTE = 1_000_000
SCRAPES = 40
ROUNDS = 7
MOST_GROWTH = 3.0  # of a cost; seen: 0.8 to 1.2, and 8 to 10 where each scrape compresses anew
MOST_HELD = 0.15  # of a poll's duration; seen: 0.04, and 0.2 if one of its steps has no thread


class Rendering(Store):
    """A store that makes its page of encoded lines for each scrape; most exporters do more."""

    def body(self, form: Format) -> Body:
        """Makes the page."""
        blocks = [{**slot.content_blocks, **slot.tally_blocks} for slot in self.slots()]
        return body(ServersCollector.metrics(), blocks, form)


def fleet(servers: int) -> Servers:
    """Servers that are all alike."""
    names = [f"par-{number:06}.wlvpn.com" for number in range(servers)]
    return Servers(tuple(Server(n, "par", "FR", "Paris", "192.0.2.1", 0.5) for n in names), ())


@asynccontextmanager
async def serving(kind: type[Store], servers: int) -> AsyncIterator[str]:
    """The page of a fleet on a real port; gives the URL."""
    clock = SystemClock()
    store = kind(
        [("default", ServersCollector(ServersCollector.options_type()))],
        clock=clock,
        emit=lambda _: None,
    )
    reading = Reading(fleet(servers), servers, clock.now(), clock.monotonic())
    await store.accept("default", "servers", reading)
    web = Web(
        store=store,
        telemetry=Telemetry(store, clock=clock),
        status=Status(store, clock=clock, telemetry_path="/metrics"),
        is_alive=lambda: True,
        telemetry_path="/metrics",
    )
    async with listen(web.app(), ["127.0.0.1:0"], clock=clock) as [url]:
        yield url


def scrape(url: str, servers: int, times: int) -> None:
    """Scrapes over one connection, as Prometheus does."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    page = b""
    for _ in range(times):
        connection.request("GET", "/metrics", headers={"Accept-Encoding": "gzip"})
        page = connection.getresponse().read()
    connection.close()
    assert servers == gzip.decompress(page).count(b"\nwlvpn_server_info{")


async def cost_seconds(url: str, servers: int) -> float:
    """The time for which one scrape keeps the exporter's own thread busy."""
    began = time.thread_time()
    await asyncio.to_thread(scrape, url, servers, SCRAPES)
    return (time.thread_time() - began) / SCRAPES


async def growth(kind: type[Store]) -> float:
    """How many times dearer a scrape of the large fleet is than one of the small."""
    async with serving(kind, FEW) as small, serving(kind, MANY) as large:
        costs = [
            (await cost_seconds(small, FEW), await cost_seconds(large, MANY)) for _ in range(ROUNDS)
        ]
    few, many = zip(*costs, strict=True)
    return float(min(many) / min(few))


async def test_a_scrape_costs_the_same_whatever_the_size_of_the_fleet() -> None:
    """Twenty times the servers are more bytes to send, and nothing to compute."""
    assert await growth(Store) < MOST_GROWTH


async def test_the_growth_would_be_noticed() -> None:
    """It is beyond the limit as soon as pages are rendered when they are asked for."""
    assert MOST_GROWTH < await growth(Rendering)


def answer(random: Random) -> bytes:
    """What the API says, with other capacities each time."""
    members = {
        server.fqdn: {
            "country": server.country,
            "city": server.city,
            "capacity": random.randrange(101),
            "ip": server.ip,
        }
        for server in fleet(MANY).servers
    }
    text = json.dumps({"api_status": 1, "server": members}).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + text


@asynccontextmanager
async def polling(answers: Sequence[bytes]) -> AsyncIterator[Poller]:
    """A poller whose API has prepared what it says."""
    waiting = list(answers)

    async def tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(waiting.pop())
        await writer.drain()
        writer.close()

    clock, emit = SystemClock(), lambda _: None
    collector = ServersCollector(ServersCollector.options_type())
    async with await asyncio.start_server(tell, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        async with Api(
            account="default",
            base_url=f"http://{host}:{port}",
            key=Key(lambda: "demo-key"),
            clock=clock,
            random=Random(1),
            emit=emit,
        ) as api:
            store = Store([("default", collector)], clock=clock, emit=emit)
            store.body("text")  # somebody scrapes it
            yield Poller(
                account="default", collector=collector, api=api, store=store, clock=clock, emit=emit
            )


async def held(poller: Poller) -> float:
    """The longest time for which a poll let nobody else on the loop, as a share of its own."""
    poll = asyncio.create_task(poller.poll())
    began = last = time.perf_counter()
    longest = 0.0
    while not poll.done():
        await asyncio.sleep(0)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    assert isinstance(await poll, Accepted)
    return longest / (last - began)


async def least_held() -> float:
    """What is left of it when the machine is left out."""
    random = Random(1)
    async with polling([answer(random) for _ in range(ROUNDS)]) as poller:
        return min([await held(poller) for _ in range(ROUNDS)])


async def test_no_scrape_has_to_wait_for_a_poll() -> None:
    """The loop goes round while a large answer is decoded, checked, encoded and compressed."""
    assert await least_held() < MOST_HELD


def test_the_wait_would_be_noticed() -> None:
    """It is beyond the limit where the same work is done on the loop."""
    with asyncio.Runner(loop_factory=InlineLoop) as runner:
        assert MOST_HELD < runner.run(least_held())


def test_bad_records_are_counted_at_once() -> None:
    """Customers may bring 200,000 of them, and the event loop waits while they are counted."""
    clock, told, calls = SystemClock(), SchemaError("customers[0]: record: absent"), 0
    collector = ServersCollector(ServersCollector.options_type())
    store = Store([("default", collector)], clock=clock, emit=lambda _: None)
    telemetry = Telemetry(store, clock=clock)
    ended = PollEnded(
        account="default",
        collector="servers",
        at=clock.now(),
        duration_seconds=1,
        outcome=Accepted(9, rejected=(told,) * 5_000, changed=True),
    )

    def note(_: FrameType, event: str, __: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(note)
    try:
        telemetry(ended)
    finally:
        sys.setprofile(None)
    expected = b'collector="servers",reason="schema"} 5000.0\n'
    assert expected in telemetry.tail("text")
    assert calls < 1_000


def reply(text: bytes, *, length: int) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + text


LOOKS = 100
FAILURES = {
    "too_large": reply(b" " * 9 * MEGABYTE, length=9 * MEGABYTE),
    "truncated": reply(b" " * 7 * MEGABYTE, length=8 * MEGABYTE),
    "decode": reply(b" " * 7 * MEGABYTE, length=7 * MEGABYTE),
    "schema": reply(b'{"x": "' + b"y" * 7 * MEGABYTE + b'"}', length=7 * MEGABYTE + 9),
}


@pytest.mark.parametrize("reason", FAILURES)
async def test_a_failed_poll_leaves_nothing_large_behind(reason: str) -> None:
    """Not even for Python to find: it seldom looks, and polls may fail for a day."""
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        async with polling([FAILURES[reason]] * 9) as poller:
            left = [await _left_bytes(poller, reason) for _ in range(3)]
    finally:
        tracemalloc.stop()
        gc.enable()
    assert max(left) < MEGABYTE


async def _left_bytes(poller: Poller, reason: str) -> int:
    """The memory in use once a poll that failed as it should is over, also in its thread."""
    outcome = await poller.poll()
    assert isinstance(outcome, ApiError)
    assert reason == outcome.reason
    left, _ = tracemalloc.get_traced_memory()
    for _ in range(LOOKS):
        if left < MEGABYTE:
            break
        await asyncio.sleep(0.01)  # the thread tells how it ended before it lets go
        left, _ = tracemalloc.get_traced_memory()
    return left
