"""What many measurements come to."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NoReturn


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of the rounds' figures, and how far apart they lie."""

    median: float
    low: float
    high: float

    def inverse(self) -> "Spread":
        """The same of the other way round: 1 in 4 instead of 4 in 1."""
        return Spread(1 / self.median, 1 / self.high, 1 / self.low)


def spread(figures: Iterable[float]) -> Spread:
    """Sums up the figures of all rounds.

    Raises:
        ValueError: there are none.
    """
    found = sorted(figures)
    return Spread(median(found), found[0], found[-1]) if found else _nothing()


def ratios(figures: Sequence[float], baseline: Sequence[float]) -> Spread:
    """Compares round by round: what disturbs a round disturbs both sides of it.

    Raises:
        ValueError: not as many rounds on both sides, or none.
    """
    return spread(figure / base for figure, base in zip(figures, baseline, strict=True))


def percentile(figures: Iterable[float], percent: float) -> float:
    """The smallest figure that so many percent do not exceed; of few figures, the largest.

    Raises:
        ValueError: there are none.
    """
    found = sorted(figures)
    return found[max(0, math.ceil(len(found) * percent / 100) - 1)] if found else _nothing()


def _nothing() -> NoReturn:
    raise ValueError("nothing was measured")
