"""What a poll takes, what a scrape waits meanwhile, and what memory is needed.

The API's answers are prepared, and differ each time. All of it is seen from outside: the processes
are asked, loaded and read as anybody could.
"""

import json
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from benchmarks import client
from benchmarks.errors import BenchError
from benchmarks.figure import percentile, ratios, spread
from benchmarks.load import Loader, on_time
from benchmarks.process import (
    PYTHON,
    Process,
    Say,
    free_port,
    memory_mb,
    running,
    wait_until_listening,
)
from benchmarks.program import Programs
from benchmarks.result import Poll, Wait
from benchmarks.target import api, rounds_at, variables, wait_until_ready

FEWEST_SERVERS = 3_500

_FILTER = Path(__file__).with_name("textfile.jq")
_PER_SECOND = 50.0
_EVERY_MS = 1000 / _PER_SECOND
_IDLE_SCRAPES = 5_000
_BUSY_SCRAPES = 8_000
_PACED_SCRAPES = 150
_POLLS = 3


@dataclass(frozen=True, slots=True)
class Probe:
    """An exporter that polls on command.

    Attributes:
        process: itself.
        port: where it serves.
        answer: a file with what the API says, for jq.
    """

    process: Process
    port: int
    answer: Path

    def poll(self) -> Mapping[str, int]:
        """Polls once.

        Returns:
            Its instants by name, in order, in nanoseconds of the monotonic clock.

        Raises:
            BenchError: the exporter ended, or the poll brought nothing new.
        """
        stdin, stdout = self.process.stdin, self.process.stdout
        if stdin is None or stdout is None:
            raise BenchError("the exporter has no pipes")
        stdin.write(b"\n")
        stdin.flush()
        marks: Mapping[str, int] = json.loads(stdout.readline() or b"{}")
        if not marks:
            raise BenchError("a poll brought nothing new")
        return marks


@dataclass(slots=True)
class Rounds:
    """What the rounds found: latencies and times in milliseconds."""

    visible: list[float] = field(default_factory=list)
    steps: list[Mapping[str, float]] = field(default_factory=list)
    jq: list[float] = field(default_factory=list)
    idle: list[Sequence[float]] = field(default_factory=list)
    busy: list[Sequence[float]] = field(default_factory=list)
    paced: list[Sequence[float]] = field(default_factory=list)


def measure(programs: Programs, sizes: Iterable[int], rounds: int, say: Say) -> tuple[Poll, ...]:
    """Measures polls of each size from 3,500 servers on.

    Args:
        programs: what is measured, and measured with.
        sizes: numbers of servers.
        rounds: how often; three times at the most above 20,000 servers.
        say: is told how far it is.

    Raises:
        BenchError: something does not run or answer.
    """
    wanted = [size for size in sorted(sizes) if size >= FEWEST_SERVERS]
    return tuple(_measure(programs, servers, rounds_at(servers, rounds), say) for servers in wanted)


def _measure(programs: Programs, servers: int, rounds: int, say: Say) -> Poll:
    found = Rounds()
    with _probe(servers) as probe:
        rss_mb, _ = memory_mb(probe.process.pid)
        for number in range(1, rounds + 1):
            say(f"polls, {servers:,} servers: round {number} of {rounds}")
            _visit(probe, programs, found)
        _, peak_mb = memory_mb(probe.process.pid)
    return _summary(servers, found, rss_mb=rss_mb, peak_mb=peak_mb)


@contextmanager
def _probe(servers: int) -> Iterator[Probe]:
    port = free_port()
    with TemporaryDirectory(prefix="wlvpn-bench-") as name, api(servers) as url:
        folder = Path(name)
        answer = folder / "answer.json"
        upstream = urlsplit(url).port or 0
        answer.write_bytes(client.fetch(upstream, "/v2/servers", compressed=False))
        words = (*PYTHON, "benchmarks.back_to_back")
        with running(*words, env=variables(url, port), cwd=folder, talks=True) as process:
            wait_until_listening(process, port)
            wait_until_ready(process, port, servers)
            yield Probe(process, port, answer)


