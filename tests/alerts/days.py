"""Days of a world as promtool sees them: what the exporter would have shown, and what fires.

`python -m tests.alerts.days [--days N] [--servers N]` tells which alerts fire in the demo's world,
where nothing happens.
"""

import argparse
import asyncio
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Collection, Mapping
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import repeat
from pathlib import Path
from typing import Any

import yaml

from exporter.collectors.base import Collector, Options
from exporter.collectors.servers import ServersCollector
from exporter.collectors.usage import UsageCollector, UsageOptions
from exporter.exposition import encode
from exporter.simulator import World, dialect
from tests.alerts.catalogue import BY_ALERT, PROMTOOL, RULE_FILES

GROUPS = ("wlvpn-thresholds", "wlvpn-fresh", "wlvpn-polls", "wlvpn-servers", "wlvpn-usage")
FIRST = datetime(2026, 11, 26, tzinfo=UTC)  # the month ends within a week
STEP = timedelta(minutes=5)  # the simulated platform measures no more often
HEAVY = frozenset({"WlvpnServerFillingUp", "WlvpnPopCapacityForecast"})
"""They read an hour of every server, and eight days: promtool refuses more than 10,000 samples."""

TOLD = [alert for alert, rule in BY_ALERT.items() if rule["labels"]["severity"] != "info"]
"""The alerts that reach somebody; info is for dashboards."""

MOST_SERVERS = 1_200
"""So many servers can be judged at once by the other rules."""

_READ = {
    "wlvpn_server_capacity_used_ratio",
    "wlvpn_servers",
    "wlvpn_usage_observed_bytes_total",
    "wlvpn_usage_observed_connections_total",
    "wlvpn_usage_month_to_date_bytes",
    "wlvpn_usage_month_start_timestamp_seconds",
    "wlvpn_usage_month_end_timestamp_seconds",
}
"""What the rules read of the collectors' series."""


class Tape:
    """The values of series at equal steps; `_` where there was none."""

    def __init__(self, step: timedelta, steps: int) -> None:
        self.step = step
        self.steps = steps
        self.values: dict[str, list[str]] = {}

    def note(self, series: str, at: int, value: str, width: int = 1) -> None:
        """Writes a value down at a step and, as it stays, the ones after it."""
        values = self.values.setdefault(series, [])
        values += "_" * (at - len(values))
        values += [value] * min(width, self.steps - at)

    def always(self, series: str, values: str) -> None:
        """Writes down values in promtool's own notation."""
        self.values[series] = [values]


async def record(world: World, *, days: int, countries: tuple[str, ...] = ()) -> Tape:
    """Polls a world through the exporter's own collectors, usage each third time.

    Args:
        world: the API's.
        days: how many.
        countries: whose servers are listed; none: all.

    Raises:
        ValueError: a series that the rules read is not there.
    """
    tape = Tape(STEP, int(timedelta(days=days) / STEP) + 1)
    await _poll(world, ServersCollector(Options(), countries), 1, tape)
    await _poll(world, UsageCollector(UsageOptions(detail="pop")), 3, tape)
    seconds = int(STEP.total_seconds())
    for name in ("servers", "usage"):
        labels = f'{{account="demo", collector="{name}", instance="1"}}'
        for series in ("last_success", "last_attempt", "source_changed", "next_poll"):
            tape.always(f"wlvpn_{series}_timestamp_seconds{labels}", f"1+{seconds}x{tape.steps}")
        tape.always(f"wlvpn_up{labels}", f"1x{tape.steps}")
        tape.always(f"wlvpn_data_ttl_seconds{labels}", f"600x{tape.steps}")
        tape.always(f"wlvpn_poll_interval_seconds{labels}", f"900x{tape.steps}")
    tape.always('wlvpn_exporter_build_info{instance="1"}', f"1x{tape.steps}")
    if lost := _READ - {series.partition("{")[0] for series in tape.values}:
        raise ValueError(f"the exporter does not show {', '.join(sorted(lost))}")
    return tape


async def _poll(world: World, collector: Collector[Any, Any], every: int, tape: Tape) -> None:
    last, tally = None, collector.first_tally()
    for at in range(0, tape.steps, every):
        now = FIRST + at * tape.step

        async def get(path: str, query: Mapping[str, str], now: datetime = now) -> dialect.Payload:
            tell = dialect.servers if path == "/v2/servers" else dialect.usage
            return tell(world, query, now)

        content = (await collector.fetch(get, now=now, last=last)).content
        tally = collector.count(tally, last=last, content=content)
        last = content
        blocks = encode(collector.content_tables, content, "demo")
        blocks |= encode(collector.tally_tables, tally, "demo")
        for name in _READ & set(blocks):
            for line in blocks[name].decode().splitlines():
                series, _, value = line.rpartition(" ")
                if name.endswith("_timestamp_seconds"):
                    value = f"{float(value) - FIRST.timestamp():.0f}"  # promtool's time begins at 0
                tape.note(series, at, value, every)


