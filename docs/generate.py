"""Writes the reference pages from the code, so that the two cannot drift apart.

`python docs/generate.py` writes them; a test compares them with what is committed.
"""

import argparse
import re
from collections.abc import Iterable, Mapping, Sequence
from inspect import cleandoc
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml

from docs import budget, contract
from exporter import PROGRAM, cli
from exporter.collectors import ALL
from exporter.collectors.base import Collector, MaxAge
from exporter.duration import format_duration
from exporter.errors import ApiError
from exporter.metric import Metric
from exporter.settings import Account, Option, Settings, options
from exporter.source import PREFIX, SECRETS_DIRECTORY
from exporter.telemetry import METRICS
from grafana.__main__ import reference

FOLDER = Path(__file__).parent
ALERTS = FOLDER.parent / "alerts"

Cells = Sequence[str]

_NOTE = "<!-- Written by `make docs` from the code: change the code, not this page. -->"

_LABELS = """\
Every series of a collector carries `account`, the account's name. A label that has no value is left
out, such as `country_code` where `collectors.usage.detail` is `pop`. Country codes are the
platform's own (`UK`). `country` is where a server stands, `country_code` what the usage endpoint
counts by: join the two resources on `pop`. A gauge histogram is scraped as `_bucket` with `le`,
`_gcount` and `_gsum`, in both formats; `histogram_quantile()` takes the buckets as they are, not a
`rate()` of them."""

_RUNTIME = """\
Beside them stand prometheus-client's own `process_*` (CPU, memory, open files), `python_gc_*` and
`python_info`, under the names that every Python program exports."""

_HELD = """\
For `wlvpn_readings_held_total` it is `empty` (no record is left) or `shrunk` (fewer than half of
the last reading's are)."""

_KEPT = """\
The last accepted reading is served while polls fail. At the first age it is stale:
`wlvpn_data_stale` is 1, and nobody should be paged by what it says. At the second age it is
dropped: its series end, as if the servers were not there. Nothing is ever replaced by NaN or by a
guess, samples carry no timestamps of their own, and the page itself is always answered. A usage
reading is dropped as well when its UTC month ends, a usage report when its UTC day does; counters
stay for the life of the process.
`wlvpn_data_ttl_seconds` tells the second age, `wlvpn_last_success_timestamp_seconds` since when a
reading has aged."""

_START = f"""\
The shortest start is `{PREFIX}API_KEY=... {PROGRAM}`. `{PROGRAM} check` validates everything
without serving, and tells what would be polled."""

_SOURCES = f"""\
The first source that names an option wins:

1. flags, such as `--collectors.servers.interval=30s`;
2. environment variables: `{PREFIX}` and the path, nested by `__`;
3. the file `.env` in the working directory, with the same variables;
4. the secrets directory: an API key in the file `{PREFIX.lower()}api_key` in
   `$CREDENTIALS_DIRECTORY` (systemd) or `{SECRETS_DIRECTORY}` (containers);
5. the YAML file that `--config.file` or `{PREFIX}CONFIG__FILE` names;
6. the defaults.

A key and a key's file are two ways to say one thing: the first source that has either hides both
in all later ones. A variable that is empty counts as absent, and so does a name without a value in
the YAML file. An unknown option or `{PREFIX}` variable is an error that names the nearest known
one. Each problem is one line on stderr, with its mend, and never the value of a secret. Secrets are
never flags, because every user of a machine can read its processes' arguments."""

_ACCOUNTS = """\
One key at the top level is the account named `default`. Several accounts live in the YAML file,
below `accounts`, each with the options of the account and its collectors. What an account leaves
unsaid it takes from the top level, except the key: each has its own. A key at the top level adds
`default` to them.

```yaml
collectors:
  usage:
    detail: pop

accounts:
  brand-a:
    api_key_file: /run/secrets/brand-a
    countries: [FR, "NO", UK]
  brand-b:
    api_key_file: /run/secrets/brand-b
    collectors:
      servers:
        interval: 30s
      usage:
        enabled: false
```

A name has up to 64 letters, digits, `-`, `_` and `.`, and becomes the label `account`. Variables
reach accounts with lower-case names: `WLVPN_ACCOUNTS__BRAND_A__API_KEY` is `brand_a`. The file is
read as text alone: `NO` is Norway with or without quotes, and lists may also be written `FR,NO`."""

_FORMS = """\
- **Durations** are numbers with units, as Prometheus writes them: `90s`, `15m`, `1h30m`, `1d`. A
  number alone is refused: nobody can tell its unit. So is an interval below 15s; it is never
  rounded up in silence.
- **Lists** are separated by commas: `FR,US`.
- **The key's file** holds the key and nothing else. It is read again when the API refuses the key,
  so a rotated key needs no restart.
- **The base URL** is https. Plain http is for loopback hosts, where the simulator runs."""

