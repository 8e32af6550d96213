"""What queries say where the evening of trouble does not go: pairs, what is gone, what is new."""

import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest
import yaml

from tests.alerts.catalogue import PROMTOOL
from tests.grafana.queries import DASHBOARDS, queries

Series = dict[str, str]
HOURS = 4
MINUTES = 60 * HOURS
AGES = f"0+60x{MINUTES}"
"""A time that is always now: promtool's begins at 0."""

SERVERS = 'account="a", collector="servers"'
USAGE = 'account="a", collector="usage"'
CELL = 'account="a", pop="par", country_code="FR"'


def of(instance: str, series: Series) -> Series:
    """The series as they are scraped from one exporter."""
    return {
        f'{name.rstrip("}")}, job="wlvpn", instance="{instance}"}}': values
        for name, values in series.items()
    }


def server(country: str, values: str) -> Series:
    labels = f'account="a", country="{country}", city="x", pop="x", fqdn="{country}"'
    return {f"wlvpn_server_capacity_used_ratio{{{labels}}}": values}


def polls(failures: str) -> Series:
    """An exporter that polls each minute, and what comes of it."""
    return {
        f"wlvpn_polls_total{{{SERVERS}}}": f"0+1x{MINUTES}",
        f'wlvpn_poll_failures_total{{{SERVERS}, reason="dns"}}': failures,
    }


def read_usage(until: int, counter: str) -> Series:
    """Usage that was read until a minute, and its counter: 60 bytes more each minute."""
    return {
        f"wlvpn_last_success_timestamp_seconds{{{USAGE}}}": (
            f"0+60x{until} {60 * until}x{MINUTES - until}"
        ),
        f"wlvpn_poll_interval_seconds{{{USAGE}}}": f"900x{MINUTES}",
        f"wlvpn_usage_observed_bytes_total{{{CELL}}}": counter,
    }


def customers(group: str, status: str, values: str) -> Series:
    return {f'wlvpn_accounts{{account="a", group="{group}", status="{status}"}}': values}


def changing(every_minutes: int, minutes: int = MINUTES) -> Series:
    """An exporter whose servers say something new every so often, for so long; then it is gone."""
    steps = range(0, minutes, every_minutes)
    values = " ".join(f"{60 * at}x{every_minutes - 1}" for at in steps)
    return {
        f"wlvpn_source_changed_timestamp_seconds{{{SERVERS}}}": f"{values} stale",
        f"wlvpn_poll_interval_seconds{{{SERVERS}}}": f"60x{minutes} stale",
        f"wlvpn_data_ttl_seconds{{{SERVERS}}}": f"600x{minutes} stale",
        f"wlvpn_up{{{SERVERS}}}": f"1x{minutes} stale",
    }


STEADY = f"0+60x{MINUTES}"
NEVER = f"0x{MINUTES}"
HALF = MINUTES // 2


@cache
def asked() -> Mapping[str, str]:
    """Every query, with All chosen, by its dashboard and place."""
    found = (query for path in DASHBOARDS for query in queries(path, lambda _: ["FR"]))
    return {str(query): query.text for query in found}


