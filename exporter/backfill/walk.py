"""Asks for day after day and fills the folder: one request at a time, and in no hurry."""

import asyncio
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from typing import TextIO

from exporter.backfill.advice import advise
from exporter.backfill.archive import Archive
from exporter.backfill.folder import Folder, FolderError
from exporter.backfill.order import DAY, Order, spans
from exporter.backfill.progress import Progress
from exporter.clock import Clock
from exporter.collectors.usage import UsageCollector
from exporter.config import Target
from exporter.errors import (
    ApiError,
    BadRequestError,
    ConfigError,
    ForbiddenError,
    GoneError,
    NotFoundError,
    SchemaError,
    UnauthorizedError,
)
from exporter.events import Event, RequestDone
from exporter.exposition import Stamp, document, encode
from exporter.poll import Poller

MOST_UNREADABLE = 3
"""After so many unreadable days in a row, all of them are taken to be."""

_GO_ON = "run the same command again to go on"
_METRICS = [metric for table in UsageCollector.history_tables for metric in table.metrics]


class Walk:
    """Fills the folder of an order.

    Args:
        order: what is wanted.
        targets: the accounts.
        pollers: theirs; those of usage are made use of.
        clock: the time.
        out: where the commands to run next are written.
        err: where all else is.
    """

    def __init__(
        self,
        order: Order,
        targets: Sequence[Target],
        pollers: Sequence[Poller],
        *,
        clock: Clock,
        out: TextIO | None = None,
        err: TextIO | None = None,
    ) -> None:
        self._order = order
        self._clock = clock
        self._out = out or sys.stdout
        self._progress = Progress(clock=clock, stream=err or sys.stderr)
        self._archives = [
            Archive(poller, clock=clock, say=self._progress.say)
            for poller in pollers
            if poller.collector.name == "usage"
        ]
        self._targets = targets
        self._unreadable: dict[date, SchemaError] = {}
        self._unsettled: list[date] = []

    def hear(self, event: Event) -> None:
        """Counts the requests."""
        if isinstance(event, RequestDone):
            self._progress.requests += 1

    async def run(self) -> int:
        """Asks for all that is not there yet, and tells how to load it; gives the exit code.

        Raises:
            ConfigError: there is nothing to ask for, or nowhere to put it.
        """
        now = self._clock.now()
        days = self._order.days(now)
        if not self._archives:
            raise ConfigError(["collectors.usage.enabled: false for every account: write true"])
        with Folder(self._order.folder, self._manifest()) as folder:
            missing = [day for day in days if not folder.has(day, settled=self._settled(day))]
            self._introduce(days, missing)
            code = await self._fill(folder, missing)
            if code == 0:
                self._conclude(days)
                self._advise(folder, now)
        return code or (1 if self._unreadable else 0)

    def _manifest(self) -> Mapping[str, object]:
        """What the files' content depends on, beside the API."""
        details = {a.account: a.collector.options.detail for a in self._archives}
        urls = {t.account: t.base_url for t in self._targets if t.account in details}
        return {
            "accounts": sorted(details),
            "base_url": urls,
            "detail": details,
            "labels": dict(self._order.labels),
        }

    def _settled(self, day: date) -> datetime:
        """From when on the API does not correct a day any more."""
        settle_days = max(a.collector.options.settle_days for a in self._archives)
        return datetime.combine(day + DAY * (1 + settle_days), time(), UTC)

    def _introduce(self, days: Sequence[date], missing: Sequence[date]) -> None:
        asked = {archive.account for archive in self._archives}
        for target in self._targets:
            if target.account not in asked:
                self._progress.say(f"{target.account} is left out: its usage is not polled")
        if not {"job", "instance"} <= self._order.labels.keys():
            self._progress.say(
                "without --label job=... and --label instance=..., as Prometheus adds them to the "
                "live series, these are series of their own"
            )
        if len(missing) < len(days):
            there = len(days) - len(missing)
            self._progress.say(f"{there} of {len(days)} days are there already")
        self._progress.begin(len(missing))

    async def _fill(self, folder: Folder, days: Sequence[date]) -> int:
        """Asks for days until one cannot be had; gives the exit code."""
        try:
            with _stoppable() as stopped:
                for day in days:
                    await self._fill_day(folder, day)
                    ends_month = (day + DAY).day == 1 or day == days[-1]
                    self._progress.step(day, ends_month=ends_month)
        except ApiError as error:
            self._progress.say(f"{error.reason}: {error}")
            self._progress.say(_mend(error))
        except FolderError as error:
            self._progress.say(str(error))
            self._progress.say(f"mend that, and {_GO_ON}")
        except asyncio.CancelledError:
            if not stopped:
                raise
            self._progress.say(f"stopped: {_GO_ON}")
            return 128 + stopped[0]
        else:
            return 0
        return 1

    async def _fill_day(self, folder: Folder, day: date) -> None:
        """Asks for a day, and puts it there if it can be read."""
        asked = self._clock.now()
        try:
            blocks = [await self._blocks(archive, day) for archive in self._archives]
        except SchemaError as error:
            self._pass_over(day, error)
        else:
            settled = self._settled(day)
            folder.put(day, document(_METRICS, blocks), asked=asked, settled=settled)
            if asked < settled:
                self._unsettled.append(day)

    async def _blocks(self, archive: Archive, day: date) -> Mapping[str, bytes]:
        """Asks for an account's part of a day, and encodes it."""
        usage = await archive.until(day)
        # The day's last second: a second later would be the next day, and maybe the next month.
        at = datetime.combine(day, time(23, 59, 59), UTC)
        stamp = Stamp(self._order.labels, int(at.timestamp()))
        return encode(UsageCollector.history_tables, usage, archive.account, stamp)

    def _pass_over(self, day: date, error: SchemaError) -> None:
        """Leaves out a day that the API tells wrongly, so that the others can be had.

        Raises:
            SchemaError: so were those before.
        """
        self._unreadable[day] = error
        last = {day - DAY * n for n in range(MOST_UNREADABLE)}
        if last <= self._unreadable.keys():
            raise error
        self._progress.say(f"left out: {error.reason}: {error}")

    def _conclude(self, days: Sequence[date]) -> None:
        """Sums up."""
        there = len(days) - len(self._unreadable)
        rejected = [error for archive in self._archives for error in archive.rejected]
        told = f"{there} of {len(days)} days are there, {self._progress.requests} requests"
        self._progress.say(told)
        if rejected:
            bad = f"{len(rejected)} bad cells were left out, the first: {rejected[0]}"
            self._progress.say(bad)
        if self._unreadable:
            left_out = (
                f"left out: {spans(self._unreadable)}: run the same command again to ask again"
            )
            self._progress.say(left_out)

    def _advise(self, folder: Folder, now: datetime) -> None:
        """Tells what to do with the files."""
        unsettled = self._unsettled
        settled = self._settled(unsettled[-1] if unsettled else now).date()
        text = advise(folder.path, folder.ready(), unsettled=unsettled, settled=settled, now=now)
        self._out.write(text)
        self._out.flush()


@contextmanager
def _stoppable() -> Iterator[list[int]]:
    """Lets SIGTERM and SIGINT cancel what runs within; gives the signals that did."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    stopped: list[int] = []

    def stop(number: int) -> None:
        stopped.append(number)
        if task:
            task.cancel()

    numbers = signal.SIGTERM, signal.SIGINT
    for number in numbers:
        loop.add_signal_handler(number, stop, number)
    try:
        yield stopped
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _mend(error: ApiError) -> str:
    """What to do about a failure."""
    match error:
        case UnauthorizedError() | ForbiddenError():
            return f"mend the key or its permissions, and {_GO_ON}"
        case BadRequestError() | NotFoundError() | GoneError():
            return f"if the API does not go back so far, write a later --from; else {_GO_ON}"
        case _:
            return _GO_ON
