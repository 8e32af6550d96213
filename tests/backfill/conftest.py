"""What tests of the backfill share: an API with few cells, for they ask it often."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from exporter.month import Month
from exporter.simulator import Simulator, World
from tests.manual_clock import ManualClock


@pytest.fixture
async def simulator(clock: ManualClock) -> AsyncIterator[Simulator]:
    """Its time is the test's."""
    async with Simulator(World(servers=8), clock.simulated) as simulator:
        yield simulator


@pytest.fixture
async def present() -> AsyncIterator[Simulator]:
    """The API in the present, where processes live."""
    async with Simulator(World(servers=8)) as simulator:
        yield simulator


@pytest.fixture
def settled() -> str:
    """A month that is over for long."""
    return str(Month.of(datetime.now(UTC)).previous.previous)
