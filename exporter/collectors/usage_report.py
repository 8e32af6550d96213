"""How much customers use on the current UTC day (`GET /v2/customers/usage-report/`).

Off by default. The API tells customers in chunks by rising id; each is put into its bucket and let
go, and a poll is accepted as a whole or not at all. What is kept are two distributions, of bytes
and of connections, and those only if they are of five customers or more.
"""

import asyncio
from bisect import bisect_left
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from exporter.collectors.base import Answer, Collector, Get, MaxAge
from exporter.collectors.customer import (
    MIN_CUSTOMERS,
    PAUSE_SECONDS,
    Crowd,
    CustomerOptions,
    discreet,
)
from exporter.errors import SchemaError
from exporter.fields import count, items, member
from exporter.metric import Distribution, Metric, Table

PATH = "/v2/customers/usage-report/"
MAX_RESULTS = 5_000
"""Customers in one answer: the most that the API gives."""

MIN_LEAVING = 5
MAX_LEAVING_SHARE = 0.01
"""How many of the promised may be missing in the end: the number or the share, whichever is more.

Customers may be closed while the chunks are read, 25 seconds at the most; hardly one of a hundred
is. What is missing beyond that was not told, and half a report is no report.
"""

FIELDS = frozenset({"cust_id", "bandwidth", "connections"})
BYTES = tuple(2**20 * 4**power for power in range(11))
"""Bounds of the buckets, 1 MiB to 1 TiB."""

CONNECTIONS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
"""Bounds of the buckets."""


@dataclass(frozen=True, slots=True)
class Day:
    """The content of a reading: nothing that tells of fewer than five customers.

    Attributes:
        day: the UTC day.
        customers: how many are reported.
        bandwidth_bytes: how much of them moved, None if they are too few.
        connections: how many connections they made, None if they are too few.
    """

    day: date
    customers: int
    bandwidth_bytes: Distribution | None
    connections: Distribution | None

    @property
    def end(self) -> datetime:
        """The first instant after it."""
        return datetime.combine(self.day + timedelta(days=1), time(), UTC)


class UsageReportCollector(Collector[Day, None]):
    """See the module."""

    name = "usage_report"
    help = "The distribution of customers' usage on the current UTC day. Off by default."
    options_type = CustomerOptions
    stale = MaxAge(intervals=3, floor=timedelta(0))
    drop = MaxAge(intervals=6, floor=timedelta(hours=1))
    pause_seconds = PAUSE_SECONDS
    content_tables = (
        Table(
            lambda day: [day],
            (
                Metric(
                    "wlvpn_customer_day_bytes",
                    "gaugehistogram",
                    "Customers by their bandwidth in bytes on the UTC day so far, as polled from "
                    "/v2/customers/usage-report; absent if they are fewer than 5.",
                    ("account",),
                    lambda day: day.bandwidth_bytes,
                ),
                Metric(
                    "wlvpn_customer_day_connections",
                    "gaugehistogram",
                    "Customers by their connections on the UTC day so far, as polled from "
                    "/v2/customers/usage-report; absent if they are fewer than 5.",
                    ("account",),
                    lambda day: day.connections,
                ),
                Metric(
                    "wlvpn_customers_reported",
                    "gauge",
                    "Customers in the polled /v2/customers/usage-report of the UTC day so far.",
                    ("account",),
                    lambda day: day.customers,
                ),
            ),
        ),
    )

    options: CustomerOptions

    async def fetch(self, get: Get, *, now: datetime, last: Day | None) -> Answer[Day]:
        """Asks for one chunk after the other, until the last."""
        del last
        ask, report = discreet(get), Report(now.date(), max_records=self.options.max_records)
        while not report.is_complete:
            await asyncio.to_thread(report.read, await ask(PATH, report.query))
        return report.answer()

    def first_tally(self) -> None:
        """Nothing is counted."""

    def count(self, tally: None, *, last: Day | None, content: Day) -> None:
        """Counts nothing."""

    def valid_until(self, content: Day) -> datetime:
        """The day's end."""
        return content.end

    def sizes(self, content: Day, records: int) -> Mapping[Hashable, int]:
        """That of the day: a new one, which nobody has used yet, had none to be compared."""
        return {content.day: records}


class Report:
    """What one poll has counted so far; `is_complete` once the last chunk was read."""

    def __init__(self, day: date, *, max_records: int) -> None:
        self.is_complete = False
        self._day = day
        self._crowd = Crowd(known_fields=FIELDS, max_records=max_records)
        self._bytes, self._connections = Spread(BYTES), Spread(CONNECTIONS)
        self._offset, self._last = -1, -1
        self._promised = 0

    @property
    def query(self) -> Mapping[str, str]:
        """Asks for the next chunk; the day is told, for the API's may end before the poll."""
        query = {
            "start_date": f"{self._day}",
            "end_date": f"{self._day}",
            "max_results": f"{MAX_RESULTS}",
        }
        return query if self._offset < 0 else query | {"cust_id_offset": f"{self._offset}"}

    def read(self, answer: Mapping[str, object]) -> None:
        """Counts a chunk's customers.

        Raises:
            TooLargeError: there are too many customers.
            SchemaError: it is no such chunk, or does not go on where the last one ended, or it is
                empty while many who were promised are missing.
        """
        customers = items(member(answer, "customers"), "customers")
        if count(member(answer, "result_count"), "result_count") != len(customers):
            raise SchemaError("result_count: not the number of customers in the chunk")
        if self._offset < 0:
            self._promised = count(member(answer, "total_count"), "total_count")
        if customers:
            self._last = count(member(answer, "last_cust_id"), "last_cust_id")
            if self._last <= self._offset:
                raise SchemaError("last_cust_id: not beyond the one before")
            self._crowd.read(customers, self._take)
            self._offset = self._last
        # A short chunk is the last, unless the API cut it shorter than we asked for.
        is_short = len(customers) < MAX_RESULTS and self._crowd.seen >= self._promised
        self.is_complete = is_short or not customers
        self._check_promise()

    def _check_promise(self) -> None:
        missing = self._promised - self._crowd.seen
        # Nobody can have left within the one answer that promises and tells nobody.
        leaving = max(MIN_LEAVING, MAX_LEAVING_SHARE * self._promised) if self._crowd.seen else 0
        if self.is_complete and missing > leaving:
            raise SchemaError(f"total_count: {missing} more were promised")

    def _take(self, cust_id: int, members: Mapping[str, object]) -> None:
        if not self._offset < cust_id <= self._last:
            raise SchemaError("cust_id: outside of the chunk")
        bandwidth_bytes = count(member(members, "bandwidth"), "bandwidth")
        connections = count(member(members, "connections"), "connections")
        self._bytes.add(bandwidth_bytes)
        self._connections.add(connections)

    def answer(self) -> Answer[Day]:
        """What may be told of all chunks."""
        crowd = self._crowd
        is_told = crowd.records >= MIN_CUSTOMERS
        return Answer(
            content=Day(
                self._day,
                customers=crowd.records,
                bandwidth_bytes=self._bytes.distribution if is_told else None,
                connections=self._connections.distribution if is_told else None,
            ),
            records=crowd.records,
            rejected=crowd.rejected,
            unknown_fields=crowd.unknown_fields,
        )


class Spread:
    """A distribution that grows value by value."""

    def __init__(self, bounds: Sequence[int]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0

    def add(self, value: int) -> None:
        """Counts a value in the first bucket whose bound it does not exceed."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    @property
    def distribution(self) -> Distribution:
        """What was added."""
        return Distribution(self._bounds, tuple(self._counts), self._total)
