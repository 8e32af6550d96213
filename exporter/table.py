"""What one poll of everything brought, for people: `once --format table`.

ASCII around the API's names, so that it reads alike on a terminal, in a file and in a mail.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, zip_longest
from operator import attrgetter

from exporter.collectors.servers import Servers
from exporter.collectors.usage import Usage
from exporter.column import WIDTH, Column, fit, head, line, wrap
from exporter.errors import ApiError
from exporter.events import Accepted, Outcome
from exporter.fleet import Filter, Fleet, Rows, Traffic, Usedness, traffic
from exporter.snapshot import Slot

TOP = 10
"""Rows of each table of an account."""

BAR = 10
"""Cells of a full bar."""

_ALL = Filter("")
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
            fleet = Fleet.of(account, content.servers, _ALL, most=TOP)
            used = fleet.capacity_used_ratio
            told.append(f"{fleet.servers:,} servers, {used:.0%} used on average")
            blocks += _fleet(fleet)
        if isinstance(content, Usage) and content.current.cells:
            moved = sum(cell.bandwidth_bytes for cell in content.current.cells)
            told.append(f"{size(moved)} moved since {content.current.month.start:%Y-%m-%d}")
            blocks.append(_traffic(traffic(account, content.current, _ALL, pops=(), most=TOP)))
    if told:
        yield ""
        yield from wrap(f"{account}: {'; '.join(told)}", indent="")
    for left, right in zip_longest(blocks[::2], blocks[1::2], fillvalue=()):
        yield ""
        yield from _beside(left, right)


def _fleet(fleet: Fleet) -> Iterator[list[str]]:
    yield _places("countries", "COUNTRY", fleet.countries)
    yield _places("POPs", "POP", fleet.pops)
    fullest = fleet.fullest.rows[:TOP]
    rows = [(server.name, *_used(server.capacity_used_ratio)) for server in fullest]
    yield _block("Fullest servers", fleet.servers, _SERVERS, rows)


def _places(many: str, one: str, places: Rows[Usedness]) -> list[str]:
    rows = [(p.name, f"{p.servers:,}", *_used(p.capacity_used_ratio)) for p in places.rows]
    return _block(f"Fullest {many}", places.total, (Column(one, 11), *_COUNTED), rows)


def _traffic(moved: Rows[Traffic]) -> list[str]:
    largest = max(row.bandwidth_bytes for row in moved.rows) or 1
    rows = [
        (row.name or "all", size(row.bandwidth_bytes), bar(row.bandwidth_bytes / largest))
        for row in moved.rows
    ]
    return _block("Busiest POPs this month", moved.total, _TRAFFIC, rows)


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
