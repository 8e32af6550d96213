"""The simulated servers: where they stand, when they are away, how used they are.

A POP has seats. A seat's server is away for maintenance now and then, and a spare machine of
the same POP with a name of its own sits in for it, so the number of listed servers never moves.
"""

import ipaddress
import math
from dataclasses import dataclass
from itertools import count

from exporter.simulator.atlas import POPS, Pop
from exporter.simulator.chance import draw, generator, noise

DAY = 86_400
MOST_SERVERS = 50_000  # the heaviest POP runs out of names (a01 .. z99) soon after

_REFRESH = 300  # seconds between two measurements of the platform
_HOUR = 3_600
_YEAR = 365.25 * DAY
_CREW = 25  # seats that share one spare machine
_EVENING = 21 / 24  # local time of the peak, in days
_SATURDAY = 2.0  # POSIX days count from a Thursday


@dataclass(frozen=True, slots=True)
class Server:
    """A listed server (White Label VPN API documentation, "The Server object")."""

    country: str
    city: str
    capacity: int
    """Percent in use: 0 lightly used, 100 fully utilised."""
    ip: str


@dataclass(frozen=True, slots=True)
class _Machine:
    number: int
    fqdn: str
    ip: str
    bias: float


@dataclass(frozen=True, slots=True)
class _Crew:
    """Seats that share a spare; at most one of them is away at a time."""

    name: str
    machines: tuple[_Machine, ...]
    spare: _Machine
    window: int
    offset: int

    def present(self, moment: int, seed: int) -> tuple[_Machine, ...]:
        # One chance in a hundred for each seat in each window: 1 % of the fleet is away.
        away = draw(seed, "away", self.name, (moment + self.offset) // self.window) % 100
        if away >= len(self.machines):
            return self.machines
        return (*self.machines[:away], self.spare, *self.machines[away + 1 :])


@dataclass(frozen=True, slots=True)
class _Site:
    pop: Pop
    crews: tuple[_Crew, ...]
    level: float
    swing: float

    def load(self, moment: int) -> float:
        """Percent used by the POP's average server."""
        day = local_days(moment, self.pop)
        evening = self.swing * math.cos(math.tau * (day - _EVENING))
        weekend = 2 * math.cos(math.tau * (day - _SATURDAY) / 7)
        return self.level + evening + weekend + _growth(moment)


class Fleet:
    """All servers of a seeded world."""

    def __init__(self, seed: int, servers: int, network: str) -> None:
        self._seed = seed
        self._addresses = ipaddress.IPv4Network(network)
        self._numbers = count()
        self._sites = tuple(self._site(pop, seats) for pop, seats in spread(servers).items())
        self._machines = next(self._numbers)
        if self._machines > self._addresses.num_addresses:
            raise ValueError(f"{servers} servers need a larger network than {network}")

    def listed(self, moment: int) -> dict[str, Server]:
        """List the servers in service at a POSIX time, by FQDN."""
        moment -= moment % _REFRESH
        drift = self._drift(moment)
        return {
            machine.fqdn: Server(
                site.pop.country,
                site.pop.city,
                _percent(load + machine.bias + drift[machine.number]),
                machine.ip,
            )
            for site in self._sites
            for load in (site.load(moment),)
            for crew in site.crews
            for machine in crew.present(moment, self._seed)
        }

    def _drift(self, moment: int) -> list[float]:
        """Let each machine wander over the hours (up to 7) and jitter (up to 3)."""
        hour, into = divmod(moment, _HOUR)
        jitter = noise(self._machines, self._seed, "jitter", moment)
        before = noise(self._machines, self._seed, "wander", hour)
        after = noise(self._machines, self._seed, "wander", hour + 1)
        share = into / _HOUR
        return [
            (now - 127.5) * 3 / 127.5 + (old + (new - old) * share - 127.5) * 7 / 127.5
            for now, old, new in zip(jitter, before, after, strict=True)
        ]

    def _site(self, pop: Pop, seats: int) -> _Site:
        chance = generator(self._seed, "site", pop.code)
        hot = chance.random() < 0.09
        # A hot POP is the fullest in the evening, and still no case for on-call.
        level, most = (chance.uniform(60, 64), 18) if hot else (chance.uniform(34, 50), 22)
        return _Site(pop, self._crews(pop, seats), level, chance.uniform(16, most))

    def _crews(self, pop: Pop, seats: int) -> tuple[_Crew, ...]:
        names = (_fqdn(pop.code, position) for position in count())
        machines = [self._machine(next(names)) for _ in range(seats)]
        return tuple(
            self._crew(tuple(machines[first : first + _CREW]), self._machine(next(names)))
            for first in range(0, seats, _CREW)
        )

    def _crew(self, machines: tuple[_Machine, ...], spare: _Machine) -> _Crew:
        chance = generator(self._seed, "crew", spare.fqdn)
        window = chance.randrange(3 * _HOUR, 8 * _HOUR, _REFRESH)
        return _Crew(spare.fqdn, machines, spare, window, chance.randrange(window))

    def _machine(self, fqdn: str) -> _Machine:
        number = next(self._numbers)
        bias = draw(self._seed, "bias", fqdn) % 1_000 / 1_000 * 10 - 5
        return _Machine(number, fqdn, self._ip(number, fqdn), bias)

    def _ip(self, number: int, fqdn: str) -> str:
        kind = draw(self._seed, "ip", fqdn) % 200
        if kind == 0:
            return "0.0.0.0"  # noqa: S104 - the API's own example lists servers like this
        if kind <= 4:
            return f"2001:db8:{self._seed & 0xFFFF:x}::{number + 1:x}"
        # An odd factor walks through a power of two without meeting an address twice.
        place = (number * 40_503 + self._seed) % self._addresses.num_addresses
        return str(self._addresses[place])


def spread(servers: int) -> dict[Pop, int]:
    """Spread servers over the POPs by weight, at least one each, the heaviest POPs first."""
    ranked = sorted(POPS, key=lambda pop: (-pop.weight, pop.code))
    seats = dict.fromkeys(ranked[:servers], 1)
    rest = servers - len(seats)
    total = sum(pop.weight for pop in ranked)
    for pop in seats:
        seats[pop] += rest * pop.weight // total
    for pop in ranked[: servers - sum(seats.values())]:
        seats[pop] += 1
    return seats


def local_days(moment: float, pop: Pop) -> float:
    """Count the days since 1970 by the sun of a POP."""
    return moment / DAY + pop.longitude / 360


def _fqdn(code: str, position: int) -> str:
    block, number = divmod(position, 99)
    return f"{code}-{chr(ord('a') + block)}{number + 1:02}.wlvpn.com"


def _growth(moment: int) -> float:
    """Grow by about a point a year around 2026, but never beyond 4 points either way."""
    return 4 * math.tanh((moment / _YEAR - 56) / 4)


def _percent(used: float) -> int:
    return min(100, max(0, round(used)))
