"""The rules as Python sees them: alerts, recorded series, and the labels that every series has."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from exporter.collectors import ALL
from exporter.telemetry import METRICS
from tests.alerts import promql

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "alerts"
BINARIES = ROOT / ".cache" / "prometheus"
PROMTOOL = BINARIES / "3" / "usr" / "bin" / "promtool"
RULE_FILES = sorted(ALERTS.glob("rules/*.yaml"))
TARGET_LABELS = {"job", "instance"}

Rule = dict[str, Any]


def rules(stem: str = "*") -> list[Rule]:
    """All rules of a file, or of all."""
    return [
        rule
        for path in sorted(ALERTS.glob(f"rules/{stem}.yaml"))
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    ]


RULES = rules()
BY_ALERT = {rule["alert"]: rule for rule in RULES if "alert" in rule}
THRESHOLDS = [rule["labels"] for rule in RULES if rule.get("record") == "wlvpn:threshold"]

_METRICS = {m.name: set(m.labels) for collector in ALL for m in collector.metrics()} | {
    metric.name: set(metric.labels) for metric in METRICS
}
_METRICS |= {
    metric.name + suffix: {*metric.labels, *more}
    for metric in METRICS
    if metric.kind == "histogram"
    for suffix, more in (("_bucket", ["le"]), ("_count", []), ("_sum", []))
}
_METRICS |= {
    metric.name + suffix: {*metric.labels, *more}
    for collector in ALL
    for metric in collector.metrics()
    if metric.kind == "gaugehistogram"
    for suffix, more in (("_bucket", ["le"]), ("_gcount", []), ("_gsum", []))
}


def labels_of(series: str) -> set[str]:
    """The labels that a series has.

    Raises:
        KeyError: there is no such metric, and no rule records it.
    """
    if series in ("up", "ALERTS"):
        return TARGET_LABELS | {"alertname", "alertstate", "severity", "account", "country", "pop"}
    if series in _METRICS:
        return _METRICS[series] | TARGET_LABELS
    recorded = [rule for rule in RULES if rule.get("record") == series]
    if not recorded:
        raise KeyError(series)
    found: set[str] = set()
    for rule in recorded:
        found |= set(rule.get("labels", {}))
        grouping = re.search(r"\bby \(([^)]*)\)", rule["expr"])
        first = next((name for name, _ in selectors(rule["expr"])), "")
        if grouping:
            found |= {label.strip() for label in grouping.group(1).split(",")}
        elif first:
            found |= labels_of(first)
    return found


def selectors(expr: str) -> Iterator[tuple[str, set[str]]]:
    """The series that an expression reads, each with the labels that it matches."""
    solid = [token for token in promql.tokens(expr) if token.kind != "space"]
    for place, token in enumerate(solid):
        if token.kind != "word" or not _is_series(token.text):
            continue
        matched = set()
        if place + 1 < len(solid) and solid[place + 1].text == "{":
            end = next(n for n in range(place, len(solid)) if solid[n].text == "}")
            matched = {t.text for t in solid[place + 2 : end] if t.kind == "word"}
        yield token.text, matched


def groupings(expr: str) -> set[str]:
    """The labels that an expression groups or joins by."""
    lists = re.findall(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)", expr)
    return {label.strip() for names in lists for label in names.split(",")} - {""}


def unknown_names(expr: str) -> list[str]:
    """The series and labels of an expression that do not exist."""
    found = []
    known: set[str] = set()
    for series, matched in selectors(expr):
        try:
            labels = labels_of(series)
        except KeyError:
            found.append(series)
            continue
        known |= labels
        found += [f"{series}{{{label}}}" for label in sorted(matched - labels)]
    return found + sorted(groupings(expr) - known)


def _is_series(word: str) -> bool:
    return word in ("up", "ALERTS") or word.startswith(("wlvpn_", "wlvpn:"))
