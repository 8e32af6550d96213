"""The table of docs/freshness.md: its worst cases, played by promtool."""

import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from docs import budget
from tests.alerts import promql
from tests.alerts.catalogue import ALERTS, BINARIES, BY_ALERT, RULE_FILES

STEP_SECONDS = 5
BEGIN_SECONDS = 1_205  # just after an evaluation: the next one is as far away as can be
SLACK_EVALUATIONS = 3
DAY = range(0, 90_000, 60)
GROUPS = ["wlvpn-thresholds", "wlvpn-fresh", "wlvpn-polls", "wlvpn-servers", "wlvpn-usage"]

SERVER = 'account="a", country="FR", city="Paris", pop="par", fqdn="par-a01.wlvpn.com"'
CAPACITY = f"wlvpn_server_capacity_used_ratio{{{SERVER}}}"
POLLED = 'wlvpn_last_success_timestamp_seconds{{account="a", collector="{}"}}'
Value = Callable[[int], float | None]
Series = Mapping[str, Value]

AGES: Series = {
    'wlvpn_data_ttl_seconds{account="a", collector="servers"}': lambda _: 600,
    'wlvpn_poll_interval_seconds{account="a", collector="usage"}': lambda _: 900,
}


def polled(*collectors: str) -> Series:
    """Polls that go on being accepted."""
    return {**{POLLED.format(collector): float for collector in collectors}, **AGES}


def stops(collector: str) -> Series:
    """The last good poll is the moment before the fault; the other collector's go on."""
    return {**polled("servers", "usage"), POLLED.format(collector): lambda t: min(t, BEGIN_SECONDS)}


def step(before: float | None, after: float | None) -> Value:
    """A value that is another one from the fault on; None is no sample."""
    return lambda t: before if t < BEGIN_SECONDS else after


def fills_up(*, from_: float, to: float, servers: int = 1) -> Series:
    """A country with one POP, from one average to another."""
    names = [CAPACITY.replace("a01", f"a{number:02}") for number in range(1, servers + 1)]
    return {**polled("servers"), **{name: step(from_, to) for name in names}}


@dataclass(frozen=True, slots=True)
class Trial:
    """What Prometheus has scraped: the steps before the rules have taken their worst."""

    alert: str
    series: Series


TRIALS = [
    # A hair above the limit: the average needs its whole window.
    Trial("WlvpnCountrySaturated", fills_up(from_=0.1, to=0.90001)),
    Trial("WlvpnPopSaturated", fills_up(from_=0.1, to=0.90001)),
    Trial("WlvpnServerSaturated", fills_up(from_=0.1, to=0.95001)),
    Trial("WlvpnCountryNearlySaturated", fills_up(from_=0.1, to=0.85001, servers=10)),
    Trial(
        "WlvpnCountryEmpty",
        {**polled("servers"), 'wlvpn_servers{account="a", country="FR"}': step(3, 0)},
    ),
    Trial("WlvpnServersStale", stops("servers")),
    Trial("WlvpnUsageStale", stops("usage")),
    Trial(
        "WlvpnApiKeyRefused",
        {
            'wlvpn_up{account="a", collector="servers"}': step(1, 0),
            'wlvpn_poll_failures_total{account="a", collector="servers", reason="forbidden"}': (
                step(0, 1)
            ),
        },
    ),
    Trial(
        "WlvpnNeverSucceeded",
        {POLLED.format("servers"): lambda t: t if t < BEGIN_SECONDS else 0},
    ),
    Trial("WlvpnExporterDown", {'wlvpn_up{account="a", collector="servers"}': step(1, None)}),
    Trial("WlvpnExporterAbsent", {'wlvpn_exporter_build_info{version="1"}': step(1, None)}),
    Trial(
        "WlvpnSourceFrozen",
        {
            **polled("servers"),
            'wlvpn_source_changed_timestamp_seconds{account="a", collector="servers"}': (
                lambda t: min(t, BEGIN_SECONDS)
            ),
        },
    ),
]


def notation(value: Value, until: int) -> str:
    """A series as promtool wants it; one that ends is told stale, as a missed scrape does."""
    values = (value(second) for second in range(0, until, STEP_SECONDS))
    return " ".join("stale" if each is None else f"{each:.12g}" for each in values)


