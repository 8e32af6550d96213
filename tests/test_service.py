"""The whole exporter in one process, against the simulator on a real port, in virtual time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter.config import load
from exporter.errors import ApiError
from exporter.events import Accepted, Held
from exporter.exposition import Format
from exporter.poll import Poller
from exporter.service import Service
from exporter.settings import Settings
from exporter.simulator import Rule, Simulator, World
from exporter.simulator.app import SERVERS, Payload
from exporter.simulator.world import Usage
from tests.conftest import Configure
from tests.manual_clock import ManualClock

UNSET = "0.0.0.0"  # noqa: S104 - the documentation's own example of an address
UNITS = {"bytes": "bandwidth", "connections": "connections", "customers": "customers"}

Samples = dict[tuple[str, ...], float]


@asynccontextmanager
async def polling(
    settings: Settings, clock: ManualClock, *, runtime: bool = True
) -> AsyncIterator[tuple[Service, Poller, Poller]]:
    """The parts without the scheduler: the test decides when polls happen."""
    service = Service(settings, clock=clock, runtime=runtime)
    async with service.pollers() as (servers, usage):
        yield service, servers, usage


def families(service: Service, form: Format = "openmetrics") -> dict[str, Metric]:
    head, tail = service.store.body(form).finish(service.telemetry.tail(form), gzip=False)
    parse = parse_openmetrics if form == "openmetrics" else parse_text
    return {family.name: family for family in parse((head + tail).decode())}


def samples(service: Service, name: str, *labels: str) -> Samples:
    """The samples of a family by the values of some labels."""
    family = families(service).get(name)
    found = family.samples if family else []
    return {tuple(s.labels.get(label, "") for label in labels): s.value for s in found}


def health(service: Service, name: str, collector: str, **labels: str) -> float:
    """One of our own samples."""
    wanted = {"account": "default", "collector": collector, **labels}
    found = families(service)[name.removesuffix("_total")].samples
    [value] = [s.value for s in found if s.labels == wanted and s.name == name]
    return value


def rewrite_servers(payload: Payload) -> Payload:
    """Hands out what the documentation allows and what is known to happen."""
    odd: dict[str, Payload] = {
        "lon-a01.wlvpn.com": {"country": "UK", "city": "London", "capacity": "100", "ip": "::1"},
        "sao-a01.wlvpn.com": {"country": "BR", "city": "São Paulo", "capacity": 0, "ip": UNSET},
        "zrh-a01.wlvpn.com": {
            "country": "CH",
            "city": "Zürich",
            "capacity": "7",
            "ip": "2a::1",
        },
        "odd-a01.wlvpn.com": {"country": "XX", "city": None, "capacity": 12.5, "load": [1, 2]},
    }
    return {**payload, "server": odd, "page": 1}


async def test_each_sample_is_a_record(
    configure: Configure, simulator: Simulator, clock: ManualClock
) -> None:
    """FQDN by FQDN and POP by POP, the page says what the API said, and nothing else."""
    async with polling(configure(), clock) as (service, servers, usage):
        await servers.poll()
        await usage.poll()
        listed, this_month, last_month = (answer.payload for answer in simulator.answers)
        assert isinstance(listed, dict)
        assert {
            (fqdn, fqdn.split("-")[0], server["country"], server["city"]): int(server["capacity"])
            / 100
            for fqdn, server in listed["server"].items()
        } == samples(service, "wlvpn_server_capacity_used_ratio", "fqdn", "pop", "country", "city")
        assert dict.fromkeys(
            ((fqdn, server["ip"]) for fqdn, server in listed["server"].items()), 1.0
        ) == samples(service, "wlvpn_server_info", "fqdn", "ip")
        for month, payload in (("month_to_date", this_month), ("previous_month", last_month)):
            assert isinstance(payload, dict)
            for unit, field in (
                ("bytes", "bandwidth"),
                *[(f, f) for f in ("connections", "customers")],
            ):
                assert {
                    (pop, code): cell[field]
                    for pop, codes in payload["data"].items()
                    for code, cell in codes.items()
                } == samples(service, f"wlvpn_usage_{month}_{unit}", "pop", "country_code")


async def test_odd_but_allowed_records_are_exported(
    configure: Configure, simulator: Simulator, clock: ManualClock
) -> None:
    """Text capacities, UK, UTF-8, IPv6, unknown fields and a missing city lose no server."""
    simulator.rewrite = lambda _, payload: rewrite_servers(payload)
    async with polling(configure(), clock) as (service, servers, _):
        await servers.poll()
        assert {
            ("lon-a01.wlvpn.com", "lon", "UK", "London", "::1"): 1.0,
            ("sao-a01.wlvpn.com", "sao", "BR", "São Paulo", UNSET): 1.0,
            ("zrh-a01.wlvpn.com", "zrh", "CH", "Zürich", "2a::1"): 1.0,
            ("odd-a01.wlvpn.com", "odd", "XX", "unknown", "unknown"): 1.0,
        } == samples(service, "wlvpn_server_info", "fqdn", "pop", "country", "city", "ip")
        assert {("lon",): 1.0, ("sao",): 0.0, ("zrh",): 0.07, ("odd",): 0.125} == samples(
            service, "wlvpn_server_capacity_used_ratio", "pop"
        )


async def test_an_empty_list_is_an_empty_map(
    configure: Configure, simulator: Simulator, clock: ManualClock
) -> None:
    """PHP's way to write an empty map is a reading without records, not a failure."""
    simulator.rewrite = lambda endpoint, payload: (
        {**payload, "server": []} if endpoint == "servers" else {"data": []}
    )
    async with polling(configure(), clock) as (service, servers, usage):
        assert isinstance(await servers.poll(), Accepted)
        assert isinstance(await usage.poll(), Accepted)
        assert (0, 0) == tuple(health(service, "wlvpn_records", c) for c in ("servers", "usage"))
        assert {} == samples(service, "wlvpn_server_capacity_used_ratio")


