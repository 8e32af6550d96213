"""Durations as Prometheus writes them."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from exporter.duration import Duration, format_age, format_duration, parse_duration


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("0s", timedelta()),
        ("250ms", timedelta(milliseconds=250)),
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("1h", timedelta(hours=1)),
        ("7d", timedelta(days=7)),
        ("1h30m", timedelta(minutes=90)),
        ("1d2h3m4s5ms", timedelta(days=1, hours=2, minutes=3, seconds=4, milliseconds=5)),
        (timedelta(seconds=7), timedelta(seconds=7)),
    ],
    ids=str,
)
def test_a_duration_is_read(written: object, expected: timedelta) -> None:
    """Numbers with units are read, several of them as their sum."""
    assert expected == parse_duration(written)


@pytest.mark.parametrize(
    "written",
    [
        "",
        "60",
        60,
        60.0,
        None,
        True,
        ["60s"],
        "s",
        "-5s",
        "1.5h",
        "1 h",
        " 1h",
        "1h ",
        "1h\n",
        "1H",
        "1w",
        "1h1h",
        "1s1h",
        "1y",
        "5\u0665s",
        "\u0665s",
        "1hs",
        "PT1H",
        "12345678901s",
        "9" * 10_000 + "s",
    ],
    ids=lambda written: ascii(written)[:20],
)
def test_what_is_no_duration_is_refused(written: object) -> None:
    """A number without its unit is refused too: nobody can tell which was meant."""
    with pytest.raises(ValueError, match=r"^not a duration: write a number with its unit"):
        parse_duration(written)


def test_a_duration_beyond_counting_is_refused() -> None:
    """The longest is what a timedelta holds; more is an error with a name, not a crash."""
    assert timedelta(days=999_999_999) == parse_duration("999999999d")
    with pytest.raises(ValueError, match="longer than any clock can count"):
        parse_duration("999999999d24h")


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        (timedelta(), "0s"),
        (timedelta(milliseconds=1), "1ms"),
        (timedelta(milliseconds=1500), "1500ms"),
        (timedelta(seconds=60), "1m"),
        (timedelta(seconds=90), "90s"),
        (timedelta(minutes=15), "15m"),
        (timedelta(minutes=90), "90m"),
        (timedelta(hours=26), "26h"),
        (timedelta(days=7), "7d"),
    ],
    ids=str,
)
def test_a_duration_is_written_in_its_largest_whole_unit(
    duration: timedelta, expected: str
) -> None:
    """One number and one unit say it exactly."""
    assert expected == format_duration(duration)


@given(st.integers(min_value=0, max_value=999_999_999))
def test_a_written_duration_reads_as_itself(milliseconds: int) -> None:
    """Writing and reading a whole number of milliseconds loses nothing."""
    duration = timedelta(milliseconds=milliseconds)
    assert duration == parse_duration(format_duration(duration))


def test_an_option_of_this_type_reads_and_writes_durations() -> None:
    """Pydantic takes the text of a file and gives it back."""
    option = TypeAdapter(Duration)
    assert "90m" == option.dump_python(option.validate_python("1h30m"))


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-3.0, "0s"),
        (0.0, "0s"),
        (0.6, "1s"),
        (48.0, "48s"),
        (119.4, "119s"),
        (119.6, "2m"),
        (120.0, "2m"),
        (7_199.0, "119m"),
        (7_200.0, "2h 0m"),
        (11_100.0, "3h 5m"),
        (172_799.0, "47h 59m"),
        (172_800.0, "2d 0h"),
        (954_000.0, "11d 1h"),
    ],
    ids=str,
)
def test_an_age_is_written_for_people(seconds: float, expected: str) -> None:
    """One or two units, and never a negative age."""
    assert expected == format_age(seconds)
