"""What the simulator is about to say, and the plain way of saying it."""

import gzip
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from aiohttp import web

JSON = "application/json"

# White Label VPN API documentation, "Errors".
_WORDING = {
    400: "The request was unacceptable.",
    401: "No valid API key was provided.",
    404: "The requested resource does not exist.",
    410: "The requested resource has been removed from our servers.",
    429: "You are sending too many requests! Slow down!",
    500: "We had a problem with our server. Try again later.",
    502: "We had a problem with our server. Try again later.",
    503: "We had a problem with our server. Try again later.",
}
_BODILESS = {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}

Sender = Callable[[web.BaseRequest, "Reply"], Awaitable[web.StreamResponse]]


async def send_whole(request: web.BaseRequest, reply: "Reply") -> web.StreamResponse:
    """Send all of it, compressed when the client asked for gzip."""
    headers, body = encoded(request, reply)
    return web.Response(status=reply.status, headers=headers, body=body)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer on its way out."""

    status: int
    """0: there will be no final status, as with a hang."""
    payload: object
    headers: Mapping[str, str] = field(default_factory=dict)
    """Beside the usual ones; an empty text leaves a usual one out."""
    send: Sender = send_whole
    whole: bool = True
    """Whether a patient client gets the body, all of it."""
    content: bytes | None = None
    """The body, where it is not simply the payload in JSON."""
    delay_seconds: float = 0.0

    @property
    def body(self) -> bytes:
        """The bytes that the client has once it has decompressed them."""
        if self.status in _BODILESS:
            return b""
        return json.dumps(self.payload).encode() if self.content is None else self.content

    @property
    def content_type(self) -> str:
        """As sent; empty when none is."""
        return self.headers.get("Content-Type", JSON) if self.status else ""

    @property
    def answered(self) -> bool:
        """Whether the client got the payload, under a 200."""
        return self.status == HTTPStatus.OK and self.whole


def failure(status: int, error: str = "", headers: Mapping[str, str] | None = None) -> Reply:
    """Make an error as the API words it (documentation, "Errors")."""
    return Reply(status, {"api_status": 0, "error": error or wording(status)}, headers or {})


def wording(status: int) -> str:
    """Word a status as the documentation does, or as HTTP does where it is silent."""
    return _WORDING.get(status) or phrase(status) or "Unknown error."


def phrase(status: int) -> str:
    """Name a status as HTTP does; empty where it has no name for it."""
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else ""


def encoded(request: web.BaseRequest, reply: Reply) -> tuple[dict[str, str], bytes]:
    """Turn a reply into headers and bytes, as the client accepts them."""
    headers = {"Content-Type": JSON, "Vary": "Accept-Encoding", **reply.headers}
    headers = {name: value for name, value in headers.items() if value}
    body = reply.body
    if "Content-Encoding" in headers or not _accepts_gzip(request):
        return headers, body
    return headers | {"Content-Encoding": "gzip"}, gzip.compress(body, compresslevel=1, mtime=0)


def _accepts_gzip(request: web.BaseRequest) -> bool:
    accepted = request.headers.get("Accept-Encoding", "")
    codings = [coding.replace(" ", "").lower() for coding in accepted.split(",")]
    return any(
        coding.split(";")[0] == "gzip" and not coding.endswith(("q=0", "q=0.0", "q=0.00"))
        for coding in codings
    )
