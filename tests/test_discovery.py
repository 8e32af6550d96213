"""The VPN servers as targets: what is chosen, what is refused, and how it is told."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporter.clock import SystemClock
from exporter.collectors.base import Collector
from exporter.collectors.servers import Server, Servers, ServersCollector
from exporter.collectors.usage import UsageCollector
from exporter.discovery import NoTargetsError, discover, probe_address, read_query, select
from exporter.listener import listen
from exporter.service import Service
from exporter.simulator import Rule, Simulator
from exporter.snapshot import Reading, Slot, Store
from exporter.status import Status
from exporter.telemetry import Telemetry
from exporter.web import Web
from tests.conftest import Configure
from tests.manual_clock import ManualClock

NOWHERE = ".".join("0000")
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=9)

PARIS = Server("par-a01.wlvpn.com", "par", "FR", "Paris", "198.18.0.1", 0.1)
PARIS_2 = Server("par-a02.wlvpn.com", "par", "FR", "Paris", "198.18.0.2", 0.2)
PARIS_3 = Server("par-a03.wlvpn.com", "par", "FR", "Paris", "198.18.0.3", 0.3)
LYON = Server("lyo-a01.wlvpn.com", "lyo", "FR", "Lyon", "2a00:1450::8", 0.4)
LONDON = Server("lon-a01.wlvpn.com", "lon", "UK", "London", "8.8.4.4", 0.5)
HIDDEN = Server("osl-a01.wlvpn.com", "osl", "NO", "Oslo", NOWHERE, 0.6)
FLEET = (PARIS, PARIS_2, PARIS_3, LYON, LONDON, HIDDEN)


def servers_collector(*countries: str) -> ServersCollector:
    return ServersCollector(ServersCollector.options_type(), countries)


async def accept(store: Store, clock: ManualClock, account: str, *servers: Server) -> None:
    reading = Reading(Servers(servers, ()), len(servers), clock.now(), clock.monotonic())
    await store.accept(account, "servers", reading)


async def store_of(clock: ManualClock, **accounts: Iterable[Server]) -> Store:
    """A store in which each account has a reading."""
    pairs = [(account, servers_collector()) for account in accounts]
    store = Store(pairs, clock=clock, emit=lambda _: None)
    for account, servers in accounts.items():
        await accept(store, clock, account, *servers)
    return store


def slot_of(*servers: Server) -> Slot:
    """What is known after one reading."""
    collector, content = servers_collector(), Servers(servers, ())
    tally = collector.count(collector.first_tally(), last=None, content=content)
    reading = Reading(content, len(servers), ManualClock().now(), 0.0)
    return Slot("default", collector, reading, False, tally, {}, {})  # noqa: FBT003 - not dropped


def found(slots: Iterable[Slot], query: str = "") -> list[dict[str, Any]]:
    pairs = parse_qsl(query, keep_blank_values=True)
    answer: list[dict[str, Any]] = json.loads(discover([*slots], read_query(pairs)))
    return answer


def names(slots: Iterable[Slot], query: str = "") -> list[str]:
    return [group["labels"]["__meta_wlvpn_fqdn"] for group in found(slots, query)]


def asked(store: Store, query: str = "") -> list[str]:
    """The FQDNs in an answer."""
    selected = select(store, read_query(parse_qsl(query, keep_blank_values=True)))
    return names(selected, query)


def refused(store: Store, query: str = "") -> tuple[int, str]:
    """The status and the line in place of an answer."""
    with pytest.raises(NoTargetsError) as caught:
        asked(store, query)
    return caught.value.status, str(caught.value)


# What is told


def test_a_target_has_its_labels() -> None:
    """All that the API tells of a server but for its capacity, which changes at each poll."""
    expected = {
        "__meta_wlvpn_account": "default",
        "__meta_wlvpn_fqdn": "lyo-a01.wlvpn.com",
        "__meta_wlvpn_pop": "lyo",
        "__meta_wlvpn_country": "FR",
        "__meta_wlvpn_city": "Lyon",
        "__meta_wlvpn_ip": "2a00:1450::8",
    }
    answer = found([slot_of(LYON, HIDDEN)], "port=443")
    assert [{"targets": ["[2a00:1450::8]:443"], "labels": expected}] == answer


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["8.8.4.4", "2a00:1450::8", "198.18.0.1"]),
        ("port=1", ["8.8.4.4:1", "[2a00:1450::8]:1", "198.18.0.1:1"]),
        ("port=65535", ["8.8.4.4:65535", "[2a00:1450::8]:65535", "198.18.0.1:65535"]),
    ],
    ids=["ICMP", "lowest port", "highest port"],
)
def test_a_target_is_an_address(query: str, expected: list[str]) -> None:
    """With the port if there is one; without it IPv6 stands as a pinger wants it."""
    answer = found([slot_of(PARIS, LYON, LONDON)], query)
    assert [[target] for target in expected] == [group["targets"] for group in answer]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("country=FR", {LYON, PARIS, PARIS_2, PARIS_3}),
        ("country=FR,UK", {LYON, PARIS, PARIS_2, PARIS_3, LONDON}),
        ("country=UK,%20FR", {LYON, PARIS, PARIS_2, PARIS_3, LONDON}),
        ("pop=lon,lyo", {LYON, LONDON}),
        ("country=FR&pop=lon,lyo", {LYON}),
        ("country=FR,NO", {LYON, PARIS, PARIS_2, PARIS_3}),
        ("account=default,default", {LYON, PARIS, PARIS_2, PARIS_3, LONDON}),
    ],
)
def test_servers_can_be_narrowed_down(query: str, expected: set[Server]) -> None:
    """Names of one parameter add up, parameters narrow down."""
    answer = names([slot_of(*FLEET)], query + "&max_per_pop=9")
    assert sorted(server.fqdn for server in expected) == answer


async def test_accounts_stand_side_by_side(clock: ManualClock) -> None:
    """By name, each with its own servers, also where both have the same one."""
    store = await store_of(clock, b=[PARIS, LONDON], a=[LYON, PARIS])
    both = [LYON.fqdn, PARIS.fqdn, LONDON.fqdn, PARIS.fqdn]
    assert both == asked(store)
    assert both == asked(store, "account=b,a")
    assert [LONDON.fqdn, PARIS.fqdn] == asked(store, "account=b")
    assert [LONDON.fqdn] == asked(store, "country=UK")


HOSTILE = {
    "markup": "<script>alert(1)</script>",
    "quotes": 'a"b\\c',
    "template": "${x}{{y}}",
    "another script": "пар-\U0001f3d9",
    "no name": "unknown",
    "an address": "10.0.0.1:80",
}


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_hostile_names_are_labels_and_nothing_else(name: str) -> None:
    """Whatever a server is called, its address alone is the target."""
    [group] = found([slot_of(Server(name, name, name, name, "8.8.8.8", 0.5))], "port=443")
    assert ["8.8.8.8:443"] == group["targets"]
    assert {name, "8.8.8.8", "default"} == set(group["labels"].values())


# Addresses

PUBLIC = [
    "8.8.8.8",
    "198.18.0.0",
    "198.19.255.255",
    "223.255.255.255",
    "2a00:1450::1",
    "2001:200::",
]
NEVER = {
    "the API's own example": NOWHERE,
    "this network": "0.1.2.3",
    "private 10": "10.255.255.255",
    "private 172": "172.31.255.255",
    "private 192": "192.168.0.1",
    "carrier": "100.127.255.255",
    "loopback": "127.9.9.9",
    "link-local": "169.254.169.254",
    "protocols": "192.0.0.9",
    "documentation": "192.0.2.1",
    "documentation 2": "198.51.100.1",
    "documentation 3": "203.0.113.1",
    "6to4 relay": "192.88.99.1",
    "multicast": "224.0.0.1",
    "reserved": "240.0.0.1",
    "broadcast": "255.255.255.255",
    "IPv6 nothing": "::",
    "IPv6 loopback": "::1",
    "IPv4 in IPv6": "::ffff:10.0.0.1",
    "public IPv4 in IPv6": "::ffff:8.8.8.8",
    "NAT64": "64:ff9b::10.0.0.1",
    "unique local": "fd00::1",
    "IPv6 link-local": "fe80::1",
    "IPv6 multicast": "ff02::1",
    "IPv6 documentation": "2001:db8::1",
    "IPv6 documentation 2": "3fff::1",
    "6to4": "2002:a00:1::",
    "Teredo": "2001::1",
    "unassigned": "4000::1",
    "scope": "2a00:1450::1%eth0",
    "a name": "localhost",
    "nothing": "unknown",
    "a port": "8.8.8.8:80",
    "brackets": "[2a00:1450::1]",
    "a path": "8.8.8.8/admin",
    "a network": "8.8.8.0/24",
    "a user": "user@8.8.8.8",
    "octal": "010.8.8.8",
    "short": "8.8",
    "a number": "134744072",
    "two": "8.8.8.8 8.8.4.4",
    "full width": "8.8.8.\uff18",
}


@pytest.mark.parametrize("ip", PUBLIC)
def test_a_public_address_is_probed(ip: str) -> None:
    """And those of the simulated fleet, so that the demo has targets."""
    assert ip == str(probe_address(ip))


@pytest.mark.parametrize("ip", NEVER.values(), ids=NEVER)
def test_no_other_address_is_ever_a_target(ip: str) -> None:
    """The API cannot make somebody's prober knock inside their own network."""
    assert None is probe_address(ip)
    inside = Server("par-a00.wlvpn.com", "par", "FR", "Paris", ip, 0.5)
    assert [PARIS.fqdn] == names([slot_of(inside, PARIS)], "max_per_pop=1")


