"""What happens in a history: nothing, or an evening on which much goes wrong.

A story is a function of the time that is left until the history's end.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from exporter.simulator import Rule, World
from exporter.simulator.app import Payload

SATURATED = "NL"
"""The country whose servers fill up."""
SHRUNK = "fra"
"""The POP that loses servers."""
AWAY = "par"
"""The POP some of whose servers were away."""

_PATIENCE = {
    "servers": (0.11, 0.14, 0.16, 0.19, 0.24, 0.38, 0.62),
    "usage": (0.21, 0.27, 0.33, 0.46, 0.55, 0.81, 1.3),
    "plans": (0.09, 0.12, 0.2),
    "accounts": (0.24, 0.31, 0.42, 0.66),
    "usage_report": (0.28, 0.36, 0.51, 0.9),
}
"""Seconds that an answer takes, each as often as the others."""

_FULL_MINUTES = 45  # from the first sign until the country is full
_SPOILT = (215, 130)  # minutes before the end between which a record is unreadable
_CLOSINGS = ((135, 12), (90, 6))  # minutes before the end, percent of the customers
_CLOSED = 3


Edit = Callable[[Payload, float], Payload]


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of the API for some minutes, counted back from the end."""

    begins: float
    ends: float
    rules: tuple[str, ...]

    def is_on(self, minutes: float) -> bool:
        """Whether it is on so many minutes before the end."""
        return self.begins >= minutes > self.ends


@dataclass(frozen=True, slots=True)
class Story:
    """What goes wrong, and when.

    Attributes:
        faults: of the API.
        edits: change the answers of an endpoint, told how many minutes are left.
    """

    faults: tuple[Fault, ...] = ()
    edits: Mapping[str, Edit] = field(default_factory=dict)

    def rules(self, left: timedelta) -> tuple[Rule, ...]:
        """The faults in force, and after them how long each answer takes."""
        minutes = left.total_seconds() / 60
        struck = [rule for fault in self.faults if fault.is_on(minutes) for rule in fault.rules]
        return (*map(Rule.parse, struck), *_LATENCIES)

    def rewrite(self, endpoint: str, payload: Payload, left: timedelta) -> Payload:
        """What the API says instead."""
        edit = self.edits.get(endpoint)
        return edit(payload, left.total_seconds() / 60) if edit else payload


def _latencies(endpoint: str, seconds: tuple[float, ...]) -> list[Rule]:
    """One of them strikes, each with the same chance."""
    return [
        Rule(endpoint, "latency", str(each), probability=1 / (len(seconds) - place))
        for place, each in enumerate(seconds)
    ]


_LATENCIES = tuple(rule for item in _PATIENCE.items() for rule in _latencies(*item))


def _troubled_servers(payload: Payload, minutes: float) -> Payload:
    """A country fills up and a POP loses servers, in the last 90 minutes."""
    listed = payload["server"]
    assert isinstance(listed, dict)
    crowd = min(1.0, max(0.0, (90 - minutes) / _FULL_MINUTES))
    kept = {
        fqdn: _filled(server, crowd) if server["country"] == SATURATED else server
        for fqdn, server in listed.items()
        if not _is_lost(fqdn, minutes)
    }
    if _SPOILT[0] >= minutes > _SPOILT[1]:
        first = min(kept)
        kept[first] = {**kept[first], "capacity": 101}
    return {**payload, "server": kept}


def _troubled_usage(payload: Payload, minutes: float) -> Payload:
    """One cell cannot be read for a while."""
    cells = payload["data"]
    assert isinstance(cells, dict)
    if not _SPOILT[0] >= minutes > _SPOILT[1]:
        return payload
    pop = min(cells)
    country = min(cells[pop])
    spoilt = {**cells[pop], country: {**cells[pop][country], "bandwidth": -1}}
    return {**payload, "data": {**cells, pop: spoilt}}


def _troubled_accounts(payload: Payload, minutes: float) -> Payload:
    """A billing system closes customers by mistake, in two batches."""
    listed = payload["customers"]
    assert isinstance(listed, list)
    percent = sum(more for begins, more in _CLOSINGS if minutes <= begins)
    kept = [
        {**each, "acct_status_id": _CLOSED} if each["cust_id"] % 100 < percent else each
        for each in listed
    ]
    return {**payload, "customers": kept}


def _filled(server: Mapping[str, object], crowd: float) -> Mapping[str, object]:
    used = int(str(server["capacity"]))
    return {**server, "capacity": min(100, used + math.ceil(1.1 * crowd * (100 - used)))}


def _is_lost(fqdn: str, minutes: float) -> bool:
    """Three of five are gone, in two steps; of another POP they were away for half an hour."""
    pop, _, name = fqdn.partition(".")[0].partition("-")
    fifth = int(name[1:]) % 5
    if pop == AWAY:
        return fifth in (1, 2, 3) and 145 >= minutes > 115
    return pop == SHRUNK and fifth < (0 if minutes > 70 else 2 if minutes > 55 else 3)


STORIES: Mapping[str, Story] = {
    "quiet": Story(),
    "trouble": Story(
        faults=(
            Fault(300, 275, ("servers:status=429:probability=0.45:retry_after=20",)),
            Fault(48, 33, ("*:status=502:probability=0.4", "*:reset:probability=0.3")),
            Fault(8.7, 0, ("*:status=503:probability=0.6", "*:hang")),
        ),
        edits={
            "servers": _troubled_servers,
            "usage": _troubled_usage,
            "accounts": _troubled_accounts,
        },
    ),
}


def world(servers: int) -> World:
    """The world in which they happen."""
    return World(servers=servers)
