"""The customers' accounts by status and group (`GET /v2/customers/paged/`).

Off by default. What the API calls an account here is a customer, not the reseller whose API key we
have: the collector's name and the metrics' keep to its word. The API tells customers page by page;
each page is counted and let go, and a poll is accepted as a whole or not at all.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from pydantic import Field

from exporter.collectors.base import Answer, Collector, Get, MaxAge, Whole
from exporter.collectors.customer import (
    MIN_CUSTOMERS,
    PAUSE_SECONDS,
    Crowd,
    CustomerOptions,
    discreet,
)
from exporter.errors import SchemaError, TooLargeError
from exporter.fields import count, items, member
from exporter.metric import Metric, Table

PATH = "/v2/customers/paged/"
PAGE_SIZE = 1_000
"""Customers in one answer. No limit is documented: the API may keep to a smaller one."""

MAX_GROUPS = 10_000
"""Groups that are counted at all: each takes room until the poll's end."""

FIELDS = frozenset(
    {
        "cust_id",
        "cust_user_id",
        "close_date",
        "open_date",
        "acct_status_id",
        "acct_group_id",
        "user_throttled",
        "used_service",
        "metadata",
        "plans_info",
        "cust_password",
    }
)
STATUSES: Mapping[int, str] = {1: "active", 2: "suspended", 3: "closed", 5: "cap_reached"}
UNKNOWN = "unknown"
OTHER = "other"


class Share(NamedTuple):
    """How many customers of a group have a status."""

    status: str
    group: str
    customers: int


@dataclass(frozen=True, slots=True)
class Accounts:
    """The content of a reading: nothing that tells of fewer than five customers.

    Attributes:
        shares: each status of each group.
        throttled: customers whose bandwidth is throttled; None if there are too few customers.
    """

    shares: tuple[Share, ...]
    throttled: int | None


class AccountsOptions(CustomerOptions):
    """What a user may set."""

    max_groups: Whole = Field(
        default=100,
        ge=0,
        description="The largest groups keep their own series, five each; smaller ones become "
        "`other`.",
    )


class AccountsCollector(Collector[Accounts, None]):
    """See the module."""

    name = "accounts"
    help = "The customers' accounts by status and group. Off by default."
    options_type = AccountsOptions
    stale = MaxAge(intervals=3, floor=timedelta(0))
    drop = MaxAge(intervals=6, floor=timedelta(hours=1))
    pause_seconds = PAUSE_SECONDS
    content_tables = (
        Table(
            lambda content: content.shares,
            (
                Metric(
                    "wlvpn_accounts",
                    "gauge",
                    "Customers' accounts by acct_status_id and acct_group_id, as polled from "
                    "/v2/customers/paged; groups of fewer than 5 are in other.",
                    ("account", "status", "group"),
                    lambda share: share.customers,
                ),
            ),
        ),
        Table(
            lambda content: [content],
            (
                Metric(
                    "wlvpn_accounts_throttled",
                    "gauge",
                    "Customers' accounts whose bandwidth is throttled, as polled from "
                    "/v2/customers/paged; absent if there are fewer than 5 accounts.",
                    ("account",),
                    lambda content: content.throttled,
                ),
            ),
        ),
    )

    options: AccountsOptions

    async def fetch(self, get: Get, *, now: datetime, last: Accounts | None) -> Answer[Accounts]:
        """Asks page by page, one after the other, until an empty one."""
        del now, last
        ask, census, page = discreet(get), Census(self.options), 0
        while not census.is_complete:
            page += 1
            query = {"page": f"{page}", "page_size": f"{PAGE_SIZE}"}
            await asyncio.to_thread(census.read, await ask(PATH, query), page=page)
        return await asyncio.to_thread(census.answer)

    def first_tally(self) -> None:
        """Nothing is counted."""

    def count(self, tally: None, *, last: Accounts | None, content: Accounts) -> None:
        """Counts nothing."""


class Census:
    """What one poll has counted so far; `is_complete` once an empty page was read."""

    def __init__(self, options: AccountsOptions) -> None:
        self.is_complete = False
        self._options = options
        self._crowd = Crowd(known_fields=FIELDS, max_records=options.max_records)
        self._counted: Counter[tuple[str, str]] = Counter()
        self._groups: set[str] = set()
        self._throttled = 0
        self._pages: set[int] = set()

    def read(self, answer: Mapping[str, object], *, page: int) -> None:
        """Counts a page's customers.

        Raises:
            TooLargeError: there are too many customers, or groups.
            SchemaError: it is no such page, or not the one that was asked for, or one of before.
        """
        customers = items(member(answer, "customers"), "customers")
        if count(member(answer, "result_count"), "result_count") != len(customers):
            raise SchemaError("result_count: not the number of customers in the page")
        if count(member(answer, "page"), "page") != page:
            raise SchemaError("page: not the one that was asked for")
        ids = self._crowd.read(customers, self._take)
        if len(self._groups) > MAX_GROUPS:
            told = f"more than {MAX_GROUPS} groups: no acct_group_id is for so few customers"
            raise TooLargeError(f"{told}, so set collectors.accounts.enabled=false")
        mark = hash(frozenset(ids))
        if ids and mark in self._pages:
            raise SchemaError("customers: the API tells one page again and again")
        self._pages.add(mark)
        # A short page may be the last, or cut, or one that the API left customers out of.
        self.is_complete = not customers

    def _take(self, _: int, members: Mapping[str, object]) -> None:
        status = count(member(members, "acct_status_id"), "acct_status_id")
        throttled = count(member(members, "user_throttled"), "user_throttled")
        if throttled > 1:
            raise SchemaError("user_throttled: expected 0 or 1")
        group = members.get("acct_group_id")
        name = UNKNOWN if group is None else f"{count(group, 'acct_group_id')}"
        self._groups.add(name)
        self._counted[name, STATUSES.get(status, UNKNOWN)] += 1
        self._throttled += throttled

    def answer(self) -> Answer[Accounts]:
        """What may be told of all pages."""
        crowd = self._crowd
        is_told = crowd.records >= MIN_CUSTOMERS
        return Answer(
            content=Accounts(
                shares=_shares(self._counted, max_groups=self._options.max_groups),
                throttled=self._throttled if is_told else None,
            ),
            records=crowd.records,
            rejected=crowd.rejected,
            unknown_fields=crowd.unknown_fields,
        )


def _shares(counted: Mapping[tuple[str, str], int], *, max_groups: int) -> tuple[Share, ...]:
    """Folds what is small into `other`; a group's every status is told, also one with 0."""
    sizes: Counter[str] = Counter()
    for (group, _), customers in counted.items():
        sizes[group] += customers
    largest = sorted(sizes, key=lambda group: (-sizes[group], group))[:max_groups]
    told = {group for group in largest if sizes[group] >= MIN_CUSTOMERS}
    if sum(sizes[group] for group in sizes.keys() - told) >= MIN_CUSTOMERS:
        told.add(OTHER)
    shares = {
        (group, status): 0 for group in sorted(told) for status in (*STATUSES.values(), UNKNOWN)
    }
    for (group, status), customers in counted.items():
        place = group if group in told else OTHER, status
        if place in shares:
            shares[place] += customers
    return tuple(Share(status, group, customers) for (group, status), customers in shares.items())
