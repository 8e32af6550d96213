"""The usage collector."""

import asyncio
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from exporter.collectors.base import Answer
from exporter.collectors.usage import (
    Cell,
    Detail,
    Gains,
    Growth,
    Key,
    MonthUsage,
    Previous,
    Usage,
    UsageCollector,
    UsageOptions,
)
from exporter.errors import ApiError, SchemaError, TooLargeError
from exporter.exposition import encode
from exporter.month import Month
from exporter.response import decode

PATH = "/v2/metrics/usage/pop_and_country/"
NOON = datetime(2026, 3, 17, 12, 0, tzinfo=UTC)
FEBRUARY, MARCH, APRIL, MAY = (Month(2026, number) for number in (2, 3, 4, 5))
QUARTER = timedelta(minutes=15)
USED = {"bandwidth": 9, "connections": 2, "customers": 1}
MOST = 212304205666

Window = tuple[str, str]


class RecordedApi:
    """Answers each window from its own payload's file or `data` map; remembers the windows."""

    def __init__(self, current: object, previous: object = "usage_none.json") -> None:
        self.answers = {"current": current, "previous": previous}
        self.now = NOON
        self.paths: set[str] = set()
        self.windows: list[Window] = []

    async def get(self, path: str, query: Mapping[str, str]) -> Mapping[str, object]:
        self.paths.add(path)
        self.windows.append((query["start_date"], query["end_date"]))
        asked = Month.of(datetime.fromisoformat(query["start_date"]))
        answer = self.answers["current" if asked == Month.of(self.now) else "previous"]
        if isinstance(answer, str):
            return decode((Path(__file__).parent / "payloads" / answer).read_bytes())
        return {"data": answer}

    async def poll(
        self, collector: UsageCollector, *, now: datetime, last: Usage | None = None
    ) -> Usage:
        """Polls at an instant; gives the reading."""
        self.now = now
        return (await collector.fetch(self.get, now=now, last=last)).content


def make(
    detail: Detail = "pop_country", *, settle_days: int = 5, max_records: int = 20_000
) -> UsageCollector:
    return UsageCollector(
        UsageOptions(detail=detail, settle_days=settle_days, max_records=max_records)
    )


async def fetch(
    current: object, detail: Detail = "pop_country", *, max_records: int = 20_000
) -> Answer[Usage]:
    collector = make(detail, max_records=max_records)
    return await collector.fetch(RecordedApi(current).get, now=NOON, last=None)


def cell(pop: str, country_code: str, *numbers: int) -> Cell:
    bandwidth, connections, customers = numbers
    return Cell(Key(pop, country_code), bandwidth, connections, customers)


def lines(content: Usage) -> list[str]:
    """The sample lines of a reading."""
    blocks = encode(UsageCollector.content_tables, content, "default")
    return b"".join(blocks.values()).decode().splitlines()


async def test_the_documented_example_is_read() -> None:
    """Cells come in the order of their keys, exactly as the API says them."""
    answer = await fetch("usage.json")
    expected = (
        cell("acc", "TR", 19996, 1, 1),
        cell("lax", "AU", 223, 1, 1),
        cell("lax", "US", MOST, 2, 2),
    )
    assert MonthUsage(MARCH, expected) == answer.content.current
    assert (3, (), frozenset()) == (answer.records, answer.rejected, answer.unknown_fields)


async def test_the_documented_example_becomes_series() -> None:
    """Gauges for both months, and the bounds of the current one in Unix time."""
    content = await RecordedApi({"par": {"FR": USED}}, "usage.json").poll(make(), now=NOON)
    expected = [
        'wlvpn_usage_month_to_date_bytes{account="default",pop="par",country_code="FR"} 9',
        'wlvpn_usage_month_to_date_connections{account="default",pop="par",country_code="FR"} 2',
        'wlvpn_usage_month_to_date_customers{account="default",pop="par",country_code="FR"} 1',
        'wlvpn_usage_previous_month_bytes{account="default",pop="acc",country_code="TR"} 19996',
        'wlvpn_usage_previous_month_bytes{account="default",pop="lax",country_code="AU"} 223',
        f'wlvpn_usage_previous_month_bytes{{account="default",pop="lax",country_code="US"}} {MOST}',
        'wlvpn_usage_previous_month_connections{account="default",pop="acc",country_code="TR"} 1',
        'wlvpn_usage_previous_month_connections{account="default",pop="lax",country_code="AU"} 1',
        'wlvpn_usage_previous_month_connections{account="default",pop="lax",country_code="US"} 2',
        'wlvpn_usage_previous_month_customers{account="default",pop="acc",country_code="TR"} 1',
        'wlvpn_usage_previous_month_customers{account="default",pop="lax",country_code="AU"} 1',
        'wlvpn_usage_previous_month_customers{account="default",pop="lax",country_code="US"} 2',
        'wlvpn_usage_month_start_timestamp_seconds{account="default"} 1772323200.0',
        'wlvpn_usage_month_end_timestamp_seconds{account="default"} 1775001600.0',
    ]
    assert expected == lines(content)


