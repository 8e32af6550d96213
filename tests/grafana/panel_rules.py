"""Rules for a panel."""

import re
from collections.abc import Callable, Iterator

from tests.alerts.catalogue import RULES
from tests.grafana.board import LINK, Board, Json, is_ours, strings
from tests.grafana.expression import labels, parsed

WITHOUT_DATA = {"row", "text", "alertlist", "dashlist"}
TYPES = WITHOUT_DATA | {
    *("stat", "gauge", "bargauge", "timeseries", "table", "heatmap", "geomap", "histogram"),
    *("state-timeline", "status-history", "piechart", "barchart"),
}
"""Panels that every Grafana from 10 to 13 brings along."""
TRANSFORMATIONS = {
    *("calculateField", "concatenate", "configFromData", "convertFieldType", "extractFields"),
    *("fieldLookup", "filterByRefId", "filterByValue", "filterFieldsByName", "groupBy"),
    *("groupingToMatrix", "histogram", "joinByField", "joinByLabels", "labelsToFields", "limit"),
    *("merge", "organize", "partitionByValues", "prepareTimeSeries", "reduce", "renameByRegex"),
    *("rowsToFields", "seriesToRows", "sortBy"),
}
"""Likewise."""
UNITS = {
    *("none", "short", "locale", "string", "bool", "bool_yes_no", "bool_on_off"),
    *("percentunit",),  # and not percent: our ratios go from 0 to 1
    *("bytes", "decbytes", "bits", "decbits", "Bps", "bps", "binBps", "binbps"),
    *("ms", "s", "m", "h", "d", "dtdurations", "dthms", "clocks"),
    *("dateTimeAsIso", "dateTimeAsLocal", "dateTimeAsSystem", "dateTimeFromNow"),
    *("cps", "ops", "reqps", "cpm", "opm", "rpm"),
}


def type_is_core(_board: Board, panel: Json) -> Iterator[str]:
    """Grafana 10 has it, Grafana 13 still does, and nothing is to be installed."""
    if panel["type"] not in TYPES:
        yield f"type {panel['type']}"
    used = {each["id"] for each in panel.get("transformations", ())}
    yield from (f"transformation {each}" for each in sorted(used - TRANSFORMATIONS))


def panel_is_described(_board: Board, panel: Json) -> Iterator[str]:
    """Its title says what it shows, its description which question that answers."""
    wanted = ("title",) if panel["type"] == "row" else ("title", "description")
    yield from (f"no {field}" for field in wanted if not panel.get(field))


def unit_is_known(_board: Board, panel: Json) -> Iterator[str]:
    """Every number has a unit that Grafana knows, or is `none` on purpose."""
    if panel["type"] in WITHOUT_DATA:
        return
    parts = [each for each in panel.get("options", {}).values() if isinstance(each, dict)]
    found = [unit for unit, _ in _styles(panel) if unit]
    found += [part["unit"] for part in parts if "unit" in part]
    if not found and not panel.get("fieldConfig", {}).get("defaults", {}).get("mappings"):
        yield "no unit"
    yield from (f"unit {unit!r}" for unit in found if unit not in UNITS and ":" not in unit)


def _styles(panel: Json) -> Iterator[tuple[str, Json]]:
    """Unit and thresholds by default, and by each override."""
    config = panel.get("fieldConfig", {})
    base = config.get("defaults", {})
    yield base.get("unit", ""), base.get("thresholds", {})
    for override in config.get("overrides", ()):
        style = base | {each["id"]: each.get("value") for each in override["properties"]}
        yield style.get("unit", ""), style.get("thresholds", {})


def has_targets(_board: Board, panel: Json) -> Iterator[str]:
    """A panel for data asks for some, and its queries can be told apart."""
    if panel["type"] in WITHOUT_DATA:
        return
    targets = panel.get("targets", [])
    if not targets or not all(target.get("expr") for target in targets):
        yield "no targets, or an empty one"
    if len({target.get("refId") for target in targets} - {None, ""}) < len(targets):
        yield "refIds are missing or the same"


def panel_asks_datasource(_board: Board, panel: Json) -> Iterator[str]:
    """It asks the Prometheus that the reader chose."""
    if panel["type"] in WITHOUT_DATA:
        return
    for each in (panel, *panel.get("targets", ())):
        if not is_ours(each):
            yield f"{each.get('refId', 'the panel')} asks {each.get('datasource')}"


def lines_are_named(_board: Board, panel: Json) -> Iterator[str]:
    """A legend says what a line is, not by which query it was found."""
    for target in panel.get("targets", ()):
        if panel["type"] == "timeseries" and target.get("legendFormat") in (None, "", "__auto"):
            yield f"{target.get('refId')} has no legend"


def emptiness_is_told(_board: Board, panel: Json) -> Iterator[str]:
    """Where there is no data, a sentence says what that means."""
    told = panel.get("fieldConfig", {}).get("defaults", {}).get("noValue")
    if panel["type"] in ("stat", "gauge", "bargauge", "table") and not told:
        yield "no noValue"