async def test_countries_are_asked_for_in_one_request(
    configure: Configure, simulator: Simulator, clock: ManualClock
) -> None:
    """One request for each poll names all countries; one without servers counts an explicit 0."""
    async with polling(configure(countries="fr, US,ZZ"), clock) as (service, servers, _):
        for _ in range(3):
            await servers.poll()
            clock.advance(60)
        assert [("GET", SERVERS, {"country": "FR,US,ZZ"})] * 3 == [
            (request.method, request.path, dict(request.query)) for request in simulator.requests
        ]
        found = samples(service, "wlvpn_servers", "country")
        assert {("FR",), ("US",), ("ZZ",)} == found.keys()
        assert 0 == found["ZZ",]
        assert found["FR",] > 0


async def test_both_formats_say_the_same(configure: Configure, clock: ManualClock) -> None:
    """Text and OpenMetrics hold equal families, but for how counters are named."""
    async with polling(configure(), clock, runtime=False) as (service, servers, usage):
        await servers.poll()
        await usage.poll()
        text, openmetrics = families(service, "text"), families(service, "openmetrics")
    assert {name.removesuffix("_total"): family.samples for name, family in text.items()} == {
        name: family.samples for name, family in openmetrics.items()
    }


MARCH = datetime(2026, 3, 1, tzinfo=UTC)
APRIL = datetime(2026, 4, 1, tzinfo=UTC)


def cells(usage: Usage, field: str) -> Samples:
    """What the simulated world says, in the shape of samples."""
    return {
        (pop, code): getattr(cell, field)
        for pop, codes in usage.items()
        for code, cell in codes.items()
    }


