"""PromQL as a tree, and what is known of the series in it: their labels and their kinds."""

from collections.abc import Iterator
from functools import cache

import promql_parser as promql
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from exporter.collectors import ALL
from exporter.telemetry import METRICS
from tests.alerts.catalogue import BY_ALERT, TARGET_LABELS, labels_of

Node = promql.Expr
COUNTING = {"rate", "irate", "increase"}
COUNTER_SAFE = COUNTING | {"resets", "changes", "absent_over_time", "present_over_time"}


def _runtime() -> tuple[dict[str, set[str]], set[str]]:
    """The series that prometheus-client adds, with their labels, and the counters among them."""
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    families = list(registry.collect())
    labels = {each.name: set(each.labels) for family in families for each in family.samples}
    return labels, {name for name in labels if name.endswith("_total")}


_RUNTIME, _RUNTIME_COUNTERS = _runtime()
_SCRAPES = {"up", "scrape_duration_seconds", "scrape_samples_scraped"}
"""Prometheus's own, of each scrape."""
_METRICS = [metric for collector in ALL for metric in collector.metrics()] + list(METRICS)
COUNTERS = _RUNTIME_COUNTERS | {
    metric.name + suffix
    for metric in _METRICS
    for suffix in {"counter": ("",), "histogram": ("_bucket", "_count", "_sum")}.get(
        metric.kind, ()
    )
}


@cache
def labels_known(series: str) -> frozenset[str]:
    """The labels that a series has, none if there is no such series."""
    if series in _SCRAPES:
        return frozenset(TARGET_LABELS)
    if series in _RUNTIME:
        return frozenset(_RUNTIME[series] | TARGET_LABELS)
    if series == "ALERTS":
        named = (labels(promql.parse(rule["expr"])) for rule in BY_ALERT.values())
        return frozenset({"alertname", "alertstate", "severity"}.union(*named))
    try:
        return frozenset(labels_of(series))
    except KeyError:
        return frozenset()


@cache
def parsed(text: str) -> Node | None:
    try:
        return promql.parse(text)
    except ValueError:
        return None


def children(node: Node) -> list[Node]:
    """The nodes right below one."""
    match node:
        case promql.BinaryExpr():
            return [node.lhs, node.rhs]
        case promql.Call():
            return list(node.args)
        case promql.AggregateExpr():
            return [node.expr, *([node.param] if node.param else [])]
        case promql.MatrixSelector():
            return [node.vector_selector]
        case promql.ParenExpr() | promql.SubqueryExpr() | promql.UnaryExpr():
            return [node.expr]
    return []


def walk(node: Node, above: tuple[Node, ...] = ()) -> Iterator[tuple[Node, tuple[Node, ...]]]:
    """Every node of a tree with those above it, the outermost first."""
    yield node, above
    for child in children(node):
        yield from walk(child, (*above, node))


def labels(node: Node) -> set[str]:
    """The labels that the result of an expression can have."""
    match node:
        case promql.VectorSelector():
            return set(labels_known(node.name or ""))
        case promql.AggregateExpr():
            return _aggregated(node)
        case promql.BinaryExpr():
            return _joined(node)
        case promql.Call():
            return _returned(node)
    return _below(node)


def _below(node: Node) -> set[str]:
    return set[str]().union(*(labels(child) for child in children(node)))


def _returned(node: promql.Call) -> set[str]:
    match node.func.name:
        case "label_replace" | "label_join":
            return _below(node) | {node.args[1].val}
        case "histogram_quantile":
            return _below(node) - {"le"}
        case "absent" | "absent_over_time":
            found = [each for each, _ in walk(node) if isinstance(each, promql.VectorSelector)]
            return {each.name for one in found for each in matchers(one) if _is_exact(each)}
        case "scalar":
            return set()
    return _below(node)


def _aggregated(node: promql.AggregateExpr) -> set[str]:
    below = labels(node.expr)
    if str(node.op) in ("topk", "bottomk"):
        return below
    added = {node.param.val} if str(node.op) == "count_values" and node.param else set()
    named = set(node.modifier.labels) if node.modifier else set()
    if node.modifier and node.modifier.type == promql.AggModifierType.Without:
        return below - named | added
    return named | added


def _joined(node: promql.BinaryExpr) -> set[str]:
    left, right, how = labels(node.lhs), labels(node.rhs), node.modifier
    if str(node.op) in ("and", "unless"):
        return left
    if how is None or how.matching is None or str(node.op) == "or":
        return left | right
    if how.card != promql.VectorMatchCardinality.OneToOne:
        many = left if how.card == promql.VectorMatchCardinality.ManyToOne else right
        return many | set(how.group_labels or ())
    named = set(how.matching.labels)
    on = how.matching.type == promql.LabelModifierType.Include
    return named if on else left - named


def matchers(node: promql.VectorSelector) -> list[promql.Matcher]:
    return [*node.matchers.matchers, *(each for one in node.matchers.or_matchers for each in one)]


def _is_exact(matcher: promql.Matcher) -> bool:
    return bool(matcher.op == promql.MatchOp.Equal)
