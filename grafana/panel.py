"""Panels as all our dashboards draw them: each says what it answers, and what emptiness means."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import TypeVar

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    geomap,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.builders.dashboard import FieldColor, ThresholdsConfig
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    GridPos,
    Threshold,
    ValueMap,
    ValueMapping,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode, HeatmapColorScale
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = options.DataSourceRef(type_val="prometheus", uid="${datasource}")

Panel = (
    bargauge.Panel
    | geomap.Panel
    | heatmap.Panel
    | stat.Panel
    | statetimeline.Panel
    | table.Panel
    | timeseries.Panel
)
P = TypeVar(
    "P",
    bargauge.Panel,
    geomap.Panel,
    heatmap.Panel,
    stat.Panel,
    statetimeline.Panel,
    table.Panel,
    timeseries.Panel,
)

_DOUBLING = common.ScaleDistributionConfig().type(options.ScaleDistribution.LOG).log(2)

ONE_ACCOUNT = DataTransformerConfig(
    "renameByRegex", options={"regex": "(.*) · default", "renamePattern": "$1"}
)
"""The account that nobody had to name need not be named in a legend either."""


@dataclass(frozen=True, slots=True)
class Line:
    """One query of a graph.

    Attributes:
        expr: PromQL.
        legend: names each series that it gives, with labels in double braces.
        color: of all of them, where it means something.
        is_dashed: whether it is a limit, or something to compare with.
    """

    expr: str
    legend: str
    color: str = ""
    is_dashed: bool = False


def placed(panel: P, x: int, y: int, w: int, h: int) -> P:
    """Puts a panel on the grid, which has 24 columns."""
    return panel.grid_pos(GridPos(h=h, w=w, x=x, y=y))


def told(panel: P, title: str, description: str) -> P:
    """Gives a panel its data source and its words."""
    return panel.title(title).description(description).datasource(SOURCE)


def query(
    expr: str, legend: str = "", ref_id: str = "A", *, every: str = "1m"
) -> prometheus.Dataquery:
    """A question to Prometheus, with at least `every` between its answers.

    Nothing is polled more often than each minute. It also makes Grafana's window for rates four
    minutes at least, whatever scrape interval its data source was told, or was not.
    """
    made = prometheus.Dataquery().expr(expr).ref_id(ref_id).datasource(SOURCE).interval(every)
    return made.legend_format(legend) if legend else made


def instant(expr: str, legend: str = "", ref_id: str = "A") -> prometheus.Dataquery:
    """A question about the end of the dashboard's time range.

    What has ended is not there: over a range, the last value would look like the present one.
    """
    return query(expr, legend, ref_id).instant()


def number(
    title: str,
    description: str,
    *queries: Line,
    unit: str,
    steps: ThresholdsConfig,
    nothing: str,
    decimals: int | None = None,
    mappings: list[ValueMapping] | None = None,
) -> stat.Panel:
    """A number that is read from afar.

    Args:
        title: its heading.
        description: the question it answers.
        queries: each a number, or several by label.
        unit: Grafana's id of it.
        steps: its colours.
        nothing: what its absence means.
        decimals: how many.
        mappings: words for values.
    """
    made = told(stat.Panel(), title, description).unit(unit).thresholds(steps).no_value(nothing)
    made = made.graph_mode(options.BigValueGraphMode.NONE).wide_layout(False)
    made = made.mappings(mappings or []).reduce_options(
        common.ReduceDataOptions().calcs(["lastNotNull"])
    )
    for ref_id, line in zip(ascii_uppercase, queries, strict=False):
        made = made.with_target(instant(line.expr, line.legend, ref_id))
    return made if decimals is None else made.decimals(decimals)


def graph(
    title: str,
    description: str,
    *lines: Line,
    unit: str,
    calcs: tuple[str, ...] = ("max",),
    steps: ThresholdsConfig | None = None,
    soft_max: float | None = None,
    is_log: bool = False,
) -> timeseries.Panel:
    """Lines over time, with a legend that sorts by the first of `calcs`.

    Args:
        title: its heading.
        description: the question it answers.
        lines: its queries; few series altogether.
        unit: Grafana's id of it.
        calcs: what the legend tells of each line; the last value is not among them, for a line that
            has ended has one too.
        steps: limits, drawn as dashed lines.
        soft_max: up to where the axis reaches at least.
        is_log: whether a step of the axis doubles, where the largest would hide the others.
    """
    made = told(timeseries.Panel(), title, description).unit(unit)
    made = made.scale_distribution(_DOUBLING) if is_log else made.min(0)
    made = made.line_width(1).fill_opacity(0).show_points(options.VisibilityMode.NEVER)
    made = made.tooltip(
        common.VizTooltipOptions()
        .mode(options.TooltipDisplayMode.MULTI)
        .sort(options.SortOrder.DESCENDING)
    ).legend(_legend(calcs))
    if steps:
        style = common.GraphThresholdsStyleConfig().mode(options.GraphThresholdsStyleMode.DASHED)
        made = made.thresholds(steps).thresholds_style(style)
    if soft_max is not None:
        made = made.axis_soft_max(soft_max)
    for ref_id, line in zip(ascii_uppercase, lines, strict=False):
        made = made.with_target(query(line.expr, line.legend, ref_id))
        if line.color or line.is_dashed:
            made = made.override_by_query(ref_id, _drawn(line))
    return made.with_transformation(ONE_ACCOUNT)


def stacked(panel: timeseries.Panel, *, bars: bool = False) -> timeseries.Panel:
    """Piles the lines up, where their sum means something."""
    style = options.GraphDrawStyle.BARS if bars else options.GraphDrawStyle.LINE
    pile = common.StackingConfig().mode(options.StackingMode.NORMAL)
    return panel.stacking(pile).draw_style(style).fill_opacity(60 if bars else 25)


def states(
    title: str,
    description: str,
    lines: Sequence[Line],
    names: Mapping[str, tuple[str, str]],
    nothing: str,
) -> statetimeline.Panel:
    """What state something was in over time; `names` gives word and colour for each value."""
    made = told(statetimeline.Panel(), title, description).unit("none").no_value(nothing)
    made = made.mappings([words(names)])
    for ref_id, line in zip(ascii_uppercase, lines, strict=False):
        made = made.with_target(query(line.expr, line.legend, ref_id))
    made = made.show_value(options.VisibilityMode.NEVER).row_height(0.8).fill_opacity(80)
    return made.legend(_legend(())).with_transformation(ONE_ACCOUNT)


def heat(title: str, description: str, line: Line, *, unit: str, cells: str) -> heatmap.Panel:
    """How many of each kind there were over time.

    Args:
        title: its heading.
        description: the question it answers.
        line: its series are the rows; Grafana sorts them if their names are numbers.
        unit: of these numbers.
        cells: the unit of what is counted.
    """
    made = told(heatmap.Panel(), title, description).unit(cells).no_value("No data")
    colors = heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges")
    made = made.calculate(False).color(
        colors.scale(HeatmapColorScale.EXPONENTIAL).exponent(0.5).steps(64)
    )
    made = made.cell_gap(1).cell_values(heatmap.CellValues().unit(cells))
    made = made.y_axis(heatmap.YAxisConfig().unit(unit).decimals(0))
    made = made.show_value(options.VisibilityMode.NEVER).show_legend()
    return made.with_target(query(line.expr, line.legend, every="5m"))


def bars(
    title: str,
    description: str,
    expr: str,
    bounds: Sequence[int],
    worded: Callable[[int], str],
    *,
    nothing: str,
) -> bargauge.Panel:
    """How many there are in each bucket of a histogram, as bars.

    Args:
        title: its heading.
        description: the question it answers.
        expr: the buckets by `le`; Grafana takes the difference of each and the one before.
        bounds: of the buckets.
        worded: a bound in words.
        nothing: what its emptiness means.
    """
    made = told(bargauge.Panel(), title, description).unit("none").decimals(0).no_value(nothing)
    made = made.thresholds(ThresholdsConfig().steps([Threshold(color="blue")])).min(0)
    made = made.orientation(options.VizOrientation.HORIZONTAL).show_unfilled(False)
    made = made.display_mode(options.BarGaugeDisplayMode.BASIC)
    made = made.text(common.VizTextDisplayOptions().title_size(12).value_size(14))
    made = made.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    made = made.with_target(instant(expr, "{{le}}").format(PromQueryFormat.HEATMAP))
    for pattern, name in _buckets(bounds, worded):
        renamed = {"regex": pattern, "renamePattern": name}
        made = made.with_transformation(DataTransformerConfig("renameByRegex", options=renamed))
    return made


def words(names: Mapping[str, tuple[str, str]]) -> ValueMap:
    """Words and colours for values."""
    found = {value: ValueMappingResult(text, color) for value, (text, color) in names.items()}
    return ValueMap(found)


def _buckets(bounds: Sequence[int], worded: Callable[[int], str]) -> Iterator[tuple[str, str]]:
    """A pattern for each bucket's `le`, as different Prometheus write it, and its name."""
    for below, bound in zip([None, *bounds[:-1]], bounds, strict=True):
        digits = f"{bound}".rstrip("0")
        power = len(f"{bound}") - 1
        mantissa = re.escape(f"{digits[0]}.{digits[1:]}".rstrip("."))
        name = f"up to {worded(bound)}" if below is None else f"{worded(below)} to {worded(bound)}"
        yield rf"^({bound}(\.0)?|{mantissa}e\+0?{power})$", name
    yield r"^\+Inf$", f"more than {worded(bounds[-1])}"


def _legend(calcs: tuple[str, ...]) -> common.VizLegendOptions:
    made = common.VizLegendOptions().show_legend(True).placement(options.LegendPlacement.RIGHT)
    if not calcs:
        made = made.placement(options.LegendPlacement.BOTTOM)
        return made.display_mode(options.LegendDisplayMode.LIST).calcs([])
    made = made.display_mode(options.LegendDisplayMode.TABLE).calcs(list(calcs))
    return made.sort_by(calcs[0].capitalize()).sort_desc(True)


def _drawn(line: Line) -> list[DynamicConfigValue]:
    found: list[DynamicConfigValue] = []
    if line.color:
        color = FieldColor().mode(FieldColorModeId.FIXED).fixed_color(line.color)
        found.append(DynamicConfigValue("color", color.build()))
    if line.is_dashed:
        dash = options.LineStyle(fill="dash", dash=[8, 6])
        found += [
            DynamicConfigValue("custom.lineStyle", dash),
            DynamicConfigValue("custom.fillOpacity", 0),
        ]
    return found
