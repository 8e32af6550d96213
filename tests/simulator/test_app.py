"""The simulated API: authentication, endpoints, errors and its own records."""

import gzip
from collections.abc import AsyncIterator
from datetime import date, timedelta
from typing import Any

import aiohttp
import pytest

from exporter.collectors import ALL
from exporter.simulator import Clock, Rule, Simulator, World, dialect
from exporter.simulator.app import (
    ACCOUNTS,
    EXAMPLES,
    PLANS,
    SERVERS,
    USAGE,
    USAGE_REPORT,
    Payload,
)
from exporter.simulator.faults import ENDPOINTS

JULY = {"start_date": "2026-07-01", "end_date": "2026-07-31"}


def basic(user: str, key: str) -> dict[str, str]:
    return {"Authorization": aiohttp.encode_basic_auth(user, key)}


async def told(api: aiohttp.ClientSession, path: str, **query: str) -> Any:  # noqa: ANN401 - any JSON
    async with api.get(path, params=query) as response:
        assert response.status == 200
        return await response.json()


@pytest.fixture
async def stranger(simulator: Simulator) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(simulator.url) as session:
        yield session


async def test_lists_the_servers_of_the_instant(
    api: aiohttp.ClientSession, world: World, clock: Clock
) -> None:
    """The answer holds every listed server under its FQDN, with api_status 1."""
    payload = await told(api, SERVERS)
    expected = {
        fqdn: (server.country, server.city, server.capacity, server.ip)
        for fqdn, server in world.listed(clock.now()).items()
    }
    assert payload["api_status"] == 1
    assert expected == {
        fqdn: (row["country"], row["city"], int(row["capacity"]), row["ip"])
        for fqdn, row in payload["server"].items()
    }


async def test_capacity_is_a_number_or_a_string(api: aiohttp.ClientSession) -> None:
    """As in the documentation, capacity comes in both types, each server keeping its own."""
    servers = (await told(api, SERVERS))["server"].values()
    types = [type(server["capacity"]) for server in servers]
    assert 0 < types.count(str) < types.count(int)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        pytest.param("FR", {"FR"}, id="one"),
        pytest.param("fr, uk", {"FR", "UK"}, id="several in any case"),
        pytest.param("XX,FR", {"FR"}, id="partly unknown"),
    ],
)
async def test_filters_by_country(
    api: aiohttp.ClientSession, wanted: str, expected: set[str]
) -> None:
    """Only servers of the countries asked for are listed; unknown countries add nothing."""
    servers = (await told(api, SERVERS, country=wanted))["server"].values()
    assert expected == {server["country"] for server in servers}


async def test_an_empty_filter_filters_nothing(api: aiohttp.ClientSession) -> None:
    """An empty country means all of them."""
    assert await told(api, SERVERS, country="") == await told(api, SERVERS)


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        pytest.param(SERVERS, {"country": "XX"}, {"api_status": 1, "server": []}, id="servers"),
        pytest.param(USAGE, JULY, {"data": []}, id="usage"),
    ],
)
async def test_an_empty_map_comes_as_a_list(
    api: aiohttp.ClientSession,
    clock: Clock,
    path: str,
    query: dict[str, str],
    expected: dict[str, object],
) -> None:
    """Where there is nothing, PHP says [] and not {}."""
    clock.set(clock.now().replace(day=1, hour=0, minute=5))
    assert expected == await told(api, path, **query)


async def test_tells_usage_as_known(api: aiohttp.ClientSession, world: World, clock: Clock) -> None:
    """Usage comes by POP and country, without api_status."""
    usage = world.usage(date(2026, 7, 1), date(2026, 7, 31), clock.now())
    expected = {
        pop: {
            country: {
                "bandwidth": cell.bandwidth,
                "connections": cell.connections,
                "customers": cell.customers,
            }
            for country, cell in cells.items()
        }
        for pop, cells in usage.items()
    }
    assert {"data": expected} == await told(api, USAGE, **JULY)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        pytest.param(None, "2026-07-20", "The start_date is required.", id="no start"),
        pytest.param("2026-07-20", None, "The end_date is required.", id="no end"),
        pytest.param("20260701", "2026-07-20", "must be a date like", id="compact"),
        pytest.param("2026-7-1", "2026-07-20", "must be a date like", id="short"),
        pytest.param("", "2026-07-20", "must be a date like", id="empty"),
        pytest.param("2026-06-31", "2026-06-31", "not in the calendar", id="no such day"),
        pytest.param("2026-07-20", "2026-07-19", "must not be after", id="backwards"),
        pytest.param("2026-06-30", "2026-07-01", "within the same month", id="two months"),
        pytest.param("2025-07-01", "2026-07-01", "within the same month", id="two years"),
        pytest.param("2026-07-21", "2026-07-31", "not be in the future", id="future"),
    ],
)
async def test_refuses_wrong_days(
    api: aiohttp.ClientSession, start: str | None, end: str | None, expected: str
) -> None:
    """Both dates are required, real, ordered, within one month and not in the future."""
    query = {"start_date": start, "end_date": end}
    params = {name: text for name, text in query.items() if text is not None}
    async with api.get(USAGE, params=params) as response:
        payload = await response.json()
    assert (response.status, payload["api_status"]) == (400, 0)
    assert expected in payload["error"]


