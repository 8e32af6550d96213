"""The dashboards keep to the rules, and every rule can tell when one does not."""

import json
from dataclasses import dataclass
from typing import Any

import promql_parser
import pytest

from tests.grafana import lint
from tests.grafana.board import UIDS, committed
from tests.grafana.expression import labels

COMMITTED = committed()
PROMETHEUS = {"type": "prometheus", "uid": "${datasource}"}
GRAFANAS_LONGEST_UID = 40
GONE = object()
"""As a spoiled value: the key itself is taken away."""

Json = dict[str, Any]


def raw(series: str, *more: str) -> str:
    matchers = ('job=~"$job"', 'instance=~"$instance"', 'account=~"$account"', *more)
    return f"{series}{{{', '.join(matchers)}}}"


BUILD = 'wlvpn_exporter_build_info{job=~"$job", instance=~"$instance"}'


def variable(name: str, query: str) -> Json:
    return {
        "type": "query",
        "name": name,
        "label": name.capitalize(),
        "datasource": PROMETHEUS,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "current": {"text": "All", "value": "$__all"},
    }


def annotation(name: str, expr: str) -> Json:
    return {"name": name, "datasource": PROMETHEUS, "enable": True, "expr": expr}


def target(expr: str, legend: str = "") -> Json:
    return {"datasource": PROMETHEUS, "expr": expr, "legendFormat": legend, "refId": "A"}


def panel(number: int, kind: str, y: int, *targets: Json, **defaults: object) -> Json:
    return {
        "id": number,
        "type": kind,
        "title": f"Panel {number}",
        "description": "What is there?",
        "datasource": PROMETHEUS,
        "gridPos": {"x": 0, "y": y, "w": 24, "h": 8},
        "targets": list(targets),
        "fieldConfig": {
            "defaults": {"unit": "none", "noValue": "none", **defaults},
            "overrides": [],
        },
        "options": {"graphMode": "none"},
    }


def heatmap() -> Json:
    server = raw("wlvpn_server_capacity_used_ratio", 'fqdn="$server"')
    made = panel(7, "heatmap", 24, target(f"topk($top, max by (fqdn) ({server}))"))
    made["gridPos"] |= {"x": 12, "w": 12}
    made["options"] = {"yAxis": {"unit": "percentunit"}, "cellGap": 1, "legend": {"show": True}}
    del made["fieldConfig"]["defaults"]["unit"]
    return made


def steps(*values: float) -> Json:
    return {"mode": "absolute", "steps": [{"value": value} for value in (None, *values)]}


POP = 'pop=~"$pop"'
USED = f"max by (account, pop) ({raw('wlvpn_server_capacity_used_ratio', POP)})"
ALERTS = 'ALERTS{alertstate="firing", account=~"$account|"}'
LINK = "/d/wlvpn-servers?${__url_time_range}&${datasource:queryparam}&var-pop=${__data.fields.POP}"


def table() -> Json:
    asked = {"instant": True, "format": "table"}
    made = panel(
        3,
        "table",
        16,
        target(USED) | asked,
        target(USED.replace("})", "} offset 1h)")) | asked | {"refId": "B"},
        links=[{"title": "Servers", "url": LINK}],
    )
    made["transformations"] = [
        {"id": "merge", "options": {}},
        {
            "id": "organize",
            "options": {"renameByName": {"pop": "POP", "Value #A": "Used", "Value #B": "Before"}},
        },
    ]
    made["options"]["sortBy"] = [{"displayName": "Used", "desc": True}]
    made["fieldConfig"]["overrides"] = [
        {
            "matcher": {"id": "byName", "options": "Used"},
            "properties": [
                {"id": "unit", "value": "percentunit"},
                {"id": "thresholds", "value": steps(0.85, 0.95)},
            ],
        }
    ]
    return made


