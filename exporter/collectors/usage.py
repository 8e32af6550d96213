"""The usage of the platform by POP and country code (`GET /v2/metrics/usage/pop_and_country/`).

The API answers for a range of UTC days within one month, both ends included. Asked from the first
of the month to today, it gives the month to date: gauges, exactly as the API says them. They fall
back at the month's end and when the API corrects itself, so `rate()` over them is wrong; the
observed counters are there for that. The month before is asked for until it has settled.
"""

import asyncio
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from typing import Literal, NamedTuple

from pydantic import Field

from exporter.collectors.base import Answer, Collector, Get, MaxAge, Options, Sifted, Whole, sift
from exporter.duration import Duration
from exporter.errors import SchemaError
from exporter.fields import count, mapping, member, text
from exporter.metric import Metric, Table
from exporter.month import Month

PATH = "/v2/metrics/usage/pop_and_country/"
FIELDS = frozenset({"bandwidth", "connections", "customers"})
PREVIOUS_MONTH_INTERVAL = timedelta(hours=1)

Detail = Literal["pop_country", "pop", "total"]


class Key(NamedTuple):
    """Whose usage; an empty part means that it was summed over."""

    pop: str
    country_code: str

    def __str__(self) -> str:
        return ".".join(filter(None, self))


class Growth(NamedTuple):
    """What may be summed: bytes and connections."""

    bandwidth_bytes: int
    connections: int

    def plus(self, other: "Growth") -> "Growth":
        """The sum of both."""
        return Growth(*map(sum, zip(self, other, strict=True)))

    def over(self, mark: "Growth") -> "Growth":
        """What rises above the mark, 0 where nothing does."""
        return Growth(*(max(0, value - low) for value, low in zip(self, mark, strict=True)))

    def high(self, mark: "Growth") -> "Growth":
        """The new high water mark."""
        return Growth(*map(max, self, mark))

    def falls_below(self, other: "Growth") -> bool:
        """Whether any part is less."""
        return any(value < low for value, low in zip(self, other, strict=True))


_NONE = Growth(0, 0)


@dataclass(frozen=True, slots=True)
class Cell:
    """The usage of one key; `customers` is a distinct count, None where cells were summed."""

    key: Key
    bandwidth_bytes: int
    connections: int
    customers: int | None

    @property
    def pop(self) -> str:
        """A label."""
        return self.key.pop

    @property
    def country_code(self) -> str:
        """A label: the code the usage endpoint gives, which need not be the servers' country."""
        return self.key.country_code

    @classmethod
    def from_json(cls, key: Key, members: Mapping[str, object]) -> "Cell":
        """Reads one cell of the API's `data` map.

        Raises:
            SchemaError: a member is wrong or absent.
        """
        return cls(
            _cleaned(key),
            bandwidth_bytes=count(member(members, "bandwidth"), "bandwidth"),
            connections=count(member(members, "connections"), "connections"),
            customers=count(member(members, "customers"), "customers"),
        )


@dataclass(frozen=True, slots=True)
class MonthUsage:
    """The usage of one month.

    Attributes:
        month: which.
        cells: in the order of their keys.
        unreadable: keys that have a bad record: not served, but they did not fall either.
        records: how many the API sent, before they were summed; not what makes a change.
    """

    month: Month
    cells: tuple[Cell, ...]
    unreadable: frozenset[Key] = frozenset()
    records: int = field(default=0, compare=False)

    @property
    def growth(self) -> dict[Key, Growth]:
        """The part that may be summed, by key."""
        return {cell.key: Growth(cell.bandwidth_bytes, cell.connections) for cell in self.cells}

    @property
    def start(self) -> float:
        """Unix time of the month's first instant."""
        return self.month.start.timestamp()

    @property
    def end(self) -> float:
        """Unix time of the first instant after the month."""
        return self.month.end.timestamp()


@dataclass(frozen=True, slots=True)
class Previous:
    """The month before, and when it was asked for."""

    usage: MonthUsage
    at: datetime

    def __eq__(self, other: object) -> bool:
        # When it was asked for is not the source's content.
        return isinstance(other, Previous) and self.usage == other.usage

    def __hash__(self) -> int:
        return hash(self.usage)


@dataclass(frozen=True, slots=True)
class Usage:
    """The content of a reading."""

    current: MonthUsage
    previous: Previous


class Observed(NamedTuple):
    """What one key was seen to gain since the start."""

    pop: str
    country_code: str
    growth: Growth


@dataclass(frozen=True, slots=True)
class Gains:
    """The tally: growth seen since the start.

    Attributes:
        observed: the sum of all growth, by key.
        marks: the high water mark of each key in each month that may still grow.
        corrections: how many times a cell fell within its month.
    """

    observed: Mapping[Key, Growth]
    marks: Mapping[Month, Mapping[Key, Growth]]
    corrections: int

    def rows(self) -> Iterable[Observed]:
        """The observed growth as records."""
        return [Observed(*key, growth) for key, growth in sorted(self.observed.items())]


