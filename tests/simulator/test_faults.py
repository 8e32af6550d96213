"""The simulator's faults and their rules."""

import asyncio
import time

import aiohttp
import pytest

from exporter.simulator import Rule, Simulator, World
from exporter.simulator.app import SERVERS, Payload
from exporter.simulator.faults import FAULTS

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
        ("plans:hang", "endpoint 'plans' is not one of servers, usage, *"),
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


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_says_what_it_does(name: str) -> None:
    """Each fault has a sentence of its own."""
    assert (FAULTS[name].act.__doc__ or "").endswith(".")
