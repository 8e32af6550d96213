"""The simulator's clock."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from exporter.simulator import Clock

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


class Ticks:
    """A stand-in for the monotonic clock."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> Ticks:
    ticks = Ticks()
    monkeypatch.setattr("time.monotonic", ticks)
    return ticks


def test_starts_at_the_real_present() -> None:
    """Without a start, the clock tells the real time."""
    before = datetime.now(UTC)
    assert before <= Clock().now() <= datetime.now(UTC) + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("speed", "expected"),
    [
        pytest.param(0, timedelta(0), id="standing"),
        pytest.param(1, timedelta(seconds=10), id="real"),
        pytest.param(360, timedelta(hours=1), id="fast"),
    ],
)
def test_runs_at_its_speed(ticks: Ticks, speed: float, expected: timedelta) -> None:
    """Ten real seconds are ten times the speed in the world."""
    clock = Clock(NEW_YEAR, speed)
    ticks.seconds += 10
    assert expected == clock.now() - NEW_YEAR


def test_a_jump_keeps_the_speed(ticks: Ticks) -> None:
    """Setting and advancing move the present only, not the pace."""
    clock = Clock(NEW_YEAR, speed=60)
    clock.set(NEW_YEAR + timedelta(days=31))
    ticks.seconds += 1
    clock.advance(timedelta(hours=1))
    ticks.seconds += 1
    assert NEW_YEAR + timedelta(days=31, hours=1, minutes=2) == clock.now()


def test_speaks_utc() -> None:
    """An instant of another zone is told in UTC."""
    clock = Clock(datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), speed=0)
    assert clock.now().isoformat() == "2026-01-01T00:00:00+00:00"


@pytest.mark.parametrize("speed", [-1.0, float("nan"), float("inf")])
def test_refuses_a_senseless_speed(speed: float) -> None:
    """A clock runs forth and at a finite speed."""
    with pytest.raises(ValueError, match="finite number >= 0"):
        Clock(NEW_YEAR, speed)


def test_refuses_an_instant_without_a_zone() -> None:
    """An instant that depends on the machine's zone is an error."""
    with pytest.raises(ValueError, match="time zone"):
        Clock(datetime(2026, 1, 1))  # noqa: DTZ001 - the mistake under test