@pytest.mark.parametrize(
    ("query", "series", "expected"),
    [
        pytest.param(
            "wlvpn-exporter, Failed polls A",
            of("1", polls(NEVER)) | of("2", polls(f"0+1x{MINUTES}")),
            {"{}": 0},
            id="one of a pair fails, the other one does not",
        ),
        pytest.param(
            "wlvpn-exporter, Polls per minute by outcome A",
            of("1", polls(NEVER)) | of("2", polls(f"0+1x{MINUTES}")),
            {"{}": 1},
            id="the pair's accepted polls are those of the better one",
        ),
        pytest.param(
            "wlvpn-overview, Used capacity A",
            of("1", server("FR", "0.5x240")) | of("2", server("FR", "0.5x240")),
            {"{}": 0.5},
            id="a pair shows a server twice",
        ),
        pytest.param(
            "wlvpn-overview, Headroom A",
            of("1", server("FR", "0.5x240")) | of("2", server("FR", "0.5x240")),
            {"{}": 0.5},
            id="a pair does not double what is free",
        ),
        pytest.param(
            "wlvpn-overview, Saturated servers A",
            of("1", server("FR", "0.5x240")),
            {"{}": 0},
            id="none is saturated",
        ),
        pytest.param(
            "wlvpn-overview, Saturated servers A", {}, {}, id="none is seen, which is not none"
        ),
        pytest.param(
            "wlvpn-overview, Alerts firing A", {}, {}, id="without rules nobody knows of alerts"
        ),
        pytest.param(
            "wlvpn-overview, Alerts firing A",
            {'wlvpn:threshold{alert="x"}': "1x240"},
            {"{}": 0},
            id="with rules none fires",
        ),
        pytest.param(
            "wlvpn-overview, Age of what you see A",
            of("1", {f"wlvpn_last_success_timestamp_seconds{{{SERVERS}}}": AGES})
            | of(
                "2",
                {
                    'wlvpn_last_success_timestamp_seconds{account="b", collector="servers"}': (
                        f"0+60x{HALF}"
                    )
                },
            ),
            {"{}": 7200},
            id="an account whose exporter is gone grows old",
        ),
        pytest.param(
            "wlvpn-usage, Age of what you see A",
            of("1", {f"wlvpn_last_success_timestamp_seconds{{{USAGE}}}": f"0+60x{HALF}"}),
            {"{}": 7200},
            id="so it does on the dashboard of usage",
        ),
        pytest.param(
            "wlvpn-overview, Accounts E",
            {'wlvpn:servers:lost1d{account="a"}': "1x240"},
            {},
            id="in an outage no server was lost",
        ),
        pytest.param(
            "wlvpn-overview, annotation Servers removed",
            of(
                "1",
                {
                    'wlvpn_servers{account="a", country="FR"}': f"40x{MINUTES - 2} stale",
                    'wlvpn_servers_removed_total{account="a", country="FR"}': (
                        f"0x{MINUTES - 2} 40 40"
                    ),
                },
            ),
            {'{account="a", country="FR"}': 40},
            id="a whole country leaves",
        ),
        pytest.param(
            "wlvpn-usage, Throughput A",
            of("1", read_usage(MINUTES, STEADY)),
            {"{}": 8},
            id="usage is read",
        ),
        pytest.param(
            "wlvpn-usage, Throughput A",
            of("1", read_usage(MINUTES - 61, STEADY)),
            {},
            id="usage is not read any more",
        ),
        pytest.param(
            "wlvpn-usage, Throughput A",
            of("1", read_usage(MINUTES, f"_x{MINUTES - 100} 0+60x100")),
            {},
            id="a counter younger than the window",
        ),
        pytest.param(
            "wlvpn-usage, This month A",
            of("1", {'wlvpn_usage_month_to_date_bytes{account="a", pop="par"}': "7x240"})
            | of("2", {'wlvpn_usage_month_to_date_bytes{account="b"}': "5x240"}),
            {"{}": 12},
            id="usage without country codes, or without POPs",
        ),
        pytest.param(
            "wlvpn-customers, Active customers A",
            of("1", customers("1", "active", "90x240") | customers("other", "active", "10x240"))
            | of("2", customers("1", "active", "85x240") | customers("2", "active", "10x240")),
            {"{}": 100},
            id="a pair does not double customers, nor does a group that one of them folds",
        ),
        pytest.param(
            "wlvpn-customers, Active customers A",
            of("1", customers("1", "active", f"90x{HALF} stale")),
            {},
            id="in an outage no customer is active, which is not none",
        ),
        pytest.param(
            "wlvpn-customers, At their cap A",
            of("1", customers("1", "active", "75x240") | customers("1", "cap_reached", "25x240"))
            | of("2", customers("1", "active", "75x240") | customers("1", "cap_reached", "25x240")),
            {"{}": 0.25},
            id="a share of those who are open",
        ),
        pytest.param(
            "wlvpn-customers, Lost within a day A",
            {'wlvpn:customers_lost1d:count{account="a"}': "100x240"},
            {},
            id="in an outage no customer was lost",
        ),
        pytest.param(
            "wlvpn-customers, Lost within a day A",
            of("1", customers("1", "active", "75x240") | customers("2", "active", "75x240"))
            | {'wlvpn:customers_lost1d:count{account="a"}': "100x240"},
            {"{}": 100},
            id="customers were lost",
        ),
        pytest.param(
            "wlvpn-customers, Customers by bytes today A",
            of("1", {'wlvpn_customer_day_bytes_bucket{account="a", le="+Inf"}': "9x240"})
            | of("2", {'wlvpn_customer_day_bytes_bucket{account="a", le="+Inf"}': "8x240"})
            | of("1", {'wlvpn_customer_day_bytes_bucket{account="b", le="+Inf"}': "5x240"}),
            {'{le="+Inf"}': 14},
            id="accounts add up, a pair does not",
        ),
        pytest.param(
            "wlvpn-customers, Age of what you see A",
            of(
                "1",
                {
                    'wlvpn_last_success_timestamp_seconds{account="a", collector="plans"}': AGES,
                    'wlvpn_last_success_timestamp_seconds{account="a", collector="accounts"}': (
                        f"0+60x{HALF}"
                    ),
                    f"wlvpn_last_success_timestamp_seconds{{{USAGE}}}": NEVER,
                },
            ),
            {"{}": 7200},
            id="the oldest of the optional readings counts, and no other",
        ),
        pytest.param(
            "wlvpn-customers, Age of what you see A",
            of("1", {f"wlvpn_last_success_timestamp_seconds{{{SERVERS}}}": AGES}),
            {},
            id="what is switched off has no age",
        ),
        pytest.param(
            "wlvpn-exporter, How old is what the rules see? C",
            of("1", changing(5, MINUTES + 5)) | of("2", changing(10, MINUTES + 10)),
            {f"{{{SERVERS}}}": 600},
            id="of a pair, the one that saw fewer changes tells how often there are some",
        ),
        pytest.param(
            "wlvpn-exporter, How old is what the rules see? C",
            of("1", {f"wlvpn_source_changed_timestamp_seconds{{{SERVERS}}}": f"60x{MINUTES}"}),
            {},
            id="without a change nobody knows how often there are some",
        ),
        pytest.param(
            "wlvpn-exporter, How old is what the rules see? F",
            of("1", changing(5, MINUTES + 5)),
            {f"{{{SERVERS}}}": 300 + 60 + 60 + 60},
            id="source, poll, scrape and rules add up",
        ),
        pytest.param(
            "wlvpn-exporter, Told after, at most A",
            of("1", changing(5, MINUTES + 5)) | of("2", changing(1, HALF)),
            {"{}": 480 + 600 + 300},
            id="a country's average and its wait come on top; one of a pair is gone",
        ),
        pytest.param(
            "wlvpn-exporter, Told after, at most B",
            of("1", changing(5, MINUTES + 5)),
            {"{}": 480 + 600 + 600},
            id="a POP waits longer",
        ),
        pytest.param(
            "wlvpn-exporter, Told after, at most D",
            of("1", changing(5, MINUTES + 5)),
            {"{}": 300 + 60 + 60 + 120},
            id="that we are blind is told five minutes before the servers are dropped",
        ),
        pytest.param(
            "wlvpn-exporter, Told after, at most A",
            of("1", changing(5, HALF)),
            {},
            id="in an outage of the exporter nobody knows how late an alert is",
        ),
        pytest.param(
            "wlvpn-exporter, Memory A",
            of(
                "1",
                {
                    'process_resident_memory_bytes{x="y"}': "7x240",
                    'wlvpn_exporter_build_info{x="y"}': "1x240",
                },
            )
            | {'process_resident_memory_bytes{job="node", instance="2"}': "9x240"},
            {"{}": 7},
            id="others have memory too",
        ),
    ],
)
def test_a_query_says_what_is(
    query: str, series: Series, expected: Mapping[str, float], tmp_path: Path
) -> None:
    """Prometheus' own test runner agrees, four hours after the first sample."""
    check = {
        "expr": f"round({asked()[query]}, 1e-6)",
        "eval_time": f"{MINUTES}m",
        "exp_samples": [{"labels": labels, "value": value} for labels, value in expected.items()],
    }
    given = [{"series": name, "values": values} for name, values in series.items()]
    test = {"interval": "1m", "input_series": given, "promql_expr_test": [check]}
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump({"tests": [test]}))
    done = subprocess.run(
        [PROMTOOL, "test", "rules", file], capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, done.stderr + done.stdout
