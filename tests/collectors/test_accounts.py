"""The accounts collector: customers by status and group, page by page."""

import asyncio
import itertools
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.collectors import accounts
from exporter.collectors.accounts import (
    MAX_GROUPS,
    PAGE_SIZE,
    Accounts,
    AccountsCollector,
    AccountsOptions,
)
from exporter.collectors.base import Answer
from exporter.collectors.customer import MAX_NAMES, NOT_NAMED
from exporter.errors import ApiError, NotFoundError, RefusedError, SchemaError, TooLargeError
from exporter.exposition import encode
from exporter.response import decode

NOON = datetime(2026, 3, 17, 12, 0, tzinfo=UTC)

Record = dict[str, Any]


def people(count: int, *, first: int = 1, group: object = 7, **members: object) -> list[Record]:
    """Active customers of one group, unless told otherwise."""
    about: Record = {"acct_status_id": 1, "acct_group_id": group, "user_throttled": 0}
    return [about | {"cust_id": first + number} | members for number in range(count)]


class Pager:
    """Answers page by page; remembers which were asked for.

    Args:
        customers: all of them.
        most: customers of a page, whatever size is asked for.
        spoil: changes an answer, given its page.
    """

    def __init__(
        self,
        customers: Sequence[object],
        *,
        most: int = PAGE_SIZE,
        spoil: Callable[[int, Record], Record] = lambda _, answer: answer,
    ) -> None:
        self._customers = customers
        self._most = most
        self._spoil = spoil
        self.asked: list[int] = []

    async def get(self, path: str, query: Mapping[str, str]) -> Mapping[str, object]:
        assert ("/v2/customers/paged/", f"{PAGE_SIZE}") == (path, query["page_size"])
        page = int(query["page"])
        self.asked.append(page)
        found = self._customers[(page - 1) * self._most : page * self._most]
        answer: Record = {"page": query["page"], "page_size": PAGE_SIZE, "customers": list(found)}
        return self._spoil(page, answer | {"result_count": len(found)})


async def fetch(pager: Pager, **options: int) -> Answer[Accounts]:
    collector = AccountsCollector(AccountsOptions.model_validate(options))
    return await collector.fetch(pager.get, now=NOON, last=None)


async def count(customers: Iterable[object], **options: int) -> Answer[Accounts]:
    return await fetch(Pager(list(customers)), **options)


def told(answer: Answer[Accounts]) -> dict[tuple[str, str], int]:
    """Customers by group and status, without the zeros."""
    return {(s.group, s.status): s.customers for s in answer.content.shares if s.customers}


# Statuses and groups


async def test_the_documented_example_is_read() -> None:
    """Its two customers are counted as records, and too few to be told of."""
    body = (Path(__file__).parent / "payloads" / "accounts.json").read_bytes()
    answer = await fetch(Pager(decode(body)["customers"]))  # type: ignore[arg-type] # a list
    assert (Accounts((), None), 2, ()) == (answer.content, answer.records, answer.rejected)
    assert frozenset() == answer.unknown_fields


async def test_customers_are_counted_by_group_and_status() -> None:
    """Each status of a group has its series, so that a first suspension is a rise from 0."""
    customers = [
        *people(6),
        *people(2, first=10, acct_status_id=2, user_throttled=1),
        *people(5, first=20, group=12, acct_status_id=5, user_throttled="1"),
    ]
    content = (await count(customers)).content
    lines = b"".join(encode(AccountsCollector.content_tables, content, "a").values()).decode()
    expected = [
        'wlvpn_accounts{account="a",status="active",group="12"} 0',
        'wlvpn_accounts{account="a",status="suspended",group="12"} 0',
        'wlvpn_accounts{account="a",status="closed",group="12"} 0',
        'wlvpn_accounts{account="a",status="cap_reached",group="12"} 5',
        'wlvpn_accounts{account="a",status="unknown",group="12"} 0',
        'wlvpn_accounts{account="a",status="active",group="7"} 6',
        'wlvpn_accounts{account="a",status="suspended",group="7"} 2',
        'wlvpn_accounts{account="a",status="closed",group="7"} 0',
        'wlvpn_accounts{account="a",status="cap_reached",group="7"} 0',
        'wlvpn_accounts{account="a",status="unknown",group="7"} 0',
        'wlvpn_accounts_throttled{account="a"} 7',
    ]
    assert expected == lines.splitlines()


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (1, "active"),
        ("1", "active"),
        (2, "suspended"),
        (3, "closed"),
        (4, "unknown"),
        (5, "cap_reached"),
        (0, "unknown"),
        (99, "unknown"),
    ],
    ids=repr,
)
async def test_a_status_has_its_name(number: object, status: str) -> None:
    """One that the documentation does not know is counted all the same."""
    answer = await count(people(5, acct_status_id=number))
    assert ({("7", status): 5}, ()) == (told(answer), answer.rejected)


