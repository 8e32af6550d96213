"""The programs that are measured, as processes: started, watched, and ended whatever happens.

What a process costs is read from Linux, which has to be the system.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, cast

from benchmarks.errors import BenchError

ROOT = Path(__file__).parent.parent
PYTHON = (sys.executable, "-m")

_START_SECONDS = 60.0
_STOP_SECONDS = 10.0
_CPUCLOCK_SCHED = 2  # include/linux/posix-timers_types.h: as the scheduler counts

Process = subprocess.Popen[bytes]

Say = Callable[[str], None]
"""Is told how far a measurement is."""


@contextmanager
def running(
    *words: str | Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    talks: bool = False,
    log: Path | None = None,
) -> Iterator[Process]:
    """Runs a program until it is left.

    Args:
        words: the program and its arguments.
        env: variables beside those that we have; none of them are the exporter's.
        cwd: where it runs; a `.env` there would configure the exporter.
        talks: whether its stdin and stdout are ours.
        log: a file for what it writes to stderr.

    Raises:
        BenchError: it cannot be started.
    """
    pipe = subprocess.PIPE if talks else subprocess.DEVNULL
    with log.open("w+b") if log else TemporaryFile() as told:
        try:
            process = subprocess.Popen(
                words, env=_env(env or {}), cwd=cwd, stdin=pipe, stdout=pipe, stderr=told
            )
        except OSError as error:
            raise BenchError(f"{words[0]} cannot be started: {error.strerror}") from None
        try:
            yield process
        except BenchError as error:
            if process.poll() is None:
                raise
            raise BenchError(f"{error}{_last_line(told)}") from None
        finally:
            _end(process)


def _env(more: Mapping[str, str]) -> dict[str, str]:
    ours = {name: text for name, text in os.environ.items() if not name.startswith("WLVPN_")}
    return {**ours, "PYTHONPATH": str(ROOT), **more}


def _last_line(told: IO[bytes]) -> str:
    told.seek(0)
    lines = told.read().decode(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f": {last}" if last else ""


def _end(process: Process) -> None:
    process.terminate()
    try:
        process.communicate(timeout=_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


def free_port() -> int:
    """A port of the loopback address that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_listening(process: Process, port: int) -> None:
    """Waits until a program accepts connections.

    Raises:
        BenchError: it ended, or does not listen within a minute.
    """
    deadline = time.monotonic() + _START_SECONDS
    while not is_listening(port):
        check_alive(process)
        if time.monotonic() > deadline:
            raise BenchError(f"{name(process)} does not listen on its port")
        time.sleep(0.02)


def is_listening(port: int) -> bool:
    """Whether connections are accepted."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def check_alive(process: Process) -> None:
    """Sees to it that a program still runs.

    Raises:
        BenchError: it ended.
    """
    if process.poll() is not None:
        raise BenchError(f"{name(process)} ended by itself")


def name(process: Process) -> str:
    """How to call a program in a message."""
    words = cast("tuple[str | Path, ...]", process.args)
    return " ".join(map(str, words[2:4] if words[:2] == PYTHON else words[:1]))


def only_child(process: Process) -> int:
    """The process ID of a program's only child.

    Raises:
        BenchError: it has none, or several.
    """
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    found = children.read_text(encoding="ascii").split()
    if len(found) != 1:
        raise BenchError(f"{name(process)} has {len(found)} children instead of one")
    return int(found[0])


def cpu_ms(pid: int) -> float:
    """The CPU time that a process has used so far, in milliseconds.

    All its threads count, also those that ended; the kernel gives nanoseconds.

    Raises:
        BenchError: there is no such process.
    """
    try:
        return time.clock_gettime_ns(~pid << 3 | _CPUCLOCK_SCHED) / 1e6
    except OSError:
        raise BenchError(f"process {pid} ended by itself") from None


def memory_mb(pid: int) -> tuple[float, float]:
    """The memory of a process that is resident, now and at its peak, in MB.

    Raises:
        BenchError: there is no such process.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        raise BenchError(f"process {pid} ended by itself") from None
    rows = [line.split() for line in lines]
    kilobytes = {row[0]: int(row[1]) for row in rows if row[-1:] == ["kB"]}
    return kilobytes["VmRSS:"] / 1024, kilobytes["VmHWM:"] / 1024
