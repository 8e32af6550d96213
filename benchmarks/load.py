"""Many scrapes, by h2load of nghttp2: it asks an exact number of times, and notes each."""

import re
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.client import ACCEPT
from benchmarks.errors import BenchError
from benchmarks.figure import percentile

_MAX_SECONDS = 300.0
_TRAFFIC = re.compile(r"^traffic: \S+ \((\d+)\) total", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Load:
    """What was seen of a number of scrapes.

    Attributes:
        latencies_ms: of each, in the order of their ends.
        seconds: from the first question to the last answer.
        wire_bytes: what a scrape brings, head and body.
    """

    latencies_ms: tuple[float, ...]
    seconds: float
    wire_bytes: int

    @property
    def p50_ms(self) -> float:
        """What half of the scrapes do not exceed."""
        return percentile(self.latencies_ms, 50)

    @property
    def p99_ms(self) -> float:
        """What 99 in 100 scrapes do not exceed; of fewer than 100, the slowest."""
        return percentile(self.latencies_ms, 99)

    @property
    def per_second(self) -> float:
        """Scrapes answered in a second."""
        return len(self.latencies_ms) / self.seconds


@dataclass(frozen=True, slots=True)
class Loader:
    """Scrapes one page.

    Attributes:
        h2load: the program.
        url: of the page.
        encoding: `gzip` or `identity`.
    """

    h2load: Path
    url: str
    encoding: str

    def run(self, requests: int, *, clients: int = 1, per_second: float | None = None) -> Load:
        """Scrapes so many times; see `begun`.

        Raises:
            BenchError: not every scrape had a good answer.
        """
        with self.begun(requests, clients=clients, per_second=per_second) as loading:
            return loading.result()

    @contextmanager
    def begun(
        self, requests: int, *, clients: int = 1, per_second: float | None = None
    ) -> Iterator["Loading"]:
        """Begins to scrape so many times, by clients that keep their connections.

        Args:
            requests: how many scrapes, of all clients together.
            clients: how many ask at once, each again as soon as it has its answer,
            per_second: or else so many times in a second.
        """
        pace = [f"--rps={per_second:g}"] if per_second else []
        with TemporaryDirectory(prefix="wlvpn-bench-") as folder:
            log = Path(folder) / "log"
            words = (
                *("--h1", f"--requests={requests}", f"--clients={clients}", *pace),
                *("--header", f"accept: {ACCEPT}", "--header", f"accept-encoding: {self.encoding}"),
                *(f"--log-file={log}", self.url),
            )
            process = subprocess.Popen(
                [self.h2load, *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            try:
                yield Loading(process, log, requests)
            finally:
                process.kill()
                process.communicate()


@dataclass(frozen=True, slots=True)
class Loading:
    """A load that has begun."""

    process: subprocess.Popen[bytes]
    log: Path
    requests: int

    @property
    def is_running(self) -> bool:
        """Whether answers are still to come."""
        return self.process.poll() is None

    def result(self) -> Load:
        """Waits for the last answer.

        Raises:
            BenchError: not every scrape had a good answer.
        """
        try:
            told, _ = self.process.communicate(timeout=_MAX_SECONDS)
        except subprocess.TimeoutExpired:
            raise BenchError(f"{self.requests} scrapes take more than {_MAX_SECONDS:g} s") from None
        rows = self.log.read_text(encoding="ascii") if self.log.exists() else ""
        return read(rows, told.decode(errors="replace"), self.requests)


def read(log: str, told: str, requests: int) -> Load:
    """Reads what h2load wrote: its log, and what it told.

    Raises:
        BenchError: not every scrape had a good answer.
    """
    rows = [tuple(map(int, line.split("\t"))) for line in log.splitlines()]
    good = [(start, took) for start, status, took in rows if status == 200]
    traffic = _TRAFFIC.search(told)
    if len(good) != requests or not traffic:
        raise BenchError(f"h2load had {len(good)} good answers of {requests}")
    ends = [start + took for start, took in good]
    return Load(
        latencies_ms=tuple(took / 1000 for _, took in good),
        seconds=(max(ends) - min(start for start, _ in good)) / 1e6,
        wire_bytes=int(traffic[1]) // requests,
    )


def on_time(latencies_ms: Iterable[float], every_ms: float) -> tuple[float, ...]:
    """How long scrapes would have taken if none had waited for the one before.

    A client with one connection asks late while an answer is late, and so hardly meets a stall.
    Each scrape that is held up by the one before is charged with that time as well: then the
    figures are those of scrapes that come when they please.

    Args:
        latencies_ms: as measured, in order.
        every_ms: the pace at which the client means to ask.
    """
    behind_ms = 0.0
    charged = []
    for latency_ms in latencies_ms:
        charged.append(behind_ms + latency_ms)
        behind_ms = max(0.0, charged[-1] - every_ms)
    return tuple(charged)
