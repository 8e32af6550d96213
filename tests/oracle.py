"""The oracle: a second opinion on every scrape, from the API's answers alone.

It hears what the API sent and reads what the exporter serves, and takes nothing from the exporter's
code. What a page shows of a collector has to be, exactly and as a whole, what one acceptable answer
said: never a mixture, never a number made up, never older than it may be or than what was shown
before. Nothing to show is right only where that is explained.

Its instants are wall clock: it complains when that is stepped.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Literal

from tests.oracle_answer import (
    CAPACITY,
    INFO,
    MAX_RECORDS,
    SERVERS,
    Detail,
    Labels,
    Listed,
    Series,
    UnacceptableError,
    Used,
    read_servers,
    read_usage,
)
from tests.oracle_page import Page, read_page
from tests.oracle_polls import Ages, Polls, Samples, absences, incoherences, read_polls
from tests.oracle_tally import Month, Tally, month_before

Endpoint = Literal["servers", "usage"]

UNITS = ("bytes", "connections", "customers")
THIS_MONTH = {f"wlvpn_usage_month_to_date_{unit}": unit for unit in UNITS}
LAST_MONTH = {f"wlvpn_usage_previous_month_{unit}": unit for unit in UNITS}
BOUNDS = ("wlvpn_usage_month_start_timestamp_seconds", "wlvpn_usage_month_end_timestamp_seconds")

MOST_DIFFERENCES = 5


class Oracle:
    """Hears the API's answers to one account and checks the exporter's pages.

    It knows the counters of usage to the last byte as long as it sees a page after each accepted
    poll: `is_exact` tells whether it did. Once it missed one, it still sees that they never fall.

    Args:
        account: whose series are checked; those of others only have to be well formed.
        collectors: those that are enabled.
        countries: the configured ones.
        detail: how fine the usage series are.
        max_records: an answer with more is not acceptable.
        servers: ages of the servers' readings, the documented ones if None.
        usage: ages of the usage readings, the documented ones if None.
        poll_seconds: how long before its last answer a poll may have begun.
        slack_seconds: how far the instants that it is told may be off.
        polled: whether pages tell of the polls. Where they do not, each page that shows usage
            counts as the next reading, and nothing to show needs no explanation.
    """

    def __init__(
        self,
        account: str,
        *,
        collectors: Collection[Endpoint] = ("servers", "usage"),
        countries: Sequence[str] = (),
        detail: Detail = "pop_country",
        max_records: int = MAX_RECORDS,
        servers: Ages | None = None,
        usage: Ages | None = None,
        poll_seconds: float = 30,
        slack_seconds: float = 2,
        polled: bool = True,
    ) -> None:
        self._account = account
        self._collectors = collectors
        self._countries = tuple(countries)
        self._detail: Detail = detail
        self._max_records = max_records
        self._ages = {
            "servers": servers or Ages(stale_seconds=180, ttl_seconds=600),
            "usage": usage or Ages(stale_seconds=3 * 3600, ttl_seconds=26 * 3600),
        }
        self._poll = timedelta(seconds=poll_seconds)
        self._slack = timedelta(seconds=slack_seconds)
        self._polled = polled
        self._heard: dict[str, list[_Heard]] = {"servers": [], "usage": []}
        self._numbers = 0
        self._since: datetime | None = None
        self._floors = {"servers": 0, "usage": 0, "previous": 0}
        self.reset()

    def reset(self) -> None:
        """Takes the next page for the first of a new process."""
        self._cumulative: Samples = {}
        self._successes: dict[str, datetime] = {}
        self._accepted = 0
        self._tally = Tally()
        self.is_exact = True

    def hear(self, endpoint: Endpoint, query: Mapping[str, str], body: bytes, at: datetime) -> None:
        """Takes note of an answer that was sent whole, with status 200 and as JSON."""

        def read() -> Listed | Used:
            if endpoint == "servers":
                return read_servers(body, countries=self._countries, max_records=self._max_records)
            return read_usage(body, detail=self._detail, max_records=self._max_records)

        self._numbers += 1
        self._heard[endpoint].append(_Heard(self._numbers, at, query, read))

    def check(
        self, page: str, at: datetime, *, openmetrics: bool, since: datetime | None = None
    ) -> list[str]:
        """Tells all that is wrong with a scrape, one line each.

        Args:
            page: it.
            at: when it was served.
            openmetrics: whether it has that format.
            since: where pages do not tell of the polls: when the answer was sent that has to be
                shown, if any has.
        """
        self._since = since
        read = read_page(page, openmetrics=openmetrics)
        samples = read.samples(self._account)
        problems = [*read.problems, *self._falls(read)]
        checks = {"servers": self._check_servers, "usage": self._check_usage}
        for collector in self._collectors:
            polls = read_polls(samples, collector) if self._polled else None
            absent = absences(polls) if polls else []
            found = absent or [
                *(self._check_polls(collector, polls, at) if polls else ()),
                *checks[collector](samples, polls, at),
            ]
            problems += [f"{collector}: {problem}" for problem in found]
        self._forget(at)
        return problems

    def _falls(self, page: Page) -> Iterator[str]:
        """Finds counters that fell or vanished."""
        before, self._cumulative = self._cumulative, page.cumulative(self._account)
        for name, values in before.items():
            now = self._cumulative.get(name, {})
            if now is values:
                continue
            for labels, value in values.items():
                if now.get(labels, -1) < value:
                    yield f"{name}{_written(labels)} fell from {value:g} to {now.get(labels)}"

    def _check_polls(self, collector: str, polls: Polls, at: datetime) -> Iterator[str]:
        until = None
        if polls.success and collector == "usage":
            until = _start(_month_after(_month(polls.success)))
        yield from incoherences(polls, self._ages[collector], at, slack=self._slack, until=until)
        before = self._successes.get(collector)
        if before and (polls.success is None or polls.success < before):
            yield "the last success fell back"
        if polls.success:
            self._successes[collector] = polls.success

    def _check_servers(self, samples: Samples, polls: Polls | None, at: datetime) -> Iterator[str]:
        shown = _take(samples, (CAPACITY, INFO, SERVERS))
        if not any(shown.values()) and self._may_be_gone("servers", polls, at):
            return
        since, until = self._window("servers", polls, at)
        yield from self._too_old("servers", polls, at)
        candidates = [
            heard
            for heard in self._acceptable("servers", since, until)
            if _countries(heard.query) == set(self._countries)
        ]
        matching = [heard for heard in candidates if _series(heard) == shown]
        yield from self._verdict("servers", shown, candidates, matching)
        yield from _miscounted(polls, matching)

    def _check_usage(self, samples: Samples, polls: Polls | None, at: datetime) -> Iterator[str]:
        asked = polls.success if polls and polls.success else at
        month = _month(asked)
        shown = _take(samples, (*THIS_MONTH, *LAST_MONTH, *BOUNDS))
        is_gone = not any(shown.values()) and self._may_be_gone("usage", polls, at, month)
        since, until = self._window("usage", polls, at)
        currents = [h for h in self._acceptable("usage", since, until) if self._asks_for(h, month)]
        previouses = self._previouses(month, until)
        if not is_gone:
            yield from self._too_old("usage", polls, at, month)
            currents_shown = _take(shown, THIS_MONTH)
            matching = [h for h in currents if _series(h, THIS_MONTH) == currents_shown]
            yield from self._verdict("usage", currents_shown, currents, matching, THIS_MONTH)
            yield from _miscounted(polls, matching)
            currents = matching
            previouses_shown = _take(shown, LAST_MONTH)
            matching = [h for h in previouses if _series(h, LAST_MONTH) == previouses_shown]
            yield from self._verdict("previous", previouses_shown, previouses, matching, LAST_MONTH)
            previouses = matching
            if _take(shown, BOUNDS) != _bounds(month):
                yield f"the month is not {month}"
        is_next = self._is_next(polls, is_shown=not is_gone)
        if is_next:
            self._reckon(month, currents, previouses)
        if self.is_exact:
            expected = self._tally.series()
            yield from _differences(_take(samples, expected), expected)

    def _is_next(self, polls: Polls | None, *, is_shown: bool) -> bool:
        """Whether the page comes right after the next accepted poll."""
        if polls is None:
            return is_shown
        steps, self._accepted = polls.accepted - self._accepted, polls.accepted
        if steps not in (0, 1):
            self.is_exact = False
        return steps == 1

    def _reckon(
        self, month: Month, currents: Sequence["_Heard"], previouses: Sequence["_Heard"]
    ) -> None:
        current, previous = _only(currents), _only(previouses)
        if current and previous:
            self._tally.add(month=month, current=current, previous=previous)
        else:
            self.is_exact = False

    def _window(
        self, collector: str, polls: Polls | None, at: datetime
    ) -> tuple[datetime, datetime]:
        """When the answer that is shown was sent."""
        if polls is None:
            return self._since or at - timedelta(seconds=self._ages[collector].ttl_seconds), at
        if polls.success is None:
            return at, at - self._slack
        success = polls.success
        return success - self._slack, min(success + self._poll, at) + self._slack

    def _acceptable(self, collector: str, since: datetime, until: datetime) -> Iterator["_Heard"]:
        """The answers that may be shown: none older than what was shown already."""
        for heard in reversed(self._heard[collector]):
            if heard.at < since or heard.number < self._floors[collector]:
                return
            if heard.at <= until and heard.said is not None:
                yield heard

    def _asks_for(self, heard: "_Heard", month: Month) -> bool:
        """Whether it was asked for the month so far."""
        days = {f"{at:%F}" for at in (heard.at - self._poll - self._slack, heard.at + self._slack)}
        query = heard.query
        return query.get("start_date") == f"{_start(month):%F}" and query.get("end_date") in days

    def _previouses(self, month: Month, until: datetime) -> list["_Heard"]:
        """The answers for the month before, asked for since that was over."""
        start, last = _start(month_before(month)), _start(month) - timedelta(days=1)
        question = {"start_date": f"{start:%F}", "end_date": f"{last:%F}"}
        return [
            heard
            for heard in reversed(self._heard["usage"])
            if heard.query == question and _start(month) - self._slack <= heard.at <= until
            if heard.number >= self._floors["previous"] and heard.said is not None
        ]

    def _may_be_gone(
        self, collector: str, polls: Polls | None, at: datetime, month: Month | None = None
    ) -> bool:
        if polls is None:
            return self._since is None
        return self._is_over(collector, polls, at + self._slack, month)

    def _too_old(
        self, collector: str, polls: Polls | None, at: datetime, month: Month | None = None
    ) -> Iterator[str]:
        if polls and self._is_over(collector, polls, at - self._slack, month):
            yield "what is shown was never read, or is too old, or its month is over"

    def _is_over(self, collector: str, polls: Polls, at: datetime, month: Month | None) -> bool:
        if polls.success is None or (month and at >= _start(_month_after(month))):
            return True
        return (at - polls.success).total_seconds() >= self._ages[collector].ttl_seconds

    def _verdict(
        self,
        kind: str,
        shown: Samples,
        candidates: Sequence["_Heard"],
        matching: Sequence["_Heard"],
        names: Mapping[str, str] | None = None,
    ) -> Iterator[str]:
        """Says what is wrong with what is shown, or takes note that it was shown."""
        if matching:
            self._floors[kind] = min(heard.number for heard in matching)
        elif candidates:
            yield from _differences(shown, _series(candidates[0], names))
        else:
            yield f"{kind}: shown without an acceptable answer that is new enough"

    def _forget(self, at: datetime) -> None:
        """Lets go of answers that no later page may show."""
        age = timedelta(seconds=self._ages["servers"].ttl_seconds) + self._poll
        self._heard["servers"] = [
            heard
            for heard in self._heard["servers"]
            if heard.number >= self._floors["servers"] and heard.at >= at - age
        ]
        floor = min(self._floors["usage"], self._floors["previous"])
        self._heard["usage"] = [
            heard
            for heard in self._heard["usage"]
            if heard.number >= self._floors["usage"]
            or (heard.number >= floor and not self._asks_for(heard, _month(heard.at)))
        ]


class _Heard:
    """An answer that the API sent whole; read when somebody wants to know what it said."""

    def __init__(
        self, number: int, at: datetime, query: Mapping[str, str], read: Callable[[], Listed | Used]
    ) -> None:
        self.number = number
        self.at = at
        self.query = dict(query)
        self._read = read

    @cached_property
    def said(self) -> Listed | Used | None:
        """What it said; None where nothing of it may be shown."""
        try:
            return self._read()
        except UnacceptableError:
            return None
        finally:
            del self._read  # it holds the bytes


def _series(heard: _Heard, names: Mapping[str, str] | None = None) -> Series:
    """What a page shows of an acceptable answer, under these names."""
    assert heard.said is not None
    series = heard.said.series
    return {name: series[unit] for name, unit in names.items()} if names else series


def _only(found: Sequence[_Heard]) -> Used | None:
    """What all of them say; None if they do not agree."""
    said = [heard.said for heard in found if isinstance(heard.said, Used)]
    if not said or any(
        (used.amounts, used.unreadable) != (said[0].amounts, said[0].unreadable) for used in said
    ):
        return None
    return said[0]


def _miscounted(polls: Polls | None, matching: Iterable[_Heard]) -> Iterator[str]:
    counts = {heard.said.records for heard in matching if heard.said}
    if polls and counts and polls.records not in counts:
        yield f"{polls.records} records, not {max(counts)}"


def _take(samples: Samples, names: Iterable[str]) -> dict[str, Mapping[Labels, float]]:
    return {name: samples.get(name, {}) for name in names}


def _differences(shown: Samples, expected: Series) -> list[str]:
    differences = [
        f"{name}{_written(labels)} is {values.get(labels)}, not {expected[name].get(labels)}"
        for name, values in shown.items()
        if values != expected[name]
        for labels in sorted(values.keys() | expected[name].keys())
        if values.get(labels) != expected[name].get(labels)
    ]
    more = len(differences) - MOST_DIFFERENCES
    return differences[:MOST_DIFFERENCES] + ([f"... and {more} more"] if more > 0 else [])


def _written(labels: Labels) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels) + "}"


def _countries(query: Mapping[str, str]) -> set[str]:
    return set(filter(None, query.get("country", "").split(",")))


def _month(at: datetime) -> Month:
    return at.year, at.month


def _month_after(month: Month) -> Month:
    return _month(_start(month) + timedelta(days=31))


def _start(month: Month) -> datetime:
    return datetime(*month, 1, tzinfo=UTC)


def _bounds(month: Month) -> Series:
    instants = _start(month), _start(_month_after(month))
    return {name: {(): at.timestamp()} for name, at in zip(BOUNDS, instants, strict=True)}
