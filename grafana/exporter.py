"""Exporter: are the polls accepted, why not, and how is the exporter itself?"""

from grafana_foundation_sdk.builders import stat, statetimeline, table, timeseries
from grafana_foundation_sdk.models.dashboard import Dashboard

from exporter.collectors import ALL
from grafana import board, freshness, limit
from grafana.panel import Line, graph, number, placed, stacked, states, words
from grafana.series import own, raw
from grafana.table import Column, rows

UID = "wlvpn-exporter"

_STATES = {"0": ("failing", "red"), "1": ("fine", "green")}
_FRESH = {"0": ("fresh", "green"), "1": ("stale", "red")}
_TWO_POLLS = "30m"
"""Of usage: a shorter window has no request of it most of the time."""

_COLLECTORS = [collector.name for collector in ALL]
_BY = "by (account, collector)"
_LEGEND = "{{collector}} · {{account}}"


def made() -> Dashboard:
    """The dashboard."""
    built = board.opened(
        UID,
        "Exporter",
        "Are the polls accepted, why not, and how is the exporter itself?",
        since="6h",
    )
    return board.closed(
        built, [*_numbers(), *_polls(), *freshness.panels(24), *_process()], board.churn()
    )


def _latest(name: str, collector: str = "", *, least: bool = False) -> str:
    """The most that a pair of exporters shows, or the least."""
    chosen = raw(name, collector=collector) if collector else raw(name)
    return f"{'min' if least else 'max'} {_BY} ({chosen})"


def _ours(expr: str) -> str:
    """What Prometheus says of our targets: others have processes too."""
    return f"({expr} and on (job, instance) {own('wlvpn_exporter_build_info')})"


def _accepted(count: str, window: str) -> str:
    """Accepted polls; of a pair of exporters, those of the one that had more."""
    failures = f"sum without (reason) ({count}({raw('wlvpn_poll_failures_total')}[{window}]))"
    return f"max {_BY} ({count}({raw('wlvpn_polls_total')}[{window}]) - {failures})"


def _a_minute(name: str, *by: str) -> str:
    """How much a counter grows in a minute, by labels; of a pair, where it grows more."""
    by = by or ("collector",)
    each = ", ".join({"account": 0, "collector": 0} | dict.fromkeys(by))
    grown = f"sum by (instance, {each}) (rate({raw(name)}[$__rate_interval]))"
    return f"60 * sum by ({', '.join(by)}) (max by ({each}) ({grown}))"


def _numbers() -> list[stat.Panel]:
    plain = limit.steps("text")
    polls = f"sum(max {_BY} (increase({raw('wlvpn_polls_total')}[$__range])))"
    failed = f"1 - sum({_accepted('increase', '$__range')}) / ({polls} > 0)"
    requests = f"sum without (code) (increase({raw('wlvpn_api_requests_total')}[1h]))"
    panels = [
        number(
            "Polls",
            "Was the last poll of each collector accepted, for all the chosen accounts?",
            *(Line(f"min({_latest('wlvpn_up', name)})", name) for name in _COLLECTORS),
            unit="none",
            steps=plain,
            mappings=[words(_STATES)],
            nothing="unseen",
        ),
        number(
            "Readings",
            "Is what Prometheus shows fresh enough to act on? While it is stale, no alert does.",
            *(
                Line(f"max({_latest('wlvpn_data_stale', name, least=True)})", name)
                for name in _COLLECTORS
            ),
            unit="none",
            steps=plain,
            mappings=[words(_FRESH)],
            nothing="unseen",
        ),
        number(
            "Failed polls",
            "How large a share of the polls failed within the dashboard's time range? Retries "
            "within a poll do not count; of a pair of exporters, the better one does.",
            Line(failed, ""),
            unit="percentunit",
            decimals=1,
            steps=plain,
            nothing="unseen",
        ),
        number(
            "Requests per hour",
            "How often was the API asked in the last hour? An account is some 60 for servers and 5 "
            "for usage, and more while retries help.",
            Line(f"sum(max {_BY} ({requests}))", ""),
            unit="none",
            decimals=0,
            steps=plain,
            nothing="unseen",
        ),
        number(
            "Memory",
            "How large is the exporter's process?",
            Line(f"max({_ours(own('process_resident_memory_bytes'))})", ""),
            unit="bytes",
            decimals=0,
            steps=plain,
            nothing="unseen",
        ),
        number(
            "Running for",
            "When did the exporter start? Counters begin at 0 then, and nothing is known before "
            "its first poll.",
            Line(f"time() - max({_ours(own('process_start_time_seconds'))})", ""),
            unit="s",
            decimals=0,
            steps=plain,
            nothing="unseen",
        ),
    ]
    # Those that name each collector need the room of two.
    widths = (6, 6, 3, 3, 3, 3)
    return [
        placed(panel, sum(widths[:place]), 0, widths[place], 4)
        for place, panel in enumerate(panels)
    ]


