"""What the simulator is about to say, and the ways of saying it."""

import gzip
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from aiohttp import web

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

Sender = Callable[[web.BaseRequest, "Reply"], Awaitable[web.StreamResponse]]


async def send_whole(request: web.BaseRequest, reply: "Reply") -> web.StreamResponse:
    """Send all of it, compressed when the client asked for gzip."""
    headers, body = encoded(request, reply)
    return web.Response(status=reply.status, headers=headers, body=body)


async def send_half(request: web.BaseRequest, reply: "Reply") -> web.StreamResponse:
    """Announce all of it, send half, hang up."""
    headers, body = encoded(request, reply)
    response = web.StreamResponse(status=reply.status, headers=headers)
    response.content_length = len(body)
    response.force_close()
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    return response


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer on its way out."""

    status: int
    payload: object
    headers: Mapping[str, str] = field(default_factory=dict)
    send: Sender = send_whole

    @property
    def answered(self) -> bool:
        """Whether the client got the payload, under a 200."""
        return self.status == HTTPStatus.OK and self.send is send_whole


def failure(status: int, error: str = "", headers: Mapping[str, str] | None = None) -> Reply:
    """Make an error as the API words it (documentation, "Errors")."""
    return Reply(status, {"api_status": 0, "error": error or wording(status)}, headers or {})


def wording(status: int) -> str:
    """Word a status as the documentation does, or as HTTP does where it is silent."""
    if status in _WORDING:
        return _WORDING[status]
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else "Unknown error."


def encoded(request: web.BaseRequest, reply: Reply) -> tuple[dict[str, str], bytes]:
    """Turn a reply into headers and bytes, as the client accepts them."""
    headers = {"Content-Type": "application/json", "Vary": "Accept-Encoding", **reply.headers}
    body = json.dumps(reply.payload).encode()
    if not _accepts_gzip(request.headers.get("Accept-Encoding", "")):
        return headers, body
    return headers | {"Content-Encoding": "gzip"}, gzip.compress(body, compresslevel=1, mtime=0)


def _accepts_gzip(accepted: str) -> bool:
    codings = [coding.replace(" ", "").lower() for coding in accepted.split(",")]
    return any(
        coding.split(";")[0] == "gzip" and not coding.endswith(("q=0", "q=0.0", "q=0.00"))
        for coding in codings
    )
