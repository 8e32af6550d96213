"""What databases answer to a dashboard's queries, and what is wrong with it."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.grafana.api import Api, Matrix
from tests.grafana.pages import END
from tests.grafana.queries import Query, queries

NOW = round(END.timestamp())
MOST_LINES = 30
"""In a graph: with more, nobody tells them apart."""
MOST_ROWS = 3_500
"""In a table, which scrolls: the servers of a large fleet."""

Range = tuple[float, float]
Values = Mapping[int, float]

_ANY = (-math.inf, math.inf)
_NEAR = ((NOW - 40 * 86_400) * 1e3, (NOW + 40 * 86_400) * 1e3)
_MOVES = (1, math.inf)  # each POP of the simulated world does, at any time
_UNITS: Mapping[str, Range] = {
    "percentunit": (0, 1.2),
    "dateTimeAsIso": _NEAR,
    "dateTimeFromNow": _NEAR,
    "bps": _MOVES,
    "decbytes": _MOVES,
    "bytes": (1, 1e12),
}
"""What values of a unit can be. Those of all others are never below zero."""

_FIELDS: Mapping[str, Range] = {
    "Change": _ANY,  # goes both ways
    "Of a week ago": (0, 10),  # a quotient
    "Share of it": (0, 10),  # as well
    "In a week": (-1, 2),  # a straight line's end
}
_PANELS: Mapping[str, Range] = {
    "Without the largest POP": (0, 5),  # its users would not fit, which is what it shows
}


class Asked:
    """A dashboard's queries, and a database's answers to them.

    Args:
        api: the database's.
        dashboard: its file.
        about: leaves out queries without this text, but for variables.
        now: when, in Unix seconds.
    """

    def __init__(self, api: Api, dashboard: Path, *, about: str = "", now: int = NOW) -> None:
        self._api = api
        self._now = now
        self.answers: dict[Query, Matrix] = {}
        self.problems: dict[Query, str] = {}
        for query in queries(dashboard, self._values):
            if query not in self.answers and about in query.text:
                self._judge(query, self._ask)

    def told(self) -> list[str]:
        """The problems, for people."""
        return [f"{query}: {told}: {query.text}" for query, told in self.problems.items()]

    def _judge(self, query: Query, ask: Callable[[Query], Matrix]) -> None:
        try:
            answer = ask(query)
            problem = "; ".join(_problems(query, answer))
        except ValueError as error:
            answer, problem = [], str(error)
        self.answers[query] = answer
        if problem:
            self.problems[query] = problem

    def _values(self, query: Query) -> list[str]:
        self._judge(query, self._ask_values)
        return [series["value"] for series, _ in self.answers[query]]

    def _ask_values(self, query: Query) -> Matrix:
        found = self._api.values(
            query.label, query.text, self._now - query.range_seconds, self._now
        )
        return [({"value": value}, {self._now: 1.0}) for value in found]

    def _ask(self, query: Query) -> Matrix:
        if query.kind == "instant":
            return self._api.instant(query.text, self._now)
        # Grafana begins and ends at multiples of the step.
        step = query.step_seconds
        start, end = (at // step * step for at in (self._now - query.range_seconds, self._now))
        return self._api.range(query.text, start, end, step)


def _problems(query: Query, answer: Matrix) -> Iterator[str]:
    values = [value for _, series in answer for value in series.values()]
    numbers = [value for value in values if not math.isnan(value)]
    if not numbers:
        yield "no data"
        return
    # Nothing has a quantile where nothing happened: there a graph has a gap, as it should.
    if len(numbers) < len(values) and "histogram_quantile" not in query.text:
        yield "NaN"
    low, high = _plausible(query)
    if min(numbers) < low or max(numbers) > high:
        yield f"{min(numbers):g} to {max(numbers):g} is not within {low:g} to {high:g}"
    most = MOST_LINES if query.kind == "range" else MOST_ROWS
    if len(answer) > most:
        yield f"{len(answer)} series, more than {most}"


def _plausible(query: Query) -> Range:
    if query.field in _FIELDS:
        return _FIELDS[query.field]
    title = query.place.rpartition(" ")[0]
    return _PANELS.get(title) or _UNITS.get(query.unit, (0, math.inf))


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far answers may be apart.

    Attributes:
        relative: to the larger value.
        summed: whether only the sums of all values of a series are compared.
        more: whether the other one may have more series.
    """

    relative: float = 1e-9
    summed: bool = False
    more: bool = False

    def allows(self, one: float, other: float) -> bool:
        """Whether two values are near enough."""
        return math.isclose(one, other, rel_tol=self.relative, abs_tol=1e-9)


EXACT = Tolerance()


def differences(
    one: Asked, other: Asked, since: int, near: Callable[[Query], Tolerance]
) -> list[str]:
    """Where answers differ after an instant; of equals, `topk` may choose any."""
    return [
        f"{query}: {difference}: {query.text}"
        for query, answer in one.answers.items()
        for difference in _differences(query, answer, other.answers[query], since, near(query))
    ]


def _differences(
    query: Query, one: Matrix, other: Matrix, since: int, near: Tolerance
) -> Iterator[str]:
    mine, theirs = _by_labels(one, since), _by_labels(other, since)
    lost, found = mine.keys() - theirs.keys(), theirs.keys() - mine.keys()
    if near.more:
        found = set()
    if len(lost) != len(found) if "topk" in query.text else lost | found:
        yield f"{len(mine)} and {len(theirs)} series, such as {next(iter(lost | found))}"
    for labels in mine.keys() & theirs.keys():
        for apart in (_sums_apart if near.summed else _apart)(mine[labels], theirs[labels], near):
            yield f"{dict(labels)} {apart}"


def _by_labels(answer: Matrix, since: int) -> dict[frozenset[tuple[str, str]], Values]:
    """The series by labels, but for the name, which VictoriaMetrics' functions leave on it."""
    found: dict[frozenset[tuple[str, str]], Values] = {}
    for series, values in answer:
        late = {at: v for at, v in values.items() if at >= since and not math.isnan(v)}
        if late:
            found[frozenset((n, t) for n, t in series.items() if n != "__name__")] = late
    return found


def _apart(mine: Values, theirs: Values, near: Tolerance) -> Iterator[str]:
    if mine.keys() != theirs.keys():
        yield f"has {len(mine)} and {len(theirs)} values"
    for at in sorted(mine.keys() & theirs.keys()):
        if not near.allows(mine[at], theirs[at]):
            yield f"is {mine[at]:g} and {theirs[at]:g} at {at}"
            return


def _sums_apart(mine: Values, theirs: Values, near: Tolerance) -> Iterator[str]:
    one, other = sum(mine.values()), sum(theirs.values())
    if not near.allows(one, other):
        yield f"adds up to {one:g} and {other:g}"