def thresholds_are_the_alerts(board: Board, panel: Json) -> Iterator[str]:
    """A colour changes where an alert would fire: at a row of thresholds.yaml for that limit."""
    read = " ".join(board.filled(target.get("expr", "")) for target in panel.get("targets", ()))
    limits = {"lost"} if ":lost" in read else set()
    limits |= {"used", "forecast"} if "capacity" in read else set()
    limits |= {"limited"} if "wlvpn_accounts" in read else set()
    allowed = {
        float(rule["expr"])
        for rule in RULES
        if rule.get("record") == "wlvpn:threshold" and rule["labels"]["limit"] in limits
    }
    for unit, thresholds in _styles(panel):
        steps = {each.get("value") or 0 for each in thresholds.get("steps", ())} - {0}
        if unit == "percentunit" and thresholds.get("mode", "absolute") != "absolute":
            yield "thresholds are percentages of what is shown"
        if unit == "percentunit" and steps - allowed:
            yield f"no alert has {sorted(steps - allowed)}"


def links_lead_somewhere(board: Board, panel: Json) -> Iterator[str]:
    """A link goes to a dashboard of ours, with variables it has, the time and the data source."""
    fleet = board.fleet
    for url in (text for text in strings(panel) if re.search(LINK, text)):
        uid = re.findall(LINK, url)[0]
        passed = set(re.findall(r"\bvar-(\w+)=", url) + re.findall(r"\$\{(\w+):queryparam\}", url))
        known = set(Board(fleet[uid], {}).variables) if uid in fleet else set()
        yield from (f"{uid} has no variable {name}" for name in sorted(passed - known))
        if uid not in fleet:
            yield f"there is no {uid}"
        if "${__url_time_range}" not in url:
            yield f"the way to {uid} forgets the time"
        if "datasource" not in passed and "${__all_variables}" not in url:
            yield f"the way to {uid} forgets the data source"


def tables_ask_once(_board: Board, panel: Json) -> Iterator[str]:
    """A table shows now: a range query would fetch every sample to show the last one."""
    for target in panel.get("targets", ()) if panel["type"] == "table" else ():
        if not target.get("instant") or target.get("format") != "table":
            yield f"{target.get('refId')} is no instant query in the format of a table"


def columns_exist(board: Board, panel: Json) -> Iterator[str]:
    """A column that is chosen, renamed, drawn, sorted by or linked with is there.

    Grafana passes over the others in silence.
    """
    if panel["type"] not in ("table", "geomap"):
        return
    given = _columns(board, panel)
    renamed: dict[str, str] = {}
    for step in panel.get("transformations", ()):
        renamed |= step["options"].get("renameByName", {})
    yield from sorted((_chosen(panel) | set(renamed)) - given)
    yield from sorted(_named(panel) - {renamed.get(name, name) for name in given})


def _columns(board: Board, panel: Json) -> set[str]:
    """What the queries of a panel give: their labels, the time and the values."""
    targets = panel["targets"]
    trees = [parsed(board.filled(target.get("expr", ""))) for target in targets]
    values = {f"Value #{t.get('refId')}" for t in targets} if len(targets) > 1 else {"Value"}
    return {"Time"}.union(values, *(labels(tree) for tree in trees if tree))


def _chosen(panel: Json) -> set[str]:
    steps = [step["options"] for step in panel.get("transformations", ())]
    return {name for step in steps for name in step.get("include", {}).get("names", ())}


def _named(panel: Json) -> set[str]:
    """The columns that overrides, sorting and links name."""
    overrides = panel.get("fieldConfig", {}).get("overrides", ())
    named = {o["matcher"]["options"] for o in overrides if o["matcher"]["id"] == "byName"}
    named |= {by["displayName"] for by in panel.get("options", {}).get("sortBy", ())}
    return named.union(*(re.findall(r"__data\.fields\.(\w+)", text) for text in strings(panel)))


def merged_is_alike(board: Board, panel: Json) -> Iterator[str]:
    """Merge joins rows of equal labels only: each query of the panel has the same ones."""
    if "merge" not in {each["id"] for each in panel.get("transformations", ())}:
        return
    trees = [parsed(board.filled(target.get("expr", ""))) for target in panel["targets"]]
    found = {frozenset(labels(tree)) for tree in trees if tree}
    if len(found) > 1:
        yield f"labels differ: {sorted(map(sorted, found))}"


def sparkline_is_free(_board: Board, panel: Json) -> Iterator[str]:
    """Grafana 11.6 draws no sparkline in a stat that has both a minimum and a maximum."""
    base = panel.get("fieldConfig", {}).get("defaults", {})
    drawn = panel["type"] == "stat" and panel.get("options", {}).get("graphMode") != "none"
    if drawn and "min" in base and "max" in base:
        yield "has min, max and a sparkline"


PANEL_RULES: tuple[Callable[[Board, Json], Iterator[str]], ...] = (
    type_is_core,
    panel_is_described,
    unit_is_known,
    has_targets,
    panel_asks_datasource,
    lines_are_named,
    emptiness_is_told,
    thresholds_are_the_alerts,
    links_lead_somewhere,
    tables_ask_once,
    columns_exist,
    merged_is_alike,
    sparkline_is_free,
)
