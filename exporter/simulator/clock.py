"""The world's clock: UTC, settable, and as fast as one likes.

It runs on the monotonic clock, so a step of the machine's clock never moves the world.
"""

import math
import time
from datetime import UTC, datetime, timedelta


class Clock:
    """The present of a simulated world."""

    def __init__(self, start: datetime | None = None, speed: float = 1.0) -> None:
        """Start at an instant (the real present by default).

        Args:
            start: the first instant, aware of its time zone.
            speed: world seconds per real second; 0 stands still until set or advanced.

        Raises:
            ValueError: the start has no time zone, or the speed is negative or not finite.
        """
        if not (math.isfinite(speed) and speed >= 0):
            raise ValueError(f"speed must be a finite number >= 0, got {speed}")
        self._speed = speed
        self.set(datetime.now(UTC) if start is None else start)

    def now(self) -> datetime:
        """Tell the present in UTC."""
        elapsed = time.monotonic() - self._set_at
        return self._origin + timedelta(seconds=elapsed * self._speed)

    def set(self, at: datetime) -> None:
        """Jump to an instant, back or forth; the speed stays.

        Raises:
            ValueError: the instant has no time zone.
        """
        if at.tzinfo is None:
            raise ValueError(f"the clock needs an instant with a time zone, got {at.isoformat()}")
        self._origin = at.astimezone(UTC)
        self._set_at = time.monotonic()

    def advance(self, by: timedelta) -> None:
        """Jump forth by a span of world time (back, when it is negative)."""
        self.set(self.now() + by)