async def test_today_may_be_asked_for(api: aiohttp.ClientSession) -> None:
    """The window may begin today, and end later in the month."""
    payload = await told(api, USAGE, start_date="2026-07-20", end_date="2026-07-31")
    assert "lax" in payload["data"]


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="none"),
        pytest.param(basic("api-key", "wrong"), id="wrong key"),
        pytest.param(basic("somebody", "s3cret"), id="wrong user"),
        pytest.param({"Authorization": "Bearer s3cret"}, id="wrong scheme"),
        pytest.param({"Authorization": "Basic !"}, id="not base64"),
        pytest.param({"Authorization": "Basic \xe9"}, id="not ASCII"),
    ],
)
async def test_refuses_strangers(
    simulator: Simulator, stranger: aiohttp.ClientSession, headers: dict[str, str]
) -> None:
    """Without the user api-key and the key there is a 401, and nothing else."""
    async with stranger.get(SERVERS, headers=headers) as response:
        payload = await response.json()
    assert response.status == 401
    assert payload == {"api_status": 0, "error": "No valid API key was provided."}
    assert not simulator.requests[-1].authorized


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        pytest.param("s3cret", 200, id="same"),
        pytest.param("new", 401, id="another"),
        pytest.param({"new", "s3cret"}, 200, id="one of several"),
        pytest.param((), 401, id="none"),
    ],
)
async def test_the_key_may_change(
    simulator: Simulator, api: aiohttp.ClientSession, key: str | set[str], expected: int
) -> None:
    """A key is revoked or joined by another while the simulator runs."""
    simulator.key = key
    async with api.get(SERVERS) as response:
        assert expected == response.status


@pytest.mark.parametrize("path", ["/v2/server", "/v2/servers/", "/v3", USAGE.rstrip("/")])
async def test_unknown_paths_are_not_found(api: aiohttp.ClientSession, path: str) -> None:
    """Only the documented forms of the paths exist."""
    async with api.get(path) as response:
        payload = await response.json()
    assert response.status == 404
    assert payload == {"api_status": 0, "error": "The requested resource does not exist."}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])
async def test_only_get_is_allowed(
    simulator: Simulator, api: aiohttp.ClientSession, method: str
) -> None:
    """Every other method is refused and kept as a violation."""
    async with api.request(method, SERVERS) as response:
        assert (response.status, response.headers["Allow"]) == (405, "GET")
    await told(api, SERVERS)
    assert [method] == [request.method for request in simulator.violations]


async def test_introduces_itself(stranger: aiohttp.ClientSession) -> None:
    """The index page says what this is, without a key."""
    payload = await told(stranger, "/")
    assert "simulator" in payload["name"]
    expected = [SERVERS, USAGE, PLANS, ACCOUNTS, USAGE_REPORT]
    assert [endpoint.split("?")[0] for endpoint in payload["endpoints"]] == expected


