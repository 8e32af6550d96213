"""The simulator's faults and their rules."""

import asyncio
import random
import re
import time
from datetime import UTC, datetime

import aiohttp
import pytest

from exporter.simulator import Clock, Rule, Sent, Simulator, World
from exporter.simulator.app import SERVERS, Payload
from exporter.simulator.faults import FAULTS, LINE_FAULTS, Roster, describe
from tests.simulator.raw_client import connect, hear

INSTANT = datetime(2026, 7, 20, 14, 2, tzinfo=UTC)
HTTP_DATE = "Wed, 21 Oct 2026 07:28:00 GMT"


async def statuses(api: aiohttp.ClientSession, times: int, path: str = SERVERS) -> list[int]:
    seen = []
    for _ in range(times):
        async with api.get(path) as response:
            seen.append(response.status)
    return seen


def arrivals(simulator: Simulator) -> asyncio.Semaphore:
    """Get a semaphore that is released once for each request that reaches its fault."""
    arrived = asyncio.Semaphore(0)

    def honest(_endpoint: str, payload: Payload) -> object:
        arrived.release()
        return payload

    simulator.rewrite = honest
    return arrived


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("servers:hang", Rule("servers", "hang"), id="shortest"),
        pytest.param("*:latency=2.5", Rule("*", "latency", "2.5"), id="value"),
        pytest.param(
            "servers:status=503:count=3:probability=0.5",
            Rule("servers", "status", "503", count=3, probability=0.5),
            id="options",
        ),
        pytest.param(
            f"usage:status=429:retry_after={HTTP_DATE}:count=1",
            Rule("usage", "status", "429", count=1, retry_after=HTTP_DATE),
            id="a date with colons",
        ),
        pytest.param(
            "*:redirect=http://user:word@host:80/a:b:probability=0.5",
            Rule("*", "redirect", "http://user:word@host:80/a:b", probability=0.5),
            id="a URL with colons",
        ),
        pytest.param(
            'servers:verdict={"a":true,"b":[1]}:count=2',
            Rule("servers", "verdict", '{"a":true,"b":[1]}', count=2),
            id="JSON with colons",
        ),
        pytest.param("*:content_type=", Rule("*", "content_type"), id="an empty value"),
        pytest.param("line:tls=old", Rule("line", "tls", "old"), id="the line"),
    ],
)
def test_reads_rules(text: str, expected: Rule) -> None:
    """A rule is an endpoint, a fault, its value and options."""
    assert expected == Rule.parse(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "write ENDPOINT:FAULT"),
        ("servers", "write ENDPOINT:FAULT"),
        (
            "plan:hang",
            "endpoint 'plan' is not one of servers, usage, plans, accounts, usage_report, *, line",
        ),
        ("servers:explode", "fault 'explode' is not one of latency, status"),
        ("servers:status", "status needs a code of 200 to 599, as in status=503"),
        ("servers:status=99", "status needs a code of 200 to 599, as in status=503"),
        ("servers:status=503.5", "status needs a code of 200 to 599, as in status=503"),
        ("servers:latency=-1", "latency needs seconds >= 0, as in latency=2.5"),
        ("servers:latency=soon", "latency needs seconds >= 0, as in latency=2.5"),
        ("servers:latency=inf", "latency needs seconds >= 0, as in latency=2.5"),
        ("servers:hang=3", "hang takes no value, got '3'"),
        ("servers:hang:count=0", "count needs a whole number >= 1, as in count=3"),
        ("servers:hang:count", "count needs a whole number >= 1, as in count=3"),
        ("servers:hang:probability=2", "probability needs a number of 0 to 1"),
        ("servers:drip_head", "drip_head needs seconds >= 0, as in drip_head=0.5"),
        ("servers:drip_body=x", "drip_body needs seconds >= 0, as in drip_body=0.5"),
        ("servers:redirect", "redirect needs an address, as in redirect=http://"),
        ("servers:encoding=", "encoding needs a text, as in encoding=gzip"),
        ("servers:constant=1", "constant needs one of NaN, Infinity, -Infinity, 1e400, as in"),
        ("servers:capacity=", "capacity needs JSON, as in capacity=101"),
        ("servers:capacity=5_0", "capacity needs JSON, as in capacity=101"),
        ("servers:capacities=}", "capacities needs JSON, as in capacities=null"),
        ("servers:verdict=yes", "verdict needs JSON, or nothing, as in verdict=0"),
        ("servers:label=loud", "label needs one of newline, quote, backslash, sample, "),
        ("servers:map", "map needs one of missing, null, list, empty, text, number, as in"),
        ("servers:many=0", "many needs a whole number >= 1, as in many=20001"),
        ("servers:many=inf", "many needs a whole number >= 1, as in many=20001"),
        ("usage:correction", "correction needs a number, as in correction=0.9"),
        ("servers:correction=2", "correction goes with usage, not with servers"),
        ("servers:any=3", "any takes no value, got '3'"),
        ("servers:blackhole", "fault 'blackhole' is not one of latency, status"),
        ("line:hang", "fault 'hang' is not one of reset, silent, close, garbage, tls, refused"),
        ("line:silent=3", "silent takes no value, got '3'"),
        ("line:tls", "tls needs a context's name, as in tls=expired"),
        ("line:refused:count=1", "refused lasts: it takes neither count nor probability"),
        ("line:blackhole:probability=0.5", "blackhole lasts: it takes neither count nor"),
        ("line:reset:retry_after=2", "retry_after goes with status, not with reset"),
        ("servers:hang:count=inf", "count needs a whole number >= 1, as in count=3"),
        ("servers:hang:often=2", "option 'often' is not one of count, probability, retry_after"),
        ("servers:hang:retry_after=2", "retry_after goes with status, not with hang"),
    ],
)
def test_refuses_wrong_rules(text: str, expected: str) -> None:
    """A wrong rule is one line that quotes it and names the mend."""
    with pytest.raises(ValueError, match=r"^rule ") as refusal:
        Rule.parse(text)
    message = str(refusal.value)
    assert message.startswith(f"rule {text!r}: {expected}")
    assert "\n" not in message


