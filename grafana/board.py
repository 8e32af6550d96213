"""What all dashboards share: variables, annotations, links to each other, the written form."""

from collections.abc import Sequence

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    Dashboard,
    DashboardCursorSync,
    DashboardLinkType,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from grafana.panel import SOURCE, Panel
from grafana.series import COUNTRY, firing, own, raw

TAG = "wlvpn"
BUILD_INFO = "wlvpn_exporter_build_info"
_SCHEMA = 39
"""Of Grafana 10.3: a newer one migrates it, an older one may refuse what is newer than itself."""

ALL = VariableOption(text="All", value="$__all")


def opened(
    uid: str, title: str, description: str, *variables: dashboard.QueryVariable, since: str
) -> dashboard.Dashboard:
    """Opens a dashboard, with the variables that all have and then its own.

    Args:
        uid: never changes: alerts and bookmarks lead to it.
        title: follows `WLVPN / `.
        description: the question it answers.
        variables: its own.
        since: the time range's length, such as `6h`.
    """
    made = dashboard.Dashboard(f"WLVPN / {title}").uid(uid).description(description)
    made = made.tags([TAG]).readonly().timezone("browser").refresh("1m").time(f"now-{since}", "now")
    made = made.tooltip(DashboardCursorSync.CROSSHAIR).link(_links())
    made = made.with_variable(
        dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
    )
    for variable in (*_targets(), account(), *variables):
        made = made.with_variable(variable)
    return made


def chosen(
    name: str,
    label: str,
    description: str,
    query: str,
    *,
    several: bool = True,
    everything: str = ".+",
) -> dashboard.QueryVariable:
    """A variable whose values come from the series that there are.

    Args:
        name: in queries.
        label: in the dashboard's head.
        description: what choosing does.
        query: such as `label_values(metric, label)`.
        several: whether more than one, or all, may be chosen.
        everything: what all of them match.
    """
    made = dashboard.QueryVariable(name).label(label).description(description).datasource(SOURCE)
    made = made.query({"query": query, "refId": name}).definition(query)
    made = made.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
    made = made.sort(VariableSort.ALPHABETICAL_ASC)
    if not several:
        return made
    return made.multi(True).include_all(True).all_value(everything).current(ALL)


def account() -> dashboard.QueryVariable:
    """The accounts that the chosen exporters poll."""
    return chosen(
        "account",
        "Account",
        "The reseller accounts, by their names in the exporter's configuration.",
        f"label_values({own('wlvpn_up')}, account)",
    )


def country() -> dashboard.QueryVariable:
    """The countries where the chosen accounts have servers."""
    return chosen(
        "country",
        "Country",
        "Where the servers stand. The codes are the platform's own: the United Kingdom is UK.",
        f"label_values({raw('wlvpn_servers')}, country)",
    )


def pop_of_country() -> dashboard.QueryVariable:
    """The POPs where the chosen countries have servers."""
    return chosen(
        "pop",
        "POP",
        "The points of presence of the chosen countries.",
        f"label_values({raw('wlvpn_server_info', COUNTRY)}, pop)",
    )


def closed(
    built: dashboard.Dashboard,
    panels: Sequence[Panel],
    churn_annotations: Sequence[dashboard.AnnotationQuery],
) -> Dashboard:
    """Completes a dashboard with its panels and the marks on their time axes."""
    for annotation in (*alerts(), *churn_annotations):
        built = built.annotation(annotation)
    for number, panel in enumerate(panels, start=1):
        built = built.with_panel(panel.id(number))
    made = built.build()
    made.schema_version = _SCHEMA
    # The SDK would hide them in a menu that Grafana 12 has.
    for each in (*(made.links or ()), *(made.annotations.list_val or ())):
        each.placement = None
    return made


def alerts() -> list[dashboard.AnnotationQuery]:
    """Marks when alerts fired: those that page, and on demand those that are tickets."""
    kinds = (("Pages", "critical", "red", True), ("Tickets", "warning", "orange", False))
    return [
        _annotation(
            name,
            f"group by (alertname, account, country, pop) ({firing(severity=severity)})",
            "{{alertname}}",
            "{{account}} {{country}} {{pop}}",
            color=color,
            is_on=is_on,
        )
        for name, severity, color, is_on in kinds
    ]


def churn(*matchers: str, is_on: bool = False) -> list[dashboard.AnnotationQuery]:
    """Marks when a tenth of a country's servers came or went at once: three at least."""
    # A country that is gone is not counted any more.
    listed = f"max_over_time({raw('wlvpn_servers', *matchers)}[$__rate_interval])"
    least = f"clamp_min(0.1 * max by (account, country) ({listed}), 2.5)"
    return [
        _annotation(
            f"Servers {verb}",
            "max by (account, country) "
            f"(increase({raw(f'wlvpn_servers_{verb}_total', *matchers)}[$__rate_interval])) "
            f"> {least}",
            f"Servers {verb}",
            "{{country}} {{account}}",
            color=color,
            is_on=is_on,
        )
        for verb, color in (("added", "green"), ("removed", "purple"))
    ]


def to_json(made: Dashboard) -> str:
    """The dashboard as Grafana imports it."""
    return JSONEncoder(sort_keys=True, indent=2).encode(made) + "\n"


def _targets() -> list[dashboard.QueryVariable]:
    return [
        chosen(
            "job",
            "Job",
            "The scrape job of the exporters.",
            f"label_values({BUILD_INFO}, job)",
        ),
        chosen(
            "instance",
            "Exporter",
            "The exporters, by the address that Prometheus scrapes.",
            f'label_values({BUILD_INFO}{{job=~"$job"}}, instance)',
        ),
    ]


def _links() -> dashboard.DashboardLink:
    made = dashboard.DashboardLink("WLVPN").type(DashboardLinkType.DASHBOARDS).tags([TAG])
    return made.include_vars(True).keep_time(True).as_dropdown(False)


def _annotation(
    name: str, expr: str, title: str, text: str, *, color: str, is_on: bool
) -> dashboard.AnnotationQuery:
    made = dashboard.AnnotationQuery().name(name).datasource(SOURCE).expr(expr).icon_color(color)
    return made.title_format(title).text_format(text).enable(is_on).hide(False)
