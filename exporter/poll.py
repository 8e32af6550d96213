"""One poll: from the question to an accepted, held or failed answer.

One of the two broad `except`s is here: whatever goes wrong in a poll becomes an event, and the last
good reading goes on being served. The other keeps the listener from becoming deaf.
"""

from collections.abc import Mapping
from datetime import datetime
from itertools import chain, repeat
from traceback import extract_tb
from typing import Any

from exporter.api import MAX_ATTEMPTS, Api
from exporter.clock import Clock
from exporter.collectors.base import Answer, Collector, Get
from exporter.errors import ApiError, UnexpectedError
from exporter.events import (
    Accepted,
    Held,
    HeldReason,
    Listener,
    Outcome,
    PollEnded,
    PollStarted,
)
from exporter.snapshot import Reading, Store

MAX_POLL_SECONDS = 25.0
DEGRADED_AFTER_FAILURES = 5
MIN_COMPARED_RECORDS = 10


class Poller:
    """Polls one collector of one account; `failures` counts the failed polls in a row."""

    def __init__(
        self,
        *,
        account: str,
        collector: Collector[Any, Any],
        api: Api,
        store: Store,
        clock: Clock,
        emit: Listener,
    ) -> None:
        self.account = account
        self.collector = collector
        self.failures = 0
        self._api = api
        self._store = store
        self._clock = clock
        self._emit = emit
        self._held: Answer[Any] | None = None

    async def poll(self) -> Outcome:
        """Polls once; raises nothing but its own cancellation."""
        name = self.collector.name
        at, started = self._clock.now(), self._clock.monotonic()
        self._emit(PollStarted(account=self.account, collector=name, at=at))
        outcome: Outcome
        try:
            last = self._store.last(self.account, name)
            answer = await self.fetch(last)
            reading = Reading(answer.content, answer.records, at, started)
            outcome = await self._judge(answer, last, reading)
        except ApiError as error:
            # What led to it holds the answer, and this frame would hold it: a circle, which is only
            # found when Python looks for garbage, and that is seldom.
            error.__context__ = None
            outcome = error.with_traceback(None)
        except Exception as error:  # noqa: BLE001 - the one edge where everything is caught
            outcome = _unexpected(error)
        self.failures = self.failures + 1 if isinstance(outcome, ApiError) else 0
        duration = self._clock.monotonic() - started
        self._emit(
            PollEnded(
                account=self.account,
                collector=name,
                at=at,
                duration_seconds=duration,
                outcome=outcome,
            )
        )
        return outcome

    @property
    def has_reading(self) -> bool:
        """Whether an accepted reading is being served."""
        return self._store.has_reading(self.account, self.collector.name)

    def valid_until(self) -> datetime | None:
        """When the last accepted reading stops being true by itself, if it does."""
        last = self._store.last(self.account, self.collector.name)
        return self.collector.valid_until(last.content) if last else None

    async def fetch(
        self, last: Reading | None = None, *, attempts: int = MAX_ATTEMPTS
    ) -> Answer[Any]:
        """Asks the API and keeps nothing; a collector that goes on failing gets one attempt.

        Raises:
            ApiError: there is no answer that can be trusted.
        """
        if self.failures >= DEGRADED_AFTER_FAILURES:
            attempts = 1
        return await self.collector.fetch(
            self.way(attempts), now=self._clock.now(), last=last.content if last else None
        )

    def way(self, attempts: int = MAX_ATTEMPTS) -> Get:
        """Opens the way to the API for one poll that begins now, until its deadline.

        Whoever asks again is made to wait for the collector's pause; the deadline counts that.
        """
        collector = self.collector
        seconds = min(collector.options.interval.total_seconds() / 2, MAX_POLL_SECONDS)
        deadline = self._clock.monotonic() + seconds
        pauses = chain([0.0], repeat(collector.pause_seconds))

        async def get(path: str, query: Mapping[str, str]) -> Mapping[str, object]:
            if pause := next(pauses):
                await self._clock.sleep(pause)
            return await self._api.get(
                path, query, collector=collector.name, deadline=deadline, attempts=attempts
            )

        return get

    async def _judge(self, answer: Answer[Any], last: Reading | None, reading: Reading) -> Outcome:
        """Holds an answer that lost most of its records, until the next one agrees with it."""
        doubt = self._doubt(answer, last) if last else None
        if doubt and not self._is_confirmed(answer):
            self._held = answer
            return doubt
        self._held = None
        changed = await self._store.accept(self.account, self.collector.name, reading)
        return Accepted(answer.records, rejected=answer.rejected, changed=changed)

    def _is_confirmed(self, answer: Answer[Any]) -> bool:
        """Whether the answer held before said about the same: neither doubts the other."""
        held = self._held
        return held is not None and not (self._doubt(answer, held) or self._doubt(held, answer))

    def _doubt(self, answer: Answer[Any], before: Answer[Any] | Reading) -> Held | None:
        """What is suspicious about an answer after what was said before."""
        sizes = self.collector.sizes(before.content, before.records)
        for part, now in self.collector.sizes(answer.content, answer.records).items():
            last = sizes.get(part, 0)
            if reason := loss(now, last):
                return Held(reason, records=now, last_records=last)
        return None


def loss(records: int, last_records: int) -> HeldReason | None:
    """What is suspicious about so many records after so many."""
    if last_records and not records:
        return "empty"
    if last_records >= MIN_COMPARED_RECORDS and records < last_records / 2:
        return "shrunk"
    return None


def _unexpected(error: Exception) -> UnexpectedError:
    """Names our own bug by its place; its text might quote an answer."""
    *_, frame = extract_tb(error.__traceback__)
    return UnexpectedError(f"{type(error).__name__} in {frame.name}, line {frame.lineno}")
