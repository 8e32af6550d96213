"""What an answer of the API is worth: a second opinion, that takes nothing from the exporter.

It reads the bytes by the API's documentation and by what is promised of the series, in the plainest
way there is. Where the exporter and this module disagree, one of them is wrong.
"""

import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple, NoReturn

Labels = tuple[tuple[str, str], ...]
"""Names and values in the order of their names, without the account."""

Series = Mapping[str, Mapping[Labels, float]]
"""Samples by their name and their labels."""

Detail = Literal["pop_country", "pop", "total"]

Key = tuple[str, str]
"""Whose usage: POP and country code, empty where it was summed over."""

MAX_RECORDS = 20_000
MAX_COUNT = 2**63 - 1
TEXT_CHARACTERS = 128
HASH_CHARACTERS = 8

UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
PLAIN_NUMBER = re.compile(r"[0-9]{1,19}(?:\.[0-9]{1,19})?")

CAPACITY = "wlvpn_server_capacity_used_ratio"
INFO = "wlvpn_server_info"
SERVERS = "wlvpn_servers"


class UnacceptableError(Exception):
    """The answer, or one record of it, cannot be relied on; the text says why."""


class Refusal(UnacceptableError):  # noqa: N818 - it is the API that refused
    """The answer says itself that it is none."""


class Amount(NamedTuple):
    """The part of a usage cell that may be summed."""

    bandwidth_bytes: int
    connections: int


@dataclass(frozen=True, slots=True)
class Listed:
    """What an answer says of servers.

    Attributes:
        records: how many are good.
        bad: how many are not.
        series: all that a page may show of it, and has to.
        is_ambiguous: whether a name stands twice somewhere.
    """

    records: int
    bad: int
    series: Series
    is_ambiguous: bool


@dataclass(frozen=True, slots=True)
class Used:
    """What an answer says of one month's usage.

    Attributes:
        records: how many are good.
        bad: how many are not.
        amounts: by key, as fine as the series are.
        series: by unit; the metric's name depends on the month.
        unreadable: keys with a bad record, an empty code standing for all of the POP.
        is_ambiguous: whether a name stands twice somewhere.
    """

    records: int
    bad: int
    amounts: Mapping[Key, Amount]
    series: Series
    unreadable: frozenset[Key]
    is_ambiguous: bool


class _Repeating(dict[str, object]):
    """An object in which names stand more than once: what they say cannot be known."""

    names: frozenset[str]


class _Cell(NamedTuple):
    bandwidth: int
    connections: int
    customers: int


def read_servers(
    body: bytes, *, countries: Iterable[str] = (), max_records: int = MAX_RECORDS
) -> Listed:
    """Reads an answer of `/v2/servers`.

    Raises:
        UnacceptableError: nothing of it may be shown.
    """
    answer, is_ambiguous = _decode(body)
    entries = _map(_required(answer, "server"))
    _bound(len(entries), max_records)
    repeated = _repeated(entries)
    good: dict[str, tuple[dict[str, str], float]] = {}
    bad = 0
    for name, value in entries.items():
        fqdn = label(name)
        try:
            _refuse_if(name in repeated, "the server stands twice")
            server = _server(fqdn, value)
            _refuse_if(fqdn in good, "another server has this name")
            good[fqdn] = server
        except UnacceptableError:
            bad += 1
    _bound_bad(bad, len(entries))
    return Listed(len(good), bad, _servers_series(good.values(), countries), is_ambiguous)


def _server(fqdn: str, value: object) -> tuple[dict[str, str], float]:
    members = _map(value)
    repeated = _repeated(members)
    _refuse_if(bool(repeated & {"country", "city", "capacity", "ip"}), "a member stands twice")
    labels = {name: _text(members.get(name)) for name in ("country", "city", "ip")}
    percent = _number(_required(members, "capacity"))
    _refuse_if(not 0 <= percent <= 100, "no share")
    pop = re.split("[-.]", fqdn, maxsplit=1)[0]
    return labels | {"fqdn": fqdn, "pop": pop or "unknown"}, percent / 100


def _servers_series(
    good: Collection[tuple[dict[str, str], float]], countries: Iterable[str]
) -> Series:
    capacity: dict[Labels, float] = {}
    info: dict[Labels, float] = {}
    for labels, used in good:
        # In the order of their names, so that they need no sorting.
        place = ("city", labels["city"]), ("country", labels["country"])
        fqdn, pop = ("fqdn", labels["fqdn"]), ("pop", labels["pop"])
        capacity[*place, fqdn, pop] = used
        info[*place, fqdn, ("ip", labels["ip"]), pop] = 1.0
    counts = Counter(labels["country"] for labels, _ in good)
    listed = {*countries, *counts}
    return {
        CAPACITY: capacity,
        INFO: info,
        SERVERS: {(("country", country),): counts[country] for country in listed},
    }