def test_every_collector_is_simulated() -> None:
    """What can be polled can be asked, answered and made to fail, by the same name."""
    expected = [kind.name for kind in ALL]
    assert (expected, expected) == (list(EXAMPLES), list(dialect.TELL))
    assert [*expected, "*", "line"] == list(ENDPOINTS)


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("fault", ["capacities=-1", "duplicate", "gone", "shrink"])
async def test_faults_of_payloads_strike_everywhere(
    simulator: Simulator, api: aiohttp.ClientSession, name: str, fault: str
) -> None:
    """No endpoint is left alone because its map or numbers are not known by name."""
    path = EXAMPLES[name].replace("YYYY-MM-DD", f"{simulator.clock.now():%Y-%m-%d}")
    path = path.partition("&open_date")[0]  # nobody came today
    honest = await told(api, path)
    simulator.rules = [Rule.parse(f"{name}:{fault}")]
    assert honest != await told(api, path)


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        pytest.param("gzip, deflate", "gzip", id="asked"),
        pytest.param("br, GZIP;q=0.5", "gzip", id="asked with a weight"),
        pytest.param("gzip; q=0", None, id="refused"),
        pytest.param("identity", None, id="not asked"),
    ],
)
async def test_compresses_when_asked(
    simulator: Simulator, accepted: str, expected: str | None
) -> None:
    """Gzip is used only where the client accepts it, and every answer is JSON."""
    async with (
        aiohttp.ClientSession(simulator.url, auto_decompress=False) as session,
        session.get("/", headers={"Accept-Encoding": accepted}) as response,
    ):
        body = await response.read()
    assert expected == response.headers.get("Content-Encoding")
    assert response.content_type == "application/json"
    assert b'{"name"' in (gzip.decompress(body) if expected else body)


async def test_remembers_what_it_was_asked(
    simulator: Simulator, api: aiohttp.ClientSession, clock: Clock
) -> None:
    """Each request is kept with its instant, query and status, in order."""
    await told(api, SERVERS, country="FR")
    clock.advance(timedelta(minutes=1))
    async with api.get(USAGE):
        pass
    first, second = simulator.requests
    assert (
        first.method,
        first.path,
        first.query,
        first.authorized,
        first.status,
    ) == ("GET", SERVERS, {"country": "FR"}, True, 200)
    assert (timedelta(minutes=1), USAGE, 400) == (second.at - first.at, second.path, second.status)


async def test_remembers_what_it_said(simulator: Simulator, api: aiohttp.ClientSession) -> None:
    """The payload of each 200 is kept with its request, and no other."""
    payload = await told(api, SERVERS)
    async with api.get("/nowhere"):
        pass
    (answer,) = simulator.answers
    assert (payload, simulator.requests[0]) == (answer.payload, answer.request)


async def test_a_cleared_record_stays_usable(
    simulator: Simulator, api: aiohttp.ClientSession
) -> None:
    """A test may clear the record, even while a request is under way."""

    def clear(_endpoint: str, payload: Payload) -> object:
        simulator.requests.clear()
        return payload

    simulator.rewrite = clear
    await told(api, SERVERS)
    assert len(simulator.requests) == 0


async def test_payloads_can_be_rewritten(simulator: Simulator, api: aiohttp.ClientSession) -> None:
    """A test may hand out any payload in place of the honest one."""
    simulator.rewrite = lambda endpoint, payload: {"of": endpoint, "fields": sorted(payload)}
    expected = {"of": "servers", "fields": ["api_status", "server"]}
    assert expected == await told(api, SERVERS)
    assert expected == simulator.answers[-1].payload


async def test_starts_again_on_the_same_port(world: World) -> None:
    """After a stop nothing listens; a new start may take the same port."""
    simulator = Simulator(world)
    await simulator.start()
    port = simulator.port
    await simulator.stop()
    await simulator.stop()
    async with aiohttp.ClientSession(simulator.url) as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get("/")
    await simulator.start(port=port)
    assert f"http://127.0.0.1:{port}" == simulator.url
    await simulator.stop()


async def test_starts_only_once(simulator: Simulator) -> None:
    """Starting a running simulator is an error."""
    with pytest.raises(RuntimeError, match="already listens at http://127"):
        await simulator.start()


async def test_a_taken_port_is_an_error(simulator: Simulator, world: World) -> None:
    """A failed start leaves a simulator that can be started elsewhere."""
    other = Simulator(world)
    with pytest.raises(OSError, match="address already in use"):
        await other.start(port=simulator.port)
    await other.start()
    await other.stop()


async def test_listens_on_ipv6(world: World) -> None:
    """An IPv6 address is written into the URL as it must be."""
    simulator = Simulator(world)
    await simulator.start("::1")
    try:
        assert f"http://[::1]:{simulator.port}" == simulator.url
    finally:
        await simulator.stop()


def test_the_default_world_is_as_large_as_the_platform() -> None:
    """Without arguments there are 3,500 servers, at the real present."""
    assert Simulator().world.servers == 3_500
