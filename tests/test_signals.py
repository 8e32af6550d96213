"""Stopping: whenever it is asked for, the exporter ends well and soon."""

import asyncio
import signal
import time
from pathlib import Path
from random import Random

import pytest

from exporter.simulator import Simulator
from tests.process import EXPORTER, free_port, spawned, variables

INSTANTS = 100
LATEST_SECONDS = 2.0
STOP_SECONDS = 5.0


async def until_it_begins(pid: int) -> None:
    """Waits until our own first lines run: before, the interpreter is not ours yet.

    A process whose coverage is measured would catch the signal earlier, and die of it.
    """
    async with asyncio.timeout(20):
        while not caught(pid) & 1 << (signal.SIGTERM - 1):
            await asyncio.to_thread(time.sleep, 0.001)


def caught(pid: int) -> int:
    """The signals that a process handles itself, as a bit mask (proc(5), SigCgt)."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    [line] = [line for line in status.splitlines() if line.startswith("SigCgt:")]
    return int(line.split()[1], 16)


async def stopped(url: str, delay: float, number: signal.Signals) -> tuple[int, float, str]:
    """Stops the exporter after a delay; the exit code, how long it took, what it said."""
    loop = asyncio.get_running_loop()
    async with spawned(*EXPORTER, env=variables(url, free_port())) as process:
        await until_it_begins(process.pid)
        await asyncio.sleep(delay)
        began = loop.time()
        process.send_signal(number)
        out, err = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode or 0, loop.time() - began, (out + err).decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)
async def test_it_can_be_stopped_at_any_instant(
    number: signal.Signals, simulator: Simulator
) -> None:
    """From its first line on, through imports, first polls and serving: exit 0, no traceback."""
    random, slots = Random(7), asyncio.Semaphore(4)

    async def one(delay: float) -> tuple[int, bool, bool]:
        async with slots:
            code, seconds, said = await stopped(simulator.url, delay, number)
        return code, seconds < STOP_SECONDS, "Traceback" in said

    delays = [random.uniform(0, LATEST_SECONDS) for _ in range(INSTANTS // 2)]
    results = await asyncio.gather(*map(one, delays))
    assert [(0, True, False)] * len(delays) == results


async def test_a_command_that_is_stopped_has_failed(simulator: Simulator) -> None:
    """Who stops `once` gets no exit code that looks like an answer."""
    simulator.rules = ()
    async with spawned(*EXPORTER, "once", env=variables(simulator.url, 0)) as process:
        await until_it_begins(process.pid)
        process.send_signal(signal.SIGTERM)
        out, err = await asyncio.wait_for(process.communicate(), 30)
    assert (128 + signal.SIGTERM, b"") == (process.returncode, out)
    assert b"Traceback" not in err
