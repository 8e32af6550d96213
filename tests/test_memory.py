"""What a poll needs does not grow with the number of customers."""

import asyncio
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from exporter.simulator import Clock, Simulator, World
from tests.process import spawned

ROOT = Path(__file__).parents[1]
EVENING = datetime(2026, 3, 17, 23, 50, tzinfo=UTC)
MEGABYTE = 1_000_000
MOST_BYTES = 8 * MEGABYTE  # seen: 2 to 3; kept as records, a hundred thousand would take 30


async def growth(name: str, customers: int) -> tuple[int, int]:
    """By how many bytes a process of its own grows in one poll, and the records of that."""
    world, clock = World(servers=0, customers=customers), Clock(EVENING, speed=0)
    async with Simulator(world, clock, kept_requests=0) as simulator:
        words = (simulator.url, str(simulator.key), f"{EVENING.isoformat()}", name)
        async with spawned(sys.executable, "-m", "tests.memory", *words, cwd=ROOT) as process:
            out, err = await asyncio.wait_for(process.communicate(), 60)
    assert b"" == err
    grown, records = json.loads(out)
    return grown, records


async def test_a_report_on_100_000_customers_takes_no_room() -> None:
    """Each is counted and let go, chunk by chunk."""
    grown, records = await growth("usage_report", 185_000)
    assert records > 100_000
    assert grown < MOST_BYTES


async def test_accounts_take_no_room() -> None:
    """Nor do the accounts, page by page."""
    grown, records = await growth("accounts", 50_000)
    assert 50_000 == records
    assert grown < MOST_BYTES
