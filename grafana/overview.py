"""Overview: is a country, a POP or a server saturated, and do we see it at all?"""

from grafana_foundation_sdk.builders import geomap, stat, table, timeseries
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana import board, limit
from grafana.map import of_countries
from grafana.panel import Line, graph, number, placed, words
from grafana.series import COUNTRY, FULLEST, above, age, firing, fullest, raw, recorded, servers
from grafana.table import Column, link, rows

UID = "wlvpn-overview"

_USED = servers(COUNTRY)
_SEVERITIES = {"critical": ("page", "red"), "warning": ("ticket", "orange")}

_NONE = "or on () 0 * count(wlvpn:threshold)"
"""No alert fires: known only where the rules are loaded."""


def made() -> Dashboard:
    """The dashboard."""
    built = board.opened(
        UID,
        "Overview",
        "Is a country, a POP or a server saturated, and do we see it at all? Begin here at 3 a.m.",
        board.country(),
        since="6h",
    )
    return board.closed(built, [*_numbers(), *_now(), *_history()], board.churn(COUNTRY))


def _numbers() -> list[stat.Panel]:
    panels = [
        number(
            "Alerts firing",
            "Is somebody paged, and are there tickets?",
            Line(f"count({firing(severity='critical')}) {_NONE}", "pages"),
            Line(f"count({firing(severity='warning')}) {_NONE}", "tickets"),
            unit="none",
            steps=limit.of_counts(),
            nothing="no rules",
        ),
        number(
            "Age of what you see",
            "When was the list of servers last read? The oldest of the chosen accounts counts, "
            "also if its exporter is gone, for a day. By default it is stale after three "
            "minutes, and after ten the servers are gone from here. Years: it was never read "
            "since the start.",
            Line(age("servers"), ""),
            unit="s",
            steps=limit.steps("green", (180, "orange"), (300, "red")),
            nothing="unseen",
        ),
        number(
            "Saturated countries",
            "In how many countries have users nowhere left to go? The average of the servers is "
            "above the alert's threshold.",
            Line(above(f"avg by (account, country) ({_USED})", limit.COUNTRY_FULL), ""),
            unit="none",
            steps=limit.of_counts(),
            nothing="unseen",
        ),
        number(
            "Saturated POPs",
            "How many POPs are full on average? Their users must go to another one.",
            Line(above(f"avg by (account, country, pop) ({_USED})", limit.POP_FULL), ""),
            unit="none",
            steps=limit.of_counts(),
            nothing="unseen",
        ),
        number(
            "Saturated servers",
            "How many servers have nothing left for another user?",
            Line(above(_USED, limit.SERVER_FULL), ""),
            unit="none",
            steps=limit.of_counts(),
            nothing="unseen",
        ),
        number(
            "Servers",
            "How many servers does the API list? What two accounts have in common counts twice.",
            Line(f"sum(max by (account, country) ({raw('wlvpn_servers', COUNTRY)}))", ""),
            unit="none",
            steps=limit.steps("text"),
            nothing="unseen",
        ),
        number(
            "Used capacity",
            "How full is the whole fleet on average?",
            Line(f"avg({_USED})", ""),
            unit="percentunit",
            decimals=1,
            steps=limit.of_countries(),
            nothing="unseen",
        ),
        number(
            "Headroom",
            "How many servers' worth of capacity is free?",
            Line(f"sum(1 - {_USED})", ""),
            unit="none",
            decimals=0,
            steps=limit.steps("text"),
            nothing="unseen",
        ),
    ]
    return [placed(panel, 3 * place, 0, 3, 4) for place, panel in enumerate(panels)]


def _now() -> list[geomap.Panel | table.Panel]:
    return [
        placed(of_countries(_USED), 0, 4, 10, 11),
        placed(_countries(), 10, 4, 7, 11),
        placed(_pops(), 17, 4, 7, 11),
    ]


def _countries() -> table.Panel:
    by = "by (account, country)"
    to_servers = link(
        "Servers of ${__value.raw}", "wlvpn-servers", account="Account", country="Country"
    )
    return rows(
        "Fullest countries",
        "Which countries are running out of servers? Used is the average of their servers, free "
        "what is left in servers' worth. A click shows the servers.",
        [
            f"avg {by} ({_USED})",
            f"count {by} ({_USED})",
            f"sum {by} (1 - {_USED})",
        ],
        [
            Column("Country", "country", width=80, links=[to_servers]),
            Column("Account", "account", width=90),
            Column("Used", "A", "percentunit", decimals=0, steps=limit.of_countries(), is_bar=True),
            Column("Servers", "B", "none", width=75),
            Column("Free", "C", "none", width=65, decimals=0),
        ],
        nothing="No servers are seen",
        sort="Used",
    )


def _pops() -> table.Panel:
    by = "by (account, country, pop)"
    to_servers = link(
        "Servers of ${__value.raw}",
        "wlvpn-servers",
        account="Account",
        country="Country",
        pop="POP",
    )
    return rows(
        "Fullest POPs",
        "Which POPs are full? The other POPs of the country take over, as long as they have "
        "room. A click shows the servers.",
        [f"avg {by} ({_USED})", f"count {by} ({_USED})", f"sum {by} (1 - {_USED})"],
        [
            Column("POP", "pop", width=70, links=[to_servers]),
            Column("Country", "country", width=75),
            Column("Account", "account", width=90),
            Column("Used", "A", "percentunit", decimals=0, steps=limit.of_countries(), is_bar=True),
            Column("Servers", "B", "none", width=75),
            Column("Free", "C", "none", width=65, decimals=0),
        ],
        nothing="No servers are seen",
        sort="Used",
    )


