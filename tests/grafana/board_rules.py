"""Rules for a dashboard as a whole."""

import re
from collections.abc import Callable, Iterator
from itertools import combinations

from tests.grafana.board import LINK, UIDS, Board, Json, asks, variables_in
from tests.grafana.expression import labels, parsed

TAG = "wlvpn"
COLUMNS = 24


def uid_is_stable(board: Board) -> Iterator[str]:
    """Alerts, bookmarks and other dashboards lead to it."""
    if board.raw.get("uid") not in UIDS:
        yield f"{board.raw.get('uid')!r} is not one of {sorted(UIDS)}"


def dashboard_is_described(board: Board) -> Iterator[str]:
    """A list of dashboards shows title, description and tags."""
    yield from (f"no {field}" for field in ("title", "description") if not board.raw.get(field))
    if TAG not in board.raw.get("tags", ()):
        yield f"no tag {TAG}"


def not_editable(board: Board) -> Iterator[str]:
    """What is provisioned loses changes by hand, so it takes none."""
    if board.raw.get("editable") is not False:
        yield "is editable"


def portable(board: Board) -> Iterator[str]:
    """Nothing in it belongs to the one Grafana that it was exported from."""
    if board.raw.get("id") is not None:
        yield "has an id"
    if board.raw.get("version"):
        yield "has a version"
    yield from (f"has {key}" for key in board.raw if key.startswith("__"))


def schema_is_classic(board: Board) -> Iterator[str]:
    """From Grafana 10's first schema that needs no migration to the last one before version 2."""
    if board.raw.get("schemaVersion") not in range(38, 43):
        yield f"schemaVersion {board.raw.get('schemaVersion')}"
    yield from (f"has {key}" for key in ("elements", "layout", "apiVersion") if key in board.raw)


def time_is_set(board: Board) -> Iterator[str]:
    """It opens on a range up to now, in the reader's zone or UTC, and goes on by itself."""
    if board.raw.get("timezone") not in ("browser", "utc"):
        yield f"timezone {board.raw.get('timezone')!r}"
    if board.raw.get("refresh") not in ("30s", "1m", "5m", "15m"):
        yield f"refresh {board.raw.get('refresh')!r}: polls come once a minute"
    span = board.raw.get("time", {})
    if not str(span.get("from")).startswith("now-") or span.get("to") != "now":
        yield f"time {span}"


def datasource_is_variable(board: Board) -> Iterator[str]:
    """The reader chooses the Prometheus."""
    variable = board.variables.get("datasource", {})
    if (variable.get("type"), variable.get("query")) != ("datasource", "prometheus"):
        yield "no data source variable `datasource` of type prometheus"


def targets_are_variables(board: Board) -> Iterator[str]:
    """Job and instance can be chosen, several at once, and all of them are no long list."""
    wanted = {"type": "query", "multi": True, "includeAll": True, "allValue": ".+"}
    for name in ("job", "instance"):
        variable = board.variables.get(name, {})
        for field, value in wanted.items():
            if variable.get(field) != value:
                yield f"variable {name}: {field} is {variable.get(field)!r}, not {value!r}"


def account_is_variable(board: Board) -> Iterator[str]:
    """What the rules record is narrowed by account, having no job or instance."""
    if board.variables.get("account", {}).get("type") != "query":
        yield "no variable account"


def variables_take_label_values(board: Board) -> Iterator[str]:
    """A variable that asks takes the values of a label that is there."""
    for variable in board.asked:
        text, label = asks(variable)
        tree = parsed(board.filled(text))
        if tree is None or label not in labels(tree):
            yield f"variable {variable['name']}: no label {label!r} in {text!r}"


def variables_follow_time(board: Board) -> Iterator[str]:
    """The values are asked for again when the time range changes."""
    for variable in board.asked:
        if variable.get("refresh") != 2:
            yield f"variable {variable['name']}: refresh is {variable.get('refresh')!r}, not 2"


def variables_are_labelled(board: Board) -> Iterator[str]:
    """Above the panels stands a word, not a name of ours."""
    for name, variable in board.variables.items():
        if not variable.get("label") and variable.get("hide") != 2:
            yield f"variable {name} has no label"


