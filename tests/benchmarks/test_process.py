"""Programs under measurement: what they cost is read right, and none is left behind."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.errors import BenchError
from benchmarks.process import (
    cpu_ms,
    free_port,
    is_listening,
    memory_mb,
    only_child,
    running,
    wait_until_listening,
)

TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")
SPIN = """
import threading, time
def spin():
    while time.thread_time() < 0.2: pass
thread = threading.Thread(target=spin)
thread.start(); thread.join()
print("done", flush=True)
input()
"""


def ticks_ms(pid: int) -> float:
    """The same as the kernel tells it in hundredths of a second (proc(5), utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_MS


def test_cpu_time_includes_threads_that_ended() -> None:
    """It agrees with the kernel's coarser count, and misses nothing of a thread that is gone."""
    with running(sys.executable, "-c", SPIN, talks=True) as process:
        assert process.stdout
        process.stdout.readline()
        found_ms = cpu_ms(process.pid)
        assert 200 < found_ms
        assert found_ms == pytest.approx(ticks_ms(process.pid), abs=10 * TICK_MS)


def test_cpu_time_of_a_process_that_is_gone_is_an_error() -> None:
    """It is not 0."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    with pytest.raises(BenchError, match="ended by itself"):
        cpu_ms(process.pid)
    with pytest.raises(BenchError, match="ended by itself"):
        memory_mb(process.pid)


def test_the_peak_of_memory_outlasts_it() -> None:
    """200 MB that were taken and given back are in the peak alone."""
    code = "b = bytearray(200 * 2**20); del b; print(flush=True); input()"
    with running(sys.executable, "-c", code, talks=True) as process:
        assert process.stdout
        process.stdout.readline()
        now_mb, peak_mb = memory_mb(process.pid)
    assert peak_mb - now_mb > 190


def test_a_program_ends_with_the_failure_of_another() -> None:
    """Whatever happens while it runs, nothing of it is left."""
    with pytest.raises(KeyError), running(sys.executable, "-c", "input()", talks=True) as process:
        raise KeyError
    assert process.returncode is not None


def test_a_program_that_does_not_start_tells_why() -> None:
    """Its last line is in the error, and the wait is over at once."""
    began = time.monotonic()
    code = "import sys; sys.exit('no such flag')"
    with pytest.raises(BenchError, match="ended by itself: no such flag"):  # noqa: SIM117 - order
        with running(sys.executable, "-c", code) as process:
            wait_until_listening(process, free_port())
    assert time.monotonic() - began < 30


def test_a_program_that_is_missing_is_named() -> None:
    """The error has its name and the system's reason."""
    with (
        pytest.raises(BenchError, match="/nowhere/nginx cannot be started: No such file"),
        running(Path("/nowhere/nginx")),
    ):
        pass


def test_a_free_port_is_free() -> None:
    """Nobody listens on it."""
    assert not is_listening(free_port())


def test_the_exporters_variables_do_not_reach_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has configured an exporter of their own measures a default one all the same."""
    monkeypatch.setenv("WLVPN_LOG__LEVEL", "debug")
    code = "import os; print(sorted(n for n in os.environ if n.startswith('WLVPN_')), flush=True)"
    words = (sys.executable, "-c", code)
    with running(*words, env={"WLVPN_API_KEY": "k"}, talks=True) as process:
        assert process.stdout
        assert b"['WLVPN_API_KEY']\n" == process.stdout.readline()


def test_a_process_without_a_child_is_no_master() -> None:
    """An nginx without a worker is not measured."""
    with (
        pytest.raises(BenchError, match="0 children instead of one"),
        running(sys.executable, "-c", "input()", talks=True) as process,
    ):
        only_child(process)
