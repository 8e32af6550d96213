"""What a run found, as it is kept in `result.json`; tables and chart are made of it alone."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

from benchmarks.figure import Spread

FILE = Path(__file__).parent / "result.json"

TargetName = Literal["exporter", "nginx", "node_exporter", "node_exporter_newest", "live"]
Encoding = Literal["gzip", "identity"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a scrape of one target costs.

    Attributes:
        target: of what.
        servers: on its page.
        encoding: of its answers.
        rounds: how often it was measured.
        cpu_ms: CPU time of the server process for one scrape, one client asking back to back.
        cpu_ratio: the same as a multiple of the exporter's in the same round.
        p50_ms: median latency at one client.
        p99_ms: the 99th percentile of it; the slowest where a round has fewer than 100 scrapes.
        crowd_per_second: scrapes answered in a second to eight clients; None: not measured.
        crowd_p99_ms: the 99th percentile of what they waited; None: not measured.
        wire_bytes: head and body of an answer.
    """

    target: TargetName
    servers: int
    encoding: Encoding
    rounds: int
    cpu_ms: Spread
    cpu_ratio: Spread
    p50_ms: float
    p99_ms: float
    crowd_per_second: float | None
    crowd_p99_ms: float | None
    wire_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """The resident memory of one target: after the first scrapes, and at its peak."""

    target: TargetName
    servers: int
    rss_mb: float
    peak_mb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """CPU time of a scrape when there is one in 50 ms, and its ratio to the exporter's."""

    target: TargetName
    servers: int
    cpu_ms: Spread
    cpu_ratio: Spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """How many times as much CPU a scrape costs when there are more servers."""

    target: TargetName
    few_servers: int
    many_servers: int
    cpu_ratio: Spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrapes:
    """The part about scrapes."""

    costs: tuple[Cost, ...]
    footprints: tuple[Footprint, ...]
    paces: tuple[Pace, ...]
    growths: tuple[Growth, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """From a program's start to its first complete page, and its memory then."""

    target: TargetName
    first_page_ms: Spread
    rss_mb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """What the modules of one package take to be imported, without those that they import."""

    package: str
    own_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Starts:
    """The part about starting."""

    servers: int
    rounds: int
    starts: tuple[Start, ...]
    imports_ms: float
    imports: tuple[Import, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """What scrapes wait, whenever they come."""

    p50_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """What a poll of so many servers takes.

    Attributes:
        servers: in the API's answer.
        rounds: how often it was measured.
        visible_ms: from the last byte of the API's answer to the new page's being served.
        steps_us: from asking to a scraper's having that page, in microseconds for each server; a
            step has the name of what happened at its end.
        jq_ms: what jq takes to make a textfile of the same answer.
        jq_ratio: the same as a multiple of `visible_ms` in the same round.
        idle: what scrapes wait that follow each other at once while there is no poll.
        busy: what these wait while polls follow each other at once.
        paced: what scrapes at a slow pace wait meanwhile.
        stall_ms: the p99 while busy less that while idle, in the same round.
        rss_mb: resident memory before the polls that follow each other.
        peak_mb: its peak, after them.
    """

    servers: int
    rounds: int
    visible_ms: Spread
    steps_us: Mapping[str, float]
    jq_ms: Spread
    jq_ratio: Spread
    idle: Wait
    busy: Wait
    paced: Wait
    stall_ms: Spread
    rss_mb: float
    peak_mb: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """All that was found.

    Attributes:
        cores: of the machine.
        versions: of what was measured, by name.
        scrapes, starts, polls: None where nobody measured it yet.
    """

    cores: int
    versions: Mapping[str, str]
    scrapes: Scrapes | None = None
    starts: Starts | None = None
    polls: tuple[Poll, ...] | None = None


_DIGITS = 4
_ADAPTER = TypeAdapter(Result)


def load(file: Path = FILE) -> Result:
    """Reads what a run kept."""
    return _ADAPTER.validate_json(file.read_bytes())


def save(result: Result, file: Path = FILE) -> None:
    """Keeps what a run found."""
    file.write_text(json.dumps(_dump(result), indent=1) + "\n", encoding="utf-8")


def rounded(result: Result) -> Result:
    """The result as it is kept: figures have four digits, and are not better than that."""
    return _ADAPTER.validate_python(_dump(result))


def _dump(result: Result) -> object:
    return _short(_ADAPTER.dump_python(result, mode="json"))


def _short(value: object) -> object:
    match value:
        case float():
            return float(f"{value:.{_DIGITS}g}")
        case dict():
            return {key: _short(kept) for key, kept in value.items()}
        case list():
            return [_short(kept) for kept in value]
        case _:
            return value
