"""The reference page of the dashboards: for each panel, which question it answers."""

from collections.abc import Iterable, Iterator

from grafana_foundation_sdk.models.dashboard import Dashboard, GridPos, Panel

_HEAD = """\
# Dashboards

<!-- Written by `make docs` from the code: change the code, not this page. -->

Five dashboards for Grafana 10 to 13, in [grafana/dashboards](../grafana/dashboards). They lead to
each other and take time range and choices along; a click on a country, a POP or a server leads to
what is behind it. The alerts' links lead here too, so their uids never change.

![Overview: the Netherlands are saturated, and then the API went away](overview.png)

![Servers: the same evening, one server and its POP](servers.png)

To import one by hand, choose its file under Dashboards, New, Import, then your Prometheus in the
head. To provision all five, take [grafana/provisioning](../grafana/provisioning); the
[compose file](../deploy/compose.yaml) and the [Kubernetes manifests](../deploy/kubernetes) do. Load
the [rules](alerts.md) too: most numbers and tables work without them, most graphs do not.

Colours change where an alert would fire. They are taken from
[thresholds.yaml](../alerts/rules/thresholds.yaml): after you change it, `make dashboards` writes
them anew. Numbers and tables show the end of the time range: what is no longer seen is not there,
rather than old. Of a pair of exporters everything is counted once.

Graphs of what the rules recorded follow the chosen account and not the chosen exporter, for a
record is one for all of them. A line that ended within the time range stays among "the fullest
now".

Variables: the data source, `job` and `instance` of the exporters, the account, and what the
dashboard is about. Red marks are pages; tickets, and servers that came and went, can be switched
on.
"""

_TAIL = """\
The pictures show an evening of the simulated fleet of 3,500 servers, which
`python -m tests.grafana.history --servers 3500 --story trouble --folder FOLDER --serve` puts into a
real Prometheus. They are drawn with Grafana's own panels (version 11.6; the map, the heatmap and
the state timeline are near to them). The map's background comes from wherever your Grafana is
configured to take it; nothing else is loaded from outside."""


def page(dashboards: Iterable[Dashboard]) -> str:
    """The page, in Markdown."""
    parts = [_HEAD, *(_section(each) for each in dashboards), _TAIL]
    return "\n".join(parts) + "\n"


def panels(dashboard: Dashboard) -> Iterator[Panel]:
    """The panels of a dashboard, as they are read."""
    found = [each for each in dashboard.panels or () if isinstance(each, Panel)]
    return iter(sorted(found, key=lambda panel: (place(panel).y, place(panel).x)))


def place(panel: Panel) -> GridPos:
    """Where a panel stands.

    Raises:
        ValueError: nobody placed it.
    """
    if panel.grid_pos is None:
        raise ValueError(f"{panel.title} has no place")
    return panel.grid_pos


def _section(dashboard: Dashboard) -> str:
    rows = [f"| {panel.title} | {panel.description} |" for panel in panels(dashboard)]
    head = [f"## {(dashboard.title or '').removeprefix('WLVPN / ')}", ""]
    head += [f"{dashboard.description} (`{dashboard.uid}`)", ""]
    return "\n".join([*head, "| Panel | What it answers |", "| --- | --- |", *rows, ""])
