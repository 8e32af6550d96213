"""Weeks of polls in minutes, with every fifth answer wrong, and what the process has grown by.

`python -m tests.soak --days 30` tells what it saw; the exit code is 1 if anything was wrong.
"""

import argparse
import asyncio
import ctypes
import gc
import os
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from exporter.simulator import Rule
from tests.oracle import Endpoint, Oracle
from tests.stage import Stage, staged
from tests.virtual_loop import VirtualClock, run

START = datetime(2026, 3, 30, 18, 0, tzinfo=UTC)
FAULTS = "*:any:probability=0.2"
STEPS_SECONDS = (20.0, -40.0, 20.0)
"""The wall clock is set three times, and is right again after the last."""

SCRAPE_SECONDS = 600.0
WARM_SHARE = 0.2
"""Of the time: until then every fault has struck, and every cache has been filled."""

MAX_GROWTH_BYTES = 2 * 1024 * 1024

_LOG_LIMIT = 100_000


@dataclass(frozen=True, slots=True)
class Size:
    """How large this process is."""

    rss_bytes: int
    descriptors: int
    tasks: int
    threads: int

    @classmethod
    def now(cls) -> "Size":
        """Measures it, without what is only waiting to be collected."""
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # what the allocator keeps for later is not held
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - the kernel's
            pages = int(file.read().split()[1])
        return cls(
            pages * os.sysconf("SC_PAGE_SIZE"),
            len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - as above
            len(asyncio.all_tasks()),
            threading.active_count(),
        )


@dataclass
class Soaked:
    """What came of it."""

    days: float
    warm: Size
    end: Size
    polls: int = 0
    failures: int = 0
    scrapes: int = 0
    seconds: float = 0.0
    problems: tuple[str, ...] = ()

    @property
    def growth_bytes(self) -> int:
        """By how much memory grew once warm."""
        return self.end.rss_bytes - self.warm.rss_bytes

    def told(self) -> str:
        """For people."""
        sizes = [f"{s.descriptors} / {s.tasks} / {s.threads}" for s in (self.warm, self.end)]
        return (
            f"{self.days:g} days in {self.seconds:.0f} s: {self.polls} polls, "
            f"{self.failures} of them failed, {self.scrapes} scrapes judged, "
            f"{len(self.problems)} problems\n"
            f"RSS {self.warm.rss_bytes / 2**20:.1f} MB warm, {self.end.rss_bytes / 2**20:.1f} MB "
            f"at the end ({self.growth_bytes / 2**20:+.2f} MB)\n"
            f"descriptors / tasks / threads: {sizes[0]} warm, {sizes[1]} at the end"
        )


class Deaf(Oracle):
    """Hears nothing and finds nothing: its own memory would be taken for the exporter's."""

    def hear(self, endpoint: Endpoint, query: Mapping[str, str], body: bytes, at: datetime) -> None:
        """Passes it over."""

    def check(
        self, page: str, at: datetime, *, openmetrics: bool, since: datetime | None = None
    ) -> list[str]:
        """Passes it over."""
        del page, at, openmetrics, since
        return []


def soak(days: float, *, is_judged: bool = True) -> Soaked:
    """Soaks the exporter for so many days of virtual time."""
    found: list[Soaked] = []

    async def scenario(clock: VirtualClock) -> None:
        async with staged(clock, servers=60, kept_requests=100) as (stage, service):
            stage.oracle = (Oracle if is_judged else Deaf)("default", slack_seconds=45)
            stage.simulator.rules = [Rule.parse(FAULTS)]
            async with service.serving() as [stage.url]:
                found.append(await _soak(stage, days))
        found[0].problems = tuple(stage.problems)

    began = time.perf_counter()
    run(scenario, start=START)
    found[0].seconds = time.perf_counter() - began
    return found[0]


async def _soak(stage: Stage, days: float) -> Soaked:
    clock = stage.clock
    await _pass(stage, days * WARM_SHARE)
    warm = await _measure(stage)
    rest = days * (1 - WARM_SHARE) / (len(STEPS_SECONDS) + 1)
    await _pass(stage, rest)
    for seconds in STEPS_SECONDS:
        clock.step(seconds)
        await _pass(stage, rest)
    end = await _measure(stage)
    await stage.scrape()
    samples = dict(stage.samples())
    return Soaked(
        days,
        warm,
        end,
        polls=int(sum(n for key, n in samples.items() if key[0] == "wlvpn_polls_total")),
        failures=int(sum(n for key, n in samples.items() if key[0] == "wlvpn_poll_failures_total")),
        scrapes=stage.scrapes,
    )


async def _measure(stage: Stage) -> Size:
    """Measures after an hour without faults: no answer of 8 MiB is under way then."""
    rules, stage.simulator.rules = stage.simulator.rules, ()
    await _pass(stage, 1 / 24)
    size = Size.now()
    stage.simulator.rules = rules
    return size


async def _pass(stage: Stage, days: float) -> None:
    end = stage.clock.passed + timedelta(days=days).total_seconds()
    while stage.clock.passed < end:
        await stage.clock.sleep(SCRAPE_SECONDS)
        await stage.judge()
        if stage.log.tell() > _LOG_LIMIT:
            stage.judge_log()


def main() -> int:
    """Soaks for as long as told; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=float, default=30, help="of virtual time")
    parser.add_argument(
        "--memory-days", type=float, default=10, help="without a judge, for the memory alone"
    )
    found = parser.parse_args()
    judged = soak(found.days)
    print(judged.told())  # noqa: T201 - its work
    for problem in judged.problems[:20]:
        print(f"  {problem}")  # noqa: T201 - as above
    measured = soak(found.memory_days, is_judged=False)
    print(f"without a judge, {measured.told()}")  # noqa: T201 - as above
    return 1 if judged.problems or measured.growth_bytes > MAX_GROWTH_BYTES else 0


if __name__ == "__main__":
    sys.exit(main())
