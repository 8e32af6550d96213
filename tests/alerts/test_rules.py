"""The rules: what promtool, vmalert and the exporter's own tables say of them."""

import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.alerts import mutants, promql
from tests.alerts.catalogue import (
    ALERTS,
    BINARIES,
    BY_ALERT,
    ROOT,
    RULE_FILES,
    RULES,
    THRESHOLDS,
    labels_of,
    rules,
    unknown_names,
)

TESTS = sorted(ALERTS.glob("tests/*.yaml"))
DATA_ALERTS = [
    rule["alert"]
    for stem in ("servers", "usage", "customers")
    for rule in rules(stem)
    if "alert" in rule
]
CASES = ("fires", "stays silent", "waits", "survives a gap", "resolves", "counts two replicas once")
TRIALS = [
    (path, tool)
    for path in TESTS
    for tool in mutants.TOOLS
    # Where VictoriaMetrics counts differently the file says why, and the last minute of long days
    # takes it half a minute to find.
    if tool != "vmalert-tool" or not path.stem.endswith((".prometheus", ".minutes"))
]

each_alert = pytest.mark.parametrize("alert", BY_ALERT)


def run(*words: str | Path) -> tuple[int, str]:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def cases_in(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(path.read_text())["tests"]
    return found


@pytest.mark.parametrize("version", ["2", "3"])
def test_promtool_has_nothing_to_say(version: str) -> None:
    """All rules are valid and without lint, for the oldest Prometheus and the newest."""
    promtool = f"{BINARIES}/{version}/usr/bin/promtool"
    code, told = run(promtool, "check", "rules", "--lint=all", "--lint-fatal", *RULE_FILES)
    assert (0, len(RULE_FILES)) == (code, told.count("SUCCESS")), told


@pytest.fixture(scope="module")
def complaints() -> dict[tuple[Path, str], str]:
    """What each tool says of each file of tests."""
    with ThreadPoolExecutor() as pool:
        told = pool.map(lambda trial: mutants.complaint(trial[0], tool=trial[1]), TRIALS)
        return dict(zip(TRIALS, told, strict=True))


@pytest.mark.parametrize("trial", TRIALS, ids=[f"{path.stem} in {tool}" for path, tool in TRIALS])
def test_rule_tests_pass(trial: tuple[Path, str], complaints: dict[tuple[Path, str], str]) -> None:
    """Prometheus old and new, and VictoriaMetrics, understand the rules alike."""
    assert "" == complaints[trial]


@each_alert
def test_each_alert_has_its_cases(alert: str) -> None:
    """Each fires, is silent, keeps its boundaries, bridges a gap, ends, and knows replicas."""
    names = [test["name"] for test in cases_in(ALERTS / "tests" / f"{alert}.yaml")]
    wanted = [*CASES, *(["is silent on stale data"] if alert in DATA_ALERTS else [])]
    missing = [
        case for case in wanted if not any(name.startswith(f"{alert} {case}") for name in names)
    ]
    assert [] == missing


@each_alert
def test_each_alert_is_seen_to_fire_and_not(alert: str) -> None:
    """Its tests expect it with all labels and annotations, and expect it not."""
    expected = [
        check["exp_alerts"]
        for path in TESTS
        for test in cases_in(path)
        for check in test.get("alert_rule_test", ())
        if check["alertname"] == alert
    ]
    wanted = set(BY_ALERT[alert]["annotations"])
    assert any(expected)
    assert not all(expected)
    assert all(wanted == set(one["exp_annotations"]) for found in expected for one in found)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule.get("alert") or rule["record"]))
def test_rules_read_what_exists(rule: dict[str, Any]) -> None:
    """Each series and label is one of the exporter's tables, or of another rule."""
    assert [] == unknown_names(rule["expr"])


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.name))
def test_rule_tests_feed_what_exists(path: Path) -> None:
    """No test proves a rule with a series that the exporter never shows."""
    wrong = []
    for test in cases_in(path):
        for series in test["input_series"]:
            name, _, rest = series["series"].partition("{")
            labels = set(re.findall(r'(\w+)="', rest))
            if labels - labels_of(name):
                wrong.append(series["series"])
    assert [] == wrong


@each_alert
def test_annotations_tell_what_on_call_needs(alert: str) -> None:
    """A static sentence, a description that names who, a runbook that exists, a dashboard."""
    annotations = BY_ALERT[alert]["annotations"]
    assert {"summary", "description", "runbook_url", "dashboard_url"} == set(annotations)
    assert re.fullmatch(r"[A-Z][^{}]*\.", annotations["summary"])
    base, _, page = annotations["runbook_url"].rpartition("/")
    assert ("https://runbooks.example.com/wlvpn", f"{alert}.md") == (base, page)
    assert (ALERTS / "runbooks" / page).is_file()
    assert re.match(
        r"https://grafana\.example\.com/d/wlvpn-(overview|servers|usage|customers|exporter)(\?|$)",
        annotations["dashboard_url"],
    )
    assert BY_ALERT[alert]["labels"]["severity"] in ("critical", "warning", "info")


