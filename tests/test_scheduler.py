"""When polls happen, in virtual time: hours pass in milliseconds, and nothing waits for luck."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from exporter.api import Api
from exporter.collectors.base import Answer, Collector, Get, MaxAge, Options
from exporter.errors import (
    ApiError,
    ConnectError,
    RateLimitedError,
    SchemaError,
    UnauthorizedError,
)
from exporter.events import Event, LoopLagged, PollOverdue, PollPlanned
from exporter.key import Key
from exporter.poll import Poller
from exporter.scheduler import Cadence, Scheduler, degraded_seconds, pause_seconds
from exporter.snapshot import Store
from tests.virtual_loop import VirtualClock, run

Said = Callable[[int], int | ApiError]


class Scripted(Collector[int, None]):
    """A collector whose answers are a function of how often it was asked; no request is made."""

    stale = drop = MaxAge(intervals=3, floor=timedelta(hours=1))
    content_tables = ()

    def __init__(
        self,
        said: Said = lambda _: 100,
        *,
        seconds: float = 0,
        ends: datetime | None = None,
        interval: int = 60,
    ) -> None:
        super().__init__(Options(interval=timedelta(seconds=interval)))
        self.said = said
        self.seconds = seconds
        self.ends = ends
        self.asked: list[datetime] = []
        self.cancelled = False

    @property
    def name(self) -> str:  # type: ignore[override] # several of one kind in a test
        return f"scripted{id(self)}"

    async def fetch(self, get: Get, *, now: datetime, last: int | None) -> Answer[int]:
        del get, last
        self.asked.append(now)
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        said = self.said(len(self.asked))
        if isinstance(said, ApiError):
            raise said
        return Answer(content=said, records=said)

    def first_tally(self) -> None:
        return None

    def count(self, tally: None, *, last: int | None, content: int) -> None:
        del tally, last, content

    def valid_until(self, content: int) -> datetime | None:
        del content
        return self.ends

    def after(self, start: datetime) -> list[int]:
        """The seconds after the start at which it was asked."""
        return [round((at - start).total_seconds()) for at in self.asked]


@dataclass
class Stage:
    """A scheduler at work."""

    start: datetime
    scheduler: Scheduler
    events: list[Event] = field(default_factory=list)


@asynccontextmanager
async def at_work(clock: VirtualClock, **accounts: list[Scripted]) -> AsyncIterator[Stage]:
    events: list[Event] = []
    pairs = [(name, collector) for name, found in accounts.items() for collector in found]
    store = Store(pairs, clock=clock, emit=events.append)
    pollers = []
    for account, collector in pairs:
        api = Api(
            account=account,
            base_url="http://127.0.0.1:1",
            key=Key(lambda: "k"),
            clock=clock,
            random=Random(1),
            emit=events.append,
        )
        pollers.append(
            Poller(
                account=account,
                collector=collector,
                api=api,
                store=store,
                clock=clock,
                emit=events.append,
            )
        )
    scheduler = Scheduler(pollers, clock=clock, emit=events.append)
    start = clock.now()
    async with scheduler:
        yield Stage(start, scheduler, events)


def test_polls_keep_to_the_grid() -> None:
    """However long a poll takes, the next begins a whole interval after this one began."""

    async def scenario(clock: VirtualClock) -> None:
        collector = Scripted(seconds=7)
        async with at_work(clock, a=[collector]) as stage:
            await asyncio.sleep(24 * 3600 + 1)
        assert [60 * n for n in range(1441)] == collector.after(stage.start)

    run(scenario)


def test_accounts_begin_one_after_the_other() -> None:
    """Many accounts do not ask all at once; the collectors of one begin together."""

    async def scenario(clock: VirtualClock) -> None:
        found = [Scripted(), Scripted(), Scripted(), Scripted()]
        async with at_work(clock, a=found[:2], b=found[2:3], c=found[3:]) as stage:
            await asyncio.sleep(2)
        begun = [(c.asked[0] - stage.start) / timedelta(seconds=1) for c in found]
        assert [0.0, 0.0, 0.5, 1.0] == pytest.approx(begun, abs=0.01)

    run(scenario)


def test_a_doubted_answer_is_asked_for_again() -> None:
    """Fifteen seconds after an answer was held the API is asked again, then on as before."""

    async def scenario(clock: VirtualClock) -> None:
        collector = Scripted(lambda asked: 100 if asked == 1 else 10)
        async with at_work(clock, a=[collector]) as stage:
            await asyncio.sleep(140)
        assert [0, 60, 75, 135] == collector.after(stage.start)

    run(scenario)


def test_the_end_of_a_content_is_polled_for() -> None:
    """A reading that ends by itself is renewed five seconds after its end."""

    async def scenario(clock: VirtualClock) -> None:
        collector = Scripted(ends=clock.now() + timedelta(seconds=30))
        async with at_work(clock, a=[collector]) as stage:
            await asyncio.sleep(34)
            collector.ends = clock.now() + timedelta(days=30)
            await asyncio.sleep(70)
        assert [0, 35, 95] == collector.after(stage.start)

    run(scenario)


def test_a_429_keeps_the_whole_account_away() -> None:
    """Nobody asks for a limited account before Retry-After; other accounts do not care."""

    async def scenario(clock: VirtualClock) -> None:
        limited = Scripted(lambda asked: RateLimitedError("429", 130.0) if asked == 1 else 100)
        other, elsewhere = Scripted(seconds=1), Scripted()
        async with at_work(clock, a=[limited, other], b=[elsewhere]) as stage:
            await asyncio.sleep(140)
            planned = [e for e in stage.events if isinstance(e, PollPlanned) and e.backoff_until]
        assert [0, 130] == limited.after(stage.start)
        assert [0, 130] == other.after(stage.start)
        assert [0, 60, 120] == elsewhere.after(stage.start)
        assert {stage.start + timedelta(seconds=130)} == {e.backoff_until for e in planned}

    run(scenario)


def test_a_step_back_does_not_lengthen_the_limit() -> None:
    """Retry-After is a duration: a wall clock that is set back does not add to it."""

    async def scenario(clock: VirtualClock) -> None:
        collector = Scripted(lambda asked: RateLimitedError("429", 130.0) if asked == 1 else 100)
        async with at_work(clock, a=[collector]):
            await asyncio.sleep(10)
            clock.step(-3600)
            await asyncio.sleep(130)
        assert 2 == len(collector.asked)

    run(scenario)


def test_a_poll_that_runs_through_a_429_stays_away_too() -> None:
    """What another collector's poll brings in the meantime does not shorten the limit."""

    async def scenario(clock: VirtualClock) -> None:
        limited = Scripted(lambda asked: RateLimitedError("429", 130.0) if asked == 1 else 100)
        other = Scripted(lambda asked: 100 if asked == 1 else 10, seconds=1)
        async with at_work(clock, a=[other, limited]) as stage:
            await asyncio.sleep(140)
            last = [e for e in stage.events if isinstance(e, PollPlanned)][-1]
        assert [0, 130] == other.after(stage.start)[:2]
        assert last.at <= clock.now() + timedelta(seconds=60)

    run(scenario)


