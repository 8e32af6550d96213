"""The optional collectors in the whole exporter: what is told of customers, and what never is."""

import asyncio
import base64
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families

from exporter.cli import main
from exporter.events import Event
from exporter.service import Service
from exporter.simulator import Rule, Simulator, World
from exporter.simulator.app import ACCOUNTS, USAGE, USAGE_REPORT
from exporter.simulator.faults import FAULTS
from tests.stage import Stage, staged
from tests.virtual_loop import VirtualClock, run

OPTIONAL = ("plans", "accounts", "usage_report")
EVENING = datetime(2026, 3, 17, 23, 50, tzinfo=UTC)
DAY = "wlvpn_customer_day_bytes"

FIRST_ID = 4711_0815_0000_0000
JANE = {"SEKRET.doe@example.com": "SEKRET-mail", "hair": "SEKRET-colour"}
PEOPLE = JANE | {"cust_user_id": "SEKRET-user", "metadata": {"SEKRET-name": "SEKRET-value"}}
MARKS = (f"{FIRST_ID}"[:8], "SEKRET")
"""All that is secret holds one of them."""

Capture = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch


def on(**intervals: str) -> dict[str, str]:
    """Options that turn all optional collectors on."""
    flags = {f"collectors.{name}.enabled": "true" for name in OPTIONAL}
    return flags | {f"collectors.{name}.interval": value for name, value in intervals.items()}


@contextlib.asynccontextmanager
async def played(
    clock: VirtualClock, world: World, **intervals: str
) -> AsyncIterator[tuple[Stage, Service]]:
    """The exporter polls everything, and nothing is wrong in the end."""
    staging = staged(clock, options=on(**intervals), world=world)
    async with staging as (stage, service), service.serving() as [stage.url]:
        yield stage, service
    assert [] == stage.problems


def accounts_told(stage: Stage) -> dict[tuple[str, str], int]:
    """Customers by group and status, as on the last page, without the zeros."""
    return {
        (key[1], key[2]): int(value)
        for key, value in stage.samples()
        if key[0] == "wlvpn_accounts" and value
    }


def accounts_counted(simulator: Simulator) -> dict[tuple[str, str], int]:
    """The same, counted from what the API would say."""
    names = {1: "active", 2: "suspended", 3: "closed", 5: "cap_reached"}
    world, now = simulator.world, simulator.clock.now()
    everybody = world.accounts(now, start=0, size=world.customers)
    sizes = Counter(customer.acct_group_id for customer in everybody)
    groups = {g: f"{g}" if size >= 5 else "other" for g, size in sizes.items()}
    counted = Counter(
        (groups[each.acct_group_id], names[each.acct_status_id]) for each in everybody
    )
    other = sum(count for (group, _), count in counted.items() if group == "other")
    return {key: n for key, n in counted.items() if key[0] != "other" or other >= 5}


# Readings


def test_what_is_told_is_what_the_api_said() -> None:
    """Plans, accounts and a distribution, counted a second time from the world itself."""

    async def scenario(clock: VirtualClock) -> None:
        async with played(clock, World(servers=12, customers=2_500)) as (stage, _):
            await stage.until(5, step=5)
            world = stage.simulator.world
            [now] = [r.at for r in stage.simulator.requests if r.path == USAGE_REPORT]
            assert accounts_counted(stage.simulator) == accounts_told(stage)
            assert len(world.plans) == stage.series("wlvpn_plan_info")
            used, total = world.report(now.date(), now.date(), now, after=0, size=9_999)
            assert total == stage.sample("wlvpn_customers_reported")
            assert total == stage.sample(f"{DAY}_gcount")
            assert sum(use.bandwidth for use in used) == stage.sample(f"{DAY}_gsum")
            mebibyte = 2**20
            for bound in (mebibyte, 256 * mebibyte, 4**5 * mebibyte):
                expected = sum(use.bandwidth <= bound for use in used)
                exponent = f"{bound:.15e}".split("e")
                le = f"{exponent[0].rstrip('0').rstrip('.')}e{exponent[1]}"
                assert expected == stage.sample(f"{DAY}_bucket", le)
            assert 2_500 == stage.sample("wlvpn_records", "accounts")

    run(scenario)


