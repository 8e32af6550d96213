"""The VPN servers as targets to probe, in the format of Prometheus' HTTP service discovery.

Source of the format: Prometheus' documentation, "Writing HTTP service discovery". An answer has a
target, or it is an error: Prometheus keeps the list that it has on an error, and forgets it on an
empty one (decision 16).
"""

import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from itertools import chain, islice
from typing import ClassVar

from exporter.collectors.servers import Server, ServersCollector
from exporter.duration import format_age
from exporter.fields import clean
from exporter.snapshot import Slot, Store
from exporter.source import nearest

MAX_PER_POP = 2

_LISTS = ("account", "country", "pop")
_PARAMETERS = (*_LISTS, "port", "max_per_pop")
_MANY = 100  # names that a message lists
_COMPARED = 1_000  # names that one is compared with: 20,000 long ones take half a minute
_JSON = json.JSONEncoder(separators=(",", ":"))
_NUMBER = re.compile(r"[0-9]{1,6}", re.ASCII)


def _masks(*networks: str) -> list[tuple[int, int]]:
    found = map(ip_network, networks)
    return [(int(network.netmask), int(network.network_address)) for network in found]


# What is never a target: an answer of the API must not lead a prober into its own network. By the
# registries of IANA rather than by `is_global`, which has changed with versions of Python.
_NEVER = {
    # 198.18.0.0/15 (RFC 2544, benchmarks) is missing on purpose: the simulated servers live there.
    4: _masks(
        "0.0.0.0/8",  # nothing: the API's own example lists servers like this
        "10.0.0.0/8",
        "100.64.0.0/10",  # behind a carrier's NAT
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local, and where clouds tell their secrets
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/3",  # multicast, reserved, broadcast
    ),
    6: _masks(
        *("::/3", "4000::/2", "8000::/1"),  # all but 2000::/3: only this is public
        "2001::/23",  # Teredo and others that wrap an address
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4 wraps an IPv4 address
        "3fff::/20",  # documentation
    ),
}

Address = IPv4Address | IPv6Address


class NoTargetsError(Exception):
    """There is no list of targets; the text is one line for people."""

    status: ClassVar[int]


class QueryError(NoTargetsError):
    """What was asked for cannot be; asking again does not help."""

    status = 400

    def __init__(self, parameter: str, told: str) -> None:
        super().__init__(f"{parameter}: {told}")