@pytest.mark.parametrize("corrections", [False, True], ids=["plain", "corrected"])
async def test_a_month_s_end(
    *, corrections: bool, simulator: Simulator, configure: Configure, clock: ManualClock
) -> None:
    """Month to date resets, the previous month settles, the observed counter is the true growth."""
    clock.simulated.set(datetime(2026, 3, 31, 12, 7, tzinfo=UTC))
    world = simulator.world = World(servers=90, corrections=corrections)
    start, end = clock.now(), datetime(2026, 4, 6, 12, 7, tzinfo=UTC)
    totals = []
    async with polling(configure(), clock) as (service, _, usage):
        while clock.now() <= end:
            assert isinstance(await usage.poll(), Accepted)
            last = service.store.last("default", "usage")
            assert last
            totals.append(sum(cell.bandwidth_bytes for cell in last.content.current.cells))
            # Every quarter of an hour around the month's start, and every hour before and after.
            near = abs(clock.now() - APRIL) < timedelta(hours=2)
            clock.advance(900 if near else 3600)
        clock.advance((end - clock.now()).total_seconds())
        observed = samples(service, "wlvpn_usage_observed_bytes", "pop", "country_code")
        previous = samples(service, "wlvpn_usage_previous_month_bytes", "pop", "country_code")
        corrected = samples(service, "wlvpn_usage_corrections")

    before = cells(world.usage(MARCH.date(), start.date(), start), "bandwidth")
    march = cells(world.true_usage(MARCH, APRIL), "bandwidth")
    april = cells(world.usage(APRIL.date(), end.date(), end), "bandwidth")
    assert march == previous
    gained = {
        key: march.get(key, 0) - before.get(key, 0) + april.get(key, 0) for key in march | april
    }
    if not corrections:
        assert gained == observed
        assert {(): 0.0} == corrected
    else:
        # A cell that was over-reported stays at its high water mark until it has grown past it.
        assert gained.keys() == observed.keys()
        over = {key: observed[key] - gained[key] for key in gained}
        limit = {key: 0.02 * (march.get(key, 0) + april.get(key, 0)) for key in over}
        assert [] == [key for key in over if not 0 <= over[key] <= limit[key]]
        assert sum(value == 0 for value in over.values()) > 0.95 * len(over)
        assert corrected[()] > 3

    assert 1 == sum(later < earlier / 10 for earlier, later in pairwise(totals))
    windows = [
        (request.query["start_date"], request.query["end_date"]) for request in simulator.requests
    ]
    assert [] == [(first, last) for first, last in windows if first[:7] != last[:7]]
    assert 121 == sum(
        request.query["start_date"] == "2026-03-01"
        for request in simulator.requests
        if request.at >= APRIL
    )


async def test_a_fallen_answer_is_held_and_then_believed(
    configure: Configure, simulator: Simulator, clock: ManualClock
) -> None:
    """Half the fleet gone at once is asked for again; the second such answer counts."""
    async with polling(configure(), clock) as (service, servers, _):
        await servers.poll()
        simulator.rewrite = lambda _, payload: {
            **payload,
            "server": dict(list(payload["server"].items())[:59]),  # type: ignore[attr-defined]
        }
        assert Held("shrunk", records=59, last_records=120) == await servers.poll()
        assert 120 == len(samples(service, "wlvpn_server_info", "fqdn"))
        assert 0 == health(service, "wlvpn_up", "servers")
        assert isinstance(await servers.poll(), Accepted)
        assert 59 == len(samples(service, "wlvpn_server_info", "fqdn"))
        simulator.rewrite = lambda _, payload: {**payload, "server": []}
        assert Held("empty", records=0, last_records=59) == await servers.poll()
        simulator.rewrite = None
        assert isinstance(await servers.poll(), Accepted)
        held = families(service)["wlvpn_readings_held"].samples
        assert {("servers", "empty"): 1, ("servers", "shrunk"): 1} == {
            (s.labels["collector"], s.labels["reason"]): s.value for s in held if s.value
        }


async def test_a_closed_month_that_vanishes_is_held(
    configure: Configure, simulator: Simulator, clock: ManualClock
) -> None:
    """The month before is guarded like this one, though the answer is about both."""
    clock.simulated.set(datetime(2026, 4, 2, 12, tzinfo=UTC))

    def lose_march(_: str, payload: Payload) -> Payload:
        is_march = simulator.requests[-1].query["start_date"] == "2026-03-01"
        return {"data": []} if is_march else payload

    async with polling(configure(), clock) as (service, _, usage):
        await usage.poll()
        shown = samples(service, "wlvpn_usage_previous_month_bytes", "pop", "country_code")
        simulator.rewrite = lose_march
        clock.advance(3600)
        assert Held("empty", records=0, last_records=len(shown)) == await usage.poll()
        simulator.rewrite = None
        assert isinstance(await usage.poll(), Accepted)
        again = samples(service, "wlvpn_usage_previous_month_bytes", "pop", "country_code")
        assert shown.keys() == again.keys()


