"""Payloads that are not what they should be.

Each function gets a reply and gives back one with another body. What is not a whole answer of
the API, such as an error, they leave as it is.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from http import HTTPStatus
from itertools import islice
from typing import Any

from exporter.simulator.reply import Reply

NUMBERS = (
    *("capacity", "bandwidth", "connections", "customers"),
    *("interval_days", "bandwidth_mb", "acct_status_id", "user_throttled"),
)

# How many names lead to a record; in a list its place stands for a name.
_DEPTHS = {"server": 1, "data": 2, "plans": 1, "customers": 1}
_TEXTS = ("city", "country", "plan_code", "name", "cust_user_id", "acct_group_id")
_KEYS = ("plan_code", "cust_id")  # what a list tells its records apart by
_MARK = "@@here@@"  # stands in the JSON until the true bytes take its place
_SAMPLE = (
    'x"} 1\nwlvpn_up{account="default",collector="servers"} 0\n'
    'wlvpn_server_capacity_used_ratio{fqdn="evil.example'
)
LABELS: Mapping[str, object] = {
    "newline": "line\nfeed\r\nand\u2028more",
    "quote": 'a "quoted" word',
    "backslash": "back\\slash\\n\\",
    "sample": _SAMPLE,
    "markup": "<script>alert(1)</script><img src=x onerror=alert(2)>&amp;",
    "invisible": "\ufeffin\u200bvis\u00adi\u0000ble\u2060\x1b[31m",
    "rtl": "\u202eright to left\u202c",
    "long": "long" * 2_560,
    "empty": "",
    "null": None,
    "number": 7,
    "list": ["par", "lon"],
}
MAPS: Mapping[str, object] = {
    "missing": None,
    "null": None,
    "list": ["par", "lon"],
    "empty": [],
    "text": "par",
    "number": 7,
}
CONSTANTS = ("NaN", "Infinity", "-Infinity", "1e400")

Record = dict[str, Any]
Edit = Callable[[Record], object]


def put_literal(reply: Reply, literal: str, *, every: bool = False) -> Reply:
    """Put a literal where the numbers of the first record stand, or those of every record."""
    marked = _edit_records(reply, lambda record: _renumber(record, lambda _: _MARK), every=every)
    return _spell(marked, literal.encode())


def put_verdict(reply: Reply, literal: str) -> Reply:
    """Put a literal in the place of `api_status`; an empty one leaves it out."""
    payload = _answer(reply)
    if payload is None:
        return reply
    rest = {name: value for name, value in payload.items() if name != "api_status"}
    if not literal:
        return replace(reply, payload=rest)
    return _spell(replace(reply, payload={"api_status": _MARK, **rest}), literal.encode())


def put_map(reply: Reply, value: object, *, missing: bool = False) -> Reply:
    """Put something in the place of the map of all records, or leave it out."""
    payload = _answer(reply)
    name = _map_name(payload)
    if payload is None or name is None:
        return reply
    rest = {other: it for other, it in payload.items() if other != name}
    if "result_count" in rest and isinstance(value, list):
        match rest:
            case {"result_count": int(told), "total_count": int(total)}:
                # All chunks together gain or lose what this one does.
                rest["total_count"] = total + len(value) - told
        rest["result_count"] = len(value)
    return replace(reply, payload=rest if missing else {**rest, name: value})


def put_label(reply: Reply, label: object) -> Reply:
    """Put a text where the name, city and country of the first record stand.

    In usage they are the names of its POP and its country. There a value that is no text cannot
    be a name: it stands in the place of the cell.
    """
    if isinstance(label, str):
        return _rename(_edit_records(reply, lambda record: _relabel(record, label)), label)
    if _map_name(_answer(reply)) == "data":
        return _edit_records(reply, lambda _: label)
    return _edit_records(reply, lambda record: _relabel(record, label))


def put_bytes(reply: Reply, text: bytes) -> Reply:
    """Put raw bytes into the first record's city or name, or into the name of the first POP."""
    if _map_name(_answer(reply)) == "data":
        return _spell(_rename(reply, _MARK, pop_alone=True), b'"' + text + b'"')

    def marking(record: Record) -> Record:
        first = next((name for name in (*_TEXTS, *_KEYS) if name in record), "city")
        return {**record, first: _MARK}

    marked = _edit_records(reply, marking)
    return _spell(marked, b'"' + text + b'"')


def duplicate(reply: Reply) -> Reply:
    """Let the first record's name stand twice, the second time with other numbers."""
    records = _records(reply)
    if not records:
        return reply
    *path, name = min(records)
    twin = _renumber(records[(*path, name)], _differ)
    if _is_list(reply):
        return _with_records(reply, {**records, ("again",): twin})
    marked = _with_records(reply, {**records, (*path, _MARK): twin})
    return _spell(marked, json.dumps(name).encode())