def test_a_refused_key_is_asked_about_ever_less() -> None:
    """A day with a revoked key costs at most 110 requests."""

    async def scenario(clock: VirtualClock) -> None:
        collector = Scripted(lambda _: UnauthorizedError("HTTP 401"))
        async with at_work(clock, a=[collector]) as stage:
            await asyncio.sleep(24 * 3600)
        assert [0, 60, 180, 420, 900, 1800, 2700] == collector.after(stage.start)[:7]
        assert len(collector.asked) <= 110

    run(scenario)


def test_a_failing_collector_slows_down_and_recovers() -> None:
    """From the fifth failure on the interval doubles, to 300 s; one success resets it."""

    async def scenario(clock: VirtualClock) -> None:
        collector = Scripted(lambda asked: ConnectError("refused") if asked <= 8 else 100)
        async with at_work(clock, a=[collector]) as stage:
            await asyncio.sleep(1700)
            planned = [e.interval_seconds for e in stage.events if isinstance(e, PollPlanned)]
        asked = collector.after(stage.start)
        assert [0, 60, 120, 180, 240, 360, 600, 900, 1200, 1260, 1320] == asked[:11]
        assert [60, 60, 60, 60, 60, 120, 240, 300, 300, 60, 60] == planned[:11]

    run(scenario)


@pytest.mark.parametrize(
    ("step", "latest"),
    [
        pytest.param(-3600, 70, id="an hour back"),
        pytest.param(-20, 70, id="20 s back"),
        pytest.param(3600, 61, id="an hour ahead"),
        pytest.param(56 * 365 * 86400, 61, id="from 1970 to today"),
    ],
)
def test_a_step_of_the_clock_stops_nothing(step: float, latest: int) -> None:
    """However the wall clock steps, the next poll comes, and once."""

    async def scenario(clock: VirtualClock) -> None:
        collector = Scripted()
        async with at_work(clock, a=[collector]) as stage:
            await asyncio.sleep(10)
            clock.step(step)
            await asyncio.sleep(latest - 10)
            assert 2 == len(collector.asked)
            await asyncio.sleep(60)
            assert 3 == len(collector.asked)
            overdue = [event for event in stage.events if isinstance(event, PollOverdue)]
            assert (1 if step < 0 else 0) == len(overdue)

    run(scenario)