@given(st.ip_addresses() | st.ip_addresses(v=4, network="10.0.0.0/7"))
def test_python_agrees_about_what_is_public(address: object) -> None:
    """What is let through is global by the standard library, but for the simulator's range."""
    read = probe_address(str(address))
    assert read is None or read.is_global or str(read).startswith(("198.18.", "198.19."))
    assert read is None or not (read.is_multicast or read.is_private != (not read.is_global))


# The choice


def fleet(fqdns: Iterable[str]) -> Slot:
    """Servers of one POP."""
    return slot_of(*(Server(name, "par", "FR", "Paris", "198.18.0.1", 0.5) for name in fqdns))


def test_two_of_each_pop_are_chosen() -> None:
    """By default; servers without an address to probe do not count."""
    hidden = [server._replace(fqdn=f"par-h{n}", ip=NOWHERE) for n, server in enumerate([PARIS] * 9)]
    answer = names([slot_of(*FLEET, *hidden)])
    assert 2 == len({PARIS.fqdn, PARIS_2.fqdn, PARIS_3.fqdn}.intersection(answer))
    assert {LYON.fqdn, LONDON.fqdn} == {name for name in answer if "par" not in name}


def test_the_choice_is_the_same_in_every_process() -> None:
    """A restart, another replica or another version moves no target."""
    expected = ["par-a03.wlvpn.com", "par-a09.wlvpn.com"]
    assert expected == names([fleet(f"par-a{n:02}.wlvpn.com" for n in range(1, 10))])


