"""Line faults: what strikes connections before HTTP, and how it ends."""

import asyncio
import socket
import ssl
import time
import warnings
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
import trustme

from exporter.simulator import Rule, Simulator, World
from exporter.simulator.app import SERVERS
from exporter.simulator.line import LINE_FAULTS
from tests.simulator.raw_client import NOTHING_SECONDS, connect, hear

Api = aiohttp.ClientSession

LIMIT = aiohttp.ClientTimeout(total=5)
LINE = {name: f"line:{name}" for name in LINE_FAULTS if name != "tls"}


def strike(simulator: Simulator, *rules: str) -> None:
    simulator.rules = [Rule.parse(rule) for rule in rules]


async def status_of(api: Api) -> int:
    async with api.get(SERVERS) as response:
        await response.read()
        return response.status


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def contexts(authority: trustme.CA) -> Mapping[str, ssl.SSLContext]:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    certificates = {
        "": authority.issue_cert("localhost"),
        "expired": authority.issue_cert("localhost", not_after=yesterday),
        "stranger": authority.issue_cert("elsewhere.example"),
        "untrusted": trustme.CA().issue_cert("localhost"),
        "old": authority.issue_cert("localhost"),
    }
    made = {name: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) for name in certificates}
    for name, certificate in certificates.items():
        certificate.configure_cert(made[name])
    with warnings.catch_warnings():  # TLS 1.1 is deprecated, which is what makes it a fault
        warnings.simplefilter("ignore", DeprecationWarning)
        made["old"].minimum_version = ssl.TLSVersion.TLSv1
        made["old"].maximum_version = ssl.TLSVersion.TLSv1_1
    made["old"].set_ciphers("ALL:@SECLEVEL=0")
    return made


@pytest.fixture
async def secure(world: World, contexts: Mapping[str, ssl.SSLContext]) -> AsyncIterator[Simulator]:
    async with Simulator(world, key="s3cret", tls=contexts) as simulator:
        yield simulator