def test_no_step_of_the_clock_shortens_a_pause() -> None:
    """Retry-After is kept to in true seconds, also when the wall clock jumps an hour ahead."""

    async def scenario(clock: VirtualClock) -> None:
        limited = Scripted(lambda asked: RateLimitedError("429", 130.0) if asked == 1 else 100)
        # Whoever polls meanwhile makes APScheduler look for all that seems to be due.
        async with at_work(clock, a=[limited], b=[Scripted(interval=15)]):
            await asyncio.sleep(10)
            clock.step(3600)
            await asyncio.sleep(119)
            assert 1 == len(limited.asked)
            await asyncio.sleep(2)
            assert 2 == len(limited.asked)

    run(scenario)


@pytest.mark.parametrize("step", [-86_400, -3600, -20, 3600])
def test_a_step_while_a_poll_runs_stops_nothing(step: float) -> None:
    """Its next turn was planned in the old time."""

    async def scenario(clock: VirtualClock) -> None:
        collector = Scripted(seconds=7)
        async with at_work(clock, a=[collector]):
            await asyncio.sleep(3)
            clock.step(step)
            await asyncio.sleep(190)
        assert 3 <= len(collector.asked) <= 5

    run(scenario)


def test_a_429_after_a_step_back_stops_nobody() -> None:
    """Staying away is reckoned from true seconds, not from a plan made in the old time."""

    async def scenario(clock: VirtualClock) -> None:
        limited = Scripted(lambda asked: RateLimitedError("429", 5.0) if asked == 2 else 100)
        other = Scripted(interval=900)
        async with at_work(clock, a=[limited, other]):
            await asyncio.sleep(10)
            clock.step(-86_400)
            await asyncio.sleep(6 * 3600)
        assert len(other.asked) in {24, 25}

    run(scenario)


def test_a_shorter_limit_does_not_end_a_longer_one() -> None:
    """Two collectors are told to stay away, one for a quarter of an hour: both do."""

    async def scenario(clock: VirtualClock) -> None:
        longer = Scripted(lambda asked: RateLimitedError("429", 900.0) if asked == 1 else 100)
        shorter = Scripted(
            lambda asked: RateLimitedError("429", None) if asked == 1 else 100, seconds=1
        )
        async with at_work(clock, a=[longer, shorter]) as stage:
            await asyncio.sleep(910)
        assert ([0, 900], [0, 900]) == (longer.after(stage.start), shorter.after(stage.start))

    run(scenario)


def test_a_failure_before_the_end_of_a_content_does_not_delay_the_next() -> None:
    """The month's first poll comes in time, whatever became of the last one before."""

    async def scenario(clock: VirtualClock) -> None:
        ends = clock.now() + timedelta(seconds=905)
        collector = Scripted(
            lambda asked: ConnectError("down") if asked == 2 else 100, interval=900, ends=ends
        )
        async with at_work(clock, a=[collector]) as stage:
            await asyncio.sleep(909)
            collector.ends = ends + timedelta(days=30)
            await asyncio.sleep(902)
        assert [0, 900, 910, 1810] == collector.after(stage.start)

    run(scenario)


def test_what_ended_on_its_way_is_asked_for_again() -> None:
    """A poll that runs over the month's end brings what is over: the next comes soon."""

    async def scenario(clock: VirtualClock) -> None:
        ends = clock.now() + timedelta(seconds=5)
        collector = Scripted(seconds=12, interval=900, ends=ends)
        async with at_work(clock, a=[collector]) as stage:
            await asyncio.sleep(16)
            collector.ends = ends + timedelta(days=30)
            await asyncio.sleep(20)
        assert [0, 17] == collector.after(stage.start)

    run(scenario)


def test_answers_that_never_agree_are_asked_for_on_the_grid() -> None:
    """One that contradicts the doubted one is doubted as well, but no reason for ever more."""

    async def scenario(clock: VirtualClock) -> None:
        collector = Scripted(lambda asked: 100 if asked == 1 else (0, 4)[asked % 2], interval=900)
        async with at_work(clock, a=[collector]) as stage:
            await asyncio.sleep(3600)
        assert [0, 900, 915, 1815, 2715] == collector.after(stage.start)

    run(scenario)


