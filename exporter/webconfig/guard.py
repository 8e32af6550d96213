"""Keeps the file in force: TLS for each connection, and who may ask for each request."""

import base64
import binascii
import logging
import ssl
from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler

from exporter.clock import Clock
from exporter.errors import ConfigError
from exporter.webconfig.file import Loaded, Rate, load
from exporter.webconfig.part import stamp
from exporter.webconfig.password import BusyError, Passwords
from exporter.webconfig.tls import Tls

LOOK_AGAIN_SECONDS = 1.0  # while it is broken: perhaps there was only no file left to open

_LOG = logging.getLogger("exporter")


class Guard:
    """The file, as it is now; the last good one while it is broken.

    What it took to reach us is never taken away while we run: a file that is being rewritten is
    empty for an instant, and that must not open the door.

    Args:
        path: the file.
        clock: the time.
        passwords: checks them.

    Raises:
        ConfigError: with all that is wrong, at once.
    """

    def __init__(self, path: Path, *, clock: Clock, passwords: Passwords | None = None) -> None:
        self._path = path
        self._passwords = passwords or Passwords()
        self._clock = clock
        self._looked = clock.monotonic()
        self._bucket = Bucket(clock)
        loaded = load(path)
        if loaded.problems:
            raise ConfigError(loaded.problems)
        self._rules = loaded.rules
        self._stamps = loaded.stamps
        self._told: tuple[str, ...] = ()

    def tls(self) -> ssl.SSLContext | None:
        """What the next connection is served with; None means plain HTTP."""
        self._look()
        return self._rules.tls.context

    def protect(self, app: web.Application) -> None:
        """Stands before all handlers of an app, and adds the file's headers to all answers."""
        app.middlewares.insert(0, self._admit)
        app.on_response_prepare.append(self._add_headers)

    @web.middleware
    async def _admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self._look()
        rules = self._rules
        if rules.rate and not self._bucket.take(rules.rate):
            return _refuse(429, "too many requests: see rate_limit")
        if lacking := _lacking(rules.tls, request):
            refused = _refuse(403, lacking)
            refused.force_close()
            return refused
        if not rules.users:
            return await handler(request)
        credentials = _credentials(request)
        try:
            if credentials and await self._passwords.verify(rules.users, *credentials):
                return await handler(request)
        except BusyError:
            refused = _refuse(503, "too many passwords wait to be checked: try again")
            refused.headers["Retry-After"] = "2"
            return refused
        refused = _refuse(401, "a name and its password are needed")
        refused.headers["WWW-Authenticate"] = "Basic"
        return refused

    async def _add_headers(self, _: web.Request, response: web.StreamResponse) -> None:
        # Whoever writes a header into the file wants it, also where we have a stricter one.
        response.headers.update(self._rules.headers)

    def _look(self) -> None:
        """Reads the file again where it, or one that it names, has changed or was not readable."""
        now = self._clock.monotonic()
        is_same = all(stamp(path) == seen for path, seen in self._stamps.items())
        if is_same and not (self._told and now - self._looked >= LOOK_AGAIN_SECONDS):
            return
        self._looked = now
        loaded = load(self._path)
        self._stamps = loaded.stamps
        problems = self._problems(loaded)
        if not problems:
            self._rules = loaded.rules
        self._tell(problems)

    def _problems(self, loaded: Loaded) -> tuple[str, ...]:
        missing = self._rules.needs - loaded.rules.needs
        if loaded.problems or not missing:
            return loaded.problems
        return (f"it would take away {', '.join(sorted(missing))}: restart if that is meant",)

    def _tell(self, problems: tuple[str, ...]) -> None:
        if problems and problems != self._told:
            fields = {"file": str(self._path), "problems": "; ".join(problems)}
            _LOG.warning("web config refused, the last one stays", extra={"fields": fields})
        elif not problems and self._told:
            _LOG.info("web config is well again", extra={"fields": {"file": str(self._path)}})
        self._told = problems


class Bucket:
    """Counts requests against a rate, which may change meanwhile."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._empty_at = clock.monotonic()

    def take(self, rate: Rate) -> bool:
        """Whether one more is within the rate."""
        now = self._clock.monotonic()
        # Each request fills the bucket, time drains it.
        full_at = max(self._empty_at, now) + rate.interval_seconds
        if full_at > now + rate.burst * rate.interval_seconds + 1e-9:
            return False
        self._empty_at = full_at
        return True


def _lacking(tls: Tls, request: web.Request) -> str:
    """What a connection lacks; it may have begun before the file asked for it."""
    if tls.context and not request.get_extra_info("sslcontext"):
        return "TLS is needed: connect again"
    if tls.clients == ssl.CERT_REQUIRED and not request.get_extra_info("peercert"):
        return "a client certificate is needed: connect again"
    if tls.sans and tls.sans.isdisjoint(_names(request)):
        return "the certificate has none of the names in client_allowed_sans"
    return ""


def _refuse(status: int, told: str) -> web.Response:
    return web.Response(status=status, text=f"{told}\n")


def _credentials(request: web.Request) -> tuple[str, bytes] | None:
    """The user and the password, where a request has them."""
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        return (user.decode(), password) if colon else None
    except (binascii.Error, ValueError):
        return None


def _names(request: web.Request) -> Iterable[str]:
    """The names in a client's certificate."""
    certificate = request.get_extra_info("peercert") or {}
    for kind, name in certificate.get("subjectAltName", ()):
        yield _address(name) if kind == "IP Address" else name


def _address(text: str) -> str:
    """OpenSSL writes IPv6 in its own way."""
    try:
        return str(ip_address(text))
    except ValueError:
        return text
