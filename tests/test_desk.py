"""Work for clients: one after the other, a few who wait, and those who have gone."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from exporter.desk import MOST_WAITING, BusyError, Desk

Work = Callable[[], Coroutine[Any, Any, int]]


class Job:
    """Work that lasts until it is told to end, and notes that it was begun."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.end = asyncio.Event()

    def work(self, number: int) -> Work:
        async def work() -> int:
            self.begun.append(number)
            await self.end.wait()
            return number

        return work


async def serving(desk: Desk, work: Work) -> asyncio.Task[int]:
    """Comes to the desk, and is there."""
    coming = asyncio.create_task(desk.serve(work))
    await pass_turns()
    return coming


async def pass_turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_work_is_done_one_after_the_other() -> None:
    """In the order of coming."""
    desk, jobs = Desk(), [Job(), Job()]
    coming = [await serving(desk, job.work(n)) for n, job in enumerate(jobs)]
    assert [[0], []] == [job.begun for job in jobs]
    jobs[0].end.set()
    await pass_turns()
    assert [[0], [1]] == [job.begun for job in jobs]
    jobs[1].end.set()
    assert [0, 1] == await asyncio.gather(*coming)


async def test_a_crowd_is_sent_away_at_once() -> None:
    """All that cannot wait, and nobody once there is a place."""
    desk, job = Desk(), Job()
    coming = [await serving(desk, job.work(n)) for n in range(1 + MOST_WAITING)]
    with pytest.raises(BusyError, match=r"^too many ask for this at the same time: "):
        await desk.serve(job.work(99))
    job.end.set()
    assert list(range(1 + MOST_WAITING)) == await asyncio.gather(*coming)
    assert 99 == await desk.serve(job.work(99))


async def test_nothing_is_done_for_those_who_went_while_they_waited() -> None:
    """And their places are free."""
    desk, job = Desk(), Job()
    first = await serving(desk, job.work(0))
    for n in range(3 * MOST_WAITING):
        (await serving(desk, job.work(n))).cancel()
        await pass_turns()
    last = await serving(desk, job.work(99))
    job.end.set()
    assert [0, 99] == [await first, await last]
    assert [0, 99] == job.begun


async def test_a_turn_lasts_as_long_as_its_work() -> None:
    """Also when nobody waits for it any more: a thread cannot be stopped."""
    desk, abandoned, job = Desk(), Job(), Job()
    gone = await serving(desk, abandoned.work(0))
    gone.cancel()
    await pass_turns()
    assert gone.cancelled()
    last = await serving(desk, job.work(1))
    assert [] == job.begun
    abandoned.end.set()
    job.end.set()
    assert 1 == await last


async def test_work_that_fails_ends_its_turn() -> None:
    """Whoever came with it is told how, and the next is served."""

    async def fail() -> int:
        raise ZeroDivisionError

    desk, job = Desk(), Job()
    job.end.set()
    with pytest.raises(ZeroDivisionError):
        await desk.serve(fail)
    assert 1 == await desk.serve(job.work(1))
