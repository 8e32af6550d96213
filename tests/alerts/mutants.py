"""Breaks every rule in each small way, and asks its tests whether they notice.

`python -m tests.alerts.mutants [NAME...]` tells how many of each rule's mutants were killed, and
names those that were not. A mutant lives only where `EQUIVALENT` says why it must.
"""

import argparse
import copy
import os
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from tests.alerts import promql
from tests.alerts.catalogue import ALERTS, BINARIES, PROMTOOL, RULE_FILES, RULES, Rule, selectors

TOOLS = {
    "promtool 3": (f"{PROMTOOL}", "test", "rules"),
    "promtool 2": (f"{BINARIES}/2/usr/bin/promtool", "test", "rules"),
    "vmalert-tool": (
        f"{BINARIES}/3/usr/bin/vmalert-tool",
        "unittest",
        "--disableAlertgroupLabel",
        "--files",
    ),
}
MINUTE = 60

_NEVER_NEGATIVE = "nothing here is negative: the sum is 0 exactly where the maximum is"
_ONE_ROW = "no other alert's threshold limits the same"

EQUIVALENT = {
    ("WlvpnNeverSucceeded", "line 1: max -> sum"): _NEVER_NEGATIVE,
    ("WlvpnApiKeyRefused", "line 9: max -> sum"): _NEVER_NEGATIVE,
    ("WlvpnApiKeyRefused", "line 11: max -> sum"): _NEVER_NEGATIVE,
    ("WlvpnApiKeyRefused", "line 12: increase -> rate"): "only compared with 0",
    ("WlvpnSchedulerStalled", "line 7: max -> sum"): _NEVER_NEGATIVE,
    ("WlvpnCountryEmpty", "line 1: max -> sum"): _NEVER_NEGATIVE,
    ("wlvpn:pop_servers:count", "line 1: count -> sum"): "what is counted is 1 each",
    ("wlvpn:country_servers:count", "line 1: count -> sum"): "what is counted is 1 each",
    ("WlvpnPopTrafficZero", "line 3: max -> sum"): _NEVER_NEGATIVE,
    ("WlvpnPopTrafficUnusual", "line 11: max -> sum"): _NEVER_NEGATIVE,
    (
        "WlvpnPopCapacityForecast",
        'line 3: alert="WlvpnPopCapacityForecast", -> nothing',
    ): _ONE_ROW,
    ("WlvpnPopTrafficUnusual", 'line 4: alert="WlvpnPopTrafficUnusual", -> nothing'): _ONE_ROW,
    ("WlvpnCustomersLimited", 'line 4: alert="WlvpnCustomersLimited", -> nothing'): _ONE_ROW,
    ("WlvpnCustomersLimited", 'line 8: alert="WlvpnCustomersLimited", -> nothing'): _ONE_ROW,
    ("WlvpnPopTrafficUnusual", 'line 8: alert="WlvpnPopTrafficUnusual", -> nothing'): _ONE_ROW,
}
"""Mutants that no test can tell from the rule, by rule and change, with the reason."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One rule, changed in one place."""

    file: str
    group: int
    place: int
    name: str
    told: str
    rule: Rule

    @property
    def called(self) -> set[str]:
        """The names that it can be asked for by; a threshold's alert is one."""
        return {self.name, self.rule.get("labels", {}).get("alert", self.name)}

    @property
    def tests(self) -> list[Path]:
        """The test files that have to notice."""
        if "alert" in self.rule:
            names = [self.name]
        elif "alert" in self.rule.get("labels", {}):
            names = [self.rule["labels"]["alert"]]
        elif self.file == "thresholds.yaml":
            names = ["WlvpnQuotaForecast"]
        else:
            names = [Path(self.file).stem]
        # Those that need minutes over days come last: the others kill most.
        found = [file for name in names for file in ALERTS.glob(f"tests/{name}.*")]
        return sorted(found, key=lambda file: (".minutes" in file.name, file.name))


def rule_name(rule: Rule) -> str:
    """What a rule is called: thresholds by their labels, too."""
    labels = rule.get("labels", {}) if "record" in rule else {}
    told = ",".join(labels.values())
    return f"{_plain_name(rule)}{{{told}}}" if told else _plain_name(rule)


def mutants() -> Iterator[Mutant]:
    """Gives every mutant of every rule."""
    for path in RULE_FILES:
        for number, group in enumerate(yaml.safe_load(path.read_text())["groups"]):
            for place, rule in enumerate(group["rules"]):
                for told, changed in _changed(rule):
                    yield Mutant(path.name, number, place, rule_name(rule), told, changed)


def _changed(rule: Rule) -> Iterator[tuple[str, Rule]]:
    expr: str = rule["expr"]
    for found in promql.breaks(expr):
        yield found.told(expr), {**rule, "expr": found.apply(expr)}
    for key in ("for", "keep_firing_for"):
        if key in rule:
            seconds = promql.in_seconds(rule[key])
            # A minute where minutes matter; hours are tested in coarser steps.
            step = MINUTE if seconds <= 3_600 else seconds // 10
            for other in (0, seconds - step, seconds + step):
                if other != seconds:
                    yield f"{key}: {rule[key]} -> {other}s", {**rule, key: f"{other}s"}
    if "alert" in rule:
        changed = copy.deepcopy(rule)
        severity = rule["labels"]["severity"]
        changed["labels"]["severity"] = "warning" if severity != "warning" else "critical"
        yield f"severity: {severity} -> {changed['labels']['severity']}", changed


