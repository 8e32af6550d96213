"""Faults on the wire: which bytes come, and which do not."""

import gzip
import json
import re
import zlib
from typing import Any

import aiohttp
import pytest

from exporter.simulator import Rule, Simulator
from exporter.simulator.app import SERVERS
from tests.simulator.raw_client import connect, hear, hear_until_reset, parse

Api = aiohttp.ClientSession


async def honest(simulator: Simulator) -> bytes:
    """The body of the honest answer; afterwards the rules are as before."""
    rules, simulator.rules = simulator.rules, ()
    body = (await hear(simulator)).body
    simulator.rules = rules
    assert body.startswith(b'{"api_status": 1')
    return body


def strike(simulator: Simulator, *faults: str) -> None:
    simulator.rules = [Rule.parse(f"*:{fault}") for fault in faults]


async def test_cuts_the_body_within_a_chunk(simulator: Simulator) -> None:
    """A chunk is announced, half of it comes, then the end."""
    strike(simulator, "truncate_chunked")
    body = await honest(simulator)
    heard = await hear(simulator)
    assert ("HTTP/1.1 200 OK", "chunked") == (heard.line, heard.headers["Transfer-Encoding"])
    assert b"%x\r\n" % len(body) + body[: len(body) // 2] == heard.body


async def test_stalls_in_the_middle(simulator: Simulator) -> None:
    """The head and half of the body come, then nothing, not even an end."""
    strike(simulator, "stall")
    body = await honest(simulator)
    client = await connect(simulator)
    await client.ask()
    assert f"Content-Length: {len(body)}\r\n".encode() in await client.read_head()
    assert body[: len(body) // 2] == await client.read_exactly(len(body) // 2)
    assert await client.hears_nothing()
    await client.close()


async def test_resets_in_the_middle(simulator: Simulator) -> None:
    """The head and some of the body come, then RST."""
    strike(simulator, "early")
    body = await honest(simulator)
    heard = parse(await hear_until_reset(simulator))
    assert ("HTTP/1.1 200 OK", str(len(body))) == (heard.line, heard.headers["Content-Length"])
    assert body[: len(body) // 2] == heard.body


async def test_resets_instead_of_an_answer(simulator: Simulator) -> None:
    """Not a byte comes, but RST."""
    strike(simulator, "reset")
    client = await connect(simulator)
    await client.ask()
    with pytest.raises(ConnectionResetError):
        await client.read_all()
    await client.close()
    assert [0] == [request.status for request in simulator.requests]


async def test_closes_instead_of_an_answer(simulator: Simulator) -> None:
    """Not a byte comes, but the end."""
    strike(simulator, "close")
    client = await connect(simulator)
    await client.ask()
    assert b"" == await client.read_all()
    await client.close()
    assert [0] == [request.status for request in simulator.requests]


async def test_drips_the_head(simulator: Simulator) -> None:
    """One byte of the head comes at a time."""
    strike(simulator, "drip_head=3600")
    client = await connect(simulator)
    await client.ask()
    assert b"H" == await client.read()
    assert await client.hears_nothing()
    await client.close()


async def test_drips_the_body(simulator: Simulator) -> None:
    """The head comes whole, then one byte of the body at a time."""
    strike(simulator, "drip_body=3600")
    client = await connect(simulator)
    await client.ask()
    await client.read_head()
    assert b"{" == await client.read()
    assert await client.hears_nothing()
    await client.close()


@pytest.mark.parametrize("coding", ["gzip", "identity"])
@pytest.mark.parametrize(
    "fault", ["drip_head=0", "drip_body=0", "chunks", "content_type=text/plain"]
)
async def test_odd_ways_bring_the_honest_body(
    simulator: Simulator, api: Api, fault: str, coding: str
) -> None:
    """Who waits for a slow or odd answer gets all of it."""
    strike(simulator, fault)
    expected = await honest(simulator)
    async with api.get(SERVERS, headers={"Accept-Encoding": coding}) as response:
        assert (200, expected) == (response.status, await response.read())
    assert json.loads(expected) == simulator.answers[-1].payload


async def test_chunks_are_tiny(simulator: Simulator) -> None:
    """Chunks of one, two and three bytes follow each other."""
    strike(simulator, "chunks")
    heard = await hear(simulator)
    assert heard.body.startswith(b'1\r\n{\r\n2\r\n"a\r\n3\r\npi_\r\n1\r\ns\r\n')
    assert heard.body.endswith(b"\r\n0\r\n\r\n")


async def test_sends_a_bomb(simulator: Simulator) -> None:
    """A few hundred kB of sound gzip become more than 200 MB of JSON."""
    strike(simulator, "bomb")
    heard = await hear(simulator)
    assert ("gzip", True) == (heard.headers["Content-Encoding"], len(heard.body) < 300_000)
    unpacker, size, start = zlib.decompressobj(31), 0, b""
    while not unpacker.eof:
        part = unpacker.decompress(unpacker.unconsumed_tail or heard.body, 2**20)
        start, size = start or part, size + len(part)
    assert (True, True) == (size > 200_000_000, start.startswith(b'{"api_status": 1, "server": {}'))


async def test_sends_without_an_end(simulator: Simulator) -> None:
    """More comes than any limit allows, until the client leaves."""
    strike(simulator, "endless")
    client = await connect(simulator)
    await client.ask()
    assert b"\r\nTransfer-Encoding: chunked\r\n" in await client.read_head()
    seen = 0
    while seen < 16 * 2**20:
        part = await client.read()
        assert part
        seen += len(part)
    await client.close()


async def test_sends_ten_thousand_members(simulator: Simulator) -> None:
    """The honest body stands among ten thousand gzip members without content."""
    strike(simulator, "members")
    body = await honest(simulator)
    heard = await hear(simulator)
    empty = gzip.compress(b"", mtime=0)
    assert ("gzip", 10_000) == (heard.headers["Content-Encoding"], heard.body.count(empty))
    assert body == gzip.decompress(heard.body)


@pytest.mark.parametrize("coding", ["gzip", "br", "rot13"])
async def test_claims_an_encoding(simulator: Simulator, coding: str) -> None:
    """The header names an encoding; the body is plain."""
    strike(simulator, f"encoding={coding}")
    heard = await hear(simulator, coding="gzip, br")
    assert (coding, await honest(simulator)) == (heard.headers["Content-Encoding"], heard.body)


@pytest.mark.parametrize("kind", ["text/plain", "application/json; charset=latin1", ""])
async def test_sends_another_type(simulator: Simulator, kind: str) -> None:
    """The honest body comes under any type, or none."""
    strike(simulator, f"content_type={kind}")
    heard = await hear(simulator)
    assert ([kind] if kind else None) == heard.headers.get_all("Content-Type")
    assert await honest(simulator) == heard.body


async def test_floods_the_head(simulator: Simulator) -> None:
    """There are more headers than anybody reads, and a longer one."""
    strike(simulator, "header_flood")
    client = await connect(simulator)
    await client.ask()
    answer = await client.read_all()
    await client.close()
    lengths = [len(value) for value in re.findall(rb"\r\nX-Flood[-0-9]*: (f+)", answer)]
    assert (20_001, 2**20) == (len(lengths), max(lengths))


async def test_announces_for_ever(simulator: Simulator) -> None:
    """Informational answers come again and again, and nothing else."""
    strike(simulator, "informational")
    client = await connect(simulator)
    await client.ask()
    for _ in range(5):
        assert b"HTTP/1.1 103 Early Hints\r\n\r\n" == await client.read_head()
    await client.close()


async def test_switches_protocols(simulator: Simulator) -> None:
    """A 101 comes, then nothing."""
    strike(simulator, "upgrade")
    client = await connect(simulator)
    await client.ask()
    head = await client.read_head()
    assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert b"\r\nUpgrade: websocket\r\n" in head
    assert await client.hears_nothing()
    await client.close()
    assert [101] == [request.status for request in simulator.requests]


async def test_sends_elsewhere(simulator: Simulator) -> None:
    """A redirect names the address verbatim."""
    strike(simulator, "redirect=http://user:word@127.0.0.1:9/a?b=c")
    heard = await hear(simulator)
    assert "HTTP/1.1 302 Found" == heard.line
    assert "http://user:word@127.0.0.1:9/a?b=c" == heard.headers["Location"]


@pytest.mark.parametrize("code", [204, 301, 403, 408, 429, 451, 599])
async def test_sends_any_status(simulator: Simulator, code: int) -> None:
    """A status comes as it is told; 204 has no body."""
    strike(simulator, f"status={code}")
    heard = await hear(simulator)
    assert (str(code), code == 204) == (heard.line.split()[1], heard.body == b"")


async def test_refuses_the_dates(simulator: Simulator, api: Api) -> None:
    """The 400 is the one for dates."""
    strike(simulator, "date_refused")
    async with api.get(SERVERS) as response:
        payload: Any = await response.json()
    assert (400, "The start_date must not be in the future.") == (response.status, payload["error"])


async def test_a_client_that_leaves_ends_what_is_sent(simulator: Simulator) -> None:
    """Nobody hears an endless answer: the simulator serves the next client as before."""
    strike(simulator, "endless:count=1", "informational:count=1", "stall:count=1")
    for _ in range(3):
        client = await connect(simulator)
        await client.ask()
        await client.read_head()
        await client.close()
    assert "HTTP/1.1 200 OK" == (await hear(simulator)).line
