"""The simulated fleet."""

import ipaddress
import re
import subprocess
import sys
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from statistics import mean

import pytest

from exporter.simulator import World
from exporter.simulator.atlas import POPS

MONDAY = datetime(2026, 7, 20, 14, 2, tzinfo=UTC)
HOURS = [MONDAY + timedelta(hours=hour) for hour in range(0, 7 * 24, 5)]


@pytest.fixture(scope="module")
def fleet() -> World:
    return World()


def pop_means(world: World, at: datetime) -> dict[str, float]:
    used = defaultdict(list)
    for fqdn, server in world.listed(at).items():
        used[fqdn.split("-")[0]].append(server.capacity)
    return {pop: mean(capacities) for pop, capacities in used.items()}


def test_the_atlas_is_as_large_as_the_platform() -> None:
    """There are 90 POPs with codes of their own in 60 countries, the United Kingdom as UK."""
    countries = {pop.country for pop in POPS}
    codes = {pop.code for pop in POPS}
    assert (len(codes), len(countries), "UK" in countries, "GB" in countries) == (
        90,
        60,
        True,
        False,
    )


@pytest.mark.parametrize("servers", [0, 1, 10, 89, 90, 91, 3_500, 50_000])
def test_the_listed_number_never_moves(servers: int) -> None:
    """Who is away is replaced: as many servers as asked for are listed at any instant."""
    world = World(servers=servers)
    expected = {servers}
    assert expected == {len(world.listed(at)) for at in HOURS[:3]}


@pytest.mark.parametrize("servers", [90, 3_500])
def test_every_pop_gets_a_server(servers: int) -> None:
    """With enough servers, no POP is empty."""
    listed = World(servers=servers).listed(MONDAY)
    assert {pop.code for pop in POPS} == {fqdn.split("-")[0] for fqdn in listed}


def test_few_servers_stand_in_the_heaviest_pops() -> None:
    """With fewer servers than POPs, the heaviest POPs get one each."""
    listed = World(servers=4).listed(MONDAY)
    assert {"lax", "lon", "nyc", "ams"} == {fqdn.split("-")[0] for fqdn in listed}


def test_names_count_to_99_and_take_the_next_letter(fleet: World) -> None:
    """A name is the POP, a letter and two digits from 01 on."""
    names = set(fleet.listed(MONDAY))
    pattern = re.compile(r"[a-z]{3}-[a-z](?!00)\d\d\.wlvpn\.com")
    assert [name for name in names if not pattern.fullmatch(name)] == []
    assert len(names & {"lax-a99.wlvpn.com", "lax-a98.wlvpn.com"}) > 0
    assert "lax-b01.wlvpn.com" in names


def test_places_match_the_atlas(fleet: World) -> None:
    """A server has its POP's city and country."""
    expected = {pop.code: (pop.country, pop.city) for pop in POPS}
    listed = fleet.listed(MONDAY)
    assert expected == {
        fqdn.split("-")[0]: (server.country, server.city) for fqdn, server in listed.items()
    }


def test_addresses_are_unique_but_for_the_unknown(fleet: World) -> None:
    """No two servers share an address; a few have 0.0.0.0, a few speak IPv6."""
    addresses = Counter(server.ip for server in fleet.listed(MONDAY).values())
    unknown = addresses.pop("0.0.0.0")  # noqa: S104 - as in the documentation
    versions = Counter(ipaddress.ip_address(address).version for address in addresses)
    assert set(addresses.values()) == {1}
    assert 5 < unknown < 40
    assert 30 < versions[6] < 150


def test_addresses_come_from_the_network_asked_for() -> None:
    """A test of public addresses may ask for them."""
    listed = World(servers=30, network="20.0.0.0/16").listed(MONDAY)
    expected = {"20.0"}
    assert expected == {
        server.ip.rpartition(".")[0].rpartition(".")[0]
        for server in listed.values()
        if not (":" in server.ip or server.ip.startswith("0."))
    }


def test_the_fleet_is_never_idle_nor_full(fleet: World) -> None:
    """The fleet's mean stays at 30 to 60 percent, and every capacity within 0 to 100."""
    for at in HOURS:
        capacities = [server.capacity for server in fleet.listed(at).values()]
        assert 30 < mean(capacities) < 60
        assert 0 <= min(capacities) <= max(capacities) <= 100