def dashboard(uid: str = "wlvpn-overview") -> Json:
    """A small dashboard with which nothing is wrong."""
    build = "wlvpn_exporter_build_info"
    added = f"increase({raw('wlvpn_servers_added_total')}[$__rate_interval]) > 0"
    requests = f"rate({raw('wlvpn_api_request_duration_seconds_bucket')}[$__rate_interval])"
    duration = panel(
        4,
        "timeseries",
        24,
        target(
            f"histogram_quantile(0.5, sum by (collector, le) ({requests}))",
            "{{collector}}",
        ),
        unit="s",
    )
    duration["gridPos"]["w"] = 12
    server = variable("server", f"label_values({raw('wlvpn_server_info')}, fqdn)")
    folded = {
        "id": 5,
        "type": "row",
        "title": "Folded",
        "collapsed": True,
        "gridPos": {"x": 0, "y": 32, "w": 24, "h": 1},
        "panels": [panel(6, "stat", 33, target(f"count({ALERTS})"))],
    }
    return {
        "uid": uid,
        "title": "Small",
        "description": "Is all well?",
        "tags": ["wlvpn"],
        "editable": False,
        "schemaVersion": 42,
        "timezone": "browser",
        "refresh": "1m",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [
                {
                    "type": "datasource",
                    "name": "datasource",
                    "label": "Data source",
                    "query": "prometheus",
                },
                variable("job", f"label_values({build}, job)"),
                variable("instance", f'label_values({build}{{job=~"$job"}}, instance)'),
                variable(
                    "account",
                    'label_values(wlvpn_up{job=~"$job", instance=~"$instance"}, account)',
                ),
                variable("pop", f"label_values({raw('wlvpn_server_info')}, pop)"),
                server | {"multi": False, "includeAll": False, "current": {}},
                {"type": "custom", "name": "top", "label": "Top", "query": "3,5"},
            ]
        },
        "annotations": {
            "list": [
                {"builtIn": 1, "name": "Annotations & Alerts", "datasource": {"type": "grafana"}},
                annotation("Alerts", ALERTS),
                annotation("Added", added),
                annotation("Removed", added.replace("added", "removed")),
            ]
        },
        "links": [{"type": "dashboards", "tags": ["wlvpn"], "keepTime": True, "includeVars": True}],
        "panels": [
            panel(1, "stat", 0, target(f"avg({USED})"), unit="percentunit", thresholds=steps(0.9)),
            panel(2, "timeseries", 8, target(USED, "{{pop}} of {{account}}")),
            table(),
            duration,
            heatmap(),
            folded,
        ],
    }


GRAPH = "panels.1.targets.0.expr"
NUMBER = "panels.5.panels.0.targets.0.expr"
FLEET = {uid: dashboard(uid) for uid in UIDS}


@dataclass(frozen=True, slots=True)
class Case:
    """One way to spoil the small dashboard: the rules that tell, and what is put where."""

    rules: str
    path: str
    value: object

    def __str__(self) -> str:
        return f"{self.rules}: {self.path}"


def expr(rules: str, text: str, path: str = GRAPH) -> Case:
    """Another expression for the graph, whose legend wants pop and account."""
    return Case(rules, path, text)


RECORDED = 'wlvpn:pop_capacity_used:avg{account=~"$account"}'
FLEET_SIZE = 'wlvpn:servers:count{account=~"$account"}'
LOST = 'max(wlvpn:servers:lost1d{account=~"$account"})'
GROWN = f"sum(increase({raw('wlvpn_polls_total')}[$__range]))"
BUCKETS = f"sum by (le) (rate({raw('wlvpn_poll_duration_seconds_bucket')}[$__rate_interval]))"
SHARE = {"unit": "percentunit"}
COUNT = {"unit": "none", "noValue": "-", "thresholds": {"mode": "percentage", "steps": []}}
AREA = {"options": {"graphMode": "area"}}
HALF = {"gridPos": {"x": 0, "y": 24, "w": 12, "h": 8}}
TARGETED = {"name": "Alerts", "datasource": PROMETHEUS, "target": {"expr": ALERTS}}

