"""The queries of dashboards, as Grafana sends them: variables and macros filled in.

Source: https://grafana.com/docs/grafana/latest/datasources/prometheus/template-variables/.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests.alerts.catalogue import ROOT
from tests.alerts.promql import in_seconds

DASHBOARDS = tuple(sorted((ROOT / "grafana" / "dashboards").glob("*.json")))
SCRAPE_SECONDS = 60
WIDTH = 900
"""Pixels of a graph, of which each gets no more than one value."""

Json = Mapping[str, Any]
Kind = Literal["instant", "range", "values"]

_REFERENCE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{(\w+)(?::(\w+))?\})")  # $1 is label_replace's
_LABEL_VALUES = re.compile(r"label_values\((?:(.+),)?\s*(\w+)\)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Query:
    """One query.

    Attributes:
        dashboard: its uid.
        place: the panel's title and the target's letter, or the variable, or the annotation.
        kind: `values` of a label, or what the query gives at one instant or over a range.
        text: of the query, or the selector whose series have the label.
        label: whose values are asked for.
        panel: the panel's type, empty where there is none.
        field: what a table calls the values, the target's letter elsewhere.
        unit: of the values.
        range_seconds: how far back it looks.
        step_seconds: from one value to the next.
    """

    dashboard: str
    place: str
    kind: Kind
    text: str
    label: str = ""
    panel: str = ""
    field: str = ""
    unit: str = ""
    range_seconds: int = 0
    step_seconds: int = SCRAPE_SECONDS

    def __str__(self) -> str:
        return f"{self.dashboard}, {self.place}"


Ask = Callable[[Query], Sequence[str]]
"""Gives the values of a variable's query."""


def queries(path: Path, ask: Ask) -> list[Query]:
    """All queries of a dashboard, its variables' first; the answers fill what comes after."""
    dashboard = json.loads(path.read_text())
    scope: dict[str, str] = {}
    found = []
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            query = _variable(dashboard, variable, scope)
            found.append(query)
            scope[variable["name"]] = _chosen(variable, ask(query))
    found += [_annotation(dashboard, each, scope) for each in _annotations(dashboard)]
    for panel in panels(dashboard):
        found += _targets(dashboard, panel, scope)
    return found


def panels(dashboard: Json) -> Iterator[Json]:
    """All panels, also those of rows that are closed."""
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", ())


def filled(text: str, scope: Mapping[str, str]) -> str:
    """The text with the values of what it refers to.

    Raises:
        KeyError: it refers to what is not there.
    """
    return _REFERENCE.sub(lambda found: scope[found[1] or found[2]], text)


def interval(range_seconds: int, panel: Json) -> int:
    """Seconds between the values of a range: $__interval."""
    shortest = in_seconds(panel.get("interval") or f"{SCRAPE_SECONDS}s")
    return max(shortest, -(-range_seconds // (panel.get("maxDataPoints") or WIDTH)))


def _macros(range_seconds: int, step: int) -> dict[str, str]:
    return {
        "__range": f"{range_seconds}s",
        "__range_s": str(range_seconds),
        "__interval": f"{step}s",
        "__rate_interval": f"{max(step + SCRAPE_SECONDS, 4 * SCRAPE_SECONDS)}s",
    }


def _variable(dashboard: Json, variable: Json, scope: Mapping[str, str]) -> Query:
    text = filled(variable["query"]["query"], scope)
    found = _LABEL_VALUES.fullmatch(text)
    assert found, f"{dashboard['uid']}, variable {variable['name']}: no label_values: {text}"
    return Query(
        dashboard["uid"],
        f"variable {variable['name']}",
        "values",
        (found[1] or "").strip(),
        label=found[2],
        range_seconds=_range_seconds(dashboard, {}),
    )


def _chosen(variable: Json, values: Sequence[str]) -> str:
    """What is put in for a variable as the dashboard opens: all of it, or the first one."""
    if not variable.get("includeAll"):
        return values[0] if values else ""
    return str(variable["allValue"])


def _annotations(dashboard: Json) -> list[Json]:
    return [each for each in dashboard["annotations"]["list"] if each.get("expr")]


def _annotation(dashboard: Json, annotation: Json, scope: Mapping[str, str]) -> Query:
    seconds = _range_seconds(dashboard, {})
    step = in_seconds(annotation.get("step") or f"{SCRAPE_SECONDS}s")
    return Query(
        dashboard["uid"],
        f"annotation {annotation['name']}",
        "range",
        filled(annotation["expr"], {**scope, **_macros(seconds, step)}),
        range_seconds=seconds,
        step_seconds=step,
    )


def _targets(dashboard: Json, panel: Json, scope: Mapping[str, str]) -> Iterator[Query]:
    seconds = _range_seconds(dashboard, panel)
    for target in panel.get("targets", ()):
        step = interval(seconds, {**panel, **{k: v for k, v in target.items() if k == "interval"}})
        field = _field(panel, target["refId"])
        yield Query(
            dashboard["uid"],
            f"{panel['title']} {target['refId']}",
            "instant" if target.get("instant") else "range",
            filled(target["expr"], {**scope, **_macros(seconds, step)}),
            panel=panel["type"],
            field=field,
            unit=_unit(panel, {field, target["refId"]}),
            range_seconds=seconds,
            step_seconds=step,
        )


def _range_seconds(dashboard: Json, panel: Json) -> int:
    told = panel.get("timeFrom") or dashboard["time"]["from"].removeprefix("now-")
    return in_seconds(told)


def _field(panel: Json, letter: str) -> str:
    """What the values of a target are called in the end."""
    for step in panel.get("transformations", ()):
        names = step["options"].get("renameByName", {})
        if f"Value #{letter}" in names:
            return str(names[f"Value #{letter}"])
        if panel["type"] == "table" and len(panel["targets"]) == 1 and "Value" in names:
            return str(names["Value"])
    return letter


def _unit(panel: Json, names: set[str]) -> str:
    config = panel.get("fieldConfig", {})
    for override in config.get("overrides", ()):
        if override["matcher"].get("options") in names:
            for each in override["properties"]:
                if each["id"] == "unit":
                    return str(each["value"])
    return str(config.get("defaults", {}).get("unit", ""))
