"""A history: days of an exporter in the blocks of a Prometheus, with recorded series and alerts.

`python -m tests.grafana.history --story trouble --folder FOLDER [--serve]` makes one.
"""

import argparse
import gzip
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO

from tests.alerts.catalogue import ROOT, Rule
from tests.grafana import pages
from tests.grafana.api import Api
from tests.grafana.database import prometheus, serve
from tests.grafana.remote_write import STALE, Writer, instant, labels, request, sample
from tests.grafana.replay import Window, replay, rules

TARGET = {"job": "wlvpn", "instance": "exporter:11940"}

QUOTA_BYTES = 33e12
"""What a server may move in a month: a little more than it does."""

_OTHER = '{job="node",instance="node:9100"}'
NEIGHBOUR = {
    f"up{_OTHER}": "-1",
    f"process_resident_memory_bytes{_OTHER}": "1e15",
    f"process_start_time_seconds{_OTHER}": f"{pages.END.timestamp() + 1e6}",
    f"process_cpu_seconds_total{_OTHER}": "NaN",
}
"""A Prometheus has other targets too. What these tell is implausible wherever it is shown."""

OFFSET_SECONDS = 5
"""Rules are evaluated so long before the full minute, and after the scrape."""

CERTIFICATE = "wlvpn_api_tls_not_after_timestamp_seconds"
CERTIFICATE_LEFT = timedelta(days=61)

_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_ESCAPES = {r"\\": "\\", r"\"": '"', r"\n": "\n"}
_BATCH_SECONDS = 50 * 60  # Prometheus takes what is less than an hour behind
_BATCH_SAMPLES = 400_000


@dataclass
class Loader:
    """Writes pages to a database, as a Prometheus that scrapes them would."""

    writer: Writer
    _series: dict[str, tuple[bytes, list[bytes]]] = field(default_factory=dict)
    _last: set[str] = field(default_factory=set)
    _began: int = 0
    _waiting: int = 0

    def load(self, at: int, series: Mapping[str, str]) -> None:
        """Takes the samples of a scrape at a time in milliseconds."""
        if at - self._began > _BATCH_SECONDS * 1000 or self._waiting > _BATCH_SAMPLES:
            self.flush()
            self._began = at
        when = instant(at)
        for name, value in series.items():
            self._add(name, float(value), when)
        for name in self._last - series.keys():
            self._add(name, STALE, when)
        self._last = set(series)

    def flush(self) -> None:
        """Writes what is waiting."""
        waiting = [item for item in self._series.values() if item[1]]
        if not waiting:
            return
        self.writer.write(request(waiting))
        for _, samples in waiting:
            samples.clear()
        self._waiting = 0

    def _add(self, series: str, value: float, when: bytes) -> None:
        if series not in self._series:
            self._series[series] = labels(_named(series)), []
        self._series[series][1].append(sample(value, when))
        self._waiting += 1


def _lines(page: str) -> dict[str, str]:
    """The samples of a page, by series."""
    found = {"up": "1", **NEIGHBOUR}
    for line in page.split("\n"):
        if line and not line.startswith("#"):
            series, _, value = line.rpartition(" ")
            found[series] = value
    return found


def _named(series: str) -> Mapping[str, str]:
    """The labels of a series, with its name and its target's."""
    name, _, rest = series.partition("{")
    own = {key: _unescaped(text) for key, text in _LABEL.findall(rest)}
    return {"__name__": name, **TARGET, **own}


def _unescaped(text: str) -> str:
    return re.sub(r"\\.", lambda found: _ESCAPES[found[0]], text)


def scrapes(stream: IO[bytes]) -> Iterator[tuple[int, dict[str, str]]]:
    """The samples of each page of a stream, with its time in milliseconds."""
    while head := stream.read(pages.FRAME.size):
        at, start, length = pages.FRAME.unpack(head)
        found = _lines(gzip.decompress(stream.read(length)).decode())
        yield at, found | _told_by_the_machine(found, start)


def _told_by_the_machine(found: Mapping[str, str], start: int) -> dict[str, str]:
    """What is no virtual time's on a page: when the process began, and TLS, which both ends check.

    A certificate that ends soon by the one is past its end by the other.
    """
    ends = str((pages.END + CERTIFICATE_LEFT).timestamp())
    told = {name: ends for name in found if name.startswith(CERTIFICATE)}
    return {"process_start_time_seconds": str(start / 1000), **told}


def build(folder: Path, found: argparse.Namespace) -> None:
    """Builds a history in a folder."""
    with prometheus(folder) as url:
        fill([url], found)


def fill(urls: Sequence[str], found: argparse.Namespace) -> None:
    """Writes a history to databases; the first one evaluates the rules."""
    with closing(Api(urls[0])) as api, closing(Writer(*urls)) as writer:
        load(writer, found)
        record(api, writer, rules(QUOTA_BYTES * found.servers), pages.past(found))


def record(api: Api, writer: Writer, known: Sequence[Rule], past: pages.Past) -> None:
    """Evaluates rules after each scrape: all after the last ones, before that the records."""
    records = [rule for rule in known if "record" in rule]
    for stretch, end in (past.long, past.recent), (past.recent, past.last):
        for window in _windows(stretch, end.start - stretch.spacing):
            replay(api, writer, records, window)
    for window in _windows(past.last, pages.END):
        replay(api, writer, known, window)


def _windows(stretch: pages.Stretch, end: datetime) -> Iterator[Window]:
    """Days, more or less: an answer about all of a stretch would be large."""
    step = round(stretch.spacing.total_seconds())
    start, last = (round(each.timestamp()) - OFFSET_SECONDS for each in (stretch.start, end))
    most = 86_400 // step * step
    for begin in range(start, last + 1, most):
        yield Window(begin, min(begin + most - step, last), step)


def load(writer: Writer, found: argparse.Namespace) -> None:
    """Writes a history's pages to databases."""
    words = [sys.executable, "-m", "tests.grafana.pages", *pages.words(found)]
    loader = Loader(writer)
    # A process of its own: its time is virtual, and its memory is on the pages. It knows nothing
    # of this one's environment, nor of a configuration in the folder.
    surroundings = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        words, cwd=Path(__file__).parent, env=surroundings, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        for at, series in scrapes(process.stdout):
            loader.load(at, series)
    loader.flush()
    assert process.returncode == 0


def main() -> None:
    """Builds a history, and serves it if told so."""
    parser = argparse.ArgumentParser(description=__doc__)
    pages.arguments(parser)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--serve", action="store_true", help="afterwards, until interrupted")
    parser.add_argument("--port", type=int, default=9091, help="to serve it at")
    found = parser.parse_args()
    build(found.folder, found)
    if found.serve:
        serve(found.folder, found.port)


if __name__ == "__main__":
    main()