@given(st.sets(NAMES, min_size=1, max_size=20), NAMES, st.integers(1, 6))
@example({"a", "b", "c"}, "d", 2)
def test_a_server_that_comes_or_goes_moves_few_others(
    before: set[str], other: str, most: int
) -> None:
    """At most one makes room for it, or takes its place; all others stay."""
    before.discard(other)
    if not before:
        return
    without = set(names([fleet(before)], f"max_per_pop={most}"))
    with_it = set(names([fleet({*before, other})], f"max_per_pop={most}"))
    assert min(most, len(before)) == len(without)
    assert min(most, len(before) + 1) == len(with_it)
    assert with_it - without <= {other}
    assert len(without - with_it) <= 1


@given(st.permutations(FLEET), st.permutations(["country=FR,UK", "port=1", "max_per_pop=1"]))
def test_the_order_is_always_the_same(servers: list[Server], query: list[str]) -> None:
    """By FQDN, however the API and the query are ordered."""
    expected = discover(
        [slot_of(*FLEET)], read_query(parse_qsl("country=UK,FR&port=1&max_per_pop=1"))
    )
    assert expected == discover([slot_of(*servers)], read_query(parse_qsl("&".join(query))))


# What is refused

NUMBER = "write a number of 1 to"
MALFORMED = {
    "port=": f"port: it is empty: {NUMBER} 65535, such as port=443",
    "port=0": f"port: 0 will not do: {NUMBER} 65535, such as port=443",
    "port=65536": f"port: 65536 will not do: {NUMBER} 65535, such as port=443",
    "port=-1": f"port: -1 will not do: {NUMBER} 65535, such as port=443",
    "port=%2B443": f"port: +443 will not do: {NUMBER} 65535, such as port=443",
    "port=4_43": f"port: 4_43 will not do: {NUMBER} 65535, such as port=443",
    "port=%D9%A3": f"port: ٣ will not do: {NUMBER} 65535, such as port=443",
    "port=https": f"port: https will not do: {NUMBER} 65535, such as port=443",
    "port=443,80": f"port: 443,80 will not do: {NUMBER} 65535, such as port=443",
    "max_per_pop=0": f"max_per_pop: 0 will not do: {NUMBER} 999999, such as max_per_pop=2",
    "max_per_pop=1.5": f"max_per_pop: 1.5 will not do: {NUMBER} 999999, such as max_per_pop=2",
    "port=443&port=80": "port: it stands twice: keep one",
    "country=FR&country=UK": "country: it stands twice: keep one, with commas: country=A,B",
    "country=": "country: a name is empty: write one or more with commas, or leave it out",
    "pop=par,,lon": "pop: a name is empty: write one or more with commas, or leave it out",
    "account=%20": "account: a name is empty: write one or more with commas, or leave it out",
    "countries=FR": "countries: not a parameter: did you mean country?",
    "PORT=443": "PORT: not a parameter: did you mean port?",
    "=1": "?: not a parameter: known are account, country, max_per_pop, pop, port",
    "x%0Ay=1": "xy: not a parameter: known are account, country, max_per_pop, pop, port",
    "account=other": "account: other is not known: known are default",
    "account=Default": "account: Default is not known: did you mean default?",
    "account=defualt": "account: defualt is not known: did you mean default?",
    "country=fr": "country: fr is not known: did you mean FR?",
    "country=FR,GB": "country: GB is not known: known are FR, NO, UK",
    "country=G%0AB": "country: GB is not known: known are FR, NO, UK",
    "pop=lonn": "pop: lonn is not known: did you mean lon?",
    "pop=xyz": "pop: xyz is not known: known are lon, lyo, osl, par",
}


