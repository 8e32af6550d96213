"""What a page tells of the polls of one collector, and whether that agrees with itself."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tests.oracle_answer import Labels

Samples = Mapping[str, Mapping[Labels, float]]

ALWAYS = (
    "wlvpn_up",
    "wlvpn_last_success_timestamp_seconds",
    "wlvpn_last_attempt_timestamp_seconds",
    "wlvpn_source_changed_timestamp_seconds",
    "wlvpn_poll_interval_seconds",
    "wlvpn_data_ttl_seconds",
    "wlvpn_data_stale",
    "wlvpn_consecutive_failures",
    "wlvpn_next_poll_timestamp_seconds",
    "wlvpn_backoff_until_timestamp_seconds",
    "wlvpn_polls_total",
    "wlvpn_poll_duration_seconds_count",
)
"""What is there for each collector, whatever happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ages:
    """How old a reading may grow: stale from one age, dropped at the other."""

    stale_seconds: float
    ttl_seconds: float


@dataclass(frozen=True, slots=True)
class Polls:
    """The polls of one collector.

    Attributes:
        told: each of `ALWAYS` that is there.
        records: of the last accepted reading, None where that is not told.
        accepted: how many polls ended with an accepted reading.
    """

    told: Mapping[str, float]
    records: float | None
    accepted: int

    @property
    def success(self) -> datetime | None:
        """When the last accepted poll began; None before the first."""
        at = self.told["wlvpn_last_success_timestamp_seconds"]
        return datetime.fromtimestamp(at, UTC) if at else None


def read_polls(samples: Samples, collector: str) -> Polls:
    """Finds what a page tells of one collector."""
    label = ("collector", collector)
    told = {
        name: samples[name][label,]
        for name in ALWAYS
        if name in samples and (label,) in samples[name]
    }
    in_vain = sum(
        value
        for name in ("wlvpn_poll_failures_total", "wlvpn_readings_held_total")
        for labels, value in samples.get(name, {}).items()
        if label in labels
    )
    ended = told.get("wlvpn_poll_duration_seconds_count", 0)
    return Polls(told, samples.get("wlvpn_records", {}).get((label,)), int(ended - in_vain))


def absences(polls: Polls) -> list[str]:
    """What is missing."""
    return [f"{name} is absent" for name in ALWAYS if name not in polls.told]


def incoherences(
    polls: Polls, ages: Ages, at: datetime, *, slack: timedelta, until: datetime | None
) -> Iterator[str]:
    """What cannot be true together; nothing may be absent.

    Args:
        polls: what the page tells.
        ages: of the collector's readings.
        at: when the page was served.
        slack: how far that may be off.
        until: when the last accepted reading stopped or stops being true by itself, if it does.
    """
    told = {name.removeprefix("wlvpn_"): value for name, value in polls.told.items()}
    success, attempt = (
        told["last_success_timestamp_seconds"],
        told["last_attempt_timestamp_seconds"],
    )
    if not {told["up"], told["data_stale"]} <= {0, 1}:
        yield "up or data_stale is neither 0 nor 1"
    if not told["source_changed_timestamp_seconds"] <= success <= attempt:
        yield "the last change, success and attempt are not in this order"
    if attempt > (at + slack).timestamp():
        yield "the last attempt is in the future"
    if told["up"] and (not success or told["consecutive_failures"]):
        yield "up without a success, or with failures since"
    if told["data_ttl_seconds"] != ages.ttl_seconds:
        yield f"the time to live is not {ages.ttl_seconds}"
    if (polls.records is None) != (not success):
        yield "records are told without a success, or a success without records"
    old, new = (_is_stale(polls, ages, at + off, until) for off in (slack, -slack))
    if old == new != bool(told["data_stale"]):
        yield f"data_stale is {told['data_stale']:g}"


def _is_stale(polls: Polls, ages: Ages, at: datetime, until: datetime | None) -> bool:
    if polls.success is None or (until is not None and at >= until):
        return True
    return (at - polls.success).total_seconds() >= min(ages.stale_seconds, ages.ttl_seconds)
