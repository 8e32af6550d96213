"""An event loop whose time passes only when nothing is left to do, and the wall clock with it.

Nothing waits for real: when every task sleeps, time jumps to the next timer. Sockets may be used as
long as both ends are on this loop, for what one end sends is there for the other at once. The
clock's `patience` is how long to wait for real before time jumps, where more than that is in play.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import time_machine

from exporter.simulator import Clock
from tests.inline_loop import InlineLoop
from tests.manual_clock import NOON

RESTLESS_ROUNDS = 1000
RESTLESS_SECONDS = 0.05


class VirtualClock:
    """The wall clock is the machine's, travelling; the monotonic one is the loop's."""

    def __init__(self, traveller: time_machine.Traveller) -> None:
        self.traveller = traveller
        self.passed = 1000.0
        self.patience = 0.0

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return self.passed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def step(self, seconds: float) -> None:
        """Steps the wall clock alone, as an operator or NTP does."""
        self.traveller.shift(seconds)

    def jump(self, seconds: float) -> None:
        """Lets time pass."""
        self.passed += seconds
        self.traveller.shift(seconds)


class ApiClock(Clock):
    """The API's own wall clock: it never steps, and may be ahead of ours."""

    def __init__(self, clock: VirtualClock, ahead_seconds: float = 0) -> None:
        self.ahead_seconds = ahead_seconds
        self._clock = clock
        self._began = clock.now(), clock.passed
        super().__init__(clock.now(), speed=0)

    def now(self) -> datetime:
        return self.true_now() + timedelta(seconds=self.ahead_seconds)

    def true_now(self) -> datetime:
        """What a clock would show that nobody ever set."""
        at, passed = self._began
        return at + timedelta(seconds=self._clock.passed - passed)


class _Selector(selectors.DefaultSelector):
    """Waits for what is there: then passes the time."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock
        self._rounds = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        self._rounds = self._rounds + 1 if ready else 0
        if self._rounds > RESTLESS_ROUNDS:
            # A peer that never stops talking must not stop time.
            self._clock.jump(RESTLESS_SECONDS)
        if not ready and timeout != 0 and self._clock.patience:
            ready = super().select(self._clock.patience)
        if not ready and timeout:
            self._clock.jump(timeout)
        return ready


class _Loop(InlineLoop):  # a thread would work in no time at all, or while hours pass
    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(_Selector(clock))
        self._virtual = clock

    def time(self) -> float:
        return self._virtual.monotonic()


def run(
    scenario: Callable[[VirtualClock], Coroutine[Any, Any, None]], *, start: datetime = NOON
) -> None:
    """Runs a scenario in virtual time."""
    with time_machine.travel(start, tick=False) as traveller:
        clock = VirtualClock(traveller)
        with asyncio.Runner(loop_factory=lambda: _Loop(clock)) as runner:
            runner.run(scenario(clock))