@pytest.mark.parametrize("count", [0, -1])
def test_refuses_wrong_rules_made_in_code(count: int) -> None:
    """A rule that was not parsed is checked as well."""
    with pytest.raises(ValueError, match="count needs a whole number"):
        Rule("servers", "hang", count=count)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (400, "The request was unacceptable."),
        (429, "You are sending too many requests! Slow down!"),
        (503, "We had a problem with our server. Try again later."),
        (418, "I'm a Teapot"),
        (599, "Unknown error."),
    ],
)
async def test_fails_with_a_status(
    simulator: Simulator, api: aiohttp.ClientSession, code: int, expected: str
) -> None:
    """A status fault answers with the documented error, or HTTP's own words."""
    simulator.rules = [Rule("servers", "status", code)]
    async with api.get(SERVERS) as response:
        payload = await response.json()
    assert (code, {"api_status": 0, "error": expected}) == (response.status, payload)
    assert "Retry-After" not in response.headers
    assert code == simulator.requests[-1].status


@pytest.mark.parametrize("retry_after", ["7", HTTP_DATE, "soon"])
async def test_says_when_to_come_back(
    simulator: Simulator, api: aiohttp.ClientSession, retry_after: str
) -> None:
    """Retry-After is passed through, whatever it says."""
    simulator.rules = [Rule.parse(f"servers:status=429:retry_after={retry_after}")]
    async with api.get(SERVERS) as response:
        assert retry_after == response.headers["Retry-After"]


async def test_fails_in_the_body_alone(simulator: Simulator, api: aiohttp.ClientSession) -> None:
    """The API may fail under HTTP 200; the answer is kept as it was sent."""
    simulator.rules = [Rule("servers", "api_status")]
    async with api.get(SERVERS) as response:
        payload = await response.json()
    assert (response.status, payload["api_status"]) == (200, 0)
    assert payload == simulator.answers[-1].payload


@pytest.mark.parametrize("coding", ["gzip", "identity"])
async def test_cuts_the_body(simulator: Simulator, api: aiohttp.ClientSession, coding: str) -> None:
    """A cut body announces more than it brings, and is not kept as an answer."""
    simulator.rules = [Rule("servers", "truncate")]
    async with api.get(SERVERS, headers={"Accept-Encoding": coding}) as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
    assert int(response.headers["Content-Length"]) > 1_000
    assert (simulator.requests[-1].status, len(simulator.answers)) == (200, 0)


async def test_answers_late(simulator: Simulator, api: aiohttp.ClientSession) -> None:
    """Latency delays the honest answer."""
    simulator.rules = [Rule("servers", "latency", 0.05)]
    started = time.monotonic()
    assert await statuses(api, 1) == [200]
    assert time.monotonic() - started >= 0.05


async def test_late_answers_keep_their_place(
    simulator: Simulator, api: aiohttp.ClientSession
) -> None:
    """Requests are kept in the order they arrived, whichever was answered first."""
    simulator.rules = [Rule("*", "latency", 0.05, count=1)]
    arrived = arrivals(simulator)
    late = asyncio.create_task(statuses(api, 1))
    await arrived.acquire()
    await statuses(api, 1, "/nowhere")
    await late
    expected = [(SERVERS, 200), ("/nowhere", 404)]
    assert expected == [(request.path, request.status) for request in simulator.requests]


@pytest.mark.parametrize("fault", ["hang", "latency=3600"])
async def test_silence_lasts_until_the_client_leaves(
    simulator: Simulator, api: aiohttp.ClientSession, fault: str
) -> None:
    """No header comes; the request is on record, without a status, as soon as it arrives."""
    simulator.rules = [Rule.parse(f"servers:{fault}")]
    with pytest.raises(TimeoutError):
        await api.get(SERVERS, timeout=aiohttp.ClientTimeout(total=0.05))
    assert [request.status for request in simulator.requests] == [0]


