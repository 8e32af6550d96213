"""The simulated usage: what customers moved through each POP, and when the platform knows it.

Every cell has meters that only run forward. A meter is a rate with a closed integral, so any
window is one subtraction, exact and additive to the byte. What the API knows lags behind:
nothing for 20 minutes, then most of it, and a day's last percents during the three days after.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from exporter.simulator.atlas import ELSEWHERE, POPS, Pop
from exporter.simulator.chance import generator
from exporter.simulator.fleet import DAY, local_days, spread

_LAG = 20 * 60
_SETTLING = 3 * DAY
_LATE = 0.03  # the share of a day that arrives while it settles

_MONTH = 30 * DAY
_YEAR = 365.25 * DAY
_GROWTH = math.log(1.15) / _YEAR  # 15 % a year
_DAILY = math.tau / DAY
_EVENING = 21 / 24  # local time of the peak, in days
_BANDWIDTH_SWING = 0.6  # of the mean, up in the evening and down in the morning
_CONNECTION_SWING = 0.4

_BYTES_PER_SERVER = 12_500_000  # a second, on average: 3,500 servers move 350 Gbit/s
_BYTES_PER_CONNECTION = 200_000_000
_CONNECTIONS_PER_CUSTOMER = 150  # in a month
_LONGITUDES = {pop.country: pop.longitude for pop in POPS} | ELSEWHERE


@dataclass(frozen=True, slots=True)
class Cell:
    """Usage of one POP by one country's customers (White Label VPN API documentation, "Metrics").

    Customers are a distinct count: never additive, over days as little as over cells.
    """

    bandwidth: int
    """Bytes."""
    connections: int
    customers: int


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of a window, in POSIX seconds, of which a share has not arrived yet."""

    start: float
    end: float
    withheld: float


@dataclass(frozen=True, slots=True)
class _Span:
    """What a rate of one a second accrued by the start and by the end of a piece."""

    start: float
    end: float
    withheld: float


@dataclass(frozen=True, slots=True)
class _Meter:
    """A counter that gains `rate` a second and moves by whole grains."""

    rate: float
    grain: int = 1

    def tally(self, spans: Sequence[_Span]) -> int:
        total = 0
        for span in spans:
            gained = self._read(span.end) - self._read(span.start)
            total += gained - int(span.withheld * gained)
        return total

    def _read(self, accrued: float) -> int:
        return math.floor(self.rate * accrued / self.grain) * self.grain


@dataclass(frozen=True, slots=True)
class _Flow:
    """One country's customers at one POP."""

    country: str
    bandwidth: _Meter
    connections: _Meter
    population: int

    def customers(self, connections: int) -> int:
        """Count the distinct ones: the more connect, the fewer of them are new."""
        eager = connections / (3 * self.population)
        return max(1, min(connections, math.ceil(self.population * -math.expm1(-eager))))


Usage = dict[str, dict[str, Cell]]
"""Cells by POP and country code."""


class Traffic:
    """All usage of a seeded world."""

    def __init__(self, seed: int, servers: int, *, corrections: bool) -> None:
        self._seed = seed
        self._corrections = corrections
        self._flows = {
            pop: tuple(_flows(generator(seed, "flows", pop.code), pop, seats))
            for pop, seats in spread(servers).items()
        }
        self._keys = [(pop, flow) for pop, flows in self._flows.items() for flow in flows]

    def known(self, start: float, end: float, moment: float) -> Usage:
        """Tell what the platform knows at a moment of the days in a window."""
        pieces = list(_pieces(start, end, moment - _LAG))
        usage = self._usage(pieces)
        if start <= moment < end:
            self._over_report(usage, moment)
        return usage

    def truth(self, start: float, end: float) -> Usage:
        """Tell what really happened in a window."""
        return self._usage([_Piece(start, end, 0)])

    def _usage(self, pieces: Sequence[_Piece]) -> Usage:
        usage = {pop.code: _cells(pop, flows, pieces) for pop, flows in self._flows.items()}
        return {code: cells for code, cells in usage.items() if cells}

    def _over_report(self, usage: Usage, moment: float) -> None:
        """Count some cells a percent too high; the fall afterwards is the correction."""
        for pop, flow in self._mistaken(moment):
            cell = usage.get(pop.code, {}).get(flow.country)
            if cell is not None:
                usage[pop.code][flow.country] = Cell(
                    cell.bandwidth * 101 // 100, cell.connections * 101 // 100, cell.customers
                )

    def _mistaken(self, moment: float) -> Iterator[tuple[Pop, _Flow]]:
        """Find the mistakes of today, and yesterday's that outlasted midnight."""
        if not (self._corrections and self._keys):
            return
        today = moment // DAY
        for day in (today - 1, today):
            chance = generator(self._seed, "mistakes", int(day))
            for _ in range(chance.randrange(2, 6)):
                key = chance.choice(self._keys)
                begin = day * DAY + chance.randrange(DAY)
                if begin <= moment < begin + chance.uniform(3_600, 7_200):
                    yield key


