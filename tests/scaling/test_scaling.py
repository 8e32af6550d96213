"""Two scrapers and a store tell what one Prometheus tells: the example of docs/scaling.md, running.

All its times are sixty times shorter: a scrape each half second, rules each second. The exporter
polls each 15 seconds, which is as often as it can.
"""

import asyncio
import math
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from exporter.collectors import ALL
from exporter.simulator import Clock, Simulator, World
from tests.alerts.stack import lay_out_rules, saturating, until
from tests.process import exporter, free_port
from tests.scaling.answer import Answer, ask, ask_each, count, differences, federated
from tests.scaling.board import BOARDS, queries
from tests.scaling.example import FASTER
from tests.scaling.parts import Parts, parts

COUNTRY = "DE"  # of four servers: with ten there would be another alert, half a minute later
STORES = ("paired", "collected")
RECORDED = '{__name__=~"wlvpn:.*"}'
KNOWN = f"last_over_time({RECORDED}[5m])"
SCRAPED = '{job="wlvpn", __name__!~"(process|python|scrape|wlvpn_event_loop)_.+"}'
"""Not what differs from scrape to scrape, nor what a scraper tells of itself."""
ANYTHING = '{job=~".+"}'
FIRING = 'ALERTS{alertstate="firing"}'

LAST_POLL = "wlvpn_last_success_timestamp_seconds"
SCRAPES = 'count_over_time(wlvpn_up{collector="servers"}[1s])'
COUNTS = (
    'count_over_time(wlvpn_up{collector="servers"}[10s])',
    "count_over_time(wlvpn:servers:count[10s])",
)

# What uses time() is a second older with vmalert.
EXACT = 1e-5
# Growth in a window of 20 s with 40 samples in it: Prometheus draws what is between the first and
# the last sample out to the ends of the window, VictoriaMetrics counts from the sample before it.
ROUGH = 0.05
GROWTH = re.compile("rate|increase")
# What changes within seconds changes by steps, and one second is on the other side of one: these
# have to be there, whatever they are.
CHANGE = re.compile("predict_linear|(rate|source_changed).+offset|source_refresh")
EMPTY = re.compile("> 0|_tls_|_(added|removed)_total|week_over_week|month_quota")
"""In queries for what is not here: failures, TLS, servers that come and go, a second week."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What each told about the same moments."""

    answers: dict[tuple[str, str], Answer]
    """At a quiet moment, by who was asked and the query."""
    boards: dict[tuple[str, str], Answer]
    """The same of the dashboards' queries."""
    samples: dict[tuple[str, str], Answer]
    """How many there were of a series just before the first scrapers were killed."""
    written: dict[str, float]
    """How many samples were written until then."""
    afterwards: dict[str, list[float]]
    """How many scrapes there were in each second afterwards."""
    federated: int
    """Recorded series that the store of the pair offers to others."""
    pages: list[dict[str, Any]]
    """What on-call was told."""


def shorter_windows(expr: str) -> str:
    """No window is longer than this test: 20 minutes are 20 seconds here."""
    return re.sub(r"\[(?:65m|1h|2h|6h|1d)\]", "[20m]", expr)


async def watch(folder: Path) -> Seen:
    """Runs everything, kills some of it on the way, and asks at a quiet moment."""
    rules = folder / "rules"
    lay_out_rules(folder, FASTER, shorter_windows)
    port = free_port()
    every = {f"WLVPN_COLLECTORS__{kind.name.upper()}__INTERVAL": "15s" for kind in ALL}
    every |= {f"WLVPN_COLLECTORS__{kind.name.upper()}__ENABLED": "true" for kind in ALL}
    async with Simulator(World(servers=100), Clock(speed=FASTER)) as simulator:
        simulator.rewrite = saturating(COUNTRY)
        async with (
            exporter(simulator, port, **every),
            parts(folder, f"127.0.0.1:{port}", rules) as running,
            aiohttp.ClientSession() as session,
        ):
            return await _watch(running, session, time.time())


async def _watch(running: Parts, session: aiohttp.ClientSession, started: float) -> Seen:
    stores = {name: getattr(running, name) for name in STORES}
    compared = {"alone": running.alone, **stores}
    everybody = {"replica": running.replica, "world": running.world, **compared}
    await _reach(started + 18)
    written = {
        name: await count(session, stores[name], "vm_rows_inserted_total") for name in STORES
    }
    written["alone"] = await count(session, running.alone, "prometheus_tsdb_head_samples_appended")
    killed = time.time()
    for process in running.mortal:
        process.kill()
    quiet = await _quiet_moment(running, session, after=started + 34)
    await _reach(quiet + 6)
    asked = dict.fromkeys(query for board in BOARDS for query in queries(board))
    return Seen(
        answers=await _ask(session, everybody, (RECORDED, KNOWN, SCRAPED, FIRING, ANYTHING), quiet),
        boards=await _ask(session, compared, asked, quiet),
        samples=await _ask(session, compared, COUNTS, killed - 1),
        written=written,
        afterwards={
            name: await ask_each(session, url, SCRAPES, killed - 2, killed + 12)
            for name, url in stores.items()
        },
        federated=await federated(session, running.paired, RECORDED),
        pages=running.on_call.told["pager"],
    )