@pytest.mark.parametrize(("query", "expected"), MALFORMED.items(), ids=MALFORMED)
async def test_a_wrong_query_is_told_in_one_line(
    query: str, expected: str, clock: ManualClock
) -> None:
    """It names the parameter and the mend: a typo must not look like a POP without servers."""
    store = await store_of(clock, default=FLEET)
    assert (400, expected) == refused(store, query)


async def test_a_message_stays_short(clock: ManualClock) -> None:
    """Neither a long value nor thousands of names make it long."""
    many = [PARIS._replace(fqdn=f"p{n:04}-a01", pop=f"p{n:04}") for n in range(2000)]
    store = await store_of(clock, default=many)
    _, told = refused(store, "pop=" + "x" * 8000)
    assert told.endswith("p0098, p0099, ...")
    assert len(told) < 1000


@pytest.mark.parametrize(
    ("pops", "mend"), [(1000, "did you mean p000?"), (1001, "known are p000, p001, ")]
)
async def test_a_typo_costs_little(pops: int, mend: str, clock: ManualClock) -> None:
    """A name is compared with a thousand others at the most: with 20,000 it takes a minute."""
    many = [PARIS._replace(fqdn=f"p{n:03}-a01", pop=f"p{n:03}") for n in range(pops)]
    _, told = refused(await store_of(clock, default=many), "pop=p000x")
    assert told.startswith(f"pop: p000x is not known: {mend}")