def _pieces(start: float, end: float, arrived: float) -> Iterator[_Piece]:
    """Cut what has arrived of a window into the settled past and the days that still gain."""
    known = max(start, min(end, arrived))
    settled = max(start, min(known, (arrived - _SETTLING) // DAY * DAY))
    yield _Piece(start, settled, 0)
    for midnight in range(int(settled), math.ceil(known), DAY):
        waited = max(0.0, arrived - midnight - DAY) / _SETTLING
        yield _Piece(midnight, min(known, midnight + DAY), _LATE * (1 - waited))


def _cells(pop: Pop, flows: Sequence[_Flow], pieces: Sequence[_Piece]) -> dict[str, Cell]:
    bandwidth_spans = _spans(pop, _BANDWIDTH_SWING, pieces)
    connection_spans = _spans(pop, _CONNECTION_SWING, pieces)
    cells = {}
    for flow in flows:
        bandwidth = flow.bandwidth.tally(bandwidth_spans)
        connections = flow.connections.tally(connection_spans)
        # Bytes without a connection: one that was opened before the window still flows.
        if bandwidth or connections:
            cells[flow.country] = Cell(bandwidth, connections, flow.customers(connections))
    return cells


def _spans(pop: Pop, swing: float, pieces: Sequence[_Piece]) -> list[_Span]:
    return [
        _Span(_accrued(pop, swing, piece.start), _accrued(pop, swing, piece.end), piece.withheld)
        for piece in pieces
    ]


def _accrued(pop: Pop, swing: float, moment: float) -> float:
    """Integrate e^(growth t) (1 + swing cos(daily t - phase)), t in seconds since 2026."""
    age = moment - 56 * _YEAR
    angle = math.tau * (local_days(moment, pop) - _EVENING)
    wave = _GROWTH * math.cos(angle) + _DAILY * math.sin(angle)
    return math.exp(_GROWTH * age) * (1 / _GROWTH + swing * wave / (_GROWTH**2 + _DAILY**2))


def _flows(chance: Random, pop: Pop, seats: int) -> Iterator[_Flow]:
    """Share a POP's traffic among one to eight countries, the first ones taking most of it."""
    countries = _customers_of(chance, pop)[: chance.randint(1, 8)]
    shares = [chance.uniform(0.7, 1.3) * rank**-1.7 for rank in range(1, len(countries) + 1)]
    rate = seats * _BYTES_PER_SERVER * chance.uniform(0.6, 1.4) / sum(shares)
    for country, share in zip(countries[:-1], shares, strict=False):
        yield _busy(chance, country, rate * share)
    last = _busy if len(countries) == 1 or chance.random() < 0.6 else _rare
    yield last(chance, countries[-1], rate * shares[-1])


def _busy(chance: Random, country: str, rate: float) -> _Flow:
    per_connection = _BYTES_PER_CONNECTION * chance.uniform(0.4, 2)
    connections = rate / per_connection
    population = max(2, round(connections * _MONTH / _CONNECTIONS_PER_CUSTOMER))
    return _Flow(country, _Meter(rate), _Meter(connections), population)


def _rare(chance: Random, country: str, _rate: float) -> _Flow:
    """Make a cell that is absent for the first hours or days of a month."""
    connections = chance.uniform(1, 40) / _MONTH
    grain = chance.randrange(200, 20_000)
    return _Flow(country, _Meter(connections * grain, grain), _Meter(connections), 8)


def _customers_of(chance: Random, pop: Pop) -> list[str]:
    """Rank the countries customers come from: often the POP's own, mostly near ones."""
    eagerness = {
        country: math.exp(-_apart(longitude, pop.longitude) / 25)
        for country, longitude in _LONGITUDES.items()
    }
    eagerness[pop.country] *= 20
    # Efraimidis and Spirakis: a weighted draw without putting back is one sort.
    return sorted(eagerness, key=lambda country: -math.log(chance.random()) / eagerness[country])


def _apart(here: float, there: float) -> float:
    degrees = abs(here - there) % 360
    return min(degrees, 360 - degrees)