@pytest.mark.parametrize(
    ("group", "name"), [(0, "0"), ("31", "31"), (None, "unknown")], ids=["zero", "text", "null"]
)
async def test_a_group_has_its_number(group: object, name: str) -> None:
    """Or none, where the customer has none."""
    assert {(name, "active"): 5} == told(await count(people(5, group=group)))


# Small groups


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({1: 4}, {}),
        ({1: 5}, {"1": 5}),
        ({1: 5, 2: 4}, {"1": 5}),
        ({1: 5, 2: 4, 3: 1}, {"1": 5, "other": 5}),
        ({1: 2, 2: 2, 3: 2}, {"other": 6}),
        ({}, {}),
    ],
    ids=["four", "five", "four beside five", "four and one", "all small", "nobody"],
)
async def test_small_groups_are_not_told_of(
    sizes: dict[int, int], expected: dict[str, int]
) -> None:
    """Fewer than five become `other`, and `other` is not told while it has fewer than five."""
    customers = [
        person
        for group, size in sizes.items()
        for person in people(size, first=100 * group, group=group)
    ]
    assert {(name, "active"): size for name, size in expected.items()} == told(
        await count(customers)
    )


@pytest.mark.parametrize(
    ("max_groups", "expected"),
    [
        (2, {"1": 9, "2": 8, "other": 14}),
        (3, {"1": 9, "2": 8, "3": 7, "other": 7}),
        (0, {"other": 31}),
    ],
    ids=["two", "three", "none"],
)
async def test_the_largest_groups_keep_their_series(
    max_groups: int, expected: dict[str, int]
) -> None:
    """Groups are made by hand; should there be thousands, the page does not grow with them."""
    customers = [
        person
        for group, size in ((1, 9), (2, 8), (3, 7), (4, 7))
        for person in people(size, first=100 * group, group=group)
    ]
    answer = await count(customers, max_groups=max_groups)
    assert {(name, "active"): size for name, size in expected.items()} == told(answer)


@pytest.mark.parametrize(("customers", "expected"), [(4, None), (5, 5)])
async def test_the_throttled_of_a_handful_are_not_told(
    customers: int, expected: int | None
) -> None:
    """Of five it is a number, of four it would be somebody."""
    answer = await count(people(customers, user_throttled=1))
    assert expected == answer.content.throttled


# Pages


@pytest.mark.parametrize(
    ("customers", "most", "pages"),
    [
        (0, PAGE_SIZE, 1),
        (7, PAGE_SIZE, 2),
        (PAGE_SIZE, PAGE_SIZE, 2),
        (2 * PAGE_SIZE + 1, PAGE_SIZE, 4),
        (2 * PAGE_SIZE, PAGE_SIZE, 3),
        (25, 10, 4),
        (20, 10, 3),
    ],
    ids=["nobody", "short", "one", "three", "two", "cut to ten", "two cut to ten"],
)
async def test_all_pages_are_read(customers: int, most: int, pages: int) -> None:
    """Up to an empty one, whatever size the API keeps to."""
    pager = Pager(people(customers), most=most)
    answer = await fetch(pager)
    assert (customers, [*range(1, pages + 1)]) == (answer.records, pager.asked)


async def test_a_short_page_is_not_the_end() -> None:
    """An API that leaves customers out after it has cut the pages has short ones amid others."""

    def spoil(page: int, answer: Record) -> Record:
        kept = [c for c in answer["customers"] if page != 2 or c["cust_id"] % 10 < 7]
        return answer | {"customers": kept, "result_count": len(kept)}

    pager = Pager(people(30), most=10, spoil=spoil)
    assert (27, [1, 2, 3, 4]) == ((await fetch(pager)).records, pager.asked)


async def test_no_page_beyond_the_last_is_no_end() -> None:
    """It may as well be a page in between that is missing: which of them, the API does not say."""

    def spoil(page: int, answer: Record) -> Record:
        if page == 4:
            raise NotFoundError("HTTP 404")
        return answer

    with pytest.raises(NotFoundError):
        await fetch(Pager(people(30), most=10, spoil=spoil))


async def test_nobody_is_asked_twice_at_once() -> None:
    """A page is asked for when the one before has been read."""
    running, most = 0, 0

    async def get(path: str, query: Mapping[str, str]) -> Mapping[str, object]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        answer = await Pager(people(30), most=10).get(path, query)
        running -= 1
        return answer

    await AccountsCollector(AccountsOptions()).fetch(get, now=NOON, last=None)
    assert 1 == most


