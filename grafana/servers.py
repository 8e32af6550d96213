"""Servers: which ones are full, how are they spread, and what happened to this one?"""

from grafana_foundation_sdk.builders import heatmap, stat, table, timeseries
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana import board, limit
from grafana.panel import Line, graph, heat, number, placed, stacked
from grafana.series import COUNTRY, POP, above, fullest, raw, recorded, servers
from grafana.table import Column, link, rows

UID = "wlvpn-servers"

_USED = servers(COUNTRY, POP)
_SERVER = 'fqdn=~"$server"'


def made() -> Dashboard:
    """The dashboard."""
    server = board.chosen(
        "server",
        "Server",
        "The one whose history is shown at the right.",
        f"label_values({raw('wlvpn_server_info', COUNTRY, POP)}, fqdn)",
        several=False,
    )
    built = board.opened(
        UID,
        "Servers",
        "Which servers are full, how are they spread, and what happened to this one?",
        board.country(),
        board.pop_of_country(),
        server,
        since="6h",
    )
    return board.closed(built, [*_numbers(), *_panels()], board.churn(COUNTRY, is_on=True))


def _numbers() -> list[stat.Panel]:
    panels = [
        number(
            "Servers",
            "How many servers are there in the chosen countries and POPs?",
            Line(f"count({_USED})", ""),
            unit="none",
            steps=limit.steps("text"),
            nothing="unseen",
        ),
        number(
            "Used capacity",
            "How full are they on average?",
            Line(f"avg({_USED})", ""),
            unit="percentunit",
            decimals=1,
            steps=limit.of_countries(),
            nothing="unseen",
        ),
        number(
            "The fullest one",
            "How full is the fullest of them?",
            Line(f"max({_USED})", ""),
            unit="percentunit",
            decimals=0,
            steps=limit.of_servers(),
            nothing="unseen",
        ),
        number(
            "Saturated",
            "How many have nothing left for another user?",
            Line(above(_USED, limit.SERVER_FULL), ""),
            unit="none",
            steps=limit.of_counts(),
            nothing="unseen",
        ),
        number(
            "Filling up",
            "How many are so full that they are watched?",
            Line(above(_USED, limit.SERVER_FILLING), ""),
            unit="none",
            steps=limit.steps("text", (1, "orange")),
            nothing="unseen",
        ),
        number(
            "Came and went",
            "Did the fleet change within the dashboard's time range? An exporter that was "
            "restarted in it does not know all.",
            Line(_changed("added"), "came"),
            Line(_changed("removed"), "went"),
            unit="none",
            decimals=0,
            steps=limit.steps("text"),
            nothing="unseen",
        ),
    ]
    return [placed(panel, 4 * place, 0, 4, 4) for place, panel in enumerate(panels)]


def _changed(verb: str) -> str:
    counter = raw(f"wlvpn_servers_{verb}_total", COUNTRY)
    return f"sum(max by (account, country) (increase({counter}[$__range])))"


def _panels() -> list[heatmap.Panel | table.Panel | timeseries.Panel]:
    return [
        placed(_servers(), 0, 4, 11, 20),
        placed(_spread(), 11, 4, 13, 6),
        placed(_fullest_pops(), 11, 10, 13, 7),
        placed(_one(), 11, 17, 13, 7),
        placed(_facts(), 0, 24, 11, 7),
        placed(_churn(), 11, 24, 13, 7),
    ]


def _servers() -> table.Panel:
    to_server = link(
        "History of ${__value.raw}",
        UID,
        "country",
        "pop",
        account="Account",
        server="Server",
    )
    return rows(
        "Servers, fullest first",
        "Which servers are full, and are they filling up? The change is that of an hour. A click "
        "shows a server's history at the right.",
        [_USED, f"{_USED} - {servers(COUNTRY, POP, offset=' offset 1h')}"],
        [
            Column("Server", "fqdn", links=[to_server]),
            Column("POP", "pop", width=65),
            Column("City", "city", width=120),
            Column("Country", "country", width=75),
            Column("Account", "account", width=90),
            Column("Used", "A", "percentunit", 190, 0, steps=limit.of_servers(), is_bar=True),
            Column("Change", "B", "percentunit", width=75, decimals=0),
        ],
        nothing="No servers are seen",
        sort="Used",
    )


def _spread() -> heatmap.Panel:
    used = recorded("wlvpn:server_capacity_used:ratio", COUNTRY, POP)
    return heat(
        "How the servers are spread",
        "Is everything equally full, or are a few servers? Each row is a tenth of the capacity, "
        "its colour the number of servers; 100 % are those that are full to the last digit.",
        Line(f'count_values("used", floor(10 * {used}) / 10)', "{{used}}"),
        unit="percentunit",
        cells="none",
    )


def _fullest_pops() -> timeseries.Panel:
    used = recorded("wlvpn:pop_capacity_used:avg", COUNTRY, POP)
    return graph(
        "The fullest POPs",
        "Which POPs are fullest now, and how did they come to this? The dashed lines are "
        "thresholds.",
        Line(fullest(used), "{{pop}} {{country}} · {{account}}"),
        unit="percentunit",
        steps=limit.of_countries(),
        soft_max=1,
    )


def _one() -> timeseries.Panel:
    mine = f"max by (account, fqdn, pop) ({raw('wlvpn_server_capacity_used_ratio', _SERVER)})"
    here = raw("wlvpn_server_info", _SERVER)
    pop = f"{recorded('wlvpn:pop_capacity_used:avg')} and on (account, pop) {here}"
    country = f"{recorded('wlvpn:country_capacity_used:avg')} and on (account, country) {here}"
    return graph(
        "$server",
        "Is it this server alone, or its POP and country too? One that is full beside empty ones "
        "has a trouble of its own.",
        Line(mine, "{{fqdn}} · {{account}}"),
        Line(pop, "POP {{pop}} · {{account}}", is_dashed=True),
        Line(country, "country {{country}} · {{account}}", is_dashed=True),
        unit="percentunit",
        steps=limit.of_servers(),
        soft_max=1,
    )


def _facts() -> table.Panel:
    return rows(
        "Facts about $server",
        "Where does it stand, and under which address?",
        [f"max by (account, fqdn, pop, city, country, ip) ({raw('wlvpn_server_info', _SERVER)})"],
        [
            Column("Server", "fqdn"),
            Column("Address", "ip", width=130),
            Column("POP", "pop", width=70),
            Column("City", "city", width=130),
            Column("Country", "country", width=75),
            Column("Account", "account", width=90),
        ],
        nothing="Not listed any more",
        sort="Server",
        descending=False,
    )


def _churn() -> timeseries.Panel:
    def changed(verb: str) -> str:
        counter = raw(f"wlvpn_servers_{verb}_total", COUNTRY)
        return f"60 * sum(max by (account, country) (rate({counter}[$__rate_interval])))"

    return stacked(
        graph(
            "Servers that came and went per minute",
            "When did the fleet change? Spread over the minutes in which it was seen.",
            Line(changed("added"), "came", "green"),
            Line(changed("removed"), "went", "purple"),
            unit="none",
        ),
        bars=True,
    )
