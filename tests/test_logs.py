"""Log lines: which changes are told, how often, and how a line is written."""

import io
import json
import logging
import re
from datetime import timedelta
from typing import Literal, TypedDict

import pytest
import time_machine

from exporter import logs
from exporter.errors import ApiError, SchemaError, ServerError, UnauthorizedError
from exporter.events import (
    Accepted,
    Event,
    Held,
    LoopLagged,
    Outcome,
    PollEnded,
    PollOverdue,
    PollPlanned,
    PollStarted,
    ReadingDropped,
    RequestDone,
    RetryScheduled,
)
from exporter.logs import Logs
from tests.manual_clock import NOON, ManualClock

LOG = logging.getLogger("exporter")
TS = "ts=2026-03-17T12:00:00.000+00:00"
Form = Literal["logfmt", "json"]


class Pair(TypedDict):
    account: str
    collector: str


PAIR = Pair(account="default", collector="servers")


class Told:
    """Hands events to Logs and gives the lines they were worth, without time, account, collector.

    Args:
        clock: what Logs measures with.
        level: the least severe lines.
    """

    def __init__(self, clock: ManualClock, level: str = "info") -> None:
        self._stream = io.StringIO()
        logs.start(level, "logfmt", self._stream)
        self._logs = Logs(clock)

    def __call__(self, *events: Event) -> list[str]:
        for event in events:
            self._logs(event)
        lines = self._stream.getvalue().splitlines()
        self._stream.seek(0)
        self._stream.truncate()
        assert all(line.startswith("ts=") for line in lines)
        return [re.sub(r"^ts=\S+ | account=default collector=servers", "", line) for line in lines]


def ended(outcome: Outcome, *, collector: str = "servers") -> PollEnded:
    return PollEnded(
        account="default", collector=collector, at=NOON, duration_seconds=0.1, outcome=outcome
    )


def accepted(*rejected: str, records: int = 120) -> PollEnded:
    errors = tuple(SchemaError(text) for text in rejected)
    return ended(Accepted(records, rejected=errors, changed=True))


def failed(error: ApiError | None = None) -> PollEnded:
    return ended(error or ServerError("HTTP 503", 503))


FAILED = 'msg="poll failed" reason=server_error error="HTTP 503" failed_polls=1'


# Transitions


def test_first_reading_is_told_once(clock: ManualClock) -> None:
    """The first accepted poll is one line at info, the next are none."""
    told = Told(clock)
    assert ['level=info msg="first reading" records=120'] == told(accepted())
    assert [] == told(accepted(), accepted())


def test_steady_exporter_is_silent(clock: ManualClock) -> None:
    """At info, nothing is told while polls are accepted, whatever else goes on."""
    told = Told(clock)
    told(accepted())
    assert [] == told(
        PollStarted(**PAIR, at=NOON),
        RequestDone(**PAIR, status=200, duration_seconds=0.1),
        RetryScheduled(**PAIR, error=ServerError("HTTP 503", 503), delay_seconds=0.5),
        accepted(records=119),
        PollPlanned(**PAIR, at=NOON, interval_seconds=60, backoff_until=None),
        PollPlanned(**PAIR, at=NOON, interval_seconds=60, backoff_until=NOON),
        LoopLagged(lag_seconds=3.0),
    )


def test_failing_is_told_once(clock: ManualClock) -> None:
    """The first failed poll is one warning; the next are for debug."""
    told = Told(clock)
    told(accepted())
    assert [f"level=warning {FAILED}"] == told(failed())
    assert [] == told(failed(), failed(UnauthorizedError("HTTP 401")))


def test_failing_is_recalled_every_quarter_of_an_hour(clock: ManualClock) -> None:
    """A collector that goes on failing is one warning each 15 min, with its latest reason."""
    told = Told(clock)
    lines = []
    for minute in range(46):
        if minute:
            clock.advance(60)
        lines += [(minute, line) for line in told(failed())]
    still = 'level=warning msg="polls still fail" reason=server_error error="HTTP 503"'
    assert [
        (0, f"level=warning {FAILED}"),
        (15, f"{still} failed_polls=16"),
        (30, f"{still} failed_polls=31"),
        (45, f"{still} failed_polls=46"),
    ] == lines


