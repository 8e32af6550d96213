"""The dashboards are what the code makes, and what alerts and readers find where they look."""

import re
from itertools import product
from typing import Any

import pytest
from grafana_foundation_sdk.models.dashboard import Dashboard, GridPos

from grafana.__main__ import DASHBOARDS, FOLDER, rendered
from grafana.page import panels, place
from tests.alerts.catalogue import BY_ALERT

BY_UID = {dashboard.uid: dashboard for dashboard in DASHBOARDS}
COLUMNS = 24
FOLD = 24
"""Rows of 38 pixels, below 110 of Grafana's own: what 1080 pixels show."""

every_dashboard = pytest.mark.parametrize("dashboard", DASHBOARDS, ids=BY_UID)


def test_the_files_are_what_the_code_makes() -> None:
    """`make dashboards` changes nothing in a clean tree."""
    assert {path.name: path.read_text() for path in FOLDER.iterdir()} == rendered()


@pytest.mark.parametrize("alert", BY_ALERT)
def test_an_alert_leads_to_a_dashboard_that_knows_what_it_is_told(alert: str) -> None:
    """The address in an alert names a dashboard of ours and variables that this one has."""
    address = BY_ALERT[alert]["annotations"]["dashboard_url"]
    found = re.search(r"/d/([\w-]+)", address)
    assert found
    dashboard = BY_UID[found.group(1)]
    assert dashboard.templating
    known = {variable.name for variable in dashboard.templating.list_val or ()}
    assert set() == set(re.findall(r"[?&]var-(\w+)=", address)) - known


@pytest.mark.parametrize("name", ["pop", "country_code"])
def test_usage_without_a_label_is_among_all(name: str) -> None:
    """Where `collectors.usage.detail` leaves POPs or country codes out, All takes such usage in."""
    templating = BY_UID["wlvpn-usage"].templating
    assert templating
    [variable] = [each for each in templating.list_val or () if each.name == name]
    assert ".*" == variable.all_value


@every_dashboard
def test_the_first_screen_is_full_and_cuts_nothing(dashboard: Dashboard) -> None:
    """Whatever begins above the fold ends there, without gaps between."""
    places = [place(panel) for panel in panels(dashboard)]
    taken = [cell for each in places if each.y < FOLD for cell in _cells(each)]
    assert sorted(product(range(FOLD), range(COLUMNS))) == sorted(taken)


def _cells(at: GridPos) -> list[tuple[int, int]]:
    return list(product(range(at.y, at.y + at.h), range(at.x, at.x + at.w)))


@pytest.mark.parametrize(
    ("title", "le", "name"),
    [
        ("Customers by bytes today", "1.048576e+06", "up to 1 MiB"),
        ("Customers by bytes today", "1048576.0", "up to 1 MiB"),
        ("Customers by bytes today", "1.073741824e+09", "256 MiB to 1 GiB"),
        ("Customers by bytes today", "1.099511627776e+12", "256 GiB to 1 TiB"),
        ("Customers by bytes today", "+Inf", "more than 1 TiB"),
        ("Customers by connections today", "1", "up to 1"),
        ("Customers by connections today", "10.0", "5 to 10"),
        ("Customers by connections today", "1000", "500 to 1000"),
        ("Customers by connections today", "1e+03", "500 to 1000"),
        ("Customers by connections today", "+Inf", "more than 1000"),
    ],
)
def test_a_bucket_has_a_name(title: str, le: str, name: str) -> None:
    """However a Prometheus writes a bound, one pattern turns it into words."""
    [panel] = [each for each in panels(BY_UID["wlvpn-customers"]) if each.title == title]
    renamed: list[Any] = [step.options for step in panel.transformations or ()]
    assert [name] == [each["renamePattern"] for each in renamed if re.search(each["regex"], le)]