def _visit(probe: Probe, programs: Programs, found: Rounds) -> None:
    """One round: single polls, jq, scrapes without polls, scrapes with them."""
    singles = [_watch(probe) for _ in range(_POLLS)]
    found.visible.append(median(visible_ms(steps) for steps in singles))
    found.steps.append({step: median(steps[step] for steps in singles) for step in singles[0]})
    found.jq.append(_run_jq(programs.jq, probe.answer))
    loader = Loader(programs.h2load, f"http://127.0.0.1:{probe.port}/metrics", "gzip")
    found.idle.append(loader.run(_IDLE_SCRAPES).latencies_ms)
    found.busy.append(_meet_polls(probe, loader, _BUSY_SCRAPES))
    paced = _meet_polls(probe, loader, _PACED_SCRAPES, per_second=_PER_SECOND)
    found.paced.append(on_time(paced, _EVERY_MS))


def _meet_polls(
    probe: Probe, loader: Loader, scrapes: int, *, per_second: float | None = None
) -> Sequence[float]:
    """Scrapes while one poll follows the other; gives what each scrape took in milliseconds."""
    with loader.begun(scrapes, per_second=per_second) as loading:
        while loading.is_running:
            probe.poll()
        return loading.result().latencies_ms


def _watch(probe: Probe) -> Mapping[str, float]:
    """Polls once and scrapes at once; gives what each step took in milliseconds.

    A step has the name of the instant at its end; the last one ends when a scraper has the page.
    """
    marks = {**probe.poll()}
    client.fetch(probe.port)
    marks["scraped"] = time.monotonic_ns()
    return steps_ms(marks)


def steps_ms(marks: Mapping[str, int]) -> Mapping[str, float]:
    """The time between instants in milliseconds, by the name of the later one."""
    return {later: (marks[later] - marks[earlier]) / 1e6 for earlier, later in pairwise(marks)}


def visible_ms(steps: Mapping[str, float]) -> float:
    """From the last byte of the API's answer to the new page's being served."""
    return sum(took for step, took in steps.items() if step not in {"answered", "scraped"})


def _run_jq(jq: Path, answer: Path) -> float:
    """Makes a textfile of an answer as a cron job would; gives the milliseconds it took."""
    made = answer.with_name("made.prom")
    began = time.perf_counter()
    with made.open("wb") as file:
        done = subprocess.run([jq, "-r", "-f", _FILTER, answer], stdout=file, check=False)
    made.replace(answer.with_name("page.prom"))
    if done.returncode:
        raise BenchError("jq failed")
    return (time.perf_counter() - began) * 1000


def _summary(servers: int, found: Rounds, *, rss_mb: float, peak_mb: float) -> Poll:
    return Poll(
        servers=servers,
        rounds=len(found.visible),
        visible_ms=spread(found.visible),
        steps_us={
            step: median(steps[step] for steps in found.steps) * 1000 / servers
            for step in found.steps[0]
        },
        jq_ms=spread(found.jq),
        jq_ratio=ratios(found.jq, found.visible),
        idle=_wait(found.idle),
        busy=_wait(found.busy),
        paced=_wait(found.paced),
        stall_ms=spread(
            percentile(busy, 99) - percentile(idle, 99)
            for idle, busy in zip(found.idle, found.busy, strict=True)
        ),
        rss_mb=rss_mb,
        peak_mb=peak_mb,
    )


def _wait(rounds: Sequence[Sequence[float]]) -> Wait:
    """Sums up the scrapes of all rounds."""
    waited_ms = [waited for found in rounds for waited in found]
    return Wait(
        p50_ms=percentile(waited_ms, 50),
        p99_ms=percentile(waited_ms, 99),
        max_ms=max(waited_ms),
    )