def test_the_report_ends_with_its_day_and_begins_anew() -> None:
    """At midnight its series end; seconds later the new day has nobody, which is not held."""

    async def scenario(clock: VirtualClock) -> None:
        world = World(servers=12, customers=400)
        async with played(clock, world, usage_report="7m") as (stage, _):
            await stage.until(9 * 60 + 58, step=300)
            assert stage.sample("wlvpn_customers_reported") > 100
            await stage.until(4, step=4)
            assert (0, 0) == (stage.series("wlvpn_customers_reported"), stage.series(f"{DAY}_gsum"))
            await stage.until(10, step=10)
            assert (1, 0) == (stage.series("wlvpn_customers_reported"), stage.series(f"{DAY}_gsum"))
            assert (0, 1) == (
                stage.sample("wlvpn_customers_reported"),
                stage.sample("wlvpn_up", "usage_report"),
            )
            await stage.until(7200, step=600)
            assert stage.sample("wlvpn_customers_reported") > 5
            held = [v for k, v in stage.samples() if k[0] == "wlvpn_readings_held_total"]
            assert 0 == sum(held)

    run(scenario, start=EVENING)


@pytest.mark.parametrize("page", [1, 2, 3, 4])
def test_a_failed_page_leaves_the_last_reading(page: int) -> None:
    """Of four pages, the last is empty, one fails: the others are not told, nothing is lost."""

    def spoil(endpoint: str, payload: dict[str, object]) -> object:
        if endpoint == "accounts" and payload["page"] == page:
            return {"api_status": 0, "error": "Not now."}
        return payload

    async def scenario(clock: VirtualClock) -> None:
        world = World(servers=12, customers=2_500)
        async with played(clock, world, accounts="60s") as (stage, _):
            await stage.until(5, step=5)
            before = accounts_told(stage)
            stage.simulator.rewrite = spoil
            await stage.until(60, step=60)
            assert (0, 1) == (
                stage.sample("wlvpn_up", "accounts"),
                stage.sample("wlvpn_poll_failures_total", "accounts", "api_error"),
            )
            assert before == accounts_told(stage)
            assert before
            asked = [r.query["page"] for r in stage.simulator.requests if r.path == ACCOUNTS]
            assert ["1", "2", "3", "4", *map(str, range(1, page + 1))] == asked

    run(scenario)


def test_a_page_that_fails_in_passing_is_asked_for_again() -> None:
    """Only that one; the poll goes on from there."""

    async def scenario(clock: VirtualClock) -> None:
        world = World(servers=12, customers=2_500)
        async with staged(clock, options=on(), world=world) as (stage, service):
            stage.simulator.rules = [Rule("accounts", "status", "503", count=1)]
            async with service.serving() as [stage.url]:
                await stage.until(10, step=10)
            asked = [r.query["page"] for r in stage.simulator.requests if r.path == ACCOUNTS]
            assert (["1", "1", "2", "3", "4"], 2_500) == (
                asked,
                stage.sample("wlvpn_records", "accounts"),
            )
        assert [] == stage.problems

    run(scenario)


def test_pages_are_not_asked_for_in_a_burst() -> None:
    """Ten in a second at the most, the first at once; servers and usage do not wait."""

    async def scenario(clock: VirtualClock) -> None:
        world = World(servers=12, customers=12_000)
        async with played(clock, world) as (stage, _):
            await stage.until(5, step=5)
            paths: dict[str, list[datetime]] = {}
            for request in stage.simulator.requests:
                paths.setdefault(request.path, []).append(request.at)
            for path, count in ((ACCOUNTS, 13), (USAGE_REPORT, 2)):
                began = paths[path][0] - min(map(min, paths.values()))
                pauses = [(after - at).total_seconds() for at, after in pairwise(paths[path])]
                assert [0.1] * (count - 1) == pytest.approx(pauses, abs=0.02)
                assert began < timedelta(seconds=0.05)
            assert max(paths[USAGE]) - min(paths[USAGE]) < timedelta(seconds=0.05)
            assert 2 == len(paths[USAGE])

    run(scenario, start=EVENING)