CASES = (
    Case("uid-is-stable", "uid", "wlvpn-other"),
    Case("dashboard-is-described", "title", ""),
    Case("dashboard-is-described", "description", GONE),
    Case("dashboard-is-described", "tags", ["vpn"]),
    Case("not-editable", "editable", value=True),
    Case("not-editable", "editable", GONE),
    Case("portable", "id", 7),
    Case("portable", "version", 3),
    Case("portable", "__inputs", []),
    Case("schema-is-classic", "schemaVersion", 16),
    Case("schema-is-classic", "elements", {}),
    Case("time-is-set", "timezone", "Europe/London"),
    Case("time-is-set", "refresh", "5s"),
    Case("time-is-set", "time.from", "2026-01-01"),
    Case("time-is-set", "time.to", "now-1h"),
    Case("datasource-is-variable", "templating.list.0.query", "loki"),
    Case("datasource-is-variable", "templating.list.0.type", "constant"),
    Case("targets-are-variables", "templating.list.1.multi", value=False),
    Case("targets-are-variables", "templating.list.2.includeAll", value=False),
    Case("targets-are-variables", "templating.list.2.allValue", ".*"),
    Case("targets-are-variables", "templating.list.1.type", "custom"),
    Case("account-is-variable", "templating.list.3.type", "custom"),
    Case(
        "variables-take-label-values",
        "templating.list.1.query.query",
        "wlvpn_up",
    ),
    Case(
        "variables-take-label-values",
        "templating.list.4.query.query",
        f"label_values({raw('wlvpn_up')}, pop)",
    ),
    Case("variables-follow-time", "templating.list.4.refresh", 1),
    Case("variables-are-labelled", "templating.list.4.label", ""),
    Case("all-is-one-pattern", "templating.list.4.allValue", GONE),
    Case("first-import-has-data", "templating.list.4.current.value", ["fra"]),
    Case("first-import-has-data", "templating.list.4.options", [{"value": "fra"}]),
    Case(
        "variables-are-used",
        "templating.list.7",
        variable("version", f"label_values({BUILD}, version)"),
    ),
    Case("variables-exist", "panels.0.title", "Used in $place"),
    Case("variables-exist", "panels.0.description", "Used in ${place:raw}"),
    Case("panels-are-distinct", "panels.0.id", 2),
    Case("panels-are-distinct", "panels.0.id", GONE),
    Case("panels-are-distinct", "panels.5.panels.0.title", "Panel 1"),
    Case("panels-have-room", "panels.0.gridPos.x", 1),
    Case("panels-have-room", "panels.0.gridPos.h", 9),
    Case("panels-have-room", "panels.0.gridPos.w", 0),
    Case("panels-have-room", "panels.3.gridPos.w", 13),
    Case("panels-have-room", "panels.4.gridPos.x", 11),
    Case("panels-have-room", "panels.4.gridPos.y", 23),
    Case("panels-have-room", "panels.0.gridPos.y", -1),
    Case("panels-have-room", "panels.5.panels.0.gridPos.w", 25),
    Case("dashboards-are-linked", "links", []),
    Case("dashboards-are-linked", "links.0.keepTime", value=False),
    Case("dashboards-are-linked", "links.0.includeVars", GONE),
    Case("dashboards-are-linked", "links.0.tags", ["vpn"]),
    Case("dashboards-are-linked", "links.0.url", "/d/wlvpn-other"),
    Case("events-are-annotated", "annotations.list.1", GONE),
    Case("events-are-annotated", "annotations.list.2", GONE),
    Case("events-are-annotated", "annotations.list.3", GONE),
    Case("events-are-annotated", "annotations.list.1.expr", 'ALERTS{account=~"$account"}'),
    Case("type-is-core", "panels.1.type", "graph"),
    Case("type-is-core", "panels.2.transformations.0.id", "regression"),
    Case("panel-is-described", "panels.0.title", ""),
    Case("panel-is-described", "panels.0.description", GONE),
    Case("panel-is-described", "panels.5.title", ""),
    Case("unit-is-known", "panels.0.fieldConfig.defaults.unit", GONE),
    Case("unit-is-known", "panels.0.fieldConfig.defaults.unit", "percent"),
    Case("unit-is-known", "panels.2.fieldConfig.overrides.0.properties.0.value", "ratio"),
    Case("unit-is-known", "panels.0.options.yAxis", {"unit": "ratio"}),
    Case("has-targets", "panels.5.panels.0.targets", []),
    Case("has-targets query-parses", NUMBER, ""),
    Case("has-targets", "panels.1.targets.0.refId", GONE),
    Case("has-targets columns-exist", "panels.2.targets.1.refId", "A"),
    Case("panel-asks-datasource", "panels.0.datasource.uid", "prometheus"),
    Case("panel-asks-datasource", "panels.0.targets.0.datasource", GONE),
    Case("panel-asks-datasource", "panels.5.panels.0.datasource", GONE),
    Case("lines-are-named", "panels.1.targets.0.legendFormat", "__auto"),
    Case("emptiness-is-told", "panels.0.fieldConfig.defaults.noValue", ""),
    Case("emptiness-is-told", "panels.2.fieldConfig.defaults.noValue", GONE),
    Case("thresholds-are-the-alerts", "panels.0.fieldConfig.defaults.thresholds", steps(0.8)),
    Case("thresholds-are-the-alerts", "panels.0.fieldConfig.defaults.thresholds", steps(0.3)),
    expr(
        "thresholds-are-the-alerts",
        "avg(wlvpn:servers:lost1d{account=~'$account'})",
        "panels.0.targets.0.expr",
    ),
    Case(
        "thresholds-are-the-alerts",
        "panels.1.fieldConfig.defaults",
        SHARE | {"thresholds": steps(0.8)},
    ),
    Case(
        "thresholds-are-the-alerts", "panels.0.fieldConfig.defaults.thresholds.mode", "percentage"
    ),
    Case(
        "thresholds-are-the-alerts",
        "panels.2.fieldConfig.overrides.0.properties.1.value",
        steps(0.86),
    ),
    Case(
        "links-lead-somewhere",
        "panels.2.fieldConfig.defaults.links.0.url",
        "/d/other?${__url_time_range}&${__all_variables}",
    ),
    Case(
        "links-lead-somewhere",
        "panels.2.fieldConfig.defaults.links.0.url",
        LINK.replace("var-pop", "var-place"),
    ),
    Case(
        "links-lead-somewhere",
        "panels.2.fieldConfig.defaults.links.0.url",
        LINK.replace("${__url_time_range}", ""),
    ),
    Case(
        "links-lead-somewhere",
        "panels.2.fieldConfig.defaults.links.0.url",
        LINK.replace("${datasource:queryparam}", ""),
    ),
    Case("tables-ask-once", "panels.2.targets.0.instant", value=False),
    Case("tables-ask-once", "panels.2.targets.1.format", "time_series"),
    Case(
        "columns-exist",
        "panels.2.fieldConfig.defaults.links.0.url",
        LINK.replace("fields.POP", "fields.Place"),
    ),
    Case("columns-exist", "panels.2.options.sortBy.0.displayName", "used"),
    Case("columns-exist", "panels.2.fieldConfig.overrides.0.matcher.options", "used"),
    Case("columns-exist", "panels.2.transformations.1.options.renameByName.place", "Place"),
    Case(
        "columns-exist",
        "panels.2.transformations.2",
        {"id": "filterFieldsByName", "options": {"include": {"names": ["city"]}}},
    ),
    Case("merged-is-alike", "panels.2.targets.0.expr", f"sum by (pop) ({USED})"),
    Case(
        "sparkline-is-free",
        "panels.0",
        panel(1, "stat", 0, target(USED), min=0, max=1) | AREA,
    ),
    Case("query-asks-datasource", "annotations.list.1.datasource.uid", "prometheus"),
    Case("query-asks-datasource", "templating.list.4.datasource", GONE),
    expr("query-parses", f"{USED} and"),
    expr("query-parses", "sum(1, 2)"),
    expr("query-parses", "(", "panels.2.targets.0.expr"),
    Case("query-parses", "templating.list.6.query", ""),
    expr("series-exist", "max by (account, pop) (wlvpn_used)"),
    expr("series-exist", '{__name__=~"wlvpn_.+"}'),
    expr("series-exist", f"topk(scalar(wlvpn_used), {USED})"),
    expr("labels-exist", USED.replace(POP, 'place=~"$pop"')),
    expr("labels-exist", USED.replace("(account, pop)", "(account, pop, place)")),
    expr("labels-exist", f"{USED} and on (place) {USED}"),
    expr("labels-exist", f"{USED} * on (pop) group_left (place) {USED}"),
    expr("labels-exist", f"{USED} and on (account, pop) {RECORDED.replace('pop', 'country')}"),
    expr("labels-exist", f"{USED} * ignoring (place) {USED}"),
    expr("labels-exist", f"{RECORDED} * on (account) group_left (country) {FLEET_SIZE}"),
    expr("labels-exist", f"{FLEET_SIZE} * on (account) group_right (country) {RECORDED}"),
    expr("legend-labels-exist", "{{city}}", "panels.1.targets.0.legendFormat"),
    expr("legend-labels-exist", "{{account}} {{place}}", "annotations.list.1.titleFormat"),
    expr("legend-labels-exist", f"sum by (pop) ({USED})"),
    expr("legend-labels-exist", f"{USED} / on (pop) {USED}"),
    expr("selectors-are-narrowed", USED.replace('job=~"$job", ', "")),
    expr("selectors-are-narrowed", USED.replace('instance=~"$instance"', 'instance=~"$job"')),
    expr("selectors-are-narrowed", "wlvpn:pop_capacity_used:avg"),
    expr(
        "selectors-are-narrowed several-need-a-pattern",
        USED.replace('job=~"$job"', 'job="$job"'),
    ),
    expr(
        "selectors-are-narrowed",
        f"label_values({raw('wlvpn_server_info').replace('job', 'account')}, pop)",
        "templating.list.4.query.query",
    ),
    expr(
        "selectors-are-narrowed",
        "label_values(wlvpn_exporter_build_info, instance)",
        "templating.list.2.query.query",
    ),
    expr("selectors-are-narrowed", 'ALERTS{alertstate="firing"}', "annotations.list.1.expr"),
    expr("several-need-a-pattern", USED.replace(POP, 'pop="$pop"')),
    expr(
        "counters-are-rated", f"max by (account, pop) ({raw('wlvpn_usage_observed_bytes_total')})"
    ),
    expr(
        "counters-are-rated",
        f"max_over_time({raw('wlvpn_usage_observed_bytes_total')}[$__rate_interval])",
    ),
    expr(
        "counters-are-rated",
        f"rate(sum by (account, pop) ({raw('wlvpn_usage_observed_bytes_total')})[2h:])",
    ),
    expr(
        "counters-are-rated",
        f"sum({raw('wlvpn_poll_duration_seconds_sum')})",
        NUMBER,
    ),
    expr(
        "counters-are-rated",
        'sum(process_cpu_seconds_total{job=~"$job", instance=~"$instance"})',
        NUMBER,
    ),
    expr(
        "gauges-are-not-rated",
        f"rate({raw('wlvpn_server_capacity_used_ratio')}[$__rate_interval])",
    ),
    expr(
        "gauges-are-not-rated",
        'rate(process_open_fds{job=~"$job", instance=~"$instance"}[$__rate_interval])',
        NUMBER,
    ),
    expr(
        "gauges-are-not-rated",
        f"rate(sum({raw('wlvpn_servers')})[5m:])",
        NUMBER,
    ),
    expr(
        "rate-interval-is-grafanas",
        f"sum(rate({raw('wlvpn_polls_total')}[5m]))",
        NUMBER,
    ),
    expr(
        "rate-interval-is-grafanas",
        f"sum(increase({raw('wlvpn_polls_total')}[$__range]))",
        NUMBER,
    ),
    expr(
        "usage-is-rated-over-hours",
        f"rate({raw('wlvpn_usage_observed_bytes_total')}[$__rate_interval])",
    ),
    expr(
        "rate-interval-is-grafanas usage-is-rated-over-hours",
        f"rate({raw('wlvpn_usage_observed_bytes_total')}[59m])",
    ),
    expr(
        "rate-interval-is-grafanas",
        f"rate({raw('wlvpn_usage_observed_bytes_total')}[1h])",
    ),
    expr(
        "buckets-become-quantiles",
        f"sum(rate({raw('wlvpn_poll_duration_seconds_bucket')}[$__rate_interval]))",
        NUMBER,
    ),
)