async def test_an_account_that_does_not_poll_servers_is_refused(clock: ManualClock) -> None:
    """By name, with the mend; without a name it is left out, and if nobody does, that is told."""
    usage: Collector[object, object] = UsageCollector(UsageCollector.options_type())  # type: ignore[assignment] # any
    store = Store([("a", usage), ("b", servers_collector())], clock=clock, emit=lambda _: None)
    await accept(store, clock, "b", PARIS)
    mend = "set collectors.servers.enabled=true"
    expected = f"account: a does not poll the servers: {mend}, or leave it out"
    assert (400, expected) == refused(store, "account=a,b")
    assert [PARIS.fqdn] == asked(store)
    store = Store([("a", usage)], clock=clock, emit=lambda _: None)
    assert (400, f"account: none polls the servers: {mend}") == refused(store)


# What has vanished, or is not known now


async def test_a_vanished_country_or_pop_does_not_hold_up_the_others(clock: ManualClock) -> None:
    """It was listed since the start, so it is no typo: the others are told without it."""
    store = await store_of(clock, default=FLEET)
    await accept(store, clock, "default", PARIS, HIDDEN)
    assert [PARIS.fqdn] == asked(store, "country=UK,FR")
    assert [PARIS.fqdn] == asked(store, "pop=par,lon")


async def test_a_configured_country_is_known_without_servers(clock: ManualClock) -> None:
    """It may get its first one at any time."""
    pairs = [("default", servers_collector("FR", "IS"))]
    store = Store(pairs, clock=clock, emit=lambda _: None)
    await accept(store, clock, "default", PARIS)
    assert [PARIS.fqdn] == asked(store, "country=FR,IS")


@pytest.mark.parametrize(
    ("servers", "query"),
    [
        ((PARIS,), "country=UK"),
        ((PARIS,), "pop=lon"),
        ((), ""),
        ((PARIS, LONDON), "pop=lon&country=FR"),
    ],
    ids=["country", "POP", "all", "contradiction"],
)
async def test_an_empty_list_is_never_told(
    servers: tuple[Server, ...], query: str, clock: ManualClock
) -> None:
    """Prometheus would forget its targets, and with them whoever watches them."""
    store = await store_of(clock, default=FLEET)
    await accept(store, clock, "default", *servers)
    told = "no such server is listed at present: if it is gone for good, ask for others"
    assert (503, told) == refused(store, query)


async def test_servers_without_an_address_are_no_targets(clock: ManualClock) -> None:
    """As in the API's own example, where none has one: a line says so, with one of them."""
    store = await store_of(clock, default=[HIDDEN, PARIS._replace(ip="10.0.0.1")])
    none = "and none has a public address to probe"
    expected = f"1 such server is listed, {none} ({HIDDEN.fqdn} has {NOWHERE})"
    assert (503, expected) == refused(store, "country=NO")
    expected = f"2 such servers are listed, {none} ({HIDDEN.fqdn} has {NOWHERE})"
    assert (503, expected) == refused(store)


async def test_an_old_reading_is_no_list(clock: ManualClock) -> None:
    """Before the first poll, once it is stale, once it is dropped: 503, and why."""
    store = Store([("default", servers_collector())], clock=clock, emit=lambda _: None)
    assert (503, "account default: no reading of the servers yet: see / for why") == refused(store)
    assert 503 == refused(store, "country=FR")[0]
    await accept(store, clock, "default", PARIS)
    clock.advance(179)
    assert [PARIS.fqdn] == asked(store)
    for seconds, age in ((1, "3m"), (600, "13m")):
        clock.advance(seconds)
        told = f"the last reading of the servers is {age} old, too old to rely on"
        assert (503, f"account default: {told}: see / for why") == refused(store)
    await accept(store, clock, "default", PARIS)
    assert [PARIS.fqdn] == asked(store)


