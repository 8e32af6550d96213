"""What an answer is worth, as far as it can be told without a connection."""

import errno
import socket
import ssl
from datetime import UTC, datetime

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey, RequestInfo
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from exporter.errors import ApiError, DecodeError, SchemaError
from exporter.fields import number
from exporter.response import decode, parse_retry_after, translate

NOW = datetime(2026, 3, 17, 12, 0, tzinfo=UTC)
IN_A_MINUTE = "Tue, 17 Mar 2026 12:01:00 GMT"

CANARY = "c4n4ryK3y"
HOST = ConnectionKey("api.wlvpn.com", 443, is_ssl=True, ssl=True, proxy=None, proxy_auth=None,
                     proxy_headers_hash=None)  # fmt: skip
REQUEST = RequestInfo(
    URL(f"https://{CANARY}@api.wlvpn.com/v2/servers"),
    "GET",
    CIMultiDictProxy(CIMultiDict({"Authorization": f"Basic {CANARY}"})),
)
REFUSED_CERTIFICATE = ssl.SSLCertVerificationError(1, CANARY)
REFUSED_CERTIFICATE.verify_message = "certificate has\nexpired"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{}", {}),
        (b' {"api_status": 1}\n', {"api_status": 1}),
        ('{"city": "São Paulo"}'.encode(), {"city": "S\u00e3o Paulo"}),
        (b'{"city": "\\ud83c"}', {"city": "\ud83c"}),
        (b'{"a": ' + b"9" * 4_000 + b"}", {"a": 10**4_000 - 1}),
        (b'{"a": [[[]]]}', {"a": [[[]]]}),
    ],
    ids=["empty", "flat", "UTF-8", "lone surrogate", "long integer", "nested"],
)
def test_json_is_decoded(body: bytes, expected: object) -> None:
    """An object in UTF-8 is what the API answers."""
    assert expected == decode(body)


def test_a_name_with_two_values_has_none() -> None:
    """Which of two values is true nobody knows, so neither can be read; their neighbours can."""
    decoded = decode(b'{"a": 1, "a": 1, "b": {"c": 2}}')
    assert {"a", "b"} == decoded.keys()
    assert {"c": 2} == decoded["b"]
    with pytest.raises(SchemaError, match="a: expected a number, got several values"):
        number(decoded["a"], "a", low=0, high=9)


@pytest.mark.parametrize(
    ("body", "expected"),
    {
        "empty": (b"", "not JSON: Expecting value: line 1 column 1 (char 0)"),
        "cut": (b'{"server": {', "not JSON: Expecting property name enclosed in double quotes"),
        "page": (b"<html>", "not JSON: Expecting value"),
        "two answers": (b"{}{}", "not JSON: Extra data"),
        "NaN": (b'{"a": NaN}', "not JSON: NaN is not a number"),
        "Infinity": (b'{"a": Infinity}', "not JSON: Infinity is not a number"),
        "minus Infinity": (b'{"a": -Infinity}', "not JSON: -Infinity is not a number"),
        "overlong integer": (b'{"a": ' + b"9" * 5_000 + b"}", "not JSON: Exceeds the limit"),
        "Latin-1": (b'{"city": "S\xe3o Paulo"}', "not UTF-8"),
        "UTF-16": ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
        "surrogate in bytes": (b'{"a": "\xed\xa0\x80"}', "not UTF-8"),
        "byte order mark": (b"\xef\xbb\xbf{}", "not JSON: Unexpected UTF-8 BOM"),
        "control character": (b'{"a": "\n"}', "not JSON: Invalid control character"),
        "deep lists": (b'{"a": ' + b"[" * 100_000, "nested too deep"),
        "deep objects": (b'{"a": ' * 100_000, "nested too deep"),
    }.values(),
    ids=lambda value: ascii(value)[:40],
)
def test_what_is_not_strict_json_is_refused(body: bytes, expected: str) -> None:
    """It is an error with a name, never a crash."""
    with pytest.raises(DecodeError) as refused:
        decode(body)
    assert expected == str(refused.value)[: len(expected)]


@pytest.mark.parametrize("body", [b"[]", b"null", b"1", b'"{}"', b"true"], ids=ascii)
def test_json_that_is_no_object_is_refused(body: bytes) -> None:
    """Every documented answer is an object."""
    with pytest.raises(SchemaError, match="the answer is not an object"):
        decode(body)


