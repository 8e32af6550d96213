"""The dashboards' queries, asked of real databases that hold an evening of trouble."""

import argparse
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.grafana import pages
from tests.grafana.answers import EXACT, NOW, Asked, Tolerance, differences
from tests.grafana.api import Api
from tests.grafana.database import flush, prometheus, victoria
from tests.grafana.history import fill
from tests.grafana.queries import DASHBOARDS, Query
from tests.grafana.replay import Window, states_of

HISTORY = (
    *("--servers=300", "--story=trouble"),
    *("--long=10440:30", "--recent=360:15", "--last=180:1"),
)
LAST_SECONDS = 170 * 60
"""For so long each database has a scrape a minute behind it; before, each bridges gaps its way."""

CALM = NOW - 150 * 60
"""Before the trouble: nothing that anybody is told of fires."""

COUNTERS = re.compile(r"\b(?:rate|increase)\(")
METRIC = re.compile(r"(?<![\w:\"$])(?:wlvpn[_:][\w:]+|process_\w+|python_\w+|ALERTS|up(?=\{))")

ENGINES = ("prometheus 3", "prometheus 2", "victoria")

every_dashboard = pytest.mark.parametrize(
    "dashboard", DASHBOARDS, ids=[path.stem for path in DASHBOARDS]
)


@pytest.fixture(scope="session")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Api]]:
    """The same history in three databases."""
    folder = tmp_path_factory.mktemp("history")
    parser = argparse.ArgumentParser()
    pages.arguments(parser)
    with ExitStack() as parts:
        urls = [
            parts.enter_context(prometheus(folder / "3")),
            parts.enter_context(prometheus(folder / "2", version="2")),
            parts.enter_context(victoria(folder / "victoria")),
        ]
        fill(urls, parser.parse_args(HISTORY))
        flush(urls[-1])
        apis = [parts.enter_context(closing(Api(url))) for url in urls]
        yield dict(zip(ENGINES, apis, strict=True))


@pytest.fixture(scope="session")
def asked(engines: Mapping[str, Api]) -> Mapping[tuple[str, Path], Asked]:
    """Every dashboard's queries and answers, from every database."""
    return {(name, path): Asked(api, path) for name, api in engines.items() for path in DASHBOARDS}


def _as_steps_are_counted(query: Query) -> Tolerance:
    """On the full minute, Prometheus 2 counts both ends of a subquery: 361 minutes of six hours."""
    return Tolerance(0.05) if "[6h:1m]" in query.text else EXACT


@every_dashboard
@pytest.mark.parametrize("engine", ENGINES)
def test_every_query_has_a_plausible_answer(
    asked: Mapping[tuple[str, Path], Asked], engine: str, dashboard: Path
) -> None:
    """No query of a panel, variable or annotation errs, is empty, or says what cannot be."""
    assert [] == asked[engine, dashboard].told()


@every_dashboard
def test_both_generations_of_prometheus_agree(
    asked: Mapping[tuple[str, Path], Asked], dashboard: Path
) -> None:
    """Whoever has not upgraded sees the same."""
    three, two = asked["prometheus 3", dashboard], asked["prometheus 2", dashboard]
    assert [] == differences(three, two, since=NOW - LAST_SECONDS, near=_as_steps_are_counted)


@every_dashboard
def test_a_calm_evening_has_answers_too(engines: Mapping[str, Api], dashboard: Path) -> None:
    """Where nothing is wrong, each number and each table says so instead of being empty.

    Not so what is about one server: the first in the list may have left since the range began.
    """
    asked = Asked(engines["prometheus 3"], dashboard, now=CALM)
    troubled = [
        query for query in asked.problems if query.kind != "range" and "$server" not in query.place
    ]
    assert [] == [f"{query}: {asked.problems[query]}" for query in troubled]


def _as_victoria_counts(query: Query) -> Tolerance:
    """How near VictoriaMetrics is by design.

    It counts from the last sample before a window, where Prometheus takes the first one within and
    extrapolates: over four scrapes a jump of a counter is told a minute earlier or later, and as
    another number, but is the same in sum. What has a floor (`>`) adds up to something else. Values
    of labels it knows by the day.
    """
    if query.kind == "values":
        return Tolerance(more=True)
    if "[6h:1m]" in query.text:
        # These hours reach back to scrapes a quarter of an hour apart, whose gaps it bridges. The
        # rules' tests hold it to the very number.
        return Tolerance(0.6)
    if not COUNTERS.search(query.text):
        return EXACT
    if query.kind == "instant":
        return Tolerance(0.05)
    return Tolerance(0.5 if query.place.startswith("annotation") else 0.25, summed=True)