@pytest.mark.parametrize("page", [1, 2, 3])
async def test_a_failed_page_fails_the_poll(page: int) -> None:
    """Half of the customers are no answer."""

    def spoil(number: int, answer: Record) -> Record:
        if number == page:
            raise NotFoundError("HTTP 404")
        return answer

    with pytest.raises(NotFoundError):
        await fetch(Pager(people(30), most=10, spoil=spoil))


async def test_a_repeating_pager_is_found_out() -> None:
    """An API that ignores the page would be asked for ever."""
    pager = Pager(people(30), most=10)

    def spoil(number: int, answer: Record) -> Record:
        return answer | {"customers": people(10, first=number % 2)}

    pager = Pager(people(30), most=10, spoil=spoil)
    with pytest.raises(SchemaError, match="customers: the API tells one page again and again"):
        await fetch(pager)
    assert [1, 2, 3] == pager.asked


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"page": 1}, "page: not the one that was asked for"),
        ({"page": None}, "page: expected a number, got null"),
        ({"result_count": 9}, "result_count: not the number of customers in the page"),
        ({"result_count": "ten"}, "result_count: expected a number, got text"),
        ({"customers": None}, "customers: expected a list, got null"),
        ({"customers": "nobody"}, "customers: expected a list, got text"),
    ],
    ids=str,
)
async def test_a_page_that_is_none_is_refused(members: Record, expected: str) -> None:
    """Each page says which it is, and how long."""
    pager = Pager(people(30), most=10, spoil=lambda n, a: a | members if n == 2 else a)
    with pytest.raises(SchemaError, match=f"^{expected}$"):
        await fetch(pager)


@pytest.mark.parametrize("name", ["page", "result_count", "customers"])
async def test_a_page_without_its_head_is_refused(name: str) -> None:
    """What was documented and is not there is not guessed."""

    def spoil(_: int, answer: Record) -> Record:
        del answer[name]
        return answer

    with pytest.raises(SchemaError, match=f"^{name}: absent$"):
        await fetch(Pager(people(30), spoil=spoil))


async def test_a_list_with_gaps_is_a_list() -> None:
    """PHP writes it as an object; its names mean nothing."""
    pager = Pager(
        people(6),
        spoil=lambda _, a: a | {"customers": {f"{c['cust_id']}": c for c in a["customers"]}},
    )
    assert 6 == (await fetch(pager)).records


async def test_endless_pages_end() -> None:
    """New customers on every page are believed up to a limit, and no request is made beyond."""
    pager = Pager(
        range(10**6), most=10, spoil=lambda n, a: a | {"customers": people(10, first=n * 10)}
    )
    with pytest.raises(
        TooLargeError, match="more than 95 records: raise max_records if that is so"
    ):
        await fetch(pager, max_records=95)
    assert 10 == len(pager.asked)


async def test_more_groups_than_anybody_makes_are_refused() -> None:
    """Each is kept until the poll ends, so there is an end to them, and it says what to do."""
    customers = [
        person for number in range(MAX_GROUPS) for person in people(1, first=number, group=number)
    ]
    assert MAX_GROUPS == (await count(customers)).records
    customers += people(1, first=MAX_GROUPS, group=None)
    expected = "more than 10000 groups: .*, so set collectors.accounts.enabled=false$"
    with pytest.raises(TooLargeError, match=expected):
        await count(customers)


def test_customers_are_counted_beside_the_event_loop() -> None:
    """Whatever takes longer with more of them holds a thread, and no scrape."""
    on_loop: set[str] = set()

    def note(frame: FrameType, *_: object) -> None:
        if frame.f_code.co_filename == accounts.__file__:
            on_loop.add(frame.f_code.co_name)

    pager = Pager(people(30), most=10)
    with asyncio.Runner() as runner:
        sys.setprofile(note)  # of this thread alone
        try:
            runner.run(fetch(pager))
        finally:
            sys.setprofile(None)
    assert {"fetch", "__init__"} == on_loop


# Bad records


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"cust_id": None}, "cust_id: expected a number, got null"),
        ({"cust_id": 3}, "cust_id: a second record of this customer"),
        ({"acct_status_id": None}, "acct_status_id: expected a number, got null"),
        ({"acct_status_id": -1}, "acct_status_id: not within 0..9.22337e+18"),
        ({"acct_status_id": "active"}, "acct_status_id: expected a number, got text"),
        ({"user_throttled": 2}, "user_throttled: expected 0 or 1"),
        ({"user_throttled": True}, "user_throttled: expected a number, got true or false"),
        ({"acct_group_id": "par"}, "acct_group_id: expected a number, got text"),
        ({"acct_group_id": []}, "acct_group_id: expected a number, got a list"),
    ],
    ids=str,
)
async def test_a_bad_customer_is_left_out(members: Record, expected: str) -> None:
    """It is named by its place on the page, never by who it is."""
    customers = people(10)
    customers[6] |= members
    answer = await count(customers)
    assert [f"customers[6]: {expected}"] == [str(error) for error in answer.rejected]
    assert (9, {("7", "active"): 9}) == (answer.records, told(answer))


