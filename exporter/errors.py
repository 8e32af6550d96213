"""Every error the exporter raises on purpose, and the closed set of reasons a poll can fail for.

    ExporterError
    ├── ConfigError             wrong usage or configuration: exit code 2
    └── ApiError                a poll failed: exit code 1, and a `reason` in the metrics
        ├── DnsError            dns           the API's host name has no address
        ├── ConnectError        connect       no connection: refused, unreachable
        ├── TlsError            tls           handshake or certificate
        ├── DeadlineError       timeout       no whole answer in time
        ├── ResetError          reset         the connection broke before an answer began
        ├── TruncatedError      truncated     the connection broke within an answer
        ├── TooLargeError       too_large     more bytes or records than the configured limit
        ├── RedirectError       redirect      3xx: never followed, the key stays home
        ├── ContentTypeError    content_type  an answer that does not say it is JSON
        ├── DecodeError         decode        not strict UTF-8 JSON
        ├── SchemaError         schema        JSON of another shape than documented
        ├── RefusedError        api_error     HTTP 200 with api_status 0
        ├── BadRequestError     bad_request   400, and any 4xx without a leaf of its own
        ├── UnauthorizedError   unauthorized  401
        ├── ForbiddenError      forbidden     403
        ├── NotFoundError       not_found     404
        ├── GoneError           gone          410
        ├── RateLimitedError    rate_limited  429
        ├── ServerError         server_error  5xx
        └── UnexpectedError     unexpected    everything else, our own bugs included

No message holds a secret: whoever raises from foreign text has redacted it, and the foreign
exception itself is dropped (`from None`), because aiohttp's carry the request's headers.
"""

from collections.abc import Sequence
from typing import ClassVar


class ExporterError(Exception):
    """Base of all."""


class ConfigError(ExporterError):
    """Wrong usage or configuration.

    Args:
        problems: one line for each problem: the field, what is wrong, and the mend.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class ApiError(ExporterError):
    """A poll failed.

    `attempts` is how many requests this fault is worth within one poll: 1 means that asking again
    cannot help.
    """

    reason: ClassVar[str]
    attempts: int = 1


class DnsError(ApiError):
    """The API's host name could not be resolved."""

    reason = "dns"
    attempts = 3


class ConnectError(ApiError):
    """No connection could be made."""

    reason = "connect"
    attempts = 3


class TlsError(ApiError):
    """The TLS handshake failed or the certificate was refused."""

    reason = "tls"


class DeadlineError(ApiError):
    """No whole answer within the attempt's or the poll's deadline."""

    reason = "timeout"
    attempts = 3


class ResetError(ApiError):
    """The connection broke before an answer began."""

    reason = "reset"
    attempts = 3


class TruncatedError(ApiError):
    """The connection broke within an answer."""

    reason = "truncated"
    attempts = 3


class TooLargeError(ApiError):
    """The answer has more bytes or records than the configured limit."""

    reason = "too_large"


class RedirectError(ApiError):
    """The API redirected; redirects are never followed."""

    reason = "redirect"


class ContentTypeError(ApiError):
    """The answer does not say that it is JSON."""

    reason = "content_type"


class DecodeError(ApiError):
    """The answer is not strict UTF-8 JSON."""

    reason = "decode"


class SchemaError(ApiError):
    """The answer, or one record of it, has another shape than documented."""

    reason = "schema"


class RefusedError(ApiError):
    """The API answered HTTP 200 with api_status 0."""

    reason = "api_error"


class BadRequestError(ApiError):
    """HTTP 400, or a 4xx without a leaf of its own."""

    reason = "bad_request"


class UnauthorizedError(ApiError):
    """HTTP 401: the API does not know the key."""

    reason = "unauthorized"


class ForbiddenError(ApiError):
    """HTTP 403: the key may not read this."""

    reason = "forbidden"


class NotFoundError(ApiError):
    """HTTP 404."""

    reason = "not_found"


class GoneError(ApiError):
    """HTTP 410."""

    reason = "gone"


class RateLimitedError(ApiError):
    """HTTP 429.

    `retry_after_seconds` is what the API asked for, None if it did not say.
    """

    reason = "rate_limited"

    def __init__(self, message: str, retry_after_seconds: float | None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class ServerError(ApiError):
    """HTTP 5xx.

    502, 503 and 504 pass by themselves more often than a 500 does.
    """

    reason = "server_error"

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.attempts = {500: 2, 502: 3, 503: 3, 504: 3}.get(status, 1)


class UnexpectedError(ApiError):
    """Everything else, our own bugs included."""

    reason = "unexpected"


REASONS = tuple(leaf.reason for leaf in ApiError.__subclasses__())
"""Every value the `reason` label can take, in the order of the tree."""