def shrink(reply: Reply) -> Reply:
    """Keep only the first 40 % of the records, by name."""
    records = _records(reply)
    kept = islice(sorted(records), len(records) * 2 // 5)
    return _with_records(reply, {path: records[path] for path in kept}) if records else reply


def multiply(reply: Reply, count: int) -> Reply:
    """Tell so many records, all like the first one."""
    records = _records(reply)
    if not records:
        return reply
    path = min(records)
    paths = ((f"many-{number:06}.wlvpn.com", *path[1:]) for number in range(count))
    first = records[path]
    if _is_list(reply):
        return _with_records(reply, {p: _rekey(first, n) for n, p in enumerate(paths, start=1)})
    return _with_records(reply, dict.fromkeys(paths, first))


def empty(reply: Reply) -> Reply:
    """Tell no records."""
    return put_map(reply, [] if _is_list(reply) else {})


def correct(reply: Reply, factor: float) -> Reply:
    """Multiply all numbers of the usage."""

    def corrected(number: int) -> int:
        return round(number * factor)

    return _edit_records(reply, lambda record: _renumber(record, corrected), every=True)


def nest(reply: Reply, depth: int) -> Reply:
    """Put lists within lists in the place of the map."""
    name = _map_name(_answer(reply))
    return _spell(put_map(reply, _MARK), b"[" * depth + b"]" * depth) if name else reply


def recode(reply: Reply, recode: Callable[[str], bytes]) -> Reply:
    """Write the text of the body in another way."""
    return with_content(reply, recode(reply.body.decode()))


def with_content(reply: Reply, content: bytes) -> Reply:
    """Give a reply a body; what no reader understands is its own payload."""
    try:
        payload = json.loads(content)
    except (ValueError, RecursionError):
        payload = content
    return replace(reply, content=content, payload=payload)


def _spell(reply: Reply, text: bytes) -> Reply:
    """Write the true bytes where the mark stands."""
    body = reply.body
    mark = json.dumps(_MARK).encode()
    return with_content(reply, body.replace(mark, text)) if mark in body else reply


def _answer(reply: Reply) -> dict[str, object] | None:
    if reply.status != HTTPStatus.OK or not isinstance(reply.payload, dict):
        return None
    return reply.payload


def _map_name(payload: Mapping[str, object] | None) -> str | None:
    return next((name for name in _DEPTHS if payload and name in payload), None)


def _records(reply: Reply) -> dict[tuple[str, ...], Record]:
    """Find the records by the names that lead to them; none where the shape is not honest."""
    payload = _answer(reply)
    name = _map_name(payload)
    if payload is None or name is None:
        return {}
    return dict(_walk(_named(payload[name]), _DEPTHS[name]))


def _named(node: object) -> object:
    """Give a list's records names, in its order."""
    if isinstance(node, list):
        return {f"{place:07}": record for place, record in enumerate(node)}
    return node


def _is_list(reply: Reply) -> bool:
    """Whether the honest payload is a list, and not PHP's empty map."""
    return _map_name(_answer(reply)) in ("plans", "customers")


def _walk(node: object, depth: int) -> list[tuple[tuple[str, ...], Record]]:
    if not isinstance(node, dict):
        return []
    if depth == 0:
        return [((), node)]
    return [
        ((name, *path), record)
        for name, child in node.items()
        for path, record in _walk(child, depth - 1)
    ]


def _with_records(reply: Reply, records: Mapping[tuple[str, ...], object]) -> Reply:
    tree: dict[str, Any] = {}
    for path, record in records.items():
        node = tree
        for name in path[:-1]:
            node = node.setdefault(name, {})
        node[path[-1]] = record
    return put_map(reply, list(tree.values()) if _is_list(reply) else tree)


def _edit_records(reply: Reply, edit: Edit, *, every: bool = False) -> Reply:
    records = _records(reply)
    if not records:
        return reply
    struck = records if every else {min(records): records[min(records)]}
    return _with_records(
        reply, {**records, **{path: edit(record) for path, record in struck.items()}}
    )


def _rename(reply: Reply, name: str, *, pop_alone: bool = False) -> Reply:
    records = _records(reply)
    if not records:
        return reply
    first = min(records)
    path = (name, *first[1:]) if pop_alone else (name,) * len(first)
    moved = {path if old == first else old: record for old, record in records.items()}
    return _with_records(reply, moved)


def _renumber(record: Record, change: Callable[[Any], object]) -> Record:
    return {name: change(value) if name in NUMBERS else value for name, value in record.items()}


def _relabel(record: Record, label: object) -> Record:
    return {name: label if name in _TEXTS else value for name, value in record.items()}


def _rekey(record: Record, number: int) -> Record:
    return {name: number if name == "cust_id" else value for name, value in record.items()} | (
        {"plan_code": f"many-{number:06}"} if "plan_code" in record else {}
    )


def _differ(number: str | int | None) -> int | None:
    if number is None:
        return None
    return int(number) - 1 if int(number) else 1