def test_what_is_missing_is_asked_for_sooner() -> None:
    """With a long interval and nothing to serve, the first retries do not wait for its end."""

    async def scenario(clock: VirtualClock) -> None:
        down = Scripted(lambda _: ConnectError("down"), interval=900)
        late = Scripted(lambda n: 100 if n == 2 else ConnectError("down"), interval=900)
        async with at_work(clock, a=[down, late]) as stage:
            await asyncio.sleep(2800)
        assert [0, 60, 180, 420, 900, 1800, 2700] == down.after(stage.start)
        assert [0, 60, 960, 1860, 2760] == late.after(stage.start)

    run(scenario)


def test_our_own_bug_does_not_end_the_polls() -> None:
    """What nobody foresaw becomes a failed poll, and the next one is made."""

    def broken(asked: int) -> int:
        return 100 // (asked - 1)

    async def scenario(clock: VirtualClock) -> None:
        collector = Scripted(broken)
        async with at_work(clock, a=[collector]) as stage:
            await asyncio.sleep(61)
        assert [0, 60] == collector.after(stage.start)

    run(scenario)


def test_leaving_cancels_the_running_poll_without_a_word(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """At the end nothing runs on, nothing is planned, and nothing is logged as an error."""
    caplog.set_level(logging.WARNING)

    async def scenario(clock: VirtualClock) -> None:
        collector = Scripted(seconds=20)
        async with at_work(clock, a=[collector]) as stage:
            await asyncio.sleep(5)
            assert stage.scheduler.is_alive
        assert collector.cancelled
        assert not stage.scheduler.is_alive
        await asyncio.sleep(3600)
        assert 1 == len(collector.asked)
        assert {asyncio.current_task()} == asyncio.all_tasks()

    run(scenario)
    assert [] == caplog.messages


@pytest.mark.parametrize("rounds", range(8))
def test_leaving_as_a_poll_begins_says_nothing_either(
    rounds: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever of a poll has begun when it is stopped, nobody is told of an error."""
    caplog.set_level(logging.WARNING)

    async def scenario(clock: VirtualClock) -> None:
        async with at_work(clock, a=[Scripted(seconds=10)]):
            for _ in range(rounds):
                await asyncio.sleep(0)

    run(scenario)
    assert [] == caplog.messages


def test_the_lag_of_the_loop_is_measured() -> None:
    """A loop that was blocked says for how long."""

    async def scenario(clock: VirtualClock) -> None:
        async with at_work(clock, a=[Scripted()]) as stage:
            await asyncio.sleep(1.5)
            clock.jump(2.0)
            await asyncio.sleep(1)
            lags = [e.lag_seconds for e in stage.events if isinstance(e, LoopLagged)]
        assert [0.0, 1.5] == pytest.approx(lags[:2], abs=0.01)

    run(scenario)


@pytest.mark.parametrize(
    ("late", "expected"), [(0, 60), (59, 60), (60, 120), (90, 150), (10**9, 10**9 + 60)]
)
def test_missed_polls_are_not_made_up_for(late: int, expected: int) -> None:
    """However late it is, the next point is ahead, found at once and not walked to."""
    due = datetime(1990, 1, 1, tzinfo=UTC)
    now = due + timedelta(seconds=late)
    found = Cadence(timedelta(seconds=60)).get_next_fire_time(due, now)
    assert expected == (found - due).total_seconds()
    assert found > now


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (RateLimitedError("", 7.0), [7, 7, 7]),
        (RateLimitedError("", None), [30, 60, 120, 240, 480, 600, 600]),
        (UnauthorizedError(""), [60, 120, 240, 480, 900, 900]),
        (SchemaError(""), [0, 0]),
    ],
    ids=lambda value: getattr(value, "reason", None),
)
def test_pauses_grow_to_their_limit(error: ApiError, seconds: list[int]) -> None:
    """Each kind of refusal has its pause, doubled with each failure in a row."""
    assert seconds == [pause_seconds(error, failures + 1) for failures in range(len(seconds))]
    assert seconds[-1] == pause_seconds(error, 100_000)


@pytest.mark.parametrize(
    ("interval", "seconds"),
    [
        (15, [0, 0, 0, 0, 30, 60, 120, 240, 300, 300]),
        (60, [0, 0, 0, 0, 120, 240, 300, 300]),
        (900, [0, 0, 0, 0, 900, 900]),
    ],
)
def test_the_degraded_interval_is_never_shorter(interval: int, seconds: list[int]) -> None:
    """It doubles to 300 s, and a longer configured interval stays as it is."""
    given = timedelta(seconds=interval)
    assert seconds == [degraded_seconds(given, failures + 1) for failures in range(len(seconds))]
