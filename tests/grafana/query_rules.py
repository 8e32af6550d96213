"""Rules for a query, of a panel, an annotation or a variable."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta

import promql_parser as promql

from tests.grafana.board import RANGE, RATE_INTERVAL, Board, Query, is_ours, variables_in
from tests.grafana.expression import (
    COUNTER_SAFE,
    COUNTERS,
    COUNTING,
    Node,
    labels,
    labels_known,
    matchers,
)

FILTERS = ("job", "instance", "account")
"""The variables that narrow whatever has their label, each down to what the one before left."""


def query_asks_datasource(_board: Board, query: Query) -> Iterator[str]:
    """Annotations and variables ask the Prometheus that the reader chose."""
    if query.target is query.owner and not is_ours(query.owner):
        yield f"asks {query.owner.get('datasource')}"


def query_parses(_board: Board, query: Query) -> Iterator[str]:
    """Prometheus understands it."""
    try:
        promql.parse(query.text)
    except ValueError as error:
        yield f"{error}: {query.text!r}"


def series_exist(_board: Board, query: Query) -> Iterator[str]:
    """Each series is named, and exported, or recorded by a rule."""
    for selector, _ in query.selectors:
        if not labels_known(selector.name or ""):
            yield f"no series {selector.name}"


def labels_exist(_board: Board, query: Query) -> Iterator[str]:
    """Each label that is matched, grouped or joined by is there."""
    for node, _ in query.nodes if query.is_known else ():
        yield from sorted(_labels_missing(node))


def _labels_missing(node: Node) -> set[str]:
    match node:
        case promql.VectorSelector():
            return {each.name for each in matchers(node)} - labels_known(node.name or "")
        case promql.AggregateExpr() if node.modifier:
            return set(node.modifier.labels) - labels(node.expr)
        case promql.BinaryExpr() if node.modifier and node.modifier.matching:
            left, right = labels(node.lhs), labels(node.rhs)
            named = set(node.modifier.matching.labels)
            on = node.modifier.matching.type == promql.LabelModifierType.Include
            many = node.modifier.card == promql.VectorMatchCardinality.ManyToOne
            copied = set(node.modifier.group_labels or ()) - (right if many else left)
            return copied | (named - (left & right if on else left | right))
    return set()


def legend_labels_exist(_board: Board, query: Query) -> Iterator[str]:
    """A legend, or the text of an annotation, takes labels that the answer has."""
    formats = [query.target.get(f"{kind}Format") or "" for kind in ("legend", "title", "text")]
    named = set(re.findall(r"\{\{\s*(\w+)\s*\}\}", " ".join(formats)))
    for node, _ in query.nodes[:1] if query.is_known else ():
        yield from sorted(named - labels(node))


def selectors_are_narrowed(_board: Board, query: Query) -> Iterator[str]:
    """What has a job, an instance or an account is narrowed to the chosen ones.

    A filter's own variable is narrowed by the filters before it only.
    """
    own = FILTERS.index(query.variable) if query.variable in FILTERS else len(FILTERS)
    for selector, _ in query.selectors:
        found = {
            (each.name, re.sub(r"[{}|]", "", each.value))
            for each in matchers(selector)
            if each.op == promql.MatchOp.Re
        }
        for name in FILTERS[:own]:
            if name in labels_known(selector.name or "") and (name, f"${name}") not in found:
                yield f'{selector.name} without {name}=~"${name}"'


def several_need_a_pattern(board: Board, query: Query) -> Iterator[str]:
    """Where several values may be chosen, only a pattern matches them."""
    several = {name for name, each in board.variables.items() if each.get("multi")}
    for selector, _ in query.selectors:
        for each in matchers(selector):
            is_pattern = each.op in (promql.MatchOp.Re, promql.MatchOp.NotRe)
            if not is_pattern and variables_in(each.value) & several:
                yield f"{each}"


def counters_are_rated(_board: Board, query: Query) -> Iterator[str]:
    """A counter's value says how old the process is: only its growth is shown."""
    for selector, above in query.selectors if not query.variable else ():
        if selector.name in COUNTERS and _window(above)[0] not in COUNTER_SAFE:
            yield f"{selector.name} as it stands"


def _window(above: tuple[Node, ...]) -> tuple[str, timedelta]:
    """The function that is called right on a selector's range, and that range."""
    match above:
        case (*_, promql.Call() as call, promql.MatrixSelector() as ranged):
            return call.func.name, ranged.range
    return "", timedelta(0)


def gauges_are_not_rated(_board: Board, query: Query) -> Iterator[str]:
    """What may fall has no rate: each fall would count as a restart."""
    for selector, above in query.selectors:
        rated = {each.func.name for each in above if isinstance(each, promql.Call)} & COUNTING
        if rated and selector.name not in COUNTERS:
            yield f"{'/'.join(sorted(rated))} of {selector.name}"


def rate_interval_is_grafanas(_board: Board, query: Query) -> Iterator[str]:
    """Rates are taken over `$__rate_interval`: four scrapes at least, at any zoom.

    Or, where one number tells of the whole time shown, over `$__range`, asked once.
    """
    allowed = {RATE_INTERVAL} | ({RANGE} if query.target.get("instant") else set())
    for selector, above in query.selectors:
        function, window = _window(above)
        if function in COUNTING and window not in allowed:
            yield f"{selector.name} over {promql.display_duration(window)}"


def usage_is_rated_over_hours(_board: Board, query: Query) -> Iterator[str]:
    """Usage is polled every 15 minutes: over less than four polls there are steps, and no rate."""
    for selector, above in query.selectors:
        function, window = _window(above)
        is_short = window < timedelta(hours=1)
        if function in COUNTING and is_short and str(selector.name).startswith("wlvpn_usage_"):
            yield f"{selector.name} over {promql.display_duration(window)}"


def buckets_become_quantiles(_board: Board, query: Query) -> Iterator[str]:
    """Buckets are cumulative: they are for a quantile, or for a heatmap that knows them as such."""
    if query.target.get("format") == "heatmap":
        return
    for selector, above in query.selectors if not query.variable else ():
        called = {each.func.name for each in above if isinstance(each, promql.Call)}
        if str(selector.name).endswith("_bucket") and "histogram_quantile" not in called:
            yield f"{selector.name} without histogram_quantile"


QUERY_RULES: tuple[Callable[[Board, Query], Iterator[str]], ...] = (
    query_asks_datasource,
    query_parses,
    series_exist,
    labels_exist,
    legend_labels_exist,
    selectors_are_narrowed,
    several_need_a_pattern,
    counters_are_rated,
    gauges_are_not_rated,
    rate_interval_is_grafanas,
    usage_is_rated_over_hours,
    buckets_become_quantiles,
)
