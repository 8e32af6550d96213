"""The example for Alertmanager, asked of Alertmanager itself, old and new."""

import re
import subprocess
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from tests.alerts.catalogue import ALERTS, BY_ALERT
from tests.alerts.stack import BINARIES, EXAMPLE, running_alertmanager, until

INHIBITIONS = yaml.safe_load(EXAMPLE.read_text())["inhibit_rules"]
RECEIVERS = {"critical": "pager", "warning": "ticket", "info": "nobody"}

both_versions = pytest.mark.parametrize("version", ["2", "3"])

Labels = dict[str, str]


def labels_of_alerts() -> dict[str, Labels]:
    """The labels that each alert has when it fires, by its tests."""
    found: dict[str, Labels] = {}
    for path in ALERTS.glob("tests/*.yaml"):
        for test in yaml.safe_load(path.read_text())["tests"]:
            for check in test.get("alert_rule_test", ()):
                for alert in check["exp_alerts"]:
                    name = check["alertname"]
                    found[name] = {"alertname": name, **alert["exp_labels"]}
    return found


LABELS = labels_of_alerts()


def names(matchers: list[str]) -> list[str]:
    """The alerts that an inhibition's matchers name."""
    [matcher] = matchers
    found = re.fullmatch(r'alertname(=~|=)"([A-Za-z|]+)"', matcher)
    assert found, matcher
    return found[2].split("|")


PAIRS = [
    (source, target, tuple(rule.get("equal", ())))
    for rule in INHIBITIONS
    for source in names(rule["source_matchers"])
    for target in names(rule["target_matchers"])
]


@both_versions
def test_amtool_takes_the_example(version: str) -> None:
    """The configuration is valid for the oldest Alertmanager and the newest."""
    amtool = f"{BINARIES}/{version}/usr/bin/amtool"
    done = subprocess.run(
        [amtool, "check-config", EXAMPLE], capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, done.stderr


@pytest.mark.parametrize(("source", "target", "equal"), PAIRS)
def test_inhibitions_join_alerts_that_exist(
    source: str, target: str, equal: tuple[str, ...]
) -> None:
    """Both ends are alerts of ours, and both have the labels that have to be equal."""
    assert {source, target} <= set(BY_ALERT)
    assert set(equal) <= set(LABELS[source]) & set(LABELS[target])


@pytest.mark.parametrize("alert", BY_ALERT)
def test_no_alert_tells_its_exporter(alert: str) -> None:
    """A pair of exporters is one to on-call: no alert has the label instance."""
    assert not {"instance", "job"} & set(LABELS[alert])


def ask(number: int) -> list[Labels]:
    """Both alerts of a pair, in an account of their own, and the target without its source."""
    source, target, equal = PAIRS[number]
    shared = {name: LABELS[source][name] for name in equal} | {"account": f"pair-{number}"}
    alone = {**LABELS[target], "account": f"alone-{number}"}
    pair = [{**LABELS[source], **shared}, {**LABELS[target], **shared}]
    return [*pair, alone] if equal else pair


@both_versions
async def test_what_is_explained_is_held_back(version: str, tmp_path: Path) -> None:
    """Each inhibition holds in a real Alertmanager, within its account alone; each has a route."""
    sent = [labels for number in range(len(PAIRS)) for labels in ask(number)]
    sent += [{**labels, "account": "route"} for labels in LABELS.values()]
    async with (
        running_alertmanager(version, tmp_path, "http://127.0.0.1:1") as url,
        aiohttp.ClientSession() as session,
    ):
        body = [{"labels": labels} for labels in sent]
        async with session.post(f"{url}/api/v2/alerts", json=body) as answer:
            assert answer.status == 200

        async def alerts() -> list[dict[str, Any]]:
            async with session.get(f"{url}/api/v2/alerts") as answer:
                found: list[dict[str, Any]] = await answer.json()
                return found

        async def all_there() -> bool:
            return len(await alerts()) == len({tuple(sorted(labels.items())) for labels in sent})

        await until(all_there, 20, "all alerts to be there")
        found = await alerts()

    held = {
        (alert["labels"]["account"], alert["labels"]["alertname"])
        for alert in found
        if alert["status"]["inhibitedBy"]
    }
    pairs = {(f"pair-{number}", target) for number, (_, target, _) in enumerate(PAIRS)}
    lone = {(f"alone-{number}", target) for number, (_, target, _) in enumerate(PAIRS)}
    assert pairs <= held
    assert set() == lone & held
    assert {alert: RECEIVERS[BY_ALERT[alert]["labels"]["severity"]] for alert in BY_ALERT} == {
        alert["labels"]["alertname"]: alert["receivers"][0]["name"]
        for alert in found
        if alert["labels"].get("account") == "route"
    }
