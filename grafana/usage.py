"""Usage: how much traffic goes where, what will the month come to, and is it us who fill a POP?"""

from grafana_foundation_sdk.builders import stat, table, timeseries
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana import board, limit
from grafana.panel import Line, graph, number, placed
from grafana.series import COUNTRY_CODE, POP, age, fullest, raw, recorded
from grafana.table import Column, link, rows

UID = "wlvpn-usage"

_ALSO_NONE = ".*"
"""Where `collectors.usage.detail` is less than the default, these labels are not there."""

_CELL = "max by (account, pop, country_code)"
_WINDOW = "2h"
"""Usage is polled every quarter of an hour: a shorter window would see steps, not a rate."""

_SMOOTH = "15m"
"""Each time that a poll falls on the window's edge, the rate misses an eighth for a moment."""


def made() -> Dashboard:
    """The dashboard."""
    cells = raw("wlvpn_usage_month_to_date_bytes")
    built = board.opened(
        UID,
        "Usage",
        "How much traffic goes where, what will the month come to, and is it us who fill a POP?",
        board.chosen(
            "pop",
            "POP",
            "The points of presence that carried traffic this month.",
            f"label_values({cells}, pop)",
            everything=_ALSO_NONE,
        ),
        board.chosen(
            "country_code",
            "Country code",
            "What the usage endpoint counts by. It need not be where the servers stand.",
            f"label_values({cells}, country_code)",
            everything=_ALSO_NONE,
        ),
        since="24h",
    )
    return board.closed(built, [*_numbers(), *_panels()], board.churn())


def _cells(name: str) -> str:
    return f"{_CELL} ({raw(name, POP, COUNTRY_CODE)})"


def _fresh() -> str:
    """Only accounts whose usage is read: without polls counters stand still, rates sink to 0."""
    read = raw("wlvpn_last_success_timestamp_seconds", collector="usage")
    interval = raw("wlvpn_poll_interval_seconds", collector="usage")
    return (
        f"and on (account) (time() - max by (account) ({read}) < 4 * max by (account) ({interval}))"
    )


def _rate(of: str) -> str:
    """Per second and cell; what is younger than the window would seem less than it is."""
    counter = raw(f"wlvpn_usage_observed_{of}_total", POP, COUNTRY_CODE)
    older = f"present_over_time({counter}[10m] offset {_WINDOW})"
    return f"({_CELL} (rate({counter}[{_WINDOW}]) and {older}) {_fresh()})"


def _smooth(place: str) -> str:
    """Bytes per second by POP or country code, as recorded."""
    return f"({_recorded(place)} {_fresh()})"


def _recorded(place: str, offset: str = "") -> str:
    chosen = {"pop": POP, "country_code": COUNTRY_CODE}[place]
    rate = recorded(f"wlvpn:{place}_usage_bytes:rate2h", chosen)
    return f"avg_over_time({rate}[{_SMOOTH}]{offset})"


def _numbers() -> list[stat.Panel]:
    month = f"sum({_cells('wlvpn_usage_month_to_date_bytes')})"
    begin = f"max({raw('wlvpn_usage_month_start_timestamp_seconds')})"
    end = f"max({raw('wlvpn_usage_month_end_timestamp_seconds')})"
    projected = f"{month} * ({end} - {begin}) / (time() - {begin} > 2 * 86400)"
    plain = limit.steps("text")
    panels = [
        number(
            "Throughput",
            "How much is moved now? The average of the last two hours, known from two hours "
            "after the first start, while the usage is read.",
            Line(f"8 * sum({_rate('bytes')})", ""),
            unit="bps",
            steps=plain,
            nothing="unknown",
        ),
        number(
            "Connections per minute",
            "How many connections are made now? The average of the last two hours.",
            Line(f"60 * sum({_rate('connections')})", ""),
            unit="none",
            decimals=0,
            steps=plain,
            nothing="unknown",
        ),
        number(
            "This month",
            "What has been moved in the UTC month so far?",
            Line(month, ""),
            unit="decbytes",
            steps=plain,
            nothing="unseen",
        ),
        number(
            "The month's end",
            "What will the month come to, if it goes on as it did so far? Told from its third day.",
            Line(projected, ""),
            unit="decbytes",
            steps=plain,
            nothing="from the third day",
        ),
        number(
            "Last month",
            "What was moved in the whole month before?",
            Line(f"sum({_cells('wlvpn_usage_previous_month_bytes')})", ""),
            unit="decbytes",
            steps=plain,
            nothing="unseen",
        ),
        number(
            "Age of what you see",
            "When was the usage last read? It is polled every 15 minutes, and stale after three "
            "hours.",
            Line(age("usage"), ""),
            unit="s",
            steps=limit.steps("green", (3600, "orange"), (10_800, "red")),
            nothing="unseen",
        ),
    ]
    return [placed(panel, 4 * place, 0, 4, 4) for place, panel in enumerate(panels)]


