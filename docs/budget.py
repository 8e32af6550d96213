"""How long it takes until somebody is told: the table of docs/freshness.md, from what is shipped.

Every number is read where it counts: intervals and ages from the collectors, scrapes from
docs/prometheus.yml, windows, `for` and evaluation from the rules, group_wait from the example for
Alertmanager. What is written here is which of them an alert waits for.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from exporter.collectors import ALL
from exporter.duration import parse_duration
from exporter.poll import MAX_POLL_SECONDS
from exporter.scheduler import HELD_SECONDS

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "freshness.md"
HEAD = ("Alert", "Poll", "Scrape", "Condition", "Rules", "`for`", "Notice", "Typical", "At worst")

_TABLE = re.compile(
    r"^(<!-- table budget: written by `make docs` -->\n).*?(^<!-- end of table -->$)",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Span:
    """Seconds that something takes: typically, and at worst."""

    typical: float
    worst: float


NONE = Span(0, 0)


def anywhere(interval: float) -> Span:
    """Waiting for what comes once in an interval: half of it, or all."""
    return Span(interval / 2, interval)


@dataclass(frozen=True, slots=True)
class Budget:
    """The way of one alert, in its order."""

    alert: str
    about: str
    poll: Span
    scrape: Span
    condition: Span
    rules: Span
    lasting: Span
    notice: Span

    @property
    def steps(self) -> tuple[Span, ...]:
        """All parts."""
        return (self.poll, self.scrape, self.condition, self.rules, self.lasting, self.notice)

    @property
    def total(self) -> Span:
        """Their sum."""
        return Span(sum(s.typical for s in self.steps), sum(s.worst for s in self.steps))


def _load(path: str) -> Any:  # noqa: ANN401 - YAML is anything
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def _seconds(text: str) -> float:
    return parse_duration(text).total_seconds()


_GROUPS: Sequence[Mapping[str, Any]] = [
    group
    for path in sorted((ROOT / "alerts" / "rules").glob("*.yaml"))
    for group in _load(f"alerts/rules/{path.name}")["groups"]
]
_JOB = _load("docs/prometheus.yml")["scrape_configs"][0]
_ROUTE = _load("alerts/alertmanager.example.yaml")["route"]
EVALUATION_SECONDS = max(_seconds(group["interval"]) for group in _GROUPS)
GROUP_WAIT_SECONDS = _seconds(_ROUTE["group_wait"])

_SCRAPE = anywhere(_seconds(_JOB["scrape_interval"]))
_EVALUATION = anywhere(EVALUATION_SECONDS)


def rule(name: str) -> Mapping[str, Any]:
    """Gives an alert or a record by its name."""
    return next(each for each in _rules() if name in (each.get("alert"), each.get("record")))


def _rules() -> Iterator[Mapping[str, Any]]:
    return (each for group in _GROUPS for each in group["rules"])


def _number(name: str, pattern: str) -> str:
    """What a rule's expression says in one place, and in one only."""
    (text,) = set(re.findall(pattern, rule(name)["expr"]))
    return str(text)


def _interval(collector: str) -> timedelta:
    interval: timedelta = next(c for c in ALL if c.name == collector).options_type().interval
    return interval


def _poll(collector: str) -> Span:
    """Until the next poll has ended: typically it takes no second, at worst its deadline."""
    seconds = _interval(collector).total_seconds()
    return Span(seconds / 2, seconds + min(seconds / 2, MAX_POLL_SECONDS))


def _average(alert: str) -> Span:
    """An average is behind by half its window in a steady rise, by all of it at a low step."""
    return anywhere(_seconds(_number(alert, r"avg_over_time\([a-z0-9_:]+\[(\w+)\]\)")))


def _all(seconds: float) -> Span:
    return Span(seconds, seconds)


def _since_last_poll(seconds: float, collector: str) -> Span:
    """An age counts from the poll before the fault."""
    return Span(seconds - _interval(collector).total_seconds() / 2, seconds)


def _of(
    alert: str,
    *,
    poll: Span = NONE,
    scrape: Span = _SCRAPE,
    condition: Span = NONE,
    records: int = 0,
    about: str = "",
) -> Budget:
    """One row; `records` counts the records of other groups that the alert waits for."""
    waits = 1 + records
    return Budget(
        alert=alert,
        about=about,
        poll=poll,
        scrape=scrape,
        condition=condition,
        rules=Span(waits * _EVALUATION.typical, waits * _EVALUATION.worst),
        lasting=_all(_seconds(rule(alert)["for"])),
        notice=_all(GROUP_WAIT_SECONDS),
    )


