"""How often the API is asked when it is not well, counted by the API itself."""

import pytest

from exporter.simulator import Rule
from tests.stage import Stage, staged
from tests.virtual_loop import VirtualClock, run

DAY = 86_400
NOMINAL = DAY // 60 + DAY // 900
"""Requests of a good day: servers every minute, usage every quarter of an hour."""

RETRIES = 10


def asked(stage: Stage) -> dict[str, int]:
    """How many requests arrived, by collector."""
    paths = [request.path for request in stage.simulator.requests]
    servers = paths.count("/v2/servers")
    return {"servers": servers, "usage": len(paths) - servers}


@pytest.mark.parametrize("is_cold", [True, False], ids=["cold", "warm"])
@pytest.mark.parametrize("fault", ["status=503", "status=500", "close", "api_status"])
def test_an_outage_costs_no_more_than_peace(fault: str, *, is_cold: bool) -> None:
    """A day of it: less than a third of a good day's requests, usage hardly more than its own.

    The contract allows 1.05 times a good day's, and the budget of retries.
    """

    async def scenario(clock: VirtualClock) -> None:
        async with staged(clock, servers=3) as (stage, service):
            rules = [Rule.parse(f"*:{fault}")]
            stage.simulator.rules = rules if is_cold else ()
            async with service.serving():
                await clock.sleep(0 if is_cold else 3600)
                stage.simulator.rules = rules
                stage.simulator.requests.clear()
                await clock.sleep(DAY)
        found = asked(stage)
        assert sum(found.values()) < NOMINAL / 3
        assert found["usage"] <= 1.05 * DAY // 900 + RETRIES

    run(scenario)


def test_a_429_stops_what_is_under_way() -> None:
    """Usage is between its two requests when servers are told to stay away: the second waits."""

    async def scenario(clock: VirtualClock) -> None:
        async with staged(clock, servers=3) as (stage, service):
            rules = ("servers:status=429:count=1:retry_after=120", "usage:latency=1")
            stage.simulator.rules = [Rule.parse(rule) for rule in rules]
            async with service.serving():
                await clock.sleep(130)
        first, *_ = stage.simulator.requests
        seconds = [round((r.at - first.at).total_seconds()) for r in stage.simulator.requests]
        assert [0, 0] == [second for second in seconds if second < 120]
        assert 5 == len(seconds)

    run(scenario)


@pytest.mark.parametrize("status", [401, 403])
def test_a_revoked_key_is_hardly_tried(status: int) -> None:
    """A key that is refused for a day costs at most 110 requests for each collector."""

    async def scenario(clock: VirtualClock) -> None:
        async with staged(clock, servers=3) as (stage, service), service.serving():
            await clock.sleep(3600)
            stage.simulator.rules = [Rule.parse(f"*:status={status}")]
            stage.simulator.requests.clear()
            await clock.sleep(DAY)
        found = asked(stage)
        assert {"servers": True, "usage": True} == {c: 90 < n <= 110 for c, n in found.items()}

    run(scenario)


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("0", 1),
        ("7", 7),
        ("120", 120),
        ("900", 900),
        ("99999", 900),
        ("99999999999", 30),
        ("-5", 30),
        ("1.5", 30),
        ("soon", 30),
        ("", 30),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 1),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 900),
    ],
)
@pytest.mark.parametrize("limited", ["servers", "usage"])
def test_nobody_asks_before_retry_after(limited: str, told: str, seconds: int) -> None:
    """After a 429 no collector of the account asks until it may, and then one does."""

    async def scenario(clock: VirtualClock) -> None:
        async with staged(clock, servers=3) as (stage, service), service.serving():
            await clock.sleep(890)
            after = f":retry_after={told}" if told else ""
            stage.simulator.rules = [Rule.parse(f"{limited}:status=429:count=1{after}")]
            await clock.sleep(20)  # the poll after a quarter of an hour is the one refused
            requests = [r for r in stage.simulator.requests if r.status == 429]
            assert 1 == len(requests)
            await clock.sleep(seconds + 1000)
        [refused] = requests
        later = [
            (request.at - refused.at).total_seconds()
            for request in stage.simulator.requests
            if request.at > refused.at
        ]
        assert min(later) >= seconds
        assert min(later) <= max(60, seconds) + 1

    run(scenario)
