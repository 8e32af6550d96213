"""A dashboard as the lint sees it: its panels, variables, annotations, and all their queries."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser as promql

from tests.alerts.catalogue import BY_ALERT
from tests.grafana.expression import Node, labels_known, parsed, walk

FOLDER = Path(__file__).parents[2] / "grafana" / "dashboards"
LINK = r"/d/([\w-]+)"
UIDS = set(re.findall(LINK, json.dumps(list(BY_ALERT.values()))))
"""Where the alerts lead: these uids are a contract."""
_GLOBALS = {
    "__rate_interval": "5m7s",
    "__interval": "1m7s",
    "__range": "6h7s",
    "__range_s": "21607",
    "__range_ms": "21607000",
    "__interval_ms": "67000",
}
"""Values by which a parsed query still tells which one stood there."""
RATE_INTERVAL = promql.parse_duration(_GLOBALS["__rate_interval"])
RANGE = promql.parse_duration(_GLOBALS["__range"])
_STRING = re.compile(r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')""")
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w*)[^}]*\}|([A-Za-z_]\w*))")
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Query:
    """What a panel, an annotation or a variable asks Prometheus.

    Attributes:
        place: a panel's title, or what else it is, and its name.
        text: the expression, its variables filled in outside of strings.
        target: the JSON object that holds it.
        owner: the panel, annotation or variable.
    """

    place: str
    text: str
    target: Json
    owner: Json

    @property
    def variable(self) -> str:
        """The name of the variable that it belongs to, if it does."""
        return self.place.removeprefix("variable ") if self.place.startswith("variable ") else ""

    @property
    def nodes(self) -> list[tuple[Node, tuple[Node, ...]]]:
        """Each node of the parsed expression with those around it; none if it does not parse."""
        tree = parsed(self.text)
        return list(walk(tree)) if tree else []

    @property
    def selectors(self) -> list[tuple[promql.VectorSelector, tuple[Node, ...]]]:
        """The selectors among them."""
        return [(node, up) for node, up in self.nodes if isinstance(node, promql.VectorSelector)]

    @property
    def is_known(self) -> bool:
        """Whether there are all its series, so that their labels can be judged."""
        return all(labels_known(selector.name or "") for selector, _ in self.selectors)


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard, and all of ours by uid, itself among them."""

    raw: Json
    fleet: Mapping[str, Json]

    @property
    def panels(self) -> list[Json]:
        """All panels, those within collapsed rows as well."""
        top = self.raw.get("panels", [])
        return [each for panel in top for each in (panel, *panel.get("panels", ()))]

    @property
    def variables(self) -> dict[str, Json]:
        return {each["name"]: each for each in self.raw.get("templating", {}).get("list", [])}

    @property
    def asked(self) -> list[Json]:
        """The variables that ask Prometheus."""
        return [each for each in self.variables.values() if each["type"] == "query"]

    @property
    def annotations(self) -> list[Json]:
        """All but Grafana's own."""
        every = self.raw.get("annotations", {}).get("list", [])
        return [each for each in every if not each.get("builtIn")]

    @property
    def queries(self) -> Iterator[Query]:
        for panel in self.panels:
            for target in panel.get("targets", ()):
                text = self.filled(target.get("expr", ""))
                yield Query(panel.get("title", ""), text, target, panel)
        for each in self.annotations:
            text = self.filled(each.get("expr") or each.get("target", {}).get("expr", ""))
            yield Query(f"annotation {each['name']}", text, each, each)
        for each in self.asked:
            yield Query(f"variable {each['name']}", self.filled(asks(each)[0]), each, each)

    def filled(self, text: str) -> str:
        """The text with its variables replaced, but within strings, where any text parses."""
        pieces = _STRING.split(text)
        return "".join(
            piece if place % 2 else _VARIABLE.sub(self._value, piece)
            for place, piece in enumerate(pieces)
        )

    def _value(self, found: re.Match[str]) -> str:
        name = found.group(1) or found.group(2)
        variable = self.variables.get(name, {})
        value = variable.get("current", {}).get("value") or variable.get("query", "")
        first = value[0] if isinstance(value, list) else str(value).partition(",")[0]
        return _GLOBALS.get(name) or str(first)


def committed() -> dict[str, Json]:
    """The dashboards of the repository, by their files' names."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


def asks(variable: Json) -> tuple[str, str]:
    """A variable's expression, and the label whose values it takes from it."""
    query = variable["query"]
    text = query.get("query", "") if isinstance(query, dict) else query
    of_label = re.fullmatch(r"\s*label_values\((.*),\s*(\w+)\s*\)\s*", text, re.DOTALL)
    return (of_label.group(1), of_label.group(2)) if of_label else (text, "")


def strings(value: object) -> Iterator[str]:
    """Every text somewhere in a piece of JSON."""
    match value:
        case str():
            yield value
        case dict():
            for each in value.values():
                yield from strings(each)
        case list():
            for each in value:
                yield from strings(each)


def variables_in(value: object) -> set[str]:
    """The variables that some JSON names, Grafana's own left out."""
    found = {name or other for text in strings(value) for name, other in _VARIABLE.findall(text)}
    return {name for name in found if not name.startswith("__")}


def is_ours(holder: Json) -> bool:
    source = holder.get("datasource")
    return bool(source == {"type": "prometheus", "uid": "${datasource}"})