class UsageOptions(Options):
    """What a user may set."""

    interval: Duration = Field(
        default=timedelta(minutes=15),
        description="Time from one poll to the next, 15s to 1d.",
    )
    detail: Detail = Field(
        default="pop_country",
        description="How fine the series are: `pop_country`, `pop` or `total`. Coarser ones leave "
        "out customers, a distinct count that cannot be summed.",
    )
    settle_days: Whole = Field(
        default=5,
        ge=0,
        le=28,
        description="Days of a new month during which the previous month is still polled, hourly.",
    )


def _gauges(month: str, told: str) -> tuple[Metric, ...]:
    labels = ("account", "pop", "country_code")
    return (
        Metric(
            f"wlvpn_usage_{month}_bytes",
            "gauge",
            f"Bandwidth in bytes in {told}.",
            labels,
            lambda cell: cell.bandwidth_bytes,
        ),
        Metric(
            f"wlvpn_usage_{month}_connections",
            "gauge",
            f"Connections in {told}.",
            labels,
            lambda cell: cell.connections,
        ),
        Metric(
            f"wlvpn_usage_{month}_customers",
            "gauge",
            f"Distinct customers in {told}; never to be summed.",
            labels,
            lambda cell: cell.customers,
        ),
    )


_MONTH_TO_DATE = _gauges("month_to_date", "the UTC month so far, as polled from the usage endpoint")


class UsageCollector(Collector[Usage, Gains]):
    """See the module."""

    name = "usage"
    help = "Bandwidth, connections and customers by POP and country code."
    options_type = UsageOptions
    stale = MaxAge(intervals=3, floor=timedelta(hours=3))
    drop = MaxAge(intervals=3, floor=timedelta(hours=26))
    content_tables = (
        Table(lambda usage: usage.current.cells, _MONTH_TO_DATE),
        Table(
            lambda usage: usage.previous.usage.cells,
            _gauges("previous_month", "the UTC month before, as polled until it has settled"),
        ),
        Table(
            lambda usage: [usage.current],
            (
                Metric(
                    "wlvpn_usage_month_start_timestamp_seconds",
                    "gauge",
                    "Unix time of the start of the UTC month that the polled usage belongs to.",
                    ("account",),
                    lambda usage: usage.start,
                ),
                Metric(
                    "wlvpn_usage_month_end_timestamp_seconds",
                    "gauge",
                    "Unix time of the end of the UTC month that the polled usage belongs to.",
                    ("account",),
                    lambda usage: usage.end,
                ),
            ),
        ),
    )
    tally_tables = (
        Table(
            Gains.rows,
            (
                Metric(
                    "wlvpn_usage_observed_bytes_total",
                    "counter",
                    "Growth in bytes of the polled usage since the exporter started; "
                    "corrections downwards add nothing.",
                    ("account", "pop", "country_code"),
                    lambda row: row.growth.bandwidth_bytes,
                ),
                Metric(
                    "wlvpn_usage_observed_connections_total",
                    "counter",
                    "Growth in connections of the polled usage since the exporter started; "
                    "corrections downwards add nothing.",
                    ("account", "pop", "country_code"),
                    lambda row: row.growth.connections,
                ),
            ),
        ),
        Table(
            lambda gains: [gains],
            (
                Metric(
                    "wlvpn_usage_corrections_total",
                    "counter",
                    "Usage cells that a poll found lower than the poll before, within one month.",
                    ("account",),
                    lambda gains: gains.corrections,
                ),
            ),
        ),
    )

    history_tables = (Table(lambda usage: usage.cells, _MONTH_TO_DATE),)
    """What `fetch_day` gives, as metrics."""

    options: UsageOptions

    async def fetch(self, get: Get, *, now: datetime, last: Usage | None) -> Answer[Usage]:
        """Asks for the month to date, and for the month before when that is due."""
        month = Month.of(now)
        current, sifted = await self._ask(get, month, until=now)
        previous = last.previous if last else None
        if previous is None or self._is_due(previous, month, now):
            usage, also_sifted = await self._ask(get, month.previous, until=now)
            previous = Previous(usage, at=now)
            rejected = sifted.rejected + also_sifted.rejected
            unknown_fields = sifted.unknown_fields | also_sifted.unknown_fields
        else:
            rejected, unknown_fields = sifted.rejected, sifted.unknown_fields
        return Answer(
            content=Usage(current, previous),
            records=len(sifted.records),
            rejected=rejected,
            unknown_fields=unknown_fields,
        )

    async def fetch_day(self, get: Get, day: date) -> Answer[MonthUsage]:
        """Asks for the month to date as of a day's end.

        Raises:
            ApiError: the answer cannot be had or trusted.
        """
        at = datetime.combine(day, time(), UTC)
        usage, sifted = await self._ask(get, Month.of(at), until=at)
        return Answer(
            content=usage,
            records=len(sifted.records),
            rejected=sifted.rejected,
            unknown_fields=sifted.unknown_fields,
        )

    def _is_due(self, previous: Previous, month: Month, now: datetime) -> bool:
        settled = month.start + timedelta(days=self.options.settle_days)
        return (
            previous.usage.month != month.previous
            or previous.at < settled <= now
            or (now < settled and now - previous.at >= PREVIOUS_MONTH_INTERVAL)
        )

    async def _ask(
        self, get: Get, month: Month, *, until: datetime
    ) -> tuple[MonthUsage, Sifted[Key, Cell]]:
        start, end = month.days(until)
        answer = await get(PATH, {"start_date": f"{start}", "end_date": f"{end}"})
        return await asyncio.to_thread(self._read, month, answer)

    def _read(
        self, month: Month, answer: Mapping[str, object]
    ) -> tuple[MonthUsage, Sifted[Key, Cell]]:
        sifted = sift(
            _entries(mapping(member(answer, "data"), "data")),
            Cell.from_json,
            key=lambda cell: cell.key,
            known_fields=FIELDS,
            max_records=self.options.max_records,
        )
        cells = _sum(sifted, self.options.detail)
        unreadable = frozenset(map(_cleaned, sifted.bad))
        return MonthUsage(month, cells, unreadable, records=len(sifted.records)), sifted

    def first_tally(self) -> Gains:
        """Nothing seen yet."""
        return Gains(observed={}, marks={}, corrections=0)

    def count(self, tally: Gains, *, last: Usage | None, content: Usage) -> Gains:
        """Adds what each month of the reading gained over its high water marks.

        A month that began since the last reading counts from 0. Not observed is what the first
        reading tells, what one tells of older months, and what a cell had when it was unreadable.
        """
        observed, marks = dict(tally.observed), dict(tally.marks)
        before = (last.previous.usage, last.current) if last else ()
        unreadable = {usage.month: usage.unreadable for usage in before}
        for usage in (content.previous.usage, content.current):
            if usage.month in marks:
                known = marks[usage.month]
            else:
                began_since = tally.marks and usage.month > max(tally.marks)
                known = {} if began_since else usage.growth
            risen = {
                key: growth.high(known.get(key, _NONE)) for key, growth in usage.growth.items()
            }
            marks[usage.month] = {**known, **risen}
            for key, growth in usage.growth.items():
                was_unreadable = unreadable.get(usage.month, frozenset()) & {key, Key(key.pop, "")}
                gain = growth.over(known.get(key, growth if was_unreadable else _NONE))
                observed[key] = observed.get(key, _NONE).plus(gain)
        # A clock that was wrong may show a month again: those next to this one keep their marks.
        current = content.current.month
        near = (current.previous, current, Month.of(current.end))
        kept = {month: mark for month, mark in marks.items() if month in near}
        return Gains(observed, kept, tally.corrections + _corrections(last, content))

    def valid_until(self, content: Usage) -> datetime:
        """The month's end."""
        return content.current.month.end

    def sizes(self, content: Usage, records: int) -> Mapping[Hashable, int]:
        """Those of each month: a new one, whose map is empty at first, had none to be compared."""
        closed = content.previous.usage
        return {content.current.month: records, closed.month: closed.records}