async def test_peculiar_cells_are_read() -> None:
    """Text for numbers, empty keys and empty lists for empty maps are no errors."""
    answer = await fetch("usage_peculiar.json")
    expected = (
        cell("lon", "GB", 2**63 - 1, 1, 1),
        cell("lon", "UK", 480, 3, 2),
        cell("lon", "unknown", 5, 0, 0),
        cell("unknown", "FR", 0, 0, 0),
    )
    assert (expected, ()) == (answer.content.current.cells, answer.rejected)
    assert frozenset({"sessions"}) == answer.unknown_fields


@pytest.mark.parametrize(
    "answer", ["usage_none.json", {}, [], {"par": []}, {"par": {}, "lax": []}], ids=str
)
async def test_an_empty_map_is_no_usage(answer: object) -> None:
    """At every level, also as the empty list of PHP."""
    content = (await fetch(answer)).content
    assert () == content.current.cells
    assert ["wlvpn_usage_month_start", "wlvpn_usage_month_end_t"] == [
        x[:23] for x in lines(content)
    ]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (None, "data: expected an object, got null"),
        ([{"par": {}}], "data: expected an object, got a list"),
        ({"par": None}, "1 of 1 records are bad, the first: par: record: expected an object"),
        ({"par": {"FR": 5}}, "the first: par.FR: record: expected an object, got a number"),
        ({"par": {"FR": []}}, "the first: par.FR: bandwidth: absent"),
        ({"par": {"FR": USED | {"bandwidth": -1}}}, "par.FR: bandwidth: not within 0"),
        ({"par": {"FR": USED | {"connections": 0.5}}}, "par.FR: connections: expected a whole"),
        ({"par": {"FR": USED | {"customers": None}}}, "par.FR: customers: expected a number"),
    ],
    ids=str,
)
async def test_another_shape_is_refused(data: object, told: str) -> None:
    """What is not the documented map of maps of cells is no reading."""
    with pytest.raises(SchemaError, match=re.escape(told)):
        await fetch(data)


async def test_an_answer_without_usage_is_refused() -> None:
    """No `data` member is not the same as no usage."""
    with pytest.raises(SchemaError, match="data: absent"):
        await fetch("servers.json")


async def test_a_bad_cell_is_left_out_and_named() -> None:
    """One in five is tolerated, never shown as 0."""
    answer = await fetch("usage_bad.json")
    told = [str(error) for error in answer.rejected]
    assert (4, ["lax.AU: bandwidth: not within 0..9.22337e+18"]) == (answer.records, told)
    assert {Key("lax", "AU")} == answer.content.current.unreadable


async def test_bad_cells_and_unknown_fields_of_both_months_are_told() -> None:
    """Also those of the month before."""
    api = RecordedApi("usage_bad.json", {"par": {c: USED | {c: 1} for c in ("FR", "US")}})
    answer = await make().fetch(api.get, now=NOON, last=None)
    assert (4, 1, frozenset({"FR", "US"})) == (
        answer.records,
        len(answer.rejected),
        answer.unknown_fields,
    )


async def test_too_many_cells_refuse_the_answer() -> None:
    """The limit protects Prometheus from an answer gone wild."""
    assert 3 == (await fetch("usage.json", max_records=3)).records
    with pytest.raises(TooLargeError, match="more than 2 records"):
        await fetch("usage.json", max_records=2)


