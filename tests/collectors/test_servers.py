"""The servers collector."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families

from exporter.collectors.base import Answer
from exporter.collectors.servers import Server, Servers, ServersCollector, Turnover
from exporter.errors import SchemaError, TooLargeError
from exporter.exposition import Format, body, encode
from exporter.response import decode

NOON = datetime(2026, 3, 17, 12, 0, tzinfo=UTC)
NOWHERE = ".".join("0000")
PARIS = Server("par-a01.wlvpn.com", "par", "FR", "Paris", NOWHERE, 0.05)
ATLANTA = Server("atl-a01.wlvpn.com", "atl", "US", "Atlanta", NOWHERE, 0.35)


class RecordedApi:
    """Answers always the same and remembers what it was asked."""

    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.requests: list[tuple[str, dict[str, str]]] = []

    async def get(self, path: str, query: Mapping[str, str]) -> Mapping[str, object]:
        self.requests.append((path, dict(query)))
        if isinstance(self.answer, str):
            return decode((Path(__file__).parent / "payloads" / self.answer).read_bytes())
        return {"api_status": 1, "server": self.answer}


def make(*countries: str, max_records: int = 20_000) -> ServersCollector:
    options = ServersCollector.options_type(max_records=max_records)
    return ServersCollector(options, countries)


async def fetch(answer: object, collector: ServersCollector | None = None) -> Answer[Servers]:
    """What a collector makes of a payload's file, or of a `server` map."""
    return await (collector or make()).fetch(RecordedApi(answer).get, now=NOON, last=None)


def page(answer: Answer[Servers], form: Format) -> str:
    """The page of this reading alone."""
    blocks = [encode(ServersCollector.content_tables, answer.content, "default")]
    tail = b"# EOF\n" if form == "openmetrics" else b""
    head, tail = body(ServersCollector.metrics(), blocks, form).finish(tail, gzip=False)
    return (head + tail).decode()


def listed(unreadable: str = "", **countries: str) -> Servers:
    """A reading of servers by their country, and of those whose record is bad."""
    servers = tuple(Server(name, "pop", code, "city", "ip", 0) for name, code in countries.items())
    return Servers(servers, countries=(), unreadable=frozenset(unreadable))


def turnover(*readings: Servers, collector: ServersCollector | None = None) -> Turnover:
    """The tally after these readings."""
    collector = collector or make()
    tally, last = collector.first_tally(), None
    for content in readings:
        tally = collector.count(tally, last=last, content=content)
        last = content
    return tally


async def test_the_documented_example_is_read() -> None:
    """Percents become ratios, the FQDN's first group the POP, and the order is that of FQDNs."""
    expected = Answer(content=Servers((ATLANTA, PARIS), ()), records=2)
    assert expected == await fetch("servers.json")


async def test_the_documented_example_becomes_series() -> None:
    """Four families of samples come from it, byte by byte."""
    answer = await fetch("servers.json", make("DE", "FR"))
    lines = encode(ServersCollector.content_tables, answer.content, "default")
    atlanta = 'account="default",fqdn="atl-a01.wlvpn.com",pop="atl",country="US",city="Atlanta"'
    paris = 'account="default",fqdn="par-a01.wlvpn.com",pop="par",country="FR",city="Paris"'
    expected = {
        "wlvpn_server_capacity_used_ratio": (
            f"wlvpn_server_capacity_used_ratio{{{atlanta}}} 0.35\n"
            f"wlvpn_server_capacity_used_ratio{{{paris}}} 0.05\n"
        ),
        "wlvpn_server_info": (
            f'wlvpn_server_info{{{atlanta},ip="{NOWHERE}"}} 1\n'
            f'wlvpn_server_info{{{paris},ip="{NOWHERE}"}} 1\n'
        ),
        "wlvpn_servers": (
            'wlvpn_servers{account="default",country="DE"} 0\n'
            'wlvpn_servers{account="default",country="FR"} 1\n'
            'wlvpn_servers{account="default",country="US"} 1\n'
        ),
    }
    assert expected == {name: block.decode() for name, block in lines.items()}