def measure(
    tape: Tape, exprs: Mapping[str, str], *, without: Collection[str] = ()
) -> dict[str, float]:
    """Runs the rules over a tape, and asks at its end.

    Args:
        tape: what was scraped.
        exprs: questions by name; each may have one answer without labels, or none (0).
        without: alerts to leave out.
    """
    end = f"{int((tape.steps - 1) * tape.step.total_seconds())}s"
    step = f"{int(tape.step.total_seconds())}s"
    # promtool tells what it got only where it expected something else.
    never = [{"labels": '{never="told"}', "value": 0}]
    checks = [{"expr": text, "eval_time": end, "exp_samples": never} for text in exprs.values()]
    series = [
        {"series": series, "values": " ".join(values)} for series, values in tape.values.items()
    ]
    document = {
        "rule_files": ["rules/*.yaml"],
        "evaluation_interval": step,
        "group_eval_order": list(GROUPS),
        "tests": [{"interval": step, "input_series": series, "promql_expr_test": checks}],
    }
    with tempfile.TemporaryDirectory() as folder:
        _lay_out_rules(Path(folder) / "rules", without)
        file = Path(folder) / "test.yaml"
        with file.open("w") as written:
            yaml.dump(document, written, yaml.CSafeDumper, width=1 << 30)
        told = subprocess.run(
            [PROMTOOL, "test", "rules", file], capture_output=True, text=True, check=False
        )
    found = re.findall(r"^ *got: (?:nil|\{\} (\S+))$", told.stderr + told.stdout, re.MULTILINE)
    assert len(found) == len(exprs), told.stderr[-2_000:] or told.stdout[-2_000:]
    return {name: float(value or 0) for name, value in zip(exprs, found, strict=True)}


def _lay_out_rules(folder: Path, without: Collection[str]) -> None:
    folder.mkdir()
    for path in RULE_FILES:
        whole = yaml.safe_load(path.read_text())
        for group in whole["groups"]:
            group["rules"] = [rule for rule in group["rules"] if rule.get("alert") not in without]
        (folder / path.name).write_text(yaml.safe_dump(whole, sort_keys=False))


def starts(alert: str, tape: Tape) -> str:
    """How many times an alert, by its labels, began to fire."""
    step = f"{int(tape.step.total_seconds())}s"
    window = f"{int(tape.steps * tape.step.total_seconds())}s"
    firing = f'ALERTS{{alertname="{alert}", alertstate="firing"}}'
    return f"sum(sum_over_time(({firing} unless {firing} offset {step})[{window}:{step}]))"


def fired(tape: Tape, *, without: Collection[str] = ()) -> Counter[str]:
    """How many times each alert that somebody is told of began to fire."""
    asked = {alert: starts(alert, tape) for alert in TOLD if alert not in without}
    found = measure(tape, asked, without=without)
    return Counter({alert: int(count) for alert, count in found.items() if count})


def parts(world: World) -> list[tuple[str, ...]]:
    """The world's countries, in portions that promtool can bear; a country is never split."""
    sizes = Counter(server.country for server in world.listed(FIRST).values())
    found: list[list[str]] = [[]]
    for country, _ in sizes.most_common():
        if sum(sizes[other] for other in found[-1]) + sizes[country] > MOST_SERVERS:
            found.append([])
        found[-1].append(country)
    return [tuple(part) for part in found if part]


def fired_in(world: World, days: int, countries: tuple[str, ...]) -> Counter[str]:
    """How many times each alert but the heavy ones began to fire in these countries."""
    tape = asyncio.run(record(world, days=days, countries=countries))
    return fired(tape, without=HEAVY)


def main() -> None:
    """Tells what fires in a world without incidents."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--servers", type=int, default=3_500)
    parser.add_argument("--seed", type=int, default=1)
    found = parser.parse_args()
    world = World(found.seed, found.servers)
    portions = [(found.days, part) for part in parts(world)]
    # Traffic is compared with that of a week ago: one small portion lasts a week longer.
    portions.append((found.days + 7, portions[-1][1][-1:]))
    with ProcessPoolExecutor() as pool:
        counts = list(pool.map(fired_in, repeat(world), *zip(*portions, strict=True)))
    total = sum(counts, Counter[str]())
    told = [f"{found.days} days of {found.servers} servers: {total.total()} alerts told"]
    told += [
        f"{count:5} {BY_ALERT[alert]['labels']['severity']:9}{alert}"
        for alert, count in total.items()
    ]
    print("\n".join(told))  # noqa: T201 - its work


if __name__ == "__main__":
    main()
