"""What we know: the last accepted reading of each account and collector, and the page made of it.

A reading is never changed, only replaced. Its bytes are encoded when it is accepted, beside the
event loop; a scrape picks them up. What has grown too old is dropped on the way, by whoever looks
next: no timer to trust.
"""

import asyncio
import math
import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from exporter.clock import Clock
from exporter.collectors.base import Collector
from exporter.events import Listener, ReadingDropped
from exporter.exposition import Body, Format, body, encode

_NEVER = datetime.max.replace(tzinfo=UTC)
_AT_ONCE = -math.inf, _NEVER


@dataclass(frozen=True, slots=True)
class Reading:
    """All accepted records of one account and collector.

    Attributes:
        content: the records.
        records: how many.
        at: when the poll that brought them began.
        monotonic: the same instant on the clock that never steps; ages are measured on it.
    """

    content: Any
    records: int
    at: datetime
    monotonic: float


@dataclass(frozen=True, slots=True)
class Slot:
    """What is known of one collector of one account.

    Attributes:
        account: whose.
        collector: of what.
        reading: the last accepted one, also after it was dropped: the next is compared with it.
        dropped: whether its series have ended.
        tally: what was counted since the start.
    """

    account: str
    collector: Collector[Any, Any]
    reading: Reading | None
    dropped: bool
    tally: Any
    content_blocks: Mapping[str, bytes]
    tally_blocks: Mapping[str, bytes]

    def looks_like(self, other: "Slot") -> bool:
        """Whether both have the same place on the page."""
        mine = self.content_blocks, self.tally_blocks
        return all(map(operator.is_, mine, (other.content_blocks, other.tally_blocks)))


Slots = Mapping[tuple[str, str], Slot]
"""All that is known, by account and collector; never changed, only replaced."""


class Store:
    """Keeps the readings and gives out the page's domain part."""

    def __init__(
        self,
        collectors: Iterable[tuple[str, Collector[Any, Any]]],
        *,
        clock: Clock,
        emit: Listener,
    ) -> None:
        self._clock = clock
        self._emit = emit
        self._slots: Slots = {(a, c.name): _empty(a, c) for a, c in collectors}
        kinds = dict.fromkeys(type(slot.collector) for slot in self._slots.values())
        self._metrics = tuple(metric for kind in kinds for metric in kind.metrics())
        self._bodies: dict[Format, Body] = {}
        self._asked: set[Format] = set()
        self._due = _AT_ONCE
        self._accepting = asyncio.Lock()

    async def accept(self, account: str, name: str, reading: Reading) -> bool:
        """Replaces the reading; tells whether its content differs from the last one's.

        Python's work is done in a thread meanwhile; what is served changes all at once.
        """
        async with self._accepting:  # one by one, or each would have the page made for the others
            slot = self._slots[account, name]
            renewed, changed = await asyncio.to_thread(_renew, slot, reading)
            await self._publish(renewed)
            return changed

    async def _publish(self, slot: Slot) -> None:
        """Replaces what is known together with its page: no scrape has to wait for that."""
        key = slot.account, slot.collector.name
        before, bodies = self._slots, self._bodies
        if not slot.looks_like(before[key]):
            slots = {**before, key: slot}
            bodies = await asyncio.to_thread(self._render, slots, tuple(self._asked))
        # Where something was dropped meanwhile, whoever asks next has the page made.
        self._bodies = bodies if self._slots is before else {}
        self._slots = {**self._slots, key: slot}
        self._due = _AT_ONCE

    def _render(self, slots: Slots, forms: Iterable[Format]) -> dict[Format, Body]:
        blocks = [{**slot.content_blocks, **slot.tally_blocks} for slot in slots.values()]
        return {form: body(self._metrics, blocks, form) for form in forms}

    def last(self, account: str, name: str) -> Reading | None:
        """The last accepted reading, also when it has been dropped."""
        return self._slots[account, name].reading

    def has_reading(self, account: str, name: str) -> bool:
        """Whether there is a reading that is not dropped."""
        self._drop_expired()
        slot = self._slots[account, name]
        return slot.reading is not None and not slot.dropped

    def slots(self) -> tuple[Slot, ...]:
        """Everything known, after dropping what is too old."""
        self._drop_expired()
        return tuple(self._slots.values())

    def body(self, form: Format) -> Body:
        """The page's domain part, after dropping what is too old."""
        self._drop_expired()
        if form not in self._bodies:
            self._asked.add(form)
            self._bodies |= self._render(self._slots, [form])
        return self._bodies[form]

    def age_seconds(self, account: str, name: str) -> float | None:
        """How old the last accepted reading is; None before the first."""
        reading = self._slots[account, name].reading
        return self._clock.monotonic() - reading.monotonic if reading else None

    def is_stale(self, account: str, name: str) -> bool:
        """Whether there is no reading that on-call may rely on."""
        self._drop_expired()
        slot = self._slots[account, name]
        age = self.age_seconds(account, name)
        return age is None or slot.dropped or age >= slot.collector.stale_seconds

    def _drop_expired(self) -> None:
        if not self._is_due():
            return  # so most scrapes need not look at every account
        for key, slot in self._slots.items():
            if slot.reading is None or slot.dropped:
                continue
            age = self._clock.monotonic() - slot.reading.monotonic
            until = slot.collector.valid_until(slot.reading.content)
            is_over = until is not None and self._clock.now() >= until
            if age < slot.collector.drop_seconds and not is_over:
                continue
            dropped = replace(slot, dropped=True, content_blocks={})
            self._slots = {**self._slots, key: dropped}
            self._bodies = {}
            self._emit(
                ReadingDropped(
                    account=slot.account,
                    collector=slot.collector.name,
                    age_seconds=age,
                    is_over=is_over,
                )
            )
        self._due = _due(self._slots.values())

    def _is_due(self) -> bool:
        monotonic, now = self._due
        return self._clock.monotonic() >= monotonic or self._clock.now() >= now


def _due(slots: Iterable[Slot]) -> tuple[float, datetime]:
    """Until when nothing grows too old, on either clock."""
    kept = [(s.collector, s.reading) for s in slots if s.reading and not s.dropped]
    drops = (reading.monotonic + collector.drop_seconds for collector, reading in kept)
    ends = (collector.valid_until(reading.content) for collector, reading in kept)
    return min(drops, default=math.inf), min(filter(None, ends), default=_NEVER)


def _renew(slot: Slot, reading: Reading) -> tuple[Slot, bool]:
    """Encodes a reading; tells whether its content differs from the last one's."""
    last = slot.reading.content if slot.reading else None
    changed = bool(last != reading.content)
    if not changed and not slot.dropped:
        return replace(slot, reading=reading), False
    collector, content = slot.collector, reading.content
    tally = collector.count(slot.tally, last=last, content=content)
    return replace(
        slot,
        reading=reading,
        dropped=False,
        tally=tally,
        content_blocks=encode(collector.content_tables, content, slot.account),
        tally_blocks=encode(collector.tally_tables, tally, slot.account),
    ), changed


def _empty(account: str, collector: Collector[Any, Any]) -> Slot:
    tally = collector.first_tally()
    return Slot(
        account=account,
        collector=collector,
        reading=None,
        dropped=False,
        tally=tally,
        content_blocks={},
        tally_blocks=encode(collector.tally_tables, tally, account),
    )