async def test_a_second_loss_is_no_agreement(
    configure: Configure, simulator: Simulator, clock: ManualClock
) -> None:
    """What is doubted is believed once two answers in a row agree, not when each loses more."""
    listed = [120, 50, 20, 0, 49, 51]

    def shrink(_: str, payload: Payload) -> Payload:
        servers: Payload = payload["server"]  # type: ignore[assignment] # the API's map
        return {**payload, "server": dict(list(servers.items())[: listed.pop(0)])}

    simulator.rewrite = shrink
    async with polling(configure(), clock) as (_, servers, __):
        outcomes = [await servers.poll() for _ in list(listed)]
    assert ["", "shrunk", "shrunk", "empty", "shrunk", ""] == [
        outcome.reason if isinstance(outcome, Held) else "" for outcome in outcomes
    ]


async def test_a_failed_poll_keeps_the_last_reading(
    configure: Configure, simulator: Simulator, clock: ManualClock
) -> None:
    """During an outage the last values stand still, with their age and the reason in sight."""
    async with polling(configure(), clock) as (service, servers, _):
        await servers.poll()
        good = samples(service, "wlvpn_server_capacity_used_ratio", "fqdn")
        success = health(service, "wlvpn_last_success_timestamp_seconds", "servers")
        assert clock.now().timestamp() == success
        simulator.rules = (Rule("servers", "status", "500"),)
        for _ in range(3):
            clock.advance(60)
            assert isinstance(await servers.poll(), ApiError)
        assert good == samples(service, "wlvpn_server_capacity_used_ratio", "fqdn")
        assert success == health(service, "wlvpn_last_success_timestamp_seconds", "servers")
        assert {"wlvpn_up": 0, "wlvpn_consecutive_failures": 3, "wlvpn_data_stale": 1} == {
            name: health(service, name, "servers")
            for name in ("wlvpn_up", "wlvpn_consecutive_failures", "wlvpn_data_stale")
        }
        assert 3 == health(service, "wlvpn_poll_failures_total", "servers", reason="server_error")
        assert 6 == health(service, "wlvpn_api_requests_total", "servers", code="500")
        assert 3 == health(service, "wlvpn_api_retries_total", "servers", reason="server_error")
        simulator.rules = ()
        await servers.poll()
        assert {"wlvpn_up": 1, "wlvpn_consecutive_failures": 0, "wlvpn_data_stale": 0} == {
            name: health(service, name, "servers")
            for name in ("wlvpn_up", "wlvpn_consecutive_failures", "wlvpn_data_stale")
        }


async def test_a_source_that_stands_still_is_told(
    configure: Configure, simulator: Simulator, clock: ManualClock
) -> None:
    """A poll that brings the same content is a success and no change."""
    async with polling(configure(), clock) as (service, servers, _):
        changed = clock.now().timestamp()
        await servers.poll()
        # The simulated fleet moves with its clock; here it stands while the exporter's goes on.
        first = simulator.answers[-1].payload
        simulator.rewrite = lambda _, __: first
        clock.advance(60)
        await servers.poll()
        assert (changed, changed + 60) == (
            health(service, "wlvpn_source_changed_timestamp_seconds", "servers"),
            health(service, "wlvpn_last_success_timestamp_seconds", "servers"),
        )
        simulator.rewrite = None
        clock.advance(3600)
        await servers.poll()
        assert changed + 3660 == health(
            service, "wlvpn_source_changed_timestamp_seconds", "servers"
        )


async def test_a_degraded_collector_gets_one_attempt(
    configure: Configure, simulator: Simulator, clock: ManualClock
) -> None:
    """After five failed polls each further one costs a single request."""
    simulator.rules = (Rule("servers", "status", "500"),)
    async with polling(configure(), clock) as (_, servers, _):
        for _ in range(5):
            await servers.poll()
        asked = len(simulator.requests)
        for _ in range(4):
            await servers.poll()
        assert 4 == len(simulator.requests) - asked