async def test_peculiar_servers_are_read() -> None:
    """Text for numbers, UK, UTF-8, IPv6 and absent members are the API's ways, not errors."""
    answer = await fetch("servers_peculiar.json")
    expected = (
        Server("-", "unknown", "US", "Dash", NOWHERE, 0.02),
        Server("den.wlvpn.com", "den", "US", "Denver", "unknown", 0.01),
        Server("gru-a01.wlvpn.com", "gru", "BR", "S\u00e3o Paulo", NOWHERE, 0.995),
        Server("lon-a01.wlvpn.com", "lon", "UK", "London", "2001:db8::1", 1.0),
        Server("mia-a01.wlvpn.com", "mia", "unknown", "unknown", "unknown", 0.0),
        Server("nyc-a01.wlvpn.com", "nyc", "US", "unknown", "unknown", 0.12),
        Server("par-a02.wlvpn.com", "par", "FR", "Paris", "80.24.24.52", 0.04),
        Server("tpe-a01.wlvpn.com", "tpe", "TW", "\u81fa\u5317", "unknown", 0.0),
    )
    assert (expected, ()) == (answer.content.servers, answer.rejected)


async def test_unknown_fields_are_told() -> None:
    """What the documentation does not know is ignored, but not overlooked."""
    assert frozenset({"load", "tags"}) == (await fetch("servers_peculiar.json")).unknown_fields


@pytest.mark.parametrize("answer", ["servers_none.json", {}, []], ids=["file", "map", "list"])
async def test_an_empty_map_is_no_servers(answer: object) -> None:
    """Also where PHP writes it as an empty list."""
    assert Answer(content=Servers((), ()), records=0) == await fetch(answer)


@pytest.mark.parametrize(
    ("countries", "query"),
    [((), {}), (("FR",), {"country": "FR"}), (("UK", "FR", "US"), {"country": "UK,FR,US"})],
    ids=["all", "one", "three"],
)
@pytest.mark.parametrize("answer", ["servers.json", "servers_none.json"])
async def test_all_countries_are_asked_for_in_one_request(
    countries: tuple[str, ...], query: dict[str, str], answer: str
) -> None:
    """One request a poll, whatever it brings; no parameter when every country is wanted."""
    api = RecordedApi(answer)
    await make(*countries).fetch(api.get, now=NOON, last=None)
    assert [("/v2/servers", query)] == api.requests


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (None, "server: expected an object, got null"),
        ("servers_bad_map", "server: expected an object, got text"),
        ([{"fqdn": "par-a01.wlvpn.com"}], "server: expected an object, got a list"),
        ({"par-a01.wlvpn.com": 5}, "1 of 1 records are bad, the first: par-a01.wlvpn.com: record"),
    ],
    ids=["null", "text", "list", "bad record"],
)
async def test_another_shape_is_refused(answer: object, told: str) -> None:
    """An answer that is not the documented map is no reading."""

    async def get(path: str, query: Mapping[str, str]) -> Mapping[str, object]:
        del path, query
        return {"server": answer}

    with pytest.raises(SchemaError, match=told):
        await make().fetch(get, now=NOON, last=None)


async def test_an_answer_without_servers_is_refused() -> None:
    """No `server` member is not the same as no servers."""
    with pytest.raises(SchemaError, match="server: absent"):
        await fetch("usage.json")


async def test_a_bad_server_is_left_out_and_named() -> None:
    """One in five is tolerated, and never shown with a made-up capacity."""
    answer = await fetch("servers_bad.json")
    told = [str(error) for error in answer.rejected]
    assert (4, 4) == (answer.records, len(answer.content.servers))
    assert ["ams-a05.wlvpn.com: capacity: expected a number, got null"] == told
    assert {"ams-a05.wlvpn.com"} == answer.content.unreadable


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({}, "capacity: absent"),
        ({"capacity": 101}, "capacity: not within 0..100"),
        ({"capacity": "1e2"}, "capacity: expected a number, got text"),
        ({"capacity": 1, "country": 33}, "country: expected text, got a number"),
        ({"capacity": 1, "city": {}}, "city: expected text, got an object"),
        ({"capacity": 1, "ip": [NOWHERE]}, "ip: expected text, got a list"),
    ],
    ids=str,
)
def test_a_wrong_member_makes_a_bad_server(members: dict[str, object], told: str) -> None:
    """The error names the member."""
    with pytest.raises(SchemaError, match=told):
        Server.from_json("par-a01.wlvpn.com", members)


