"""Whether the exporter that runs here lives, asked from outside as a container asks."""

import http.client
import ssl
from dataclasses import dataclass

from exporter import webconfig
from exporter.address import format_url, parse_address
from exporter.settings import Settings

SECONDS = 3.0
"""Silence for this long is no answer."""

# Whoever asks for a password, a certificate or patience is alive.
_ALIVE = {200, 401, 403, 429}


@dataclass(frozen=True, slots=True)
class Health:
    """What was asked, what came, and what that means."""

    url: str
    text: str
    is_alive: bool


def ask(settings: Settings) -> Health:
    """Asks the exporter of a configuration, at the first of its addresses."""
    host, port = parse_address(settings.web.listen_address[0])
    address = format_url(host or "127.0.0.1", port).partition("://")[2]
    file = settings.web.config.file
    loaded = webconfig.load(file) if file else webconfig.Loaded(webconfig.Rules(), (), {})
    needs = loaded.rules.needs
    # A file that has been broken since need not say how we are served: the last good one said it.
    schemes = ["https", "http"] if loaded.problems else ["https" if "TLS" in needs else "http"]
    for scheme in schemes:
        status, text = _ask(scheme, address, asks_certificates="client certificates" in needs)
        if status in _ALIVE:
            break
    return Health(f"{scheme}://{address}/-/healthy", text, status in _ALIVE)


def _ask(scheme: str, address: str, *, asks_certificates: bool) -> tuple[int, str]:
    """The status, 0 without an answer, and what to tell people."""
    kind = _Unverified if scheme == "https" else http.client.HTTPConnection
    connection = kind(address, timeout=SECONDS)
    try:
        connection.request("GET", "/-/healthy")
        told = connection.getresponse()
        return told.status, told.read().decode(errors="replace").strip()
    except (OSError, UnicodeError, http.client.HTTPException) as error:
        if asks_certificates and _is_refusal(error):
            return 401, "it lives, and asks for a client certificate"
        return 0, f"no answer: {type(error).__name__}"
    finally:
        connection.close()


class _Unverified(http.client.HTTPSConnection):
    """To ourselves: no certificate names the loopback address, and nobody is in between."""

    def __init__(self, address: str, *, timeout: float) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        super().__init__(address, timeout=timeout, context=context)


def _is_refusal(error: Exception) -> bool:
    """Whether somebody was there, and hung up on us."""
    return isinstance(error, ssl.SSLError | ConnectionError) and not isinstance(
        error, ConnectionRefusedError
    )
