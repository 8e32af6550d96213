"""One scrape at a time, for what has to be looked at; loads are h2load's."""

import gzip
from http.client import HTTPConnection, HTTPException

from benchmarks.errors import BenchError

ACCEPT = "text/plain;version=0.0.4"
"""The format that every target speaks."""

CAPACITY = b"\nwlvpn_server_capacity_used_ratio{"
"""What a page has once for each server."""

_SECONDS = 60.0


def fetch(port: int, path: str = "/metrics", *, compressed: bool = True) -> bytes:
    """Scrapes once, on a connection of its own.

    Returns:
        The body as it came.

    Raises:
        BenchError: there is no answer, or not a good one.
    """
    connection = HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    coding = "gzip" if compressed else "identity"
    try:
        connection.request("GET", path, headers={"Accept": ACCEPT, "Accept-Encoding": coding})
        response = connection.getresponse()
        body = response.read()
    except (OSError, HTTPException) as error:
        raise BenchError(f"no answer from port {port}: {type(error).__name__}") from None
    finally:
        connection.close()
    if response.status != 200 or response.getheader("Content-Encoding", "identity") != coding:
        raise BenchError(f"{path} answers {response.status}, or not in {coding}")
    return body


def plain(body: bytes) -> bytes:
    """Decompresses an answer if it is compressed."""
    return gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body


def is_complete(body: bytes, servers: int) -> bool:
    """Whether a page, compressed or not, has the capacity of all servers."""
    return plain(body).count(CAPACITY) == servers