async def test_bad_records_are_counted_and_left_out(
    configure: Configure, simulator: Simulator, clock: ManualClock
) -> None:
    """A server whose capacity makes no sense has no series, and the counter says so."""

    def spoil(_: str, payload: Payload) -> Payload:
        servers = payload["server"]
        assert isinstance(servers, dict)
        first = next(iter(servers))
        return {**payload, "server": {**servers, first: {**servers[first], "capacity": 101}}}

    simulator.rewrite = spoil
    async with polling(configure(), clock) as (service, servers, _):
        outcome = await servers.poll()
        assert isinstance(outcome, Accepted)
        assert (119, 1) == (outcome.records, len(outcome.rejected))
        assert 1 == health(service, "wlvpn_records_rejected_total", "servers", reason="schema")


async def test_every_self_metric_exists_before_the_first_poll(
    configure: Configure, clock: ManualClock
) -> None:
    """Each account, collector and enum value has its series at 0 from the start."""
    service = Service(configure(), clock=clock)
    found = families(service)
    assert 20 * 2 == len(found["wlvpn_poll_failures"].samples)
    assert 20 * 2 == len(found["wlvpn_api_retries"].samples)
    assert 20 * 2 == len(found["wlvpn_records_rejected"].samples)
    assert 2 * 2 == len(found["wlvpn_readings_held"].samples)
    assert 12 * 2 == len(found["wlvpn_api_requests"].samples)
    assert [] == found["wlvpn_records"].samples
    assert {
        "wlvpn_exporter_build_info",
        "process_resident_memory_bytes",
        "python_info",
    } <= found.keys()
    assert [] == [name for name in found if name.endswith("_created")]
    known = {"wlvpn_poll_interval_seconds": [60, 900], "wlvpn_data_ttl_seconds": [600, 93600]}
    for name in ("wlvpn_up", "wlvpn_last_success_timestamp_seconds", *known):
        assert known.get(name, [0, 0]) == [s.value for s in found[name].samples]


async def test_the_tail_is_rendered_at_most_once_a_second(
    configure: Configure, clock: ManualClock
) -> None:
    """Scrapes in between share the same bytes, whatever happens: polls come in bursts of events."""
    async with polling(configure(), clock) as (service, servers, _):
        await servers.poll()
        tail = service.telemetry.tail("text")
        assert tail is service.telemetry.tail("text")
        clock.advance(0.9)
        await servers.poll()
        assert tail is service.telemetry.tail("text")
        clock.advance(0.1)
        assert tail is not service.telemetry.tail("text")


async def test_the_tail_tells_at_once_that_a_collector_came_up_or_went_down(
    configure: Configure, clock: ManualClock, simulator: Simulator
) -> None:
    """No page shows a first reading beside `wlvpn_up` 0, nor an outage a second later."""
    async with polling(configure(), clock) as (service, servers, _):
        assert 0 == health(service, "wlvpn_up", "servers")
        await servers.poll()
        assert 1 == health(service, "wlvpn_up", "servers")
        simulator.rules = (Rule("servers", "status", "401"),)
        await servers.poll()
        assert 0 == health(service, "wlvpn_up", "servers")


async def test_several_accounts_are_apart(
    simulator: Simulator, clock: ManualClock, tmp_path: Path
) -> None:
    """Each account is polled with its own key, and its failure is its own."""
    file = tmp_path / "accounts.yml"
    file.write_text(
        "accounts: {brand-a: {api_key: demo-key}, brand-b: {api_key: wrong, countries: [FR]}}"
    )
    settings = load({"config.file": str(file), "base_url": simulator.url})
    service = Service(settings, clock=clock)
    async with service.pollers() as pollers:
        assert [
            ("brand-a", "servers"),
            ("brand-a", "usage"),
            ("brand-b", "servers"),
            ("brand-b", "usage"),
        ] == [(poller.account, poller.collector.name) for poller in pollers]
        for poller in pollers:
            await poller.poll()
    ups = {(s.labels["account"], s.value) for s in families(service)["wlvpn_up"].samples}
    assert {("brand-a", 1.0), ("brand-b", 0.0)} == ups
    assert {("brand-a",)} == samples(service, "wlvpn_server_info", "account").keys()