@pytest.fixture
async def trusting(secure: Simulator, authority: trustme.CA) -> AsyncIterator[Api]:
    """A client that trusts the honest authority."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with aiohttp.ClientSession(
        secure.url,
        connector=aiohttp.TCPConnector(ssl=context),
        headers={"Authorization": aiohttp.encode_basic_auth("api-key", "s3cret")},
        timeout=LIMIT,
    ) as session:
        yield session
        # The connector waits for no answer to its goodbye; the loop's next turns close it.
        await asyncio.sleep(0)


async def test_resets_connections(simulator: Simulator) -> None:
    """RST comes without a question."""
    strike(simulator, "line:reset")
    client = await connect(simulator)
    with pytest.raises(ConnectionResetError):
        await client.read_all()
    await client.close()


async def test_closes_connections(simulator: Simulator) -> None:
    """The end comes without a byte."""
    strike(simulator, "line:close")
    client = await connect(simulator)
    await client.ask()
    assert b"" == await client.read_all()
    await client.close()
    assert [] == list(simulator.requests)


async def test_keeps_silent(simulator: Simulator) -> None:
    """The connection is there, a question is taken, nothing comes."""
    strike(simulator, "line:silent")
    client = await connect(simulator)
    await client.ask()
    assert await client.hears_nothing()
    await client.close()
    assert [] == list(simulator.requests)


async def test_speaks_gibberish(simulator: Simulator, api: Api) -> None:
    """What comes is no HTTP, and then the end."""
    strike(simulator, "line:garbage")
    client = await connect(simulator)
    assert (await client.read_all()).startswith(b"\x00\xff220 ")
    await client.close()
    with pytest.raises(aiohttp.ClientError):
        await status_of(api)


async def test_refuses_connections(simulator: Simulator, api: Api) -> None:
    """Nobody listens, and nobody else gets the port meanwhile."""
    strike(simulator, "line:refused")
    with pytest.raises(aiohttp.ClientConnectorError) as refusal:
        await status_of(api)
    assert isinstance(refusal.value.os_error, ConnectionRefusedError)
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", simulator.port))


async def test_swallows_connections(simulator: Simulator) -> None:
    """No SYN is answered: a connection is neither made nor refused."""
    strike(simulator, "line:blackhole")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(connect(simulator), NOTHING_SECONDS)


@pytest.mark.parametrize("rule", LINE.values(), ids=LINE)
async def test_is_honest_again_at_once(simulator: Simulator, api: Api, rule: str) -> None:
    """Without the rule the same port answers as before, each time."""
    port = simulator.port
    for _ in range(3):
        assert 200 == await status_of(api)
        strike(simulator, rule)
        with pytest.raises((TimeoutError, aiohttp.ClientError)):
            await api.get(SERVERS, timeout=aiohttp.ClientTimeout(total=NOTHING_SECONDS))
        simulator.rules = ()
    assert (200, port) == (await status_of(api), simulator.port)


@pytest.mark.parametrize("rule", LINE.values(), ids=LINE)
async def test_drops_kept_connections(simulator: Simulator, rule: str) -> None:
    """A connection that is open as a line fault begins cannot hide it."""
    client = await connect(simulator)
    await client.ask()
    await client.read_head()
    idle = await connect(simulator)
    await hear(simulator)  # so the others are accepted as well
    strike(simulator, rule)
    with suppress(ConnectionResetError):  # as good an end
        assert b"" == await idle.read()
    await idle.close()
    await client.close()


async def test_drops_struck_connections_at_the_end(simulator: Simulator) -> None:
    """Who waits for a silent connection is let go when its rule ends."""
    strike(simulator, "line:silent")
    client = await connect(simulator)
    await client.ask()
    assert await client.hears_nothing()
    simulator.rules = ()
    assert b"" == await client.read_all()
    await client.close()


async def test_other_rules_leave_connections_alone(simulator: Simulator) -> None:
    """A kept connection survives rules that do not concern the line."""
    client = await connect(simulator)
    await hear(simulator)
    strike(simulator, "*:status=503")
    await client.ask()
    assert (await client.read_head()).startswith(b"HTTP/1.1 503 ")
    await client.close()


async def test_a_count_is_one_of_connections(simulator: Simulator) -> None:
    """A line rule strikes as many connections as its count, then the next one is asked."""
    strike(simulator, "line:close:count=2", "line:garbage:count=1")
    seen = []
    for _ in range(4):
        client = await connect(simulator)
        await client.ask()
        seen.append((await client.read_all())[:5])
        await client.close()
    assert [b"", b"", b"\x00\xff220", b"HTTP/"] == seen


async def test_the_star_leaves_the_line_alone(simulator: Simulator) -> None:
    """A rule for all endpoints strikes requests, not connections, and its count is theirs."""
    strike(simulator, "*:close:count=1")
    client = await connect(simulator)
    await client.close()
    assert "" == (await hear(simulator)).line
    assert "HTTP/1.1 200 OK" == (await hear(simulator)).line


async def test_starts_under_a_rule(world: World) -> None:
    """A rule that is there from the beginning is in force from the beginning."""
    async with Simulator(world, rules=[Rule("line", "refused")]) as simulator:
        with pytest.raises(ConnectionRefusedError):
            await connect(simulator)
        simulator.rules = ()
        await (await connect(simulator)).close()


@pytest.mark.parametrize("rule", LINE.values(), ids=LINE)
async def test_stops_under_a_rule(world: World, rule: str) -> None:
    """The port is free after a stop, whatever was in force."""
    simulator = Simulator(world, rules=[Rule.parse(rule)])
    await simulator.start()
    port = simulator.port
    await simulator.stop()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()


async def test_speaks_tls(secure: Simulator, trusting: Api) -> None:
    """With contexts the API is at https://localhost, and honest."""
    assert f"https://localhost:{secure.port}" == secure.url
    assert 200 == await status_of(trusting)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("expired", "certificate has expired"),
        ("stranger", "Hostname mismatch"),
        ("untrusted", "unable to get local issuer certificate"),
        ("old", "protocol version"),
    ],
)
async def test_hands_out_another_context(
    secure: Simulator, trusting: Api, name: str, expected: str
) -> None:
    """A TLS rule replaces the honest context by the one it names, until it ends."""
    assert 200 == await status_of(trusting)
    strike(secure, f"line:tls={name}")
    with pytest.raises(aiohttp.ClientConnectorError) as refusal:
        await status_of(trusting)
    assert expected in str(refusal.value.os_error)
    secure.rules = ()
    assert 200 == await status_of(trusting)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("line:reset", aiohttp.ClientOSError),
        ("line:close", aiohttp.ClientOSError),
        ("line:garbage", aiohttp.ClientSSLError),
        ("line:silent", TimeoutError),
        ("*:reset", aiohttp.ClientOSError),
        ("*:close", aiohttp.ServerDisconnectedError),
        ("*:early", aiohttp.ClientPayloadError),
        ("*:truncate_chunked", aiohttp.ClientPayloadError),
    ],
)
async def test_breaks_below_tls(
    secure: Simulator, trusting: Api, rule: str, expected: type[Exception]
) -> None:
    """Handshakes and answers are struck as connections without TLS are."""
    strike(secure, rule)
    limit = aiohttp.ClientTimeout(total=0.5 if expected is TimeoutError else 5)
    with pytest.raises(expected):
        async with trusting.get(SERVERS, timeout=limit) as response:
            await response.read()
    secure.rules = ()
    assert 200 == await status_of(trusting)


async def test_a_handshake_never_keeps_it_from_stopping(secure: Simulator, trusting: Api) -> None:
    """A client that connects and says nothing is dropped at the stop, within a second."""
    client = await connect(secure)
    assert 200 == await status_of(trusting)  # so the one before is accepted as well
    started = time.monotonic()
    await secure.stop()
    assert time.monotonic() - started < 1
    assert b"" == await client.read_all()
    await client.close()


@pytest.mark.parametrize("given", [None, {"": ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)}])
def test_a_context_has_to_be_given(given: Mapping[str, ssl.SSLContext] | None) -> None:
    """A rule cannot name what is not there; the rules before it stay in force."""
    simulator = Simulator(World(servers=1), tls=given)
    with pytest.raises(ValueError, match=r"^no TLS context 'expired' was given"):
        simulator.rules = [Rule("line", "tls", "expired")]
    assert () == simulator.rules


def test_the_honest_context_has_to_be_given() -> None:
    """There is no TLS without a context of no name."""
    with pytest.raises(ValueError, match="the honest context"):
        Simulator(tls={"expired": ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)})
