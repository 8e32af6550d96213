"""Prometheus' remote write protocol, version 1, as far as numbers need it.

Source: https://prometheus.io/docs/specs/prw/remote_write_spec/. The snappy that it asks for is
written as one literal, which compresses nothing and takes no time.
"""

import http.client
import struct
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
"""What Prometheus writes where a series has ended."""

_VALUE = struct.Struct("<d").pack
_LITERAL = b"\xfc"  # its length is in the four bytes after it
_HEADERS = {
    "Content-Encoding": "snappy",
    "Content-Type": "application/x-protobuf",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}


def instant(milliseconds: int) -> bytes:
    """The part of a sample that tells when."""
    return b"\x10" + _varint(milliseconds)


def sample(value: float, when: bytes) -> bytes:
    """A sample of a series; times are written once for all series."""
    return _field(0x12, b"\x09" + _VALUE(value) + when)


def labels(series: Mapping[str, str]) -> bytes:
    """The labels of a series, its name among them."""
    return b"".join(
        _field(0x0A, _field(0x0A, name.encode()) + _field(0x12, text.encode()))
        for name, text in sorted(series.items())
    )


def request(series: Iterable[tuple[bytes, list[bytes]]]) -> bytes:
    """A request's body: the labels and samples of each series."""
    message = b"".join(_field(0x0A, named + b"".join(samples)) for named, samples in series)
    return _varint(len(message)) + _LITERAL + struct.pack("<I", len(message) - 1) + message


class Writer:
    """Writes to databases."""

    def __init__(self, *urls: str) -> None:
        self._connections = [http.client.HTTPConnection(urlsplit(url).netloc) for url in urls]

    def write(self, body: bytes) -> None:
        """Sends a request's body to each.

        Raises:
            ValueError: it was refused.
        """
        for connection in self._connections:
            connection.request("POST", "/api/v1/write", body, _HEADERS)
        for connection in self._connections:
            response = connection.getresponse()
            told = response.read()
            if response.status >= 300:
                raise ValueError(f"HTTP {response.status}: {told.decode()}")

    def close(self) -> None:
        """Hangs up."""
        for connection in self._connections:
            connection.close()


def _field(tag: int, content: bytes) -> bytes:
    return bytes((tag,)) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    if number < 128:
        return bytes((number,))
    low = bytearray()
    while number > 127:
        low.append(number & 127 | 128)
        number >>= 7
    return bytes((*low, number))
