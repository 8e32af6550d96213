"""The whole exporter and the simulated API on one loop in virtual time, watched by the oracle."""

import base64
import io
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from urllib.parse import quote, quote_plus

import aiohttp
from aiohttp.abc import AbstractResolver
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse

from exporter import logs
from exporter.config import load
from exporter.events import Event, PollEnded, PollStarted
from exporter.service import Service
from exporter.simulator import Simulator, World
from exporter.simulator.app import Sent
from tests.oracle import Oracle
from tests.virtual_loop import ApiClock, VirtualClock

CANARY = "SEKRET-canary/+=4711"
COLLECTORS = ("servers", "usage")
"""Those that the oracle judges; `test_customers` judges the optional ones."""

PATIENCE_SECONDS = 0.002

_SCRAPE = {"Accept": "application/openmetrics-text", "Accept-Encoding": "gzip"}


@dataclass
class Stage:
    """What a scenario works with.

    Attributes:
        clock: virtual time.
        api_clock: the API's.
        simulator: the API.
        oracle: checks each scrape.
        session: scrapes.
        url: of the exporter.
        log: what it said on stderr, at debug.
        problems: all that was wrong so far; the log and the requests are judged at the very end.
    """

    clock: VirtualClock
    api_clock: ApiClock
    simulator: Simulator
    oracle: Oracle
    session: aiohttp.ClientSession
    url: str = ""
    log: io.StringIO = field(default_factory=io.StringIO)
    problems: list[str] = field(default_factory=list)
    scrapes: int = 0
    _polls: int = 0
    _samples: dict[tuple[str, ...], float] = field(default_factory=dict)

    def __call__(self, event: Event) -> None:
        """Is patient while a poll runs: its two ends talk for real."""
        match event:
            case PollStarted():
                self._polls += 1
            case PollEnded():
                self._polls -= 1
        self._wait_for_real(scraping=False)

    def _wait_for_real(self, *, scraping: bool) -> None:
        self.clock.patience = PATIENCE_SECONDS if self._polls or scraping else 0.0

    def hear(self, sent: Sent) -> None:
        """Tells the oracle what the exporter may believe."""
        kind = sent.content_type.partition(";")[0].strip()
        is_json = kind == "application/json" or kind.endswith("+json")
        if sent.status == 200 and is_json and sent.body is not None:
            endpoint = sent.endpoint
            if endpoint in COLLECTORS:
                at = self.api_clock.true_now()
                self.oracle.hear(endpoint, sent.request.query, sent.body, at)  # type: ignore[arg-type] # checked

    async def judge(self) -> str:
        """Reads the page, and lets the oracle judge it."""
        page = await self.get("/metrics", _SCRAPE)
        self.scrapes += 1
        self.problems += self.oracle.check(page, self.api_clock.true_now(), openmetrics=True)
        return page

    async def scrape(self) -> None:
        """Reads the page, has it judged, and keeps its samples."""
        page = await self.judge()
        self._samples = {}
        for family in parse(page):  # type: ignore[no-untyped-call] # the library's omission
            for sample in family.samples:
                if sample.labels.get("account") == "default":
                    labels = [v for k, v in sorted(sample.labels.items()) if k != "account"]
                    self._samples[sample.name, *labels] = sample.value

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> str:
        """Reads any page; none may tell the key."""
        self._wait_for_real(scraping=True)
        async with self.session.get(self.url + path, headers=headers) as response:
            page = await response.text()
        self._wait_for_real(scraping=False)
        self.problems += [f"{path} answered {response.status}"] * (response.status >= 500)
        self.problems += [f"{path} tells the key: {form}" for form in forms(CANARY) if form in page]
        return page

    async def look(self) -> None:
        """Reads the status page, as people and as programs do."""
        for accept in ("text/html", "application/json"):
            await self.get("/", {"Accept": accept})

    def judge_log(self) -> None:
        """Judges what was logged since the last time, at debug as well."""
        text = self.log.getvalue()
        self.log.seek(0)
        self.log.truncate()
        self.problems += [
            f"the log tells the key: {form}" for form in forms(CANARY) if form in text
        ]
        self.problems += [
            f"{sign} in the log" for sign in ("Traceback", "level=error") if sign in text
        ]

    def sample(self, name: str, *labels: str) -> float:
        """A sample of the last scrape; labels in the order of their names."""
        return self._samples.get((name, *labels), 0)

    def samples(self) -> Iterable[tuple[tuple[str, ...], float]]:
        """All samples of the last scrape."""
        return self._samples.items()

    def series(self, name: str) -> int:
        """How many series of a family the last scrape had."""
        return sum(key[0] == name for key in self._samples)

    async def until(self, seconds: float, *, step: float = 60) -> None:
        """Lets time pass, and scrapes on the way."""
        end = self.clock.passed + seconds
        while self.clock.passed < end:
            await self.clock.sleep(min(step, end - self.clock.passed))
            await self.scrape()


def forms(key: str) -> list[str]:
    """What would give a key away; base64 without its end, which hangs on what follows."""
    encoded = [base64.b64encode(f"{before}{key}".encode()) for before in ("", "api-key:")]
    return [key, quote(key, safe=""), quote_plus(key), *(text.decode()[:-4] for text in encoded)]


@asynccontextmanager
async def staged(
    clock: VirtualClock,
    *,
    servers: int = 12,
    tls: Mapping[str, ssl.SSLContext] | None = None,
    resolver: AbstractResolver | None = None,
    host: str = "",
    kept_requests: int = 20_000,
    options: Mapping[str, str] | None = None,
    world: World | None = None,
) -> AsyncIterator[tuple[Stage, Service]]:
    """Opens both; the exporter polls once the stage's service is entered with `serving`.

    Args:
        clock: virtual time.
        servers: size of the fleet.
        tls: contexts of the simulator by name.
        resolver: of the exporter.
        host: the API's name, where it is not the simulator's own.
        kept_requests: how many the simulator remembers.
        options: more of the configuration, by name.
        world: another than that of so many servers.
    """
    async with AsyncExitStack() as exits:
        api_clock = ApiClock(clock)
        simulator = Simulator(
            world or World(servers=servers),
            api_clock,
            key=CANARY,
            tls=tls,
            kept_requests=kept_requests,
        )
        await exits.enter_async_context(simulator)
        url = f"https://{host}:{simulator.port}" if host else simulator.url
        session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True))
        await exits.enter_async_context(session)
        stage = Stage(clock, api_clock, simulator, Oracle("default"), session)
        simulator.witness = stage.hear
        logs.start("debug", "logfmt", stage.log)
        flags = {"base_url": url, "api_key": CANARY, "web.listen_address": "127.0.0.1:0"}
        settings = load({**flags, **(options or {})})
        service = Service(settings, clock=clock, random=Random(1), runtime=False, resolver=resolver)
        service.listeners.append(stage)
        yield stage, service
        stage.judge_log()
        stage.problems += [f"{request.method} was sent" for request in simulator.violations]