def budgets() -> list[Budget]:
    """Gives the rows: how full, what is gone, usage, and whether we see anything."""
    return [*_servers(), *_usage(), *_readings(), *_exporter(), *_source()]


def _servers() -> Iterator[Budget]:
    poll = _poll("servers")
    for alert in (
        "WlvpnCountrySaturated",
        "WlvpnPopSaturated",
        "WlvpnServerSaturated",
        "WlvpnCountryNearlySaturated",
    ):
        yield _of(alert, poll=poll, condition=_average(alert))
    yield _of("WlvpnCountryEmpty", poll=poll)
    # A list of less than half is asked for once more.
    held = Span(HELD_SECONDS, HELD_SECONDS + MAX_POLL_SECONDS)
    yield _of("WlvpnFleetCollapsed", poll=poll, condition=held)


def _usage() -> Iterator[Budget]:
    poll = _poll("usage")
    window = _seconds(_number("wlvpn:pop_usage_bytes:rate2h", r"rate\(\w+\[(\w+)\]\)"))
    yield _of("WlvpnPopTrafficZero", poll=poll, condition=_all(window))
    yield _of("WlvpnPopTrafficUnusual", poll=poll, condition=anywhere(window))
    yield _of("WlvpnQuotaForecast", poll=poll)


def _readings() -> Iterator[Budget]:
    """What has grown old: the time goes on without polls and scrapes."""
    drop = next(collector.drop for collector in ALL if collector.name == "servers")
    before = float(_number("wlvpn:servers_fresh:bool", r"- (\d+)$"))
    ages = {
        "servers": drop.seconds(_interval("servers")) - before,
        "usage": float(_number("wlvpn:usage_fresh:bool", r", (\d+)\n")),
    }
    for name, seconds in ages.items():
        age = _since_last_poll(seconds, name)
        yield _of(f"Wlvpn{name.capitalize()}Stale", scrape=NONE, condition=age, records=1)


def _exporter() -> Iterator[Budget]:
    yield _of("WlvpnApiKeyRefused", poll=_poll("servers"))
    # One that had polled before it was started again; a new one waits for nothing.
    restarted = _seconds(_number("WlvpnNeverSucceeded", r"max_over_time\(\S+\[(\w+)\]"))
    yield _of("WlvpnNeverSucceeded", condition=Span(0, restarted))
    stalled = _seconds(_number("WlvpnSchedulerStalled", r"changes\(\S+\[(\w+)\]"))
    yield _of("WlvpnSchedulerStalled", condition=_since_last_poll(stalled, "servers"))
    # A scrape has to be missed.
    missed = Span(_SCRAPE.typical, _SCRAPE.worst + _seconds(_JOB["scrape_timeout"]))
    yield _of("WlvpnExporterDown", scrape=missed)
    yield _of("WlvpnExporterAbsent", scrape=missed)


def _source() -> Iterator[Budget]:
    for collector in ("servers", "usage"):
        named = {"alert": "WlvpnSourceFrozen", "limit": "seconds", "collector": collector}
        row = next(each for each in _rules() if each.get("labels") == named)
        yield _of(
            "WlvpnSourceFrozen",
            about=f" ({collector})",
            poll=_poll(collector),
            condition=_all(float(row["expr"])),
        )


def rendered(page: str, table: Callable[[Sequence[str], Iterator[Sequence[str]]], str]) -> str:
    """Gives the page: its own words stay, its table is made anew."""
    text = table(HEAD, map(_row, budgets()))
    return _TABLE.sub(lambda match: f"{match[1]}\n{text}\n\n{match[2]}", page)


def _row(budget: Budget) -> Sequence[str]:
    total = budget.total
    return (
        f"`{budget.alert}`{budget.about}",
        *(told(step.worst) for step in budget.steps),
        told(total.typical),
        told(total.worst),
    )


def told(seconds: float) -> str:
    """Writes seconds for people, to the second: `12m 45s`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    counts = ((hours, "h"), (minutes, "m"), (rest, "s"))
    parts = [f"{count}{unit}" for count, unit in counts if count]
    return " ".join(parts) or "0"
