"""The time, as a parameter: whoever needs to know it or to wait gets a Clock handed in."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol

# Where there is none that counts sleep as well, as on macOS, the next best has to do.
_ELAPSED = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(Protocol):
    """What the exporter asks of time."""

    def now(self) -> datetime:
        """The present instant, in UTC; it may step."""

    def monotonic(self) -> float:
        """Seconds since some instant; it never steps."""

    async def sleep(self, seconds: float) -> None:
        """Waits."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """The present instant, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since the machine started, its sleep included: a reading ages in it as well."""
        return time.clock_gettime(_ELAPSED)

    async def sleep(self, seconds: float) -> None:
        """Waits."""
        await asyncio.sleep(seconds)
