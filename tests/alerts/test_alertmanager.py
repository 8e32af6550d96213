"""The example for Alertmanager, asked of Alertmanager itself, old and new."""

import re
import subprocess
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from tests.alerts.catalogue import ALERTS, BINARIES, BY_ALERT
from tests.alerts.stack import EXAMPLE, running_alertmanager, until

INHIBITIONS = yaml.safe_load(EXAMPLE.read_text())["inhibit_rules"]
RECEIVERS = {"critical": "pager", "warning": "ticket", "info": "nobody"}

both_versions = pytest.mark.parametrize("version", ["2", "3"])

PLACES = {"account", "country", "pop", "fqdn"}

FOR_ALL = {  # what goes wrong for all accounts of an exporter, or of the API, at once
    *("WlvpnExporterDown", "WlvpnServersStale", "WlvpnNeverSucceeded", "WlvpnSchedulerStalled"),
    *("WlvpnUsageStale", "WlvpnCustomersStale", "WlvpnCertificateExpiring"),
}
FOR_THE_ACCOUNT = {"WlvpnCountryEmpty", "WlvpnServersVanished"}

Labels = dict[str, str]
Alert = tuple[tuple[str, str], ...]


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
    """Both ends are alerts of ours, and equal in every place that both name: no more is hidden."""
    assert {source, target} <= set(BY_ALERT)
    assert set(equal) == PLACES & set(LABELS[source]) & set(LABELS[target])


@pytest.mark.parametrize("alert", BY_ALERT)
def test_no_alert_tells_its_exporter(alert: str) -> None:
    """A pair of exporters is one to on-call: no alert has the label instance."""
    assert not {"instance", "job"} & set(LABELS[alert])


@pytest.mark.parametrize("alert", BY_ALERT)
def test_runbooks_tell_what_is_held_back(alert: str) -> None:
    """Whoever reads one knows which other alerts it hides, and which hide it."""
    text = (ALERTS / "runbooks" / f"{alert}.md").read_text()
    for words, expected in (
        ("It holds back ", {target for source, target, _ in PAIRS if source == alert}),
        ("It is held back by ", {source for source, target, _ in PAIRS if target == alert}),
    ):
        sentence = re.search(rf"{words}(.*?\.md\))\.", text)
        assert expected == set(re.findall(r"\[(\w+)\]", sentence[1] if sentence else ""))


def ask(number: int) -> list[Labels]:
    """Both alerts of a pair, and for each label that has to be equal a target where it is not."""
    source, target, equal = PAIRS[number]
    shared = {name: LABELS[source][name] for name in equal}
    cause = {**LABELS[source], **shared, "account": f"pair-{number}"}
    held = {**LABELS[target], **shared, "account": f"pair-{number}"}
    others = [{**held, name: f"not-{name}-{number}"} for name in equal]
    return [cause, held, *others]


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

        async def held() -> set[Alert]:
            return {
                tuple(sorted(alert["labels"].items()))
                for alert in await alerts()
                if alert["status"]["inhibitedBy"]
            }

        explained = {tuple(sorted(ask(number)[1].items())) for number in range(len(PAIRS))}
        unexplained = {
            tuple(sorted(labels.items()))
            for number in range(len(PAIRS))
            for labels in ask(number)[2:]
        }

        async def all_held() -> bool:
            return explained <= await held()

        await until(all_there, 20, "all alerts to be there")
        await until(all_held, 20, "what is explained to be held back")
        assert set() == unexplained & await held()
        found = await alerts()
        async with session.get(f"{url}/api/v2/alerts/groups") as answer:
            groups = await answer.json()

    assert {alert: RECEIVERS[BY_ALERT[alert]["labels"]["severity"]] for alert in BY_ALERT} == {
        alert["labels"]["alertname"]: alert["receivers"][0]["name"]
        for alert in found
        if alert["labels"].get("account") == "route"
    }
    assert {alert: notified_by(alert) for alert in BY_ALERT} == {
        group["labels"]["alertname"]: set(group["labels"]) for group in groups
    }


def notified_by(alert: str) -> set[str]:
    """The labels that an alert's notifications are told apart by."""
    if alert in FOR_ALL:
        return {"alertname"}
    places = {"account"} if alert in FOR_THE_ACCOUNT else {"account", "country"}
    # The test gives an account to the one that has none.
    return {"alertname", "account", *(places & set(LABELS[alert]))}
