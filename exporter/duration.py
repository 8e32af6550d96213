"""Durations as Prometheus writes them: `90s`, `15m`, `1h30m` ("Configuration", Prometheus docs)."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import PlainSerializer, PlainValidator

_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DURATION = re.compile("".join(rf"(?:([0-9]{{1,9}}){unit})?" for unit in _SECONDS), re.ASCII)


def parse_duration(value: object) -> timedelta:
    """Reads a duration.

    Raises:
        ValueError: it is something else; a number without a unit too, since nobody can tell which.
    """
    if isinstance(value, timedelta):
        return value
    found = _DURATION.fullmatch(value) if isinstance(value, str) and value else None
    if not found:
        raise ValueError("not a duration: write a number with its unit, such as 90s, 15m or 1h")
    counts = (int(count or 0) for count in found.groups())
    try:
        pairs = zip(counts, _SECONDS.values(), strict=True)
        return timedelta(seconds=sum(count * seconds for count, seconds in pairs))
    except OverflowError:
        raise ValueError("longer than any clock can count") from None


def format_duration(value: timedelta) -> str:
    """Writes a duration in the largest unit that keeps it whole."""
    milliseconds = round(value / timedelta(milliseconds=1))
    for unit, seconds in _SECONDS.items():
        count, rest = divmod(milliseconds, round(seconds * 1000))
        if count and not rest:
            return f"{count}{unit}"
    return "0s"


Duration = Annotated[timedelta, PlainValidator(parse_duration), PlainSerializer(format_duration)]


def format_age(seconds: float) -> str:
    """Writes a duration for people, in one or two units: `48s`, `12m`, `3h 5m`."""
    whole = max(0, round(seconds))
    if whole < 120:
        return f"{whole}s"
    minutes, hours = whole // 60, whole // 3600
    if minutes < 120:
        return f"{minutes}m"
    return f"{hours}h {minutes % 60}m" if hours < 48 else f"{hours // 24}d {hours % 24}h"
