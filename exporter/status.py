"""How we are: what events told, and what the Store knows, for the status page and readiness."""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import singledispatchmethod
from typing import Literal

from exporter import __version__
from exporter.clock import Clock
from exporter.collectors import ALL
from exporter.collectors.servers import Servers
from exporter.collectors.usage import Usage
from exporter.desk import Desk
from exporter.events import Event, PollEnded, PollPlanned
from exporter.fleet import Filter, Fleet, traffic
from exporter.glance import AccountStatus, CollectorStatus, Glance, Off
from exporter.history import History, Past, select
from exporter.mend import MENDS, mend
from exporter.snapshot import Slot, Store

Form = Literal["html", "json"]

MOST_PLACES = 10
"""Rows of each table where several accounts are shown; of one, or with a filter, all are."""

MOST_POLLS = 30
"""Polls on the page, and how many failures of the time before."""


class Status:
    """Listens to events, and tells people; `stopping` is set once we are asked to stop."""

    def __init__(self, store: Store, *, clock: Clock, telemetry_path: str) -> None:
        self.stopping = False
        self._store = store
        self._clock = clock
        self._telemetry_path = telemetry_path
        self._history = History()
        self._planned: dict[tuple[str, str], PollPlanned] = {}
        self._desk = Desk()

    def __call__(self, event: Event) -> None:
        """Remembers what a page shows."""
        self._note(event)

    @singledispatchmethod
    def _note(self, event: Event) -> None:
        """Events that the page does not show."""

    @_note.register
    def _(self, event: PollEnded) -> None:
        self._history.add(event)

    @_note.register
    def _(self, event: PollPlanned) -> None:
        self._planned[event.account, event.collector] = event

    @property
    def is_ready(self) -> bool:
        """Whether every collector was attempted, some reading accepted, and we are not stopping."""
        slots = self._store.slots()
        attempted = all(self._history.of(s.account, s.collector.name).last for s in slots)
        return attempted and any(slot.reading for slot in slots) and not self.stopping

    async def show(self, form: Form, wanted: Filter, *, refreshing: bool = False) -> str:
        """Tells everything, as a page or as JSON.

        The work is done in a thread, and for one who asks after the other: however many ask, polls
        find a thread of their own.

        Args:
            form: which of both.
            wanted: which countries, POPs and servers to show.
            refreshing: whether the page loads itself anew.

        Raises:
            BusyError: too many ask.
        """
        return await self._desk.serve(lambda: self._show(form, wanted, refreshing=refreshing))

    async def _show(self, form: Form, wanted: Filter, *, refreshing: bool) -> str:
        slots, polls = self._store.slots(), self._history.polls()
        begun = self._glance(slots, wanted)

        def make() -> str:
            accounts = tuple(_accounts(slots, wanted))
            shown = select(polls, most=MOST_POLLS, most_failures=MOST_POLLS)
            glance = replace(begun, accounts=accounts, polls=shown)
            return glance.as_json() if form == "json" else glance.as_html(refreshing=refreshing)

        return await asyncio.to_thread(make)

    def _glance(self, slots: Iterable[Slot], wanted: Filter) -> Glance:
        """What is cheap to know."""
        enabled = {(slot.account, slot.collector.name) for slot in slots}
        accounts = dict.fromkeys(slot.account for slot in slots)
        pairs = [(account, kind.name) for account in accounts for kind in ALL]
        return Glance(
            version=__version__,
            time=self._clock.now(),
            ready=self.is_ready,
            stopping=self.stopping,
            telemetry_path=self._telemetry_path,
            filter=wanted.text,
            collectors=[self._collector(slot) for slot in slots],
            off=[Off(*pair) for pair in pairs if pair not in enabled],
            accounts=(),
            polls=(),
        )

    def _collector(self, slot: Slot) -> CollectorStatus:
        pair = slot.account, slot.collector.name
        past, planned = self._history.of(*pair), self._planned.get(pair)
        now, last = self._clock.now(), past.last
        away = planned.backoff_until if planned else None
        reason = last.reason if last else None
        interval = slot.collector.options.interval
        is_served = slot.reading and not slot.dropped
        return CollectorStatus(
            account=slot.account,
            collector=slot.collector.name,
            state=self._state(slot, past),
            records=slot.reading.records if slot.reading and is_served else None,
            rejected=past.rejected if is_served else 0,
            age_seconds=self._store.age_seconds(*pair),
            stale_after_seconds=slot.collector.stale_seconds,
            dropped_after_seconds=slot.collector.drop_seconds,
            next_poll_seconds=(planned.at - now).total_seconds() if planned else None,
            interval_seconds=planned.interval_seconds if planned else interval.total_seconds(),
            backoff_seconds=(away - now).total_seconds() if away and away > now else None,
            consecutive_failures=past.failures,
            failing_since=past.failing_since,
            reason=reason,
            error=last.error if last else None,
            mend=mend(reason, collector=pair[1]) if reason and reason in MENDS else None,
        )

    def _state(self, slot: Slot, past: Past) -> str:
        if past.last is None:
            return "starting"
        if slot.reading is None or slot.dropped:
            return "no data"
        if self._store.is_stale(slot.account, slot.collector.name):
            return "stale"
        return {"accepted": "ok", "held": "held", "failed": "failing"}[past.last.outcome]


def _accounts(slots: Iterable[Slot], wanted: Filter) -> Iterator[AccountStatus]:
    """What is served of each account."""
    contents: dict[str, dict[type, object]] = {}
    for slot in slots:
        served = contents.setdefault(slot.account, {})
        if slot.reading and not slot.dropped:
            served[type(slot.reading.content)] = slot.reading.content
    most = None if wanted or len(contents) == 1 else MOST_PLACES
    for account, served in contents.items():
        servers, usage = served.get(Servers), served.get(Usage)
        fleet = moved = None
        pops: set[str] = set()
        if isinstance(servers, Servers):
            fleet = Fleet.of(account, servers.servers, wanted, most=most)
            pops = {row.name for row in fleet.pops.rows} if wanted else pops
        if isinstance(usage, Usage):
            moved = traffic(account, usage.current, wanted, pops=pops, most=most)
        yield AccountStatus(account, fleet, moved)
