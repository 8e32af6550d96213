"""The simulated usage."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest

from exporter.simulator import World
from exporter.simulator.atlas import POPS
from exporter.simulator.world import Cell, Usage

FIRST, LAST = date(2026, 6, 1), date(2026, 6, 30)
JUNE, JULY = datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def fleet() -> World:
    return World()


@pytest.fixture(scope="module")
def exact() -> World:
    return World(servers=20, corrections=False)


def flat(usage: Usage) -> dict[tuple[str, str], Cell]:
    return {(pop, country): cell for pop, cells in usage.items() for country, cell in cells.items()}


def falls(steps: list[Usage]) -> int:
    """Count the values that went down from one step to the next."""
    return sum(
        later.bandwidth < cell.bandwidth or later.connections < cell.connections
        for before, after in pairwise(map(flat, steps))
        for key, cell in before.items()
        for later in (after.get(key, Cell(0, 0, 0)),)
    )


def june(world: World, every: timedelta, days: int) -> list[Usage]:
    """Ask for June again and again, from its first day on."""
    steps = range(timedelta(days=days) // every)
    return [world.usage(FIRST, LAST, JUNE + every * step) for step in steps]


@pytest.mark.parametrize("corrections", [True, False])
def test_a_settled_month_is_the_truth(corrections: bool) -> None:  # noqa: FBT001 - a parameter
    """Three days and twenty minutes after its end, a month is exactly what happened."""
    world = World(servers=120, corrections=corrections)
    settled = JULY + timedelta(days=3, minutes=20)
    assert world.true_usage(JUNE, JULY) == world.usage(FIRST, LAST, settled)


def test_a_closed_month_still_gains(exact: World) -> None:
    """The last percents of a closed month trickle in during three days."""
    truth = flat(exact.true_usage(JUNE, JULY))
    for hours, expected in [(1, 0.99), (24, 0.99), (48, 0.995), (71, 0.998)]:
        known = flat(exact.usage(FIRST, LAST, JULY + timedelta(hours=hours)))
        share = known["lax", "US"].bandwidth / truth["lax", "US"].bandwidth
        assert expected < share < 1


def test_usage_only_grows_without_corrections(exact: World) -> None:
    """Bandwidth, connections and customers of a month never fall."""
    steps = june(exact, timedelta(hours=5), days=35)
    assert falls(steps) == 0
    customers = [flat(step).get(("lax", "US"), Cell(0, 0, 0)).customers for step in steps]
    assert sorted(customers) == customers


def test_the_minutes_around_midnight_grow_too(exact: World) -> None:
    """Nothing falls where a day ends and another settles."""
    start = datetime(2026, 6, 12, 23, 50, tzinfo=UTC)
    steps = [exact.usage(FIRST, LAST, start + timedelta(seconds=20 * step)) for step in range(120)]
    assert falls(steps) == 0


def test_corrections_take_back_an_over_report() -> None:
    """A few cells a day are over-reported by a percent and fall back within two hours."""
    fallen = falls(june(World(servers=20), timedelta(minutes=30), days=8))
    assert 8 < fallen < 40


def test_an_over_report_is_one_percent(exact: World) -> None:
    """While a mistake lasts, a cell tells a percent more than is known."""
    world = World(servers=20)
    at = next(
        at
        for at in (JUNE + timedelta(days=9, minutes=30 * step) for step in range(96))
        if world.usage(FIRST, LAST, at) != exact.usage(FIRST, LAST, at)
    )
    wrong, right = flat(world.usage(FIRST, LAST, at)), flat(exact.usage(FIRST, LAST, at))
    excess = {round(wrong[key].bandwidth / right[key].bandwidth, 6) for key in right}
    assert excess == {1, 1.01}
    assert all(wrong[key].customers == right[key].customers for key in right)


def test_data_is_twenty_minutes_late(fleet: World) -> None:
    """A month begins with nothing, for twenty minutes."""
    assert fleet.usage(FIRST, LAST, JUNE + timedelta(minutes=20)) == {}
    assert len(fleet.usage(FIRST, LAST, JUNE + timedelta(minutes=21))) == len(POPS)


def test_the_future_is_empty(fleet: World) -> None:
    """Days that have not come yet have no cells."""
    assert fleet.usage(FIRST, LAST, JUNE - timedelta(days=3)) == {}


def test_rare_cells_appear_during_the_month(fleet: World) -> None:
    """A cell without usage so far is absent, not zero."""
    first_day = flat(fleet.usage(FIRST, LAST, JUNE + timedelta(hours=12)))
    month = flat(fleet.true_usage(JUNE, JULY))
    assert 3 < len(month.keys() - first_day.keys()) < 60
    assert all(cell.bandwidth and cell.customers for cell in month.values())


def test_days_add_up_but_customers_do_not(exact: World) -> None:
    """Bandwidth and connections of single days add up to the month, customers to more."""
    month = flat(exact.true_usage(JUNE, JULY))["lax", "US"]
    midnights = [JUNE + timedelta(days=day) for day in range(31)]
    days = [flat(exact.true_usage(*day))["lax", "US"] for day in pairwise(midnights)]
    assert month.bandwidth == sum(day.bandwidth for day in days)
    assert month.connections == sum(day.connections for day in days)
    assert month.customers < sum(day.customers for day in days)


def test_the_fleet_moves_a_realistic_volume(fleet: World) -> None:
    """3,500 servers move some hundred gigabits a second, ten times as much as 350."""

    def gigabits(world: World) -> float:
        cells = flat(world.true_usage(JUNE, JULY)).values()
        seconds = (JULY - JUNE).total_seconds()
        return sum(cell.bandwidth for cell in cells) * 8 / 1e9 / seconds

    assert 200 < gigabits(fleet) < 600
    assert 9 < gigabits(fleet) / gigabits(World(servers=350)) < 11


def test_a_pop_serves_one_to_eight_countries(fleet: World) -> None:
    """Customers come from a few countries, often but not always the POP's own."""
    month = fleet.true_usage(JUNE, JULY)
    home = {pop.code for pop in POPS if pop.country in month[pop.code]}
    assert {pop.code for pop in POPS} == month.keys()
    assert {len(cells) for cells in month.values()} == set(range(1, 9))
    assert 45 < len(home) < 90


def test_evenings_are_busier_than_mornings(exact: World) -> None:
    """Usage follows the sun of the POP."""
    evening = datetime(2026, 6, 10, 20, tzinfo=UTC)
    hour, half = timedelta(hours=1), timedelta(hours=12)
    busy = flat(exact.true_usage(evening, evening + hour))["lon", "UK"].bandwidth
    calm = flat(exact.true_usage(evening - half, evening - half + hour))["lon", "UK"].bandwidth
    assert busy > 2 * calm


def test_no_servers_no_usage() -> None:
    """An empty fleet serves nobody."""
    assert World(servers=0).usage(FIRST, LAST, JULY) == {}
