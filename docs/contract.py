"""The public names, one a line: what docs/stability.md promises by name.

The list only grows by itself. What the code no longer has stays in it, and a test fails, until
somebody who has read docs/stability.md takes the line out.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from exporter import cli
from exporter.collectors import ALL
from exporter.errors import REASONS
from exporter.settings import options
from exporter.telemetry import METRICS
from grafana.__main__ import DASHBOARDS

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "contract.txt"

_HEAD = """\
# The public names; docs/stability.md says what is promised about them. `make docs` adds a line
# where the code has a new name, and takes none out: read docs/stability.md before you do.
"""
_TOOLS = ("demo", "simulate")
"""Commands whose own flags are for trying things out, and may change."""


def names() -> set[str]:
    """Gives what the code has: kind, name, and what belongs to the promise."""
    return {
        " ".join(["metric", m.name, m.kind, *sorted(m.labels)])
        for m in (*METRICS, *(m for collector in ALL for m in collector.metrics()))
    } | {
        *(f"reason {reason}" for reason in REASONS),
        *(f"option {option.name} {option.variable}" for option in options()),
        *_command_line(),
        *_paths(),
        *_rules(),
        *(f"dashboard {dashboard.uid}" for dashboard in DASHBOARDS),
    }


def promised() -> set[str]:
    """Gives the lines that are committed."""
    lines = PAGE.read_text(encoding="utf-8").splitlines() if PAGE.exists() else []
    return {line for line in lines if line and not line.startswith("#")}


def text(before: set[str]) -> str:
    """Gives the list as it should be: what was promised before, and what is new."""
    return "\n".join([_HEAD, *sorted(before | names()), ""])


def _command_line() -> Iterator[str]:
    yield from (f"exit {code}" for code in re.findall(r"\b[0-9]+\b", cli.__doc__ or ""))
    yield from (f"flag {option.flag}" for option in options() if option.flag)
    shared = {option.name for option in options()}
    for name, command in cli.parsers()[1].items():
        yield f"command {name}"
        if name not in _TOOLS:
            for action in command._actions:  # noqa: SLF001 - argparse tells its parts in no other way
                if action.dest not in shared and action.dest != "help":
                    yield from (f"flag {name} {flag}" for flag in action.option_strings)


def _paths() -> Iterator[str]:
    """What is served, and the labels that service discovery is said to give to a target."""
    for source in (ROOT / "exporter").glob("*.py"):
        found = re.findall(r'web\.get\("(/[^"]*)"', source.read_text(encoding="utf-8"))
        yield from (f"path {path}" for path in found)
    for page in (ROOT / "docs").glob("*.md"):
        found = re.findall(r"\b__meta_wlvpn_[a-z]+", page.read_text(encoding="utf-8"))
        yield from (f"target label {name}" for name in found)


def _rules() -> Iterator[str]:
    for path in sorted((ROOT / "alerts" / "rules").glob("*.yaml")):
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
            yield from map(_rule, group["rules"])


def _rule(rule: dict[str, Any]) -> str:
    if "alert" in rule:
        return f"alert {rule['alert']} {rule['labels']['severity']}"
    labels = sorted(rule.get("labels", {}).items())
    # The quota's account is an example to edit.
    named = [f"{name}={value}" for name, value in labels if name != "account"]
    return " ".join(["record", rule["record"], *named])