def _history() -> list[table.Panel | timeseries.Panel]:
    return [
        placed(_fullest(), 0, 15, 13, 9),
        placed(_firing(), 13, 15, 11, 9),
        placed(_headroom(), 0, 24, 12, 9),
        placed(_saturated(), 12, 24, 12, 9),
        placed(_forecast(), 0, 33, 12, 10),
        placed(_accounts(), 12, 33, 12, 10),
    ]


def _fullest() -> timeseries.Panel:
    used = recorded("wlvpn:country_capacity_used:avg", COUNTRY)
    return graph(
        "The fullest countries",
        f"How did the {FULLEST} countries that are fullest now come to this? The dashed lines "
        "are the thresholds of the ticket and of the page.",
        Line(fullest(used), "{{country}} · {{account}}"),
        unit="percentunit",
        steps=limit.of_countries(),
        soft_max=1,
    )


def _firing() -> table.Panel:
    told = firing('severity=~"critical|warning"')
    none = 'or on () label_replace(0 * count(wlvpn:threshold), "alertname", "none", "", "")'
    return rows(
        "Alerts that fire",
        "What is wrong, where? Each alert has a runbook. Saturated servers are told as one line "
        "for each POP.",
        [f"count by (severity, alertname, account, country, pop) ({told}) {none}"],
        [
            Column(
                "Kind",
                "severity",
                width=70,
                mappings=[words(_SEVERITIES)],
                steps=limit.steps("text"),
            ),
            Column("Alert", "alertname"),
            Column("Country", "country", width=75),
            Column("POP", "pop", width=70),
            Column("Account", "account", width=90),
            Column("How many", "A", "none", width=90),
        ],
        nothing="The alert rules are not loaded",
        sort="Kind",
        descending=False,
    )


def _headroom() -> timeseries.Panel:
    lost = recorded("wlvpn:country_capacity_used:without_largest_pop", COUNTRY)
    return graph(
        "Without the largest POP",
        "How full would a country be if its largest POP were lost and all its users moved to the "
        f"other ones? The {FULLEST} countries where it is worst; above the dashed line they "
        "would not fit.",
        Line(fullest(lost), "{{country}} · {{account}}"),
        unit="percentunit",
        steps=limit.steps("green", (limit.HEADROOM_GONE, "red")),
        soft_max=1,
    )


def _saturated() -> timeseries.Panel:
    counted = (
        f"sum by (country) ({recorded('wlvpn:country_saturated:ratio', COUNTRY)} "
        f"* {recorded('wlvpn:country_servers:count', COUNTRY)})"
    )
    return graph(
        "Saturated servers by country",
        "Is it one server's trouble or a crowd? Servers above the alert's threshold: all of them, "
        f"and those of the {FULLEST} countries that have most now.",
        Line(f"sum({counted})", "all", "text", is_dashed=True),
        Line(fullest(f"({counted} > 0)"), "{{country}}"),
        unit="none",
    )


def _forecast() -> table.Panel:
    peak = recorded("wlvpn:pop_capacity_used:p95_1d", COUNTRY)
    return rows(
        "Daily peaks of POPs",
        "Where must capacity be ordered? The daily peak is the 95th percentile over a day; the "
        "forecast follows the trend of eight days for another week, once there are eight days.",
        [
            f"topk(30, {peak})",
            f"predict_linear({peak}[8d:1h], 7 * 86400) and {peak} offset 7d and topk(30, {peak})",
        ],
        [
            Column("POP", "pop", width=70),
            Column("Country", "country", width=75),
            Column("Account", "account", width=90),
            Column("Peak", "A", "percentunit", decimals=0, steps=limit.of_countries(), is_bar=True),
            Column("In a week", "B", "percentunit", width=100, decimals=0),
        ],
        nothing="Recorded once the rules have run for a while",
        sort="Peak",
    )


def _accounts() -> table.Panel:
    to_servers = link("Servers of ${__value.raw}", "wlvpn-servers", account="Account")
    read = raw("wlvpn_last_success_timestamp_seconds", collector="servers")
    seen = f"and on (account) {recorded('wlvpn:servers:count')}"
    return rows(
        "Accounts",
        "Is it one account, or all of them? An account whose exporter is not seen is not here.",
        [
            f"count by (account) ({_USED})",
            f"avg by (account) ({_USED})",
            f"sum by (account) (1 - {_USED})",
            f"time() - (max by (account) ({read}) > 0)",
            f"max by (account) ({recorded('wlvpn:servers:lost1d')}) {seen}",
        ],
        [
            Column("Account", "account", links=[to_servers]),
            Column("Used", "B", "percentunit", decimals=0, steps=limit.of_countries(), is_bar=True),
            Column("Servers", "A", "none", width=80),
            Column("Free", "C", "none", width=80, decimals=0),
            Column("Lost in a day", "E", "percentunit", width=110, decimals=0),
            Column("Age", "D", "s", width=90, decimals=0),
        ],
        nothing="No account is seen",
        sort="Used",
    )