def _entries(usage: Mapping[str, object]) -> Iterator[tuple[Key, object]]:
    for pop, cells in usage.items():
        if not isinstance(cells, dict):
            # Left to be found bad as one record, except the empty map, which has none.
            yield from [] if cells == [] else [(Key(pop, ""), cells)]
            continue
        for country_code, cell in cells.items():
            yield Key(pop, country_code or "unknown"), cell


def _cleaned(key: Key) -> Key:
    return Key(text(key.pop, "pop"), key.country_code and text(key.country_code, "country_code"))


def _sum(sifted: Sifted[Key, Cell], detail: Detail) -> tuple[Cell, ...]:
    """Sums the cells to the wanted detail.

    Raises:
        SchemaError: a cell to be summed is bad, and the sum would be a made-up number.
    """
    if detail == "pop_country":
        return sifted.records
    if sifted.rejected:
        raise SchemaError(f"cannot sum with a bad record: {sifted.rejected[0]}")
    return tuple(
        Cell(
            Key(pop, ""),
            bandwidth_bytes=sum(cell.bandwidth_bytes for cell in cells),
            connections=sum(cell.connections for cell in cells),
            customers=None,
        )
        for pop, group in groupby(
            sifted.records, key=lambda cell: cell.pop if detail == "pop" else ""
        )
        for cells in [list(group)]
    )


def _corrections(last: Usage | None, content: Usage) -> int:
    """How many cells fell since the last reading, month by month."""
    if last is None:
        return 0
    known = {u.month: u.growth for u in (last.previous.usage, last.current)}
    return sum(
        growth.get(key, _NONE).falls_below(before)
        for usage in (content.previous.usage, content.current)
        for growth in [usage.growth]
        for key, before in known.get(usage.month, {}).items()
        if not usage.unreadable & {key, Key(key.pop, "")}
    )
