"""The simulated API on a real port: its dialect, its errors and, by rule, its faults.

Source of the dialect: the White Label VPN API documentation, sections "Authentication",
"Errors", "Accounts", "Plans", "Servers" and "Metrics". It keeps a record of what it was asked and
what it said.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import TracebackType
from typing import Self

from aiohttp import web
from yarl import URL

from exporter.simulator import dialect
from exporter.simulator.chance import generator
from exporter.simulator.clock import Clock
from exporter.simulator.dialect import Payload
from exporter.simulator.faults import LINE, Roster, Rule
from exporter.simulator.line import Line, Strike
from exporter.simulator.reply import Reply, failure
from exporter.simulator.world import World

__all__ = [
    "ACCOUNTS",
    "PLANS",
    "SERVERS",
    "USAGE",
    "USAGE_REPORT",
    "Answer",
    "Payload",
    "Request",
    "Sent",
    "Simulator",
]

SERVERS = "/v2/servers"
USAGE = "/v2/metrics/usage/pop_and_country/"
PLANS = "/v2/plans"
ACCOUNTS = "/v2/customers/paged/"
USAGE_REPORT = "/v2/customers/usage-report/"

EXAMPLES: Mapping[str, str] = {
    "servers": f"{SERVERS}?country=FR,US",
    "usage": f"{USAGE}?start_date=YYYY-MM-DD&end_date=YYYY-MM-DD",
    "plans": PLANS,
    "accounts": f"{ACCOUNTS}?page=1&page_size=100&open_date=YYYY-MM-DD",
    "usage_report": f"{USAGE_REPORT}?start_date=YYYY-MM-DD&max_results=5000&cust_id_offset=0",
}
"""What each endpoint may be asked, by its name."""

_ENDPOINTS = {example.partition("?")[0]: name for name, example in EXAMPLES.items()}
_GRACE_SECONDS = 0.2  # for an answer under way when stopping; aiohttp may spend it twice


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
    """The bytes themselves, where they are no JSON."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A reply about to be sent."""

    request: Request
    endpoint: str
    """`servers`, `usage`, `plans`, `accounts`, `usage_report`, or empty for all else."""
    status: int
    """0: there will be no final one, as with a hang."""
    content_type: str
    body: bytes | None
    """What the client has once it has decompressed it; None: it will not get all of it."""