async def test_two_names_that_clean_to_one_are_one_server() -> None:
    """The page would break on two series of one name: the second is rejected."""
    names = ["par-a01", "par\u200b-a01", "par-a02", "par-a03", "par-a04"]
    answer = await fetch({name: {"capacity": n} for n, name in enumerate(names)})
    assert [0, 0.02, 0.03, 0.04] == [s.capacity_used_ratio for s in answer.content.servers]
    assert ["par-a01: a second record of this name"] == [str(error) for error in answer.rejected]


@pytest.mark.parametrize(("max_records", "refused"), [(2, False), (1, True)], ids=["full", "over"])
async def test_too_many_servers_refuse_the_answer(
    max_records: int,
    refused: bool,  # noqa: FBT001 - a table's column
) -> None:
    """The limit protects Prometheus from an answer gone wild."""
    try:
        await fetch("servers.json", make(max_records=max_records))
    except TooLargeError:
        assert refused
    else:
        assert not refused


@pytest.mark.parametrize("form", ["text", "openmetrics"])
async def test_hostile_text_cannot_break_the_page(form: Format) -> None:
    """The parsers of Prometheus' own library read exactly the cleaned labels."""
    text = page(await fetch("servers_hostile.json"), form)
    if form == "text":
        families = text_string_to_metric_families(text)
    else:
        families = openmetrics_parser.text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
    found = [sample.labels for family in families for sample in family.samples]
    expected = [
        {"fqdn": "lon-a01.wlvpn.com", "pop": "lon", "country": "UK", "city": "unknown"}
        | {"ip": "unknown"},
        {"fqdn": "par-a01.wlvpn.com", "pop": "par", "country": "FR", "city": 'Pa"ris\\'}
        | {"ip": "} 1"},
        {"fqdn": "unknown", "pop": "unknown", "country": "\U00010000", "city": "unknown"}
        | {"ip": "wlvpn_up 0"},
    ]
    infos = [{"account": "default"} | labels for labels in expected]
    assert infos == [labels for labels in found if "ip" in labels]
    assert 9 == len(found)


async def test_endless_text_is_cut() -> None:
    """10 kB of city become 128 characters, told apart by a hash."""
    city = "\U0001f3d9" * 10_000
    answer = await fetch({"par-a01.wlvpn.com": {"capacity": 1, "city": city}})
    expected = "\U0001f3d9" * 119 + "~" + hashlib.sha256(city.encode()).hexdigest()[:8]
    assert expected == answer.content.servers[0].city


@pytest.mark.parametrize(
    ("configured", "expected"),
    [
        ((), [("FR", 1), ("US", 1)]),
        (("US",), [("FR", 1), ("US", 1)]),
        (("UK", "DE"), [("DE", 0), ("FR", 1), ("UK", 0), ("US", 1)]),
    ],
    ids=["none", "one that has servers", "two that have none"],
)
def test_a_configured_country_without_servers_counts_zero(
    configured: tuple[str, ...], expected: list[tuple[str, int]]
) -> None:
    """An alert on it needs a number; a country nobody asked for needs none."""
    assert expected == list(Servers((PARIS, ATLANTA), configured).by_country())


def test_the_first_reading_adds_no_server() -> None:
    """What was there before we looked was not added; its countries begin at 0."""
    tally = turnover(listed(par="FR", atl="US"))
    assert ({"FR": 0, "US": 0}, {"FR": 0, "US": 0}) == (tally.added, tally.removed)


def test_a_configured_country_counts_from_the_start() -> None:
    """Its counters exist before the first reading."""
    zero = {"FR": 0, "UK": 0}
    assert Turnover(added=zero, removed=zero, unreadable={}) == make("FR", "UK").first_tally()


