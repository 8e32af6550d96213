"""What all collectors have in common."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from pydantic import ValidationError

from exporter.collectors import ALL
from exporter.collectors.base import Answer, Collector, Get, MaxAge, Options, Sifted, sift
from exporter.collectors.servers import ServersCollector
from exporter.collectors.usage import UsageCollector
from exporter.errors import SchemaError, TooLargeError
from exporter.fields import member, number, text

NOON = datetime(2026, 3, 17, 12, 0, tzinfo=UTC)


class Cup(NamedTuple):
    owner: str
    fill: float


def read_cup(owner: str, members: Mapping[str, object]) -> Cup:
    return Cup(text(owner, "owner"), number(member(members, "fill"), "fill", low=0, high=1))


def sift_cups(*entries: tuple[str, object], max_records: int = 100) -> Sifted[str, Cup]:
    return sift(
        entries,
        read_cup,
        key=lambda cup: cup.owner,
        known_fields=frozenset({"fill"}),
        max_records=max_records,
    )


def cups(*, good: int, bad: int) -> list[tuple[str, object]]:
    return [(f"bad-{n:03}", {}) for n in range(bad)] + [
        (f"good-{n:03}", {"fill": 1}) for n in range(good)
    ]


class CupsCollector(Collector[tuple[Cup, ...], int]):
    """The least that a collector needs."""

    name = "cups"
    help = "The cups."
    stale = MaxAge(intervals=3, floor=timedelta(minutes=3))
    drop = MaxAge(intervals=6, floor=timedelta(hours=1))
    content_tables = ()

    async def fetch(
        self, get: Get, *, now: datetime, last: tuple[Cup, ...] | None
    ) -> Answer[tuple[Cup, ...]]:
        del now, last
        await get("/v2/cups", {})
        return Answer(content=(), records=0)

    def first_tally(self) -> int:
        return 0

    def count(self, tally: int, *, last: tuple[Cup, ...] | None, content: tuple[Cup, ...]) -> int:
        del last
        return tally + len(content)


def test_records_are_sorted_by_key() -> None:
    """The order of the answer does not matter, so that equal contents are equal."""
    sifted = sift_cups(("eve", {"fill": 0}), ("ann", {"fill": 1}), ("bob", {"fill": 0.5}))
    assert (Cup("ann", 1), Cup("bob", 0.5), Cup("eve", 0)) == sifted.records


def test_nothing_sifts_to_nothing() -> None:
    """No records are no error here."""
    assert Sifted(records=(), bad=(), rejected=(), unknown_fields=frozenset()) == sift_cups()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({}, "eve: fill: absent"),
        ({"fill": None}, "eve: fill: expected a number, got null"),
        ({"fill": 2}, "eve: fill: not within 0..1"),
        ([], "eve: fill: absent"),
        (None, "eve: record: expected an object, got null"),
        ([{"fill": 1}], "eve: record: expected an object, got a list"),
    ],
    ids=str,
)
def test_a_bad_record_is_left_out_and_named(value: object, expected: str) -> None:
    """The others stay; the error tells which record and what is wrong with it."""
    sifted = sift_cups(*cups(good=4, bad=0), ("eve", value))
    told = [str(error) for error in sifted.rejected]
    assert (4, ("eve",), [expected]) == (len(sifted.records), sifted.bad, told)


def test_a_second_record_of_a_name_is_bad() -> None:
    """Two names that clean to one would be two series of one name: the first stays."""
    entries: list[tuple[str, object]] = [("eve", {"fill": 0}), ("e\u200bve", {"fill": 1})]
    sifted = sift_cups(*entries, *cups(good=3, bad=0))
    assert Cup("eve", 0) == sifted.records[0]
    assert ["eve: a second record of this name"] == [str(error) for error in sifted.rejected]
    assert ("e\u200bve",) == sifted.bad


@pytest.mark.parametrize(("good", "bad"), [(4, 1), (8, 2), (12, 3), (28, 7), (80, 20), (81, 20)])
def test_a_fifth_of_bad_records_is_tolerated(good: int, bad: int) -> None:
    """Up to 20 %, that included, the good ones are used."""
    sifted = sift_cups(*cups(good=good, bad=bad), max_records=200)
    assert (good, bad) == (len(sifted.records), len(sifted.rejected))


@pytest.mark.parametrize(("good", "bad"), [(0, 1), (3, 1), (7, 2), (79, 20), (0, 100)])
def test_more_bad_records_refuse_the_answer(good: int, bad: int) -> None:
    """Above 20 % the answer is not to be trusted; the error quotes the first reason."""
    told = rf"^{bad} of {good + bad} records are bad, the first: bad-000: fill: absent$"
    with pytest.raises(SchemaError, match=told):
        sift_cups(*cups(good=good, bad=bad))


def test_as_many_records_as_allowed_are_read() -> None:
    """The limit itself is within the limit."""
    assert 5 == len(sift_cups(*cups(good=5, bad=0), max_records=5).records)


@pytest.mark.parametrize(("good", "bad"), [(6, 0), (5, 1), (0, 6)])
def test_more_records_than_allowed_refuse_the_answer(good: int, bad: int) -> None:
    """Bad records count too, and the error names the option to raise."""
    with pytest.raises(TooLargeError, match=r"^more than 5 records: raise max_records if that is"):
        sift_cups(*cups(good=good, bad=bad), max_records=5)


def test_unknown_fields_are_ignored_and_told() -> None:
    """The API may grow; what it adds is named for `check --probe`, cleaned as all foreign text."""
    sifted = sift_cups(("ann", {"fill": 1, "size": 3}), ("bob", {"fill": 1, "col\nour": "red"}))
    assert frozenset({"size", "colour"}) == sifted.unknown_fields
    assert (Cup("ann", 1), Cup("bob", 1)) == sifted.records


def test_hostile_names_are_cleaned_in_errors() -> None:
    """An error's text goes to the log: one line, of bounded length."""
    sifted = sift_cups(*cups(good=4, bad=0), ("e\nve" + "x" * 10_000, {}))
    told = str(sifted.rejected[0])
    assert (True, True, "evexxx") == (told.isprintable(), len(told) < 200, told[:6])


