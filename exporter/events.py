"""What happened, as frozen facts; `logs` and `telemetry` are two readers of them.

A fact is said once, where it is known, and says nothing about who might care.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from exporter.errors import ApiError, SchemaError

HeldReason = Literal["empty", "shrunk"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectorEvent:
    """A fact about one collector of one account."""

    account: str
    collector: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestDone(CollectorEvent):
    """A request for a path ended; `status` is None when no answer came."""

    status: int | None
    duration_seconds: float
    tls_not_after: datetime | None = None
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryScheduled(CollectorEvent):
    """A request failed in passing and is made again."""

    error: ApiError
    delay_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PollStarted(CollectorEvent):
    """A poll began."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer became the reading that is served; `changed` when its content differs."""

    records: int
    rejected: tuple[SchemaError, ...]
    changed: bool


@dataclass(frozen=True, slots=True)
class Held:
    """The answer is doubted, and asked for again before it may replace the reading."""

    reason: HeldReason
    records: int
    last_records: int


Outcome = Accepted | Held | ApiError
"""How a poll ended; after an error the last reading goes on being served."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PollEnded(CollectorEvent):
    """A poll that began at `at` ended."""

    at: datetime
    duration_seconds: float
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class PollPlanned(CollectorEvent):
    """The next poll is due at `at`; `backoff_until` is set while we stay away on purpose."""

    at: datetime
    interval_seconds: float
    backoff_until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingDropped(CollectorEvent):
    """The last reading grew too old, or is over by itself, as its month: its series end."""

    age_seconds: float
    is_over: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PollOverdue(CollectorEvent):
    """The scheduler missed a poll, as after a step of the wall clock, and was woken."""

    overdue_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopLagged:
    """A timer of the event loop came this much too late."""

    lag_seconds: float


Event = CollectorEvent | LoopLagged
Listener = Callable[[Event], None]
