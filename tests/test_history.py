"""What is remembered of polls."""

import tracemalloc
from datetime import UTC, datetime, timedelta

import pytest

from exporter.errors import RefusedError, SchemaError, UnauthorizedError
from exporter.events import Accepted, Held, Outcome, PollEnded
from exporter.history import KEPT, KEPT_FAILURES, History, Poll, select

NOON = datetime(2026, 3, 17, 12, 0, tzinfo=UTC)
GOOD = Accepted(120, rejected=(), changed=True)
BAD = UnauthorizedError("HTTP 401")


def ended(minute: int, outcome: Outcome, account: str = "default") -> PollEnded:
    return PollEnded(
        account=account,
        collector="servers",
        at=NOON + timedelta(minutes=minute),
        duration_seconds=0.5,
        outcome=outcome,
    )


def remembered(*outcomes: Outcome) -> History:
    history = History()
    for minute, outcome in enumerate(outcomes):
        history.add(ended(minute, outcome))
    return history


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (GOOD, ("accepted", 120, 0, None, None)),
        (Accepted(3, (SchemaError("no"),), changed=False), ("accepted", 3, 1, None, None)),
        (Held("shrunk", 12, 1200), ("held", 12, 0, "shrunk", "12 records after 1,200")),
        (BAD, ("failed", None, 0, "unauthorized", "HTTP 401")),
    ],
    ids=["accepted", "rejected", "held", "failed"],
)
def test_a_poll_is_told_in_words(outcome: Outcome, told: tuple[object, ...]) -> None:
    """What came of it, with the reason where it was not accepted."""
    poll = Poll.of(ended(0, outcome))
    assert told == (poll.outcome, poll.records, poll.rejected, poll.reason, poll.error)
    assert ("default", "servers", NOON, 0.5) == (
        poll.account,
        poll.collector,
        poll.at,
        poll.duration_seconds,
    )


def test_failures_are_kept_longer_than_successes() -> None:
    """A failure of hours ago is still there when the successes around it have gone."""
    history = remembered(*[GOOD] * 5, BAD, *[GOOD] * 5, Held("empty", 0, 9), *[GOOD] * 100)
    kept = sorted(history.polls(), key=lambda poll: poll.at)
    outcomes = [poll.outcome for poll in kept]
    assert ["failed", "held", *["accepted"] * KEPT] == outcomes


def test_no_more_is_kept_however_long_it_fails() -> None:
    """There is a bound on what is kept, and the newest stay."""
    history = remembered(*[BAD] * 1000)
    assert KEPT + KEPT_FAILURES == len(history.polls())
    assert NOON + timedelta(minutes=999) == max(poll.at for poll in history.polls())
    assert 1000 == history.of("default", "servers").failures


def test_failures_in_a_row_are_counted_from_the_first() -> None:
    """An answer ends the row, accepted or held, as in `wlvpn_consecutive_failures`."""
    past = remembered(GOOD, BAD, Held("empty", 0, 9), BAD, BAD).of("default", "servers")
    assert (2, NOON + timedelta(minutes=3)) == (past.failures, past.failing_since)
    past = remembered(BAD, GOOD).of("default", "servers")
    assert (0, None) == (past.failures, past.failing_since)
    past = History().of("default", "servers")
    assert (None, 0, None) == (past.last, past.failures, past.failing_since)


def test_rejected_records_are_told_until_an_answer_is_better() -> None:
    """A failed poll says nothing about the reading that is served."""
    poor = Accepted(3, (SchemaError("no"),) * 2, changed=True)
    assert 2 == remembered(poor, BAD).of("default", "servers").rejected
    assert 0 == remembered(poor, BAD, GOOD).of("default", "servers").rejected


def test_the_newest_polls_are_selected_and_failures_of_before() -> None:
    """The page shows few of many by the same rule."""
    history = remembered(BAD, GOOD, BAD, BAD, GOOD, GOOD)
    minutes = [
        (poll.at - NOON) // timedelta(minutes=1)
        for poll in select(history.polls(), most=2, most_failures=2)
    ]
    assert [5, 4, 3, 2] == minutes


def test_nothing_large_is_kept() -> None:
    """Twenty accounts that fail for ever cost less than 2 MB, whatever their errors hold."""
    history = History()
    tracemalloc.start()
    for minute in range(100):
        for account in range(20 * 5):
            error = RefusedError(f"the API refused: {'x' * 128}")
            error.__context__ = ValueError("x" * 10_000)
            history.add(ended(minute, error, f"brand-{account}"))
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 20 * 5 * (KEPT + KEPT_FAILURES) == len(history.polls())
    assert kept < 2_000_000
