"""When polls happen: one APScheduler job for each account and collector.

The cadence is a grid of intervals; what a poll's outcome demands (ask again soon, stay away, the
month's end) moves the next run, and the grid goes on from there. A watchdog on the monotonic clock
wakes jobs that a step of the wall clock has put to sleep: APScheduler waits for wall time.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

from apscheduler.job import Job
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

from exporter.clock import Clock
from exporter.errors import ApiError, ForbiddenError, RateLimitedError, UnauthorizedError
from exporter.events import Accepted, Held, Listener, LoopLagged, Outcome, PollOverdue, PollPlanned
from exporter.poll import DEGRADED_AFTER_FAILURES, Poller

HELD_SECONDS = 15.0
MONTH_START_SECONDS = 5.0
"""How long after a content's end the next poll is due: by then the API's clock has turned too."""

MAX_DEGRADED_SECONDS = 300.0
SPREAD_SECONDS = 0.5
WATCH_SECONDS = 1.0
OVERDUE_SECONDS = 5.0
MAX_EARLY_SECONDS = 0.5
FIRST_RETRY_SECONDS = 60.0
"""As long as there is nothing to serve, the first retries come sooner than a long interval."""

DEAD_SECONDS = 30.0


class Cadence(BaseTrigger):  # type: ignore[misc] # APScheduler has no types
    """Every interval, without drift; polls that were missed are not made up for.

    APScheduler's own interval trigger walks through every missed run: a machine whose clock is set
    from 1970 to today would hang in it.
    """

    def __init__(self, interval: timedelta) -> None:
        self.interval = interval

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """Gives the next point of the grid; where that is past, the grid begins anew from now."""
        following = (previous_fire_time or now) + self.interval
        return following if following > now else now + self.interval


@dataclass(slots=True)
class Turn:
    """One job.

    Attributes:
        poller: what it runs.
        job: APScheduler's side of it.
        due: when the next poll is due, on the monotonic clock.
        away_until: until when no poll is made on purpose, on the monotonic clock.
        refused: the reason of the last failure.
        refusals: how many times in a row it was that one.
        holds: how many answers in a row were held.
        running: the poll while it runs.
    """

    poller: Poller
    job: Job
    due: float = 0.0
    away_until: float = 0.0
    refused: str = ""
    refusals: int = 0
    holds: int = 0
    running: asyncio.Task[Outcome] | None = None

    @property
    def next_poll(self) -> datetime:
        """When the next poll is due."""
        at: datetime = self.job.next_run_time
        return at


class Scheduler:
    """Runs the pollers, as a context manager; leaving it cancels the running polls."""

    def __init__(self, pollers: Sequence[Poller], *, clock: Clock, emit: Listener) -> None:
        self._pollers = pollers
        self._clock = clock
        self._emit = emit
        self._turns: list[Turn] = []
        self._limited: dict[str, float] = {}  # until when, on the monotonic clock, by account
        self._jobs = AsyncIOScheduler(timezone=UTC)
        self._seen = clock.monotonic()

    async def __aenter__(self) -> Self:
        self._jobs.start(paused=True)
        accounts = list(dict.fromkeys(poller.account for poller in self._pollers))
        for poller in self._pollers:
            spread = timedelta(seconds=SPREAD_SECONDS) * accounts.index(poller.account)
            self._add(poller, first=self._clock.now() + spread)
        self._watchdog = asyncio.create_task(self._watch())
        self._jobs.resume()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._jobs.pause()
        # A job that is on its way begins its poll in the loop's next round.
        await asyncio.sleep(0)
        tasks = [self._watchdog, *(turn.running for turn in self._turns if turn.running)]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        # Let the jobs see their polls' end: APScheduler logs what it has to cancel as an error.
        await asyncio.sleep(0)
        self._jobs.shutdown(wait=False)
        # It happens in the loop's next round.
        await asyncio.sleep(0)

    @property
    def is_alive(self) -> bool:
        """Whether polls go on; the watchdog runs on the same loop as they do."""
        return bool(self._jobs.running and self._clock.monotonic() - self._seen < DEAD_SECONDS)

    def _add(self, poller: Poller, *, first: datetime) -> None:
        turn = Turn(poller, job=None)
        turn.job = self._jobs.add_job(
            self._run,
            Cadence(poller.collector.options.interval),
            args=[turn],
            id=f"{poller.account}/{poller.collector.name}",
            next_run_time=first,
            max_instances=1,
            coalesce=True,
            misfire_grace_time=None,
        )
        self._turns.append(turn)
        self._move(turn, first)

    async def _run(self, turn: Turn) -> None:
        early = turn.away_until - self._clock.monotonic()
        if early > MAX_EARLY_SECONDS:
            # The wall clock stepped forth, and APScheduler with it; the API asked for true seconds.
            self._move(turn, self._clock.now())
            return
        turn.running = asyncio.create_task(turn.poller.poll())
        try:
            await asyncio.wait([turn.running])
            if not turn.running.cancelled():
                self._plan(turn, turn.running.result())
        finally:
            turn.running = None

    def _plan(self, turn: Turn, outcome: Outcome) -> None:
        """Moves the next poll to where the outcome wants it."""
        now = self._clock.now()
        match outcome:
            case Accepted():
                turn.refusals = turn.holds = 0
                turn.away_until = 0.0
                at = self._following(turn, now)
                until = turn.poller.valid_until()
                if until and until <= now:  # it ended while it was on its way
                    at = min(at, now + timedelta(seconds=MONTH_START_SECONDS))
                self._move(turn, at)
            case Held():
                turn.holds += 1
                following = self._following(turn, now)
                # Answers that never agree are no reason to ask for ever more often.
                at = now + timedelta(seconds=HELD_SECONDS) if turn.holds == 1 else following
                self._move(turn, at)
            case ApiError() as error:
                self._back_off(turn, error, now)

    def _back_off(self, turn: Turn, error: ApiError, now: datetime) -> None:
        turn.refusals = turn.refusals + 1 if turn.refused == error.reason else 1
        turn.refused = error.reason
        pause = timedelta(seconds=pause_seconds(error, turn.refusals))
        if isinstance(error, RateLimitedError):
            # The limit on requests is the account's, so all its collectors stay away.
            account, monotonic = turn.poller.account, self._clock.monotonic()
            until = monotonic + pause.total_seconds()
            self._limited[account] = max(until, self._limited.get(account, until))
            for other in self._turns:
                if other.poller.account == account and not other.running:
                    # By the monotonic clock: the other may have stepped since that was planned.
                    self._move(other, now + timedelta(seconds=max(0.0, other.due - monotonic)))
        interval = turn.poller.collector.options.interval
        longer = timedelta(seconds=degraded_seconds(interval, turn.poller.failures))
        turn.away_until = self._clock.monotonic() + max(pause, longer).total_seconds()
        at = self._following(turn, now)
        if not turn.poller.has_reading:
            sooner = sooner_seconds(interval, turn.poller.failures)
            at = min(at, now + timedelta(seconds=sooner))
        self._move(turn, at)

    def _following(self, turn: Turn, now: datetime) -> datetime:
        """The grid's next point, or where the last reading ends by itself before that."""
        # Planned before the clock stepped back, that point may be hours away.
        at = min(turn.next_poll, now + turn.poller.collector.options.interval)
        until = turn.poller.valid_until()
        renewal = until + timedelta(seconds=MONTH_START_SECONDS) if until else at
        return min(at, renewal) if renewal > now else at

    def _move(self, turn: Turn, at: datetime) -> None:
        """Plans the next poll, but not while the API is left alone on purpose."""
        now, monotonic = self._clock.now(), self._clock.monotonic()
        limited = self._limited.get(turn.poller.account, monotonic)
        until = now + timedelta(seconds=max(limited, turn.away_until, monotonic) - monotonic)
        turn.away_until = max(limited, turn.away_until)
        at = max(at, until)
        if at != turn.next_poll:
            turn.job.modify(next_run_time=at)
        turn.due = monotonic + (at - now).total_seconds()
        interval = turn.poller.collector.options.interval
        degraded = degraded_seconds(interval, turn.poller.failures)
        self._emit(
            PollPlanned(
                account=turn.poller.account,
                collector=turn.poller.collector.name,
                at=at,
                interval_seconds=max(interval.total_seconds(), degraded),
                backoff_until=until if until > now else None,
            )
        )

    async def _watch(self) -> None:
        while True:
            before = self._clock.monotonic()
            await self._clock.sleep(WATCH_SECONDS)
            self._seen = self._clock.monotonic()
            self._emit(LoopLagged(lag_seconds=max(0.0, self._seen - before - WATCH_SECONDS)))
            for turn in self._turns:
                self._wake(turn)

    def _wake(self, turn: Turn) -> None:
        overdue = self._seen - turn.due
        if turn.running or overdue < OVERDUE_SECONDS:
            return
        self._emit(
            PollOverdue(
                account=turn.poller.account,
                collector=turn.poller.collector.name,
                overdue_seconds=overdue,
            )
        )
        self._move(turn, self._clock.now())