def read_usage(
    body: bytes, *, detail: Detail = "pop_country", max_records: int = MAX_RECORDS
) -> Used:
    """Reads an answer of `/v2/metrics/usage/pop_and_country/`.

    Raises:
        UnacceptableError: nothing of it may be shown.
    """
    answer, is_ambiguous = _decode(body)
    entries = list(_cells(_map(_required(answer, "data"))))
    _bound(len(entries), max_records)
    good: dict[Key, _Cell] = {}
    unreadable = []
    for key, value, is_repeated in entries:
        try:
            _refuse_if(is_repeated, "the cell stands twice")
            cell = _cell(value)
            _refuse_if(key in good, "another cell has this name")
            good[key] = cell
        except UnacceptableError:
            unreadable.append(key)
    _bound_bad(len(unreadable), len(entries))
    amounts = {key: Amount(cell.bandwidth, cell.connections) for key, cell in good.items()}
    if detail != "pop_country":
        _refuse_if(bool(unreadable), "a sum with a bad cell would be made up")
        amounts = _sum(amounts, detail)
    customers = {usage_labels(key): float(cell.customers) for key, cell in good.items()}
    series: dict[str, dict[Labels, float]] = {
        "bytes": {usage_labels(key): float(a.bandwidth_bytes) for key, a in amounts.items()},
        "connections": {usage_labels(key): float(a.connections) for key, a in amounts.items()},
        # Distinct customers of two cells may be the same people.
        "customers": customers if detail == "pop_country" else {},
    }
    return Used(len(good), len(unreadable), amounts, series, frozenset(unreadable), is_ambiguous)


def _cells(pops: Mapping[str, object]) -> Iterator[tuple[Key, object, bool]]:
    """Yields each cell with its key, and whether it stands twice; a POP without cells as one."""
    repeated_pops = _repeated(pops)
    for pop, codes in pops.items():
        if pop in repeated_pops or not isinstance(codes, dict):
            if codes != [] or pop in repeated_pops:
                yield (label(pop), ""), None, pop in repeated_pops
            continue
        repeated = _repeated(codes)
        for code, value in codes.items():
            yield (label(pop), label(code)), value, code in repeated


def _cell(value: object) -> _Cell:
    members = _map(value)
    _refuse_if(bool(_repeated(members) & set(_Cell._fields)), "a member stands twice")
    return _Cell(*(_whole(_required(members, name)) for name in _Cell._fields))


def _sum(amounts: Mapping[Key, Amount], detail: Detail) -> dict[Key, Amount]:
    sums: dict[Key, Amount] = {}
    for (pop, _), amount in amounts.items():
        key = (pop, "") if detail == "pop" else ("", "")
        so_far = sums.get(key, Amount(0, 0))
        sums[key] = Amount(
            so_far.bandwidth_bytes + amount.bandwidth_bytes,
            so_far.connections + amount.connections,
        )
    return sums


def usage_labels(key: Key) -> Labels:
    pop, code = key
    labels = (("country_code", code), ("pop", pop))
    return tuple(pair for pair in labels if pair[1])


def _decode(body: bytes) -> tuple[Mapping[str, object], bool]:
    """Reads strictly: the answer, and whether a name stands twice in any of its objects."""
    repeating = []

    def build(pairs: list[tuple[str, object]]) -> dict[str, object]:
        members = dict(pairs)
        if len(members) == len(pairs):
            return members
        ambiguous = _Repeating(members)
        counts = Counter(name for name, _ in pairs)
        ambiguous.names = frozenset(name for name, count in counts.items() if count > 1)
        repeating.append(ambiguous)
        return ambiguous

    try:
        answer = json.loads(body.decode(), object_pairs_hook=build, parse_constant=_refuse_constant)
    except RecursionError:
        raise UnacceptableError("nested too deep") from None
    except ValueError as error:
        raise UnacceptableError(f"not JSON: {error}") from None
    if not isinstance(answer, dict):
        raise UnacceptableError("not an object")
    # 1 as the documentation has it; PHP may write it as text. To JSON 1.0 is 1, to Python true is.
    if "api_status" in _repeated(answer) or answer.get("api_status", 1) not in (1, "1"):
        raise Refusal("api_status")
    _refuse_if(bool(_repeated(answer) & {"server", "data"}), "a member stands twice")
    return answer, bool(repeating)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _repeated(members: Mapping[str, object]) -> frozenset[str]:
    return members.names if isinstance(members, _Repeating) else frozenset()


def _refuse_if(wrong: bool, why: str) -> None:  # noqa: FBT001 - it reads as a sentence
    if wrong:
        raise UnacceptableError(why)


def _bound(seen: int, max_records: int) -> None:
    _refuse_if(seen > max_records, "too many records")


def _bound_bad(bad: int, seen: int) -> None:
    _refuse_if(bad * 5 > seen, "more than a fifth of the records are bad")


def _required(members: Mapping[str, object], name: str) -> object:
    _refuse_if(name not in members, f"{name} is absent")
    return members[name]


def _map(value: object) -> Mapping[str, object]:
    if isinstance(value, dict):
        return value
    _refuse_if(not isinstance(value, list) or bool(value), "not a map")
    return {}


def _text(value: object) -> str:
    if value is None:
        return "unknown"
    if not isinstance(value, str):
        raise UnacceptableError("not text")
    return label(value)


@lru_cache(maxsize=128)
def label(value: str) -> str:
    """What a text looks like as a label."""
    seen = "".join(c for c in value if unicodedata.category(c) not in UNSEEN).strip()
    if len(seen) > TEXT_CHARACTERS:
        mark = "~" + hashlib.sha256(seen.encode()).hexdigest()[:HASH_CHARACTERS]
        seen = seen[: TEXT_CHARACTERS - len(mark)] + mark
    return seen or "unknown"


def _number(value: object) -> int | float:
    if isinstance(value, str) and PLAIN_NUMBER.fullmatch(value):
        # As if its quotation marks were not there.
        return float(value) if "." in value else int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnacceptableError("not a number")
    return value


def _whole(value: object) -> int:
    number = _number(value)
    _refuse_if(not 0 <= number <= MAX_COUNT or number != int(number), "not a count")
    return int(number)
