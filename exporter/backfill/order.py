"""What is wanted: which days, where to, and with which labels."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

from exporter.collectors.usage import UsageCollector
from exporter.errors import ConfigError
from exporter.month import Month
from exporter.source import shown

DAY = timedelta(days=1)

_LABEL = re.compile(r"(?!__)[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_OURS = {
    label
    for table in UsageCollector.history_tables
    for metric in table.metrics
    for label in metric.labels
}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Order:
    """What is wanted.

    Attributes:
        first: the month to begin with.
        last: the month to end with.
        folder: where the files go.
        labels: what Prometheus adds to the live series, such as job and instance; by name.
    """

    first: Month
    last: Month
    folder: Path
    labels: Mapping[str, str]

    @classmethod
    def parse(cls, first: str, last: str, folder: str, labels: Sequence[str]) -> "Order":
        """Reads the words of the command line.

        Raises:
            ConfigError: with all that is wrong, at once.
        """
        problems: list[str] = []

        def read(flag: str, make: Callable[[], T]) -> T | None:
            try:
                return make()
            except ValueError as error:
                problems.append(f"{flag}: {error}")
                return None

        begin, end = read("--from", partial(_month, first)), read("--to", partial(_month, last))
        pairs = [read("--label", partial(_label, text)) for text in labels]
        named = [pair[0] for pair in pairs if pair]
        problems += [
            f"--label: {name} is given more than once: write it once"
            for name in sorted({name for name in named if named.count(name) > 1})
        ]
        if begin and end and begin > end:
            problems.append(f"--from: {begin} is after --to {end}: turn them round")
        if not folder:
            problems.append("--output: nothing is not a folder: name one")
        if problems or begin is None or end is None:
            raise ConfigError(problems)
        return cls(begin, end, Path(folder).absolute(), dict(sorted(filter(None, pairs))))

    def days(self, now: datetime) -> tuple[date, ...]:
        """The days wanted that are over.

        Raises:
            ConfigError: none is.
        """
        end = min(self.last.end, datetime.combine(now, time(), UTC))
        count = (end - self.first.start) // DAY
        if count < 1:
            told = f"--from: no day of {self.first} is over yet: write an earlier month"
            raise ConfigError([told])
        return tuple((self.first.start + DAY * n).date() for n in range(count))


def spans(days: Iterable[date]) -> str:
    """Writes days for people: those that follow each other from the first to the last."""
    runs: list[list[date]] = []
    for day in sorted(days):
        if runs and day - runs[-1][-1] == DAY:
            runs[-1] = [runs[-1][0], day]
        else:
            runs.append([day])
    return ", ".join(" to ".join(map(str, run)) for run in runs)


def _month(text: str) -> Month:
    try:
        return Month.parse(text)
    except ValueError as error:
        raise ValueError(f"{shown(text) or 'nothing'} is {error}") from None


def _label(text: str) -> tuple[str, str]:
    """Reads a label that Prometheus would take from its configuration.

    Raises:
        ValueError: it would not, or it is one of ours.
    """
    name, equals, value = text.partition("=")
    told = shown(name) or "nothing"
    if not equals:
        raise ValueError(f"{told} has no value: write name=value, such as job=wlvpn")
    if not _LABEL.fullmatch(name):
        raise ValueError(f"{told} is not a label's name: write letters, digits and _")
    if name in _OURS:
        raise ValueError(f"{name} is a label of the series themselves: leave it out")
    if not value:
        raise ValueError(f"{name} has no value, which is no label at all: leave it out")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} has a value that is not UTF-8") from None
    return name, value
