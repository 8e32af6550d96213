"""What happened to us, as lines on stderr: a reader of events that tells changes, not states.

One warning when a collector starts failing, a reminder every quarter of an hour, one line when it
is well again. Formats: logfmt as Prometheus' own programs write it, or one JSON object a line.
"""

import json
import logging
import re
import sys
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import singledispatchmethod
from typing import Literal, TextIO

from exporter.clock import Clock
from exporter.errors import ApiError
from exporter.events import (
    Accepted,
    CollectorEvent,
    Event,
    Held,
    PollEnded,
    PollOverdue,
    PollPlanned,
    ReadingDropped,
    RequestDone,
    RetryScheduled,
)

REMINDER_SECONDS = 900.0
SELDOM_SECONDS = 60.0

_PLAIN = re.compile(r"[!#-<>-\[\]-~]+")  # no space, quote, equals sign or backslash
_LOG = logging.getLogger("exporter")


class Line(logging.Formatter):
    """Formats a record; its fields come from `extra={"fields": {...}}`."""

    def __init__(self, form: Literal["logfmt", "json"]) -> None:
        super().__init__()
        self._form = form

    def format(self, record: logging.LogRecord) -> str:
        """Writes one line; never a traceback, whose texts might quote what must not be told."""
        fields = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "msg": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[0]:
            fields["error"] = record.exc_info[0].__name__
        if self._form == "json":
            return json.dumps(fields, ensure_ascii=True)
        return " ".join(f"{name}={_quote(str(value))}" for name, value in fields.items())


def _quote(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=True)


def start(level: str, form: Literal["logfmt", "json"], stream: TextIO | None = None) -> None:
    """Sends all log lines to stderr; libraries speak only when something is wrong."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(Line(form))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    _LOG.setLevel(level.upper())


class Seldom:
    """Warns of what others can cause as often as they like: one line a minute of each kind."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told: dict[str, float] = {}
        self._suppressed: Counter[str] = Counter()

    def __call__(self, told: str, **fields: object) -> None:
        """Writes it, with how many were left out since the last; or leaves it out."""
        now = self._clock.monotonic()
        if now - self._told.get(told, -SELDOM_SECONDS) < SELDOM_SECONDS:
            self._suppressed[told] += 1
            return
        self._told[told] = now
        suppressed = self._suppressed.pop(told, 0)
        if suppressed:
            fields["suppressed"] = suppressed
        _LOG.warning(told, extra={"fields": fields})


@dataclass(slots=True)
class Failing:
    """A collector that has not been well since some instant of the monotonic clock."""

    since: float
    reminded: float
    polls: int = 0


class Logs:
    """Listens to events and writes lines."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failing: dict[tuple[str, str], Failing] = {}
        self._rejecting: set[tuple[str, str]] = set()
        self._begun: set[tuple[str, str]] = set()
        self._held: dict[tuple[str, str], float] = {}

    def __call__(self, event: Event) -> None:
        """Writes what an event is worth."""
        self._note(event)

    @singledispatchmethod
    def _note(self, event: Event) -> None:
        """Events that nobody wants to read about."""

    @_note.register
    def _(self, event: PollEnded) -> None:
        match event.outcome:
            case Accepted() as accepted:
                self._note_accepted(event, accepted)
            case Held() as held:
                self._note_held(event, held)
            case ApiError() as error:
                self._note_failed(event, error)

    def _note_accepted(self, event: PollEnded, accepted: Accepted) -> None:
        pair = event.account, event.collector
        failing = self._failing.pop(pair, None)
        if failing:
            seconds = f"{self._clock.monotonic() - failing.since:.0f}"
            _write(logging.INFO, "recovered", event, failed_polls=failing.polls, seconds=seconds)
        elif pair not in self._begun:
            _write(logging.INFO, "first reading", event, records=accepted.records)
        else:
            _write(logging.DEBUG, "poll accepted", event, records=accepted.records)
        self._begun.add(pair)
        self._note_rejected(event, accepted)

    def _note_rejected(self, event: PollEnded, accepted: Accepted) -> None:
        pair = event.account, event.collector
        if accepted.rejected and pair not in self._rejecting:
            self._rejecting.add(pair)
            count, first = len(accepted.rejected), accepted.rejected[0]
            _write(logging.WARNING, "bad records left out", event, count=count, first=first)
        elif not accepted.rejected and pair in self._rejecting:
            self._rejecting.remove(pair)
            _write(logging.INFO, "no more bad records", event)

    def _note_held(self, event: PollEnded, held: Held) -> None:
        now, pair = self._clock.monotonic(), (event.account, event.collector)
        level = logging.DEBUG
        if now - self._held.get(pair, -REMINDER_SECONDS) >= REMINDER_SECONDS:
            level, self._held[pair] = logging.WARNING, now
        _write(
            level,
            "answer held, asking again",
            event,
            reason=held.reason,
            records=held.records,
            last_records=held.last_records,
        )

    def _note_failed(self, event: PollEnded, error: ApiError) -> None:
        now = self._clock.monotonic()
        pair = event.account, event.collector
        failing = self._failing.get(pair)
        level, told = logging.DEBUG, "poll failed again"
        if failing is None:
            failing = self._failing[pair] = Failing(since=now, reminded=now)
            level, told = logging.WARNING, "poll failed"
        elif now - failing.reminded >= REMINDER_SECONDS:
            failing.reminded = now
            level, told = logging.WARNING, "polls still fail"
        failing.polls += 1
        _write(level, told, event, reason=error.reason, error=error, failed_polls=failing.polls)

    @_note.register
    def _(self, event: PollPlanned) -> None:
        if event.backoff_until:
            until = event.backoff_until.isoformat(timespec="seconds")
            _write(logging.DEBUG, "staying away", event, until=until)

    @_note.register
    def _(self, event: ReadingDropped) -> None:
        age = f"{event.age_seconds:.0f}"
        level = logging.DEBUG if event.is_over else logging.WARNING
        _write(level, "reading dropped, its series end", event, age_seconds=age)

    @_note.register
    def _(self, event: PollOverdue) -> None:
        overdue = f"{event.overdue_seconds:.0f}"
        _write(logging.WARNING, "poll was overdue, woken", event, overdue_seconds=overdue)

    @_note.register
    def _(self, event: RequestDone) -> None:
        seconds = f"{event.duration_seconds:.3f}"
        _write(logging.DEBUG, "request done", event, status=event.status or "none", seconds=seconds)

    @_note.register
    def _(self, event: RetryScheduled) -> None:
        seconds = f"{event.delay_seconds:.3f}"
        _write(logging.DEBUG, "retrying", event, reason=event.error.reason, in_seconds=seconds)


def _write(level: int, told: str, event: CollectorEvent, **fields: object) -> None:
    shown = {
        name: value if isinstance(value, int) else str(value) for name, value in fields.items()
    }
    about = {"account": event.account, "collector": event.collector}
    _LOG.log(level, told, extra={"fields": about | shown})
