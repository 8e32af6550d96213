"""The usage report's collector: distributions over customers, chunk by chunk."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.collectors.base import Answer
from exporter.collectors.customer import CustomerOptions
from exporter.collectors.usage_report import (
    BYTES,
    CONNECTIONS,
    MAX_RESULTS,
    Day,
    Spread,
    UsageReportCollector,
)
from exporter.errors import NotFoundError, RefusedError, SchemaError, TooLargeError
from exporter.exposition import encode
from exporter.metric import Distribution
from exporter.response import decode

NOON = datetime(2026, 3, 17, 12, 0, tzinfo=UTC)
TODAY = date(2026, 3, 17)

Record = dict[str, Any]


def used(*values: tuple[object, object], first: int = 1) -> list[Record]:
    """Customers with these bytes and connections."""
    return [
        {"cust_id": first + place, "bandwidth": bandwidth, "connections": connections}
        for place, (bandwidth, connections) in enumerate(values)
    ]


class Reporter:
    """Answers chunk by chunk; remembers the offsets that were asked for.

    Args:
        customers: all of them, by rising id.
        most: customers of a chunk, whatever is asked for.
        spoil: changes an answer, given how many came before.
    """

    def __init__(
        self,
        customers: Sequence[Record],
        *,
        most: int = MAX_RESULTS,
        spoil: Callable[[int, Record], Record] = lambda _, answer: answer,
    ) -> None:
        self._customers = customers
        self._most = most
        self._spoil = spoil
        self.offsets: list[str | None] = []

    async def get(self, path: str, query: Mapping[str, str]) -> Mapping[str, object]:
        offset = query.get("cust_id_offset")
        expected = {"start_date": f"{TODAY}", "end_date": f"{TODAY}", "max_results": "5000"}
        assert "/v2/customers/usage-report/" == path
        assert expected == {name: query[name] for name in query if name != "cust_id_offset"}
        self.offsets.append(offset)
        rest = [each for each in self._customers if each["cust_id"] > int(offset or 0)]
        found = rest[: self._most]
        answer: Record = {
            "customers": found,
            "last_cust_id": found[-1]["cust_id"] if found else None,
            "result_count": len(found),
            "total_count": len(self._customers),
        }
        return self._spoil(len(self.offsets) - 1, answer)


async def fetch(reporter: Reporter, *, max_records: int = 1_000_000) -> Answer[Day]:
    collector = UsageReportCollector(CustomerOptions(max_records=max_records))
    return await collector.fetch(reporter.get, now=NOON, last=None)


async def report(*values: tuple[object, object]) -> Answer[Day]:
    return await fetch(Reporter(used(*values)))


# Distributions


async def test_the_documented_example_is_read() -> None:
    """Its two customers are counted, and too few for a distribution."""
    body = (Path(__file__).parent / "payloads" / "usage_report.json").read_bytes()

    async def get(_: str, __: Mapping[str, str]) -> Mapping[str, object]:
        return decode(body)

    answer = await UsageReportCollector(CustomerOptions()).fetch(get, now=NOON, last=None)
    assert (Day(TODAY, 2, None, None), 2, ()) == (answer.content, answer.records, answer.rejected)
    assert frozenset() == answer.unknown_fields


async def test_customers_are_put_into_buckets() -> None:
    """A bucket holds what does not exceed its bound; the last one all."""
    mebibyte = 2**20
    values = [(0, 0), (mebibyte, 1), (mebibyte + 1, 2), (2**40, 1000), (2**40 + 1, 1001)]
    content = (await report(*values)).content
    lines = b"".join(encode(UsageReportCollector.content_tables, content, "a").values()).decode()
    found = dict(line.rsplit(" ", 1) for line in lines.splitlines())
    family = "wlvpn_customer_day_bytes"
    expected = [2, *[3] * 9, 4, 5]
    assert expected == [int(found[n]) for n in found if n.startswith(f"{family}_bucket")]
    assert ("5", f"{sum(bandwidth for bandwidth, _ in values)}") == (
        found[f'{family}_gcount{{account="a"}}'],
        found[f'{family}_gsum{{account="a"}}'],
    )
    family = "wlvpn_customer_day_connections"
    expected = [2, *[3] * 8, 4, 5]
    assert expected == [int(found[n]) for n in found if n.startswith(f"{family}_bucket")]
    assert ("5", "2004") == (
        found[f'{family}_gcount{{account="a"}}'],
        found[f'{family}_gsum{{account="a"}}'],
    )
    assert "5" == found['wlvpn_customers_reported{account="a"}']


@given(st.lists(st.integers(min_value=0, max_value=2**63 - 1)))
def test_a_spread_counts_each_value_once(values: list[int]) -> None:
    """In the first bucket whose bound it does not exceed."""
    spread = Spread(BYTES)
    for value in values:
        spread.add(value)
    bounds = [-1, *BYTES, float("inf")]
    expected = tuple(sum(low < value <= high for value in values) for low, high in pairwise(bounds))
    assert Distribution(BYTES, expected, sum(values)) == spread.distribution


def test_buckets_are_what_the_documentation_says() -> None:
    """Whoever keeps them in rules relies on them: 1 MiB to 1 TiB by four, 1 to 1,000."""
    assert (2**20, 2**40, 11) == (BYTES[0], BYTES[-1], len(BYTES))
    assert {4} == {high / low for low, high in pairwise(BYTES)}
    assert (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) == CONNECTIONS


@pytest.mark.parametrize("customers", [0, 1, 4])
async def test_a_handful_has_no_distribution(customers: int) -> None:
    """How many there are is told, what they do is not."""
    content = (await report(*[(5, 5)] * customers)).content
    blocks = encode(UsageReportCollector.content_tables, content, "a")
    expected = f'wlvpn_customers_reported{{account="a"}} {customers}\n'.encode()
    assert {"wlvpn_customers_reported": expected} == blocks


async def test_five_have_one() -> None:
    """From there on nobody is told apart."""
    content = (await report(*[(5, 5)] * 5)).content
    assert Distribution(BYTES, (5, *[0] * 11), 25) == content.bandwidth_bytes


# Chunks


@pytest.mark.parametrize(
    ("customers", "most", "offsets"),
    [
        (0, MAX_RESULTS, [None]),
        (7, MAX_RESULTS, [None]),
        (MAX_RESULTS, MAX_RESULTS, [None, "5000"]),
        (MAX_RESULTS + 1, MAX_RESULTS, [None, "5000"]),
        (25, 10, [None, "10", "20"]),
        (20, 10, [None, "10"]),
    ],
    ids=["nobody", "short", "one", "one and one", "cut to ten", "two cut to ten"],
)
async def test_all_chunks_are_read(customers: int, most: int, offsets: list[str | None]) -> None:
    """The last is short and makes up the promised number; a shorter one than asked for may not."""
    reporter = Reporter(used(*[(1, 1)] * customers), most=most)
    answer = await fetch(reporter)
    assert (customers, offsets) == (answer.records, reporter.offsets)


@pytest.mark.parametrize(
    ("customers", "promised"),
    [(7, 8), (1, 6), (495, 500), (990, 1000), (19_800, 20_000)],
    ids=str,
)
async def test_who_was_promised_may_have_left(customers: int, promised: int) -> None:
    """Five or one of a hundred, while the chunks were read: then an empty chunk is the end."""
    reporter = Reporter(
        used(*[(1, 1)] * customers), spoil=lambda _, answer: answer | {"total_count": promised}
    )
    assert customers == (await fetch(reporter)).records
    assert f"{customers}" == reporter.offsets[-1]


@pytest.mark.parametrize(
    ("customers", "promised"),
    [(0, 1), (1, 7), (494, 500), (989, 1000), (5_000, 15_439)],
    ids=str,
)
async def test_a_report_that_breaks_off_is_refused(customers: int, promised: int) -> None:
    """Whoever else is missing was not told: a part is never taken for the whole."""
    reporter = Reporter(
        used(*[(1, 1)] * customers), spoil=lambda _, answer: answer | {"total_count": promised}
    )
    expected = f"^total_count: {promised - customers} more were promised$"
    with pytest.raises(SchemaError, match=expected):
        await fetch(reporter)


@pytest.mark.parametrize("chunk", [0, 1, 2])
async def test_a_failed_chunk_fails_the_poll(chunk: int) -> None:
    """Half of the customers are no answer."""

    def spoil(number: int, answer: Record) -> Record:
        if number == chunk:
            raise NotFoundError("HTTP 404")
        return answer

    with pytest.raises(NotFoundError):
        await fetch(Reporter(used(*[(1, 1)] * 30), most=10, spoil=spoil))


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"last_cust_id": 10}, "last_cust_id: not beyond the one before"),
        ({"last_cust_id": 3}, "last_cust_id: not beyond the one before"),
        ({"last_cust_id": None}, "last_cust_id: expected a number, got null"),
        ({"result_count": 9}, "result_count: not the number of customers in the chunk"),
        ({"customers": None}, "customers: expected a list, got null"),
    ],
    ids=str,
)
async def test_a_chunk_that_does_not_go_on_is_refused(members: Record, expected: str) -> None:
    """An API that ignores the offset would be asked for ever, and its customers counted anew."""
    reporter = Reporter(
        used(*[(1, 1)] * 30), most=10, spoil=lambda n, a: a | members if n == 1 else a
    )
    with pytest.raises(SchemaError, match=f"^{expected}$"):
        await fetch(reporter)
    assert [None, "10"] == reporter.offsets


@pytest.mark.parametrize("name", ["customers", "result_count", "last_cust_id", "total_count"])
async def test_a_chunk_without_its_head_is_refused(name: str) -> None:
    """What was documented and is not there is not guessed."""

    def spoil(_: int, answer: Record) -> Record:
        del answer[name]
        return answer

    with pytest.raises(SchemaError, match=f"^{name}: absent$"):
        await fetch(Reporter(used((1, 1)), spoil=spoil))


async def test_endless_chunks_end() -> None:
    """New customers in every chunk are believed up to a limit, and no request is made beyond."""
    reporter = Reporter(used(*[(1, 1)] * 1000), most=10)
    with pytest.raises(TooLargeError, match="more than 95 records: raise max_records"):
        await fetch(reporter, max_records=95)
    assert 10 == len(reporter.offsets)


# Bad records


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"cust_id": None}, "cust_id: expected a number, got null"),
        ({"cust_id": 12}, "cust_id: a second record of this customer"),
        ({"cust_id": 10}, "cust_id: outside of the chunk"),
        ({"cust_id": 21}, "cust_id: outside of the chunk"),
        ({"bandwidth": -1}, "bandwidth: not within 0..9.22337e+18"),
        ({"bandwidth": 1.5}, "bandwidth: expected a whole number"),
        ({"connections": None}, "connections: expected a number, got null"),
    ],
    ids=str,
)
async def test_a_bad_customer_is_left_out(members: Record, expected: str) -> None:
    """It is named by its place in the chunk, never by who it is, and counts in neither number."""

    def spoil(number: int, answer: Record) -> Record:
        if number == 1:
            answer["customers"][6] = answer["customers"][6] | members
        return answer

    answer = await fetch(Reporter(used(*[(3, 2)] * 20), most=10, spoil=spoil))
    content = answer.content
    assert [f"customers[6]: {expected}"] == [str(error) for error in answer.rejected]
    assert content.bandwidth_bytes
    assert content.connections
    assert (19, 19, 57, 38) == (
        answer.records,
        content.customers,
        content.bandwidth_bytes.total,
        content.connections.total,
    )


async def test_too_many_bad_customers_refuse_the_report() -> None:
    """As soon as more than a fifth of those so far are bad."""
    reporter = Reporter(used(*[(-1, 1)] * 3, *[(1, 1)] * 27), most=10)
    with pytest.raises(SchemaError, match=r"^3 of 10 records are bad, the first: customers\[0\]: "):
        await fetch(reporter)
    assert [None] == reporter.offsets


async def test_the_api_does_not_name_anybody() -> None:
    """Its own words about a refusal may hold an id: they stay where they are."""

    def spoil(_: int, __: Record) -> Record:
        raise RefusedError("cust_id_offset 4711 is unknown")

    with pytest.raises(RefusedError) as caught:
        await fetch(Reporter([], spoil=spoil))
    assert "4711" not in str(caught.value)


# The day


def test_a_reading_ends_with_its_day() -> None:
    """Yesterday's is not today's so far."""
    collector = UsageReportCollector(CustomerOptions())
    end = collector.valid_until(Day(TODAY, 9, None, None))
    assert datetime(2026, 3, 18, tzinfo=UTC) == end


def test_a_new_day_is_not_compared_with_the_old() -> None:
    """At its start nobody has used anything."""
    collector = UsageReportCollector(CustomerOptions())
    yesterday = Day(TODAY - timedelta(days=1), 900, None, None)
    assert {TODAY - timedelta(days=1): 900} == collector.sizes(yesterday, 900)
    assert {TODAY: 0} == collector.sizes(Day(TODAY, 0, None, None), 0)


def test_it_is_off_and_asks_once_an_hour() -> None:
    """Stale at three intervals, dropped at six."""
    collector = UsageReportCollector(CustomerOptions())
    options = collector.options
    assert (False, timedelta(hours=1)) == (options.enabled, options.interval)
    assert (3 * 3600, 6 * 3600) == (collector.stale_seconds, collector.drop_seconds)