def test_recovery_is_told_once(clock: ManualClock) -> None:
    """The first accepted poll after failures tells how many and how long; the next are none."""
    told = Told(clock)
    told(accepted(), failed())
    clock.advance(60)
    told(failed())
    clock.advance(60)
    assert ["level=info msg=recovered failed_polls=2 seconds=120"] == told(accepted())
    assert [] == told(accepted())


def test_failing_again_is_told_again(clock: ManualClock) -> None:
    """After a recovery the next failure is a change once more, counted anew."""
    told = Told(clock)
    told(failed(), failed(), accepted())
    assert [f"level=warning {FAILED}"] == told(failed())


def test_failing_from_the_start_ends_in_a_recovery(clock: ManualClock) -> None:
    """A first reading after failures is one line, not two."""
    told = Told(clock)
    told(failed())
    assert ["level=info msg=recovered failed_polls=1 seconds=0"] == told(accepted())
    assert [] == told(accepted())


def test_collectors_are_told_apart(clock: ManualClock) -> None:
    """One collector's failure is no news of another's, nor of another account's."""
    told = Told(clock)
    told(failed())
    [line] = told(ended(ServerError("HTTP 503", 503), collector="usage"))
    assert 'level=warning msg="poll failed" account=default collector=usage' in line


def test_held_answer_is_told(clock: ManualClock) -> None:
    """A doubted answer is a warning with both counts, one in 15 minutes, and ends no failure."""
    told = Told(clock)
    told(failed())
    held = 'level=warning msg="answer held, asking again" reason=shrunk records=3 last_records=120'
    doubted = ended(Held("shrunk", records=3, last_records=120))
    assert [held] == told(doubted)
    assert [] == told(failed())
    clock.advance(899)
    assert [] == told(doubted)
    clock.advance(1)
    assert [held] == told(doubted)


def test_rejected_records_are_told_when_they_start_and_stop(clock: ManualClock) -> None:
    """Bad records are one warning with the first of them, and one line when there are no more."""
    told = Told(clock)
    told(accepted())
    left_out = 'level=warning msg="bad records left out" count=2 first="par-a01: capacity: absent"'
    assert [left_out] == told(accepted("par-a01: capacity: absent", "par-a02: ip: absent"))
    assert [] == told(accepted("par-a03: ip: absent"))
    assert ['level=info msg="no more bad records"'] == told(accepted())
    assert [] == told(accepted())


def test_dropped_reading_is_told(clock: ManualClock) -> None:
    """The end of a reading's series is a warning with its age; the end of a month is none."""
    dropped = ReadingDropped(**PAIR, age_seconds=600.4, is_over=False)
    expected = 'level=warning msg="reading dropped, its series end" age_seconds=600'
    assert [expected] == Told(clock)(dropped)
    assert [] == Told(clock)(ReadingDropped(**PAIR, age_seconds=600.4, is_over=True))


def test_overdue_poll_is_told(clock: ManualClock) -> None:
    """A poll that the scheduler slept through is a warning."""
    overdue = PollOverdue(**PAIR, overdue_seconds=20.6)
    expected = 'level=warning msg="poll was overdue, woken" overdue_seconds=21'
    assert [expected] == Told(clock)(overdue)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        pytest.param(accepted(), 'msg="poll accepted" records=120', id="accepted"),
        pytest.param(
            RequestDone(**PAIR, status=200, duration_seconds=0.1234),
            'msg="request done" status=200 seconds=0.123',
            id="request",
        ),
        pytest.param(
            RequestDone(**PAIR, status=None, duration_seconds=10),
            'msg="request done" status=none seconds=10.000',
            id="request without an answer",
        ),
        pytest.param(
            RetryScheduled(**PAIR, error=ServerError("HTTP 503", 503), delay_seconds=0.5),
            "msg=retrying reason=server_error in_seconds=0.500",
            id="retry",
        ),
        pytest.param(
            PollPlanned(
                **PAIR, at=NOON, interval_seconds=60, backoff_until=NOON + timedelta(minutes=1)
            ),
            'msg="staying away" until=2026-03-17T12:01:00+00:00',
            id="backoff",
        ),
    ],
)
def test_debug_tells_each_step(event: Event, expected: str, clock: ManualClock) -> None:
    """At debug, what is no change is told as well."""
    told = Told(clock, "debug")
    told(accepted())
    assert [f"level=debug {expected}"] == told(event)