@pytest.mark.parametrize(
    ("value", "date", "expected"),
    {
        "absent": (None, None, None),
        "seconds": ("30", None, 30.0),
        "seconds with spaces": (" 30 ", None, 30.0),
        "no wait": ("0", None, 1.0),
        "the longest": ("900", None, 900.0),
        "hours": ("86400", None, 900.0),
        "longest number": ("999999999", None, 900.0),
        "absurd number": ("9999999999", None, None),
        "negative": ("-30", None, None),
        "fraction": ("1.5", None, None),
        "arabic digits": ("\u0663\u0660", None, None),
        "word": ("soon", None, None),
        "seconds and a control character": ("1\x1f", None, 1.0),
        "date of a huge zone": ("Tue, 17 Mar 2026 12:01:00 +99999999999999999", None, None),
        "date against a huge zone": (
            IN_A_MINUTE,
            "17-Mar-2026 12:01:00 99999999999999999999999",
            60.0,
        ),
        "empty": ("", None, None),
        "space": (" ", None, None),
        "date against our clock": (IN_A_MINUTE, None, 60.0),
        "date against the answer's": (IN_A_MINUTE, "Tue, 17 Mar 2026 12:00:30 GMT", 30.0),
        "date against nonsense": (IN_A_MINUTE, "yesterday", 60.0),
        "date of another zone": ("Tue, 17 Mar 2026 13:01:00 +0100", None, 60.0),
        "date of no zone": ("Tue, 17 Mar 2026 12:01:00 -0000", None, 60.0),
        "obsolete date": ("Tuesday, 17-Mar-26 12:01:00 GMT", None, 60.0),
        "date in the past": ("Tue, 17 Mar 2026 11:00:00 GMT", None, 1.0),
        "date next year": ("Wed, 17 Mar 2027 12:00:00 GMT", None, 900.0),
        "no such day": ("Tue, 31 Feb 2026 12:00:00 GMT", None, None),
        "no such zone": ("Tue, 17 Mar 2026 12:00:00 +9999", None, None),
        "no such year": ("Tue, 17 Mar 99999 12:00:00 GMT", None, None),
    }.values(),
    ids=ascii,
)
def test_retry_after_is_read_and_bounded(
    value: str | None, date: str | None, expected: float | None
) -> None:
    """Seconds or a date give 1 to 900 seconds; what makes no sense counts as absent."""
    assert expected == parse_retry_after(value, date=date, now=NOW)


FOREIGN = {
    "timeout": (TimeoutError(CANARY), "timeout", "no whole answer in time"),
    "socket timeout": (aiohttp.SocketTimeoutError(CANARY), "timeout", "no whole answer in time"),
    "connect timeout": (aiohttp.ConnectionTimeoutError(), "timeout", "no whole answer in time"),
    "no address": (
        aiohttp.ClientConnectorDNSError(HOST, socket.gaierror(-2, CANARY)),
        "dns",
        "api.wlvpn.com: no address",
    ),
    "certificate": (
        aiohttp.ClientConnectorCertificateError(HOST, REFUSED_CERTIFICATE),
        "tls",
        "certificate of api.wlvpn.com: certificate hasexpired",
    ),
    "certificate, no reason told": (
        aiohttp.ClientConnectorCertificateError(HOST, ValueError(CANARY)),
        "tls",
        "certificate of api.wlvpn.com: refused",
    ),
    "handshake": (
        aiohttp.ClientConnectorSSLError(HOST, ssl.SSLError(1, CANARY)),
        "tls",
        "the TLS handshake failed",
    ),
    "TLS later": (ssl.SSLError(1, CANARY), "tls", "TLS failed"),
    "refused": (
        aiohttp.ClientConnectorError(HOST, ConnectionRefusedError(errno.ECONNREFUSED, CANARY)),
        "connect",
        "api.wlvpn.com:443: Connection refused",
    ),
    "no reason told": (
        aiohttp.ClientConnectorError(HOST, OSError(CANARY)),
        "connect",
        "api.wlvpn.com:443: no connection",
    ),
    "proxy unreachable": (
        aiohttp.ClientProxyConnectionError(HOST, OSError(errno.EHOSTUNREACH, CANARY)),
        "connect",
        "api.wlvpn.com:443: No route to host",
    ),
    "proxy": (
        aiohttp.ClientHttpProxyError(REQUEST, (), status=407, message=CANARY),
        "connect",
        "the proxy answered HTTP 407",
    ),
    "payload": (aiohttp.ClientPayloadError(CANARY), "truncated", "the answer ended before its end"),
    "disconnected": (
        aiohttp.ServerDisconnectedError(CANARY),
        "reset",
        "the connection broke before an answer",
    ),
    "reset": (
        ConnectionResetError(errno.ECONNRESET, CANARY),
        "reset",
        "the connection broke before an answer",
    ),
    "other trouble": (OSError(CANARY), "reset", "the connection broke before an answer"),
    "not HTTP": (
        aiohttp.ClientResponseError(REQUEST, (), message=CANARY),
        "decode",
        "not HTTP, or in an encoding that nobody asked for",
    ),
    "our own": (aiohttp.InvalidURL(CANARY), "unexpected", "InvalidURL"),
}


@pytest.mark.parametrize(("error", "reason", "told"), FOREIGN.values(), ids=FOREIGN)
def test_foreign_errors_are_named(error: Exception, reason: str, told: str) -> None:
    """Each has one reason, and nothing of its own text that could carry the key."""
    ours = translate(error, begun=False)
    assert (reason, told) == (ours.reason, str(ours))


@pytest.mark.parametrize("error", [aiohttp.ServerDisconnectedError(), ConnectionResetError()])
def test_a_connection_that_breaks_within_the_answer_truncates_it(error: Exception) -> None:
    """What is a reset before the answer is a cut after its beginning."""
    ours = translate(error, begun=True)
    assert ("truncated", "the connection broke within the answer") == (ours.reason, str(ours))


def test_a_timeout_stays_one_within_the_answer() -> None:
    """Only resets change their name once the answer has begun."""
    ours: ApiError = translate(TimeoutError(), begun=True)
    assert "timeout" == ours.reason
