"""A process of its own that polls once and tells by how much its memory grew.

`python -m tests.memory URL KEY INSTANT COLLECTOR` prints the bytes between what it held before its
first poll and the most that it held until its end, and the records of that poll.
"""

import asyncio
import json
import sys
from datetime import datetime
from pathlib import Path

from exporter import process
from exporter.config import load
from exporter.events import Accepted
from exporter.service import Service
from tests.manual_clock import ManualClock

_KIBIBYTE = 1024


def resident_bytes(row: str) -> int:
    """A row of what Linux tells of this process: VmRSS is held now, VmHWM was the most."""
    rows = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(each.split()[1]) for each in rows if each.startswith(f"{row}:")) * _KIBIBYTE


def forget_the_most() -> None:
    """Has Linux begin anew with VmHWM."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


async def measure(url: str, key: str, at: datetime, name: str) -> tuple[int, int]:
    """Polls one collector once, at an instant; gives the growth in bytes, and the records."""
    flags = {f"collectors.{other}.enabled": "false" for other in ("servers", "usage")}
    flags |= {f"collectors.{name}.enabled": "true", "base_url": url, "api_key": key}
    service = Service(load(flags), clock=ManualClock(at), runtime=False)
    async with service.pollers() as [poller]:
        forget_the_most()
        before = resident_bytes("VmRSS")
        outcome = await poller.poll()
        service.store.body("text")
    assert isinstance(outcome, Accepted), outcome
    return resident_bytes("VmHWM") - before, outcome.records


async def _main() -> None:
    url, key, at, name = sys.argv[1:]
    process.settle()
    told = await measure(url, key, datetime.fromisoformat(at), name)
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    asyncio.run(_main())
