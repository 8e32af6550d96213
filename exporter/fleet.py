"""How full an account's countries, POPs and servers are, and what its POPs moved this month.

A filter decides which rows are shown and never what they say: a POP's row tells of all its servers,
also where only one of them was looked for.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from statistics import fmean
from typing import Generic, TypeVar

from exporter.collectors.servers import Server
from exporter.collectors.usage import MonthUsage
from exporter.fields import clean

MAX_FILTER_CHARACTERS = 64
MAX_SERVERS = 200
"""Servers shown of an account, however many a filter leaves."""

FULLEST = 20
"""Servers shown of an account without a filter."""

FILLING = 0.85
PLACE_FULL = 0.9
SERVER_FULL = 0.95
"""Where colours change: where the alerts about servers, POPs and countries begin."""

T = TypeVar("T")


class Filter:
    """Words, each of which some part of a name has to begin with; without words all names pass.

    `us` finds US, and neither Houston nor Brussels.

    Raises:
        ValueError: the text is too long to be a name.
    """

    def __init__(self, text: str) -> None:
        if len(text) > MAX_FILTER_CHARACTERS:
            raise ValueError(f"longer than {MAX_FILTER_CHARACTERS} characters")
        self.text = clean(text)
        self._words = [_beginning(word) for word in dict.fromkeys(self.text.casefold().split())]

    def __bool__(self) -> bool:
        return bool(self._words)

    def passes(self, *names: str) -> bool:
        """Whether each word is found in some of the names."""
        told = "\n".join(names).casefold()
        return all(word.search(told) for word in self._words)


@dataclass(frozen=True, slots=True)
class Rows(Generic[T]):
    """A table, cut to what people read.

    Attributes:
        rows: what is shown.
        matching: how many the filter leaves.
        total: how many there are.
    """

    rows: Sequence[T]
    matching: int
    total: int


@dataclass(frozen=True, slots=True)
class Usedness:
    """How full a country, a POP or a server is.

    Attributes:
        name: the country's code, the POP's, or the server's FQDN.
        country: where it is.
        city: where most of it is; empty for a country.
        servers: how many the ratio is the average of.
        capacity_used_ratio: 0 lightly used, 1 fully utilised.
    """

    name: str
    country: str
    city: str
    servers: int
    capacity_used_ratio: float


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a POP moved in the month so far; an empty name is all of them in one."""

    name: str
    bandwidth_bytes: int


@dataclass(frozen=True, slots=True)
class Fleet:
    """The servers of one account, in the order of what is fullest."""

    servers: int
    capacity_used_ratio: float | None
    countries: Rows[Usedness]
    pops: Rows[Usedness]
    fullest: Rows[Usedness]

    @classmethod
    def of(
        cls, account: str, servers: Sequence[Server], wanted: Filter, *, most: int | None
    ) -> "Fleet":
        """Looks at the servers of a reading.

        Args:
            account: a filter may name it too.
            servers: all of them.
            wanted: which rows to show.
            most: how many countries and POPs to show, None for all.
        """
        found = servers
        if wanted:
            found = [s for s in servers if wanted.passes(account, s.fqdn, s.country, s.city)]
        pops, countries = {s.pop for s in found}, {s.country for s in found}
        shown = nsmallest(MAX_SERVERS if wanted else FULLEST, found, key=_by_capacity)
        return cls(
            servers=len(servers),
            capacity_used_ratio=_average(servers) if servers else None,
            countries=_places(servers, lambda s: s.country, countries, most),
            pops=_places(servers, lambda s: s.pop, pops, most),
            fullest=Rows([_server(server) for server in shown], len(found), len(servers)),
        )


def traffic(
    account: str, usage: MonthUsage, wanted: Filter, *, pops: Iterable[str], most: int | None
) -> Rows[Traffic]:
    """What each POP moved, most first.

    Args:
        account: a filter may name it too.
        usage: of the month.
        wanted: which rows to show.
        pops: shown as well, for the filter found servers there.
        most: how many to show, None for all.
    """
    sums: Counter[str] = Counter()
    for cell in usage.cells:
        sums[cell.pop] += cell.bandwidth_bytes
    known = set(pops)
    found = [pop for pop in sums if pop in known or wanted.passes(account, pop)]
    rows = sorted((Traffic(pop, sums[pop]) for pop in found), key=_by_bandwidth)
    return Rows(rows[:most], len(rows), len(sums))


def _places(
    servers: Iterable[Server], name: Callable[[Server], str], wanted: set[str], most: int | None
) -> Rows[Usedness]:
    groups = defaultdict(list)
    for server in servers:
        groups[name(server)].append(server)
    rows = sorted((_place(each, groups[each]) for each in wanted), key=_by_used)
    return Rows(rows[:most], len(rows), len(groups))


def _place(name: str, servers: Sequence[Server]) -> Usedness:
    country, city = servers[0].country, ""
    if name != country:
        [((country, city), _)] = Counter((s.country, s.city) for s in servers).most_common(1)
    return Usedness(name, country, city, len(servers), _average(servers))


def _server(server: Server) -> Usedness:
    return Usedness(server.fqdn, server.country, server.city, 1, server.capacity_used_ratio)


def _average(servers: Iterable[Server]) -> float:
    return fmean(server.capacity_used_ratio for server in servers)


def _by_used(row: Usedness) -> tuple[float, str]:
    return -row.capacity_used_ratio, row.name


def _by_capacity(server: Server) -> tuple[float, str]:
    return -server.capacity_used_ratio, server.fqdn


def _by_bandwidth(row: Traffic) -> tuple[int, str]:
    return -row.bandwidth_bytes, row.name


def _beginning(word: str) -> re.Pattern[str]:
    """Finds a word where it begins one, or anywhere if it begins with a sign."""
    before = r"(?<![^\W_])" if word[0].isalnum() else ""
    return re.compile(before + re.escape(word))
