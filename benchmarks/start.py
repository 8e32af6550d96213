"""From a program's start to its first whole page, and what it imports until then."""

import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks import client
from benchmarks.errors import BenchError
from benchmarks.figure import spread
from benchmarks.process import (
    PYTHON,
    Say,
    check_alive,
    free_port,
    is_listening,
    memory_mb,
    running,
    wait_until_listening,
)
from benchmarks.program import Programs
from benchmarks.result import Import, Start, Starts, TargetName
from benchmarks.target import node_exporter_flags, variables

SERVERS = 3_500

_PACKAGES = 10
_ASK_SECONDS = 0.002
_IMPORT = re.compile(r"^import time: +(\d+) \| +\d+ \| +(\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class First:
    """The first whole page of a process: when, in which memory, and the page."""

    after_ms: float
    rss_mb: float
    page: bytes


def measure(programs: Programs, rounds: int, say: Say) -> Starts:
    """Starts the exporter and the newest node_exporter in turn.

    Args:
        programs: what is started beside the exporter.
        rounds: how often.
        say: is told how far it is.

    Raises:
        BenchError: something does not run or answer.
    """
    with TemporaryDirectory(prefix="wlvpn-bench-") as name, _simulator() as url:
        folder = Path(name)
        # The first start of all leaves compiled modules, and the page for the others.
        (folder / "page.prom").write_bytes(client.plain(_exporter(url, folder).page))
        starts: dict[TargetName, list[First]] = {"exporter": [], "node_exporter_newest": []}
        imports = []
        for number in range(1, rounds + 1):
            say(f"starts: round {number} of {rounds}")
            starts["exporter"].append(_exporter(url, folder))
            starts["node_exporter_newest"].append(_node_exporter(programs, folder))
            imports.append(_imports(url, folder))
    return Starts(
        servers=SERVERS,
        rounds=rounds,
        starts=tuple(_start(target, found) for target, found in starts.items()),
        imports_ms=median(sum(found.values()) for found in imports),
        imports=dearest(imports),
    )


@contextmanager
def _simulator() -> Iterator[str]:
    port = free_port()
    address = f"127.0.0.1:{port}"
    words = ("exporter", "simulate", f"--servers={SERVERS}", f"--listen-address={address}")
    with running(*PYTHON, *words) as process:
        wait_until_listening(process, port)
        yield f"http://{address}"


def _exporter(url: str, folder: Path) -> First:
    port = free_port()
    return _first((*PYTHON, "exporter"), port, folder, env=variables(url, port))


def _node_exporter(programs: Programs, folder: Path) -> First:
    port = free_port()
    words: list[str | Path] = [
        programs.node_exporter_newest,
        *node_exporter_flags(port, folder),
    ]
    return _first(words, port, folder)


def _first(
    words: Sequence[str | Path],
    port: int,
    folder: Path,
    *,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
) -> First:
    """Starts a program and asks it for its page until it is whole."""
    began = time.perf_counter()
    with running(*words, env=env, cwd=folder, log=log) as process:
        while True:
            time.sleep(_ASK_SECONDS)
            check_alive(process)
            page = client.fetch(port) if is_listening(port) else b""
            after_ms = (time.perf_counter() - began) * 1000
            if page and client.is_complete(page, SERVERS):
                return First(after_ms, memory_mb(process.pid)[0], page)
            if after_ms > 30_000:
                raise BenchError("the first page does not come")


def _start(target: TargetName, found: Sequence[First]) -> Start:
    return Start(
        target=target,
        first_page_ms=spread(first.after_ms for first in found),
        rss_mb=median(first.rss_mb for first in found),
    )


def _imports(url: str, folder: Path) -> Mapping[str, float]:
    """What each package takes to be imported until the first page, in milliseconds."""
    port, log = free_port(), folder / "imports.log"
    words = (sys.executable, "-X", "importtime", "-m", "exporter")
    _first(words, port, folder, env=variables(url, port), log=log)
    return own_ms(log.read_text(encoding="utf-8"))


def own_ms(told: str) -> Mapping[str, float]:
    """Adds up, by package, what `-X importtime` tells of modules without their imports."""
    found: Counter[str] = Counter()
    for microseconds, module in _IMPORT.findall(told):
        found[module.partition(".")[0]] += int(microseconds)
    return {package: total / 1000 for package, total in found.items()}


def dearest(rounds: Sequence[Mapping[str, float]]) -> tuple[Import, ...]:
    """The packages that took longest, by the median of the rounds."""
    medians = {
        package: median(found.get(package, 0.0) for found in rounds) for package in rounds[0]
    }
    ordered = sorted(medians, key=lambda package: (-medians[package], package))
    return tuple(
        Import(package=package, own_ms=medians[package]) for package in ordered[:_PACKAGES]
    )
