"""The servers enabled for the account, and how full each is (`GET /v2/servers`).

The countries to ask for go to the API in one request. Country codes are passed on as they are: the
platform says `UK` where ISO says GB.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from operator import attrgetter
from sys import intern
from typing import NamedTuple

from exporter.collectors.base import Answer, Collector, Get, MaxAge, sift
from exporter.fields import mapping, member, number, text
from exporter.metric import Metric, Table

PATH = "/v2/servers"
FIELDS = frozenset({"country", "city", "capacity", "ip"})

MAX_KNOWN_POPS = 10_000
"""So many POPs are remembered; an API that names more of them makes up names."""

_POP = re.compile(r"[^-.]+")


class Server(NamedTuple):
    """One server; `capacity_used_ratio` is 0 for lightly used, 1 for fully utilised."""

    fqdn: str
    pop: str
    country: str
    city: str
    ip: str
    capacity_used_ratio: float

    @classmethod
    def from_json(cls, fqdn: str, members: Mapping[str, object]) -> "Server":
        """Reads one member of the API's `server` map.

        Raises:
            SchemaError: a member is wrong, or the capacity is absent.
        """
        fqdn = text(fqdn, "fqdn")
        found = _POP.match(fqdn)
        # Thousands of servers share a few names: each name is kept once.
        pop = intern(found[0] if found else "unknown")
        country = intern(text(members.get("country"), "country"))
        city = intern(text(members.get("city"), "city"))
        ip = text(members.get("ip"), "ip")
        return cls(fqdn, pop, country, city, ip, _ratio(members))


class Country(NamedTuple):
    """A country and how many of its servers are meant."""

    country: str
    servers: int


@dataclass(frozen=True, slots=True)
class Servers:
    """The content of a reading.

    Attributes:
        servers: sorted by FQDN: the order decides how well pages compress.
        countries: those that were asked for.
        unreadable: FQDNs that are listed with a bad record: not served, not gone either.
    """

    servers: tuple[Server, ...]
    countries: tuple[str, ...]
    unreadable: frozenset[str] = frozenset()

    def by_fqdn(self) -> dict[str, str]:
        """The country of each server."""
        return {server.fqdn: server.country for server in self.servers}

    def by_country(self) -> Iterable[Country]:
        """Counts servers; a configured country without any counts 0."""
        counts = dict.fromkeys(self.countries, 0) | Counter(s.country for s in self.servers)
        return [Country(*pair) for pair in sorted(counts.items())]


@dataclass(frozen=True, slots=True)
class Turnover:
    """The tally.

    Attributes:
        added: servers that appeared since the start, by country.
        removed: servers that vanished since the start, by country.
        unreadable: the country of each server that is listed, but with a bad record by now.
        pops: those that had a server since the start.
    """

    added: Mapping[str, int]
    removed: Mapping[str, int]
    unreadable: Mapping[str, str]
    pops: frozenset[str] = frozenset()


class ServersCollector(Collector[Servers, Turnover]):
    """See the module."""

    name = "servers"
    help = "The servers enabled for the account, and how full each is."
    stale = MaxAge(intervals=3, floor=timedelta(seconds=180))
    drop = MaxAge(intervals=3, floor=timedelta(seconds=600))
    content_tables = (
        Table(
            lambda servers: servers.servers,
            (
                Metric(
                    "wlvpn_server_capacity_used_ratio",
                    "gauge",
                    "Used share of the server's capacity as polled from /v2/servers, "
                    "0 lightly used, 1 fully utilised.",
                    ("account", "fqdn", "pop", "country", "city"),
                    attrgetter("capacity_used_ratio"),
                ),
                Metric(
                    "wlvpn_server_info",
                    "gauge",
                    "A server listed by the polled /v2/servers, always 1.",
                    ("account", "fqdn", "pop", "country", "city", "ip"),
                    lambda _: 1,
                ),
            ),
        ),
        Table(
            Servers.by_country,
            (
                Metric(
                    "wlvpn_servers",
                    "gauge",
                    "Servers listed by the polled /v2/servers, "
                    "0 for a configured country that has none.",
                    ("account", "country"),
                    lambda country: country.servers,
                ),
            ),
        ),
    )
    tally_tables = (
        Table(
            lambda turnover: [Country(*pair) for pair in sorted(turnover.added.items())],
            (
                Metric(
                    "wlvpn_servers_added_total",
                    "counter",
                    "Servers that a poll of /v2/servers listed and the accepted one before did "
                    "not.",
                    ("account", "country"),
                    lambda country: country.servers,
                ),
            ),
        ),
        Table(
            lambda turnover: [Country(*pair) for pair in sorted(turnover.removed.items())],
            (
                Metric(
                    "wlvpn_servers_removed_total",
                    "counter",
                    "Servers that a poll of /v2/servers no longer listed.",
                    ("account", "country"),
                    lambda country: country.servers,
                ),
            ),
        ),
    )

    async def fetch(self, get: Get, *, now: datetime, last: Servers | None) -> Answer[Servers]:
        """Asks for all configured countries in one request."""
        del now
        query = {"country": ",".join(self.countries)} if self.countries else {}
        answer = await get(PATH, query)
        return await asyncio.to_thread(self._read, answer, last)

    def _read(self, answer: Mapping[str, object], last: Servers | None) -> Answer[Servers]:
        listed = mapping(member(answer, "server"), "server")
        known = {server.fqdn: server for server in last.servers} if last else {}
        sifted = sift(
            # Taken out one by one, each gives room for the next: what JSON makes is bulky.
            ((fqdn, listed.pop(fqdn)) for fqdn in list(listed)),
            partial(_read, known),
            key=attrgetter("fqdn"),
            known_fields=FIELDS,
            max_records=self.options.max_records,
        )
        return Answer(
            content=Servers(
                sifted.records,
                self.countries,
                unreadable=frozenset(text(fqdn, "fqdn") for fqdn in sifted.bad),
            ),
            records=len(sifted.records),
            rejected=sifted.rejected,
            unknown_fields=sifted.unknown_fields,
        )

    def first_tally(self) -> Turnover:
        """Zero for the configured countries; others begin when they are first seen."""
        zero = dict.fromkeys(self.countries, 0)
        return Turnover(added=zero, removed=zero, unreadable={})

    def count(self, tally: Turnover, *, last: Servers | None, content: Servers) -> Turnover:
        """Compares with what was listed before; the first reading adds nothing."""
        readable = content.by_fqdn()
        # One that is new and unreadable is listed once it can be read, but for the first reading.
        if last:
            before = {**tally.unreadable, **last.by_fqdn()}
        else:
            before = dict.fromkeys(content.unreadable, "unknown") | readable
        unreadable = {fqdn: before[fqdn] for fqdn in before.keys() & content.unreadable}
        listed = {**unreadable, **readable}
        if listed == before and last:
            return replace(tally, unreadable=unreadable)
        pops = frozenset(server.pop for server in content.servers)
        known = pops | tally.pops
        return Turnover(
            added=_add(tally.added, listed, without=before),
            removed=_add(tally.removed, before, without=listed),
            unreadable=unreadable,
            pops=known if len(known) <= MAX_KNOWN_POPS else pops,
        )


def _read(known: Mapping[str, Server], fqdn: str, members: Mapping[str, object]) -> Server:
    """Reads a record as `Server.from_json` does; most tell nothing new but the capacity."""
    server = known.get(fqdn)
    if server is None:
        return Server.from_json(fqdn, members)
    name, pop, country, city, ip, last = server
    if (members.get("country"), members.get("city"), members.get("ip")) != (country, city, ip):
        return Server.from_json(fqdn, members)
    ratio = _ratio(members)
    return server if ratio == last else Server(name, pop, country, city, ip, ratio)


def _ratio(members: Mapping[str, object]) -> float:
    return number(member(members, "capacity"), "capacity", low=0, high=100) / 100


def _add(
    total: Mapping[str, int], listed: Mapping[str, str], *, without: Mapping[str, str]
) -> Mapping[str, int]:
    """Adds the servers that one list has and the other has not; every country has its count."""
    counted = Counter(listed[fqdn] for fqdn in listed.keys() - without.keys())
    countries = dict.fromkeys(chain(total, listed.values(), without.values()))
    return {country: total.get(country, 0) + counted[country] for country in countries}
