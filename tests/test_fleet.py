"""What the status page says of servers and POPs."""

from collections.abc import Sequence

import pytest

from exporter import fleet
from exporter.collectors.servers import Server
from exporter.collectors.usage import Cell, Key, MonthUsage
from exporter.fleet import FULLEST, MAX_SERVERS, Filter, Fleet, Traffic, traffic
from exporter.month import Month
from grafana import limit


def server(fqdn: str, country: str, city: str, ratio: float) -> Server:
    return Server(fqdn, fqdn.partition("-")[0], country, city, "192.0.2.1", ratio)


SERVERS = (
    server("hou-a01.wlvpn.com", "US", "Houston", 0.5),
    server("nyc-a01.wlvpn.com", "US", "New York", 0.75),
    server("par-a01.wlvpn.com", "FR", "Paris", 0.25),
    server("par-a02.wlvpn.com", "FR", "Paris", 0.75),
    server("par-a03.wlvpn.com", "FR", "Orly", 1.0),
    server("mrs-a01.wlvpn.com", "FR", "Marseille", 0.5),
)


def look(text: str = "", servers: Sequence[Server] = SERVERS, most: int | None = None) -> Fleet:
    return Fleet.of("brand-a", servers, Filter(text), most=most)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "hou nyc par par par mrs"),
        ("  ", "hou nyc par par par mrs"),
        ("par", "par par par"),
        ("PAR-A01", "par"),
        ("a01", "hou nyc par mrs"),
        ("us", "hou nyc"),
        ("new york", "nyc"),
        ("york new", "nyc"),
        ("fr a01", "par mrs"),
        ("brand-a orly", "par"),
        ("brand-b", ""),
        (".wlvpn", "hou nyc par par par mrs"),
        ("ouston", ""),
        (".*", ""),
        ("(", ""),
        ("<script>", ""),
    ],
)
def test_a_filter_finds_beginnings_of_words(text: str, found: str) -> None:
    """`us` is a country and not the end of a city; all words have to be found, in any order."""
    names = [row.name.partition("-")[0] for row in look(text).fullest.rows]
    assert sorted(found.split()) == sorted(names)


def test_a_filter_is_no_longer_than_a_name() -> None:
    """Longer ones are refused, not cut: what is shown is what was asked for."""
    assert 64 == len(Filter("x" * 64).text)
    with pytest.raises(ValueError, match="longer than 64 characters"):
        Filter("x" * 65)


def test_a_filter_shows_nothing_invisible() -> None:
    """It stands in the page as it was read."""
    assert "par is" == Filter(" par\u202e\u0000 is\ud800\r\n").text


def test_a_row_tells_of_all_its_servers() -> None:
    """The filter decides whether a POP or a country is shown, not how full it is."""
    found = look("par-a01")
    assert [("FR", "FR", "", 4, 0.625)] == [
        (row.name, row.country, row.city, row.servers, row.capacity_used_ratio)
        for row in found.countries.rows
    ]
    [par] = found.pops.rows
    assert ("par", "FR", "Paris", 3) == (par.name, par.country, par.city, par.servers)
    assert 2 / 3 == pytest.approx(par.capacity_used_ratio)
    assert (1, 2, 1, 4, 1, 6) == (
        found.countries.matching,
        found.countries.total,
        found.pops.matching,
        found.pops.total,
        found.fullest.matching,
        found.fullest.total,
    )


def test_what_is_fullest_comes_first() -> None:
    """Equals stand in the order of their names, so that rows stay where they are."""
    found = look()
    assert ["FR", "US"] == [row.name for row in found.countries.rows]
    assert ["nyc", "par", "hou", "mrs"] == [row.name for row in found.pops.rows]
    assert ["par-a03", "nyc-a01", "par-a02", "hou-a01", "mrs-a01", "par-a01"] == [
        row.name.partition(".")[0] for row in found.fullest.rows
    ]
    assert (6, 0.625) == (found.servers, found.capacity_used_ratio)


def test_servers_are_many_and_few_are_shown() -> None:
    """Without a filter the fullest, with one some hundreds; the counts say what is left out."""
    many = [server(f"par-a{n:04}.wlvpn.com", "FR", "Paris", n / 1000) for n in range(1000)]
    found = look(servers=many)
    assert (FULLEST, 1000, "par-a0999.wlvpn.com") == (
        len(found.fullest.rows),
        found.fullest.matching,
        found.fullest.rows[0].name,
    )
    found = look("par", servers=many)
    assert (MAX_SERVERS, 1000) == (len(found.fullest.rows), found.fullest.matching)


def test_places_are_cut_where_there_are_several_accounts() -> None:
    """And the counts say so."""
    found = look(most=1)
    assert (["FR"], 2) == ([row.name for row in found.countries.rows], found.countries.matching)
    assert (["nyc"], 4) == ([row.name for row in found.pops.rows], found.pops.matching)


def test_an_empty_fleet_is_not_used() -> None:
    """No average of nothing."""
    found = look(servers=())
    assert (0, None, 0) == (found.servers, found.capacity_used_ratio, found.pops.total)


USAGE = MonthUsage(
    Month(2026, 3),
    tuple(
        Cell(Key(pop, code), bandwidth, 1, None)
        for pop, code, bandwidth in (("lon", "UK", 5), ("par", "DE", 2), ("par", "FR", 2))
    ),
)


@pytest.mark.parametrize(
    ("text", "pops", "found"),
    [
        ("", (), [Traffic("lon", 5), Traffic("par", 4)]),
        ("par", (), [Traffic("par", 4)]),
        ("paris", ("par",), [Traffic("par", 4)]),
        ("brand-a lon", (), [Traffic("lon", 5)]),
        ("de", (), []),
    ],
)
def test_traffic_is_summed_by_pop(
    text: str, pops: tuple[str, ...], found: Sequence[Traffic]
) -> None:
    """Most first; a POP whose servers were found is shown, under whatever name they were."""
    rows = traffic("brand-a", USAGE, Filter(text), pops=pops, most=None)
    assert (found, len(found), 2) == (rows.rows, rows.matching, rows.total)


def test_colours_change_where_alerts_begin() -> None:
    """The page's limits are those of the rules and the dashboards."""
    assert (fleet.FILLING, fleet.FILLING) == (limit.SERVER_FILLING, limit.COUNTRY_FILLING)
    assert (fleet.SERVER_FULL, fleet.PLACE_FULL, fleet.PLACE_FULL) == (
        limit.SERVER_FULL,
        limit.POP_FULL,
        limit.COUNTRY_FULL,
    )