@each_alert
def test_every_alert_bridges_a_failed_scrape(alert: str) -> None:
    """Five minutes at least: a scrape that fails is not told as a recovery."""
    assert promql.in_seconds(BY_ALERT[alert]["keep_firing_for"]) >= 300


@pytest.mark.parametrize("alert", DATA_ALERTS)
def test_data_alerts_ask_for_freshness(alert: str) -> None:
    """No alert about servers, usage or customers acts on a reading that has grown old."""
    gates = re.findall(
        r"^and on \(account\)\n"
        r"wlvpn:(servers_fresh:bool|usage_fresh:bool|customers_fresh:bool{.*}) == 1$",
        BY_ALERT[alert]["expr"],
        re.MULTILINE,
    )
    assert 1 == len(gates)


def test_the_larger_place_fires_first_and_ends_last() -> None:
    """A crowd reaches on-call as one country: Alertmanager holds back what it explains."""
    places = ("WlvpnCountrySaturated", "WlvpnPopSaturated", "WlvpnServerSaturated")
    begin = [promql.in_seconds(BY_ALERT[place]["for"]) for place in places]
    end = [promql.in_seconds(BY_ALERT[place]["keep_firing_for"]) for place in places]
    values = {
        rule["labels"]["alert"]: float(rule["expr"])
        for rule in RULES
        if rule.get("record") == "wlvpn:threshold" and rule["labels"]["alert"] in places
    }
    assert begin == sorted(set(begin))
    assert end == sorted(set(end), reverse=True)
    assert [values[place] for place in places] == sorted(values.values())


def test_thresholds_stand_in_one_place() -> None:
    """Each row is compared with by its own alert, and the alert that counts them knows how many."""
    texts = {alert: rule["expr"] for alert, rule in BY_ALERT.items()}
    alerts = [row["alert"] for row in THRESHOLDS]
    for row in THRESHOLDS:
        alert = row["alert"]
        alone = alerts.count(alert) == 1 or "collector" in row
        told = f'alert="{alert}"' + ("" if alone else f', limit="{row["limit"]}"')
        assert f"wlvpn:threshold{{{told}}}" in texts[alert]
    assert f"count(wlvpn:threshold) < {len(THRESHOLDS)}\n" in texts["WlvpnThresholdsMissing"]
    description = BY_ALERT["WlvpnThresholdsMissing"]["annotations"]["description"]
    assert f"all {len(THRESHOLDS)} rows" in description


def test_each_threshold_has_its_paragraph() -> None:
    """A comment stands above each row, and says more than its name does."""
    text = (ALERTS / "rules" / "thresholds.yaml").read_text()
    paragraphs = re.findall(r"((?:^      #[^\n]*\n)+)      - record:", text, re.MULTILINE)
    assert len(THRESHOLDS) + 1 == len(paragraphs)
    assert all(len(paragraph) > 120 for paragraph in paragraphs)


@pytest.mark.parametrize(
    "page", sorted(ALERTS.glob("runbooks/*.md")), ids=lambda path: str(path.name)
)
def test_runbooks_ask_for_what_exists(page: Path) -> None:
    """Each belongs to an alert, has its parts, and queries what the exporter or the rules give."""
    text = page.read_text()
    assert page.stem in BY_ALERT
    assert [
        "What users feel",
        "Is it real?",
        "How much is affected",
        "What to do",
        "When to escalate",
        "How it clears",
    ] == re.findall(r"^## (.*)$", text, re.MULTILINE)
    queries = re.findall(r"^```promql\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert queries
    assert [] == [name for query in queries for name in unknown_names(query)]
    assert set() == set(re.findall(r"\bWlvpn\w+", text)) - set(BY_ALERT)
    recorded = {rule.get("record") for rule in RULES}
    assert set() == set(re.findall(r"\bwlvpn:[a-z0-9_]+(?::[a-z0-9_]+)?", text)) - recorded


def test_the_readme_counts_the_alerts() -> None:
    """Whoever reads how many there are finds as many."""
    assert f"\n{len(BY_ALERT)} alerts come with it" in (ROOT / "README.md").read_text()
    assert f"\n- {len(BY_ALERT)} alert rules" in (ROOT / "CHANGELOG.md").read_text()