def survives(mutant: Mutant) -> bool:
    """Whether all its tests still pass."""
    return not any(complaint(test, mutant) for test in mutant.tests)


def complaint(test: Path, mutant: Mutant | None = None, *, tool: str = "promtool 3") -> str:
    """What a tool says of a file of tests, with a rule mutated; empty: they pass.

    Only the rules that the tests ask for are there, and those that these read: the others would
    change nothing but the time it takes.
    """
    with tempfile.TemporaryDirectory() as folder:
        _lay_out_rules(Path(folder) / "rules", needed(test), mutant)
        file = Path(folder) / "tests" / test.name
        file.parent.mkdir()
        text = test.read_text()
        if tool == "vmalert-tool":
            text = text.replace("promql_expr_test:", "metricsql_expr_test:")  # its word for it
        file.write_text(text)
        done = subprocess.run([*TOOLS[tool], file], capture_output=True, text=True, check=False)
        return (done.stdout + done.stderr) if done.returncode else ""


def _lay_out_rules(folder: Path, names: Collection[str], mutant: Mutant | None) -> None:
    folder.mkdir()
    for path in RULE_FILES:
        groups = yaml.load(path.read_text(), yaml.CSafeLoader)["groups"]
        if mutant is not None and path.name == mutant.file:
            groups[mutant.group]["rules"][mutant.place] = mutant.rule
        for group in groups:
            group["rules"] = [rule for rule in group["rules"] if _plain_name(rule) in names]
        left = {"groups": [group for group in groups if group["rules"]]}
        (folder / path.name).write_text(yaml.dump(left, Dumper=yaml.CSafeDumper, sort_keys=False))


@cache
def needed(test: Path) -> frozenset[str]:
    """The alerts and records that the tests of a file ask for, and what these read."""
    asked = set()
    for one in yaml.load(test.read_text(), yaml.CSafeLoader)["tests"]:
        asked |= {check["alertname"] for check in one.get("alert_rule_test", ())}
        for check in one.get("promql_expr_test", ()):
            asked |= {series for series, _ in selectors(check["expr"])}
    found: set[str] = set()
    while asked:
        name = asked.pop()
        found.add(name)
        for rule in RULES:
            if _plain_name(rule) == name:
                asked |= {series for series, _ in selectors(rule["expr"])} - found
    return frozenset(found)


def _plain_name(rule: Rule) -> str:
    name: str = rule.get("alert") or rule["record"]
    return name


def parses(found: Iterable[Mutant]) -> bool:
    """Whether all are PromQL: what is none would be killed for the wrong reason."""
    rules = [
        {"record": f"mutant:{number}", "expr": mutant.rule["expr"]}
        for number, mutant in enumerate(found)
    ]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rules.yaml"
        file.write_text(yaml.safe_dump({"groups": [{"name": "mutants", "rules": rules}]}))
        command = (PROMTOOL, "check", "rules", file)
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


def judge(found: list[Mutant]) -> tuple[list[str], list[str]]:
    """Runs the tests on each mutant.

    Returns:
        a line for each rule, and a line for each problem.
    """
    tests = sorted({test for mutant in found for test in mutant.tests})
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        unbroken = list(pool.map(complaint, tests))
        alive = [
            mutant for mutant, lives in zip(found, pool.map(survives, found), strict=True) if lives
        ]
    problems = [
        f"{test.name}: fails without any mutant"
        for test, told in zip(tests, unbroken, strict=True)
        if told
    ]
    lines = []
    for name in dict.fromkeys(mutant.name for mutant in found):
        line, wrong = _verdict(name, [mutant for mutant in found if mutant.name == name], alive)
        lines.append(line)
        problems += wrong
    return lines, problems


def _verdict(name: str, mine: list[Mutant], alive: list[Mutant]) -> tuple[str, list[str]]:
    """The line of one rule, and what is wrong with its mutants."""
    excused = [mutant for mutant in mine if (name, mutant.told) in EQUIVALENT]
    survived = [mutant for mutant in mine if mutant in alive]
    line = f"{len(mine) - len(survived):4} of {len(mine) - len(excused):4}  {name}"
    return line, [
        *(f"{name}: survived: {mutant.told}" for mutant in survived if mutant not in excused),
        *(
            f"{name}: not equivalent, a test kills it: {mutant.told}"
            for mutant in excused
            if mutant not in survived
        ),
    ]


def main() -> None:
    """Judges the rules named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="alerts, with their thresholds")
    names = parser.parse_args().names
    found = [mutant for mutant in mutants() if not names or mutant.called & set(names)]
    if missing := set(names) - {name for mutant in found for name in mutant.called}:
        parser.error(f"no rule is called {', '.join(sorted(missing))}")
    lines, problems = judge(found)
    told = [*lines, *problems, f"{len(found)} mutants, {len(problems)} problems"]
    print("\n".join(told))  # noqa: T201 - its work
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