ALLOWED = (
    Case("", "templating.list.4.query", f"label_values({raw('wlvpn_server_info')}, pop)"),
    Case("", "templating.list.3.query.query", f"label_values({raw('wlvpn_polls_total')}, account)"),
    Case(
        "",
        "templating.list.3.query.query",
        f"label_values({raw('wlvpn_poll_duration_seconds_bucket')}, account)",
    ),
    Case("", "templating.list.4.current", GONE),
    Case("", "templating.list.6", {"type": "custom", "name": "top", "hide": 2, "query": "3"}),
    Case("", "templating.list.6.current", {"value": ["5"]}),
    Case("", "templating.list.6.current", {"value": "5"}),
    Case("", "annotations.list.1", TARGETED),
    Case("", "panels.0.fieldConfig.defaults", {"mappings": [{"type": "value"}], "noValue": "-"}),
    Case("", "panels.0.fieldConfig.defaults.unit", "suffix: servers"),
    Case(
        "",
        "panels.0.fieldConfig.defaults",
        {"unit": "none", "noValue": "-", "thresholds": steps(7)},
    ),
    Case("", "panels.0.fieldConfig.defaults", COUNT),
    Case(
        "", "panels.0", panel(1, "stat", 0, target(LOST), unit="percentunit", thresholds=steps(0.1))
    ),
    Case("", "panels.0", panel(1, "stat", 0, target(USED), min=0) | AREA),
    Case("", "panels.0", panel(1, "stat", 0, target(USED), max=1) | AREA),
    Case("", "panels.0", panel(1, "stat", 0, target(USED), min=0, max=1)),
    Case("", "panels.0", panel(1, "gauge", 0, target(USED), min=0, max=1) | AREA),
    Case("", "panels.0", panel(1, "stat", 0, target(GROWN) | {"instant": True})),
    Case(
        "",
        "panels.0",
        panel(1, "stat", 0, target(GROWN.replace("range", "rate_interval")) | {"instant": True}),
    ),
    Case("", "panels.3", panel(4, "heatmap", 24, target(BUCKETS) | {"format": "heatmap"}) | HALF),
    Case(
        "",
        "panels.2.fieldConfig.defaults.links.0.url",
        "/d/wlvpn-servers?${__url_time_range}&${__all_variables}",
    ),
    Case(
        "",
        "panels.2.fieldConfig.overrides.1",
        {"matcher": {"id": "byRegexp", "options": "/U/"}, "properties": []},
    ),
    expr("", USED.replace("max by", "${top} * max by")),
    expr("", f"{USED} > bool {USED}"),
    expr(
        "",
        f"{RECORDED} / ignoring (pop, country) group_left () {FLEET_SIZE}",
    ),
    expr(
        "",
        f"{RECORDED} * on (account, pop) group_left (city) "
        f"max by (account, pop, city) ({raw('wlvpn_server_info')})",
    ),
    expr("", f"{FLEET_SIZE} * ignoring (pop, country) group_right () {RECORDED}"),
    expr("", f"max_over_time({RECORDED}[1h])"),
    Case("", "panels.0.description", "Costs ${1} to $2"),
    Case("", "panels.0.gridPos.y", 33),
    expr("", f"resets({raw('wlvpn_usage_observed_bytes_total')}[$__rate_interval])"),
    expr("", f"max_over_time({raw('wlvpn_usage_month_to_date_bytes')}[30m])"),
    expr("", 'sum(up{job=~"$job", instance=~"$instance"})', NUMBER),
)
"""What is rare, and no rule forbids."""