def pause_seconds(error: ApiError, failures: int) -> float:
    """How long in seconds to stay away after a failure, the n-th in a row; 0: not at all."""
    match error:
        case RateLimitedError(retry_after_seconds=float(seconds)):
            return seconds
        case RateLimitedError():
            return _doubled(30.0, failures - 1, limit=600.0)
        case UnauthorizedError() | ForbiddenError():
            return _doubled(60.0, failures - 1, limit=900.0)
        case _:
            return 0.0


def sooner_seconds(interval: timedelta, failures: int) -> float:
    """When to ask again in seconds while there is nothing to serve: before a long interval ends."""
    return _doubled(FIRST_RETRY_SECONDS, failures - 1, limit=interval.total_seconds())


def degraded_seconds(interval: timedelta, failures: int) -> float:
    """The longer interval in seconds once a collector goes on failing; 0 until the fifth time."""
    if failures < DEGRADED_AFTER_FAILURES:
        return 0.0
    seconds = interval.total_seconds()
    doublings = failures - DEGRADED_AFTER_FAILURES + 1
    return _doubled(seconds, doublings, limit=max(seconds, MAX_DEGRADED_SECONDS))


def _doubled(seconds: float, times: int, *, limit: float) -> float:
    # Failures go on for days: the power is bounded before it is taken.
    return min(seconds * float(2 ** min(times, 16)), limit)