def _polls() -> list[statetimeline.Panel | table.Panel | timeseries.Panel]:
    return [
        placed(_collectors(), 0, 4, 24, 7),
        placed(_states(), 0, 11, 12, 6),
        placed(_age(), 12, 11, 12, 6),
        placed(_outcomes(), 0, 17, 12, 7),
        placed(_duration(), 12, 17, 12, 7),
        placed(_codes(), 0, 39, 12, 8),
        placed(_retries(), 12, 39, 12, 8),
        placed(_bad(), 0, 47, 12, 8),
    ]


def _collectors() -> table.Panel:
    moments = "{} - time()"
    certificate = f"min by (account) ({raw('wlvpn_api_tls_not_after_timestamp_seconds')})"
    ending = limit.steps("red", (limit.CERTIFICATE_ENDS, "text"))
    return rows(
        "Collectors",
        "What is each collector doing, for each account? Content is what the API tells: how long "
        "ago it last differed is how often the platform measures.",
        [
            _latest("wlvpn_up"),
            f"time() - ({_latest('wlvpn_last_success_timestamp_seconds')} > 0)",
            _latest("wlvpn_data_ttl_seconds"),
            moments.format(_latest("wlvpn_next_poll_timestamp_seconds")),
            _latest("wlvpn_poll_interval_seconds"),
            _latest("wlvpn_consecutive_failures", least=True),
            _latest("wlvpn_records"),
            f"time() - ({_latest('wlvpn_source_changed_timestamp_seconds')} > 0)",
            f"clamp_min({_latest('wlvpn_backoff_until_timestamp_seconds')} - time(), 0)",
            f"0 * {_latest('wlvpn_up')} + on (account) group_left () ({certificate} - time())",
        ],
        [
            Column("Collector", "collector", width=110),
            Column("Account", "account"),
            Column(
                "Last poll", "A", width=100, mappings=[words(_STATES)], steps=limit.steps("text")
            ),
            Column("Age", "B", "s", width=100, decimals=0),
            Column("Dropped at", "C", "s", width=110),
            Column("Next poll in", "D", "s", width=120, decimals=0),
            Column("Interval", "E", "s", width=100),
            Column("Kept away for", "I", "s", width=130, decimals=0),
            Column("Failures in a row", "F", "none", width=140),
            Column("Records", "G", "none", width=100),
            Column("Content changed", "H", "s", width=150, decimals=0),
            Column("Certificate ends in", "J", "s", width=150, decimals=0, steps=ending),
        ],
        nothing="No exporter is seen",
        sort="Collector",
        descending=False,
    )


def _states() -> statetimeline.Panel:
    known = f"last_over_time({own('wlvpn_exporter_build_info')}[1d])"
    scraped = f"{own('up')} and on (job, instance) {known}"
    return states(
        "Polls and scrapes",
        "Since when does it fail? For each collector, whether its last poll was accepted; for each "
        "exporter, whether Prometheus reaches it.",
        [
            Line(_latest("wlvpn_up"), f"polls of {_LEGEND}"),
            Line(f"max by (instance) ({scraped})", "scrapes of {{instance}}"),
        ],
        _STATES,
        "No exporter is seen",
    )


