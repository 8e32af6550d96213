"""Months in UTC."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.month import Month

INSTANTS = st.datetimes(
    min_value=datetime(2000, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    max_value=datetime(2100, 1, 1),  # noqa: DTZ001 - as above
    timezones=st.just(UTC),
)


@pytest.mark.parametrize(
    ("month", "start", "end", "previous"),
    [
        (Month(2026, 3), date(2026, 3, 1), date(2026, 4, 1), Month(2026, 2)),
        (Month(2026, 4), date(2026, 4, 1), date(2026, 5, 1), Month(2026, 3)),
        (Month(2026, 2), date(2026, 2, 1), date(2026, 3, 1), Month(2026, 1)),
        (Month(2028, 2), date(2028, 2, 1), date(2028, 3, 1), Month(2028, 1)),
        (Month(2026, 12), date(2026, 12, 1), date(2027, 1, 1), Month(2026, 11)),
        (Month(2027, 1), date(2027, 1, 1), date(2027, 2, 1), Month(2026, 12)),
    ],
    ids=["31 days", "30 days", "February", "leap February", "December", "January"],
)
def test_a_month_knows_its_bounds_and_the_one_before(
    month: Month, start: date, end: date, previous: Month
) -> None:
    """It lasts from its first instant to the first of the next one, in UTC."""
    midnights = [datetime(day.year, day.month, 1, tzinfo=UTC) for day in (start, end)]
    assert (*midnights, previous) == (month.start, month.end, month.previous)


@pytest.mark.parametrize(
    ("month", "until", "last"),
    [
        (Month(2026, 3), datetime(2026, 3, 17, 12, tzinfo=UTC), date(2026, 3, 17)),
        (Month(2026, 3), datetime(2026, 3, 1, tzinfo=UTC), date(2026, 3, 1)),
        (Month(2026, 3), datetime(2026, 3, 31, tzinfo=UTC), date(2026, 3, 31)),
        (Month(2026, 3), datetime(2026, 3, 31, 23, 59, 59, 999_999, UTC), date(2026, 3, 31)),
        (Month(2026, 3), datetime(2026, 4, 1, tzinfo=UTC), date(2026, 3, 31)),
        (Month(2026, 2), datetime(2026, 3, 17, tzinfo=UTC), date(2026, 2, 28)),
        (Month(2028, 2), datetime(2028, 2, 29, 23, tzinfo=UTC), date(2028, 2, 29)),
        (Month(2028, 2), datetime(2028, 3, 5, tzinfo=UTC), date(2028, 2, 29)),
        (Month(2026, 12), datetime(2027, 1, 1, tzinfo=UTC), date(2026, 12, 31)),
    ],
    ids=lambda value: value.isoformat() if isinstance(value, date) else str(value.month),
)
def test_its_days_end_with_the_last_that_has_begun(
    month: Month, until: datetime, last: date
) -> None:
    """A running month ends today, a closed one on its last day."""
    assert (month.start.date(), last) == month.days(until)


@given(INSTANTS)
def test_an_instant_lies_within_its_month(at: datetime) -> None:
    """Months leave no gap and do not overlap."""
    month = Month.of(at)
    assert (True, month.start, month) == (
        month.start <= at < month.end,
        month.previous.end,
        Month.of(month.end - timedelta(microseconds=1)),
    )


@given(INSTANTS)
def test_days_never_leave_the_month(at: datetime) -> None:
    """The API refuses a window that spans two months."""
    months = [(day.year, day.month) for day in Month.of(at).days(at)]
    assert [(at.year, at.month)] * 2 == months


def test_months_sort_by_time() -> None:
    """December comes before January."""
    months = [Month(2027, 1), Month(2026, 12), Month(2026, 2)]
    assert [Month(2026, 2), Month(2026, 12), Month(2027, 1)] == sorted(months)


@pytest.mark.parametrize("text", ["2026-01", "2999-12", "2000-02"])
def test_a_month_is_written_as_it_is_read(text: str) -> None:
    """Year and month, as in a date."""
    assert text == str(Month.parse(text))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026",
        "2026-1",
        "2026-00",
        "2026-13",
        "2026-01-01",
        "1999-12",
        "0000-01",
        "26-01",
        "٢٠٢٦-٠١",  # noqa: RUF001 - other digits than ours
        " 2026-01",
    ],
)
def test_what_is_no_month_is_refused(text: str) -> None:
    """Nor is one of another millennium."""
    with pytest.raises(ValueError, match="not a month from 2000 on: write one such as 2026-01"):
        Month.parse(text)
