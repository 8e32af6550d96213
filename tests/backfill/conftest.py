"""What tests of the backfill share: an API with few cells, for they ask it often."""

from collections.abc import AsyncIterator

import pytest

from exporter.simulator import Simulator, World
from tests.manual_clock import ManualClock


@pytest.fixture
async def simulator(clock: ManualClock) -> AsyncIterator[Simulator]:
    """Its time is the test's."""
    async with Simulator(World(servers=8), clock.simulated) as simulator:
        yield simulator
