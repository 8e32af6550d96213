"""The picture in docs/performance.md: the CPU time of a scrape against the number of servers.

Both axes are logarithmic. Each line has its name at its end; lines differ in colour, by Okabe and
Ito's palette that colour-blind readers tell apart, and in the shape of their points.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from benchmarks.result import Scrapes, TargetName
from benchmarks.table import title

_TEMPLATE = Path(__file__).with_name("chart.svg")

WIDTH, HEIGHT = 920, 460
_LEFT, _RIGHT, _TOP, _BOTTOM = 76, 600, 62, 404
_LABEL_GAP = 19

_SHAPES: Mapping[TargetName, str] = {
    "exporter": "circle",
    "nginx": "square",
    "node_exporter": "triangle",
    "node_exporter_newest": "cross",
    "live": "diamond",
}


@dataclass(frozen=True, slots=True)
class Scale:
    """A logarithmic axis from `low` to `high`, drawn from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Where a value is drawn."""
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return round(self.start + share * (self.end - self.start), 1)


@dataclass(frozen=True, slots=True)
class Tick:
    """A line of the grid and its label."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Line:
    """A target's line.

    Attributes:
        name: which target.
        shape: of its points.
        label: its title, drawn at `label_y`.
        points: where it goes through.
    """

    name: TargetName
    shape: str
    label: str
    label_y: float
    points: Sequence[tuple[float, float]]


def draw(scrapes: Scrapes, versions: Mapping[str, str]) -> str:
    """Draws the picture as SVG; it refers to nothing outside."""
    costs = [cost for cost in scrapes.costs if cost.encoding == "gzip"]
    sizes = sorted({cost.servers for cost in costs})
    figures = [cost.cpu_ms.median for cost in costs]
    x = Scale(sizes[0], max(sizes[-1], sizes[0] * 10), _LEFT, _RIGHT)
    y = Scale(10 ** math.floor(math.log10(min(figures))), _above(max(figures)), _BOTTOM, _TOP)
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    return (
        template.render(
            width=WIDTH,
            height=HEIGHT,
            left=_LEFT,
            right=_RIGHT,
            top=_TOP,
            bottom=_BOTTOM,
            columns=[Tick(x.at(size), f"{size:,}") for size in sizes],
            rows=list(_decades(y)),
            lines=_lines(scrapes, versions, x, y),
        )
        + "\n"
    )


def _above(figure: float) -> float:
    return float(10 ** math.ceil(math.log10(figure)))


def _decades(scale: Scale) -> Iterator[Tick]:
    low, high = round(math.log10(scale.low)), round(math.log10(scale.high))
    for exponent in range(low, high + 1):
        value = 10.0**exponent
        yield Tick(scale.at(value), f"{value:,g} ms" if value < 1000 else f"{value / 1000:g} s")


def _lines(scrapes: Scrapes, versions: Mapping[str, str], x: Scale, y: Scale) -> list[Line]:
    found: dict[TargetName, list[tuple[float, float]]] = {}
    for cost in scrapes.costs:
        if cost.encoding == "gzip":
            points = found.setdefault(cost.target, [])
            points.append((x.at(cost.servers), y.at(cost.cpu_ms.median)))
    ends = spread_out({name: points[-1][1] for name, points in found.items()})
    return [
        Line(name, _SHAPES[name], title(name, versions), ends[name], points)
        for name, points in found.items()
    ]


def spread_out(ends: Mapping[TargetName, float]) -> Mapping[TargetName, float]:
    """Moves labels up where they would cover the one below."""
    placed: dict[TargetName, float] = {}
    limit = math.inf
    for name in sorted(ends, key=lambda name: -ends[name]):
        placed[name] = min(ends[name], limit)
        limit = placed[name] - _LABEL_GAP
    return placed