def all_is_one_pattern(board: Board) -> Iterator[str]:
    """Without a pattern for All, Grafana sends the list of all 3,500 servers."""
    for name, variable in board.variables.items():
        if variable.get("includeAll") and variable.get("allValue") not in (".+", ".*"):
            yield f"variable {name}: allValue is {variable.get('allValue')!r}"


def first_import_has_data(board: Board) -> Iterator[str]:
    """No variable remembers a value of the Prometheus that it was made with."""
    for variable in board.asked:
        current = variable.get("current", {}).get("value") or "$__all"
        if variable.get("options") or current not in ("$__all", ["$__all"]):
            yield f"variable {variable['name']} remembers {current!r}"


def variables_are_used(board: Board) -> Iterator[str]:
    """Choosing something changes something."""
    unused = set(board.variables) - variables_in(board.raw)
    yield from (f"variable {name}" for name in sorted(unused))


def variables_exist(board: Board) -> Iterator[str]:
    """What Grafana does not know it leaves as it stands."""
    yield from (f"${name}" for name in sorted(variables_in(board.raw) - set(board.variables)))


def panels_are_distinct(board: Board) -> Iterator[str]:
    """Links and exclusions name a panel by id or title."""
    without = [panel.get("title") for panel in board.panels if not panel.get("id")]
    if without:
        yield f"without an id: {without}"
    for field in ("id", "title"):
        seen = [str(panel[field]) for panel in board.panels if panel.get(field)]
        yield from (f"{field} {each} twice" for each in sorted({*seen}) if seen.count(each) > 1)


def panels_have_room(board: Board) -> Iterator[str]:
    """They stand within the grid, and none covers another one."""
    rows = [panel["panels"] for panel in board.raw.get("panels", []) if panel.get("panels")]
    for group in [board.raw.get("panels", []), *rows]:
        for panel in group:
            x, y, w, h = _cell(panel)
            if min(x, y) < 0 or min(w, h) < 1 or x + w > COLUMNS:
                yield f"{panel.get('title')!r} leaves the grid"
        for one, other in combinations(group, 2):
            if _overlap(_cell(one), _cell(other)):
                yield f"{one.get('title')!r} and {other.get('title')!r} overlap"


def _cell(panel: Json) -> tuple[int, int, int, int]:
    x, y, w, h = (int(panel.get("gridPos", {}).get(key, -1)) for key in "xywh")
    return x, y, w, h


def _overlap(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> bool:
    return all(
        one[axis] < other[axis] + other[axis + 2] and other[axis] < one[axis] + one[axis + 2]
        for axis in (0, 1)
    )


def dashboards_are_linked(board: Board) -> Iterator[str]:
    """Each leads to all the others, with the time range and what was chosen."""
    reached = set[str]()
    for link in board.raw.get("links", []):
        if not (link.get("keepTime") and link.get("includeVars")):
            yield f"link {link.get('title')!r} forgets the time or the variables"
        tags = set(link.get("tags", ()))
        reached |= set(re.findall(LINK, link.get("url") or ""))
        if link.get("type") == "dashboards":
            reached |= {uid for uid, other in board.fleet.items() if tags <= set(other["tags"])}
    missing = set(board.fleet) - reached - {str(board.raw.get("uid"))}
    yield from (f"no link to {uid}" for uid in sorted(missing))
    yield from (f"there is no {uid}" for uid in sorted(reached - set(board.fleet)))


def events_are_annotated(board: Board) -> Iterator[str]:
    """Graphs show when alerts fired, and when servers came and went."""
    asked = " ".join(q.text for q in board.queries if q.place.startswith("annotation "))
    wanted = ("ALERTS", "wlvpn_servers_added_total", "wlvpn_servers_removed_total")
    yield from (f"no annotation asks for {series}" for series in wanted if series not in asked)
    if "ALERTS" in asked and 'alertstate="firing"' not in asked:
        yield "the annotation of alerts shows pending ones"


BOARD_RULES: tuple[Callable[[Board], Iterator[str]], ...] = (
    uid_is_stable,
    dashboard_is_described,
    not_editable,
    portable,
    schema_is_classic,
    time_is_set,
    datasource_is_variable,
    targets_are_variables,
    account_is_variable,
    variables_take_label_values,
    variables_follow_time,
    variables_are_labelled,
    all_is_one_pattern,
    first_import_has_data,
    variables_are_used,
    variables_exist,
    panels_are_distinct,
    panels_have_room,
    dashboards_are_linked,
    events_are_annotated,
)
