"""The plans collector."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from exporter.collectors.base import Answer
from exporter.collectors.plans import Plan, Plans, PlansCollector
from exporter.errors import SchemaError, TooLargeError
from exporter.exposition import encode
from exporter.response import decode

NOON = datetime(2026, 3, 17, 12, 0, tzinfo=UTC)
TIMED: dict[str, object] = {"plan_code": "year", "name": "One year", "interval_days": 365}
METERED: dict[str, object] = {"plan_code": "metered", "name": "50 GB", "bandwidth_mb": 51_200}


async def fetch(plans: object, *, max_records: int = 20_000) -> Answer[Plans]:
    """Polls an API that answers with these plans; checks what it was asked."""

    async def get(path: str, query: Mapping[str, str]) -> Mapping[str, object]:
        assert ("/v2/plans", {}) == (path, query)
        return {"plans": plans}

    options = PlansCollector.options_type(max_records=max_records)
    return await PlansCollector(options).fetch(get, now=NOON, last=None)


async def test_the_documented_example_is_read() -> None:
    """One plan is limited by time, the other by bandwidth; they are sorted by code."""
    body = (Path(__file__).parent / "payloads" / "plans.json").read_bytes()
    answer = await fetch(decode(body)["plans"])
    expected = (
        Plan("coolvpn_default", "Default", "bandwidth"),
        Plan("coolvpn_one_month_unlimited", "One month service", "time"),
    )
    assert (expected, 2, ()) == (answer.content.plans, answer.records, answer.rejected)
    assert frozenset() == answer.unknown_fields


async def test_a_plan_becomes_a_series() -> None:
    """Its labels tell what it is, its value is 1."""
    content = (await fetch([TIMED])).content
    blocks = encode(PlansCollector.content_tables, content, "default")
    labels = 'account="default",plan_code="year",name="One year",kind="time"'
    assert {"wlvpn_plan_info": f"wlvpn_plan_info{{{labels}}} 1\n".encode()} == blocks


@pytest.mark.parametrize(
    "plans",
    [[METERED, TIMED], {"0": METERED, "1": TIMED}, {"year": TIMED, "metered": METERED}],
    ids=["list", "list with gaps", "map"],
)
async def test_a_list_and_a_map_are_the_same(plans: object) -> None:
    """The documentation shows the one and names the other."""
    content = (await fetch(plans)).content
    assert [("metered", "bandwidth"), ("year", "time")] == [
        (p.plan_code, p.kind) for p in content.plans
    ]


@pytest.mark.parametrize("plans", [[], {}], ids=str)
async def test_there_may_be_no_plans(plans: object) -> None:
    """An empty list is an answer, and no series."""
    answer = await fetch(plans)
    assert (Plans(()), 0) == (answer.content, answer.records)


@pytest.mark.parametrize("plans", [None, "year", 7, True], ids=str)
async def test_another_shape_is_refused(plans: object) -> None:
    """Neither a list nor a map."""
    with pytest.raises(SchemaError, match="plans: expected a list, got"):
        await fetch(plans)


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        (
            TIMED | {"plan_code": "x", "bandwidth_mb": 5},
            "interval_days, bandwidth_mb: both are there",
        ),
        ({"plan_code": "x"}, "interval_days, bandwidth_mb: neither is there"),
        ({"interval_days": 30}, "plan_code: absent"),
        ({"plan_code": 7, "interval_days": 30}, "plan_code: expected text, got a number"),
        (TIMED | {"name": []}, "name: expected text, got a list"),
        (TIMED, "a second record of this name"),
        (None, "record: expected an object, got null"),
    ],
    ids=["both", "neither", "no code", "code", "name", "duplicate", "null"],
)
async def test_a_bad_plan_is_left_out(plan: object, expected: str) -> None:
    """What it is limited by is not guessed, and no two series have one name."""
    good = [METERED | {"plan_code": f"plan-{number}"} for number in range(9)]
    answer = await fetch([TIMED, *good, plan])
    assert [f"plans[10]: {expected}"] == [str(error) for error in answer.rejected]
    assert 10 == answer.records


async def test_an_unknown_field_is_told() -> None:
    """The API's documentation and the API may drift apart."""
    assert {"colour"} == (await fetch([TIMED | {"colour": "red"}])).unknown_fields


async def test_too_many_plans_are_refused() -> None:
    """Each is a series."""
    with pytest.raises(TooLargeError, match="more than 1 records"):
        await fetch([TIMED, METERED], max_records=1)


def test_nobody_asks_until_it_is_turned_on() -> None:
    """Then once an hour; its ages are multiples of that."""
    options = PlansCollector.options_type()
    collector = PlansCollector(options)
    assert (False, timedelta(hours=1)) == (options.enabled, options.interval)
    assert (3 * 3600, 6 * 3600) == (collector.stale_seconds, collector.drop_seconds)


def test_a_short_interval_keeps_a_reading_for_an_hour() -> None:
    """Six short intervals would be too short an outage to lose it."""
    collector = PlansCollector(PlansCollector.options_type(interval=timedelta(minutes=1)))
    assert (180, 3600) == (collector.stale_seconds, collector.drop_seconds)