def test_debug_tells_each_failure(clock: ManualClock) -> None:
    """At debug, the failures between two reminders are told as well."""
    told = Told(clock, "debug")
    told(failed())
    expected = 'level=debug msg="poll failed again" reason=unauthorized error="HTTP 401"'
    assert [f"{expected} failed_polls=2"] == told(failed(UnauthorizedError("HTTP 401")))


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_level_is_the_least_severe(level: str, expected: list[str]) -> None:
    """Lines below the level are not written."""
    stream = io.StringIO()
    logs.start(level, "json", stream)
    for name in ("debug", "info", "warning", "error"):
        LOG.log(logging.getLevelName(name.upper()), "told")
    assert expected == [json.loads(line)["level"] for line in stream.getvalue().splitlines()]


def test_libraries_speak_only_of_trouble() -> None:
    """Even at debug, other people's lines are written from warning on."""
    stream = io.StringIO()
    logs.start("debug", "logfmt", stream)
    for name in ("apscheduler", "asyncio", "aiohttp.server"):
        logging.getLogger(name).info("chatter")
        logging.getLogger(name).warning("trouble")
    assert ["msg=trouble"] * 3 == [line.split()[-1] for line in stream.getvalue().splitlines()]


# Lines


def line(form: Form, message: str = "told", **fields: object) -> str:
    """What one record at noon is written as."""
    stream = io.StringIO()
    logs.start("info", form, stream)
    with time_machine.travel(NOON, tick=False):
        LOG.warning(message, extra={"fields": fields})
    return stream.getvalue()


def test_logfmt_line() -> None:
    """A line is what it was, when, how severe, and its fields, quoted where they need it."""
    expected = f'{TS} level=warning msg="poll failed" error="HTTP 503" polls=1\n'
    assert expected == line("logfmt", "poll failed", error="HTTP 503", polls=1)


def test_json_line() -> None:
    """A line is one object; numbers stay numbers."""
    expected = (
        '{"ts": "2026-03-17T12:00:00.000+00:00", "level": "warning", "msg": "poll failed", '
        '"error": "HTTP 503", "polls": 1}\n'
    )
    assert expected == line("json", "poll failed", error="HTTP 503", polls=1)


HOSTILE = {
    "newline": "a\nlevel=error msg=forged",
    "carriage return": "a\rb",
    "quote": 'a"b',
    "backslash": "a\\",
    "space": "a b",
    "equals": "a=b",
    "empty": "",
    "escape": "\x1b[31mred",
    "null": "\0",
    "delete": "\x7f",
    "next line": "a\x85b",
    "no-break space": "a\xa0b",
    "line separator": "a\u2028b",
    "paragraph separator": "a\u2029b",
    "right-to-left override": "\u202eabc",
    "byte order mark": "\ufeffabc",
    "surrogate": "\ud800",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("form", ["logfmt", "json"])
def test_hostile_text_stays_in_its_field(form: Form, text: str) -> None:
    """No text can forge a line or a field, or move a cursor; JSON readers get it back."""
    written = line(form, text=text)
    value = written.partition(" text=" if form == "logfmt" else '"text": ')[2].removesuffix("\n")
    value = value if form == "logfmt" else value.removesuffix("}")
    assert (1, True) == (len(written.splitlines()), value.isascii() and value.isprintable())
    assert text == json.loads(value)


@pytest.mark.parametrize("text", ["par-a01.wlvpn.com", "0.5", "https://a.b/c?d", "{}", "default"])
def test_plain_text_is_not_quoted(text: str) -> None:
    """What needs no quotes has none, so that lines stay readable."""
    assert f"{TS} level=warning msg=told text={text}\n" == line("logfmt", text=text)


def test_hostile_message_stays_in_its_field() -> None:
    """A library's message of several lines is one line of ours."""
    expected = f'{TS} level=warning msg="two\\nlines"\n'
    assert expected == line("logfmt", "two\nlines")


@pytest.mark.parametrize("form", ["logfmt", "json"])
def test_exceptions_are_named_without_their_text(form: Form) -> None:
    """A traceback could quote a secret: only the exception's class is told."""
    stream = io.StringIO()
    logs.start("info", form, stream)
    try:
        int("SEKRET")
    except ValueError:
        LOG.exception("a bug", stack_info=True)
    [written] = stream.getvalue().splitlines()
    assert ("SEKRET" in written, "Traceback" in written, "Stack" in written) == (False,) * 3
    assert "ValueError" in written