async def _ask(
    session: aiohttp.ClientSession, urls: Mapping[str, str], asked: Iterable[str], at: float
) -> dict[tuple[str, str], Answer]:
    return {
        (name, query): await ask(session, url, query, at)
        for query in asked
        for name, url in urls.items()
    }


async def _reach(at: float) -> None:
    await asyncio.sleep(max(0, at - time.time()))


async def _quiet_moment(running: Parts, session: aiohttp.ClientSession, after: float) -> float:
    """Ten seconds after a poll: nor is there one near the ends of windows, before or after it."""
    await _reach(after)
    found = 0.0

    async def is_quiet() -> bool:
        nonlocal found
        found = time.time()
        polled = await ask(session, running.alone, LAST_POLL, found)
        return 9.5 < found - max(polled.values()) < 10.5

    await until(is_quiet, 30, "a moment between two polls")
    return found


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return asyncio.run(watch(tmp_path_factory.mktemp("scaling")))


@pytest.mark.parametrize(
    "query", [RECORDED, SCRAPED, FIRING], ids=["recorded", "scraped", "firing"]
)
@pytest.mark.parametrize("name", ["replica", *STORES])
def test_the_answers_are_those_of_one_prometheus(seen: Seen, name: str, query: str) -> None:
    """A replica and both kinds of stores have the same series, and the same values."""
    expected = seen.answers["alone", query]
    assert expected
    assert [] == by_name(expected, seen.answers[name, query])


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("name", STORES)
def test_dashboards_show_what_they_show_of_one_prometheus(
    seen: Seen, name: str, board: str
) -> None:
    """Each query of a dashboard has the same answer from a store."""
    found = {}
    for query in queries(board):
        expected, actual = seen.boards["alone", query], seen.boards[name, query]
        assert expected or EMPTY.search(query), query
        found[query] = differences(unnamed(expected), unnamed(actual), tolerance(query))
    assert {} == {query: told for query, told in found.items() if told}


def tolerance(text: str) -> float:
    if CHANGE.search(text):
        return math.inf
    return ROUGH if GROWTH.search(text) else EXACT


def by_name(expected: Answer, actual: Answer) -> list[str]:
    """Differences, where the name of a metric says how far apart its values may be."""
    names = {dict(labels)["__name__"] for labels in expected.keys() | actual.keys()}
    return [
        told
        for name in sorted(names)
        for told in differences(of(name, expected), of(name, actual), tolerance(name))
    ]


def of(name: str, answer: Answer) -> Answer:
    return {labels: value for labels, value in answer.items() if ("__name__", name) in labels}


def unnamed(answer: Answer) -> Answer:
    """Without names of metrics, which VictoriaMetrics keeps where a forecast has the same unit."""
    return {
        frozenset(pair for pair in labels if pair[0] != "__name__"): value
        for labels, value in answer.items()
    }


@pytest.mark.parametrize("query", COUNTS)
@pytest.mark.parametrize("name", STORES)
def test_what_several_write_is_there_once(seen: Seen, name: str, query: str) -> None:
    """Nearly twice as many samples come in as one Prometheus has; there are no more than it has."""
    assert seen.written[name] > 1.6 * seen.written["alone"]
    # One more may fall into the window where the moments of scrapes are others.
    [expected] = seen.samples["alone", query].values()
    assert [pytest.approx(expected, abs=1)] == list(seen.samples[name, query].values())


@pytest.mark.parametrize("name", STORES)
def test_a_scraper_that_is_killed_leaves_no_gap(seen: Seen, name: str) -> None:
    """Each second has its two scrapes before and after, give or take one on the edge."""
    found = seen.afterwards[name]
    assert 15 == len(found)
    assert set(found) <= {1, 2, 3}


def test_an_alert_that_four_tell_is_one_page(seen: Seen) -> None:
    """Two replicas and two vmalerts tell the same labels: it is one alert to Alertmanager."""
    [page] = seen.pages
    assert [COUNTRY] == [alert["labels"]["country"] for alert in page["alerts"]]


def test_the_world_sees_what_a_region_recorded(seen: Seen) -> None:
    """All recorded series arrive with their values, the region's name and no other label."""
    region, known = (
        {
            labels | {("region", "eu")}: value
            for labels, value in seen.answers["alone", query].items()
        }
        for query in (RECORDED, KNOWN)
    )
    # Federated samples bring their times, so what has ended stays for five minutes.
    ended = known.keys() - region.keys()
    world = seen.answers["world", RECORDED]
    assert [] == by_name(region, {labels: world[labels] for labels in world.keys() - ended})


def test_the_world_sees_nothing_else(seen: Seen) -> None:
    """No series of single scrapes is federated."""
    found = seen.answers["world", ANYTHING]
    assert {"wlvpn-federation"} == {dict(labels)["job"] for labels in found}


def test_a_store_offers_what_was_recorded(seen: Seen) -> None:
    """It may be federated in place of a replica; what has ended, it offers for five minutes."""
    recorded, known = (len(seen.answers["alone", query]) for query in (RECORDED, KNOWN))
    assert recorded <= seen.federated <= known
