"""How late an alert may be: what passes before what happened on the platform is told.

Nothing here is known of the platform but what polls see: how long its content stays the same.
"""

from grafana_foundation_sdk.builders import stat, table, timeseries

from grafana import limit
from grafana.panel import Line, graph, number, placed
from grafana.series import raw, recorded
from grafana.table import Column, rows

_BY = "by (account, collector)"
_MOVING = 'collector!~"plans|accounts"'
"""What changes only when somebody comes or goes says nothing of how often the platform measures."""

_TOLD = {
    "a full country": "WlvpnCountrySaturated",
    "a full POP": "WlvpnPopSaturated",
    "a full server": "WlvpnServerSaturated",
}


def panels(y: int) -> list[stat.Panel | table.Panel | timeseries.Panel]:
    """The rows about it, from this height on: 15 high."""
    return [
        placed(_terms(), 0, y, 24, 7),
        placed(_told(), 0, y + 7, 12, 8),
        placed(_refresh_over_time(), 12, y + 7, 12, 8),
    ]


def _refresh(collector: str = "") -> str:
    """Seconds between changes of the content, over six hours: as `wlvpn:source_refresh:seconds`."""
    name = "wlvpn_source_changed_timestamp_seconds"
    changed = raw(name, collector=collector) if collector else raw(name, _MOVING)
    before = f"({changed} offset 1m > 0)"
    looked, saw = (f"count_over_time(({changed} {sign} {before})[6h:1m])" for sign in (">=", ">"))
    return f"max {_BY} (60 * {looked} / {saw})"


def _interval(collector: str = "") -> str:
    name = "wlvpn_poll_interval_seconds"
    return f"max {_BY} ({raw(name, collector=collector) if collector else raw(name)})"


def _scrape(collector: str = "") -> str:
    """Seconds between two scrapes, of the last ten minutes; of a pair, the one seen more often."""
    chosen = raw("wlvpn_up", collector=collector) if collector else raw("wlvpn_up")
    return f"min {_BY} (600 / count_over_time({chosen}[10m]))"


def _known_after(collector: str = "") -> str:
    parts = (_refresh(collector), _interval(collector), _scrape(collector))
    return " + ".join((*parts, f"{limit.EVALUATION_SECONDS:g}"))


def _terms() -> table.Panel:
    read = f"max {_BY} ({raw('wlvpn_last_success_timestamp_seconds')}) > 0"
    changed = f"max {_BY} ({raw('wlvpn_source_changed_timestamp_seconds')}) > 0"
    return rows(
        "How old is what the rules see?",
        "How long does it take at most until something that happens on the platform is known? Its "
        "content changes every so often, as measured over six hours by our polls; then come the "
        "poll, the scrape and the evaluation of the rules, "
        f"{limit.EVALUATION_SECONDS:g} seconds apart. Without a change in that time nobody can "
        "tell, nor where it changes only when customers or plans do.",
        [
            f"time() - ({changed})",
            f"time() - ({read})",
            _refresh(),
            _interval(),
            _scrape(),
            _known_after(),
        ],
        [
            Column("Collector", "collector", width=130),
            Column("Account", "account"),
            Column("Content changed", "A", "s", width=170, decimals=0),
            Column("Age", "B", "s", width=150, decimals=0),
            Column("Changes every", "C", "s", width=170, decimals=1),
            Column("+ polled every", "D", "s", width=170),
            Column("+ scraped every", "E", "s", width=170, decimals=0),
            Column("= known after, at most", "F", "s", width=200, decimals=1),
        ],
        nothing="No exporter is seen",
        sort="Collector",
        descending=False,
    )


def _told() -> stat.Panel:
    known = f"max({_known_after('servers')})"
    lives = f"max {_BY} ({raw('wlvpn_data_ttl_seconds', collector='servers')})"
    blind = f"max({lives} - {limit.spare_seconds():g} + {_scrape('servers')})"
    blind_after = limit.EVALUATION_SECONDS + limit.patience("WlvpnServersStale")
    return number(
        "Told after, at most",
        "How late may an alert be? What the table above says of the servers, and then the average "
        "and the time for which the alert's rule has to hold. A large excess is told minutes "
        "sooner. Alertmanager adds its `group_wait`. That we are blind is told after the last "
        "accepted poll.",
        *(Line(f"{known} + {limit.patience(alert):g}", what) for what, alert in _TOLD.items()),
        Line(f"{blind} + {blind_after:g}", "that we are blind"),
        unit="s",
        decimals=1,
        steps=limit.steps("text"),
        nothing="unknown: no change was seen for six hours",
    )


def _refresh_over_time() -> timeseries.Panel:
    return graph(
        "Time between changes",
        "Has the platform begun to measure less often? The time between two changes of servers "
        "and of usage, each as the average of six hours. Polls cannot see it to be less than their "
        "interval.",
        Line(
            recorded("wlvpn:source_refresh:seconds", 'collector=~"servers|usage"'),
            "{{collector}} · {{account}}",
        ),
        unit="s",
    )