LABELS = (
    ("wlvpn:pop_capacity_used:avg", "account country pop"),
    ("-(wlvpn:pop_capacity_used:avg offset 1h)", "account country pop"),
    ("max_over_time(wlvpn:pop_capacity_used:avg[1h:5m])", "account country pop"),
    ("rate(process_cpu_seconds_total[5m])", "instance job"),
    ("sum(wlvpn:pop_capacity_used:avg)", ""),
    ("sum by (pop) (wlvpn:pop_capacity_used:avg)", "pop"),
    ("sum without (pop) (wlvpn:pop_capacity_used:avg)", "account country"),
    ("topk(3, wlvpn:servers:count)", "account"),
    ("bottomk by (pop) (3, wlvpn:pop_servers:count)", "account country pop"),
    ('count_values("used", wlvpn:servers:count)', "used"),
    ('count_values by (pop) ("used", wlvpn:pop_servers:count)', "pop used"),
    ('count_values without (pop) ("used", wlvpn:pop_servers:count)', "account country used"),
    ("quantile(0.9, wlvpn:pop_servers:count)", ""),
    ('label_replace(wlvpn:servers:count, "who", "$1", "account", "(.+)")', "account who"),
    ('label_join(wlvpn:servers:count, "who", "-", "account")', "account who"),
    (
        "histogram_quantile(0.9, sum by (le, collector) (wlvpn_poll_duration_seconds_bucket))",
        "collector",
    ),
    ('absent(up{job="wlvpn", instance=~"a.+"})', "job"),
    ("scalar(wlvpn:servers:count)", ""),
    ("time() - wlvpn:servers:count", "account"),
    ("wlvpn:servers:count > 3", "account"),
    ("wlvpn:pop_servers:count and on (account) wlvpn:servers:count", "account country pop"),
    ("wlvpn:servers:count unless on (account) wlvpn:pop_servers:count", "account"),
    ("wlvpn:servers:count or wlvpn:pop_usage_bytes:rate2h", "account pop"),
    ("wlvpn:pop_servers:count / on (account) wlvpn:servers:count", "account"),
    ("wlvpn:pop_servers:count / ignoring (country) wlvpn:pop_usage_bytes:rate2h", "account pop"),
    (
        "wlvpn:usage_bytes:rate2h * on (account) group_left (pop) wlvpn:pop_servers:count",
        "account pop",
    ),
    (
        "wlvpn:usage_bytes:rate2h * on (account) group_right () wlvpn:pop_servers:count",
        "account country pop",
    ),
)


