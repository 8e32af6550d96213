"""What one account used until the end of any day: asked politely, until it is answered."""

from collections.abc import Callable
from datetime import date
from typing import cast

from exporter.clock import Clock
from exporter.collectors.base import Answer
from exporter.collectors.usage import MonthUsage, UsageCollector
from exporter.duration import format_age
from exporter.errors import ApiError, RateLimitedError, SchemaError
from exporter.poll import MIN_COMPARED_RECORDS, Poller
from exporter.scheduler import HELD_SECONDS, pause_seconds

PAUSE_SECONDS = 0.5
"""Before each question: two a second at the most, where an answer took no time."""

MOST_WAITS = 10
"""How many times in a row the API may say that it is asked too often."""


class History:
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
            answer = await self._ask(day)
            if self._last and _is_doubtful(answer.content, self._last):
                # As a poll does: no month shrinks, unless the API says so twice.
                await self._clock.sleep(HELD_SECONDS)
                answer = await self._ask(day)
        except ApiError as error:
            error.args = (f"{self.account} {day}: {error}",)
            raise
        self._last = answer.content
        told = (SchemaError(f"{self.account} {day}: {error}") for error in answer.rejected)
        self.rejected += told
        return answer.content

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


def _is_doubtful(usage: MonthUsage, last: MonthUsage) -> bool:
    """Whether a month lost all its records, or most of them, since the last day asked for."""
    if usage.month != last.month or not last.records:
        return False
    has_shrunk = last.records >= MIN_COMPARED_RECORDS and usage.records < last.records / 2
    return has_shrunk or not usage.records