async def test_one_stale_account_holds_back_what_it_is_part_of(clock: ManualClock) -> None:
    """Half a list would end the targets of the other half; who asks for the fresh one gets it."""
    store = await store_of(clock, a=[PARIS], b=[LONDON])
    clock.advance(200)
    await accept(store, clock, "a", PARIS)
    assert 503 == refused(store)[0]
    assert refused(store, "account=a,b") == refused(store, "account=b")
    assert [PARIS.fqdn] == asked(store, "account=a")


# As it is served


@asynccontextmanager
async def served(store: Store) -> AsyncIterator[str]:
    """Gives the URL."""
    clock = SystemClock()
    web = Web(
        store=store,
        telemetry=Telemetry(store, clock=clock),
        status=Status(store, clock=clock, telemetry_path="/metrics"),
        is_alive=lambda: True,
        telemetry_path="/metrics",
    )
    async with listen(web.app(), ["127.0.0.1:0"], clock=clock) as [url]:
        yield f"{url}/sd/servers"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("query", "status", "content_type", "body"),
    [
        ("?port=443", 200, "application/json; charset=utf-8", '[{"targets":["198.18.0.1:443"],'),
        ("?port=x", 400, "text/plain; charset=utf-8", f"port: x will not do: {NUMBER} 65535, "),
        ("?port=%ff&x", 400, "text/plain; charset=utf-8", "x: not a parameter: "),
        ("?country=UK", 503, "text/plain; charset=utf-8", "no such server is listed at present: "),
    ],
)
async def test_prometheus_understands_the_answer(
    method: str, query: str, status: int, content_type: str, body: str, clock: ManualClock
) -> None:
    """Status and type are what it goes by; nothing between may keep the list for later."""
    store = await store_of(clock, default=[PARIS, LONDON])
    await accept(store, clock, "default", PARIS)
    async with (
        served(store) as url,
        aiohttp.ClientSession() as session,
        session.request(method, url + query) as response,
    ):
        assert (status, content_type) == (response.status, response.headers["Content-Type"])
        assert "no-store" == response.headers["Cache-Control"]
        text = await response.text()
    assert int(response.headers["Content-Length"]) > len(text) * (method == "HEAD")
    assert text == "" if method == "HEAD" else text.startswith(body)
    assert ("" if method == "HEAD" else "\n") == text[-1:]


async def test_a_long_list_holds_up_nobody(clock: ManualClock) -> None:
    """The loop goes on while thousands of targets are written."""
    many = [PARIS._replace(fqdn=f"p{n:04}-a01", pop=f"p{n:04}") for n in range(3000)]
    store = await store_of(clock, default=many)
    held = []

    async def ask(session: aiohttp.ClientSession, url: str) -> None:
        async with session.get(url) as response:
            assert 200 == response.status

    async with served(store) as url, aiohttp.ClientSession() as session:
        for _ in range(7):
            started = seen = time.perf_counter()
            asking = asyncio.gather(ask(session, url), ask(session, url))
            longest = 0.0
            while not asking.done():
                await asyncio.sleep(0)
                longest, seen = max(longest, time.perf_counter() - seen), time.perf_counter()
            held.append(longest / (seen - started))
    # Seen: 0.1, and 0.9 without a thread. A busy machine may hold us, but hardly each time.
    assert min(held) < 0.5


async def test_an_outage_is_told_until_it_is_over(
    configure: Configure, simulator: Simulator
) -> None:
    """A key that is refused from the start: 503, not an empty list."""
    simulator.rules = (Rule("servers", "status", "401"),)
    async with (
        Service(configure()).serving() as [url],
        aiohttp.ClientSession() as session,
        asyncio.timeout(20),
    ):
        while not simulator.requests:  # noqa: ASYNC110 - it arrives by the network
            await asyncio.sleep(0.01)
        async with session.get(f"{url}/sd/servers") as response:
            assert 503 == response.status
            assert "account default: no reading of the servers yet" in await response.text()
