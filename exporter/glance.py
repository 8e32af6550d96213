"""Everything on the status page at one instant, and its two forms: HTML and JSON."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jinja2

from exporter.duration import format_age
from exporter.fleet import (
    FILLING,
    MAX_FILTER_CHARACTERS,
    PLACE_FULL,
    SERVER_FULL,
    Fleet,
    Rows,
    Traffic,
)
from exporter.history import Poll

REFRESH_SECONDS = 30
STARTING_SECONDS = 3
"""How often the page loads itself anew: if that is asked for, and until all were polled once."""

MEANINGS: Mapping[str, str] = {
    "no data": "The last good reading was dropped: its series have ended.",
    "stale": "What is served is too old to rely on; at an age of {dropped} it is dropped.",
    "failing": "The last good reading is still served; at an age of {stale} it is stale, "
    "at {dropped} it is dropped.",
    "held": "The last answer is doubted and asked for once more; until then the reading before it "
    "is served.",
    "starting": "The first poll has not ended yet.",
    "ok": "",
}
"""The states of a collector, and what they mean for who reads the metrics; trouble comes first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectorStatus:
    """How one collector of one account is; ages and times in seconds.

    Attributes:
        account: whose.
        collector: of what.
        state: `starting` before the first poll has ended, `ok`, `held` while an answer is doubted,
            `failing`, `stale` when what is served is too old to rely on, `no data` when nothing is.
        records: how many are served; None where nothing is.
        rejected: bad records that the last accepted answer had beside those.
        age_seconds: of the last accepted reading, also after it was dropped.
        stale_after_seconds: the age from which a reading is stale.
        dropped_after_seconds: the age at which it is dropped.
        next_poll_seconds: until the next poll; not above 0 while it runs.
        interval_seconds: between polls now; longer than configured while they go on failing.
        backoff_seconds: for how long the API is left alone on purpose.
        consecutive_failures: failed polls in a row.
        failing_since: when the first of those began.
        reason: why the last poll failed or was held.
        error: the same in words.
        mend: what to do about it.
    """

    account: str
    collector: str
    state: str
    records: int | None
    rejected: int
    age_seconds: float | None
    stale_after_seconds: float
    dropped_after_seconds: float
    next_poll_seconds: float | None
    interval_seconds: float
    backoff_seconds: float | None
    consecutive_failures: int
    failing_since: datetime | None
    reason: str | None
    error: str | None
    mend: str | None

    @property
    def meaning(self) -> str:
        """What the state means for who reads the metrics."""
        if self.state == "no data" and self.age_seconds is None:
            return "No answer has been accepted yet, so nothing is served."
        return MEANINGS[self.state].format(
            stale=format_age(self.stale_after_seconds),
            dropped=format_age(self.dropped_after_seconds),
        )


@dataclass(frozen=True, slots=True)
class Off:
    """A collector that is not enabled."""

    account: str
    collector: str


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """What is served of one account; None where there is no reading."""

    account: str
    fleet: Fleet | None
    usage: Rows[Traffic] | None

    @property
    def matches(self) -> bool:
        """Whether there is anything to show, after the filter."""
        tables = [self.fleet and self.fleet.fullest, self.usage]
        return any(table.matching for table in tables if table)


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """Everything on the page, and nothing that is not."""

    version: str
    time: datetime
    ready: bool
    stopping: bool
    telemetry_path: str
    filter: str
    collectors: Sequence[CollectorStatus]
    off: Sequence[Off]
    accounts: Sequence[AccountStatus]
    polls: Sequence[Poll]

    @property
    def by_trouble(self) -> list[CollectorStatus]:
        """The collectors, those that need help first."""
        return sorted(self.collectors, key=lambda row: list(MEANINGS).index(row.state))

    @property
    def is_starting(self) -> bool:
        """Whether some collector was not polled yet."""
        return any(row.state == "starting" for row in self.collectors)

    @property
    def state(self) -> str:
        """The worst of all states."""
        return self.by_trouble[0].state if self.collectors else "ok"

    @property
    def headline(self) -> str:
        """How all is, in a sentence."""
        total = len(self.collectors)
        states = Counter(row.state for row in self.collectors)
        troubled = total - states["ok"] - states["starting"]
        if self.stopping:
            return "Stopping: there are no polls any more."
        if troubled:
            needs = "needs" if troubled == 1 else "need"
            return f"{troubled} of {total} collectors {needs} a look."
        if self.is_starting:
            return f"Starting: {total - states['starting']} of {total} collectors were polled."
        return "All collectors are fine."

    def as_json(self) -> str:
        """For programs; docs/status.md names the members."""
        return json.dumps(self, default=_plain)

    def as_html(self, *, refreshing: bool) -> str:
        """For people.

        Args:
            refreshing: whether the page loads itself anew.
        """
        return _template().render(look=self, refreshing=refreshing)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%SZ}"
    return {each.name: getattr(value, each.name) for each in fields(value)}  # type: ignore[arg-type] # all else is a dataclass


@cache
def _template() -> "jinja2.Template":
    import jinja2  # noqa: PLC0415 - most are never looked at, and it costs 3 MB

    page = files("exporter").joinpath("status.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals.update(
        filling=FILLING,
        max_filter_characters=MAX_FILTER_CHARACTERS,
        place_full=PLACE_FULL,
        refresh_seconds=REFRESH_SECONDS,
        server_full=SERVER_FULL,
        starting_seconds=STARTING_SECONDS,
    )
    environment.filters.update(age=format_age, count="{:,}".format, percent="{:.0%}".format)
    return environment.from_string(page)