def firing(alert: str, second: int, *, count: int) -> Mapping[str, object]:
    """How many alerts have fired at an instant."""
    expr = f'count(ALERTS{{alertname="{alert}", alertstate="firing"}})'
    samples = [{"labels": "{}", "value": count}] if count else []
    return {"eval_time": f"{second}s", "expr": expr, "exp_samples": samples}


@pytest.mark.parametrize("version", ["2", "3"])
@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: trial.alert)
def test_an_alert_keeps_its_budget(trial: Trial, version: str, tmp_path: Path) -> None:
    """At its worst it fires within the time that the page tells, and not much sooner."""
    row = next(each for each in budget.budgets() if each.alert == trial.alert)
    worst = row.condition.worst + row.rules.worst + row.lasting.worst
    minute = int(budget.EVALUATION_SECONDS)
    last = int(BEGIN_SECONDS + worst) // minute * minute
    series = [
        {"series": name, "values": notation(value, last + minute)}
        for name, value in trial.series.items()
    ]
    checks = [
        firing(trial.alert, last - SLACK_EVALUATIONS * minute, count=0),
        firing(trial.alert, last, count=1),
    ]
    played = {
        "interval": f"{STEP_SECONDS}s",
        "input_series": series,
        "promql_expr_test": checks,
    }
    rules = {
        "rule_files": [str(path) for path in RULE_FILES],
        "evaluation_interval": f"{minute}s",
        "group_eval_order": GROUPS,
    }
    assert "" == complaint(version, {**rules, "tests": [played]}, tmp_path)


def complaint(version: str, test: Mapping[str, object], folder: Path) -> str:
    """What promtool has against a test."""
    (folder / "test.yaml").write_text(yaml.safe_dump(test))
    command = [f"{BINARIES}/{version}/usr/bin/promtool", "test", "rules", f"{folder}/test.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr if done.returncode else ""


@pytest.mark.parametrize("version", ["2", "3"])
def test_the_page_measures_the_platform(version: str, tmp_path: Path) -> None:
    """Its queries find the pace of a platform that measures each ten minutes and once paused."""
    text = budget.PAGE.read_text().partition("## How often")[2]
    pace, standstill = re.findall(r"^```promql\n(.*?)\n```$", text, re.MULTILINE | re.DOTALL)[:2]
    changed = (t // 600 * 600 if t < 40_000 or t > 47_600 else 39_600 for t in DAY)
    name = 'wlvpn_source_changed_timestamp_seconds{account="a", collector="servers"}'
    trial = {
        "interval": "1m",
        "input_series": [{"series": name, "values": " ".join(map(str, changed))}],
        "promql_expr_test": [
            # 131 changes, or 132 in Prometheus 2, which counts the window's edge in.
            measured(f"round({pace}, 20)", 660),
            measured(standstill, 47_580 - 39_600),
        ],
    }
    assert "" == complaint(version, {"tests": [trial]}, tmp_path)


def measured(expr: str, value: float) -> Mapping[str, object]:
    """What a query says at the end of the day, of the one series that there is."""
    labels = '{account="a", collector="servers"}'
    return {
        "eval_time": f"{DAY[-1]}s",
        "expr": expr,
        "exp_samples": [{"labels": labels, "value": value}],
    }


def test_every_page_to_on_call_has_its_budget() -> None:
    """No alert that wakes somebody is missing in the table."""
    critical = {name for name, rule in BY_ALERT.items() if rule["labels"]["severity"] == "critical"}
    assert set() == critical - {row.alert for row in budget.budgets()}


def test_alertmanager_waits_alike_for_all() -> None:
    """The table knows one group_wait: no route of the example has another."""
    text = (ALERTS / "alertmanager.example.yaml").read_text()
    assert 1 == text.count("group_wait:")


@pytest.mark.parametrize("alert", [row.alert for row in budget.budgets()])
def test_an_alert_lasts_whole_evaluations(alert: str) -> None:
    """Else `for` would be rounded up, and the table too short."""
    assert 0 == promql.in_seconds(BY_ALERT[alert]["for"]) % budget.EVALUATION_SECONDS
