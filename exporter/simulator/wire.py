"""Ways of sending a reply that go wrong, or at least are odd."""

import asyncio
import gzip
import socket
import struct
import zlib
from collections.abc import Callable, Iterable, Mapping
from functools import cache

from aiohttp import web

from exporter.simulator.reply import Reply, Sender, encoded, phrase

_MEMBERS = 10_000
_EARLY_BYTES = 16 * 1024  # fits into any socket's buffer, so it is there before the RST
_FLOOD_HEADERS = 20_000
_BLOCK = b" " * 2**20
_BOMB_BLOCKS = 210
_BOMB_START, _BOMB_END = b'{"api_status": 1, "server": {}, "data": {}', b"}"
_HINTS_SECONDS = 0.25  # between two of the endless informational answers


async def send_half(request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    """Announce all of it, send half, hang up."""
    response, body = await _begin(request, reply)
    response.force_close()
    await response.write(body[: len(body) // 2])
    return response


async def send_half_chunked(request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    """Begin a chunk, send half of it, hang up."""
    headers, body = encoded(request, reply)
    half = body[: len(body) // 2]
    return _say(request, _chunked_head(reply, headers) + b"%x\r\n%b" % (len(body), half))


async def send_half_and_wait(request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    """Announce all of it, send half, then nothing until somebody goes away."""
    response, body = await _begin(request, reply)
    await response.write(body[: len(body) // 2])
    return await send_nothing(request, reply)


async def send_half_and_reset(request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    """Announce all of it, send half at the most, reset the connection."""
    response, body = await _begin(request, reply)
    await response.write(body[: min(len(body) // 2, _EARLY_BYTES)])
    return await send_reset(request, reply)


async def send_nothing(_request: web.BaseRequest, _reply: Reply) -> web.StreamResponse:
    """Wait until the client or the simulator goes away."""
    await asyncio.Event().wait()
    return web.Response()  # pragma: no cover - the wait only ends by cancellation


async def send_close(request: web.BaseRequest, _reply: Reply) -> web.StreamResponse:
    """Close the connection instead of an answer."""
    return _say(request, b"")


async def send_reset(request: web.BaseRequest, _reply: Reply) -> web.StreamResponse:
    """Reset the connection instead of an answer."""
    transport = _transport(request)
    reset(transport)
    return web.Response()  # goes nowhere: aiohttp notices that the connection is gone


def reset(transport: asyncio.Transport) -> None:
    """Close a connection with RST, whatever is still to be sent."""
    connected = transport.get_extra_info("socket")
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def send_head_slowly(seconds: float) -> Sender:
    """Make a sender that sends the head byte by byte, so many seconds apart."""

    async def send(request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
        headers, body = encoded(request, reply)
        transport = _transport(request)
        for byte in _sized_head(reply, headers, body):
            transport.write(bytes([byte]))
            await asyncio.sleep(seconds)
        return _say(request, body)

    return send


def send_body_slowly(seconds: float) -> Sender:
    """Make a sender that sends the body byte by byte, so many seconds apart."""

    async def send(request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
        response, body = await _begin(request, reply)
        for byte in body:
            await response.write(bytes([byte]))
            await asyncio.sleep(seconds)
        return response

    return send


async def send_in_small_chunks(request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    """Send all of it, in chunks of one, two and three bytes."""
    headers, body = encoded(request, reply)
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in _small_parts(body))
    return _say(request, _chunked_head(reply, headers) + chunks + b"0\r\n\r\n")


async def send_verbatim(request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    """Send all of it, with the reply's headers alone: aiohttp would add a content type."""
    headers, body = encoded(request, reply)
    return _say(request, _sized_head(reply, headers, body) + body)


async def send_bomb(_request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    """Send some 200 kB of gzip that become 210 MiB of JSON, whatever the client accepts."""
    headers = {"Content-Type": reply.content_type, "Content-Encoding": "gzip"}
    return web.Response(headers=headers, body=_bomb())


async def send_members(_request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    """Send all of it as one gzip member among ten thousand empty ones, accepted or not."""
    headers = {"Content-Type": reply.content_type, "Content-Encoding": "gzip", **reply.headers}
    empty = gzip.compress(b"", mtime=0) * (_MEMBERS // 2)
    body = empty + gzip.compress(reply.body, compresslevel=1, mtime=0) + empty
    return web.Response(status=reply.status, headers=headers, body=body)


async def send_endlessly(request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    """Send a body without an end, in chunks, until the client goes away."""
    response = web.StreamResponse(headers={"Content-Type": reply.content_type})
    response.enable_chunked_encoding()
    await response.prepare(request)
    await response.write(_BOMB_START)
    while True:
        await response.write(_BLOCK[: 2**16])


async def send_header_flood(request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    """Send a head with too many headers, and one that is too long."""
    headers = {f"X-Flood-{number}": "f" * 64 for number in range(_FLOOD_HEADERS)}
    headers["X-Flood"] = "f" * 2**20
    return _say(request, _sized_head(reply, headers, reply.body) + reply.body)


async def send_informational(request: web.BaseRequest, _reply: Reply) -> web.StreamResponse:
    """Announce an answer again and again, and never give it."""
    transport = _transport(request)
    while not transport.is_closing():
        transport.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        await asyncio.sleep(_HINTS_SECONDS)
    return web.Response()


async def send_upgrade(request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    """Switch to a protocol that nobody asked for, and wait."""
    headers = {"Connection": "Upgrade", "Upgrade": "websocket"}
    _transport(request).write(_head(101, headers))
    return await send_nothing(request, reply)


async def _begin(request: web.BaseRequest, reply: Reply) -> tuple[web.StreamResponse, bytes]:
    """Send the head, which announces the whole body."""
    headers, body = encoded(request, reply)
    response = web.StreamResponse(status=reply.status, headers=headers)
    response.content_length = len(body)
    await response.prepare(request)
    return response, body


def _say(request: web.BaseRequest, answer: bytes) -> web.StreamResponse:
    """Send these bytes as they are, behind aiohttp's back, and hang up."""
    transport = _transport(request)
    transport.write(answer)
    transport.close()
    return web.Response()  # goes nowhere, as above


def _transport(request: web.BaseRequest) -> asyncio.Transport:
    """Get the connection.

    Raises:
        ConnectionResetError: it is gone.
    """
    if request.transport is None:
        raise ConnectionResetError("the client went away")
    assert isinstance(request.transport, asyncio.Transport)  # noqa: S101 - for the types
    return request.transport


def _sized_head(reply: Reply, headers: Mapping[str, str], body: bytes) -> bytes:
    length = {"Content-Length": str(len(body)), "Connection": "close"}
    return _head(reply.status, {**headers, **length})


def _chunked_head(reply: Reply, headers: Mapping[str, str]) -> bytes:
    chunked = {"Transfer-Encoding": "chunked", "Connection": "close"}
    return _head(reply.status, {**headers, **chunked})


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {phrase(status)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def _small_parts(body: bytes) -> Iterable[bytes]:
    start, size = 0, 1
    while start < len(body):
        yield body[start : start + size]
        start, size = start + size, size % 3 + 1


@cache
def _bomb() -> bytes:
    """Make the bomb, once and only where it is used: equal blocks compress to equal bytes."""
    compress = zlib.compressobj(9, wbits=-15)

    def packed(part: bytes) -> bytes:
        return compress.compress(part) + compress.flush(zlib.Z_FULL_FLUSH)

    start, block, end = packed(_BOMB_START), packed(_BLOCK), packed(_BOMB_END)
    size = len(_BOMB_START) + _BOMB_BLOCKS * len(_BLOCK) + len(_BOMB_END)
    trailer = struct.pack("<II", _bomb_checksum(zlib.crc32), size)
    head = gzip.compress(b"", mtime=0)[:10]
    return b"".join([head, start, block * _BOMB_BLOCKS, end, compress.flush(), trailer])


def _bomb_checksum(update: Callable[[bytes, int], int]) -> int:
    checksum = 0
    for part in (_BOMB_START, *[_BLOCK] * _BOMB_BLOCKS, _BOMB_END):
        checksum = update(part, checksum)
    return checksum