@pytest.mark.parametrize(
    ("interval", "expected"), [("15s", 15.0), ("1h30m", 5400.0), ("1d", 86_400.0)], ids=str
)
def test_a_polite_interval_is_accepted(interval: str, expected: float) -> None:
    """15 seconds to a day are fine, both included."""
    options = Options.model_validate({"interval": interval})
    assert expected == options.interval.total_seconds()


def test_options_have_their_defaults() -> None:
    """On, every minute, and up to 20,000 records."""
    expected = {"enabled": True, "interval": "1m", "max_records": 20_000}
    assert expected == Options().model_dump()


@pytest.mark.parametrize("written", [7, "7", "007", 7.0], ids=repr)
def test_a_whole_number_is_read(written: object) -> None:
    """Files and variables hold text."""
    assert 7 == Options.model_validate({"max_records": written}).max_records


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"interval": "14999ms"}, "would be impolite to the API: write 15s or more"),
        ({"interval": "0s"}, "would be impolite to the API: write 15s or more"),
        ({"interval": "86401s"}, "longer than 1d tells nothing any more: write 1d or less"),
        ({"interval": "999999999d24h"}, "longer than any clock can count"),
        ({"interval": "60"}, "not a duration: write a number with its unit"),
        ({"max_records": 0}, "greater than or equal to 1"),
        ({"max_records": "5_0"}, "not a whole number: write digits alone"),
        ({"max_records": " 5"}, "not a whole number: write digits alone"),
        ({"max_records": "-5"}, "not a whole number: write digits alone"),
        ({"max_records": "1e3"}, "not a whole number: write digits alone"),
        ({"max_records": "9" * 19}, "not a whole number: write digits alone"),
        ({"max_records": True}, "not a whole number: write digits alone"),
        ({"max_records": 5.5}, "valid integer"),
        ({"max_records": None}, "valid integer"),
        ({"interval_seconds": 60}, "Extra inputs are not permitted"),
    ],
    ids=str,
)
def test_a_wrong_option_is_refused(given: dict[str, object], told: str) -> None:
    """Nothing is clamped to the next best, and nothing unknown is overlooked."""
    with pytest.raises(ValidationError, match=told):
        Options.model_validate(given)


@pytest.mark.parametrize(
    ("interval", "expected"),
    [(timedelta(seconds=15), 180.0), (timedelta(seconds=60), 180.0), (timedelta(minutes=2), 360.0)],
    ids=str,
)
def test_a_reading_lives_for_some_intervals_but_a_while_at_least(
    interval: timedelta, expected: float
) -> None:
    """The age is the larger of both."""
    assert expected == CupsCollector.stale.seconds(interval)


@pytest.mark.parametrize(
    ("kind", "interval", "expected"),
    [
        (ServersCollector, None, (60.0, 180.0, 600.0)),
        (ServersCollector, timedelta(minutes=10), (600.0, 1_800.0, 1_800.0)),
        (UsageCollector, None, (900.0, 10_800.0, 93_600.0)),
        (UsageCollector, timedelta(hours=12), (43_200.0, 129_600.0, 129_600.0)),
        (CupsCollector, timedelta(hours=1), (3_600.0, 10_800.0, 21_600.0)),
    ],
    ids=["servers", "slow servers", "usage", "slow usage", "cups"],
)
def test_readings_age_as_the_contract_says(
    kind: type[Collector[Any, Any]],
    interval: timedelta | None,
    expected: tuple[float, float, float],
) -> None:
    """Interval, seconds until stale, seconds until dropped."""
    collector = kind(kind.options_type(**({"interval": interval} if interval else {})))
    seconds = collector.options.interval.total_seconds()
    assert expected == (seconds, collector.stale_seconds, collector.drop_seconds)


def test_content_is_true_and_comparable_unless_a_collector_knows_better() -> None:
    """By default only age ends a reading, and any loss of records is suspicious."""
    collector = CupsCollector(Options())
    assert (None, {"": 7}) == (collector.valid_until(()), collector.sizes((), 7))


async def test_a_collector_needs_no_more_than_its_module() -> None:
    """Asking, counting and metrics work without a word elsewhere."""
    asked = []

    async def get(path: str, query: Mapping[str, str]) -> Mapping[str, object]:
        asked.append((path, query))
        return {}

    collector = CupsCollector(Options())
    answer = await collector.fetch(get, now=NOON, last=None)
    counted = collector.count(collector.first_tally(), last=None, content=answer.content)
    assert ([("/v2/cups", {})], 0, ()) == (asked, counted, CupsCollector.metrics())


def test_collectors_do_not_share_names() -> None:
    """Each has its own name, and no two export one metric."""
    collectors = [collector.name for collector in ALL]
    metrics = [metric.name for collector in ALL for metric in collector.metrics()]
    expected = ["servers", "usage", "plans", "accounts", "usage_report"]
    assert (expected, len(metrics)) == (collectors, len(set(metrics)))
