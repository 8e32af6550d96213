"""Virtual time for the exporter and the simulator alike."""

from datetime import UTC, datetime, timedelta

from exporter.simulator import Clock

NOON = datetime(2026, 3, 17, 12, 0, tzinfo=UTC)


class ManualClock:
    """Moves when it is told to or when somebody waits; the simulator's clock moves along."""

    def __init__(self, at: datetime = NOON) -> None:
        self.simulated = Clock(at, speed=0)
        self._monotonic = 1000.0

    def now(self) -> datetime:
        return self.simulated.now()

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        self._monotonic += seconds
        self.simulated.advance(timedelta(seconds=seconds))
