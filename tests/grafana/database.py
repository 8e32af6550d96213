"""A Prometheus over a folder of blocks.

`python -m tests.grafana.database --folder FOLDER --port 9091` runs one until it is interrupted.
"""

import argparse
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.alerts.catalogue import BINARIES
from tests.grafana.pages import END
from tests.process import free_port

_CONFIG = """\
global: {evaluation_interval: 1h}
storage: {tsdb: {out_of_order_time_window: 30d}}
"""


@contextmanager
def prometheus(folder: Path, *, version: str = "3", port: int = 0) -> Iterator[str]:
    """Runs a generation of Prometheus over a folder; gives its address."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "prometheus.yml"
    config.write_text(_CONFIG)
    port = port or free_port()
    words = [
        f"{BINARIES}/{version}/usr/bin/prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={folder}/data",
        "--storage.tsdb.retention.time=100y",
        "--web.enable-remote-write-receiver",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ]
    with running(words, f"http://127.0.0.1:{port}", "/-/ready") as url:
        yield url


@contextmanager
def victoria(folder: Path) -> Iterator[str]:
    """Runs a VictoriaMetrics over a folder; gives its address."""
    port = free_port()
    words = [
        f"{BINARIES}/3/usr/bin/victoria-metrics",
        f"-storageDataPath={folder}",
        "-retentionPeriod=100y",
        f"-httpListenAddr=127.0.0.1:{port}",
        "-loggerLevel=ERROR",
    ]
    with running(words, f"http://127.0.0.1:{port}", "/health") as url:
        yield url


def flush(url: str) -> None:
    """Lets a VictoriaMetrics answer with what was just written, which takes it a second or two."""
    urllib.request.urlopen(f"{url}/internal/force_flush").close()  # noqa: S310 - ours


@contextmanager
def running(words: list[str], url: str, ready: str) -> Iterator[str]:
    """Runs a program until it is ready, and ends it well."""
    process = subprocess.Popen(words)
    try:
        _wait(process, url + ready)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _wait(process: "subprocess.Popen[bytes]", url: str) -> None:
    """Waits until it answers.

    Raises:
        AssertionError: it never does.
    """
    for _ in range(600):
        assert process.poll() is None, f"{process.args!r} ended"
        try:
            urllib.request.urlopen(url).close()  # noqa: S310 - ours
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"{url} is never ready")


def serve(folder: Path, port: int) -> None:
    """Runs Prometheus over a folder until it is interrupted."""
    with prometheus(folder, port=port) as url:
        milliseconds = round(END.timestamp() * 1000)
        told = f"{url} holds what was until {END.isoformat()} ({milliseconds})"
        print(told, flush=True)  # noqa: T201 - its work
        ends = {signal.SIGINT, signal.SIGTERM}
        signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # after Prometheus began, which inherits it
        signal.sigwait(ends)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--port", type=int, default=9091)
    found = parser.parse_args()
    serve(found.folder, found.port)


if __name__ == "__main__":
    main()
