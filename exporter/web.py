"""What is served over HTTP; a handler reads what is known and never waits for the API."""

import asyncio
import base64
import hashlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib.resources import files

from aiohttp import web
from aiohttp.typedefs import Handler

from exporter.desk import BusyError, Desk
from exporter.discovery import NoTargetsError, Query, discover, read_query, select
from exporter.exposition import CONTENT_TYPES
from exporter.fleet import Filter
from exporter.negotiation import accepts_gzip, choose_format, prefers_json
from exporter.snapshot import Store
from exporter.status import Status
from exporter.telemetry import Telemetry

_METHODS = ("GET", "HEAD")
_PIECE_BYTES = 256 * 1024  # a compressed page of 5,000 servers is one


class Web:
    """The handlers."""

    def __init__(
        self,
        *,
        store: Store,
        telemetry: Telemetry,
        status: Status,
        is_alive: Callable[[], bool],
        telemetry_path: str,
    ) -> None:
        self._store = store
        self._telemetry = telemetry
        self._status = status
        self._is_alive = is_alive
        self._telemetry_path = telemetry_path
        self._desk = Desk()

    def app(self) -> web.Application:
        """The routes; each answers GET and HEAD; any other method is 405 anywhere."""
        app = web.Application(middlewares=[_explain])
        app.add_routes(
            [
                web.get(self._telemetry_path, self.metrics),
                web.get("/", self.index),
                web.get("/-/healthy", self.healthy),
                web.get("/-/ready", self.ready),
                web.get("/sd/servers", self.servers),
            ]
        )
        return app

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        """The page: domain part, then our own."""
        form = choose_format(request.headers.get("Accept", ""))
        gzip = accepts_gzip(request.headers.get("Accept-Encoding", ""))
        head, tail = self._store.body(form).finish(self._telemetry.tail(form), gzip=gzip)
        headers = {
            "Content-Type": CONTENT_TYPES[form],
            "Vary": "Accept, Accept-Encoding",
            "Content-Length": str(len(head) + len(tail)),
        }
        if gzip:
            headers["Content-Encoding"] = "gzip"
        response = web.StreamResponse(headers=headers)
        try:
            await response.prepare(request)
            if request.method != "HEAD":
                for piece in _pieces(head, tail):
                    await response.write(piece)
        except ConnectionError:
            # Whoever asked has gone; there is nobody to tell.
            pass
        return response

    async def index(self, request: web.Request) -> web.Response:
        """The status page, as HTML or JSON; parameters that it does not know are ignored."""
        try:
            wanted = Filter(request.query.get("filter", ""))
        except ValueError as error:
            return web.Response(status=400, text=f"filter: {error}\n")
        if prefers_json(request.headers.get("Accept", "")):
            return web.Response(
                text=await self._status.show("json", wanted),
                content_type="application/json",
                headers={"Cache-Control": "no-store", "Vary": "Accept"},
            )
        refreshing = request.query.get("refresh") == "on"
        return web.Response(
            text=await self._status.show("html", wanted, refreshing=refreshing),
            content_type="text/html",
            headers={
                "Content-Security-Policy": _POLICY,
                "X-Content-Type-Options": "nosniff",
                "Referrer-Policy": "no-referrer",
                "Cache-Control": "no-store",
                "Vary": "Accept",
            },
        )

    async def servers(self, request: web.Request) -> web.Response:
        """The VPN servers as targets to probe, or one line that says why there are none."""
        headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
        try:
            query = read_query(request.query.items())
            targets = await self._desk.serve(lambda: self._discover(query))
        except NoTargetsError as error:
            return web.Response(status=error.status, text=f"{error}\n", headers=headers)
        return web.Response(
            body=targets, content_type="application/json", charset="utf-8", headers=headers
        )

    async def _discover(self, query: Query) -> bytes:
        selected = select(self._store, query)
        return await asyncio.to_thread(discover, selected, query)

    async def healthy(self, _: web.Request) -> web.Response:
        """Whether polls go on, however they end."""
        if self._is_alive():
            return web.Response(text="healthy\n")
        return web.Response(status=503, text="the scheduler has stopped: restart the exporter\n")

    async def ready(self, _: web.Request) -> web.Response:
        """Whether there is something to scrape."""
        if self._status.is_ready:
            return web.Response(text="ready\n")
        return web.Response(status=503, text="not ready: no reading yet, or stopping\n")


def _pieces(head: bytes, tail: bytes) -> Iterator[bytes]:
    """Cuts a page into what is written at once.

    A slow reader makes us keep one piece, not the page. A write costs 8 % of a scrape, so a small
    page is one.
    """
    if len(head) + len(tail) <= _PIECE_BYTES:
        yield _join(head, tail)
        return
    for start in range(0, len(head), _PIECE_BYTES):
        yield head[start : start + _PIECE_BYTES]
    yield tail


@lru_cache(maxsize=2)  # scrapes between two changes of the tail share it
def _join(head: bytes, tail: bytes) -> bytes:
    return head + tail


@web.middleware
async def _explain(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Says in one plain line what is wrong with a request."""
    if request.method not in _METHODS:
        allow = {"Allow": ", ".join(_METHODS)}
        return web.Response(status=405, text="only GET and HEAD are served\n", headers=allow)
    try:
        return await handler(request)
    except web.HTTPNotFound:
        return web.Response(status=404, text="not found: see / for what there is\n")
    except BusyError as error:
        again = {"Retry-After": "1", "Cache-Control": "no-store"}
        return web.Response(status=503, text=f"{error}\n", headers=again)


def _style_hash() -> str:
    """The page's own style is all that its policy lets the browser use."""
    page = files("exporter").joinpath("status.html").read_text(encoding="utf-8")
    style = page.partition("<style>")[2].partition("</style>")[0]
    return base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()


_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_style_hash()}'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
