"""What the collectors of customers have in common: they count people, and keep nobody.

A customer is read, counted and let go; no id, name or metadata outlives its page or gets into an
error. Fewer than five are nobody's business.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from pydantic import Field

from exporter.collectors.base import MAX_BAD_RATIO, Get, OptInOptions, Whole
from exporter.errors import RefusedError, SchemaError, TooLargeError
from exporter.fields import count, mapping, member

MIN_CUSTOMERS = 5
"""What is told of fewer customers than this could be told of one of them."""

PAUSE_SECONDS = 0.1
"""Between two pages: a burst of them may bring a 429, which keeps the servers' polls away too."""

MAX_NAMES = 1_000
"""Unknown members that are kept by name, over all pages of a poll."""

NOT_NAMED = "(not named)"
"""Stands for all unknown members whose names are not told."""

_HARMLESS = re.compile(r"[a-z_]{1,40}", re.ASCII)
"""What a programmer calls a member; an API that is careless may use a customer's address as one."""

Take = Callable[[int, Mapping[str, object]], None]
"""Counts one customer, by id and members; raises SchemaError before it has counted anything."""


class CustomerOptions(OptInOptions):
    """What a user may set."""

    max_records: Whole = Field(
        default=1_000_000, ge=1, description="A poll that finds more customers than this fails."
    )


def discreet(get: Get) -> Get:
    """Asks as `get` does, but does not pass on how the API words a refusal: it may name people."""

    async def ask(path: str, query: Mapping[str, str]) -> Mapping[str, object]:
        try:
            return await get(path, query)
        except RefusedError:
            raise RefusedError("the API refused (api_status is not 1)") from None

    return ask


class Crowd:
    """Counts customers, page by page.

    Args:
        known_fields: the documented members of a record.
        max_records: more customers than this are refused.

    Attributes:
        records: the good ones so far.
    """

    def __init__(self, *, known_fields: frozenset[str], max_records: int) -> None:
        self.records = 0
        self._unknown: set[str] = set()
        self._known_fields = known_fields
        self._max_records = max_records
        self._bad = 0
        self._first: SchemaError | None = None

    @property
    def seen(self) -> int:
        """How many there were so far, good and bad."""
        return self.records + self._bad

    @property
    def rejected(self) -> tuple[SchemaError, ...]:
        """The first bad record's error, once for each bad record: a million would need room."""
        return (self._first,) * self._bad if self._first else ()

    @property
    def unknown_fields(self) -> frozenset[str]:
        """Members that the API's documentation does not know, where their names name nobody."""
        return frozenset(self._unknown)

    def read(self, page: Sequence[object], take: Take) -> set[int]:
        """Reads a page's customers one by one; it is for a thread, beside the event loop.

        Returns:
            The ids of the good ones, to compare the page with others, not to be kept.

        Raises:
            TooLargeError: there are more than `max_records`.
            SchemaError: more than a fifth of all so far are bad.
        """
        if self.seen + len(page) > self._max_records:
            told = f"more than {self._max_records} records: raise max_records if that is so"
            raise TooLargeError(told)
        ids: set[int] = set()
        for place, customer in enumerate(page):
            try:
                ids.add(self._read(customer, ids, take))
            except SchemaError as error:
                # The place tells nothing to who cannot ask the API; what came would tell the rest.
                self._first = self._first or SchemaError(f"customers[{place}]: {error}")
                self._bad += 1
        self.records += len(ids)
        if self._bad > MAX_BAD_RATIO * self.seen:
            told = f"{self._bad} of {self.seen} records are bad, the first: {self._first}"
            raise SchemaError(told)
        return ids

    def _read(self, customer: object, ids: set[int], take: Take) -> int:
        members = mapping(customer, "record")
        cust_id = count(member(members, "cust_id"), "cust_id")
        if cust_id in ids:
            raise SchemaError("cust_id: a second record of this customer")
        take(cust_id, members)
        if not self._known_fields.issuperset(members):
            self._note(members.keys() - self._known_fields - self._unknown)
        return cust_id

    def _note(self, names: Iterable[str]) -> None:
        for name in names:
            has_room = len(self._unknown) < MAX_NAMES
            self._unknown.add(name if has_room and _HARMLESS.fullmatch(name) else NOT_NAMED)
