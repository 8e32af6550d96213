"""What an answer over HTTP is worth: its head, its bytes, its JSON, or the error that it was.

Sources: "Errors" in the White Label VPN API documentation; Retry-After in RFC 9110, section 10.2.3.
"""

import json
import os
import re
import ssl
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn

import aiohttp
from aiohttp.http_exceptions import ContentEncodingError

from exporter.errors import (
    ApiError,
    BadRequestError,
    ConnectError,
    ContentTypeError,
    DeadlineError,
    DecodeError,
    DnsError,
    ForbiddenError,
    GoneError,
    NotFoundError,
    RateLimitedError,
    RedirectError,
    ResetError,
    SchemaError,
    ServerError,
    TlsError,
    TooLargeError,
    TruncatedError,
    UnauthorizedError,
    UnexpectedError,
)
from exporter.fields import clean, unambiguous

MIN_RETRY_AFTER_SECONDS = 1.0
MAX_RETRY_AFTER_SECONDS = 900.0

_CHUNK_BYTES = 64 * 1024
_DIGITS = re.compile(r"[0-9]{1,9}", re.ASCII)
_STATUS_HINTS = {401: ": the API does not know the key", 403: ": the key may not read this"}
_STATUS_ERRORS = {401: UnauthorizedError, 403: ForbiddenError, 404: NotFoundError, 410: GoneError}


class Response(aiohttp.ClientResponse):
    """Remembers the end of the API's certificate: later the connection may be gone."""

    tls_not_after: datetime | None = None

    async def start(self, connection: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
        """Begins to read, as aiohttp does, with one look at the connection."""
        transport = connection.transport
        tls = transport.get_extra_info("ssl_object") if transport else None
        if tls is not None:
            not_after = ssl.cert_time_to_seconds(tls.getpeercert()["notAfter"])
            self.tls_not_after = datetime.fromtimestamp(not_after, UTC)
        return await super().start(connection)


def check_head(response: Response, *, now: datetime) -> None:
    """Checks what is known before the body.

    Raises:
        ApiError: the status or the content type tells that there will be no reading.
    """
    status = response.status
    if status == 429:
        after = response.headers.get("Retry-After")
        date = response.headers.get("Date")
        raise RateLimitedError("HTTP 429", parse_retry_after(after, date=date, now=now))
    if status != 200:
        raise _status_error(status)
    if not _is_json(response.content_type):
        raise ContentTypeError(f"not JSON but {clean(response.content_type)}")


def _status_error(status: int) -> ApiError:
    told = f"HTTP {status}{_STATUS_HINTS.get(status, '')}"
    if status >= 500:
        return ServerError(told, status)
    if status >= 400:
        return _STATUS_ERRORS.get(status, BadRequestError)(told)
    return RedirectError(told) if status >= 300 else UnexpectedError(told)


def _is_json(content_type: str) -> bool:
    return content_type == "application/json" or content_type.endswith("+json")


async def read(response: aiohttp.ClientResponse, *, max_bytes: int) -> bytes:
    """Reads the decompressed body.

    Raises:
        TooLargeError: it is larger than `max_bytes`; the rest is not read.
    """
    body = bytearray()
    try:
        async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
            body += chunk
            if len(body) > max_bytes:
                told = f"the answer is larger than {max_bytes} bytes: see max_body_bytes"
                raise TooLargeError(told)
        return bytes(body)
    finally:
        body.clear()  # an error may be kept by what it broke, and with it this frame


def decode(body: bytes) -> Mapping[str, object]:
    """Decodes strictly: RFC 8259 knows UTF-8 alone, and no NaN or Infinity.

    Raises:
        DecodeError: it is not JSON, or nested too deep, or an integer is too long.
        SchemaError: it is not an object.
    """
    try:
        answer = json.loads(
            body.decode("utf-8"),
            parse_constant=_refuse_constant,
            object_pairs_hook=unambiguous,
        )
    except UnicodeDecodeError:
        raise DecodeError("not UTF-8") from None
    except RecursionError:
        raise DecodeError("nested too deep") from None
    except ValueError as error:
        raise DecodeError(f"not JSON: {clean(str(error))}") from None
    if not isinstance(answer, dict):
        raise SchemaError("the answer is not an object")
    return answer


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def parse_retry_after(value: str | None, *, date: str | None, now: datetime) -> float | None:
    """Reads Retry-After, in seconds or as a date compared with the answer's own Date.

    Returns:
        Seconds within 1..900, or None when it is absent or makes no sense.
    """
    if value is None:
        return None
    value = value.strip()
    if _DIGITS.fullmatch(value):
        seconds = float(value)
    else:
        until = _parse_http_date(value)
        if until is None:
            return None
        seconds = (until - (_parse_http_date(date or "") or now)) / timedelta(seconds=1)
    return min(max(seconds, MIN_RETRY_AFTER_SECONDS), MAX_RETRY_AFTER_SECONDS)


def _parse_http_date(value: str) -> datetime | None:
    try:
        parsed = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def translate(error: Exception, *, begun: bool) -> ApiError:
    """Names an error of aiohttp or the operating system.

    Args:
        error: it; of its texts only those of the operating system and of OpenSSL are kept.
        begun: whether the answer had begun.
    """
    for foreign, make in _TRANSLATIONS:
        if isinstance(error, foreign):
            ours = make(error)
            if begun and isinstance(ours, ResetError):
                return TruncatedError("the connection broke within the answer")
            return ours
    return UnexpectedError(type(error).__name__)


def _payload_error(error: aiohttp.ClientPayloadError) -> ApiError:
    if isinstance(error.__cause__, ContentEncodingError):
        return DecodeError("the answer cannot be decompressed")
    return TruncatedError("the answer ended before its end")


# The first that fits: aiohttp's errors are also the operating system's.
_TRANSLATIONS: tuple[tuple[type[Exception], Callable[[Any], ApiError]], ...] = (
    (TimeoutError, lambda _: DeadlineError("no whole answer in time")),
    (aiohttp.ClientConnectorDNSError, lambda e: DnsError(f"{e.host}: no address")),
    (
        aiohttp.ClientConnectorCertificateError,
        lambda e: TlsError(f"certificate of {e.host}: {_told_by_openssl(e)}"),
    ),
    (aiohttp.ClientSSLError, lambda _: TlsError("the TLS handshake failed")),
    (ssl.SSLError, lambda _: TlsError("TLS failed")),
    (aiohttp.ClientHttpProxyError, lambda e: ConnectError(f"the proxy answered HTTP {e.status}")),
    (
        aiohttp.ClientConnectorError,
        lambda e: ConnectError(f"{e.host}:{e.port}: {_told_by_system(e.os_error)}"),
    ),
    (aiohttp.ClientPayloadError, _payload_error),
    (
        aiohttp.ClientConnectionError,
        lambda _: ResetError("the connection broke before an answer"),
    ),
    (OSError, lambda _: ResetError("the connection broke before an answer")),
    (
        aiohttp.ClientResponseError,
        lambda _: DecodeError("not HTTP, or in an encoding that nobody asked for"),
    ),
)


def _told_by_openssl(error: aiohttp.ClientConnectorCertificateError) -> str:
    return clean(getattr(error.certificate_error, "verify_message", "")) or "refused"


def _told_by_system(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else "no connection"
