"""Addresses to listen on, as Prometheus' programs write them."""

import asyncio
import errno
import os
import re
import socket
from contextlib import ExitStack

from exporter.source import given

_ADDRESS = re.compile(r"(?:\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<host>[^\[\]:\s]*)):(?P<port>[0-9]{1,5})")


def parse_address(text: str) -> tuple[str | None, int]:
    """Reads `host:port`, `[IPv6]:port` or `:port`; no host means every address.

    Raises:
        ValueError: it is something else.
    """
    found = _ADDRESS.fullmatch(text)
    if not found or int(found["port"]) > 65535:
        raise ValueError(f"{given(text)} is not an address: write host:port such as 0.0.0.0:11940")
    return found["v6"] or found["host"] or None, int(found["port"])


def format_url(host: str, port: int) -> str:
    """Writes the URL under which a listener can be reached from this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - not bound here
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def reason_of(error: Exception) -> str:
    """The operating system's own words for an error; asyncio wraps them in longer ones."""
    number = getattr(error, "errno", None) or 0
    return os.strerror(number) if number > 0 else "no such address"


async def bind(address: str, *, backlog: int) -> list[socket.socket]:
    """Listens on all that an address stands for.

    Where a machine lacks either IPv4 or IPv6, the other has to do.

    Raises:
        OSError: it is taken, or cannot be had.
        UnicodeError: its host cannot be a name.
    """
    host, port = parse_address(address)
    found = await asyncio.get_running_loop().getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    missing = OSError(errno.EADDRNOTAVAIL, "")
    bound = []
    with ExitStack() as exits:
        for family, _, _, _, where in dict.fromkeys(found):
            try:
                one = _listen(family, where, backlog)
            except OSError as error:
                if error.errno not in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                    raise
                missing = error
            else:
                bound.append(exits.enter_context(one))
        if not bound:
            raise missing
        exits.pop_all()
    return bound


def _listen(family: int, where: tuple[object, ...], backlog: int) -> socket.socket:
    with ExitStack() as exits:
        one = exits.enter_context(socket.socket(family, socket.SOCK_STREAM))
        one.setblocking(False)  # noqa: FBT003 - as the socket has it
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # `[::]` means IPv6 alone, so that `0.0.0.0` may stand beside it.
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind(where)
        one.listen(backlog)
        exits.pop_all()
    return one
