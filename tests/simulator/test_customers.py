"""The simulated customers and plans: paging, filters, and usage that grows over a day."""

import json
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from exporter.simulator import Clock, Rule, Simulator, World
from exporter.simulator.app import ACCOUNTS, PLANS, USAGE_REPORT

TODAY = "2026-07-20"
CUSTOMERS = 2_500
PATHS = {"plans": PLANS, "accounts": ACCOUNTS, "usage_report": USAGE_REPORT}
LISTS = {"plans": "plans", "accounts": "customers", "usage_report": "customers"}


@pytest.fixture(scope="session")
def world() -> World:
    return World(servers=0, customers=CUSTOMERS)


async def ask(api: aiohttp.ClientSession, path: str, **query: str) -> tuple[int, Any]:
    async with api.get(path, params=query) as response:
        return response.status, json.loads(await response.read())


async def told(api: aiohttp.ClientSession, path: str, **query: str) -> Any:  # noqa: ANN401 - any JSON
    status, payload = await ask(api, path, **query)
    assert 200 == status
    return payload


async def pages(api: aiohttp.ClientSession, size: int) -> AsyncIterator[Any]:
    """All pages up to the first that is empty."""
    page = 1
    while True:
        payload = await told(api, ACCOUNTS, page=f"{page}", page_size=f"{size}")
        yield payload
        if not payload["customers"]:
            return
        page += 1


async def chunks(api: aiohttp.ClientSession, size: int, **query: str) -> AsyncIterator[Any]:
    """All chunks of a report up to the first that is empty."""
    while True:
        payload = await told(api, USAGE_REPORT, max_results=f"{size}", **query)
        yield payload
        if not payload["customers"]:
            return
        query["cust_id_offset"] = f"{payload['last_cust_id']}"


# Plans and accounts


async def test_plans_are_limited_by_time_or_bandwidth(api: aiohttp.ClientSession) -> None:
    """As documented, the numbers of the other kind are null."""
    payload = await told(api, PLANS)
    kinds = {
        plan["plan_code"]: (plan["interval_days"] is None, plan["bandwidth_mb"] is None)
        for plan in payload["plans"]
    }
    assert 1 == payload["api_status"]
    assert {(True, False), (False, True)} == set(kinds.values())


async def test_pages_tell_each_customer_once(api: aiohttp.ClientSession) -> None:
    """By rising id; each page says how many it has, the last ones are short and empty."""
    found = [page async for page in pages(api, 400)]
    ids = [customer["cust_id"] for page in found for customer in page["customers"]]
    counts = [400] * 6 + [100, 0]
    assert (CUSTOMERS, sorted(set(ids))) == (len(ids), ids)
    assert counts == [page["result_count"] for page in found]
    assert [(n, 400) for n in range(1, 9)] == [(page["page"], page["page_size"]) for page in found]


async def test_a_page_is_a_hundred_unless_asked(api: aiohttp.ClientSession) -> None:
    """As in the documentation's example."""
    assert await told(api, ACCOUNTS, page="1", page_size="100") == await told(api, ACCOUNTS)


async def test_a_large_page_is_cut_without_a_word(api: aiohttp.ClientSession) -> None:
    """The answer repeats the size that was asked for, and has fewer customers."""
    payload = await told(api, ACCOUNTS, page_size="2000")
    assert (2000, 1000) == (payload["page_size"], payload["result_count"])


async def test_customers_have_every_status(api: aiohttp.ClientSession) -> None:
    """Most are active; a closed one has the day it ended, all others none."""
    customers = [each async for page in pages(api, 1000) for each in page["customers"]]
    statuses = Counter(customer["acct_status_id"] for customer in customers)
    closed = [each["acct_status_id"] == 3 for each in customers]
    assert {1, 2, 3, 5} == set(statuses)
    assert [1] == [status for status, count in statuses.items() if count > CUSTOMERS / 2]
    assert closed == [customer["close_date"] != "0000-00-00" for customer in customers]


async def test_customers_may_be_asked_by_their_first_day(api: aiohttp.ClientSession) -> None:
    """Then the others do not count, page by page."""
    everybody = [each async for page in pages(api, 1000) for each in page["customers"]]
    day = everybody[700]["open_date"]
    expected = [customer for customer in everybody if customer["open_date"] == day]
    found = [
        (await told(api, ACCOUNTS, open_date=day, page=f"{page}", page_size="1"))["customers"]
        for page in range(1, len(expected) + 2)
    ]
    assert expected
    assert [[customer] for customer in expected] + [[]] == found


# The usage report


