"""What happens to connections before HTTP: the listening socket and its faults."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, cast

from exporter.simulator.wire import reset

_BACKLOG = 128
_GREETING_BYTES = 2**14
_ALERT = b"\x15"  # begins a TLS record of that kind
_FILLERS = 4  # connections that fill a backlog of 0, with some to spare

Address = Any  # its shape is the family's
Factory = Callable[[], asyncio.BaseProtocol]


class Silent(asyncio.Protocol):
    """Hears everything and never speaks."""


class Closing(asyncio.Protocol):
    """Closes without a byte."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ends our side alone: a socket closed with unread bytes would send RST."""
        cast(asyncio.Transport, transport).write_eof()


class Resetting(asyncio.Protocol):
    """Resets at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Does it."""
        reset(cast(asyncio.Transport, transport))


class Babbling(asyncio.Protocol):
    """Speaks something that is neither TLS nor HTTP."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Says it and ends our side."""
        speaking = cast(asyncio.Transport, transport)
        speaking.write(b"\x00\xff220 mail.example ESMTP ready\r\n")
        speaking.write_eof()


@dataclass(frozen=True, slots=True)
class LineFault:
    """A way in which a connection goes wrong before HTTP."""

    help: str
    protocol: Factory | None = None
    """Whom the connection is handed to instead of the API."""
    lasting: bool = False
    """Whether it is a state of the port, while its rule is in force."""
    named: bool = False
    """Whether its value names a TLS context."""


LINE_FAULTS = MappingProxyType(
    {
        "reset": LineFault("Reset the connection once it is there.", Resetting),
        "silent": LineFault("Accept and never speak: a stalled handshake, with TLS.", Silent),
        "close": LineFault("Close the connection without a byte.", Closing),
        "garbage": LineFault("Speak neither TLS nor HTTP.", Babbling),
        "tls": LineFault("Use another TLS context, by its name.", named=True),
        "refused": LineFault("Listen no more; open connections are dropped.", lasting=True),
        "blackhole": LineFault("Let no connection begin or go on, silently.", lasting=True),
    }
)


@dataclass(frozen=True, slots=True)
class Strike:
    """A line fault, and its value."""

    fault: str
    value: str


class Line:
    """A port of our own and its connections.

    Args:
        answer: makes the honest protocol of a connection.
        choose: tells what strikes the connection that has just come, if anything.
        contexts: TLS contexts by name; the honest one has the empty name. Empty: no TLS.
    """

    def __init__(
        self,
        answer: Factory,
        choose: Callable[[], Strike | None],
        contexts: Mapping[str, ssl.SSLContext],
    ) -> None:
        self._answer = answer
        self._choose = choose
        self._contexts = contexts
        self._loop = asyncio.get_running_loop()
        self._anchor: socket.socket | None = None
        self._listener: socket.socket | None = None
        self._fillers: list[socket.socket] = []
        self._open: dict[socket.socket, asyncio.Transport | None] = {}
        self._struck: set[socket.socket] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, host: str, port: int) -> int:
        """Take the port, without listening yet; tells which one it is.

        Raises:
            OSError: the address cannot be had.
        """
        found = await self._loop.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, _, _, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
        # Holds the port while nobody listens, so that nobody else gets it.
        self._anchor = _bound(family, address)
        return int(self._anchor.getsockname()[1])

    def listen(self, state: str = "") -> None:
        """Listen, or be as the lasting fault says; at once.

        Raises:
            OSError: somebody else listens at the port by now.
        """
        self._ignore()
        if state == "refused" or self._anchor is None:
            return
        self._listener = _bound(self._anchor.family, self._anchor.getsockname())
        if state == "blackhole":
            self._fill(self._listener)
            return
        self._listener.listen(_BACKLOG)
        self._loop.add_reader(self._listener, self._accept, self._listener)

    def drop(self, *, struck_alone: bool = False) -> None:
        """Drop the open connections, or those alone that a fault has struck."""
        for connected, transport in list(self._open.items()):
            if struck_alone and connected not in self._struck:
                continue
            if transport is not None:
                transport.abort()
            elif connected.fileno() >= 0:
                # Somebody is shaking hands: an end of file ends that.
                with suppress(OSError):
                    connected.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the port back; connections stay."""
        self._ignore()
        anchor, self._anchor = self._anchor, None
        if anchor is not None:
            anchor.close()

    async def end(self) -> None:
        """Drop all connections, and wait until they are closed."""
        while self._tasks:
            self.drop()
            await asyncio.wait(self._tasks)
        self.drop()
        await asyncio.sleep(0)  # transports close their sockets in the loop's next turn

    def _ignore(self) -> None:
        """Listen no more; who waits to be accepted is reset."""
        listener, self._listener = self._listener, None
        if listener is not None:
            self._loop.remove_reader(listener)
            listener.close()
        for filler in self._fillers:
            filler.close()
        self._fillers = []

    def _fill(self, listener: socket.socket) -> None:
        """Let the backlog overflow: then the system answers no SYN."""
        listener.listen(0)
        for _ in range(_FILLERS):
            filler = socket.socket(listener.family, socket.SOCK_STREAM)
            filler.settimeout(0)
            filler.connect_ex(_reachable(listener.getsockname()))
            self._fillers.append(filler)

    def _accept(self, listener: socket.socket) -> None:
        try:
            connected, _ = listener.accept()
        except OSError:
            return  # it is gone already
        connected.settimeout(0)
        self._open = {one: by for one, by in self._open.items() if one.fileno() >= 0}
        self._struck &= self._open.keys()
        self._open[connected] = None
        task = self._loop.create_task(self._carry(connected, self._choose()))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, connected: socket.socket, strike: Strike | None) -> None:
        """Hand a connection to whom it may concern."""
        protocol, context = self._answer, self._contexts.get("")
        if strike is not None:
            self._struck.add(connected)
            if (stranger := LINE_FAULTS[strike.fault].protocol) is not None:
                protocol, context = stranger, None
            else:
                context = self._contexts[strike.value]
                await self._warn(connected, context)
        # A failed handshake, which has closed the socket, is the client's to tell.
        with suppress(OSError):
            transport, _ = await self._loop.connect_accepted_socket(
                protocol, connected, ssl=context
            )
            self._open[connected] = transport

    async def _warn(self, connected: socket.socket, context: ssl.SSLContext) -> None:
        """Tell a client why its greeting is refused; asyncio would hang up without the alert."""
        arrived = asyncio.Event()
        self._loop.add_reader(connected, arrived.set)
        await arrived.wait()
        self._loop.remove_reader(connected)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        rehearsal = context.wrap_bio(incoming, outgoing, server_side=True)
        with suppress(OSError):  # the client has left, or the greeting is good as far as it goes
            incoming.write(connected.recv(_GREETING_BYTES, socket.MSG_PEEK))
            rehearsal.do_handshake()
        told = outgoing.read()
        if told.startswith(_ALERT):
            with suppress(OSError):
                connected.send(told)


def _bound(family: int, address: Address) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.settimeout(0)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        reason = (error.strerror or "").lower()
        raise OSError(error.errno, f"cannot bind to {address[0]}:{address[1]}: {reason}") from None
    return listener


def _reachable(address: Address) -> Address:
    """Name an address of this machine that leads to a listener at all of them."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(str(address[0]), address[0])  # noqa: S104
    return (host, *address[1:])