@given(
    customers=st.lists(
        st.dictionaries(
            st.sampled_from(["cust_id", "acct_status_id", "acct_group_id", "user_throttled", "x"]),
            st.integers(-1, 9)
            | st.sampled_from([None, True, "1", "", 1.5, 1e300, 2**70, [], {}, {"a": 1}]),
        )
        | st.none()
        | st.integers(),
        max_size=30,
    )
)
def test_any_page_is_refused_or_counted(customers: list[object]) -> None:
    """Each customer is good or bad, and the groups hold no more than the good ones."""

    async def get(_: str, query: Mapping[str, str]) -> Mapping[str, object]:
        found = customers if query["page"] == "1" else []
        return {"page": query["page"], "result_count": len(found), "customers": found}

    collector = AccountsCollector(AccountsOptions())
    try:
        answer = asyncio.run(collector.fetch(get, now=NOON, last=None))
    except SchemaError as error:
        assert "records are bad, the first: customers[" in str(error)  # noqa: PT017 - or none
        return
    assert len(customers) == answer.records + len(answer.rejected)
    assert answer.records >= sum(told(answer).values()) >= answer.records - 4


async def test_a_fifth_of_bad_customers_is_the_limit() -> None:
    """Over all pages so far: the last page alone may be worse, for it may be one customer."""
    good, bad = people(41), people(10, first=100, acct_status_id=None)
    answer = await fetch(Pager([*good[:40], *bad], most=25))
    assert (40, 10) == (answer.records, len(answer.rejected))
    pager = Pager([*bad, *good, *people(10, first=200)], most=25)
    with pytest.raises(
        SchemaError, match=r"^10 of 25 records are bad, the first: customers\[0\]: "
    ):
        await fetch(pager)
    assert [1] == pager.asked


async def test_unknown_fields_are_told_without_their_values() -> None:
    """What is within a documented field is nobody's business."""
    customers = people(5, metadata={"secret-name": "secret"}, colour="secret")
    assert {"colour"} == (await count(customers)).unknown_fields


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("colour_of_hair", "colour_of_hair"),
        ("a" * 40, "a" * 40),
        ("a" * 41, NOT_NAMED),
        ("jane.doe@example.com", NOT_NAMED),
        ("Jane", NOT_NAMED),
        ("4711", NOT_NAMED),
        ("jané", NOT_NAMED),
        ("jane\n", NOT_NAMED),
        ("", NOT_NAMED),
    ],
    ids=repr,
)
async def test_an_unknown_field_names_nobody(name: str, expected: str) -> None:
    """A careless API may use what belongs into a member as its name."""
    assert {expected} == (await count(people(5, **{name: 1}))).unknown_fields


async def test_the_names_of_unknown_fields_do_not_pile_up() -> None:
    """However many there are on all pages, a thousand are kept."""
    letters = itertools.product("abcdefghij", repeat=4)
    customers = [person for four in letters for person in people(1, **{f"x{''.join(four)}": 1})]
    for number, person in enumerate(customers):
        person["cust_id"] = number
    found = (await fetch(Pager(customers, most=100))).unknown_fields
    assert (MAX_NAMES + 1, True) == (len(found), NOT_NAMED in found)


@pytest.mark.parametrize("error", [RefusedError("customer 4711 is broken"), NotFoundError("x")])
async def test_the_api_does_not_name_anybody(error: ApiError) -> None:
    """Its own words about a refusal may hold an id: they stay where they are."""

    def spoil(_: int, __: Record) -> Record:
        raise error

    with pytest.raises(type(error)) as caught:
        await fetch(Pager([], spoil=spoil))
    assert "4711" not in str(caught.value)


def test_it_is_off_and_asks_once_an_hour() -> None:
    """Stale at three intervals, dropped at six."""
    options = AccountsOptions()
    collector = AccountsCollector(options)
    assert (False, timedelta(hours=1)) == (options.enabled, options.interval)
    assert (3 * 3600, 6 * 3600) == (collector.stale_seconds, collector.drop_seconds)
    assert (1_000_000, 100) == (options.max_records, options.max_groups)