@pytest.mark.parametrize("size", [700, 5000])
async def test_chunks_tell_each_customer_once(api: aiohttp.ClientSession, size: int) -> None:
    """By rising id, from offset to offset; what they say of all of them stays the same."""
    found = [chunk async for chunk in chunks(api, size, start_date=TODAY)]
    ids = [customer["cust_id"] for chunk in found for customer in chunk["customers"]]
    assert sorted(set(ids)) == ids
    assert {len(ids)} == {chunk["total_count"] for chunk in found}
    assert len(ids) == sum(chunk["result_count"] for chunk in found)
    assert [chunk["customers"][-1]["cust_id"] for chunk in found[:-1]] + [None] == [
        chunk["last_cust_id"] for chunk in found
    ]


async def test_without_an_end_the_day_is_the_last(api: aiohttp.ClientSession) -> None:
    """As documented, and so are 5,000 customers a chunk."""
    whole = {"start_date": "2026-07-19", "end_date": TODAY, "max_results": "5000"}
    assert await told(api, USAGE_REPORT, **whole) == await told(
        api, USAGE_REPORT, start_date="2026-07-19"
    )


async def test_usage_grows_over_the_day(api: aiohttp.ClientSession, clock: Clock) -> None:
    """Nobody's falls, more and more join, and at the day's start there is nobody."""
    before: dict[int, tuple[int, int]] = {}
    for hour in (0, 6, 12, 18, 23):
        clock.set(datetime(2026, 7, 20, hour, 10, tzinfo=UTC))
        payload = await told(api, USAGE_REPORT, start_date=TODAY)
        now = {c["cust_id"]: (c["bandwidth"], c["connections"]) for c in payload["customers"]}
        assert before.keys() <= now.keys()
        assert all(now[cust_id] >= used for cust_id, used in before.items())
        assert (hour == 0) == (not now)
        before = now


async def test_days_add_up(world: World) -> None:
    """Two days are the sum of both, customer by customer."""
    now = datetime(2026, 7, 20, 14, tzinfo=UTC)
    days = [date(2026, 7, 19), date(2026, 7, 20)]

    def used(start: date, end: date) -> Counter[tuple[int, str]]:
        found, total = world.report(start, end, now, after=0, size=CUSTOMERS)
        assert len(found) == total
        both = {(u.cust_id, "bytes"): u.bandwidth for u in found}
        return Counter(both | {(u.cust_id, "connections"): u.connections for u in found})

    assert used(days[0], days[0]) + used(days[1], days[1]) == +used(*days)