def test_some_pops_are_hot_at_their_peak(fleet: World) -> None:
    """A few POPs reach 77 to 85 percent on average: the fullest, and none is full."""
    peaks: dict[str, float] = defaultdict(float)
    for at in HOURS:
        for pop, used in pop_means(fleet, at).items():
            peaks[pop] = max(peaks[pop], used)
    hot = [peak for peak in peaks.values() if peak > 77]
    assert 2 <= len(hot) <= 15
    assert max(hot) <= 85


@pytest.mark.parametrize(
    ("pop", "evening"),
    [
        pytest.param("lon", 21, id="London"),
        pytest.param("tyo", 12, id="Tokyo"),
        pytest.param("lax", 5, id="Los Angeles"),
    ],
)
def test_the_peak_is_in_the_local_evening(fleet: World, pop: str, evening: int) -> None:
    """A POP is far busier at about 21:00 of its own sun than twelve hours away from it."""
    peak = MONDAY.replace(hour=evening, minute=0)
    difference = pop_means(fleet, peak)[pop] - pop_means(fleet, peak + timedelta(hours=12))[pop]
    assert difference > 20


def test_the_platform_measures_every_five_minutes(fleet: World) -> None:
    """Within five minutes nothing moves, then nearly every server does."""
    first = fleet.listed(MONDAY.replace(minute=0))
    assert first == fleet.listed(MONDAY.replace(minute=4, second=59))
    later = fleet.listed(MONDAY.replace(minute=5))
    same = [fqdn for fqdn in first if later.get(fqdn) == first[fqdn]]
    assert len(same) < len(first) / 2


def test_one_percent_is_away_for_hours(fleet: World) -> None:
    """Servers leave and come back: about one in a hundred is away, for hours."""
    seen = [set(fleet.listed(at)) for at in HOURS]
    everyone = set().union(*seen)
    stand_ins = {fqdn for fqdn in everyone if sum(fqdn in names for names in seen) < len(seen) / 2}
    away = mean(len(names & stand_ins) for names in seen)
    assert 20 < away < 50
    minutes_later = set(fleet.listed(HOURS[0] + timedelta(minutes=10)))
    assert len(seen[0] - minutes_later) < 10


def test_a_stand_in_belongs_to_the_same_pop(fleet: World) -> None:
    """Maintenance never changes how many servers a POP lists."""
    counts = [Counter(fqdn.split("-")[0] for fqdn in fleet.listed(at)) for at in HOURS]
    assert counts == [counts[0]] * len(counts)


def test_seeds_make_different_worlds() -> None:
    """Another seed is another world."""
    assert World(1, 100).listed(MONDAY) != World(2, 100).listed(MONDAY)


def test_other_processes_see_the_same_world() -> None:
    """A seed gives the same bytes in every process, whatever Python's hash seed."""
    script = """if True:
        from datetime import UTC, date, datetime
        from exporter.simulator import World
        at = datetime(2026, 7, 20, 14, 2, tzinfo=UTC)
        world = World(7, 200)
        print(world.listed(at), world.usage(date(2026, 7, 1), date(2026, 7, 31), at))
    """
    answers = {
        subprocess.run(
            [sys.executable, "-c", script],
            check=True,
            capture_output=True,
            env={"PYTHONHASHSEED": seed, "PYTHONUTF8": "1", "PYTHONPATH": ":".join(sys.path)},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(answers) == 1


def test_refuses_an_instant_without_a_zone(fleet: World) -> None:
    """An instant that depends on the machine's zone is an error."""
    with pytest.raises(ValueError, match="time zone"):
        fleet.listed(datetime(2026, 1, 1))  # noqa: DTZ001 - the mistake under test


@pytest.mark.parametrize(
    ("servers", "network", "message"),
    [
        pytest.param(-1, "198.18.0.0/15", "servers must be 0 to 50000", id="negative"),
        pytest.param(50_001, "198.18.0.0/15", "servers must be 0 to 50000", id="many"),
        pytest.param(300, "192.0.2.0/24", "need a larger network", id="small network"),
    ],
)
def test_refuses_a_world_that_cannot_be(servers: int, network: str, message: str) -> None:
    """A fleet without names or addresses for all is an error."""
    with pytest.raises(ValueError, match=message):
        World(servers=servers, network=network)
