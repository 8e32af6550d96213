"""What every dashboard keeps to: small rules over its JSON, and the exceptions with their reasons.

The general rules ask for what Grafana's own dashboard-linter asks for. The others are this
project's: names that exist, thresholds that are the alerts', links that lead somewhere, and what
Grafana 10 already draws.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from tests.grafana.board import Board, Json, committed
from tests.grafana.board_rules import BOARD_RULES
from tests.grafana.panel_rules import PANEL_RULES
from tests.grafana.query_rules import QUERY_RULES

_SLOW = "usage is polled every 15 minutes: `$__rate_interval` would see steps and no rate"
EXCLUSIONS: dict[tuple[str, str, str], str] = {
    ("wlvpn-customers", "Plans", "unit-is-known"): "it shows labels and no number",
    ("wlvpn-exporter", "Duration of requests", "rate-interval-is-grafanas"): (
        "usage is asked for four times an hour: most shorter windows hold no request of it"
    ),
    ("wlvpn-exporter", "Requests per hour", "rate-interval-is-grafanas"): (
        "its title names the hour, at any zoom"
    ),
    ("wlvpn-servers", "Facts about $server", "unit-is-known"): "it shows labels and no number",
    ("wlvpn-usage", "Connections per minute", "rate-interval-is-grafanas"): _SLOW,
    ("wlvpn-usage", "POPs", "rate-interval-is-grafanas"): _SLOW,
    ("wlvpn-usage", "Throughput", "rate-interval-is-grafanas"): _SLOW,
}
"""Dashboard, panel's title and rule: why the rule is not kept there."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that is not kept, and where."""

    uid: str
    place: str
    rule: str
    detail: str

    def __str__(self) -> str:
        return f"{self.uid}: {self.place}: {self.rule}: {self.detail}"


def findings(dashboard: Json, fleet: Mapping[str, Json] | None = None) -> list[str]:
    """What is wrong with a dashboard, but for what is excluded.

    Args:
        dashboard: its JSON.
        fleet: all dashboards by uid, those of the repository unless given.
    """
    return [
        str(finding)
        for finding in judged(dashboard, fleet)
        if (finding.uid, finding.place, finding.rule) not in EXCLUSIONS
    ]


def judged(dashboard: Json, fleet: Mapping[str, Json] | None = None) -> Iterator[Finding]:
    """What is wrong with a dashboard, the excluded things too."""
    uid = str(dashboard.get("uid"))
    board = Board(dashboard, {**(committed() if fleet is None else fleet), uid: dashboard})
    for rule in BOARD_RULES:
        yield from (Finding(uid, "dashboard", _name(rule), each) for each in rule(board))
    for panel in board.panels:
        place = panel.get("title", "")
        for panel_rule in PANEL_RULES:
            found = panel_rule(board, panel)
            yield from (Finding(uid, place, _name(panel_rule), each) for each in found)
    for query in board.queries:
        for query_rule in QUERY_RULES:
            found = query_rule(board, query)
            yield from (Finding(uid, query.place, _name(query_rule), each) for each in found)


def names() -> list[str]:
    """The rules, by the names that findings and exclusions call them."""
    return [_name(rule) for table in (BOARD_RULES, PANEL_RULES, QUERY_RULES) for rule in table]


def _name(rule: Callable[..., object]) -> str:
    return rule.__name__.replace("_", "-")