def test_few_use_much() -> None:
    """The tail is heavy: one in a hundred moves a hundred times what half of them do not reach."""
    found, _ = World(servers=0, customers=20_000).report(
        date(2026, 7, 19),
        date(2026, 7, 19),
        datetime(2026, 7, 20, 14, tzinfo=UTC),
        after=0,
        size=20_000,
    )
    used = sorted(use.bandwidth for use in found)
    assert used[len(used) * 99 // 100] > 50 * used[len(used) // 2] > 0


async def test_closed_customers_use_nothing(api: aiohttp.ClientSession) -> None:
    """They are in no report."""
    closed = {
        customer["cust_id"]
        async for page in pages(api, 1000)
        for customer in page["customers"]
        if customer["acct_status_id"] == 3
    }
    report = await told(api, USAGE_REPORT, start_date="2026-07-01")
    assert closed
    assert set() == closed & {customer["cust_id"] for customer in report["customers"]}


def test_the_same_seed_has_the_same_customers() -> None:
    """Another one has others."""
    now = datetime(2026, 7, 20, 14, tzinfo=UTC)
    first, same, other = (
        (
            world.accounts(now, start=7, size=50),
            world.report(now.date(), now.date(), now, after=0, size=50),
        )
        for world in (World(seed=seed, servers=0, customers=90) for seed in (1, 1, 2))
    )
    assert first == same
    assert first != other


# Errors


@pytest.mark.parametrize(
    ("endpoint", "query"),
    [
        ("accounts", {"page": "0"}),
        ("accounts", {"page": "-1"}),
        ("accounts", {"page": "one"}),
        ("accounts", {"page": "1.5"}),
        ("accounts", {"page_size": "0"}),
        ("accounts", {"open_date": "yesterday"}),
        ("usage_report", {}),
        ("usage_report", {"start_date": "20260720"}),
        ("usage_report", {"start_date": "2026-07-21"}),
        ("usage_report", {"start_date": TODAY, "end_date": "2026-07-19"}),
        ("usage_report", {"start_date": "2025-01-01"}),
        ("usage_report", {"start_date": TODAY, "max_results": "5001"}),
        ("usage_report", {"start_date": TODAY, "max_results": "0"}),
        ("usage_report", {"start_date": TODAY, "cust_id_offset": "x"}),
    ],
    ids=str,
)
async def test_wrong_parameters_are_refused(
    api: aiohttp.ClientSession, endpoint: str, query: dict[str, str]
) -> None:
    """With a 400, and a sentence that says which."""
    status, payload = await ask(api, PATHS[endpoint], **query)
    name = next(iter([*query][-1:]), "start_date")
    assert (400, 0) == (status, payload["api_status"])
    assert f"The {'start_date' if name == 'end_date' else name}" in payload["error"]


@pytest.mark.parametrize("customers", [-1, 1_000_001])
def test_refuses_a_size_that_cannot_be(customers: int) -> None:
    """Ids and memory have an end."""
    with pytest.raises(ValueError, match="customers must be 0 to 1000000"):
        World(customers=customers)


async def test_there_may_be_nobody(clock: Clock) -> None:
    """An API without customers has an empty page and an empty report."""
    world = World(servers=0, customers=0)
    today = clock.now().date()
    assert [] == world.accounts(clock.now(), start=0, size=10)
    assert [] == world.accounts(clock.now(), start=0, size=10, opened=today)
    assert ([], 0) == world.report(today, today + timedelta(1), clock.now(), after=0, size=10)


# Faults


async def struck(
    api: aiohttp.ClientSession, simulator: Simulator, endpoint: str, fault: str
) -> tuple[list[Any], list[Any]]:
    """The honest records and the faulty ones; the answer's counts are right either way."""
    query = {"start_date": TODAY} if endpoint == "usage_report" else {}
    simulator.rules = []
    honest = await told(api, PATHS[endpoint], **query)
    simulator.rules = [Rule.parse(f"{endpoint}:{fault}")]
    faulty = await told(api, PATHS[endpoint], **query)
    records = faulty[LISTS[endpoint]]
    if endpoint != "plans":
        assert len(records) == faulty["result_count"]
    if endpoint == "usage_report":
        assert len(records) == faulty["total_count"]
    return honest[LISTS[endpoint]], records


each_list = pytest.mark.parametrize("endpoint", PATHS)


@each_list
async def test_one_record_may_be_wrong(
    api: aiohttp.ClientSession, simulator: Simulator, endpoint: str
) -> None:
    """A literal stands where its numbers stood."""
    honest, faulty = await struck(api, simulator, endpoint, "capacity=-1")
    assert (honest[1:], len(honest)) == (faulty[1:], len(faulty))
    changed = {name for name, value in faulty[0].items() if honest[0][name] != value}
    assert {-1} == {faulty[0][name] for name in changed}


@each_list
async def test_a_record_may_be_there_twice(
    api: aiohttp.ClientSession, simulator: Simulator, endpoint: str
) -> None:
    """The second time with other numbers."""
    honest, faulty = await struck(api, simulator, endpoint, "duplicate")
    key = "plan_code" if endpoint == "plans" else "cust_id"
    assert honest == faulty[:-1]
    assert faulty[-1][key] == honest[0][key]
    assert faulty[-1] != honest[0]


@each_list
@pytest.mark.parametrize(("fault", "share"), [("shrink", 0.4), ("gone", 0)])
async def test_records_may_be_lost(
    api: aiohttp.ClientSession, simulator: Simulator, endpoint: str, fault: str, share: float
) -> None:
    """Only the first of them are left, or none; it stays a list."""
    honest, faulty = await struck(api, simulator, endpoint, fault)
    assert honest[: int(share * len(honest))] == faulty


@each_list
async def test_there_may_be_many(
    api: aiohttp.ClientSession, simulator: Simulator, endpoint: str
) -> None:
    """Each under a name of its own."""
    key = "plan_code" if endpoint == "plans" else "cust_id"
    _, faulty = await struck(api, simulator, endpoint, "many=300")
    assert (300, 300) == (len(faulty), len({record[key] for record in faulty}))


@pytest.mark.parametrize("endpoint", ["plans", "accounts"])
async def test_texts_may_be_hostile(
    api: aiohttp.ClientSession, simulator: Simulator, endpoint: str
) -> None:
    """The first record's texts are replaced."""
    _, faulty = await struck(api, simulator, endpoint, "label=quote")
    assert 'a "quoted" word' in faulty[0].values()


@each_list
async def test_a_text_may_be_none(
    api: aiohttp.ClientSession, simulator: Simulator, endpoint: str
) -> None:
    """A lone surrogate stands in the first record."""
    _, faulty = await struck(api, simulator, endpoint, "surrogate")
    assert "Par\ud800is" in faulty[0].values()