TURNOVERS = {
    "readable and unreadable by one name": (
        [listed(a="FR"), listed(unreadable="a", a="DE"), listed()],
        {"FR": 0, "DE": 0},
        {"FR": 0, "DE": 1},
    ),
    "unchanged": ([listed(a="FR"), listed(a="FR")], {"FR": 0}, {"FR": 0}),
    "one more": ([listed(a="FR"), listed(a="FR", b="FR")], {"FR": 1}, {"FR": 0}),
    "one less": ([listed(a="FR", b="FR"), listed(a="FR")], {"FR": 0}, {"FR": 1}),
    "replaced": ([listed(a="FR"), listed(b="FR")], {"FR": 1}, {"FR": 1}),
    "another country": (
        [listed(a="FR"), listed(a="FR", b="US", c="US")],
        {"FR": 0, "US": 2},
        {"FR": 0, "US": 0},
    ),
    "a country emptied": (
        [listed(a="FR", b="US"), listed(a="FR")],
        {"FR": 0, "US": 0},
        {"FR": 0, "US": 1},
    ),
    "away and back": (
        [listed(a="FR", b="FR"), listed(a="FR"), listed(a="FR", b="FR")],
        {"FR": 1},
        {"FR": 1},
    ),
    "all gone": ([listed(a="FR", b="US"), listed()], {"FR": 0, "US": 0}, {"FR": 1, "US": 1}),
    "from nothing": ([listed(), listed(a="FR")], {"FR": 1}, {"FR": 0}),
    "unreadable for a while": (
        [listed(a="FR", b="FR"), listed("b", a="FR"), listed(a="FR", b="FR")],
        {"FR": 0},
        {"FR": 0},
    ),
    "unreadable at first": (
        [listed("b", a="FR"), listed(a="FR", b="US")],
        {"FR": 0, "US": 0, "unknown": 0},
        {"FR": 0, "US": 0, "unknown": 0},
    ),
    "unreadable, then gone": (
        [listed(a="FR", b="US"), listed("b", a="FR"), listed(a="FR")],
        {"FR": 0, "US": 0},
        {"FR": 0, "US": 1},
    ),
    "new and unreadable": (
        [listed(a="FR"), listed("b", a="FR"), listed(a="FR", b="US")],
        {"FR": 0, "US": 1},
        {"FR": 0, "US": 0},
    ),
    "another unreadable": ([listed(a="FR", b="FR"), listed("c", a="FR")], {"FR": 0}, {"FR": 1}),
    "moved": ([listed(a="FR"), listed(a="DE")], {"FR": 0, "DE": 0}, {"FR": 0, "DE": 0}),
}


@pytest.mark.parametrize(("readings", "added", "removed"), TURNOVERS.values(), ids=TURNOVERS)
def test_turnover_is_counted_by_country(
    readings: list[Servers], added: dict[str, int], removed: dict[str, int]
) -> None:
    """A server counts where it appears in or vanishes from the accepted readings."""
    tally = turnover(*readings)
    assert (added, removed) == (tally.added, tally.removed)


def test_turnover_becomes_counters() -> None:
    """Both counters have the same countries, sorted."""
    tally = turnover(listed(a="US"), listed(b="FR"), collector=make("UK"))
    lines = b"".join(encode(ServersCollector.tally_tables, tally, "default").values())
    expected = [
        'wlvpn_servers_added_total{account="default",country="FR"} 1',
        'wlvpn_servers_added_total{account="default",country="UK"} 0',
        'wlvpn_servers_added_total{account="default",country="US"} 0',
        'wlvpn_servers_removed_total{account="default",country="FR"} 0',
        'wlvpn_servers_removed_total{account="default",country="UK"} 0',
        'wlvpn_servers_removed_total{account="default",country="US"} 1',
    ]
    assert expected == lines.decode().splitlines()


def test_made_up_pops_are_forgotten() -> None:
    """What was ever listed is remembered, but not without an end."""

    def reading(poll: int, pops: int) -> Servers:
        names = (f"{poll}x{n}" for n in range(pops))
        return Servers(tuple(PARIS._replace(fqdn=f"{n}-a", pop=n) for n in names), countries=())

    assert 6000 == len(turnover(*(reading(poll, 6000) for poll in range(3))).pops)
    assert 18 == len(turnover(*(reading(poll, 6) for poll in range(3))).pops)
