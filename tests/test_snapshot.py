"""What the Store keeps, drops and gives out."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar, TypeVarTuple, cast

import pytest

from exporter.collectors.base import Options
from exporter.collectors.servers import Server, Servers, ServersCollector
from exporter.collectors.usage import (
    Cell,
    Key,
    MonthUsage,
    Previous,
    Usage,
    UsageCollector,
    UsageOptions,
)
from exporter.events import Event, ReadingDropped
from exporter.month import Month
from exporter.snapshot import Reading, Store
from tests.inline_loop import InlineLoop
from tests.manual_clock import ManualClock

SERIES = 'wlvpn_server_capacity_used_ratio{account="a",fqdn="par-a01"'

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
Accept = Callable[..., Awaitable[bool]]


def servers(used: float, *names: str) -> Servers:
    names = names or ("par-a01",)
    return Servers(tuple(Server(n, n[:3], "FR", "Paris", "::1", used) for n in names), ())


def usage(month: Month, bandwidth: int, clock: ManualClock) -> Usage:
    def of(month: Month, bandwidth: int) -> MonthUsage:
        return MonthUsage(month, (Cell(Key("par", "FR"), bandwidth, 1, 1),))

    return Usage(of(month, bandwidth), Previous(of(month.previous, 7), clock.now()))


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def store(clock: ManualClock, events: list[Event]) -> Store:
    collectors = [
        (account, collector)
        for account in ("a", "b")
        for collector in (ServersCollector(Options(), ("FR",)), UsageCollector(UsageOptions()))
    ]
    return Store(collectors, clock=clock, emit=events.append)


@pytest.fixture
def accept(store: Store, clock: ManualClock) -> Accept:
    async def accept(name: str, content: object, account: str = "a") -> bool:
        reading = Reading(content, 1, clock.now(), clock.monotonic())
        return await store.accept(account, name, reading)

    return accept


def page(store: Store) -> str:
    return store.body("text").plain.decode()


def test_an_empty_store_gives_counters_alone(store: Store) -> None:
    """Before the first reading there are no made-up values, only counters at 0."""
    lines = [line for line in page(store).splitlines() if not line.startswith("#")]
    assert [
        'wlvpn_servers_added_total{account="a",country="FR"} 0',
        'wlvpn_servers_added_total{account="b",country="FR"} 0',
        'wlvpn_servers_removed_total{account="a",country="FR"} 0',
        'wlvpn_servers_removed_total{account="b",country="FR"} 0',
        'wlvpn_usage_corrections_total{account="a"} 0',
        'wlvpn_usage_corrections_total{account="b"} 0',
    ] == lines


async def test_families_are_contiguous_with_several_accounts(store: Store, accept: Accept) -> None:
    """Each family has one HELP line and the samples of all accounts below it."""
    await accept("servers", servers(0.5), "b")
    await accept("servers", servers(0.25), "a")
    lines = page(store).splitlines()
    start = lines.index("# TYPE wlvpn_server_capacity_used_ratio gauge")
    rest = ',fqdn="par-a01",pop="par",country="FR",city="Paris"}'
    assert [
        f'wlvpn_server_capacity_used_ratio{{account="a"{rest} 0.25',
        f'wlvpn_server_capacity_used_ratio{{account="b"{rest} 0.5',
    ] == lines[start + 1 : start + 3]
    helps = [line.split()[2] for line in lines if line.startswith("# HELP")]
    assert sorted(set(helps)) == sorted(helps)


async def test_an_unchanged_content_is_told_and_not_encoded_again(
    store: Store, accept: Accept, clock: ManualClock
) -> None:
    """The second reading of equal content renews the age, and the page stays the same object."""
    assert await accept("servers", servers(0.5))
    body = store.body("text")
    clock.advance(60)
    assert 60 == store.age_seconds("a", "servers")
    assert not await accept("servers", servers(0.5))
    assert body is store.body("text")
    assert 0 == store.age_seconds("a", "servers")


@pytest.mark.parametrize(
    ("name", "stale", "drop"), [("servers", 180, 600), ("usage", 10800, 93600)]
)
async def test_a_reading_grows_stale_and_is_dropped(
    name: str,
    stale: int,
    drop: int,
    store: Store,
    accept: Accept,
    clock: ManualClock,
    events: list[Event],
) -> None:
    """Its series end exactly at its time to live, once, and its counters stay."""
    content = {"servers": servers(0.5), "usage": usage(Month(2026, 3), 10, clock)}
    assert store.is_stale("a", name)
    await accept(name, content[name])
    full = page(store)
    clock.advance(stale - 1)
    assert not store.is_stale("a", name)
    clock.advance(1)
    assert store.is_stale("a", name)
    clock.advance(drop - stale - 1)
    assert full == page(store)
    clock.advance(1)
    assert [] == [
        line for line in page(store).splitlines() if "_total" not in line and "# " not in line
    ]
    assert store.is_stale("a", name)
    page(store)
    [dropped] = events
    assert ReadingDropped(account="a", collector=name, age_seconds=drop, is_over=False) == dropped


async def test_an_unchanged_reading_lives_on(
    store: Store, accept: Accept, clock: ManualClock
) -> None:
    """Equal content renews the time to live, also of a page that was read before."""
    await accept("servers", servers(0.5))
    full = page(store)
    clock.advance(500)
    await accept("servers", servers(0.5))
    clock.advance(599)
    assert full == page(store)
    clock.advance(1)
    assert SERIES not in page(store)


async def test_each_reading_ends_in_its_own_time(
    store: Store, accept: Accept, clock: ManualClock
) -> None:
    """The end of one leaves the others, and one that comes later may end sooner."""
    await accept("usage", usage(Month(2026, 3), 10, clock), "b")
    page(store)
    await accept("servers", servers(0.5), "b")
    page(store)
    clock.advance(100)
    await accept("servers", servers(0.5), "a")
    page(store)
    clock.advance(500)
    assert SERIES in page(store)
    assert SERIES.replace('"a"', '"b"') not in page(store)
    clock.advance(100)
    assert SERIES not in page(store)


async def test_a_dropped_reading_comes_back(
    store: Store, accept: Accept, clock: ManualClock
) -> None:
    """After a drop the same content is served again, and counted against the last reading."""
    await accept("servers", servers(0.5, "par-a01", "par-a02"))
    clock.advance(600)
    assert SERIES not in page(store)
    await accept("servers", servers(0.5, "par-a01"))
    assert SERIES in page(store)
    assert 'wlvpn_servers_removed_total{account="a",country="FR"} 1' in page(store)


async def test_the_same_content_comes_back_after_a_drop(
    store: Store, accept: Accept, clock: ManualClock
) -> None:
    """A source that did not change while we were blind is served again."""
    await accept("servers", servers(0.5))
    full = page(store)
    clock.advance(600)
    assert full != page(store)
    assert not await accept("servers", servers(0.5))
    assert full == page(store)


async def test_usage_ends_with_its_month(
    store: Store, accept: Accept, clock: ManualClock, events: list[Event]
) -> None:
    """However young, a month's usage is not the next month's; the observed counter stays."""
    clock.advance((datetime(2026, 3, 31, 23, 59, tzinfo=UTC) - clock.now()) / timedelta(seconds=1))
    await accept("usage", usage(Month(2026, 3), 10, clock))
    clock.advance(59)
    assert 'wlvpn_usage_month_to_date_bytes{account="a",pop="par"' in page(store)
    clock.advance(1)
    assert "month_to_date" not in page(store)
    assert "previous_month" not in page(store)
    assert "wlvpn_usage_observed_bytes_total{" in page(store)
    assert [True] == [event.is_over for event in events if isinstance(event, ReadingDropped)]


async def test_a_vanished_server_vanishes_at_once(store: Store, accept: Accept) -> None:
    """A server that an accepted reading does not list has no series any more."""
    await accept("servers", servers(0.5, "par-a01", "lon-a01"))
    await accept("servers", servers(0.5, "lon-a01"))
    assert SERIES not in page(store)
    assert 'fqdn="lon-a01"' in page(store)


class Interrupted(InlineLoop):
    """Something happens while a thread would work: `then`, when it has been given `after` times."""

    def __init__(self, *, after: int) -> None:
        super().__init__()
        self.then: Callable[[], object] = lambda: None
        self._left = after

    def run_in_executor(
        self, executor: object, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Works, and lets it happen."""
        done = super().run_in_executor(executor, func, *args)
        self._left -= 1
        if not self._left:
            self.then()
        return done