class Simulator:
    """The API of a simulated world; an async context manager.

    Attributes:
        world, clock: what it tells, and as of when.
        key: the API key it accepts, or several; may be changed while it runs.
        rewrite: gets an endpoint (`servers`, `usage`, ...) and its honest payload, gives back the
            payload to send.
        witness: is told every reply about to be sent, a faulty one with its true bytes.
        requests: the last requests, in the order they arrived.
        answers: the last 8 payloads handed out under a 200.
    """

    def __init__(
        self,
        world: World | None = None,
        clock: Clock | None = None,
        key: str | Collection[str] = "demo-key",
        rules: Iterable[Rule] = (),
        *,
        tls: Mapping[str, ssl.SSLContext] | None = None,
        kept_requests: int = 100_000,
    ) -> None:
        """Make a simulator; it does not listen yet.

        Args:
            world: what it tells.
            clock: as of when.
            key: the API key it accepts, or several.
            rules: the faults in force.
            tls: TLS contexts by name, for `line:tls=NAME`; the honest one has the empty name.
                None: plain HTTP.
            kept_requests: how many requests it remembers.

        Raises:
            ValueError: the honest TLS context is missing, or one that a rule names.
        """
        if tls is not None and "" not in tls:
            raise ValueError("tls needs the honest context, under the empty name")
        self.world = world or World()
        self.clock = clock or Clock()
        self.key = key
        self.rewrite: Callable[[str, Payload], object] | None = None
        self.witness: Callable[[Sent], None] | None = None
        self.requests: deque[Request] = deque(maxlen=kept_requests)
        self.answers: deque[Answer] = deque(maxlen=8)
        self._tls = tls
        self._server: web.Server | None = None
        self._line: Line | None = None
        self._address = ("", 0)
        self._state = ""
        self.rules = tuple(rules)

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
        if self._line is not None:
            raise RuntimeError(f"the simulator already listens at {self.url}")
        # Cancellation ends a hanging handler as soon as its client is gone.
        server = web.Server(self._handle, handler_cancellation=True, access_log=None)
        line = Line(server, self._choose, self._tls or {})
        try:
            port = await line.open(host, port)
            line.listen(self._state)
        except BaseException:
            line.close()
            raise
        self._server, self._line = server, line
        self._address = (host, port)

    async def stop(self) -> None:
        """Hang up on everybody, also on those who wait; within a second. May be repeated."""
        server, self._server = self._server, None
        line, self._line = self._line, None
        if server is None or line is None:
            return
        line.close()
        await asyncio.sleep(0)  # a request that has arrived by now is begun
        server.pre_shutdown()
        await server.shutdown(_GRACE_SECONDS)
        await line.end()

    @property
    def port(self) -> int:
        """The port it listens at, or last did; 0 before the first start."""
        return self._address[1]

    @property
    def url(self) -> str:
        """The base URL, without a final slash; with TLS it names localhost, as certificates do."""
        host, port = self._address
        if self._tls is not None:
            return f"https://localhost:{port}"
        return str(URL.build(scheme="http", host=host, port=port)).rstrip("/")

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The faults in force; when they are replaced, counts and chance start anew.

        Line faults begin and end at once. As they begin all connections are dropped, because a
        kept one would hide them; as they end, those that were struck.
        """
        return self._rules

    @rules.setter
    def rules(self, rules: Iterable[Rule]) -> None:
        rules = tuple(rules)
        for rule in rules:
            self._check_context(rule)
        before, self._state = self._state, next((rule.fault for rule in rules if rule.lasts), "")
        blows = [rule for rule in rules if rule.endpoint == LINE and not rule.lasts]
        others = [rule for rule in rules if rule.endpoint != LINE]
        self._rules = rules
        self._blows = Roster(blows, generator(self.world.seed, "line"))
        self._roster = Roster(others, generator(self.world.seed, "rules"))
        if self._line is None:
            return
        if self._state != before:
            self._line.listen(self._state)
        self._line.drop(struck_alone=len(others) == len(rules))

    @property
    def violations(self) -> list[Request]:
        """The requests an honest reader never makes: anything but GET."""
        return [request for request in self.requests if request.method != "GET"]

    def _check_context(self, rule: Rule) -> None:
        known = sorted(set(self._tls or ()) - {""})
        if (rule.endpoint, rule.fault) == (LINE, "tls") and rule.value not in known:
            given = ", ".join(known) or "none"
            raise ValueError(f"no TLS context {rule.value!r} was given to the simulator: {given}")

    def _choose(self) -> Strike | None:
        rule = self._blows.pick(LINE)
        return None if rule is None else Strike(rule.fault, str(rule.value))

    async def _handle(self, incoming: web.BaseRequest) -> web.StreamResponse:
        keys = (self.key,) if isinstance(self.key, str) else self.key
        request = Request(
            self.clock.now(),
            incoming.method,
            incoming.path,
            dict(incoming.query),
            dialect.knows(incoming.headers.get("Authorization", ""), keys),
        )
        self.requests.append(request)
        endpoint = _ENDPOINTS.get(request.path, "")
        reply = self._reply(endpoint, request)
        if reply.delay_seconds:
            await asyncio.sleep(reply.delay_seconds)
        self._record(endpoint, request, reply)
        try:
            return await reply.send(incoming, reply)
        except ConnectionResetError:
            return web.Response()  # goes nowhere: the client has heard enough, which is no error

    def _reply(self, endpoint: str, request: Request) -> Reply:
        if request.method != "GET":
            return failure(405, "Only GET is simulated.", {"Allow": "GET"})
        if request.path == "/":
            return _index()
        reply = self._honest(endpoint, request)
        rule = self._roster.pick(endpoint)
        return reply if rule is None else rule.strike(reply)

    def _honest(self, endpoint: str, request: Request) -> Reply:
        if not endpoint:
            return failure(404)
        if not request.authorized:
            return failure(401)
        try:
            payload = dialect.TELL[endpoint](self.world, request.query, request.at)
        except ValueError as error:
            return failure(400, str(error))
        return Reply(200, self.rewrite(endpoint, payload) if self.rewrite else payload)

    def _record(self, endpoint: str, request: Request, reply: Reply) -> None:
        """Record a reply before it is sent: whoever has it finds it in the records."""
        noted = replace(request, status=reply.status)
        self._note(request, noted)
        if reply.answered:
            self.answers.append(Answer(noted, reply.payload))
        if self.witness is not None:
            body = reply.body if reply.whole else None
            self.witness(Sent(noted, endpoint, reply.status, reply.content_type, body))

    def _note(self, request: Request, noted: Request) -> None:
        for place in reversed(range(len(self.requests))):
            if self.requests[place] is request:
                self.requests[place] = noted
                return


def _index() -> Reply:
    endpoints = list(EXAMPLES.values())
    return Reply(200, {"name": "simulator of the White Label VPN API", "endpoints": endpoints})