@pytest.mark.parametrize(
    ("detail", "expected"),
    [
        ("pop", {("acc", ""): (19996, 1, None), ("lax", ""): (212304205889, 3, None)}),
        ("total", {("", ""): (212304225885, 4, None)}),
    ],
    ids=["pop", "total"],
)
async def test_coarser_detail_sums_all_but_customers(
    detail: Detail, expected: dict[Key, tuple[int, int, None]]
) -> None:
    """A distinct count cannot be summed; the number of records stays that of the answer."""
    answer = await fetch("usage.json", detail)
    cells = answer.content.current.cells
    found = {c.key: (c.bandwidth_bytes, c.connections, c.customers) for c in cells}
    assert (expected, 3) == (found, answer.records)


@pytest.mark.parametrize(
    ("detail", "labels"),
    [("pop", ',pop="acc"'), ("total", "")],
    ids=["pop", "total"],
)
async def test_coarser_detail_leaves_labels_and_customers_out(detail: Detail, labels: str) -> None:
    """What was summed over is no label, and there is no series of customers."""
    found = lines((await fetch("usage.json", detail)).content)
    number = 19996 if detail == "pop" else 212304225885
    assert f'wlvpn_usage_month_to_date_bytes{{account="default"{labels}}} {number}' == found[0]
    assert [] == [line for line in found if "customers" in line]


@pytest.mark.parametrize("detail", ["pop", "total"])
async def test_nothing_is_summed_with_a_bad_cell(detail: Detail) -> None:
    """The sum would be a made-up number."""
    with pytest.raises(SchemaError, match=r"^cannot sum with a bad record: lax\.AU: bandwidth"):
        await fetch("usage_bad.json", detail)


@pytest.mark.parametrize("detail", ["pop", "total"])
async def test_nothing_sums_to_nothing(detail: Detail) -> None:
    """No cells make no sum, not a sum of 0."""
    assert () == (await fetch("usage_none.json", detail)).content.current.cells


WINDOWS = {
    "mid month": ("2026-03-17T12:00", ("2026-03-01", "2026-03-17"), ("2026-02-01", "2026-02-28")),
    "the 1st": ("2026-03-01T00:00", ("2026-03-01", "2026-03-01"), ("2026-02-01", "2026-02-28")),
    "the 31st": ("2026-03-31T23:59", ("2026-03-01", "2026-03-31"), ("2026-02-01", "2026-02-28")),
    "the 30th": ("2026-04-30T23:59", ("2026-04-01", "2026-04-30"), ("2026-03-01", "2026-03-31")),
    "leap day": ("2028-02-29T06:00", ("2028-02-01", "2028-02-29"), ("2028-01-01", "2028-01-31")),
    "after leap": ("2028-03-01T00:00", ("2028-03-01", "2028-03-01"), ("2028-02-01", "2028-02-29")),
    "December": ("2026-12-31T23:59", ("2026-12-01", "2026-12-31"), ("2026-11-01", "2026-11-30")),
    "January": ("2027-01-01T00:00", ("2027-01-01", "2027-01-01"), ("2026-12-01", "2026-12-31")),
}


@pytest.mark.parametrize(("at", "current", "previous"), WINDOWS.values(), ids=WINDOWS)
async def test_the_first_poll_asks_for_both_months(
    at: str, current: Window, previous: Window
) -> None:
    """The month to date, and all of the month before: two requests to the documented path."""
    api = RecordedApi("usage.json")
    await api.poll(make(), now=datetime.fromisoformat(at).replace(tzinfo=UTC))
    assert ([current, previous], {PATH}) == (api.windows, api.paths)


