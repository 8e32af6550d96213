"""A small simulator on a real port, at an instant of its own."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import aiohttp
import pytest

from exporter.simulator import Clock, Simulator, World


@pytest.fixture
def clock() -> Clock:
    return Clock(datetime(2026, 7, 20, 14, 2, tzinfo=UTC), speed=0)


@pytest.fixture(scope="session")
def world() -> World:
    return World(servers=120)


@pytest.fixture
async def simulator(world: World, clock: Clock) -> AsyncIterator[Simulator]:
    async with Simulator(world, clock, key="s3cret") as simulator:
        yield simulator


@pytest.fixture
async def api(simulator: Simulator) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(
        simulator.url,
        headers={"Authorization": aiohttp.encode_basic_auth("api-key", "s3cret")},
        timeout=aiohttp.ClientTimeout(total=5),
    ) as session:
        yield session