_ALERTS = """\
Three severities: `critical` wakes somebody, because users have nowhere left to go or because we see
nothing; `warning` is a ticket; `info` is for dashboards and told to nobody. Each alert has a
runbook. Alerts about servers, usage and customers act only on readings that are fresh, those about
how full something is on averages, and all survive a gap in the data.

The rules are in [alerts/rules](../alerts/rules), for Prometheus 2.42 and newer and for vmalert; for
the Prometheus Operator they are [one object](../alerts/prometheusrule.yaml). Routes, groups and
inhibitions are in the [example for Alertmanager](../alerts/alertmanager.example.yaml): with it a
country of 300 saturated servers is one notification, and one more when it is over. What an alert
holds back is of its own account, and of its country and POP where both have one."""

_THRESHOLDS = """\
All of them stand in [alerts/rules/thresholds.yaml](../alerts/rules/thresholds.yaml), which is yours
to edit, and are recorded as `wlvpn:threshold`."""

_USAGE = f"""\
`{PROGRAM}` alone is `{PROGRAM} serve`. Results go to stdout, everything else to stderr. All
commands but `simulate` and `completion` take the options above as flags; `demo` leaves out those
that lead to the real API."""


def pages() -> dict[Path, str]:
    """Gives the text of each generated page by its path."""
    return {
        FOLDER / "metrics.md": _metrics(),
        FOLDER / "configuration.md": _configuration(),
        FOLDER / "alerts.md": _alerts(),
        FOLDER / "dashboards.md": reference(),
        ALERTS / "prometheusrule.yaml": _prometheus_rule(),
        budget.PAGE: budget.rendered(budget.PAGE.read_text(encoding="utf-8"), _table),
        contract.PAGE: contract.text(contract.promised()),
    }


def _metrics() -> str:
    return _join(
        "# Metrics",
        _NOTE,
        _LABELS,
        *(part for collector in ALL for part in _collector(collector)),
        "## The exporter itself",
        "`collector` is one of " + _words(collector.name for collector in ALL) + ".",
        _metric_table(METRICS),
        _RUNTIME,
        "## Reasons",
        "`reason` says why a poll, a record or a request failed, and is one of:",
        _table(("Reason", "Meaning"), map(_reason, ApiError.__subclasses__())),
        _HELD,
        "## Staleness",
        _KEPT,
        _table(("Collector", "Polled every", "Stale at", "Dropped at"), map(_ages, ALL)),
    )


def _collector(collector: type[Collector[Any, Any]]) -> Cells:
    return f"## `{collector.name}`", collector.help, _metric_table(collector.metrics())


def _metric_table(metrics: Iterable[Metric]) -> str:
    return _table(
        ("Metric", "Type", "Labels", "Meaning"),
        ((f"`{m.name}`", m.kind, _words(m.labels), m.help) for m in metrics),
    )


def _reason(leaf: type[ApiError]) -> Cells:
    return f"`{leaf.reason}`", cleandoc(leaf.__doc__ or "").partition("\n")[0]


def _ages(collector: type[Collector[Any, Any]]) -> Cells:
    interval = format_duration(collector.options_type().interval)
    return f"`{collector.name}`", interval, _age(collector.stale), _age(collector.drop)


def _age(age: MaxAge) -> str:
    floor = f", at least {format_duration(age.floor)}" if age.floor else ""
    return f"{age.intervals} intervals{floor}"


def _configuration() -> str:
    return _join(
        "# Configuration",
        _NOTE,
        _START,
        "## Sources",
        _SOURCES,
        "## Options",
        "An option's name is its path in the YAML file.",
        *_sections(),
        "## Forms",
        _FORMS,
        "## Several accounts",
        _ACCOUNTS,
        "## Commands",
        *_commands(),
        "## Exit codes",
        _exit_codes(),
    )


def _sections() -> Iterable[str]:
    for section, found in groupby(options(), key=lambda option: option.path[:-1]):
        yield f"### `{'.'.join(section)}`" if section else "### The account"
        yield _about(section)
        yield _table(("Option", "Flag", "Variable", "Default", "Meaning"), map(_option, found))


def _about(section: Sequence[str]) -> str:
    """What a section is for, in its own words."""
    if not section:
        return cleandoc(Account.__doc__ or "")
    model: Any = Settings
    told = ""
    for name in section:
        field = model.model_fields[name]
        model, told = field.annotation, field.description
    return told


def _option(option: Option) -> Cells:
    meaning = option.field.description or ""
    return (
        f"`{option.name}`",
        f"`{option.flag}`" if option.flag else "never",
        f"`{option.variable}`",
        "none" if option.default == "none" else f"`{option.default}`",
        " ".join([meaning, *_choices(option, meaning)]),
    )