@given(
    st.datetimes(
        min_value=datetime(2000, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
        max_value=datetime(2100, 1, 1),  # noqa: DTZ001 - as above
        timezones=st.just(UTC),
    )
)
async def test_no_window_spans_two_months(now: datetime) -> None:
    """The API refuses one that does."""
    api = RecordedApi("usage.json")
    await api.poll(make(), now=now)
    days = [[date.fromisoformat(day) for day in window] for window in api.windows]
    assert [] == [(a, b) for a, b in days if (a.year, a.month, 1) != (b.year, b.month, a.day)]


PREVIOUS_POLLS = {
    "while it settles, hourly": ("2026-03-02T00:00", 9, 5, [0, 4, 8]),
    "at its end, once more": ("2026-03-05T23:00", 12, 5, [0, 4]),
    "once settled, only at first": ("2026-03-17T12:00", 9, 5, [0]),
    "settled at once": ("2026-03-01T00:00", 9, 0, [0]),
    "the month's turn": ("2026-02-28T23:30", 8, 5, [0, 2, 6]),
    "the month's turn, settled at once": ("2026-02-28T23:30", 8, 0, [0, 2]),
}


@pytest.mark.parametrize(
    ("start", "polls", "settle_days", "expected"), PREVIOUS_POLLS.values(), ids=PREVIOUS_POLLS
)
async def test_the_month_before_is_asked_for_until_it_has_settled(
    start: str, polls: int, settle_days: int, expected: list[int]
) -> None:
    """At first, hourly while its numbers still move, once after, and then no more."""
    api, collector = RecordedApi("usage.json", "usage.json"), make(settle_days=settle_days)
    begin, last, asked = datetime.fromisoformat(start).replace(tzinfo=UTC), None, []
    for number in range(polls):
        last = await api.poll(collector, now=begin + number * QUARTER, last=last)
        asked.append(len(api.windows))
    requests = [now - before for before, now in zip([0, *asked], asked, strict=False)]
    assert expected == [number for number, count in enumerate(requests) if count == 2]


async def test_the_month_before_is_kept_when_it_is_not_asked_for() -> None:
    """Its gauges stay as they were."""
    api, collector = RecordedApi("usage_none.json", "usage.json"), make()
    first = await api.poll(collector, now=NOON)
    second = await api.poll(collector, now=NOON + QUARTER, last=first)
    assert (first.previous, 3) == (second.previous, len(second.previous.usage.cells))


async def test_a_failing_month_before_fails_the_poll() -> None:
    """All or nothing: half an answer is none."""
    with pytest.raises(ApiError, match="data: expected an object, got null"):
        await RecordedApi("usage.json", None).poll(make(), now=NOON)


async def test_when_the_month_before_was_asked_for_is_not_content() -> None:
    """Asking again and hearing the same is no change of the source."""
    api = RecordedApi("usage.json", "usage.json")
    first = await api.poll(make(), now=NOON)
    second = await api.poll(make(), now=NOON + QUARTER)
    assert first == second
    assert hash(first) == hash(second)
    assert first.previous != first.previous.usage


async def test_a_reading_is_true_until_its_month_ends() -> None:
    """Then another one begins, with no records to lose."""
    api, collector = RecordedApi("usage.json"), make()
    march = await api.poll(collector, now=NOON)
    assert datetime(2026, 4, 1, tzinfo=UTC) == collector.valid_until(march)


@pytest.mark.parametrize("detail", ["pop_country", "pop", "total"])
async def test_each_month_has_its_records(detail: Detail) -> None:
    """However they are summed: a closed month is compared with itself while it was open."""
    api, collector = RecordedApi("usage.json"), make(detail)
    march = await api.poll(collector, now=NOON)
    api.answers = {"current": [], "previous": "usage.json"}
    april = await api.poll(collector, now=datetime(2026, 4, 1, tzinfo=UTC), last=march)
    assert {FEBRUARY: 0, MARCH: 3} == collector.sizes(march, 3)
    assert {MARCH: 3, APRIL: 0} == collector.sizes(april, 0)


def test_options_have_their_defaults() -> None:
    """Every quarter of an hour, as fine as the API is, and five days for a month to settle."""
    expected = {"enabled": True, "interval": "15m", "max_records": 20_000}
    assert expected | {"detail": "pop_country", "settle_days": 5} == UsageOptions().model_dump()


@pytest.mark.parametrize(
    "given_options",
    [{"detail": "country"}, {"settle_days": -1}, {"settle_days": 29}, {"settle_days": "soon"}],
    ids=str,
)
def test_a_wrong_option_is_refused(given_options: dict[str, object]) -> None:
    """Neither guessed nor clamped."""
    with pytest.raises(ValidationError):
        UsageOptions.model_validate(given_options)


def reading(month: Month, current: dict[str, int], previous: dict[str, int]) -> Usage:
    """What the API says by POP: as many bytes as connections."""
    return Usage(month_of(month, current), Previous(month_of(month.previous, previous), at=NOON))


def month_of(month: Month, values: dict[str, int]) -> MonthUsage:
    return MonthUsage(month, tuple(cell(pop, "FR", n, n, 1) for pop, n in sorted(values.items())))


def march(**values: int) -> Usage:
    return reading(MARCH, values, {})


def april(previous: dict[str, int], **values: int) -> Usage:
    return reading(APRIL, values, previous)


def unreadable(month: Month, pop: str, country_code: str) -> MonthUsage:
    """A month of which one cell, or a whole POP, could not be read."""
    return MonthUsage(month, (), frozenset({Key(pop, country_code)}))


def tally(*readings: Usage) -> Gains:
    """The tally after these readings."""
    collector = make()
    gains, last = collector.first_tally(), None
    for content in readings:
        gains = collector.count(gains, last=last, content=content)
        last = content
    return gains


OBSERVED: dict[str, tuple[list[Usage], dict[str, int], int]] = {
    "first reading": ([march(par=100)], {"par": 0}, 0),
    "growth": ([march(par=100), march(par=150), march(par=175)], {"par": 75}, 0),
    "no change": ([march(par=100), march(par=100)], {"par": 0}, 0),
    "480 corrected to 475": (
        [march(par=400), march(par=480), march(par=475), march(par=500)],
        {"par": 100},
        1,
    ),
    "below the mark again": ([march(par=480), march(par=475), march(par=478)], {"par": 0}, 1),
    "corrected twice": ([march(par=480), march(par=475), march(par=470)], {"par": 0}, 2),
    "two cells corrected": ([march(lax=9, par=9), march(lax=8, par=7)], {"lax": 0, "par": 0}, 2),
    "new key": ([march(par=100), march(lax=30, par=100)], {"lax": 30, "par": 0}, 0),
    "from nothing": ([march(), march(par=30)], {"par": 30}, 0),
    "vanishes": ([march(par=100), march(par=120), march()], {"par": 20}, 1),
    "stays away": ([march(par=100), march(), march()], {"par": 0}, 1),
    "vanishes at 0": ([march(par=0), march()], {"par": 0}, 0),
    "returns": ([march(par=100), march(), march(par=100)], {"par": 0}, 1),
    "returns lower": ([march(par=100), march(), march(par=90)], {"par": 0}, 1),
    "returns higher": ([march(par=100), march(), march(par=130)], {"par": 30}, 1),
    "month's end": ([march(par=1000), april({"par": 1040}, par=7)], {"par": 47}, 0),
    "month's end, nothing late": ([march(par=1000), april({"par": 1000}, par=7)], {"par": 7}, 0),
    "month's end, nothing new": ([march(par=1000), april({"par": 1040})], {"par": 40}, 0),
    "month's end, corrected": ([march(par=1000), april({"par": 990}, par=7)], {"par": 7}, 1),
    "month's end, corrected before": (
        [march(par=480), march(par=475), april({"par": 478}, par=7)],
        {"par": 7},
        1,
    ),
    "month's end, late key": (
        [march(par=1000), april({"lax": 5, "par": 1000}, par=7)],
        {"lax": 5, "par": 7},
        0,
    ),
    "closed month goes on": (
        [march(par=1000), april({"par": 1000}, par=7), april({"par": 1010}, par=9)],
        {"par": 19},
        0,
    ),
    "closed month corrected later": (
        [march(par=1000), april({"par": 1000}, par=7), april({"par": 995}, par=9)],
        {"par": 9},
        1,
    ),
    "month before, at first": ([april({"par": 500})], {"par": 0}, 0),
    "month before, then": (
        [april({"par": 500}, par=7), april({"par": 510}, par=7)],
        {"par": 10},
        0,
    ),
    "the clock steps back over the month's start and forth": (
        [april({"par": 1000}, par=7), march(par=1000), april({"par": 1000}, par=7)],
        {"par": 0},
        0,
    ),
    "the clock steps forth over the month's end and back": (
        [march(par=1000), april({"par": 1000}), march(par=1010), april({"par": 1010}, par=7)],
        {"par": 17},
        0,
    ),
    "unreadable at first": (
        [Usage(unreadable(MARCH, "par", "FR"), march().previous), march(par=9), march(par=11)],
        {"par": 2},
        0,
    ),
    "a POP unreadable at first": (
        [Usage(unreadable(MARCH, "par", ""), march().previous), march(par=9), march(par=11)],
        {"par": 2},
        0,
    ),
    "unreadable meanwhile": (
        [march(par=5), Usage(unreadable(MARCH, "par", "FR"), march().previous), march(par=11)],
        {"par": 6},
        0,
    ),
    "closed and unreadable at first": (
        [
            Usage(month_of(APRIL, {}), Previous(unreadable(MARCH, "par", "FR"), at=NOON)),
            april({"par": 500}),
            april({"par": 501}),
        ],
        {"par": 1},
        0,
    ),
    "the clock was months ahead for once": (
        [march(par=5), reading(Month(2026, 8), {}, {}), march(par=6), march(par=9)],
        {"par": 3},
        0,
    ),
    "a month without a poll": (
        [march(par=1000), reading(MAY, {"par": 9}, {"par": 50})],
        {"par": 59},
        0,
    ),
}


@pytest.mark.parametrize(("readings", "observed", "corrections"), OBSERVED.values(), ids=OBSERVED)
def test_observed_growth_is_what_rose_over_the_high_water_mark(
    readings: list[Usage], observed: dict[str, int], corrections: int
) -> None:
    """Corrections add nothing and are counted by cell; what was there at first was not observed."""
    gains = tally(*readings)
    expected = {Key(pop, "FR"): Growth(n, n) for pop, n in observed.items()}
    assert (expected, corrections) == (gains.observed, gains.corrections)


def test_marks_are_kept_for_the_two_months_that_may_grow() -> None:
    """The tally does not grow with the exporter's age."""
    gains = tally(march(par=1), april({"par": 1}, par=2), reading(MAY, {"par": 3}, {"par": 2}))
    assert {APRIL, MAY} == set(gains.marks)


def answered(cells: object) -> Usage:
    """A reading whose month to date is what the API says of one POP."""
    collector = make()

    async def get(_: str, query: Mapping[str, str]) -> Mapping[str, object]:
        data = {"par": cells} if query["start_date"].startswith("2026-03") else {}
        return {"data": data}

    answer = asyncio.run(collector.fetch(get, now=NOON, last=None))
    return answer.content


def test_a_bad_cell_is_recognised_by_its_cleaned_key() -> None:
    """What stands on the page under a cleaned name did not fall when its record turned bad."""
    fine = {"bandwidth": 5, "connections": 5, "customers": 1}
    others = {f"{letter}X": fine for letter in "ABCDEFGH"}
    before = answered({"G\u200bB": fine, "": fine, **others})
    bad = answered({"G\u200bB": None, "": fine, **others})
    assert 0 == tally(before, bad).corrections
    fallen = answered({"G\u200bB": {**fine, "bandwidth": 1}, "": None, **others})
    assert 1 == tally(before, fallen).corrections


@pytest.mark.parametrize(
    ("unreadable", "corrections"),
    [(Key("par", "FR"), 0), (Key("par", ""), 0), (Key("par", "US"), 1), (Key("lax", ""), 1)],
    ids=["it", "its POP", "another cell", "another POP"],
)
def test_a_cell_that_cannot_be_read_did_not_fall(unreadable: Key, corrections: int) -> None:
    """A bad record says nothing about the usage; its mark waits for the next good one."""
    usage = MonthUsage(MARCH, (), unreadable=frozenset({unreadable}))
    gone = Usage(usage, march().previous)
    gains = tally(march(par=100), gone, march(par=110))
    assert (corrections, 10) == (gains.corrections, gains.observed[Key("par", "FR")].connections)


def test_bytes_and_connections_are_observed_apart() -> None:
    """Each has its own mark; a cell that falls in both is one correction."""
    numbers = [(100, 10), (90, 12), (80, 8), (105, 13)]
    empty = Previous(MonthUsage(FEBRUARY, ()), at=NOON)
    readings = [Usage(MonthUsage(MARCH, (cell("par", "FR", *n, 1),)), empty) for n in numbers]
    gains = tally(*readings)
    assert ({Key("par", "FR"): Growth(5, 3)}, 2) == (gains.observed, gains.corrections)


def test_customers_are_not_observed() -> None:
    """A distinct count has no growth to sum, and its fall is no correction."""
    empty = Previous(MonthUsage(FEBRUARY, ()), at=NOON)
    readings = [Usage(MonthUsage(MARCH, (cell("par", "FR", 1, 1, n),)), empty) for n in (9, 5, 20)]
    gains = tally(*readings)
    assert ({Key("par", "FR"): Growth(0, 0)}, 0) == (gains.observed, gains.corrections)


def test_the_tally_becomes_counters() -> None:
    """Sorted by key; a key once exported stays, and what was summed over is no label."""
    gains = Gains({Key("par", "FR"): Growth(5, 3), Key("lax", ""): Growth(0, 1)}, {}, corrections=2)
    blocks = encode(UsageCollector.tally_tables, gains, "default")
    expected = [
        'wlvpn_usage_observed_bytes_total{account="default",pop="lax"} 0',
        'wlvpn_usage_observed_bytes_total{account="default",pop="par",country_code="FR"} 5',
        'wlvpn_usage_observed_connections_total{account="default",pop="lax"} 1',
        'wlvpn_usage_observed_connections_total{account="default",pop="par",country_code="FR"} 3',
        'wlvpn_usage_corrections_total{account="default"} 2',
    ]
    assert expected == b"".join(blocks.values()).decode().splitlines()


def test_corrections_are_counted_from_the_start() -> None:
    """Their counter is there before the first reading, at 0."""
    blocks = encode(UsageCollector.tally_tables, make().first_tally(), "default")
    expected = {
        "wlvpn_usage_corrections_total": b'wlvpn_usage_corrections_total{account="default"} 0\n'
    }
    assert expected == blocks


VALUES = st.dictionaries(st.sampled_from(["lax", "par"]), st.integers(min_value=0, max_value=50))
STEPS = st.lists(st.tuples(st.sampled_from([0, 0, 0, 1, 2]), VALUES, VALUES), min_size=1)


@given(STEPS)
def test_the_observed_counter_never_falls_and_misses_nothing(
    steps: list[tuple[int, dict[str, int], dict[str, int]]],
) -> None:
    """For every month and key it holds how far the mark rose above the first reading."""
    readings, month = [], Month(2026, 1)
    for months_ahead, current, previous in steps:
        for _ in range(months_ahead):
            month = Month.of(month.end)
        readings.append(reading(month, current, previous))
    totals = [observed(tally(*readings[:count])) for count in range(1, len(readings) + 1)]
    falls = [
        (before, after)
        for before, after in pairwise(totals)
        if any(after.get(pop, -1) < total for pop, total in before.items())
    ]
    assert [] == falls
    assert risen(readings) == totals[-1]


def observed(gains: Gains) -> dict[str, int]:
    """Bytes by POP."""
    return {key.pop: growth.bandwidth_bytes for key, growth in gains.observed.items()}


def risen(readings: list[Usage]) -> dict[str, int]:
    """How far the highest value of each POP and month lies above the first reading's, by POP."""
    said = [
        {(usage.month, c.pop): c.bandwidth_bytes for c in usage.cells}
        for content in readings
        for usage in (content.previous.usage, content.current)
    ]
    first = said[0] | said[1]
    total: dict[str, int] = {}
    for month, pop in {key for values in said for key in values}:
        highest = max(values.get((month, pop), 0) for values in said)
        total[pop] = total.get(pop, 0) + highest - first.get((month, pop), 0)
    return total


async def test_two_bad_cells_of_one_name_are_two() -> None:
    """An empty code and `unknown` are one label, but two records: both count as bad."""
    good = {"bandwidth": 1, "connections": 1, "customers": 1}
    codes = {f"A{n}": good for n in range(8)}
    answer = await fetch({"par": {**codes, "": {}, "unknown": {}}})
    assert (8, 2) == (answer.records, len(answer.rejected))
    with pytest.raises(SchemaError, match="2 of 8 records are bad"):
        await fetch({"par": {**dict(list(codes.items())[:6]), "": {}, "unknown": {}}})
