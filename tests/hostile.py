"""What clients do to a listener, by mistake or on purpose: the faults on the exporter's side.

Each does its worst and tells what it saw: the statuses of the answers, or `closed` where there was
none. Whatever it was, a scrape has to be answered meanwhile and afterwards.
"""

import asyncio
import gzip
import re
import socket
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

Act = Callable[[str, int], Coroutine[Any, Any, str]]

MEGABYTE = 1024 * 1024
HOST = b"Host: exporter\r\n"
LAST = HOST + b"Connection: close\r\n\r\n"
DRIP_SECONDS = 0.02

_STATUS = re.compile(rb"^HTTP/1\.[01] (\d{3}) ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that a client does.

    Attributes:
        name: what it does.
        act: does it, and tells what it saw.
        expected: what it has to see.
        is_held: whether it goes on until the listener ends it.
    """

    name: str
    act: Act
    expected: str
    is_held: bool = False


@asynccontextmanager
async def connected(host: str, port: int, *, buffer: int = 0) -> AsyncIterator[socket.socket]:
    """A connection whose client may be as rude as it likes."""
    with socket.socket() as client:
        client.setblocking(False)  # noqa: FBT003 - as the socket has it
        if buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        await asyncio.get_running_loop().sock_connect(client, (host, port))
        yield client


async def read(client: socket.socket) -> bytes:
    """All that is answered until the end, also before a reset."""
    answer = b""
    with suppress(ConnectionError):
        while piece := await asyncio.get_running_loop().sock_recv(client, MEGABYTE):
            answer += piece
    return answer


async def ask(host: str, port: int, *pieces: bytes, pause_seconds: float = 0.0) -> bytes:
    """Sends pieces as long as they are taken, and gives what comes back."""
    async with connected(host, port) as client:
        with suppress(ConnectionError):
            for piece in pieces:
                await asyncio.get_running_loop().sock_sendall(client, piece)
                await asyncio.sleep(pause_seconds)
        return await read(client)


async def _see(*pieces: bytes, pause_seconds: float, host: str, port: int) -> str:
    answer = await ask(host, port, *pieces, pause_seconds=pause_seconds)
    return " ".join(found.decode() for found in _STATUS.findall(answer)) or "closed"


def _sends(*pieces: bytes, pause_seconds: float = 0.0) -> Act:
    """Sends pieces, and looks at the statuses."""

    async def act(host: str, port: int) -> str:
        return await _see(*pieces, pause_seconds=pause_seconds, host=host, port=port)

    return act


def _get(*lines: bytes, path: bytes = b"/metrics") -> Act:
    """A request for the metrics with more lines in its head."""
    return _sends(b"GET " + path + b" HTTP/1.1\r\n" + b"".join(lines) + LAST)


def _method(name: bytes, *lines: bytes, path: bytes = b"/metrics", body: bytes = b"") -> Act:
    head = b" ".join([name, path, b"HTTP/1.1\r\n"])
    return _sends(head + b"".join(lines) + LAST + body)


async def _never_reads(host: str, port: int) -> str:
    """Asks until nothing more is taken, reads nothing, and waits to be thrown out."""
    async with connected(host, port, buffer=4096) as client:
        requests = (b"GET /metrics HTTP/1.1\r\n" + HOST + b"\r\n") * 1000
        while True:
            try:
                client.send(requests)
            except BlockingIOError:
                await asyncio.sleep(DRIP_SECONDS)
            except ConnectionError:
                return "closed"


async def _reads_slowly(host: str, port: int) -> str:
    """Takes its answers by the byte, slower than anything that scrapes."""
    async with connected(host, port, buffer=4096) as client:
        client.send((b"GET /metrics HTTP/1.1\r\n" + HOST + b"\r\n") * 200)
        with suppress(ConnectionError):
            while await asyncio.get_running_loop().sock_recv(client, 1):
                await asyncio.sleep(DRIP_SECONDS)
                # Much is on its way here: only who speaks learns that nobody listens any more.
                client.send(b"\r\n")
        return "closed"


async def _leaves(host: str, port: int, *, said: bytes, taken: int = 0) -> str:
    """Asks fifty times, takes a little of the answer, and is gone."""
    for _ in range(50):
        async with connected(host, port, buffer=4096) as client:
            client.send(said)
            client.shutdown(socket.SHUT_WR)
            if taken:
                await asyncio.get_running_loop().sock_recv(client, taken)
    return "gone"


async def _resets(host: str, port: int, *, said: bytes) -> str:
    """Hangs up fifty times without a goodbye."""
    for _ in range(50):
        async with connected(host, port) as client:
            client.send(said)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return "gone"


async def _half_closes(host: str, port: int) -> str:
    """Says that it will say no more, before a whole head."""
    async with connected(host, port) as client:
        client.send(b"GET /metrics HTTP/1.1\r\n")
        client.shutdown(socket.SHUT_WR)
        return (await read(client)).decode() or "closed"


async def _crowds(host: str, port: int) -> str:
    """Opens three hundred connections and says nothing."""
    return " ".join(set(await asyncio.gather(*[_sends(b"")(host, port) for _ in range(300)])))


async def _says_urgently(host: str, port: int) -> str:
    """Sends bytes out of band in the midst of a request."""
    async with connected(host, port) as client:
        client.send(b"GET /-/healthy HTTP/1.1\r\n")
        client.send(b"!", socket.MSG_OOB)
        client.send(LAST)
        answer = await read(client)
    return " ".join(found.decode() for found in _STATUS.findall(answer))


_POST = b"POST /metrics HTTP/1.1\r\n" + HOST
_HEALTHY = b"GET /-/healthy HTTP/1.1\r\n"
_SCRAPE = b"GET /metrics HTTP/1.1\r\n"
_EXPECTS = _SCRAPE + b"Expect: 100-continue\r\n" + HOST + b"\r\n"
_GZIP = b"Content-Encoding: gzip\r\nContent-Length: %d\r\n"
_BOMB = gzip.compress(bytes(64 * MEGABYTE), compresslevel=1, mtime=0)
_LETTERS = b"a" * 200_000
_LINES = b"".join(b"X-%d: a\r\n" % number for number in range(3000))

FAULTS = (
    Fault("says nothing", _sends(b""), "closed", is_held=True),
    Fault("says nothing, three hundred times", _crowds, "closed", is_held=True),
    Fault("sends half a head", _sends(b"GET /metrics HTTP/1.1\r\nHost:"), "closed", is_held=True),
    Fault(
        "sends a head byte by byte",
        _sends(b"GET /metrics HTTP/1.1\r\n", *[b"X"] * 3000, pause_seconds=DRIP_SECONDS),
        "closed",
        is_held=True,
    ),
    Fault(
        "sends a header line at a time",
        _sends(_HEALTHY, *[b"X: a\r\n"] * 100, pause_seconds=0.2),
        "closed",
        is_held=True,
    ),
    Fault("sends blank lines only", _sends(b"\r\n" * 1000), "closed", is_held=True),
    Fault("speaks HTTP/0.9", _sends(b"GET /metrics\r\n"), "closed", is_held=True),
    Fault(
        "asks, and then for half of another",
        _sends(_HEALTHY + HOST + b"\r\n", b"GET", pause_seconds=0.1),
        "200",
        is_held=True,
    ),
    Fault("reads nothing of its answers", _never_reads, "closed", is_held=True),
    Fault("reads its answers by the byte", _reads_slowly, "closed", is_held=True),
    Fault("resets before it asks", partial(_resets, said=b""), "gone"),
    Fault("resets amid a head", partial(_resets, said=b"GET /metrics HTTP/1.1\r\nHo"), "gone"),
    Fault("leaves amid its answer", partial(_leaves, said=_SCRAPE + LAST, taken=100), "gone"),
    Fault("wants to be told to go on, and leaves", partial(_leaves, said=_EXPECTS), "gone"),
    Fault("resets before its answer", partial(_resets, said=_HEALTHY + LAST), "gone"),
    Fault("closes its side amid a head", _half_closes, "closed"),
    Fault(
        "announces a body of 100 MB",
        _sends(_POST + b"Content-Length: 104857600\r\n\r\nabc"),
        "405",
    ),
    Fault(
        "sends a body of 100 MB",
        _sends(_POST + b"Content-Length: 104857600\r\n\r\n", *[b"a" * MEGABYTE] * 100),
        "405",
    ),
    Fault(
        "sends a body that never ends",
        _sends(_POST + b"Content-Length: 9999\r\n\r\n", *[b"a"] * 3000, pause_seconds=DRIP_SECONDS),
        "405",
    ),
    Fault(
        "wants to be told to go on with its body",
        _sends(_POST + b"Expect: 100-continue\r\nContent-Length: 104857600\r\n\r\n"),
        "100 405",
    ),
    Fault(
        "sends chunks that are none",
        _sends(_POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
        "400",
    ),
    Fault(
        "sends a bad chunk after a good one",
        _sends(
            _POST + b"Transfer-Encoding: chunked\r\n\r\n",
            b"1\r\na\r\n",
            b"zz\r\n",
            pause_seconds=DRIP_SECONDS,
        ),
        "405",
    ),
    Fault("compresses what is no gzip", _method(b"POST", _GZIP % 100, body=b"a" * 50), "405"),
    Fault("sends a gzip bomb", _method(b"POST", _GZIP % len(_BOMB), body=_BOMB), "405"),
    Fault("has a body for a scrape", _get(b"Content-Length: 104857600\r\n"), "200"),
    Fault("puts", _method(b"PUT", b"Content-Length: 3\r\n", body=b"abc"), "405"),
    Fault("deletes what is not there", _method(b"DELETE", path=b"/nope"), "405"),
    Fault("traces", _method(b"TRACE"), "405"),
    Fault("asks for options", _method(b"OPTIONS", path=b"*"), "405"),
    Fault("takes us for a proxy", _method(b"CONNECT", path=b"example.org:443"), "405"),
    Fault("invents a method", _method(b"FLY"), "400"),
    Fault("sends an endless URL", _get(path=b"/" + _LETTERS), "400"),
    Fault("sends an endless header", _get(b"X: " + _LETTERS + b"\r\n"), "400"),
    Fault("sends thousands of headers", _get(_LINES), "400"),
    Fault("never ends its headers", _sends(_HEALTHY, *[_LINES] * 100), "400"),
    Fault(
        "sends ten thousand parameters",
        _get(path=b"/metrics?" + b"&".join([b"name[]=x"] * 10_000)),
        "200",
    ),
    Fault(
        "asks before it has the answer",
        _sends((_HEALTHY + HOST + b"\r\n") * 2 + _HEALTHY + LAST),
        "200 200 200",
    ),
    Fault("speaks HTTP/2", _sends(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "400"),
    Fault("speaks HTTP/9.9", _sends(b"GET / HTTP/9.9\r\n" + LAST), "400"),
    Fault(
        "speaks TLS",
        _sends(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 501),
        "400",
    ),
    Fault("sends NUL bytes", _sends(b"\0" * 1000 + b"\r\n\r\n"), "400"),
    Fault("has a NUL in its path", _get(path=b"/\0"), "400"),
    Fault("has a NUL in a header", _get(b"X: \0\r\n"), "400"),
    Fault("wants to be told to go on", _get(b"Expect: 100-continue\r\n"), "100 200"),
    Fault("expects the moon", _get(b"Expect: the-moon\r\n"), "417"),
    Fault("names the whole URL", _get(path=b"http://elsewhere/metrics"), "200"),
    Fault("names half a URL", _get(path=b"http://[/metrics"), "400"),
    Fault("names no host", _sends(b"GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n"), "400"),
    Fault("names two hosts", _get(HOST), "400"),
    Fault("wants a part", _get(b"Range: bytes=0-9\r\n"), "200"),
    Fault("has seen it before", _get(b"If-None-Match: *\r\n"), "200"),
    Fault("wants a web socket", _get(b"Upgrade: websocket\r\nConnection: upgrade\r\n"), "200"),
    Fault(
        "has two lengths",
        _sends(_POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        "400",
    ),
    Fault("has a negative length", _sends(_POST + b"Content-Length: -5\r\n\r\n"), "400"),
    Fault("folds a header", _get(b"X: a\r\n b\r\n"), "400"),
    Fault("puts a blank before the colon", _get(b"Authorization : Basic x\r\n"), "400"),
    Fault("ends lines without CR", _sends(b"GET /metrics HTTP/1.1\nHost: exporter\n\n"), "400"),
    Fault("climbs out of the root", _get(path=b"/%2e%2e/%2e%2e/etc/passwd"), "404"),
    Fault("sends urgent bytes", _says_urgently, "200"),
)
