"""One client's connection: what it waits for, since when, and whether its time is up."""

import asyncio
import fcntl
import sys
import termios
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import cast

from aiohttp import web

from exporter.clock import Clock


@dataclass(frozen=True, slots=True)
class Limits:
    """What clients may take."""

    connections: int = 256
    """At a time; fewer where the process may open few files."""
    line_bytes: int = 128 * 1024
    """For the first line of a request: as long as ten thousand parameters, which we ignore."""
    headers: int = 64
    """In a request: with 128 of 8 KiB, clients that never end theirs took half a gigabyte."""
    head_seconds: float = 10.0
    """From the first byte of a request, or from the connection's beginning, to a whole head."""
    keep_alive_seconds: float = 75.0
    """Between an answer and the next request."""
    write_seconds: float = 10.0
    """Without a byte of an answer reaching the client."""
    body_seconds: float = 1.0
    """For a body that nobody wants: closing at once would destroy the refusal on its way."""
    stall_seconds: float = 1.0
    """Before one that asks nothing, or takes nothing of its answer, may give way to another."""
    grace_seconds: float = 0.05
    """The same for one that asks nothing, while most of those who come ask nothing."""
    answer_seconds: float = 10.0
    """Before one that takes its answer slowly may; by default Prometheus gives up then, too."""
    pause_seconds: float = 1.0
    """After the system refused us a connection."""
    sweep_seconds: float = 0.5
    """Between two looks at what is overdue."""
    shutdown_seconds: float = 1.5
    """For answers under way when stopping."""


class Phase(Enum):
    """What a connection waits for."""

    HEAD = auto()
    ANSWER = auto()
    NOTHING = auto()


class Connection(asyncio.Protocol):
    """Stands between a socket and aiohttp's handler, and keeps the time.

    Args:
        handler: aiohttp's side of it.
        clock: the time.
        limits: what it may take.
        leave: told once, when the connection has ended or been aborted.
        is_secured: whether TLS comes first; `open` then follows.
    """

    __slots__ = (
        "_clock",
        "_early",
        "_is_gone",
        "_is_open",
        "_is_secured",
        "_last_unsent",
        "_leave",
        "_limits",
        "_moved",
        "_phase",
        "_since",
        "handler",
        "has_been_answered",
        "socket_transport",
        "stirred",
    )

    def __init__(
        self,
        handler: web.RequestHandler,
        *,
        clock: Clock,
        limits: Limits,
        leave: Callable[["Connection"], None],
        is_secured: bool,
    ) -> None:
        self.handler = handler
        self.socket_transport: asyncio.Transport | None = None
        self.stirred = 0  # grows with all that happens
        self._clock = clock
        self._limits = limits
        self._leave = leave
        self._is_secured = is_secured
        self._is_open = False
        self._is_gone = False
        self._early: list[bytes] = []
        self._phase = Phase.HEAD
        self._since = self._moved = clock.monotonic()
        self.has_been_answered = False
        self._last_unsent = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Takes the socket; TLS reads on from here, so nothing may be read before it."""
        self.socket_transport = cast(asyncio.Transport, transport)
        if self._is_gone:
            self.socket_transport.abort()
            return
        if self._is_secured:
            self.socket_transport.pause_reading()
        else:
            self.open(self.socket_transport)

    def open(self, transport: asyncio.Transport) -> None:
        """Begins to serve; a request may have come with the end of the TLS handshake."""
        if self._is_gone:
            return
        self._is_open = True
        self.handler.connection_made(transport)
        for data in self._early:
            self.handler.data_received(data)
        self._early.clear()

    def data_received(self, data: bytes) -> None:
        """Hands on what the client sends; after an answer its first byte begins a head."""
        self.stirred += 1
        if not self._is_open:
            self._early.append(data)
            return
        if self._phase is Phase.NOTHING:
            self._enter(Phase.HEAD)
        self.handler.data_received(data)

    def eof_received(self) -> None:
        """Closes, as aiohttp does."""

    def pause_writing(self) -> None:
        """Lets the answer wait for its reader."""
        self.handler.pause_writing()

    def resume_writing(self) -> None:
        """Goes on with the answer."""
        self.handler.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tells those who count, and aiohttp."""
        self._go()
        if self._is_open:
            self._is_open = False
            self.handler.connection_lost(exc)

    def begin(self) -> None:
        """A request's head is complete."""
        self._enter(Phase.ANSWER)
        self._moved = self._since

    def end(self) -> None:
        """The request is answered, though its answer may still be on its way."""
        self.has_been_answered = True
        self._enter(Phase.NOTHING)

    def finish(self) -> None:
        """Takes no further request."""
        self.handler.close()

    def abort(self) -> None:
        """Closes at once, whatever is on its way; once it has ended there is nothing to close."""
        if self._is_gone:
            return
        self._go()
        if self.socket_transport:
            self.socket_transport.abort()

    def is_answered(self) -> bool:
        """Whether no request is in progress and the system has every answer: it sends the rest."""
        return self._phase is not Phase.ANSWER and not self._unsent()

    def is_idle(self) -> bool:
        """Whether it has its answers, and the next request has not begun."""
        return self._phase is Phase.NOTHING and not self._unsent()

    def is_overdue(self) -> bool:
        """Whether its time is up. Keep-alive is aiohttp's to watch."""
        now = self._clock.monotonic()
        if self._look(now):
            return now - self._moved >= self._limits.write_seconds
        return self._phase is Phase.HEAD and now - self._since >= self._limits.head_seconds

    def precedence(self, *, grace_seconds: float) -> tuple[int, float] | None:
        """Its place among those that give way at the cap, the lowest first; None: it need not.

        Who never asked goes first, then who has been answered, then who does not take the answer.

        Args:
            grace_seconds: for those who never asked.
        """
        if self._is_gone:
            return None
        limits = self._limits
        now = self._clock.monotonic()
        waited = now - self._since
        if self._look(now):
            is_stuck = now - self._moved >= limits.stall_seconds
            return (2, self._since) if is_stuck or waited >= limits.answer_seconds else None
        if self._phase is Phase.ANSWER:
            return None
        if self.has_been_answered:
            return 1, self._since
        return (0, self._since) if waited >= grace_seconds else None

    def _enter(self, phase: Phase) -> None:
        self.stirred += 1
        self._phase = phase
        self._since = self._clock.monotonic()

    def _look(self, now: float) -> int:
        """Gives the bytes that the client has not taken yet, and notes when they became fewer."""
        # The system takes megabytes for a client: for us alone it would seem to stop for long.
        unsent = self._unsent() + _queued(self.socket_transport)
        if not unsent or unsent < self._last_unsent:
            self._moved = now
        self._last_unsent = unsent
        return unsent

    def _unsent(self) -> int:
        # TLS keeps nothing back but while this is full.
        return self.socket_transport.get_write_buffer_size() if self.socket_transport else 0

    def _go(self) -> None:
        if not self._is_gone:
            self._is_gone = True
            self._leave(self)


def _queued(transport: asyncio.Transport | None) -> int:
    """The bytes that the system keeps until the client confirms them."""
    if transport is None:
        return 0
    answer = bytearray(4)
    try:
        fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, answer)
    except (OSError, ValueError):
        return 0  # it has been closed
    return int.from_bytes(answer, sys.byteorder)