class NotNowError(NoTargetsError):
    """What was asked for is not known at present."""

    status = 503


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which servers are asked for.

    Attributes:
        accounts, countries, pops: their names; none means all.
        port: where to probe; None for ICMP, which has none.
        max_per_pop: how many servers of each POP, and of each account.
    """

    accounts: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    pops: tuple[str, ...] = ()
    port: int | None = None
    max_per_pop: int = MAX_PER_POP


def read_query(pairs: Iterable[tuple[str, str]]) -> Query:
    """Reads the parameters of a URL.

    Raises:
        QueryError: one is unknown, stands twice, or cannot be read.
    """
    found: dict[str, str] = {}
    for name, value in pairs:
        if name not in _PARAMETERS:
            raise QueryError(clean(name) or "?", f"not a parameter: {_mend(name, _PARAMETERS)}")
        if name in found:
            commas = f", with commas: {name}=A,B" * (name in _LISTS)
            raise QueryError(name, f"it stands twice: keep one{commas}")
        found[name] = value
    return Query(
        accounts=_read_names("account", found),
        countries=_read_names("country", found),
        pops=_read_names("pop", found),
        port=_read_number("port", found["port"], 443, 65_535) if "port" in found else None,
        max_per_pop=_read_number(
            "max_per_pop", found.get("max_per_pop", str(MAX_PER_POP)), MAX_PER_POP, 999_999
        ),
    )


def _read_names(parameter: str, found: Mapping[str, str]) -> tuple[str, ...]:
    if parameter not in found:
        return ()
    names = tuple(name.strip() for name in found[parameter].split(","))
    if not all(names):
        raise QueryError(
            parameter, "a name is empty: write one or more with commas, or leave it out"
        )
    return names


def _read_number(parameter: str, text: str, example: int, most: int) -> int:
    number = int(text) if _NUMBER.fullmatch(text) else 0
    if not 1 <= number <= most:
        told = f"{clean(text)} will not do" if clean(text) else "it is empty"
        mend = f"write a number of 1 to {most}, such as {parameter}={example}"
        raise QueryError(parameter, f"{told}: {mend}")
    return number


def select(store: Store, query: Query) -> tuple[Slot, ...]:
    """Gives what is known of the accounts that are asked for, by name.

    Raises:
        QueryError: there is no such account, or it does not poll the servers.
        NotNowError: one of them has no reading that may be relied on.
    """
    slots = store.slots()
    polling = {slot.account: slot for slot in slots if isinstance(slot.collector, ServersCollector)}
    idle = {slot.account for slot in slots} - polling.keys()
    mend = "set collectors.servers.enabled=true, or leave it out"
    for name in query.accounts:
        if name in idle:
            raise QueryError("account", f"{name} does not poll the servers: {mend}")
    _check_known("account", query.accounts, polling)
    if not polling:
        raise QueryError("account", "none polls the servers: set collectors.servers.enabled=true")
    chosen = sorted({*query.accounts} or polling)
    for account in chosen:
        if store.is_stale(account, ServersCollector.name):
            raise NotNowError(_why_stale(store, account))
    return tuple(polling[account] for account in chosen)


def _why_stale(store: Store, account: str) -> str:
    age = store.age_seconds(account, ServersCollector.name)
    if age is None:
        return f"account {account}: no reading of the servers yet: see / for why"
    told = f"the last reading of the servers is {format_age(age)} old, too old to rely on"
    return f"account {account}: {told}: see / for why"


def discover(slots: Sequence[Slot], query: Query) -> bytes:
    """Writes the list of targets as JSON, by account and FQDN.

    Of 10,000 servers that takes 11 ms, or 120 where all are wanted: it is for a thread.

    Args:
        slots: what is known of the accounts, as `select` gives it.
        query: which of their servers.

    Raises:
        QueryError: no server of such a country or POP was listed since the start.
        NotNowError: none is listed at present, or none has an address that may be probed.
    """
    tallies = [slot.tally for slot in slots]
    # One that was listed before may come back, and must not hold up the others.
    _check_known("country", query.countries, {*chain(*(tally.added for tally in tallies))})
    _check_known("pop", query.pops, {*chain(*(tally.pops for tally in tallies))})
    listed = {s.account: _filter(s.reading.content.servers, query) for s in slots if s.reading}
    groups = [
        _group(account, server, address, query.port)
        for account, servers in listed.items()
        for server, address in _choose(servers, query.max_per_pop)
    ]
    if not groups:
        raise NotNowError(_why_none([*chain(*listed.values())]))
    # One by one: within a call into C nobody else gets a turn, and of many that would be long.
    lines = ",\n".join(map(_JSON.encode, groups))
    return f"[{lines}]\n".encode()


def _check_known(parameter: str, names: Iterable[str], known: Collection[str]) -> None:
    unknown = next((name for name in names if name not in known), None)
    if unknown is None or not known:
        return
    raise QueryError(parameter, f"{clean(unknown)} is not known: {_mend(unknown, known)}")


def _mend(name: str, known: Collection[str]) -> str:
    alike = [other for other in known if other.casefold() == name.casefold()]
    if alike:
        return f"did you mean {min(alike)}?"
    listed = ", ".join(sorted(known)[:_MANY]) + ", ..." * (len(known) > _MANY)
    compared = known if len(known) <= _COMPARED else ()
    return nearest(clean(name), compared, f"known are {listed}")


def _filter(servers: Iterable[Server], query: Query) -> list[Server]:
    countries, pops = frozenset(query.countries), frozenset(query.pops)
    return [
        server
        for server in servers
        if (not countries or server.country in countries) and (not pops or server.pop in pops)
    ]


def _choose(servers: Iterable[Server], most: int) -> list[tuple[Server, Address]]:
    """Some of each POP, by FQDN: those whose names' hashes are lowest.

    So the choice survives restarts, and a server that comes or goes moves at most one other.
    """
    pops = defaultdict(list)
    for server in servers:
        pops[server.pop].append(server)
    chosen = chain(*(islice(_usable(sorted(found, key=_rank)), most) for found in pops.values()))
    return sorted(chosen, key=lambda pair: pair[0].fqdn)


def _rank(server: Server) -> tuple[bytes, str]:
    # Python's own hash differs in each process.
    return blake2b(server.fqdn.encode(), digest_size=8).digest(), server.fqdn


def _usable(servers: Iterable[Server]) -> Iterator[tuple[Server, Address]]:
    for server in servers:
        if address := probe_address(server.ip):
            yield server, address


def probe_address(ip: str) -> Address | None:
    """Reads an address that may be probed; None for any other text."""
    try:
        address = ip_address(ip)
    except ValueError:
        return None
    if address.version == 6 and address.scope_id:  # it means an interface of the prober
        return None
    number = int(address)
    is_never = any(number & mask == network for mask, network in _NEVER[address.version])
    return None if is_never else address


def _group(account: str, server: Server, address: Address, port: int | None) -> dict[str, object]:
    """One target with its labels; what is used of a server is none, or each poll made new ones."""
    host = f"[{address}]" if port and address.version == 6 else str(address)
    labels = {
        "account": account,
        "fqdn": server.fqdn,
        "pop": server.pop,
        "country": server.country,
        "city": server.city,
        "ip": server.ip,
    }
    return {
        "targets": [f"{host}:{port}" if port else host],
        "labels": {f"__meta_wlvpn_{name}": value for name, value in labels.items()},
    }


def _why_none(listed: Sequence[Server]) -> str:
    if not listed:
        return "no such server is listed at present: if it is gone for good, ask for others"
    first = listed[0]
    told = "server is listed" if len(listed) == 1 else "servers are listed"
    return (
        f"{len(listed)} such {told}, and none has a public address to probe "
        f"({first.fqdn} has {first.ip})"
    )