def _age() -> timeseries.Panel:
    age = (
        f"(time() - ({_latest('wlvpn_last_success_timestamp_seconds')} > 0)) "
        f"/ {_latest('wlvpn_data_ttl_seconds')}"
    )
    return graph(
        "Age of the readings",
        "How old is what is served? As a share of the age at which a reading is dropped: at 100 "
        "% its series end.",
        Line(age, _LEGEND),
        unit="percentunit",
        soft_max=1,
    )


def _outcomes() -> timeseries.Panel:
    failed = _a_minute("wlvpn_poll_failures_total", "collector", "reason")
    return stacked(
        graph(
            "Polls per minute by outcome",
            "Why do polls fail? Accepted ones are green; the others have the reasons of the "
            "metrics' reference.",
            Line(f"60 * sum({_accepted('rate', '$__rate_interval')})", "accepted", "green"),
            Line(f"{failed} > 0", "{{collector}}: {{reason}}"),
            unit="none",
        ),
        bars=True,
    )


def _duration() -> timeseries.Panel:
    def quantile(q: float) -> str:
        seconds = raw("wlvpn_api_request_duration_seconds_bucket")
        buckets = f"rate({seconds}[{_TWO_POLLS}])"
        return f"histogram_quantile({q}, sum by (collector, le) ({buckets}))"

    return graph(
        "Duration of requests",
        "Is the API slow? The median of half an hour, and what one request in twenty exceeds. An "
        "attempt has ten seconds.",
        Line(quantile(0.5), "{{collector}}, median"),
        Line(quantile(0.95), "{{collector}}, 95 %", is_dashed=True),
        unit="s",
    )


def _codes() -> timeseries.Panel:
    return stacked(
        graph(
            "Requests per minute by HTTP status",
            "What does the API answer? Requests without an answer have the status none.",
            Line(f"{_a_minute('wlvpn_api_requests_total', 'code')} > 0", "{{code}}"),
            unit="none",
        ),
        bars=True,
    )


def _retries() -> timeseries.Panel:
    return graph(
        "Retries per minute",
        "How often is the API asked again within a poll, and why? A retry that helps is no "
        "failure.",
        Line(f"sum({_a_minute('wlvpn_api_retries_total')})", "all", "text"),
        Line(f"{_a_minute('wlvpn_api_retries_total', 'reason')} > 0", "{{reason}}"),
        unit="none",
    )


def _bad() -> timeseries.Panel:
    return graph(
        "Rejected and held per minute",
        "Does the API tell nonsense? Records that could not be read and were left out, and lists "
        "that lost most of their records and were asked for again.",
        Line(f"sum({_a_minute('wlvpn_records_rejected_total')})", "rejected, all", "text"),
        Line(f"{_a_minute('wlvpn_records_rejected_total')} > 0", "rejected: {{collector}}"),
        Line(f"sum({_a_minute('wlvpn_readings_held_total')})", "held, all"),
        unit="none",
    )


def _process() -> list[timeseries.Panel]:
    return [
        placed(_memory(), 12, 47, 6, 8),
        placed(_cpu(), 18, 47, 6, 8),
    ]


def _memory() -> timeseries.Panel:
    return graph(
        "Resident memory",
        "Does the exporter grow? The resident memory of its process.",
        Line(_ours(own("process_resident_memory_bytes")), "{{instance}}"),
        unit="bytes",
    )


def _cpu() -> timeseries.Panel:
    cpu = _ours(f"rate({own('process_cpu_seconds_total')}[$__rate_interval])")
    return graph(
        "CPU and event loop",
        "Is the exporter busy? Seconds of CPU in a second, and by how much its timers were late.",
        Line(cpu, "CPU of {{instance}}"),
        Line(own("wlvpn_event_loop_lag_seconds"), "lag of {{instance}}"),
        unit="s",
    )
