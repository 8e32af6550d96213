"""Customers: do they stay, do they reach their limits, and how much do they use?

What the API calls an account is a customer here: an account is a reseller's API key.
"""

from collections.abc import Callable, Sequence

from grafana_foundation_sdk.builders import bargauge, stat, table, timeseries
from grafana_foundation_sdk.models.dashboard import Dashboard

from exporter.collectors.usage_report import BYTES, CONNECTIONS
from grafana import board, limit
from grafana.panel import Line, bars, graph, number, placed, stacked, words
from grafana.series import raw, recorded
from grafana.table import Column, link, rows

UID = "wlvpn-customers"

_COLLECTORS = 'collector=~"plans|accounts|usage_report"'
_OFF = "Turn on collectors.{}"
_NO_ACCOUNTS = _OFF.format("accounts")
_NO_REPORT = f"{_OFF.format('usage_report')}, or wait for today's report"
_STATES = {"0": ("failing", "red"), "1": ("fine", "green")}

_OPEN = 'status=~"active|cap_reached"'
_POINTS = {"50": "half of them", "90": "90 %", "99": "99 %"}
_COLORS = {"50": "green", "90": "orange", "99": "red"}


def made() -> Dashboard:
    """The dashboard."""
    built = board.opened(
        UID,
        "Customers",
        "Do customers stay, do they reach their limits, and how much do they use?",
        since="24h",
    )
    return board.closed(built, [*_numbers(), *_panels()], board.churn())


def _count(*matchers: str, **equal: str) -> str:
    """Customers by account; added up within one exporter, for a pair may differ in groups."""
    each = f"sum by (job, instance, account) ({raw('wlvpn_accounts', *matchers, **equal)})"
    return f"max by (account) ({each})"


def _share(some: str) -> str:
    return f"sum({some}) / (sum({_count(_OPEN)}) > 0)"


def _numbers() -> list[stat.Panel]:
    plain = limit.steps("text")
    limited = limit.steps("text", (limit.CUSTOMERS_LIMITED, "orange"))
    read = f"last_over_time({raw('wlvpn_last_success_timestamp_seconds', _COLLECTORS)}[1d])"
    lost = f"{recorded('wlvpn:customers_lost1d:count')} and on (account) {_count()}"
    panels = [
        number(
            "Active customers",
            "How many customers may use the service now? Those who have reached their cap are not "
            "among them.",
            Line(f"sum({_count(status='active')})", ""),
            unit="none",
            decimals=0,
            steps=plain,
            nothing=_NO_ACCOUNTS,
        ),
        number(
            "Lost within a day",
            "How many customers who were active, or at their cap, within the last day are closed, "
            "suspended or gone? Believed when two hourly polls tell it.",
            Line(f"sum({lost})", ""),
            unit="none",
            decimals=0,
            steps=limit.steps("text", (limit.CUSTOMERS_LOST, "red")),
            nothing=_NO_ACCOUNTS,
        ),
        number(
            "At their cap",
            "How large a share of the customers who are active or at their cap has reached it?",
            Line(_share(_count(status="cap_reached")), ""),
            unit="percentunit",
            decimals=1,
            steps=limited,
            nothing=_NO_ACCOUNTS,
        ),
        number(
            "Throttled",
            "How large is the share of those whose bandwidth is throttled?",
            Line(_share(f"max by (account) ({raw('wlvpn_accounts_throttled')})"), ""),
            unit="percentunit",
            decimals=1,
            steps=limited,
            nothing=_NO_ACCOUNTS,
        ),
        number(
            "Used it today",
            "How many customers does the report of the current UTC day tell of, so far?",
            Line(f"sum(max by (account) ({raw('wlvpn_customers_reported')}))", ""),
            unit="none",
            decimals=0,
            steps=plain,
            nothing=_NO_REPORT,
        ),
        number(
            "Age of what you see",
            "When were customers, plans and the day's report last read? The oldest of the chosen "
            "accounts counts. They are polled hourly, and stale after three hours.",
            Line(f"max(time() - max by (account, collector) ({read}))", ""),
            unit="s",
            steps=limit.steps("green", (7200, "orange"), (10_800, "red")),
            nothing="Turn on plans, accounts or usage_report",
        ),
    ]
    return [placed(panel, 4 * place, 0, 4, 4) for place, panel in enumerate(panels)]


def _panels() -> list[bargauge.Panel | table.Panel | timeseries.Panel]:
    return [
        placed(_by_status(), 0, 4, 12, 9),
        placed(_groups(), 12, 4, 12, 9),
        placed(_so_far("bytes", "Bytes per customer, so far today", "bytes"), 0, 13, 12, 11),
        placed(_spread("bytes", "Customers by bytes today", BYTES, _in_bytes), 12, 13, 12, 11),
        placed(
            _so_far("connections", "Connections per customer, so far today", "none"), 0, 24, 12, 10
        ),
        placed(
            _spread("connections", "Customers by connections today", CONNECTIONS, str),
            *(12, 24, 12, 10),
        ),
        placed(_plans(), 0, 34, 12, 8),
        placed(_readings(), 12, 34, 12, 8),
    ]


