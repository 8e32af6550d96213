"""What the Store keeps, drops and gives out."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

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
from tests.manual_clock import ManualClock

SERIES = 'wlvpn_server_capacity_used_ratio{account="a",fqdn="par-a01"'


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
def accept(store: Store, clock: ManualClock) -> Callable[..., bool]:
    def accept(name: str, content: object, account: str = "a") -> bool:
        reading = Reading(content, 1, clock.now(), clock.monotonic())
        return store.accept(account, name, reading)

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


def test_families_are_contiguous_with_several_accounts(
    store: Store, accept: Callable[..., bool]
) -> None:
    """Each family has one HELP line and the samples of all accounts below it."""
    accept("servers", servers(0.5), "b")
    accept("servers", servers(0.25), "a")
    lines = page(store).splitlines()
    start = lines.index("# TYPE wlvpn_server_capacity_used_ratio gauge")
    rest = ',fqdn="par-a01",pop="par",country="FR",city="Paris"}'
    assert [
        f'wlvpn_server_capacity_used_ratio{{account="a"{rest} 0.25',
        f'wlvpn_server_capacity_used_ratio{{account="b"{rest} 0.5',
    ] == lines[start + 1 : start + 3]
    helps = [line.split()[2] for line in lines if line.startswith("# HELP")]
    assert sorted(set(helps)) == sorted(helps)


def test_an_unchanged_content_is_told_and_not_encoded_again(
    store: Store, accept: Callable[..., bool], clock: ManualClock
) -> None:
    """The second reading of equal content renews the age, and the page stays the same object."""
    assert accept("servers", servers(0.5))
    body = store.body("text")
    clock.advance(60)
    assert 60 == store.age_seconds("a", "servers")
    assert not accept("servers", servers(0.5))
    assert body is store.body("text")
    assert 0 == store.age_seconds("a", "servers")


@pytest.mark.parametrize(
    ("name", "stale", "drop"), [("servers", 180, 600), ("usage", 10800, 93600)]
)
def test_a_reading_grows_stale_and_is_dropped(
    name: str,
    stale: int,
    drop: int,
    store: Store,
    accept: Callable[..., bool],
    clock: ManualClock,
    events: list[Event],
) -> None:
    """Its series end exactly at its time to live, once, and its counters stay."""
    content = {"servers": servers(0.5), "usage": usage(Month(2026, 3), 10, clock)}
    assert store.is_stale("a", name)
    accept(name, content[name])
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


def test_a_dropped_reading_comes_back(
    store: Store, accept: Callable[..., bool], clock: ManualClock
) -> None:
    """After a drop the same content is served again, and counted against the last reading."""
    accept("servers", servers(0.5, "par-a01", "par-a02"))
    clock.advance(600)
    assert SERIES not in page(store)
    accept("servers", servers(0.5, "par-a01"))
    assert SERIES in page(store)
    assert 'wlvpn_servers_removed_total{account="a",country="FR"} 1' in page(store)


def test_the_same_content_comes_back_after_a_drop(
    store: Store, accept: Callable[..., bool], clock: ManualClock
) -> None:
    """A source that did not change while we were blind is served again."""
    accept("servers", servers(0.5))
    full = page(store)
    clock.advance(600)
    assert full != page(store)
    assert not accept("servers", servers(0.5))
    assert full == page(store)


def test_usage_ends_with_its_month(
    store: Store, accept: Callable[..., bool], clock: ManualClock, events: list[Event]
) -> None:
    """However young, a month's usage is not the next month's; the observed counter stays."""
    clock.advance((datetime(2026, 3, 31, 23, 59, tzinfo=UTC) - clock.now()) / timedelta(seconds=1))
    accept("usage", usage(Month(2026, 3), 10, clock))
    clock.advance(59)
    assert 'wlvpn_usage_month_to_date_bytes{account="a",pop="par"' in page(store)
    clock.advance(1)
    assert "month_to_date" not in page(store)
    assert "previous_month" not in page(store)
    assert "wlvpn_usage_observed_bytes_total{" in page(store)
    assert [True] == [event.is_over for event in events if isinstance(event, ReadingDropped)]


def test_a_vanished_server_vanishes_at_once(store: Store, accept: Callable[..., bool]) -> None:
    """A server that an accepted reading does not list has no series any more."""
    accept("servers", servers(0.5, "par-a01", "lon-a01"))
    accept("servers", servers(0.5, "lon-a01"))
    assert SERIES not in page(store)
    assert 'fqdn="lon-a01"' in page(store)