@pytest.mark.parametrize("endpoint", ["accounts", "usage_report"])
def test_the_pauses_count(endpoint: str) -> None:
    """A poll has 7.5 seconds here, which do for 13 pages, or 2 chunks, but not for the pauses."""
    latency = {"accounts": "0.5", "usage_report": "3.72"}[endpoint]

    async def scenario(clock: VirtualClock) -> None:
        world = World(servers=12, customers=12_000)
        async with staged(clock, options=on(**{endpoint: "15s"}), world=world) as (stage, service):
            stage.simulator.rules = [Rule(endpoint, "latency", latency)]
            async with service.serving() as [stage.url]:
                await stage.until(9, step=9)
            assert 1 == stage.sample("wlvpn_poll_failures_total", endpoint, "timeout")

    run(scenario, start=EVENING)


def test_pages_that_take_too_long_fail_the_poll() -> None:
    """All of them together have the time of one poll, and the last reading stays."""

    async def scenario(clock: VirtualClock) -> None:
        world = World(servers=12, customers=2_500)
        async with played(clock, world, accounts="60s") as (stage, _):
            await stage.until(5, step=5)
            before = accounts_told(stage)
            stage.simulator.rules = [Rule("accounts", "latency", "9")]
            await stage.until(85, step=85)
            assert 1 == stage.sample("wlvpn_poll_failures_total", "accounts", "timeout")
            assert before == accounts_told(stage)
            assert before

    run(scenario)


def test_the_fall_of_a_day_is_doubted() -> None:
    """Within one day customers do not vanish: such a report is held, as any other reading."""

    async def scenario(clock: VirtualClock) -> None:
        world = World(servers=12, customers=400)
        async with played(clock, world, usage_report="60s") as (stage, _):
            await stage.until(5, step=5)
            before = stage.sample("wlvpn_customers_reported")
            stage.simulator.rules = [Rule("usage_report", "gone", count=1)]
            await stage.until(58, step=58)
            assert before == stage.sample("wlvpn_customers_reported")
            assert 1 == stage.sample("wlvpn_readings_held_total", "usage_report", "empty")

    run(scenario)


# Nobody is named


@dataclass
class Told:
    """Collects all that the exporter says, and what in it is secret.

    Attributes:
        found: where it was found.
    """

    found: list[str] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        """Hears what only its own parts hear."""
        self.judge("event", repr(event))

    def judge(self, place: str, text: str) -> None:
        """Looks for each mark: raw, and in base64, whatever stands before it."""
        for mark in MARKS:
            encoded = [base64.b64encode(b"x" * n + mark.encode())[n + 1 : -4] for n in range(3)]
            forms = [mark, *(form.decode() for form in encoded)]
            self.found += [f"{place}: {form}" for form in forms if form in text]


def with_people(endpoint: str, payload: dict[str, Any]) -> object:
    """Gives each customer a name, an address for a member, and metadata that may be nowhere."""
    if endpoint not in ("accounts", "usage_report"):
        return payload
    people = PEOPLE if endpoint == "accounts" else JANE
    return {**payload, "customers": [each | people for each in payload["customers"]]}


def refusing(endpoint: str, payload: dict[str, object]) -> object:
    """Refuses, and names somebody."""
    error = f"customer {FIRST_ID + 17} (SEKRET-user) is broken"
    return {"api_status": 0, "error": error} if endpoint in OPTIONAL[1:] else payload


def test_marks_are_found() -> None:
    """The search itself works."""
    for mark in MARKS:
        for text in (mark, base64.b64encode(f"id {mark}!".encode()).decode()):
            told = Told()
            told.judge("text", f"<{text}>")
            assert told.found


async def _look(stage: Stage, told: Told) -> None:
    """Reads all there is to read."""
    for accept in ("text/plain;version=0.0.4", "application/openmetrics-text"):
        told.judge("metrics", await stage.get("/metrics", {"Accept": accept}))
    for accept in ("text/html", "application/json"):
        told.judge("status", await stage.get("/", {"Accept": accept}))
    told.judge("log", stage.log.getvalue())


