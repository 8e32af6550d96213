"""When something goes wrong with the API: the rules.

What can go wrong stands in `catalogue`, and in `line` what does so before HTTP.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from random import Random

from exporter.simulator.catalogue import FAULTS, Fault, number
from exporter.simulator.line import LINE_FAULTS
from exporter.simulator.reply import Reply

__all__ = ["ENDPOINTS", "FAULTS", "LINE_FAULTS", "Roster", "Rule", "describe"]

ANY = "any"
LINE = "line"
ENDPOINTS = ("servers", "usage", "plans", "accounts", "usage_report", "*", LINE)

_OPTIONS = ("count", "probability", "retry_after")
# Dates, URLs and JSON have colons, too: only one before an option separates.
_SEPARATOR = re.compile(rf":(?=(?:{'|'.join(_OPTIONS)})(?:[=:]|$)|[a-z_]+=)")


@dataclass(frozen=True, slots=True)
class Rule:
    """A fault for the requests to an endpoint, as often as told; `any` is another each time.

    Rules see every GET of their endpoint, also one without a valid key; `*` matches everything
    but the index page. The endpoint `line` strikes connections, before HTTP.
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
        known = LINE_FAULTS if self.endpoint == LINE else (*FAULTS, ANY)
        if self.fault not in known:
            raise ValueError(f"fault {self.fault!r} is not one of {', '.join(known)}")
        if self.endpoint == LINE:
            self._check_line()
        else:
            self._check_value()
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

    @property
    def lasts(self) -> bool:
        """Whether it is a state of the port rather than a blow to one connection."""
        return self.endpoint == LINE and LINE_FAULTS[self.fault].lasting

    def fits(self, endpoint: str) -> bool:
        """Whether it strikes there at all."""
        if self.endpoint not in (endpoint, "*"):
            return False
        return self.fault not in FAULTS or FAULTS[self.fault].only in ("", endpoint)

    def strike(self, reply: Reply) -> Reply:
        """Turn the honest reply into the one to send; a roster has drawn what `any` is."""
        struck = FAULTS[self.fault].act(reply, str(self.value))
        if not self.retry_after:
            return struck
        return replace(struck, headers={**struck.headers, "Retry-After": self.retry_after})

    @classmethod
    def _read(cls, text: str) -> "Rule":
        endpoint, colon, rest = text.partition(":")
        if not colon:
            raise ValueError("write ENDPOINT:FAULT, as in servers:status=503:count=3")
        told, *parts = _SEPARATOR.split(rest)
        fault, _, value = told.partition("=")
        options = dict(part.partition("=")[::2] for part in parts)
        for name in options:
            if name not in _OPTIONS:
                raise ValueError(f"option {name!r} is not one of {', '.join(_OPTIONS)}")
        return cls(
            endpoint,
            fault,
            value,
            count=_whole(options["count"]) if "count" in options else None,
            probability=number(options.get("probability", "1")),
            retry_after=options.get("retry_after", ""),
        )

    def _check_value(self) -> None:
        if self.fault == ANY:
            self._check_none()
            return
        fault = FAULTS[self.fault]
        if fault.only not in ("", self.endpoint) and self.endpoint != "*":
            raise ValueError(f"{self.fault} goes with {fault.only}, not with {self.endpoint}")
        if fault.value is None:
            self._check_none()
        elif not fault.value.fits(str(self.value)):
            example = f"{self.fault}={fault.default}"
            raise ValueError(f"{self.fault} needs {fault.value.needs}, as in {example}")

    def _check_line(self) -> None:
        fault = LINE_FAULTS[self.fault]
        if not fault.named:
            self._check_none()
        elif not self.value:
            raise ValueError(f"{self.fault} needs a context's name, as in {self.fault}=expired")
        if fault.lasting and (self.count is not None or self.probability != 1):
            raise ValueError(f"{self.fault} lasts: it takes neither count nor probability")

    def _check_none(self) -> None:
        if self.value != "":
            raise ValueError(f"{self.fault} takes no value, got {self.value!r}")


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
                return self._draw(endpoint) if rule.fault == ANY else rule
        return None

    def _strikes(self, place: int, rule: Rule, endpoint: str) -> bool:
        if not rule.fits(endpoint):
            return False
        if rule.count is not None and self._struck[place] >= rule.count:
            return False
        return self._chance.random() < rule.probability

    def _draw(self, endpoint: str) -> Rule:
        """Draw one of the faults that fit, with its default value."""
        fitting = [
            Rule("*", name, fault.default)
            for name, fault in FAULTS.items()
            if fault.only in ("", endpoint)
        ]
        return self._chance.choice(fitting)


def describe() -> str:
    """List all faults, for people who write rules."""
    honest = [(_usage(name, fault), fault.help) for name, fault in FAULTS.items()]
    honest.append((ANY, "Go wrong in another of these ways each time."))
    line = [
        (f"{name}=NAME" if fault.named else name, fault.help) for name, fault in LINE_FAULTS.items()
    ]
    width = max(len(usage) for usage, _ in honest + line)
    return "\n".join(
        [
            f"faults of the endpoints {', '.join(ENDPOINTS[:-2])} and * (all):",
            *(f"  {usage:{width}}  {told}" for usage, told in honest),
            "",
            *_choices(),
            "",
            "faults of the endpoint line, which strike connections before HTTP:",
            *(f"  {usage:{width}}  {told}" for usage, told in line),
        ]
    )


def _choices() -> Iterable[str]:
    for name, fault in FAULTS.items():
        if fault.value is not None and fault.value.choices:
            yield f"  {name}: {', '.join(fault.value.choices)}"


def _usage(name: str, fault: Fault) -> str:
    return name if fault.value is None else f"{name}={fault.value.word}"


def _whole(count: str | float) -> int:
    read = number(count)
    if not (1 <= read < math.inf and read.is_integer()):
        raise ValueError("count needs a whole number >= 1, as in count=3")
    return int(read)
