"""What a scrape costs: latency, throughput, CPU time and memory, beside four alternatives.

All targets of a size run at the same time, and each round visits them one after the other, so that
what disturbs the machine disturbs them all. Ratios are taken within a round.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.figure import ratios, spread
from benchmarks.load import Load, Loader
from benchmarks.process import Say, cpu_ms, memory_mb
from benchmarks.program import Programs
from benchmarks.result import (
    Cost,
    Encoding,
    Footprint,
    Growth,
    Pace,
    Scrapes,
    TargetName,
)
from benchmarks.target import Target, is_large, rounds_at, targets

PACED_SERVERS = 3_500
GROWTH_SERVERS = (1_000, 10_000)
CROWD = 8

_ENCODINGS: tuple[Encoding, ...] = ("gzip", "identity")
_PACED: tuple[TargetName, ...] = ("exporter", "nginx", "node_exporter_newest")
_PER_SECOND = 20.0
_PACED_REQUESTS = 40
_LOAD_SECONDS = 0.4
_MAX_REQUESTS = 4_000
_SLOW_MS = 1000.0


@dataclass(frozen=True, slots=True)
class Visit:
    """What one round found: a client alone, and a crowd."""

    cpu_ms: float
    alone: Load
    crowd: Load | None


@dataclass(slots=True)
class Lane:
    """One target at one size, in one encoding, with what its rounds found."""

    target: Target
    servers: int
    encoding: Encoding
    loader: Loader
    requests: int = 1
    is_slow: bool = False
    visits: list[Visit] = field(default_factory=list)
    paced_ms: list[float] = field(default_factory=list)

    @property
    def cpu_ms(self) -> list[float]:
        """The CPU time of a scrape in each round."""
        return [visit.cpu_ms for visit in self.visits]

    def warm_up(self) -> None:
        """Scrapes a little, and learns how many scrapes fit into a visit."""
        latency_ms = self.loader.run(1).p50_ms
        if latency_ms < 50:
            latency_ms = self.loader.run(100).p50_ms
        self.is_slow = latency_ms > _SLOW_MS
        self.requests = min(_MAX_REQUESTS, max(1, round(_LOAD_SECONDS * 1000 / latency_ms)))

    def visit(self) -> None:
        """Measures once."""
        cost_ms, alone = self._charged(self.requests)
        crowd = None
        if not self.is_slow or self.encoding == "gzip":
            crowd = self.loader.run(max(CROWD, self.requests), clients=CROWD)
        self.visits.append(Visit(cost_ms, alone, crowd))

    def pace(self) -> None:
        """Measures once at a slow pace: between scrapes the caches go cold."""
        cost_ms, _ = self._charged(_PACED_REQUESTS, per_second=_PER_SECOND)
        self.paced_ms.append(cost_ms)

    def _charged(self, requests: int, *, per_second: float | None = None) -> tuple[float, Load]:
        """Scrapes, and gives the CPU time that the server used for each scrape."""
        before_ms = cpu_ms(self.target.pid)
        load = self.loader.run(requests, per_second=per_second)
        return (cpu_ms(self.target.pid) - before_ms) / requests, load


def measure(programs: Programs, sizes: Sequence[int], rounds: int, say: Say) -> Scrapes:
    """Measures all sizes.

    Args:
        programs: what is measured, and measured with.
        sizes: numbers of servers.
        rounds: how often; three times at the most above 20,000 servers, and only once where a
            scrape takes more than a second.
        say: is told how far it is.

    Raises:
        BenchError: something does not run or answer.
    """
    parts = [_measure(programs, stage, rounds_at(stage[0], rounds), say) for stage in stages(sizes)]
    return Scrapes(
        costs=tuple(cost for part in parts for cost in part.costs),
        footprints=tuple(footprint for part in parts for footprint in part.footprints),
        paces=tuple(pace for part in parts for pace in part.paces),
        growths=tuple(growth for part in parts for growth in part.growths),
    )


def stages(sizes: Iterable[int]) -> list[list[int]]:
    """The sizes that are measured together: all but the large ones, which fill the machine."""
    ordered = sorted(sizes)
    small = [size for size in ordered if not is_large(size)]
    large = [[size] for size in ordered if is_large(size)]
    return [small, *large] if small else large


def _measure(programs: Programs, sizes: Sequence[int], rounds: int, say: Say) -> Scrapes:
    with _lanes(programs, sizes, say) as lanes:
        footprints = {(lane.servers, lane.target): memory_mb(lane.target.pid)[0] for lane in lanes}
        for number in range(1, rounds + 1):
            say(f"scrapes, {_named(sizes)} servers: round {number} of {rounds}")
            for lane in lanes:
                if number == 1 or not lane.is_slow:
                    lane.visit()
            for lane in _paced(lanes):
                lane.pace()
        return Scrapes(
            costs=tuple(_cost(lane, lanes) for lane in lanes),
            footprints=tuple(
                Footprint(
                    target=target.name,
                    servers=servers,
                    rss_mb=rss_mb,
                    peak_mb=memory_mb(target.pid)[1],
                )
                for (servers, target), rss_mb in footprints.items()
            ),
            paces=tuple(_pace(lane, lanes) for lane in _paced(lanes)),
            growths=tuple(_growths(lanes)),
        )


@contextmanager
def _lanes(programs: Programs, sizes: Sequence[int], say: Say) -> Iterator[list[Lane]]:
    with ExitStack() as exits:
        lanes = []
        for servers in sizes:
            say(f"scrapes, {servers:,} servers: starting and warming up")
            folder = Path(exits.enter_context(TemporaryDirectory(prefix="wlvpn-bench-")))
            found = exits.enter_context(targets(servers, programs, folder))
            lanes += [
                Lane(target, servers, encoding, target.loader(programs.h2load, encoding))
                for encoding in _ENCODINGS
                for target in found
            ]
        for lane in lanes:
            lane.warm_up()
        yield lanes


def _named(sizes: Sequence[int]) -> str:
    return " / ".join(f"{size:,}" for size in sizes)


def _paced(lanes: Iterable[Lane]) -> list[Lane]:
    return [
        lane
        for lane in lanes
        if (lane.servers, lane.encoding) == (PACED_SERVERS, "gzip") and lane.target.name in _PACED
    ]


def _ours(lane: Lane, lanes: Iterable[Lane]) -> Lane:
    """The exporter's lane beside a target's."""
    return next(
        other
        for other in lanes
        if (other.target.name, other.servers, other.encoding)
        == ("exporter", lane.servers, lane.encoding)
    )


def _cost(lane: Lane, lanes: Iterable[Lane]) -> Cost:
    rounds = len(lane.visits)
    crowds = [visit.crowd for visit in lane.visits if visit.crowd]
    return Cost(
        target=lane.target.name,
        servers=lane.servers,
        encoding=lane.encoding,
        rounds=rounds,
        cpu_ms=spread(lane.cpu_ms),
        cpu_ratio=ratios(lane.cpu_ms, _ours(lane, lanes).cpu_ms[:rounds]),
        p50_ms=median(visit.alone.p50_ms for visit in lane.visits),
        p99_ms=median(visit.alone.p99_ms for visit in lane.visits),
        crowd_per_second=median(crowd.per_second for crowd in crowds) if crowds else None,
        crowd_p99_ms=median(crowd.p99_ms for crowd in crowds) if crowds else None,
        wire_bytes=round(median(visit.alone.wire_bytes for visit in lane.visits)),
    )


def _pace(lane: Lane, lanes: Iterable[Lane]) -> Pace:
    return Pace(
        target=lane.target.name,
        servers=lane.servers,
        cpu_ms=spread(lane.paced_ms),
        cpu_ratio=ratios(lane.paced_ms, _ours(lane, lanes).paced_ms),
    )


def _growths(lanes: Iterable[Lane]) -> Iterator[Growth]:
    """Compares sizes round by round, for each target that was measured at both."""
    few, many = (
        {lane.target.name: lane for lane in lanes if (lane.servers, lane.encoding) == (n, "gzip")}
        for n in GROWTH_SERVERS
    )
    for name in few.keys() & many.keys():
        yield Growth(
            target=name,
            few_servers=GROWTH_SERVERS[0],
            many_servers=GROWTH_SERVERS[1],
            cpu_ratio=ratios(many[name].cpu_ms, few[name].cpu_ms),
        )