def _choices(option: Option, meaning: str) -> Iterable[str]:
    """The values to choose from, unless the meaning names them."""
    kind = option.field.annotation
    if get_origin(kind) is Literal and not all(f"`{value}`" in meaning for value in get_args(kind)):
        yield f"One of {_words(get_args(kind))}."


def _commands() -> Iterable[str]:
    found = commands()
    yield _USAGE
    yield _table(
        ("Command", "What it does"),
        ((f"`{name}`", command.description or "") for name, command in found.items()),
    )
    yield "Flags of one command alone:"
    yield _table(
        ("Command", "Flag", "Default", "Meaning"),
        (row for name, command in found.items() for row in _own_flags(name, command)),
    )


def commands() -> Mapping[str, argparse.ArgumentParser]:
    """Gives the parser of each command."""
    _, commands = cli.parsers()
    return commands


def actions(parser: argparse.ArgumentParser) -> Sequence[argparse.Action]:
    """Gives a parser's arguments."""
    return parser._actions  # noqa: SLF001 - argparse tells its parts in no other way


def _own_flags(name: str, command: argparse.ArgumentParser) -> Iterable[Cells]:
    shared = {option.name for option in options()}
    for action in actions(command):
        if action.dest not in shared and action.dest != "help":
            default = f"`{action.default}`" if action.default else "none"
            choices = [f"One of {_words(action.choices)}."] if action.choices else []
            meaning = " ".join([action.help or "", *choices])
            [flag] = action.option_strings[-1:] or [str(action.metavar)]
            yield f"`{name}`", f"`{flag}`", default, meaning


def _exit_codes() -> str:
    """The sentence of the command line's own docstring."""
    told = cleandoc(cli.__doc__ or "").partition("Exit codes: ")[2]
    return " ".join([*told.split(), "A second SIGTERM or SIGINT exits at once, with 1."])


def _alerts() -> str:
    return _join(
        "# Alerts",
        _NOTE,
        _ALERTS,
        *(
            part
            for name in ("servers", "usage", "customers", "polls")
            for part in _alert_table(name)
        ),
        "## Thresholds",
        _THRESHOLDS,
        _table(("Alert", "Limits", "Value", "When to change it"), _thresholds()),
    )


def _groups(name: str) -> Sequence[Mapping[str, Any]]:
    groups: Sequence[Mapping[str, Any]] = yaml.safe_load(_rules_text(name))["groups"]
    return groups


def _rules_text(name: str) -> str:
    return (ALERTS / "rules" / f"{name}.yaml").read_text(encoding="utf-8")


def _alert_table(name: str) -> Cells:
    about = _rules_text(name).partition("\n")[0].lstrip("# ")
    found = [rule for group in _groups(name) for rule in group["rules"] if "alert" in rule]
    head = ("Alert", "Severity", "After", "What it says")
    return f"## {name.capitalize()}", about, _table(head, map(_alert, found))


def _alert(rule: Mapping[str, Any]) -> Cells:
    name = rule["alert"]
    return (
        f"[`{name}`](../alerts/runbooks/{name}.md)",
        rule["labels"]["severity"],
        rule["for"],
        rule["annotations"]["summary"],
    )


def _thresholds() -> Iterable[Cells]:
    """The rows, each with the comment above it."""
    comments = re.findall(
        r"((?:^ +#[^\n]*\n)+) +- record:", _rules_text("thresholds"), re.MULTILINE
    )
    rules = [rule for group in _groups("thresholds") for rule in group["rules"]]
    for rule, comment in zip(rules, comments, strict=True):
        labels = rule["labels"]
        if "limit" in labels:
            told = " ".join(comment.replace("#", " ").split())
            limit = labels["limit"].replace("_", " ")
            if "collector" in labels:
                limit = f"{limit} ({labels['collector']})"
            yield f"`{labels['alert']}`", limit, rule["expr"], told


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as such."""


def _as_block(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _as_block)
# YAML 1.2 takes 500e12 for a number, PyYAML does not: quoted, it is text to both.
_NUMBER = re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+")
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _NUMBER, list("-+0123456789"))


def _prometheus_rule() -> str:
    """The rules as an object of the Prometheus Operator (its API reference, "PrometheusRule")."""
    names = sorted(path.stem for path in ALERTS.glob("rules/*.yaml"))
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": PROGRAM, "labels": {"app.kubernetes.io/name": PROGRAM}},
        "spec": {"groups": [group for name in names for group in _groups(name)]},
    }
    text = yaml.dump(rule, Dumper=_Dumper, sort_keys=False, width=1_000, allow_unicode=True)
    return f"# Written by `make docs` from rules/*.yaml: change those, not this.\n{text}"


def _words(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _table(head: Cells, rows: Iterable[Cells]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines
    )


def _join(*parts: str) -> str:
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