def _by_status() -> timeseries.Panel:
    def line(status: str, words: str, color: str) -> Line:
        chosen = recorded("wlvpn:customers:count", status=status)
        return Line(f"sum by (status) ({chosen})", words, color)

    return stacked(
        graph(
            "Customers by status",
            "Do customers come or go? All but the closed ones, who stay in the API's list for "
            "ever.",
            line("active", "active", "green"),
            line("cap_reached", "at their cap", "orange"),
            line("suspended", "suspended", "red"),
            line("unknown", "unknown", "text"),
            unit="none",
        ).no_value(_NO_ACCOUNTS)
    )


def _groups() -> table.Panel:
    def of(status: str) -> str:
        return f"max by (account, group) ({raw('wlvpn_accounts', status=status)})"

    return rows(
        "Groups",
        "Which customers are they? By the API's groups, the largest first; groups of fewer than "
        "five customers are in `other`.",
        [
            of("active"),
            of("cap_reached"),
            of("suspended"),
            of("closed"),
            of("unknown"),
        ],
        [
            Column("Group", "group", width=90),
            Column("Account", "account"),
            Column("Active", "A", "none", width=110),
            Column("At their cap", "B", "none", width=110),
            Column("Suspended", "C", "none", width=110),
            Column("Closed", "D", "none", width=110),
            Column("Unknown", "E", "none", width=110),
        ],
        nothing=_NO_ACCOUNTS,
        sort="Active",
    )


def _so_far(what: str, title: str, unit: str) -> timeseries.Panel:
    return graph(
        title,
        f"How much does a customer use? So many {what} half of those who used the service on this "
        "UTC day did not exceed, nor nine in ten, nor 99 in 100. They begin anew at midnight UTC.",
        *(
            Line(
                recorded(f"wlvpn:customer_day_{what}:p{point}"),
                f"{words} · {{{{account}}}}",
                _COLORS[point],
            )
            for point, words in _POINTS.items()
        ),
        unit=unit,
        is_log=unit == "bytes",  # the few who use most are hundreds of times above the others
    ).no_value(_NO_REPORT)


def _spread(
    what: str, title: str, bounds: Sequence[int], told: Callable[[int], str]
) -> bargauge.Panel:
    buckets = f"max by (account, le) ({raw(f'wlvpn_customer_day_{what}_bucket')})"
    return bars(
        title,
        f"How are customers spread? How many have used so many {what} on this UTC day so far, each "
        "counted once.",
        f"sum by (le) ({buckets})",
        bounds,
        told,
        nothing=_NO_REPORT,
    )


def _in_bytes(bound: int) -> str:
    """A bound in its largest unit: all are powers of two."""
    power = (bound.bit_length() - 1) // 10
    return f"{bound >> 10 * power} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"


def _plans() -> table.Panel:
    return rows(
        "Plans",
        "Which plans can customers get, and what limits each: time or bandwidth?",
        [f"max by (account, plan_code, name, kind) ({raw('wlvpn_plan_info')})"],
        [
            Column("Plan", "name"),
            Column("Code", "plan_code"),
            Column("Limited by", "kind", width=120),
            Column("Account", "account", width=120),
        ],
        nothing=_OFF.format("plans"),
        sort="Plan",
        descending=False,
    )


def _readings() -> table.Panel:
    def latest(name: str) -> str:
        return f"max by (account, collector) ({raw(name, _COLLECTORS)})"

    to_exporter = link("Polls of the exporter", "wlvpn-exporter", account="Account")
    return rows(
        "Readings",
        "Is what you see here current? Each of the three collectors by itself; those that are "
        "switched off, as all are by default, are not here. A click shows why polls fail.",
        [
            latest("wlvpn_up"),
            f"time() - ({latest('wlvpn_last_success_timestamp_seconds')} > 0)",
            latest("wlvpn_data_ttl_seconds"),
            latest("wlvpn_records"),
            f"time() - ({latest('wlvpn_source_changed_timestamp_seconds')} > 0)",
        ],
        [
            Column("Collector", "collector", width=130, links=[to_exporter]),
            Column("Account", "account"),
            Column(
                "Last poll", "A", width=100, mappings=[words(_STATES)], steps=limit.steps("text")
            ),
            Column("Age", "B", "s", width=110, decimals=0),
            Column("Dropped at", "C", "s", width=110),
            Column("Records", "D", "none", width=110),
            Column("Content changed", "E", "s", width=150, decimals=0),
        ],
        nothing="Turn on collectors.plans, collectors.accounts or collectors.usage_report",
        sort="Collector",
        descending=False,
    )
