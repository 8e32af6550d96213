"""A client that shows what really comes over the wire."""

import asyncio
import base64
import socket
from dataclasses import dataclass
from http.client import HTTPMessage, parse_headers
from io import BytesIO

from exporter.simulator import Simulator
from exporter.simulator.app import SERVERS, USAGE

MONTH = f"{USAGE}?start_date=2026-07-01&end_date=2026-07-31"
PATHS = {"servers": SERVERS, "usage": MONTH}
NOTHING_SECONDS = 0.05
"""How long we listen before we believe that nothing comes."""

_TOKEN = base64.b64encode(b"api-key:s3cret").decode()


@dataclass(frozen=True, slots=True)
class Heard:
    """An answer as it came, its body neither unchunked nor decompressed."""

    line: str
    headers: HTTPMessage
    body: bytes


class RawClient:
    """One connection; each wait for it has a limit."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self, path: str = SERVERS, *, coding: str = "identity") -> None:
        self._writer.write(question(path, coding=coding))
        await self._writer.drain()

    async def read(self, size: int = 2**16) -> bytes:
        """Some bytes; none at the end."""
        return await asyncio.wait_for(self._reader.read(size), 5)

    async def read_exactly(self, size: int) -> bytes:
        return await asyncio.wait_for(self._reader.readexactly(size), 5)

    async def read_head(self) -> bytes:
        return await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), 5)

    async def read_all(self) -> bytes:
        """All bytes until the end."""
        return await asyncio.wait_for(self._reader.read(), 5)

    async def hears_nothing(self) -> bool:
        """Whether nothing more comes, not even an end."""
        try:
            await asyncio.wait_for(self._reader.read(1), NOTHING_SECONDS)
        except TimeoutError:
            return True
        return False

    async def close(self) -> None:
        self._writer.transport.abort()
        await asyncio.sleep(0)


async def connect(simulator: Simulator) -> RawClient:
    return RawClient(*await asyncio.open_connection("127.0.0.1", simulator.port))


async def hear(simulator: Simulator, path: str = SERVERS, *, coding: str = "identity") -> Heard:
    """Asks once and reads until the end."""
    client = await connect(simulator)
    try:
        await client.ask(path, coding=coding)
        return parse(await client.read_all())
    finally:
        await client.close()


def question(path: str = SERVERS, *, coding: str = "identity") -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Host: localhost", f"Authorization: Basic {_TOKEN}"]
    lines += [f"Accept-Encoding: {coding}", "Connection: close", "", ""]
    return "\r\n".join(lines).encode()


async def hear_until_reset(simulator: Simulator) -> bytes:
    """What came before the connection was reset; a stream would forget it."""
    loop = asyncio.get_running_loop()
    heard = b""
    with socket.socket() as client:
        client.settimeout(0)
        async with asyncio.timeout(5):
            await loop.sock_connect(client, ("127.0.0.1", simulator.port))
            await loop.sock_sendall(client, question())
            try:
                while part := await loop.sock_recv(client, 2**16):
                    heard += part
            except ConnectionResetError:
                return heard
    raise AssertionError("it ended without a reset")


def parse(answer: bytes) -> Heard:
    head, _, body = answer.partition(b"\r\n\r\n")
    line, _, fields = head.partition(b"\r\n")
    return Heard(line.decode(), parse_headers(BytesIO(fields + b"\r\n\r\n")), body)
