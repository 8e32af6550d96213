"""The exporter as a process, when the machine is not kind to it."""

import asyncio
import os
from collections.abc import AsyncIterator

import aiohttp
import pytest

from exporter.simulator import Simulator, World
from tests.process import EXPORTER, exporter, free_port, spawned, variables


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """In the present, as the exporter is here."""
    async with Simulator(World(servers=12)) as simulator:
        yield simulator


async def page(port: int) -> str:
    """The metrics, as soon as there are readings."""
    async with aiohttp.ClientSession() as session, asyncio.timeout(20):
        while True:
            try:
                async with session.get(f"http://127.0.0.1:{port}/metrics") as response:
                    text = await response.text()
            except aiohttp.ClientConnectionError:
                text = ""
            if "wlvpn_server_info" in text and "wlvpn_usage_month" in text:
                return text
            await asyncio.sleep(0.02)


async def test_killed_it_starts_again_on_the_same_port(simulator: Simulator) -> None:
    """Nothing is left behind by SIGKILL: neither the port nor a number of the life before."""
    port = free_port()
    environment = {**os.environ, **variables(simulator.url, port)}
    async with spawned(*EXPORTER, env=environment) as killed:
        before = await page(port)
        killed.kill()
        await killed.communicate()
    async with exporter(simulator, port):
        after = await page(port)
    polls = 'wlvpn_polls_total{account="default",collector="servers"} 1.0'
    assert (True, True) == (polls in before, polls in after)


async def test_a_full_disk_costs_the_log_alone(simulator: Simulator) -> None:
    """When stderr cannot be written it serves, and stops as well as ever."""
    port = free_port()
    debug = {**os.environ, **variables(simulator.url, port, WLVPN_LOG__LEVEL="debug")}
    full = os.open("/dev/full", os.O_WRONLY)
    async with spawned(*EXPORTER, env=debug, stderr=full) as process:
        os.close(full)
        assert "wlvpn_up" in await page(port)
        process.terminate()
        out, _ = await asyncio.wait_for(process.communicate(), 10)
    assert (0, b"") == (process.returncode, out)