@pytest.mark.parametrize(
    ("after", "content"),
    [
        pytest.param(1, servers(0.5), id="while it is compared"),
        pytest.param(1, servers(0.25), id="while it is encoded"),
        pytest.param(2, servers(0.25), id="while it is compressed"),
    ],
)
def test_what_is_dropped_while_a_reading_is_accepted_stays_so(
    after: int, content: Servers, store: Store, clock: ManualClock, events: list[Event]
) -> None:
    """The page is that of all that is known in the end, not of what was known in the beginning."""

    async def accept(account: str, content: Servers) -> None:
        await store.accept(account, "servers", Reading(content, 1, clock.now(), clock.monotonic()))

    def drop() -> None:
        clock.advance(1)
        store.body("text")

    async def scenario() -> None:
        store.body("text")
        await accept("b", servers(0.5))
        await accept("a", servers(0.5))
        clock.advance(599)
        loop.then = drop
        await accept("a", content)

    with asyncio.Runner(loop_factory=lambda: Interrupted(after=2 + 2 + after)) as runner:
        loop = cast(Interrupted, runner.get_loop())
        runner.run(scenario())
    assert [True, False] == [store.has_reading(account, "servers") for account in ("a", "b")]
    assert [True, False] == [
        f'_ratio{{account="{account}"' in page(store) for account in ("a", "b")
    ]
    assert 1 == sum(isinstance(e, ReadingDropped) and e.account == "b" for e in events)
