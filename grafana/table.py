"""Tables: the present state of many things, fullest first, each row a way to its own dashboard."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from grafana_foundation_sdk.builders import common
from grafana_foundation_sdk.builders import table as sdk
from grafana_foundation_sdk.builders.dashboard import ThresholdsConfig
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    ValueMapping,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from grafana.panel import instant, told

_BAR = options.TableBarGaugeCellOptions(
    mode=options.BarGaugeDisplayMode.BASIC, value_display_mode=options.BarGaugeValueMode.COLOR
)
_KEPT = "${__url_time_range}&${datasource:queryparam}&${job:queryparam}&${instance:queryparam}"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Attributes:
        name: its heading.
        field: a label, or the query (`A`) whose value it shows.
        unit: Grafana's id of it.
        width: in pixels; 0: what is left.
        decimals: of its numbers.
        steps: its colours.
        is_bar: whether it is drawn as a bar from 0 to 1.
        mappings: words for values.
        links: where a click leads.
    """

    name: str
    field: str
    unit: str = ""
    width: int = 0
    decimals: int | None = None
    steps: ThresholdsConfig | None = None
    is_bar: bool = False
    mappings: Sequence[ValueMapping] = ()
    links: Sequence[Mapping[str, str]] = ()

    def properties(self) -> list[DynamicConfigValue]:
        """How Grafana is told."""
        found: dict[str, object] = {
            "noValue": "-",  # the panel's own speaks for the whole table
            "unit": self.unit or None,
            "custom.width": self.width or None,
            "decimals": self.decimals,
            "mappings": list(self.mappings) or None,
            "links": list(self.links) or None,
        }
        if self.steps:
            found["thresholds"] = self.steps.build()
            found["color"] = {"mode": FieldColorModeId.THRESHOLDS}
            found["custom.cellOptions"] = options.TableColorTextCellOptions()
        if self.is_bar:
            found |= {"min": 0, "max": 1, "custom.cellOptions": _BAR}
        return [DynamicConfigValue(id_val=i, value=v) for i, v in found.items() if v is not None]


def rows(
    title: str,
    description: str,
    queries: Sequence[str],
    columns: Sequence[Column],
    *,
    nothing: str,
    sort: str,
    descending: bool = True,
) -> sdk.Panel:
    """A table of the present state.

    Args:
        title: its heading.
        description: the question it answers.
        queries: PromQL, with the same labels each; their values become columns `A`, `B` and so on.
        columns: what is shown, from left to right; nothing else is.
        nothing: what its emptiness means.
        sort: the column that it is sorted by.
        descending: whether the largest comes first.
    """
    made = told(sdk.Panel(), title, description).no_value(nothing)
    for ref_id, expr in zip(ascii_uppercase, queries, strict=False):
        made = made.with_target(instant(expr, ref_id=ref_id).format(PromQueryFormat.TABLE))
    value = "Value #{}" if len(queries) > 1 else "Value"
    fields = {
        value.format(column.field) if column.field in ascii_uppercase else column.field: column.name
        for column in columns
    }
    for transformation in shown(fields):
        made = made.with_transformation(transformation)
    for column in columns:
        made = made.override_by_name(column.name, column.properties())
    made = made.filterable(False).cell_height(options.TableCellHeight.SM)
    return made.sort_by([common.TableSortByFieldState().display_name(sort).desc(descending)])


def link(title: str, uid: str, *names: str, **fields: str) -> dict[str, str]:
    """Leads to a dashboard about one row.

    Args:
        title: says where to.
        uid: of the dashboard.
        names: variables that both dashboards have, passed on as they are.
        fields: variables of the other dashboard, each with the column that gives its value.
    """
    passed = [_KEPT, *(f"${{{name}:queryparam}}" for name in names)]
    passed += [f"var-{name}=${{__data.fields.{column}}}" for name, column in fields.items()]
    return {"title": title, "url": f"/d/{uid}?{'&'.join(passed)}"}


def shown(fields: Mapping[str, str]) -> list[DataTransformerConfig]:
    """Makes one table of all queries' answers.

    Args:
        fields: those that stay, in their order, each with its name in the table.
    """
    order = {field: place for place, field in enumerate(fields)}
    organised = {"indexByName": order, "renameByName": dict(fields), "excludeByName": {}}
    return [
        DataTransformerConfig("merge", options={}),
        DataTransformerConfig("filterFieldsByName", options={"include": {"names": list(fields)}}),
        DataTransformerConfig("organize", options=organised),
    ]