@pytest.mark.parametrize("fault", ["hang", "latency=3600"])
async def test_stops_within_a_second(world: World, fault: str) -> None:
    """Waiting requests never keep a simulator from stopping."""
    simulator = Simulator(world, rules=[Rule.parse(f"*:{fault}")])
    arrived = arrivals(simulator)
    await simulator.start()
    headers = {"Authorization": aiohttp.encode_basic_auth("api-key", "demo-key")}
    async with (
        aiohttp.ClientSession(simulator.url, headers=headers) as session,
        asyncio.timeout(5),
    ):
        waiting = [asyncio.create_task(session.get(SERVERS)) for _ in range(3)]
        for _ in waiting:
            await arrived.acquire()
        started = time.monotonic()
        await simulator.stop()
        assert time.monotonic() - started < 1
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(outcome, aiohttp.ClientError) for outcome in outcomes)


async def test_a_count_is_used_up(simulator: Simulator, api: aiohttp.ClientSession) -> None:
    """A rule strikes as often as its count, then the next one is asked."""
    simulator.rules = [Rule("servers", "status", 503, count=2), Rule("*", "status", 500, count=1)]
    assert await statuses(api, 4) == [503, 503, 500, 200]


async def test_new_rules_start_anew(simulator: Simulator, api: aiohttp.ClientSession) -> None:
    """Replacing the rules gives them their counts back."""
    rules = (Rule("servers", "status", 503, count=1),)
    for _ in range(2):
        simulator.rules = rules
        assert await statuses(api, 2) == [503, 200]
    assert rules == simulator.rules


async def test_chance_repeats_itself(simulator: Simulator, api: aiohttp.ClientSession) -> None:
    """A probability strikes now and then, at the same requests in every run."""
    runs = []
    for _ in range(2):
        simulator.rules = [Rule("servers", "status", 503, probability=0.5)]
        runs.append(await statuses(api, 20))
    assert runs[0] == runs[1]
    assert 3 < runs[0].count(503) < 17


@pytest.mark.parametrize(
    ("endpoint", "path", "expected"),
    [
        pytest.param("usage", SERVERS, 200, id="another endpoint"),
        pytest.param("servers", "/nowhere", 404, id="unknown path"),
        pytest.param("*", "/nowhere", 503, id="all paths"),
        pytest.param("*", "/", 200, id="not the index"),
    ],
)
async def test_rules_keep_to_their_endpoint(
    simulator: Simulator, api: aiohttp.ClientSession, endpoint: str, path: str, expected: int
) -> None:
    """A rule strikes its endpoint only; the star strikes all but the index."""
    simulator.rules = [Rule(endpoint, "status", 503)]
    assert await statuses(api, 1, path) == [expected]


@pytest.mark.parametrize("endpoint", ["servers", "usage"])
def test_any_draws_all_that_fit(endpoint: str) -> None:
    """Sooner or later each fault that fits strikes, with its default, and no other."""
    roster = Roster([Rule("*", "any")], random.Random(1))
    drawn = {(rule.fault, rule.value) for _ in range(2_000) if (rule := roster.pick(endpoint))}
    expected = {
        (name, fault.default) for name, fault in FAULTS.items() if fault.only in ("", endpoint)
    }
    assert expected == drawn


async def test_any_repeats_itself() -> None:
    """The same seed draws the same faults at the same requests, another seed others."""
    runs = [await seen_under_any(World(seed=seed, servers=1)) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]
    assert len(set(runs[0])) > 5


async def seen_under_any(world: World) -> list[tuple[int, str, int]]:
    """What the witness is told of twenty requests."""
    told: asyncio.Queue[Sent] = asyncio.Queue()
    sent = []
    async with Simulator(world, Clock(INSTANT, 0), "s3cret", [Rule("*", "any")]) as simulator:
        simulator.witness = told.put_nowait
        for _ in range(20):
            client = await connect(simulator)
            await client.ask()
            sent.append(await asyncio.wait_for(told.get(), 5))
            await client.close()
    return [(one.status, one.content_type, len(one.body or b"")) for one in sent]


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, fault.default) for name, fault in FAULTS.items()],
)
def test_defaults_are_rules(name: str, value: str) -> None:
    """The value that `any` would use is one that a rule accepts, also as text."""
    expected = Rule("*", name, value)
    assert expected == Rule.parse(f"*:{name}={value}" if value else f"*:{name}")


@pytest.mark.parametrize("name", [*FAULTS, *LINE_FAULTS])
def test_every_fault_says_what_it_does(name: str) -> None:
    """Each fault has a sentence of its own, and the catalogue for people has it."""
    told = [faults[name].help for faults in (FAULTS, LINE_FAULTS) if name in faults]
    listed = describe()
    assert [] == [
        text for text in told if not text.endswith(".") or f"  {text}\n" not in listed + "\n"
    ]
    assert len(told) == len(re.findall(rf"^  {name}[= ]", listed, re.MULTILINE))


async def test_keeps_as_many_requests_as_told(world: World) -> None:
    """The oldest requests are forgotten, so that memory stays as it is."""
    async with Simulator(world, kept_requests=2) as simulator:
        for path in ("/a", "/b", "/c"):
            await hear(simulator, path)
        assert ["/b", "/c"] == [request.path for request in simulator.requests]
