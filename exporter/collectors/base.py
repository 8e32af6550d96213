"""What a collector is: one resource of the API, its records and its metrics.

A collector knows neither its account nor the clock nor the network: it is handed a `get` and an
instant, and returns what the API said. Its options, flags, documentation and health metrics follow
from its name in `collectors.ALL`; CONTRIBUTING.md tells what else a new one needs.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from exporter.duration import Duration
from exporter.errors import SchemaError, TooLargeError
from exporter.fields import clean, mapping
from exporter.metric import Metric, Table

Get = Callable[[str, Mapping[str, str]], Awaitable[Mapping[str, object]]]
"""Asks the API: path and query in, decoded JSON object out."""

C = TypeVar("C")
P = TypeVar("P", bound=Hashable)
R = TypeVar("R")
T = TypeVar("T")

MAX_BAD_RATIO = 0.2
"""Share of bad records above which the whole answer is refused."""

MIN_INTERVAL = timedelta(seconds=15)
MAX_INTERVAL = timedelta(days=1)

_WHOLE = re.compile(r"[0-9]{1,18}", re.ASCII)


def _read_whole(value: object) -> object:
    """Lets only digits pass as a number: pydantic would take 5_0 for fifty, and true for one."""
    if isinstance(value, bool) or (isinstance(value, str) and not _WHOLE.fullmatch(value)):
        raise ValueError("not a whole number: write digits alone")
    return value


Whole = Annotated[int, BeforeValidator(_read_whole)]


class Options(BaseModel):
    """What a user may set for every collector."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    enabled: bool = Field(default=True, description="Whether this collector polls at all.")
    interval: Duration = Field(
        default=timedelta(seconds=60), description="Time from one poll to the next, 15s to 1d."
    )
    max_records: Whole = Field(
        default=20_000, ge=1, description="An answer with more records than this is refused."
    )

    @field_validator("interval")
    @classmethod
    def _is_polite(cls, interval: timedelta) -> timedelta:
        if interval < MIN_INTERVAL:
            raise ValueError("shorter than 15s would be impolite to the API: write 15s or more")
        if interval > MAX_INTERVAL:
            raise ValueError("longer than 1d tells nothing any more: write 1d or less")
        return interval


class OptInOptions(Options):
    """What a user may set for a collector that is off by default."""

    enabled: bool = Field(default=False, description="Whether this collector polls at all.")
    interval: Duration = Field(
        default=timedelta(hours=1), description="Time from one poll to the next, 15s to 1d."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxAge:
    """How old a reading may grow: the larger of some intervals and a fixed time."""

    intervals: int
    floor: timedelta

    def seconds(self, interval: timedelta) -> float:
        """The age in seconds, for one interval between polls."""
        return max(self.intervals * interval, self.floor).total_seconds()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Generic[C]):
    """What one poll brought.

    Attributes:
        content: the accepted records; equal contents mean that the source did not change.
        records: how many.
        rejected: why each bad record was left out.
        unknown_fields: members that the API's documentation does not know.
    """

    content: C
    records: int
    rejected: tuple[SchemaError, ...] = ()
    unknown_fields: frozenset[str] = frozenset()


class Collector(ABC, Generic[C, T]):
    """One resource of the API, for one account.

    `C` is the content of a reading: what the API says now. `T` is the tally: what was counted over
    all readings since the start; it outlives a dropped reading.
    """

    name: ClassVar[str]
    help: ClassVar[str]
    options_type: ClassVar[type[Options]] = Options
    stale: ClassVar[MaxAge]
    drop: ClassVar[MaxAge]
    pause_seconds: ClassVar[float] = 0.0  # between two questions of one poll
    content_tables: ClassVar[tuple[Table, ...]]
    tally_tables: ClassVar[tuple[Table, ...]] = ()

    def __init__(self, options: Options, countries: tuple[str, ...] = ()) -> None:
        self.options = options
        self.countries = countries

    @classmethod
    def metrics(cls) -> tuple[Metric, ...]:
        """All metrics, in the order of the page."""
        return tuple(m for table in cls.content_tables + cls.tally_tables for m in table.metrics)

    @property
    def stale_seconds(self) -> float:
        """The age in seconds from which a reading is stale."""
        return self.stale.seconds(self.options.interval)

    @property
    def drop_seconds(self) -> float:
        """The age in seconds at which a reading is dropped."""
        return self.drop.seconds(self.options.interval)

    @abstractmethod
    async def fetch(self, get: Get, *, now: datetime, last: C | None) -> Answer[C]:
        """Asks the API.

        Args:
            get: asks the API once.
            now: the poll's one instant; every window is computed from it.
            last: the content accepted last, if any.

        Raises:
            ApiError: the answer cannot be had or trusted.
        """

    @abstractmethod
    def first_tally(self) -> T:
        """The tally before the first reading."""

    @abstractmethod
    def count(self, tally: T, *, last: C | None, content: C) -> T:
        """Folds an accepted reading into the tally."""

    def valid_until(self, content: C) -> datetime | None:
        """When the content stops being true by itself; None if only its age ends it."""
        del content
        return None

    def sizes(self, content: C, records: int) -> Mapping[Hashable, int]:
        """How many records each part has: a loss is suspicious where two readings have the part."""
        del content
        return {"": records}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sifted(Generic[P, R]):
    """What was found in an answer.

    Attributes:
        records: the good records, in the order of their keys.
        bad: the paths of the bad ones: they are listed all the same.
        rejected: what is wrong with those.
        unknown_fields: members that the API's documentation does not know.
    """

    records: tuple[R, ...]
    bad: tuple[P, ...]
    rejected: tuple[SchemaError, ...]
    unknown_fields: frozenset[str]


def sift(
    entries: Iterable[tuple[P, object]],
    read: Callable[[P, Mapping[str, object]], R],
    *,
    key: Callable[[R], Any],
    known_fields: frozenset[str],
    max_records: int,
) -> Sifted[P, R]:
    """Reads records one by one and leaves the bad ones out.

    That takes a while: it is for a thread, beside the event loop.

    Args:
        entries: the path of each record in the answer, and its value.
        read: makes a record; raises SchemaError for a bad one.
        key: what tells records apart; two series of one name would make the page unreadable.
        known_fields: the documented members of a record.
        max_records: more records than this refuse the answer.

    Raises:
        TooLargeError: there are more than `max_records`.
        SchemaError: more than a fifth of the records are bad.
    """
    records: dict[Any, R] = {}
    bad: list[tuple[P, SchemaError]] = []
    unknown: set[str] = set()
    for seen, (path, value) in enumerate(entries, start=1):
        if seen > max_records:
            raise TooLargeError(f"more than {max_records} records: raise max_records if that is so")
        try:
            members = mapping(value, "record")
            record = read(path, members)
        except SchemaError as error:
            bad.append((path, SchemaError(f"{clean(str(path))}: {error}")))
            continue
        name = key(record)
        if name in records:
            told = SchemaError(f"{clean(str(path))}: a second record of this name")
            bad.append((path, told))
            continue
        records[name] = record
        if not known_fields.issuperset(members):
            unknown |= members.keys() - known_fields
    rejected = tuple(error for _, error in bad)
    if len(rejected) > MAX_BAD_RATIO * (len(records) + len(rejected)):
        seen = len(records) + len(rejected)
        raise SchemaError(f"{len(rejected)} of {seen} records are bad, the first: {rejected[0]}")
    return Sifted(
        records=tuple(map(records.__getitem__, sorted(records))),
        bad=tuple(path for path, _ in bad),
        rejected=rejected,
        unknown_fields=frozenset(map(clean, unknown)),
    )
