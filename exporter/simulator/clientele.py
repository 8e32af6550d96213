"""The simulated customers: who they are, how their accounts stand, what they use day by day.

Nobody is stored: a customer is a number, and a draw of 64 bits that belongs to it. Ids rise with
the numbers, so a page in the middle of a hundred thousand costs no more than the first.
"""

import math
import operator
from array import array
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property, lru_cache
from statistics import NormalDist

from exporter.simulator.chance import noise
from exporter.simulator.fleet import DAY

MOST_CUSTOMERS = 1_000_000

_APART = 7  # ids from one customer to the next, at most twice as many
_OPENED = date(2020, 1, 6)
_OPENING_DAYS = 1_800  # in which they all came
_LAG = 20 * 60  # as with the usage by POP
_SHARE = 0.6  # of those who may, so many connect on a day
_MEDIAN = 300e6  # bytes of a customer's day
_SPREAD = 1.9  # of their logarithms: one in a hundred moves 25 GB, one in a thousand 100 GB
_DISTINCT = 4_096
_ODD = 2_654_435_761  # stirs a number, as in a hash
_GROUPS = 45 * (2052,) + 25 * (1525,) + 14 * (1526,) + 10 * (3001,) + 5 * (3002,) + (4100,)
_OWN_GROUP, _OWN = 9001, 3  # the reseller's own, to try things out

ACTIVE, SUSPENDED, CLOSED, CAP_REACHED = 1, 2, 3, 5


@dataclass(frozen=True, slots=True)
class Customer:
    """One customer (White Label VPN API documentation, "The Account object")."""

    cust_id: int
    cust_user_id: str
    open_date: date
    close_date: date | None
    acct_status_id: int
    acct_group_id: int
    user_throttled: int
    used_service: int
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Use:
    """What one customer used (White Label VPN API documentation, "Create bulk usage report")."""

    cust_id: int
    bandwidth: int
    """Bytes."""
    connections: int


class Clientele:
    """All customers of a seeded world."""

    def __init__(self, seed: int, customers: int, first_id: int) -> None:
        self._seed = seed
        self._first_id = first_id
        self.customers = customers
        self._day = lru_cache(maxsize=4)(self._draw_day)

    def page(
        self, today: date, *, start: int, size: int, opened: date | None = None
    ) -> list[Customer]:
        """List customers from a place on, by rising id: all of them, or who came on a day."""
        numbers = self._opened_on(opened) if opened else range(self.customers)
        return [self._customer(number, today) for number in numbers[start : start + size]]

    def _opened_on(self, opened: date) -> range:
        days = (opened - _OPENED).days
        if not 0 <= days < _OPENING_DAYS:
            return range(0)
        first, end = (math.ceil(day * self.customers / _OPENING_DAYS) for day in (days, days + 1))
        return range(first, end)

    def report(
        self, days: Sequence[int], moment: float, *, after: int, size: int
    ) -> tuple[list[Use], int]:
        """Tell the use of whole POSIX days as known at a moment, of customers beyond an id.

        Returns:
            The first `size` who have connected, by rising id, and how many there are in all.
        """
        shares = [self._known(day, moment) for day in days]
        first = bisect_right(range(self.customers), after, key=self._id)
        found: list[Use] = []
        for number in range(first, self.customers):
            if len(found) == size:
                break
            use = self._use(number, shares)
            if use is not None:
                found.append(use)
        return found, self._connected(shares)

    def _connected(self, shares: "Sequence[_Known]") -> int:
        begins = zip(*(known.begins for known in shares), strict=True)
        untils = [known.until for known in shares]
        return sum(
            not gone and any(map(operator.lt, begun, untils))
            for begun, gone in zip(begins, self._closed, strict=True)
        )

    def _use(self, number: int, shares: "Sequence[_Known]") -> Use | None:
        if self._closed[number]:
            return None
        bandwidth = connections = 0
        for known in shares:
            begun = known.begins[number]
            if begun >= known.until:
                continue
            # From the first connection on, in parts of the day.
            passed = (known.until - begun) / known.end
            trait = self._traits[number]
            if trait >> 52 & 63:  # some connect, and move nothing
                bandwidth += int(passed * _amount(trait + known.day * _ODD))
            connections += 1 + int(passed * (trait % 12) * (40 if trait % 97 == 0 else 1))
        return Use(self._id(number), bandwidth, connections) if connections else None

    def _known(self, day: int, moment: float) -> "_Known":
        part = min(1.0, max(0.0, (moment - _LAG - day * DAY) / DAY))
        end = int(65_536 * _SHARE)
        return _Known(day, self._day(day), until=int(part * end), end=end)

    def _draw_day(self, day: int) -> "array[int]":
        return array("H", noise(2 * self.customers, self._seed, "begins", day))

    @cached_property
    def _traits(self) -> "array[int]":
        return array("Q", noise(8 * self.customers, self._seed, "traits"))

    @cached_property
    def _closed(self) -> bytes:
        return bytes(trait % 14 == 3 for trait in self._traits)

    def _id(self, number: int) -> int:
        return self._first_id + number * _APART + self._traits[number] % _APART

    def _customer(self, number: int, today: date) -> Customer:
        trait = self._traits[number]
        opened = _OPENED + timedelta(days=number * _OPENING_DAYS // self.customers)
        status = self._status(number, today)
        throttled = trait >> 8 & 1 if status == CAP_REACHED else trait >> 8 & 127 == 0
        return Customer(
            cust_id=self._id(number),
            cust_user_id=f"account_{trait & 0xFFFFFFFFFF:010x}",
            open_date=opened,
            close_date=opened + timedelta(days=trait >> 16 & 255) if status == CLOSED else None,
            acct_status_id=status,
            acct_group_id=_OWN_GROUP if number < _OWN else _GROUPS[(trait >> 48) % len(_GROUPS)],
            user_throttled=int(throttled),
            used_service=int(trait >> 24 & 15 > 0),
            metadata={"internal_account_id": f"{trait >> 20:x}"},
        )

    def _status(self, number: int, today: date) -> int:
        """Closed is for ever; suspended lasts a week; a cap is reached late in a month."""
        trait = self._traits[number]
        if self._closed[number]:
            return CLOSED
        if ((trait >> 32) + today.toordinal() // 7 * 37) % 100 < 3:
            return SUSPENDED
        # Two in five have a plan with a cap, and few use it up.
        if (trait >> 40) % 5 < 2 and (trait >> 44) % 120 < today.day:
            return CAP_REACHED
        return ACTIVE


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of a day: who has connected by now, in parts of it."""

    day: int
    begins: "array[int]"
    until: int
    end: int


@lru_cache(maxsize=1)
def _amounts() -> tuple[float, ...]:
    """Bytes of days, as likely each: the inverse of the distribution, step by step."""
    normal = NormalDist(math.log(_MEDIAN), _SPREAD)
    return tuple(math.exp(normal.inv_cdf((step + 0.5) / _DISTINCT)) for step in range(_DISTINCT))


def _amount(chance: int) -> float:
    # The tail is finer than the steps: neighbours differ by a few percent.
    step, rest = chance >> 7 & _DISTINCT - 1, chance & 127
    return _amounts()[step] * (1 + rest / 2_048)