def spoiled(case: Case) -> Json:
    """The small dashboard, but for one thing."""
    made: Json = json.loads(json.dumps(dashboard()))
    *way, last = (int(key) if key.isdigit() else key for key in case.path.split("."))
    place: Any = made
    for key in way:
        place = place[key]
    if case.value is GONE:
        del place[last]
    elif isinstance(place, list) and last == len(place):
        place.append(case.value)
    else:
        place[last] = case.value
    return made


def test_nothing_is_wrong_with_the_small_dashboard() -> None:
    """What the rules find in the spoiled ones comes from what was spoiled."""
    assert [] == lint.findings(dashboard(), FLEET)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_rule_tells(case: Case) -> None:
    """Each rule finds what breaks it, and no other rule is bothered."""
    found = {finding.rule for finding in lint.judged(spoiled(case), FLEET)}
    assert set(case.rules.split()) == found


@pytest.mark.parametrize("case", ALLOWED, ids=str)
def test_rule_lets_pass(case: Case) -> None:
    """What a rule does not mean, it does not find."""
    assert [] == [str(finding) for finding in lint.judged(spoiled(case), FLEET)]


@pytest.mark.parametrize(("text", "expected"), LABELS, ids=lambda each: str(each)[:60])
def test_labels_are_those_of_the_answer(text: str, expected: str) -> None:
    """The labels of a result are known before anybody asks for it."""
    assert set(expected.split()) == labels(promql_parser.parse(text))


def test_every_rule_can_fail() -> None:
    """There is a way to break each rule of the table."""
    told = {rule for case in CASES for rule in case.rules.split()}
    assert set(lint.names()) == told


def test_uids_are_the_files_names() -> None:
    """There are the dashboards that the alerts link to, each in the file of its name."""
    found = {stem: dashboard["uid"] for stem, dashboard in COMMITTED.items()}
    assert {uid: uid for uid in UIDS if len(uid) <= GRAFANAS_LONGEST_UID} == found


@pytest.mark.parametrize("uid", COMMITTED)
def test_dashboard_keeps_to_the_rules(uid: str) -> None:
    """No rule finds anything that is not excluded."""
    assert [] == lint.findings(COMMITTED[uid])


def test_exclusions_are_needed_and_have_reasons() -> None:
    """An exclusion that excuses nothing any more is taken out, and each says why."""
    found = {
        (finding.uid, finding.place, finding.rule)
        for dashboard in COMMITTED.values()
        for finding in lint.judged(dashboard, COMMITTED)
    }
    assert set(lint.EXCLUSIONS) == set(lint.EXCLUSIONS) & found
    assert all(len(reason.split()) > 3 for reason in lint.EXCLUSIONS.values())
