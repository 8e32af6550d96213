"""What one poll of everything brought, for people: `once --format table`.

ASCII around the API's names, so that it reads alike on a terminal, in a file and in a mail.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from heapq import nsmallest
from itertools import groupby, zip_longest
from operator import attrgetter
from statistics import fmean

from exporter.collectors.servers import Server, Servers
from exporter.collectors.usage import MonthUsage, Usage
from exporter.column import WIDTH, Column, fit, head, line, wrap
from exporter.errors import ApiError
from exporter.events import Accepted, Outcome
from exporter.snapshot import Slot

TOP = 10
"""Rows of each table of an account."""

BAR = 10
"""Cells of a full bar."""

_GAP = "  "
_HALF = (WIDTH - len(_GAP)) // 2
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")

_POLLS = (
    Column("ACCOUNT", 30),
    Column("COLLECTOR", 14),
    Column("POLL", 21),
    Column("RECORDS", 9, is_number=True),
)
_USED = (Column("USED", 5, is_number=True), Column("", BAR))
_COUNTED = (Column("SERVERS", 7, is_number=True), *_USED)
_SERVERS = (Column("SERVER", 20), *_USED)
_TRAFFIC = (Column("POP", 18), Column("BYTES", 7, is_number=True), Column("", BAR))


@dataclass(frozen=True, slots=True)
class Polled:
    """A collector of an account as it is after its poll, and how that ended."""

    slot: Slot
    outcome: Outcome


def draw(polls: Iterable[Polled], *, at: datetime) -> Iterator[str]:
    """Draws everything, line by line, 80 cells wide.

    Args:
        polls: those of an account beside each other.
        at: when they were made.
    """
    polls = list(polls)
    yield f"Polled at {at:%Y-%m-%d %H:%M:%S} UTC"
    yield ""
    yield head(_POLLS)
    yield from map(_poll, polls)
    for account, mine in groupby(polls, key=attrgetter("slot.account")):
        contents = [polled.slot.reading.content for polled in mine if polled.slot.reading]
        yield from _account(account, contents)


def _poll(polled: Polled) -> str:
    slot, outcome = polled.slot, polled.outcome
    records = f"{outcome.records:,}" if isinstance(outcome, Accepted) else "-"
    return line(_POLLS, (slot.account, slot.collector.name, _told(outcome), records))


def _told(outcome: Outcome) -> str:
    if isinstance(outcome, ApiError):
        return f"failed: {outcome.reason}"
    if not isinstance(outcome, Accepted):
        return f"held: {outcome.reason}"
    return f"ok, {len(outcome.rejected):,} left out" if outcome.rejected else "ok"


def _account(account: str, contents: Iterable[object]) -> Iterator[str]:
    """Tells most of the collectors that people look at; of the others there are records alone."""
    told: list[str] = []
    blocks: list[list[str]] = []
    for content in contents:
        if isinstance(content, Servers) and content.servers:
            used = fmean(server.capacity_used_ratio for server in content.servers)
            told.append(f"{len(content.servers):,} servers, {used:.0%} used on average")
            blocks += _fleet(content.servers)
        if isinstance(content, Usage) and content.current.cells:
            moved = sum(cell.bandwidth_bytes for cell in content.current.cells)
            told.append(f"{size(moved)} moved since {content.current.month.start:%Y-%m-%d}")
            blocks.append(_traffic(content.current))
    if told:
        yield ""
        yield from wrap(f"{account}: {'; '.join(told)}", indent="")
    for left, right in zip_longest(blocks[::2], blocks[1::2], fillvalue=()):
        yield ""
        yield from _beside(left, right)


def _fleet(servers: Sequence[Server]) -> Iterator[list[str]]:
    yield _places("countries", "COUNTRY", _by(servers, attrgetter("country")))
    yield _places("POPs", "POP", _by(servers, attrgetter("pop")))
    fullest = nsmallest(TOP, servers, key=lambda s: (-s.capacity_used_ratio, s.fqdn))
    rows = [(s.fqdn, *_used(s.capacity_used_ratio)) for s in fullest]
    yield _block("Fullest servers", len(servers), _SERVERS, rows)


def _by(servers: Iterable[Server], name: Callable[[Server], str]) -> Mapping[str, list[float]]:
    found = defaultdict(list)
    for server in servers:
        found[name(server)].append(server.capacity_used_ratio)
    return found


def _places(many: str, one: str, places: Mapping[str, list[float]]) -> list[str]:
    averages = {name: fmean(ratios) for name, ratios in places.items()}
    rows = [
        (name, f"{len(places[name]):,}", *_used(averages[name]))
        for name in nsmallest(TOP, averages, key=lambda name: (-averages[name], name))
    ]
    return _block(f"Fullest {many}", len(places), (Column(one, 11), *_COUNTED), rows)


def _traffic(usage: MonthUsage) -> list[str]:
    moved: Counter[str] = Counter()
    for cell in usage.cells:
        moved[cell.pop or "all"] += cell.bandwidth_bytes
    most = nsmallest(TOP, moved, key=lambda pop: (-moved[pop], pop))
    largest = max(moved.values()) or 1
    rows = [(pop, size(moved[pop]), bar(moved[pop] / largest)) for pop in most]
    return _block("Busiest POPs this month", len(moved), _TRAFFIC, rows)


def _used(ratio: float) -> tuple[str, str]:
    return f"{ratio:.0%}", bar(ratio).ljust(BAR, ".")


def _block(
    title: str, total: int, columns: Sequence[Column], rows: Sequence[Iterable[str]]
) -> list[str]:
    told = f"{title}, {len(rows)} of {total:,}"
    return [told, head(columns), *(line(columns, row) for row in rows)]


def _beside(left: Iterable[str], right: Iterable[str]) -> Iterator[str]:
    for mine, theirs in zip_longest(left, right, fillvalue=""):
        yield f"{fit(mine, _HALF)}{_GAP}{theirs}".rstrip()


def bar(ratio: float) -> str:
    """A bar for 0 to 1; only nothing is drawn as nothing."""
    cells = round(ratio * BAR)
    return "#" * (max(1, cells) if ratio else 0)


def size(count: int) -> str:
    """Bytes in three digits, by thousands as the dashboards count them."""
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    digits = max(0, 3 - len(f"{value:.0f}")) if unit else 0
    return f"{value:.{digits}f} {_UNITS[unit]}"
