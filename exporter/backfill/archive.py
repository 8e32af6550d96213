"""What one account used until the end of any day: asked politely, until it is answered."""

from collections.abc import Callable
from datetime import date
from typing import cast

from exporter.clock import Clock
from exporter.collectors.base import Answer
from exporter.collectors.usage import MonthUsage, UsageCollector
from exporter.duration import format_age
from exporter.errors import ApiError, RateLimitedError, SchemaError
from exporter.poll import Poller, loss
from exporter.scheduler import HELD_SECONDS, pause_seconds

PAUSE_SECONDS = 0.5
"""Before each question: two a second at the most, where an answer took no time."""

MOST_DOUBTS = 3
"""How many times a doubtful answer is asked for again, until two in a row agree."""

MOST_WAITS = 10
"""How many times in a row the API may say that it is asked too often."""


class Archive:
    """One account's.

    Args:
        poller: polls the account's usage.
        clock: waits.
        say: is told why it takes longer.

    Attributes:
        account: whose.
        collector: reads the answers.
        rejected: why each bad cell was left out.
    """

    def __init__(self, poller: Poller, *, clock: Clock, say: Callable[[str], None]) -> None:
        self.account = poller.account
        self.collector = cast(UsageCollector, poller.collector)
        self.rejected: list[SchemaError] = []
        self._poller = poller
        self._clock = clock
        self._say = say
        self._last: MonthUsage | None = None

    async def until(self, day: date) -> MonthUsage:
        """Tells the month to date as of a day's end.

        Raises:
            ApiError: it cannot be had or trusted; it names account and day.
        """
        try:
            answer = await self._ask_until_clear(day)
        except ApiError as error:
            error.args = (f"{self.account} {day}: {error}",)
            raise
        self._last = answer.content
        told = (SchemaError(f"{self.account} {day}: {error}") for error in answer.rejected)
        self.rejected += told
        return answer.content

    async def _ask_until_clear(self, day: date) -> Answer[MonthUsage]:
        """Asks until an answer is not doubtful, or says about the same as the one before.

        Raises:
            ApiError: there is none.
        """
        doubted: list[MonthUsage] = []
        while len(doubted) <= MOST_DOUBTS:
            if doubted:
                await self._clock.sleep(HELD_SECONDS)
            answer = await self._ask(day)
            usage = answer.content
            is_confirmed = bool(doubted) and _agree(doubted[-1], usage)
            if is_confirmed or not _is_doubtful(usage, self._last):
                return answer
            doubted.append(usage)
        told = ", ".join(f"{usage.records:,}" for usage in doubted)
        apart = format_age(HELD_SECONDS)
        raise SchemaError(f"answers {apart} apart contradict each other: {told} records")

    async def _ask(self, day: date) -> Answer[MonthUsage]:
        waits = 0
        while True:
            await self._clock.sleep(PAUSE_SECONDS)
            try:
                return await self.collector.fetch_day(self._poller.way(), day)
            except RateLimitedError as error:
                waits += 1
                if waits > MOST_WAITS:
                    raise
                seconds = pause_seconds(error, waits)
            self._say(f"{self.account}: asked too often: waiting {format_age(seconds)}")
            await self._clock.sleep(seconds)


def _is_doubtful(usage: MonthUsage, last: MonthUsage | None) -> bool:
    """Whether a month is empty, or lost most of its records since the last day asked for.

    After a day that was found to be empty the next may be so as well: an account that did not exist
    for months is doubted once.
    """
    if last is None:
        return not usage.records
    if usage.month != last.month:
        return bool(last.records) and not usage.records
    return loss(usage.records, last.records) is not None


def _agree(one: MonthUsage, other: MonthUsage) -> bool:
    return not (loss(one.records, other.records) or loss(other.records, one.records))
