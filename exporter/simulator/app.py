"""The simulated API on a real port: its dialect, its errors and, by rule, its faults.

Source of the dialect: the White Label VPN API documentation, sections "Authentication",
"Errors", "Servers" and "Metrics". It keeps a record of what it was asked and what it said.
"""

import base64
import binascii
import hmac
import re
import zlib
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from types import TracebackType
from typing import Self

from aiohttp import web
from yarl import URL

from exporter.simulator.chance import generator
from exporter.simulator.clock import Clock
from exporter.simulator.faults import FAULTS, Roster, Rule
from exporter.simulator.reply import Reply, failure
from exporter.simulator.world import Server, World

SERVERS = "/v2/servers"
USAGE = "/v2/metrics/usage/pop_and_country/"

_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_GRACE_SECONDS = 0.2  # for an answer under way when stopping; aiohttp may spend it twice

Payload = dict[str, object]


@dataclass(frozen=True, slots=True)
class Request:
    """A request that arrived."""

    at: datetime
    """By the simulator's clock."""
    method: str
    path: str
    query: Mapping[str, str]
    authorized: bool
    status: int = 0
    """As answered; 0 when nothing was answered (yet)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A payload that was handed out whole, under a 200."""

    request: Request
    payload: object


class Simulator:
    """The API of a simulated world; an async context manager.

    Attributes:
        world, clock: what it tells, and as of when.
        key: the API key it accepts, or several; may be changed while it runs.
        rewrite: gets an endpoint (`servers`, `usage`) and its honest payload, gives back the
            payload to send.
        requests: the last 100,000 requests, in the order they arrived.
        answers: the last 8 payloads handed out under a 200.
    """

    def __init__(
        self,
        world: World | None = None,
        clock: Clock | None = None,
        key: str | Collection[str] = "demo-key",
        rules: Iterable[Rule] = (),
    ) -> None:
        self.world = world or World()
        self.clock = clock or Clock()
        self.key = key
        self.rules = tuple(rules)
        self.rewrite: Callable[[str, Payload], object] | None = None
        self.requests: deque[Request] = deque(maxlen=100_000)
        self.answers: deque[Answer] = deque(maxlen=8)
        self._runner: web.ServerRunner | None = None
        self._address = ("", 0)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; port 0 takes a free one.

        Raises:
            RuntimeError: it is listening already.
            OSError: the address cannot be had.
        """
        if self._runner is not None:
            raise RuntimeError(f"the simulator already listens at {self.url}")
        # Cancellation ends a hanging handler as soon as its client is gone.
        server = web.Server(self._handle, handler_cancellation=True, access_log=None)
        runner = web.ServerRunner(server, shutdown_timeout=_GRACE_SECONDS)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        self._address = (host, runner.addresses[0][1])

    async def stop(self) -> None:
        """Hang up on everybody, also on those who wait; within a second. May be repeated."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    @property
    def port(self) -> int:
        """The port it listens at, or last did; 0 before the first start."""
        return self._address[1]

    @property
    def url(self) -> str:
        """The base URL, without a final slash."""
        host, port = self._address
        return str(URL.build(scheme="http", host=host, port=port)).rstrip("/")

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The faults in force; when they are replaced, counts and chance start anew."""
        return self._roster.rules

    @rules.setter
    def rules(self, rules: Iterable[Rule]) -> None:
        self._roster = Roster(rules, generator(self.world.seed, "rules"))

    @property
    def violations(self) -> list[Request]:
        """The requests an honest reader never makes: anything but GET."""
        return [request for request in self.requests if request.method != "GET"]

    async def _handle(self, incoming: web.BaseRequest) -> web.StreamResponse:
        request = Request(
            self.clock.now(),
            incoming.method,
            incoming.path,
            dict(incoming.query),
            self._knows(incoming.headers.get("Authorization", "")),
        )
        self.requests.append(request)
        reply = await self._reply(request)
        # Noted before it is sent: whoever has the answer finds it in the records.
        noted = self._note(request, reply.status)
        if reply.answered:
            self.answers.append(Answer(noted, reply.payload))
        return await reply.send(incoming, reply)

    async def _reply(self, request: Request) -> Reply:
        if request.method != "GET":
            return failure(405, "Only GET is simulated.", {"Allow": "GET"})
        if request.path == "/":
            return _index()
        endpoint = {SERVERS: "servers", USAGE: "usage"}.get(request.path, "")
        reply = self._honest(endpoint, request)
        rule = self._roster.pick(endpoint)
        return reply if rule is None else await FAULTS[rule.fault].act(reply, rule)

    def _honest(self, endpoint: str, request: Request) -> Reply:
        if not endpoint:
            return failure(404)
        if not request.authorized:
            return failure(401)
        tell = self._servers if endpoint == "servers" else self._usage
        try:
            payload = tell(request.query, request.at)
        except ValueError as error:
            return failure(400, str(error))
        return Reply(200, self.rewrite(endpoint, payload) if self.rewrite else payload)

    def _servers(self, query: Mapping[str, str], now: datetime) -> Payload:
        wanted = _countries(query.get("country", ""))
        listed = {
            fqdn: _server(fqdn, server)
            for fqdn, server in self.world.listed(now).items()
            if not wanted or server.country in wanted
        }
        return {"api_status": 1, "server": listed or []}

    def _usage(self, query: Mapping[str, str], now: datetime) -> Payload:
        start, end = _days(query, now.date())
        usage = self.world.usage(start, end, now)
        cells = {
            pop: {country: asdict(cell) for country, cell in cells.items()}
            for pop, cells in usage.items()
        }
        return {"data": cells or []}  # without api_status, as in the documentation's example

    def _knows(self, authorization: str) -> bool:
        presented = _credentials(authorization)
        keys = (self.key,) if isinstance(self.key, str) else self.key
        # Every key is compared before one counts: time must not tell which came close.
        verdicts = [hmac.compare_digest(presented, f"api-key:{key}".encode()) for key in keys]
        return any(verdicts)

    def _note(self, request: Request, status: int) -> Request:
        noted = replace(request, status=status)
        for place in reversed(range(len(self.requests))):
            if self.requests[place] is request:
                self.requests[place] = noted
                break
        return noted


def _index() -> Reply:
    endpoints = [
        f"{SERVERS}?country=FR,US",
        f"{USAGE}?start_date=YYYY-MM-DD&end_date=YYYY-MM-DD",
    ]
    return Reply(200, {"name": "simulator of the White Label VPN API", "endpoints": endpoints})


def _credentials(authorization: str) -> bytes:
    """Take `user:password` out of HTTP Basic; what is none of that becomes empty."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(token.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _countries(text: str) -> set[str]:
    return {code.strip().upper() for code in text.split(",")} - {""}


def _server(fqdn: str, server: Server) -> Payload:
    # The documentation shows capacity as a number and as a string: a server keeps its kind.
    textual = zlib.crc32(fqdn.encode()) % 5 == 0
    capacity = str(server.capacity) if textual else server.capacity
    return {
        "country": server.country,
        "city": server.city,
        "capacity": capacity,
        "ip": server.ip,
    }


def _days(query: Mapping[str, str], today: date) -> tuple[date, date]:
    start, end = _day(query, "start_date"), _day(query, "end_date")
    if start > end:
        raise ValueError("The start_date must not be after the end_date.")
    if (start.year, start.month) != (end.year, end.month):
        raise ValueError("The start_date and end_date must be within the same month.")
    if start > today:
        raise ValueError("The start_date must not be in the future.")
    return start, end


def _day(query: Mapping[str, str], name: str) -> date:
    if name not in query:
        raise ValueError(f"The {name} is required.")
    if not _DATE.fullmatch(query[name]):  # fromisoformat also reads 20231001 and 2023-W40
        raise ValueError(f"The {name} must be a date like 2023-10-01.")
    try:
        return date.fromisoformat(query[name])
    except ValueError:
        raise ValueError(f"The {name} is not in the calendar.") from None
