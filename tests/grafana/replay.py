"""The rules, evaluated over a past that is already in a Prometheus.

Each rule is one range query; what it gives is written before the next is asked. As in a running
Prometheus, a series that ends is marked as stale, and an alert is pending before it fires.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import yaml

from exporter.settings import DEFAULT_ACCOUNT
from tests.alerts.catalogue import RULE_FILES, Rule
from tests.alerts.promql import in_seconds
from tests.grafana.api import Api, Matrix
from tests.grafana.remote_write import STALE, Writer, instant, labels, request, sample

ORDER = (
    *("wlvpn-thresholds", "wlvpn-fresh", "wlvpn-polls"),
    *("wlvpn-servers", "wlvpn-usage", "wlvpn-customers"),
)
"""A record is read by groups after its own."""
QUOTA = "wlvpn:month_quota:bytes"

Labels = Mapping[str, str]
Values = dict[int, float]
"""By time, in seconds."""


@dataclass(frozen=True, slots=True)
class Window:
    """When rules are evaluated, in Unix seconds: from, until and each so many."""

    start: int
    end: int
    step: int

    @property
    def instants(self) -> range:
        """When each evaluation happens."""
        return range(self.start, self.end + 1, self.step)


def rules(quota_bytes: float) -> list[Rule]:
    """All rules in the order of their groups; the example of a quota has become the account's."""
    groups = {
        group["name"]: group["rules"]
        for path in RULE_FILES
        for group in yaml.safe_load(path.read_text())["groups"]
    }
    quota = {"expr": f"{quota_bytes:g}", "labels": {"account": DEFAULT_ACCOUNT}}
    return [
        rule | quota if rule.get("record") == QUOTA else rule
        for name in ORDER
        for rule in groups[name]
    ]


def replay(api: Api, writer: Writer, rules: Iterable[Rule], window: Window) -> None:
    """Evaluates rules in a window, one after the other, and writes what they give."""
    for rule in rules:
        found = api.range(rule["expr"], window.start, window.end, window.step)
        _write(writer, window, _recorded(rule, found, window))


def _recorded(rule: Rule, found: Matrix, window: Window) -> Iterator[tuple[Labels, Values]]:
    more = rule.get("labels", {})
    for series, values in found:
        own = {name: text for name, text in series.items() if name != "__name__"} | more
        if "record" in rule:
            yield {"__name__": rule["record"], **own}, values
        else:
            yield from _alerts(rule, own, values, window)


def _alerts(
    rule: Rule, series: Labels, values: Values, window: Window
) -> Iterator[tuple[Labels, Values]]:
    """The two states of an alert, each where it is in it."""
    states = dict(states_of(rule, values, window))
    for state in ("pending", "firing"):
        those = dict.fromkeys((at for at in states if states[at] == state), 1.0)
        if those:
            named = {"__name__": "ALERTS", "alertname": rule["alert"], "alertstate": state}
            yield {**named, **series}, those


def states_of(rule: Rule, values: Values, window: Window) -> Iterator[tuple[int, str]]:
    """Whether an alert is pending or firing at each instant at which it is either."""
    wait = in_seconds(rule.get("for", "0s"))
    keep = in_seconds(rule.get("keep_firing_for", "0s"))
    since = last = None
    fires = False
    for at in window.instants:
        if at in values:
            since, last = at if since is None else since, at
            fires = fires or at - since >= wait
        elif not fires or last is None or at - last - window.step >= keep:
            since, fires = None, False
        if since is not None:
            yield at, "firing" if fires else "pending"


def _write(writer: Writer, window: Window, found: Iterator[tuple[Labels, Values]]) -> None:
    times = {at: instant(at * 1000) for at in window.instants}
    body = [(labels(series), _samples(values, times)) for series, values in found]
    if body:
        writer.write(request(body))


def _samples(values: Values, times: Mapping[int, bytes]) -> list[bytes]:
    """The values, and the end of each run of them."""
    written = []
    was = False
    for at, when in times.items():
        if at in values:
            written.append(sample(values[at], when))
        elif was:
            written.append(sample(STALE, when))
        was = at in values
    return written
