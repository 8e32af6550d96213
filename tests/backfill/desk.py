"""A backfill in this process, beside the simulator and in virtual time; and what came of it."""

import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from random import Random

from exporter.backfill import Order, Walk
from exporter.config import targets
from exporter.service import Service
from exporter.settings import Settings
from exporter.simulator import Rule, Simulator, World
from exporter.simulator.app import Payload, Sent
from tests.manual_clock import ManualClock

_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

UNITS = {"bytes": "bandwidth", "connections": "connections", "customers": "customers"}
"""Fields of the API by the ends of our metrics' names."""

Told = dict[str, dict[str, dict[str, object]]]
"""Cells of the API by POP and country code."""

Sample = tuple[str, frozenset[tuple[str, str]], float]
"""A metric's name, its labels, and the sample's time."""


class Terminal(io.StringIO):
    """Somebody looks at it."""

    def isatty(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Ended:
    """How a backfill ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """What it said, without the progress and the hint to labels."""
        lines = [line.removeprefix("wlvpn-exporter: ") for line in self.err.splitlines()]
        return [line for line in lines if " left" not in line[-9:] and "series of" not in line]


async def backfill(
    settings: Settings,
    clock: ManualClock,
    folder: Path,
    *,
    months: tuple[str, str] = ("2026-01", "2026-02"),
    labels: tuple[str, ...] = (),
    err: io.StringIO | None = None,
) -> Ended:
    """Runs one to its end, as the command does."""
    order = Order.parse(*months, str(folder), labels)
    out, err = io.StringIO(), err or io.StringIO()
    service = Service(settings, clock=clock, random=Random(1), runtime=False)
    async with service.pollers() as pollers:
        walk = Walk(order, targets(settings), pollers, clock=clock, out=out, err=err)
        service.listeners.append(walk.hear)
        code = await walk.run()
    return Ended(code, out.getvalue(), err.getvalue())


def content(folder: Path) -> dict[str, bytes]:
    """Every file in a folder and below, hidden ones too."""
    paths = [path for path in folder.rglob("*") if not path.is_dir()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def days(first: str, last: str) -> list[date]:
    """All days from one to another."""
    begin, end = date.fromisoformat(first), date.fromisoformat(last)
    return [begin + timedelta(days=n) for n in range((end - begin).days + 1)]


WINTER = days("2026-01-01", "2026-02-28")
"""The days of most tests."""

GO_ON = "run the same command again to go on"
MANIFEST = {"backfill.json"}


def names(first: str, last: str) -> set[str]:
    """The files of all days from one to another."""
    return {f"{day}.om" for day in days(first, last)}


def samples(folder: Path) -> dict[Sample, float]:
    """All samples of all files."""
    found = {}
    for path in folder.glob("*.om"):
        for line in path.read_text().splitlines():
            if not line.startswith("#"):
                head, value, seconds = line.rsplit(" ", 2)
                name, _, rest = head.partition("{")
                labels = frozenset(
                    (label, text.encode("latin-1", "backslashreplace").decode("unicode_escape"))
                    for label, text in _LABEL.findall(rest)
                )
                assert (name, labels, float(seconds)) not in found
                found[name, labels, float(seconds)] = float(value)
    return found


def expected(
    world: World, wanted: list[date], at: datetime, labels: Mapping[str, str]
) -> dict[Sample, float]:
    """All samples that there should be, from the world itself."""
    found = {}
    for day in wanted:
        midnight = datetime.combine(day, time(), UTC)
        seconds = (midnight + timedelta(hours=23, minutes=59, seconds=59)).timestamp()
        for pop, cells in world.usage(day.replace(day=1), day, at).items():
            for code, cell in cells.items():
                for unit, field in UNITS.items():
                    told = {**labels, "pop": pop, "country_code": code}
                    name = f"wlvpn_usage_month_to_date_{unit}"
                    found[name, frozenset(told.items()), seconds] = float(getattr(cell, field))
    return found


def asked(simulator: Simulator) -> list[str]:
    """The days asked for, in order."""
    return [request.query["end_date"] for request in simulator.requests]


def fail_from(simulator: Simulator, day: str, rule: str) -> None:
    """Lets the API fail as it is asked for a day."""

    def hear(sent: Sent) -> None:
        before = WINTER[WINTER.index(days(day, day)[0]) - 1]
        if sent.request.query.get("end_date") == f"{before}":
            simulator.witness = None
            simulator.rules = [Rule.parse(rule)]

    simulator.witness = hear


def rewrite(simulator: Simulator, changes: Mapping[str, Callable[[Told], object]]) -> None:
    """Changes what the API tells of some days, by their dates."""

    def change(_: str, payload: Payload) -> object:
        make = changes.get(simulator.requests[-1].query["end_date"])
        return make(payload["data"]) if make else payload  # type: ignore[arg-type] # that it is

    simulator.rewrite = change