def _panels() -> list[table.Panel | timeseries.Panel]:
    return [
        placed(_by_pop(), 0, 4, 12, 9),
        placed(_by_country_code(), 12, 4, 12, 9),
        placed(_pops(), 0, 13, 14, 11),
        placed(_is_it_us(), 14, 13, 10, 11),
        placed(_movers(), 0, 24, 12, 9),
        placed(_month(), 12, 24, 12, 9),
    ]


def _by_pop() -> timeseries.Panel:
    rate = f"8 * {_smooth('pop')}"
    return graph(
        "Throughput by POP",
        "Which POPs carry the traffic, and when? The eight that carry most now, each as the "
        "average of two hours.",
        Line(fullest(rate), "{{pop}} · {{account}}"),
        unit="bps",
    )


def _by_country_code() -> timeseries.Panel:
    rate = f"8 * {_smooth('country_code')}"
    return graph(
        "Throughput by country code",
        "Which country codes does the usage endpoint count most for? The eight largest now, each "
        "as the average of two hours.",
        Line(fullest(rate), "{{country_code}} · {{account}}"),
        unit="bps",
    )


def _pops() -> table.Panel:
    by = "sum by (account, pop)"
    used = (
        "avg by (account, pop) (max by (account, pop, fqdn) "
        f"({raw('wlvpn_server_capacity_used_ratio', POP)}))"
    )
    to_servers = link("Servers of ${__value.raw}", "wlvpn-servers", account="Account", pop="POP")
    return rows(
        "POPs",
        "How does a POP's traffic compare with a week ago and with last month, and how full is "
        "it? A click shows its servers.",
        [
            f"8 * {by} ({_rate('bytes')})",
            recorded("wlvpn:pop_usage_bytes:week_over_week", POP),
            f"{by} ({_cells('wlvpn_usage_month_to_date_bytes')})",
            f"{by} ({_cells('wlvpn_usage_previous_month_bytes')})",
            used,
        ],
        [
            Column("POP", "pop", width=70, links=[to_servers]),
            Column("Account", "account", width=90),
            Column("Throughput", "A", "bps", width=120),
            Column("Of a week ago", "B", "percentunit", width=120, decimals=0),
            Column("This month", "C", "decbytes", width=110),
            Column("Last month", "D", "decbytes", width=110),
            Column("Used capacity", "E", "percentunit", 0, 0, limit.of_countries(), is_bar=True),
        ],
        nothing="No usage is seen",
        sort="Throughput",
    )


def _is_it_us() -> timeseries.Panel:
    servers = f"sum by (account, pop) ({recorded('wlvpn:pop_servers:count', POP)})"
    used = f"avg by (account, pop) ({recorded('wlvpn:pop_capacity_used:avg', POP)})"
    ours = f"8 * {_smooth('pop')} / ({servers} * {used})"
    return graph(
        "Is it us?",
        "Who fills the fullest POPs? Our traffic for each server's worth of capacity in use. The "
        "servers are shared with other brands: if a POP fills up while its line falls, it is "
        "others.",
        Line(fullest(ours, by=used, on="account, pop"), "{{pop}} · {{account}}"),
        unit="bps",
    )


def _movers() -> table.Panel:
    now, then = f"(8 * {_smooth('pop')})", f"(8 * {_recorded('pop', ' offset 1w')})"
    change = f"({now} - {then})"
    moved = f"topk(20, abs{change})"
    return rows(
        "Top movers",
        "Where has traffic changed most since the same hour a week ago? The twenty POPs with the "
        "largest difference, up or down.",
        [f"{each} and {moved}" for each in (change, now, then, f"{now} / {then}")],
        [
            Column("POP", "pop", width=80),
            Column("Account", "account", width=100),
            Column("Change", "A", "bps"),
            Column("Now", "B", "bps"),
            Column("A week ago", "C", "bps"),
            Column("Share of it", "D", "percentunit", width=110, decimals=0),
        ],
        nothing="Known a week after the rules were loaded",
        sort="Change",
    )


def _month() -> timeseries.Panel:
    moved = recorded("wlvpn:month_usage:bytes")
    quota = f"{recorded('wlvpn:month_quota:bytes')} and on (account) {moved}"
    return graph(
        "The month so far",
        "Does the month stay within what was bought? Month to date, what it will come to, and the "
        "quota, if one is recorded in thresholds.yaml.",
        Line(moved, "month to date · {{account}}"),
        Line(
            recorded("wlvpn:month_usage:projected_bytes"), "projected · {{account}}", is_dashed=True
        ),
        Line(quota, "quota · {{account}}", "red", is_dashed=True),
        unit="decbytes",
    )