@every_dashboard
def test_victoria_metrics_agrees(asked: Mapping[tuple[str, Path], Asked], dashboard: Path) -> None:
    """Whoever keeps data in VictoriaMetrics sees the same, but for how counters are read."""
    three, other = asked["prometheus 3", dashboard], asked["victoria", dashboard]
    assert [] == differences(three, other, since=NOW - LAST_SECONDS, near=_as_victoria_counts)


@every_dashboard
def test_a_renamed_metric_is_noticed(
    engines: Mapping[str, Api],
    asked: Mapping[tuple[str, Path], Asked],
    dashboard: Path,
    tmp_path: Path,
) -> None:
    """Whatever metric a dashboard asks for under another name: some query has no answer then."""
    text, copy = dashboard.read_text(), tmp_path / dashboard.name
    names = {
        name
        for query in asked["prometheus 3", dashboard].answers
        for name in METRIC.findall(query.text)
    }
    asks = engines["prometheus 3"]
    before = {now: _troubled(Asked(asks, dashboard, now=now)) for now in (NOW, CALM)}
    unnoticed = []
    for name in sorted(names):
        copy.write_text(re.sub(rf"(?<![\w:]){name}(?![\w:])", f"{name}_renamed", text))
        after = {
            now: _troubled(Asked(asks, copy, about=f"{name}_renamed", now=now)) for now in before
        }
        if not any(after[now] - before[now] for now in before):
            unnoticed.append(name)
    assert [] == unnoticed


def _troubled(asked: Asked) -> set[str]:
    return {str(query) for query in asked.problems}


@pytest.mark.parametrize(
    ("expr", "unit", "noticed"),
    [
        ("wlvpn_up{", "none", "parse error"),
        ("wlvpn_down", "none", "no data"),
        ("rate(wlvpn_up[5m])", "none", "might not be a counter"),
        ("0 * wlvpn_up / 0", "none", "no data"),
        ("wlvpn_server_capacity_used_ratio", "percentunit", "series, more than 30"),
        ("100 * wlvpn:servers:count / wlvpn:servers:count", "percentunit", "is not within 0 to"),
        ("wlvpn_last_success_timestamp_seconds - time()", "s", "is not within 0 to"),
        ("wlvpn_last_success_timestamp_seconds", "dateTimeAsIso", "is not within"),
        ("wlvpn_up / wlvpn_up or wlvpn_records", "none", "NaN"),
    ],
)
def test_what_is_wrong_with_an_answer_is_told(
    engines: Mapping[str, Api], tmp_path: Path, expr: str, unit: str, noticed: str
) -> None:
    """A graph's query that errs, is empty, shows too much or what cannot be is a problem."""
    panel = {
        "type": "timeseries",
        "title": "broken",
        "fieldConfig": {"defaults": {"unit": unit}},
        "targets": [{"refId": "A", "expr": expr}],
    }
    dashboard = {
        "uid": "broken",
        "time": {"from": "now-1h"},
        "templating": {"list": []},
        "annotations": {"list": []},
        "panels": [panel],
    }
    file = tmp_path / "broken.json"
    file.write_text(json.dumps(dashboard))
    [told] = Asked(engines["prometheus 3"], file).told()
    assert noticed in told


@pytest.mark.parametrize(
    ("rule", "seen", "states"),
    [
        ({}, "_x_x", "_f_f"),
        ({"for": "2m"}, "xxxx_xx", "ppff_pp"),
        ({"for": "1m", "keep_firing_for": "2m"}, "xx___xx", "pfff_pf"),
        ({"keep_firing_for": "2m"}, "x__x___", "ffffff_"),
        ({"for": "1m", "keep_firing_for": "2m"}, "x_x", "p_p"),
    ],
)
def test_an_alert_is_pending_before_it_fires(
    rule: Mapping[str, str], seen: str, states: str
) -> None:
    """A replayed alert waits and lasts as Prometheus has it, minute by minute."""
    values = {60 * at: 1.0 for at, sign in enumerate(seen) if sign == "x"}
    window = Window(0, 60 * (len(seen) - 1), 60)
    found = dict(states_of(dict(rule), values, window))
    assert states == "".join(found.get(at, "_")[0] for at in window.instants)
