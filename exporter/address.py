"""Addresses to listen on, as Prometheus' programs write them."""

import os
import re

_ADDRESS = re.compile(r"(?:\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<host>[^\[\]:\s]*)):(?P<port>[0-9]{1,5})")


def parse_address(text: str) -> tuple[str | None, int]:
    """Reads `host:port`, `[IPv6]:port` or `:port`; no host means every address.

    Raises:
        ValueError: it is something else.
    """
    found = _ADDRESS.fullmatch(text)
    if not found or int(found["port"]) > 65535:
        raise ValueError(f"{text!r} is not an address: write host:port such as 0.0.0.0:11940")
    return found["v6"] or found["host"] or None, int(found["port"])


def format_url(host: str, port: int) -> str:
    """Writes the URL under which a listener can be reached from this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - not bound here
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def reason_of(error: Exception) -> str:
    """The operating system's own words for an error; asyncio wraps them in longer ones."""
    number = getattr(error, "errno", None) or 0
    return os.strerror(number) if number > 0 else "no such address"
