"""What can go wrong with the API, by rule.

A fault is one function and one line of `FAULTS`: it gets the honest reply and gives back the
one to send. Mischief on the wire (a cut body, a slow one) is the `send` of that reply.
"""

import asyncio
import math
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from random import Random
from types import MappingProxyType

from exporter.simulator.reply import Reply, failure, send_half

ENDPOINTS = ("servers", "usage", "*")

_OPTIONS = ("count", "probability", "retry_after")
# An HTTP date has colons, too: only one before a name separates.
_SEPARATOR = re.compile(r":(?=[a-z_])")


@dataclass(frozen=True, slots=True)
class Rule:
    """A fault for the requests to an endpoint, as often as told.

    Rules see every GET of their endpoint, also one without a valid key; `*` matches everything
    but the index page.
    """

    endpoint: str
    fault: str
    value: str | float = ""
    count: int | None = None
    """How many times it strikes; None: for ever."""
    probability: float = 1.0
    retry_after: str = ""
    """The Retry-After header of the fault `status`, verbatim."""

    def __post_init__(self) -> None:
        """Refuse what could never work.

        Raises:
            ValueError: one line that names the mend.
        """
        if self.endpoint not in ENDPOINTS:
            raise ValueError(f"endpoint {self.endpoint!r} is not one of {', '.join(ENDPOINTS)}")
        if self.fault not in FAULTS:
            raise ValueError(f"fault {self.fault!r} is not one of {', '.join(FAULTS)}")
        FAULTS[self.fault].check(self)
        if self.count is not None:
            _whole(self.count)
        if not 0 <= self.probability <= 1:
            raise ValueError("probability needs a number of 0 to 1, as in probability=0.5")
        if self.retry_after and self.fault != "status":
            raise ValueError(f"retry_after goes with status, not with {self.fault}")

    @classmethod
    def parse(cls, text: str) -> "Rule":
        """Read `ENDPOINT:FAULT[=VALUE][:count=N][:probability=P][:retry_after=TEXT]`.

        Raises:
            ValueError: one line that names the mend.
        """
        try:
            return cls._read(text)
        except ValueError as error:
            raise ValueError(f"rule {text!r}: {error}") from None

    @classmethod
    def _read(cls, text: str) -> "Rule":
        endpoint, *parts = _SEPARATOR.split(text)
        if not parts:
            raise ValueError("write ENDPOINT:FAULT, as in servers:status=503:count=3")
        fault, _, value = parts[0].partition("=")
        options = dict(part.partition("=")[::2] for part in parts[1:])
        for name in options:
            if name not in _OPTIONS:
                raise ValueError(f"option {name!r} is not one of {', '.join(_OPTIONS)}")
        return cls(
            endpoint,
            fault,
            value,
            count=_whole(options["count"]) if "count" in options else None,
            probability=_number(options.get("probability", "1")),
            retry_after=options.get("retry_after", ""),
        )


@dataclass(frozen=True, slots=True)
class Fault:
    """A way to go wrong, and what its rules must say."""

    act: Callable[[Reply, Rule], Awaitable[Reply]]
    check: Callable[[Rule], object]


class Roster:
    """Rules in the order they are asked, and how often each has struck."""

    def __init__(self, rules: Iterable[Rule], chance: Random) -> None:
        self.rules = tuple(rules)
        self._chance = chance
        self._struck = [0] * len(self.rules)

    def pick(self, endpoint: str) -> Rule | None:
        """Choose the first rule that strikes now, and count it."""
        for place, rule in enumerate(self.rules):
            if self._strikes(place, rule, endpoint):
                self._struck[place] += 1
                return rule
        return None

    def _strikes(self, place: int, rule: Rule, endpoint: str) -> bool:
        if rule.endpoint not in (endpoint, "*"):
            return False
        if rule.count is not None and self._struck[place] >= rule.count:
            return False
        return self._chance.random() < rule.probability


async def latency(reply: Reply, rule: Rule) -> Reply:
    """Answer late, in real seconds."""
    await asyncio.sleep(float(rule.value))
    return reply


async def status(_reply: Reply, rule: Rule) -> Reply:
    """Fail with a status, and say when to come back if the rule does."""
    headers = {"Retry-After": rule.retry_after} if rule.retry_after else {}
    return failure(int(float(rule.value)), headers=headers)


async def api_status(_reply: Reply, _rule: Rule) -> Reply:
    """Fail in the body alone: HTTP says 200, `api_status` says 0."""
    return replace(failure(500), status=200)


async def truncate(reply: Reply, _rule: Rule) -> Reply:
    """Cut the body in half."""
    return replace(reply, send=send_half)


async def hang(reply: Reply, _rule: Rule) -> Reply:
    """Say nothing until the client or the simulator goes away."""
    await asyncio.Event().wait()
    return reply  # pragma: no cover - the wait only ends by cancellation


def _seconds(rule: Rule) -> None:
    if not 0 <= _number(rule.value) < math.inf:
        raise ValueError(f"{rule.fault} needs seconds >= 0, as in {rule.fault}=2.5")


def _code(rule: Rule) -> None:
    number = _number(rule.value)
    if not (200 <= number <= 599 and number.is_integer()):
        raise ValueError(f"{rule.fault} needs a code of 200 to 599, as in {rule.fault}=503")


def _nothing(rule: Rule) -> None:
    if rule.value != "":
        raise ValueError(f"{rule.fault} takes no value, got {rule.value!r}")


def _whole(count: str | float) -> int:
    number = _number(count)
    if not (number >= 1 and number.is_integer()):
        raise ValueError("count needs a whole number >= 1, as in count=3")
    return int(number)


def _number(value: str | float) -> float:
    """Read a number; what is none compares false with everything, as NaN does."""
    try:
        return float(value)
    except ValueError:
        return math.nan


FAULTS = MappingProxyType(
    {
        "latency": Fault(latency, _seconds),
        "status": Fault(status, _code),
        "api_status": Fault(api_status, _nothing),
        "truncate": Fault(truncate, _nothing),
        "hang": Fault(hang, _nothing),
    }
)
