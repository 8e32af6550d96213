"""Months in UTC: the API's usage is counted by them."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A UTC month."""

    year: int
    month: int

    @classmethod
    def of(cls, at: datetime) -> "Month":
        """The month an instant belongs to."""
        return cls(at.year, at.month)

    @property
    def start(self) -> datetime:
        """Its first instant."""
        return datetime(self.year, self.month, 1, tzinfo=UTC)

    @property
    def end(self) -> datetime:
        """The first instant after it."""
        return (self.start + timedelta(days=31)).replace(day=1)

    @property
    def previous(self) -> "Month":
        """The month before."""
        return Month.of(self.start - timedelta(days=1))

    def days(self, until: datetime) -> tuple[date, date]:
        """Its first day, and the last one that has begun at an instant."""
        last = min(until, self.end - timedelta(days=1))
        return self.start.date(), last.date()
