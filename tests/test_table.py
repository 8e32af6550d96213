"""`once --format table`: what a poll of everything brought, in 80 columns."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from exporter.cli import main
from exporter.collectors.base import Options
from exporter.collectors.servers import ServersCollector
from exporter.column import width
from exporter.config import load
from exporter.events import Accepted, Held
from exporter.service import Service
from exporter.settings import Settings
from exporter.simulator import Rule, Simulator, World
from exporter.simulator.app import Payload
from exporter.snapshot import Reading, Slot
from exporter.table import BAR, TOP, Polled, bar, draw, size
from tests.conftest import Configure
from tests.manual_clock import NOON, ManualClock
from tests.process import variables

GOLDEN = Path(__file__).parent / "golden" / "table.txt"
ACCOUNTS = """
api_key: demo-key
base_url: {url}
accounts:
  brand-a:
    api_key: demo-key
    countries: FR
    collectors: {{usage: {{detail: total}}}}
  brand-b:
    api_key: not-the-key
"""
HOSTILE = {
    "control": "\x1b[2J\x07\r",
    "newline": "a\nb",
    "markup": "<b>[red]</b>",
    "from right to left": "\u05d0\u0662\u0663",
    "override": "\u202egnp.exe",
    "wide": "東京" * 20,
    "combining": "e\u0301" * 60,
    "long": "x" * 500,
    "emoji": "\U0001f600",
}

Capture = pytest.CaptureFixture[str]


async def drawn(settings: Settings, clock: ManualClock) -> list[str]:
    """The table after a poll of everything."""
    service = Service(settings, clock=clock, runtime=False)
    async with service.pollers() as pollers:
        outcomes = [await poller.poll() for poller in pollers]
    return list(draw(map(Polled, service.store.slots(), outcomes), at=clock.now()))


async def test_a_table_reads_well(simulator: Simulator, clock: ManualClock, tmp_path: Path) -> None:
    """Several accounts, one with a wrong key, one narrowed down: the golden text."""
    (tmp_path / "accounts.yml").write_text(ACCOUNTS.format(url=simulator.url))
    told = await drawn(load({"config.file": str(tmp_path / "accounts.yml")}), clock)
    assert GOLDEN.read_text(encoding="utf-8").splitlines() == told


@pytest.mark.parametrize("label", HOSTILE.values(), ids=list(HOSTILE))
async def test_names_keep_their_place(
    label: str, simulator: Simulator, configure: Configure, clock: ManualClock
) -> None:
    """Whatever the API calls things, lines are lines, and no wider than a terminal."""

    def rename(endpoint: str, payload: Payload) -> object:
        if endpoint == "servers" and isinstance(payload["server"], dict):
            servers = {f"{label}{n}": server for n, server in enumerate(payload["server"].values())}
            return {**payload, "server": {k: {**v, "country": label} for k, v in servers.items()}}
        assert isinstance(payload["data"], dict)
        return {**payload, "data": {f"{label}{pop}": of for pop, of in payload["data"].items()}}

    simulator.rewrite = rename
    told = await drawn(configure(), clock)
    assert [] == [line for line in told if width(line) > 80]
    assert [] == [line for line in told if not line.isprintable()]
    # The number of servers and their bar stand where their heads do.
    top = next(n for n, line in enumerate(told) if line.startswith("COUNTRY"))
    assert re.search(r" +120 +\d+%  #", told[top + 1])
    assert 22 == width(told[top + 1].partition("%")[0]) - 4


async def test_only_what_there_is_is_drawn(
    simulator: Simulator, configure: Configure, clock: ManualClock
) -> None:
    """A collector that fails or has no records has a line, and no table of zeros."""
    simulator.rules = [Rule("servers", "gone"), Rule("usage", "status", "403")]
    told = await drawn(configure(), clock)
    assert [
        "default                         servers         ok                             0",
        "default                         usage           failed: forbidden              -",
    ] == told[3:]


async def test_bad_records_are_told(
    simulator: Simulator, configure: Configure, clock: ManualClock
) -> None:
    """A poll that left records out is not simply well."""
    simulator.rules = [Rule("servers", "capacity", "101")]
    told = await drawn(configure(), clock)
    assert ["default", "servers", "ok, 1 left out", "119"] == re.split(r" {2,}", told[3])


def other(outcome: Any) -> Sequence[str]:  # noqa: ANN401 - an outcome
    """The table of a collector that this module does not know."""
    collector = ServersCollector(Options())
    reading = Reading(object(), 7, NOON, 0.0)
    slot = Slot("default", collector, reading, False, None, {}, {})  # noqa: FBT003 - as it is kept
    return list(draw([Polled(slot, outcome)], at=NOON))


def test_other_collectors_are_counted() -> None:
    """A collector that is unknown here has its records, and nothing of its content."""
    assert "7" == other(Accepted(7, rejected=(), changed=True))[-1].split()[-1]


def test_a_doubted_answer_is_told() -> None:
    """One that is held is neither well nor failed."""
    assert "held: empty" in other(Held("empty", records=0, last_records=7))[-1]


async def test_tables_end_after_ten_rows(configure: Configure, clock: ManualClock) -> None:
    """However many there are, an account fits a screen."""
    told = await drawn(configure(), clock)
    titles = [n for n, line in enumerate(told) if line.startswith("Fullest ")]
    assert [TOP + 2, TOP + 2] == [
        next((k for k, line in enumerate(told[n:]) if not line), len(told) - n) for n in titles
    ]


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (12_345, "12.3 kB"),
        (999_499, "999 kB"),
        (999_500, "1.00 MB"),
        (9_999_999, "10.0 MB"),
        (2 * 10**15, "2.00 PB"),
        (2**63 - 1, "9.22 EB"),
        (2**63 * 1000, "9223 EB"),
    ],
)
def test_bytes_have_three_digits(count: int, expected: str) -> None:
    """By thousands, in at most seven cells."""
    assert (expected, True) == (size(count), len(expected) <= 7)


@pytest.mark.parametrize(
    ("ratio", "cells"), [(0, 0), (0.001, 1), (0.04, 1), (0.55, 6), (0.96, 10), (1, BAR)]
)
def test_a_bar_is_as_long_as_its_ratio(ratio: float, cells: int) -> None:
    """Only nothing is drawn as nothing."""
    assert "#" * cells == bar(ratio)


# The command


@pytest.fixture
async def present() -> AsyncIterator[Simulator]:
    """A small fleet in the present, where commands live."""
    async with Simulator(World(servers=120)) as simulator:
        yield simulator


@pytest.fixture
def env(present: Simulator, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    found = variables(present.url, 0)
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    return found


@pytest.mark.usefixtures("env")
async def test_a_table_stands_alone_while_all_is_well(capsys: Capture) -> None:
    """The table is on stdout, and nothing is on stderr that it says itself."""
    code = await asyncio.to_thread(main, ["once", "--format", "table"])
    out, err = capsys.readouterr()
    assert (0, "", True) == (code, err, out.startswith("Polled at "))
    assert "\nFullest servers, 10 of 120 " in out


@pytest.mark.usefixtures("env")
async def test_failed_polls_are_warned_of(present: Simulator, capsys: Capture) -> None:
    """What failed is on stderr with what to do next; the exit code is 1."""
    present.rules = [Rule("usage", "status", "401")]
    code = await asyncio.to_thread(main, ["once", "--format", "table"])
    out, err = capsys.readouterr()
    warning, hint = err.splitlines()
    assert (1, True) == (code, "failed: unauthorized" in out)
    assert 'level=warning msg="poll failed" account=default collector=usage' in warning
    assert "wlvpn-exporter: 1 of 2 polls failed: see `wlvpn-exporter check --probe`" == hint


@pytest.mark.usefixtures("env")
async def test_whoever_wants_more_log_has_it(capsys: Capture) -> None:
    """A level that was asked for is kept."""
    await asyncio.to_thread(main, ["once", "--format=table", "--log.level=info"])
    assert 2 == capsys.readouterr().err.count('msg="first reading"')
