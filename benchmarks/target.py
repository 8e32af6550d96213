"""The servers that are compared, all with the same exposition: the exporter's own page."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import client
from benchmarks.errors import BenchError
from benchmarks.load import Loader
from benchmarks.process import (
    PYTHON,
    Process,
    check_alive,
    free_port,
    only_child,
    running,
    wait_until_listening,
)
from benchmarks.program import Programs
from benchmarks.result import Encoding, TargetName

LARGE_SERVERS = 20_000
"""From more than this on a measurement takes long, and fills a machine."""

_LARGE_ROUNDS = 3
_READY_SECONDS = 60.0

# With tcp_nopush some answers stall for 44 ms, which would flatter us.
_NGINX = """\
daemon off;
user root;
worker_processes 1;
pid {folder}/nginx.pid;
events {{ worker_connections 512; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush off;
    gzip_static on;
    keepalive_requests 1000000000;
    default_type "text/plain; version=0.0.4; charset=utf-8";
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{ listen 127.0.0.1:{port}; root {folder}/www; }}
}}
"""


def is_large(servers: int) -> bool:
    """Whether a fleet has the machine for itself."""
    return servers > LARGE_SERVERS


def rounds_at(servers: int, rounds: int) -> int:
    """How often a fleet is measured: a large one three times at the most."""
    return min(rounds, _LARGE_ROUNDS) if is_large(servers) else rounds


@dataclass(frozen=True, slots=True)
class Target:
    """A server with a page.

    Attributes:
        name: which of those that are compared.
        pid: the process that does the work.
        port: where it listens.
    """

    name: TargetName
    pid: int
    port: int

    def loader(self, h2load: Path, encoding: Encoding) -> Loader:
        """What scrapes it."""
        return Loader(h2load, f"http://127.0.0.1:{self.port}/metrics", encoding)


@contextmanager
def targets(servers: int, programs: Programs, folder: Path) -> Iterator[list[Target]]:
    """Runs all that are compared, each with the page of so many servers.

    Args:
        servers: on the page.
        programs: what to run.
        folder: an empty one, for their files.

    Raises:
        BenchError: one of them does not serve the whole page.
    """
    with ExitStack() as exits:
        ours = exits.enter_context(exporter(servers, folder))
        packed = client.fetch(ours.port)
        _write(packed, folder)
        newest = programs.node_exporter_newest
        found = [
            ours,
            exits.enter_context(nginx(programs.nginx, folder)),
            exits.enter_context(node_exporter("node_exporter", programs.node_exporter, folder)),
            exits.enter_context(node_exporter("node_exporter_newest", newest, folder)),
            exits.enter_context(live(folder)),
        ]
        for target in found:
            _check(target, client.plain(packed))
        yield found


def _write(packed: bytes, folder: Path) -> None:
    """Leaves the page where each of them looks for it."""
    (folder / "www").mkdir()
    (folder / "www" / "metrics").write_bytes(client.plain(packed))
    (folder / "www" / "metrics.gz").write_bytes(packed)
    (folder / "textfile").mkdir()
    (folder / "textfile" / "page.prom").write_bytes(client.plain(packed))


def _check(target: Target, page: bytes) -> None:
    """Sees to it that a target serves each sample of the page, compressed and not."""
    wanted = page.count(b"\nwlvpn_")
    for compressed in (True, False):
        served = client.plain(client.fetch(target.port, compressed=compressed))
        if (found := served.count(b"\nwlvpn_")) != wanted:
            raise BenchError(f"{target.name} serves {found} of {wanted} samples")


@contextmanager
def api(servers: int) -> Iterator[str]:
    """Runs the API with prepared answers; gives its URL."""
    port = free_port()
    words = ("benchmarks.upstream", f"--servers={servers}", f"--port={port}")
    with running(*PYTHON, *words) as process:
        wait_until_listening(process, port)
        yield f"http://127.0.0.1:{port}"


def variables(url: str, port: int) -> Mapping[str, str]:
    """What the exporter has to be told: to poll once, whatever the size."""
    return {
        "WLVPN_API_KEY": "demo-key",
        "WLVPN_BASE_URL": url,
        "WLVPN_WEB__LISTEN_ADDRESS": f"127.0.0.1:{port}",
        "WLVPN_MAX_BODY_BYTES": "1000000000",
        "WLVPN_COLLECTORS__SERVERS__INTERVAL": "1d",
        "WLVPN_COLLECTORS__SERVERS__MAX_RECORDS": "1000000",
        "WLVPN_COLLECTORS__USAGE__INTERVAL": "1d",
    }


@contextmanager
def exporter(servers: int, folder: Path) -> Iterator[Target]:
    """Runs the exporter, as its users do, until it has polled; the API is gone then."""
    port = free_port()
    with ExitStack() as exits:
        with api(servers) as url:
            words = (*PYTHON, "exporter")
            process = exits.enter_context(running(*words, env=variables(url, port), cwd=folder))
            wait_until_listening(process, port)
            wait_until_ready(process, port, servers)
        yield Target("exporter", process.pid, port)


def wait_until_ready(process: Process, port: int, servers: int) -> None:
    """Waits until the exporter's page has all servers, and their usage.

    Raises:
        BenchError: it ended, or that takes more than a minute.
    """
    deadline = time.monotonic() + _READY_SECONDS
    while not _is_ready(client.plain(client.fetch(port)), servers):
        check_alive(process)
        if time.monotonic() > deadline:
            raise BenchError(f"the exporter does not get to know its {servers} servers")
        time.sleep(0.1)


def _is_ready(page: bytes, servers: int) -> bool:
    return client.is_complete(page, servers) and b"\nwlvpn_usage_previous_month_bytes{" in page


@contextmanager
def nginx(program: Path, folder: Path) -> Iterator[Target]:
    """Runs nginx with one worker: the page's bytes, from files."""
    port = free_port()
    file = folder / "nginx.conf"
    file.write_text(_NGINX.format(folder=folder, port=port), encoding="utf-8")
    with running(program, "-e", "stderr", "-c", file) as process:
        wait_until_listening(process, port)
        client.fetch(port)  # from now on there is a worker
        yield Target("nginx", only_child(process), port)


@contextmanager
def node_exporter(name: TargetName, program: Path, folder: Path) -> Iterator[Target]:
    """Runs node_exporter with its textfile collector alone, as if a cron job wrote the page."""
    port = free_port()
    with running(program, *node_exporter_flags(port, folder / "textfile")) as process:
        wait_until_listening(process, port)
        yield Target(name, process.pid, port)


def node_exporter_flags(port: int, folder: Path) -> Sequence[str]:
    """Tells node_exporter to serve the textfiles of a folder and nothing else."""
    return (
        f"--web.listen-address=127.0.0.1:{port}",
        "--web.disable-exporter-metrics",
        "--collector.disable-defaults",
        "--collector.textfile",
        f"--collector.textfile.directory={folder}",
        "--log.level=error",
    )


@contextmanager
def live(folder: Path) -> Iterator[Target]:
    """Runs an exporter that renders Gauges for each scrape."""
    port = free_port()
    words = ("benchmarks.live", f"--page={folder / 'www' / 'metrics'}", f"--port={port}")
    with running(*PYTHON, *words) as process:
        wait_until_listening(process, port)
        yield Target("live", process.pid, port)
