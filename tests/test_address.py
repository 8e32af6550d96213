"""Addresses to listen on."""

import errno
import socket

import pytest

from exporter.address import format_url, parse_address, reason_of
from exporter.source import given

EVERYWHERE = ".".join("0000")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (f"{EVERYWHERE}:11940", (EVERYWHERE, 11940)),
        ("localhost:80", ("localhost", 80)),
        (":11940", (None, 11940)),
        ("[::1]:11940", ("::1", 11940)),
        ("[::]:0", ("::", 0)),
        ("[::ffff:127.0.0.1]:1", ("::ffff:127.0.0.1", 1)),
        ("localhost:65535", ("localhost", 65535)),
    ],
    ids=str,
)
def test_an_address_is_read(written: str, expected: tuple[str | None, int]) -> None:
    """Host and port are told apart, IPv6 by its brackets; no host means every address."""
    assert expected == parse_address(written)


@pytest.mark.parametrize(
    "written",
    [
        "",
        ":",
        "11940",
        "localhost",
        "localhost:",
        "a b:80",
        "a\n:80",
        "localhost:http",
        "localhost:-1",
        "localhost:65536",
        "localhost:000080",
        "localhost:80\n",
        "localhost:\u0668\u0660",
        "::1:11940",
        "[::1]",
        "[]:11940",
        "[localhost]:11940",
        "http://localhost:11940",
    ],
    ids=ascii,
)
def test_what_is_no_address_is_refused_with_the_mend(written: str) -> None:
    """The error tells what was written, unless it may be a key, and shows what to write."""
    with pytest.raises(ValueError, match="is not an address: write host:port") as refused:
        parse_address(written)
    assert str(refused.value).startswith(given(written))


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (EVERYWHERE, "http://127.0.0.1:11940"),
        ("::", "http://[::1]:11940"),
        ("::1", "http://[::1]:11940"),
        ("10.0.0.7", "http://10.0.0.7:11940"),
        ("localhost", "http://localhost:11940"),
    ],
    ids=lambda text: text,
)
def test_a_url_reaches_the_listener_from_this_machine(host: str, expected: str) -> None:
    """An address that means all of them becomes the loopback's."""
    assert expected == format_url(host, 11940)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.EADDRINUSE, "error while attempting to bind"), "Address already in use"),
        (OSError(errno.EPERM, "error while attempting to bind"), "Operation not permitted"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "no such address"),
        (OSError("could not bind on any address"), "no such address"),
    ],
    ids=["taken", "not ours", "unknown name", "no number"],
)
def test_a_listener_that_fails_says_why(error: OSError, expected: str) -> None:
    """The operating system's own words, without the library's around them."""
    assert expected == reason_of(error)
