"""The last polls, for people: few that were accepted, and more that were not.

What is kept of a poll is a line of text. It holds neither its answer nor its error, and there are
no more lines than the bounds say, whatever happens and for how long.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Literal

from exporter.errors import ApiError
from exporter.events import Accepted, Held, PollEnded

KEPT = 10
"""Polls kept of each account and collector, whatever came of them."""

KEPT_FAILURES = 20
"""Polls before those that are kept if they were not accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """What became of a poll that began at `at`.

    Attributes:
        account: whose.
        collector: of what.
        at: when it began, in UTC.
        duration_seconds: how long it took.
        outcome: whether the answer became what is served, is doubted, or there was none.
        records: how many the answer had; None without an answer.
        rejected: how many bad ones were left out beside those.
        reason: why it was held, or failed.
        error: what went wrong, in words.
    """

    account: str
    collector: str
    at: datetime
    duration_seconds: float
    outcome: Literal["accepted", "held", "failed"]
    records: int | None = None
    rejected: int = 0
    reason: str | None = None
    error: str | None = None

    @classmethod
    def of(cls, event: PollEnded) -> "Poll":
        """Keeps the text of what happened and lets the rest go."""
        told = partial(
            cls,
            account=event.account,
            collector=event.collector,
            at=event.at,
            duration_seconds=event.duration_seconds,
        )
        match event.outcome:
            case Accepted(records=records, rejected=rejected):
                return told(outcome="accepted", records=records, rejected=len(rejected))
            case Held(reason=reason, records=records, last_records=last):
                error = f"{records:,} records after {last:,}"
                return told(outcome="held", records=records, reason=reason, error=error)
            case ApiError() as failure:
                return told(outcome="failed", reason=failure.reason, error=str(failure))


@dataclass(slots=True)
class Past:
    """What is remembered of one account and collector.

    Attributes:
        last: the last poll.
        rejected: bad records that the last accepted answer had.
        failures: failed polls in a row.
        failing_since: when the first of those began.
    """

    last: Poll | None = None
    rejected: int = 0
    failures: int = 0
    failing_since: datetime | None = None
    _recent: deque[Poll] = field(default_factory=lambda: deque(maxlen=KEPT))
    _failed: deque[Poll] = field(default_factory=lambda: deque(maxlen=KEPT_FAILURES))

    def add(self, poll: Poll) -> None:
        """Takes in the next poll."""
        self.last = poll
        if poll.outcome == "failed":
            self.failures += 1
            self.failing_since = self.failing_since or poll.at
        else:
            self.failures, self.failing_since = 0, None
        if poll.outcome == "accepted":
            self.rejected = poll.rejected
        if len(self._recent) == KEPT and self._recent[0].outcome != "accepted":
            self._failed.append(self._recent[0])
        self._recent.append(poll)

    def polls(self) -> Iterable[Poll]:
        """Those that are kept, the oldest first."""
        return [*self._failed, *self._recent]


class History:
    """The past of every account and collector."""

    def __init__(self) -> None:
        self._pasts: dict[tuple[str, str], Past] = {}

    def add(self, event: PollEnded) -> None:
        """Takes note of a poll."""
        past = self._pasts.setdefault((event.account, event.collector), Past())
        past.add(Poll.of(event))

    def of(self, account: str, collector: str) -> Past:
        """The past of one; an empty one before its first poll ended."""
        return self._pasts.get((account, collector)) or Past()

    def polls(self) -> list[Poll]:
        """All that are kept, in no order."""
        return [poll for past in self._pasts.values() for poll in past.polls()]


def select(polls: Iterable[Poll], *, most: int, most_failures: int) -> list[Poll]:
    """The newest polls, and of those before them the newest that were not accepted.

    Args:
        polls: in any order.
        most: how many of the newest.
        most_failures: how many of those before.
    """
    ordered = sorted(polls, key=lambda poll: poll.at, reverse=True)
    before = (poll for poll in ordered[most:] if poll.outcome != "accepted")
    return [*ordered[:most], *islice(before, most_failures)]
