"""Months in UTC: the API's usage is counted by them."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

_TEXT = re.compile(r"(2[0-9]{3})-(0[1-9]|1[0-2])", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A UTC month."""

    year: int
    month: int

    @classmethod
    def of(cls, at: datetime) -> "Month":
        """The month an instant belongs to."""
        return cls(at.year, at.month)

    def __str__(self) -> str:
        return f"{self.start:%Y-%m}"

    @classmethod
    def parse(cls, text: str) -> "Month":
        """Reads a month of this millennium, such as 2026-01.

        Raises:
            ValueError: it is something else.
        """
        found = _TEXT.fullmatch(text)
        if not found:
            raise ValueError("not a month from 2000 on: write one such as 2026-01")
        return cls(int(found[1]), int(found[2]))

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