def test_no_fault_names_a_customer() -> None:
    """Whatever goes wrong, no page, line at debug or event holds an id, a name or metadata."""
    told = Told()

    async def scenario(clock: VirtualClock) -> None:
        world = World(servers=12, customers=60, first_id=FIRST_ID)
        intervals = dict.fromkeys(OPTIONAL, "15s")
        async with staged(clock, options=on(**intervals), world=world) as (stage, service):
            service.listeners.append(told)
            stage.simulator.rewrite = with_people
            async with service.serving() as [stage.url]:
                await stage.until(5, step=5)
                assert {60.0} == {stage.sample("wlvpn_records", "accounts")}
                for name, fault in FAULTS.items():
                    if fault.only:
                        continue
                    stage.simulator.rules = [Rule(each, name, fault.default) for each in OPTIONAL]
                    await clock.sleep(16)
                    await _look(stage, told)
                    stage.simulator.rules = []
                    await clock.sleep(60)
                stage.simulator.rewrite = refusing
                await clock.sleep(70)
                await _look(stage, told)
                await stage.scrape()
                assert stage.sample("wlvpn_poll_failures_total", "accounts", "api_error") > 1
            sent = json.dumps([answer.payload for answer in stage.simulator.answers], default=str)
            assert "SEKRET" in sent
        assert [] == stage.problems

    run(scenario, start=EVENING.replace(hour=18))
    assert [] == told.found


def test_no_offset_is_told() -> None:
    """The id that a chunk goes on from is in a request's URL, and nowhere else."""
    told = Told()

    async def scenario(clock: VirtualClock) -> None:
        world = World(servers=12, customers=12_000, first_id=FIRST_ID)
        async with staged(clock, options=on(), world=world) as (stage, service):
            service.listeners.append(told)
            async with service.serving() as [stage.url]:
                await clock.sleep(10)
                await _look(stage, told)
            reported = [r for r in stage.simulator.requests if r.path == USAGE_REPORT]
            assert MARKS[0] in reported[-1].query["cust_id_offset"]

    run(scenario, start=EVENING)
    assert [] == told.found


@pytest.mark.parametrize("fault", ["", "capacity=-1", "capacities=null", "status=500", "refuse"])
@pytest.mark.parametrize(
    "words",
    [["once"], ["once", "--format=openmetrics"], ["check", "--probe"]],
    ids=["text", "openmetrics", "probe"],
)
async def test_no_command_names_a_customer(
    words: list[str], fault: str, capsys: Capture, monkeypatch: Patch
) -> None:
    """Neither in results nor in errors."""
    world = World(servers=5, customers=60, first_id=FIRST_ID)
    async with Simulator(world, key="the-key") as simulator:
        simulator.rewrite = refusing if fault == "refuse" else with_people
        if fault not in ("", "refuse"):
            simulator.rules = [Rule.parse(f"{name}:{fault}") for name in OPTIONAL]
        variables: Mapping[str, str] = on() | {"base_url": simulator.url, "api_key": "the-key"}
        for name, value in variables.items():
            monkeypatch.setenv(f"WLVPN_{name.replace('.', '__').upper()}", value)
        await asyncio.to_thread(main, [*words, "--log.level", "debug"])
    text = "".join(capsys.readouterr())
    told = Told()
    told.judge("output", text)
    assert [] == told.found
    assert "accounts" in text
    if words[-1] == "--probe" and not fault:
        assert 2 == text.count("Unknown fields in a record: (not named), hair.")


# Both formats


@pytest.mark.parametrize("form", ["text", "openmetrics"])
def test_both_formats_are_read(form: str) -> None:
    """Prometheus' own library reads the distribution from either."""
    found: dict[str, float] = {}

    async def scenario(clock: VirtualClock) -> None:
        async with played(clock, World(servers=12, customers=400)) as (stage, _):
            await clock.sleep(5)
            accept = "text/plain" if form == "text" else "application/openmetrics-text"
            page = await stage.get("/metrics", {"Accept": accept})
            parse = (
                text_string_to_metric_families
                if form == "text"
                else openmetrics_parser.text_string_to_metric_families
            )
            for family in parse(page):
                found.update({sample.name: sample.value for sample in family.samples})

    run(scenario)
    assert found["wlvpn_customers_reported"] == found[f"{DAY}_gcount"] == found[f"{DAY}_bucket"] > 5
