"""Metrics as rows of tables."""

from dataclasses import FrozenInstanceError

import pytest

from exporter.collectors import ALL
from exporter.metric import Kind, Metric

METRICS = [metric for collector in ALL for metric in collector.metrics()]
TARGET_LABELS = ("instance", "job", "region", "service", "cluster", "env")
USAGE_LABELS = ("account", "pop", "country_code")

# Section 3 of the contract: dashboards and rules rely on these names to the letter.
CONTRACT = [
    ("wlvpn_server_capacity_used_ratio", "gauge", ("account", "fqdn", "pop", "country", "city")),
    ("wlvpn_server_info", "gauge", ("account", "fqdn", "pop", "country", "city", "ip")),
    ("wlvpn_servers", "gauge", ("account", "country")),
    ("wlvpn_servers_added_total", "counter", ("account", "country")),
    ("wlvpn_servers_removed_total", "counter", ("account", "country")),
    ("wlvpn_usage_month_to_date_bytes", "gauge", USAGE_LABELS),
    ("wlvpn_usage_month_to_date_connections", "gauge", USAGE_LABELS),
    ("wlvpn_usage_month_to_date_customers", "gauge", USAGE_LABELS),
    ("wlvpn_usage_previous_month_bytes", "gauge", USAGE_LABELS),
    ("wlvpn_usage_previous_month_connections", "gauge", USAGE_LABELS),
    ("wlvpn_usage_previous_month_customers", "gauge", USAGE_LABELS),
    ("wlvpn_usage_month_start_timestamp_seconds", "gauge", ("account",)),
    ("wlvpn_usage_month_end_timestamp_seconds", "gauge", ("account",)),
    ("wlvpn_usage_observed_bytes_total", "counter", USAGE_LABELS),
    ("wlvpn_usage_observed_connections_total", "counter", USAGE_LABELS),
    ("wlvpn_usage_corrections_total", "counter", ("account",)),
    ("wlvpn_plan_info", "gauge", ("account", "plan_code", "name", "kind")),
    ("wlvpn_accounts", "gauge", ("account", "status", "group")),
    ("wlvpn_accounts_throttled", "gauge", ("account",)),
    ("wlvpn_customer_day_bytes", "gaugehistogram", ("account",)),
    ("wlvpn_customer_day_connections", "gaugehistogram", ("account",)),
    ("wlvpn_customers_reported", "gauge", ("account",)),
]


def problem(
    name: str = "wlvpn_servers",
    kind: Kind = "gauge",
    told: str = "Servers.",
    labels: tuple[str, ...] = ("account",),
) -> str:
    """What the rules say against a metric; nothing when it keeps them."""
    try:
        Metric(name, kind, told, labels)
    except ValueError as error:
        return str(error)
    return ""


def test_the_collectors_export_what_the_contract_promises() -> None:
    """Every name, type and label is that of the contract, and there are no others."""
    assert CONTRACT == [(metric.name, metric.kind, metric.labels) for metric in METRICS]


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_help_says_that_the_number_is_polled(metric: Metric) -> None:
    """Whoever reads a graph learns that it shows the last poll, not the present."""
    assert any(word in metric.help for word in ("poll", "polled"))


@pytest.mark.parametrize(
    "name", ["wlvpn_up", "wlvpn_server_info", "wlvpn_usage_month_start_seconds"]
)
def test_a_name_of_ours_is_accepted(name: str) -> None:
    """Lower-case words after our prefix make a name."""
    assert "" == problem(name)


@pytest.mark.parametrize(
    "name",
    [
        "servers",
        "wlvpn_",
        "wlvpn",
        "wlvpn_Servers",
        "wlvpn_servers_",
        "wlvpn__servers",
        "wlvpn_servers2",
        "wlvpn:servers",
        "wlvpn_servers\n",
        "wlvpn_servers{}",
    ],
    ids=ascii,
)
def test_another_name_is_refused(name: str) -> None:
    """What would break the page or the naming rules does not get that far."""
    assert f"{name}: not a metric name of ours" == problem(name)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("wlvpn_servers_added", "counter"),
        ("wlvpn_servers_total", "gauge"),
        ("wlvpn_servers_total", "histogram"),
    ],
)
def test_total_is_a_counters_ending(name: str, kind: Kind) -> None:
    """A counter has the suffix, and nothing else has."""
    assert f"{name}: counters, and only they, end in _total" == problem(name, kind)


def test_a_gauge_histogram_has_one_series_an_account() -> None:
    """Otherwise the lines of several would be mixed within a block."""
    expected = "wlvpn_servers: a gauge histogram has one label, account"
    assert expected == problem(kind="gaugehistogram", labels=("account", "pop"))


@pytest.mark.parametrize("told", ["", "Servers", "Servers!"], ids=repr)
def test_help_that_is_no_sentence_is_refused(told: str) -> None:
    """Every metric is explained."""
    assert "wlvpn_servers: HELP is a sentence" == problem(told=told)


@pytest.mark.parametrize(
    "label",
    ["", "Fqdn", "_fqdn", "__name__", "fqdn ", "a-b", "1st", *TARGET_LABELS],
)
def test_a_label_that_would_clash_or_break_is_refused(label: str) -> None:
    """Labels that Prometheus or its owner stamps on targets stay theirs."""
    expected = f"wlvpn_servers: {label!r} cannot be a label of ours"
    assert expected == problem(labels=("account", label))


def test_a_metric_without_a_reader_has_no_samples() -> None:
    """A metric of the self part takes its values elsewhere."""
    assert Metric("wlvpn_up", "gauge", "Up.", ("account",)).value(object()) is None


def test_a_metric_cannot_change() -> None:
    """What was checked at import stays checked."""
    with pytest.raises(FrozenInstanceError):
        METRICS[0].name = "servers"  # type: ignore[misc]
