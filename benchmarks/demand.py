"""What the exporter has to keep to, and what a run found of it."""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.figure import Spread
from benchmarks.result import Cost, Poll, Result, Scrapes, Starts

SERVERS = 3_500
_MANY_SERVERS = 10_000
_MOST_SERVERS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """One limit.

    Attributes:
        name: of what.
        limit: the value to keep.
        at_least: whether the value is to be higher; else lower.
        stretch: the value to wish for, if any.
        unit: of these.
        found: what was measured; its median is what counts.
    """

    name: str
    limit: float
    found: Spread
    unit: str
    at_least: bool = False
    stretch: float | None = None

    @property
    def is_kept(self) -> bool:
        """Whether it keeps to the limit."""
        return self._reaches(self.limit)

    @property
    def is_stretched(self) -> bool:
        """Whether it is as good as one may wish."""
        return self.stretch is not None and self._reaches(self.stretch)

    def _reaches(self, value: float) -> bool:
        return self.found.median >= value if self.at_least else self.found.median <= value


def demands(result: Result) -> list[Demand]:
    """All that can be judged by what was measured."""
    found: list[Demand] = []
    if result.scrapes:
        found += [*_of_costs(result.scrapes), *_of_paces(result.scrapes)]
        found += [*_of_growth(result.scrapes), *_of_memory(result.scrapes)]
    for poll in result.polls or ():
        found += _of_poll(poll)
    return found + (list(_of_starts(result.starts)) if result.starts else [])


def _of_costs(scrapes: Scrapes) -> Iterator[Demand]:
    costs = {
        cost.target: cost
        for cost in scrapes.costs
        if (cost.servers, cost.encoding) == (SERVERS, "gzip")
    }
    if not costs:
        return
    yield Demand(
        name="CPU of a scrape, as a multiple of nginx and a static file",
        limit=3,
        stretch=2,
        found=costs["nginx"].cpu_ratio.inverse(),
        unit="x",
    )
    yield Demand(
        name="CPU of a scrape by node_exporter with a textfile, as a multiple of ours",
        limit=500,
        at_least=True,
        found=_cheaper(costs["node_exporter"], costs["node_exporter_newest"]).cpu_ratio,
        unit="x",
    )
    yield Demand(
        name="CPU of a scrape rendered live by prometheus-client, as a multiple of ours",
        limit=500,
        at_least=True,
        found=costs["live"].cpu_ratio,
        unit="x",
    )


def _cheaper(one: Cost, other: Cost) -> Cost:
    return min(one, other, key=lambda cost: cost.cpu_ratio.median)


def _of_paces(scrapes: Scrapes) -> Iterator[Demand]:
    for pace in scrapes.paces:
        if pace.target == "node_exporter_newest":
            yield Demand(
                name="The same by node_exporter at one scrape per 50 ms",
                limit=100,
                at_least=True,
                found=pace.cpu_ratio,
                unit="x",
            )


def _of_growth(scrapes: Scrapes) -> Iterator[Demand]:
    for growth in scrapes.growths:
        if growth.target == "exporter":
            few, many = f"{growth.few_servers:,}", f"{growth.many_servers:,}"
            yield Demand(
                name=f"CPU of a scrape of {many} servers, as a multiple of one of {few}",
                limit=1.5,
                found=growth.cpu_ratio,
                unit="x",
            )


def _of_memory(scrapes: Scrapes) -> Iterator[Demand]:
    for footprint in scrapes.footprints:
        if (footprint.target, footprint.servers) == ("exporter", SERVERS):
            yield Demand(
                name=f"Memory (RSS) with {SERVERS:,} servers, at its peak",
                limit=55,
                found=_single(footprint.peak_mb),
                unit="MB",
            )


def _of_poll(poll: Poll) -> Iterator[Demand]:
    servers = f"{poll.servers:,}"
    if poll.servers == _MANY_SERVERS:
        yield Demand(
            name=f"p99 of scrapes while polls of {servers} servers follow each other, above idle",
            limit=2,
            found=poll.stall_ms,
            unit="ms",
        )
        yield Demand(
            name=f"From the API's answer to the page with {servers} servers",
            limit=60,
            found=poll.visible_ms,
            unit="ms",
        )
        yield Demand(
            name=f"jq making a textfile of {servers} servers, as a multiple of that",
            limit=1,
            at_least=True,
            found=poll.jq_ratio,
            unit="x",
        )
    if poll.servers == _MOST_SERVERS:
        yield Demand(
            name=f"Memory (RSS) while {servers} servers are polled, at its peak",
            limit=220,
            stretch=90,
            found=_single(poll.peak_mb),
            unit="MB",
        )


def _of_starts(starts: Starts) -> Iterator[Demand]:
    for start in starts.starts:
        if start.target == "exporter":
            yield Demand(
                name=f"From start to the first page with {starts.servers:,} servers",
                limit=350,
                found=start.first_page_ms,
                unit="ms",
            )


def _single(figure: float) -> Spread:
    return Spread(figure, figure, figure)
