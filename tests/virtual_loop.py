"""An event loop whose time passes only when nothing is left to do, and the wall clock with it.

Nothing waits for real: when every task sleeps, time jumps to the next timer. Only for code without
sockets.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import time_machine

from tests.manual_clock import NOON


class VirtualClock:
    """The wall clock is the machine's, travelling; the monotonic one is the loop's."""

    def __init__(self, traveller: time_machine.Traveller) -> None:
        self.traveller = traveller
        self.passed = 1000.0

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


class _Selector(selectors.SelectSelector):
    """Waits for no file: passes the time instead."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout:
            self._clock.jump(timeout)
        return ready


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(_Selector(clock))
        self._virtual = clock

    def time(self) -> float:
        return self._virtual.monotonic()


def run(scenario: Callable[[VirtualClock], Coroutine[Any, Any, None]]) -> None:
    """Runs a scenario in virtual time."""
    with time_machine.travel(NOON, tick=False) as traveller:
        clock = VirtualClock(traveller)
        with asyncio.Runner(loop_factory=lambda: _Loop(clock)) as runner:
            runner.run(scenario(clock))
