"""Days of the exporter's pages: the whole exporter and the simulated API, in virtual time.

`python -m tests.grafana.pages --servers N --story NAME` writes them to stdout, one after the other:
the scrape's time in milliseconds and the length, then the page, compressed as it was served.
"""

import argparse
import ssl
import struct
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import BinaryIO

import aiohttp
import trustme

from exporter import logs
from exporter.config import load
from exporter.events import Event, Listener, LoopLagged, PollEnded, PollStarted
from exporter.service import Service
from exporter.simulator import Rule, Simulator
from tests.grafana.stories import STORIES, Story, world
from tests.virtual_loop import ApiClock, VirtualClock, run

END = datetime(2026, 6, 17, 19, 30, tzinfo=UTC)
"""A Wednesday evening in Europe, past the middle of a month; no machine's clock is behind it."""
OFFSET = timedelta(seconds=10)
"""A scrape is so much earlier: on the very instant, generations differ on whose window it is in."""
FRAME = struct.Struct(">QQI")
"""When a page was scraped and when its exporter was started, in milliseconds; its length."""

_OPTIONAL = ("plans", "accounts", "usage_report")
"""Off by default; a dashboard shows what they tell."""

_PATIENCE_SECONDS = 0.002
_AWAKE_SECONDS = 30
_POLL_FIRST = timedelta(seconds=20)  # polls begin with the exporter: a scrape comes after them


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of the past: from so long before the end, and the time between its scrapes."""

    before: timedelta
    spacing: timedelta

    @property
    def start(self) -> datetime:
        """Its first scrape, and the evaluation after that."""
        return END - self.before


@dataclass(frozen=True, slots=True)
class Past:
    """How much of it there is, in three stretches that each begin before the end.

    Attributes:
        long: the exporter polls once between two scrapes, and its machine sleeps in between.
        recent: it was started anew, and polls as it does by default.
        last: what is looked at most closely.
    """

    long: Stretch = Stretch(timedelta(days=8), timedelta(minutes=15))
    recent: Stretch = Stretch(timedelta(hours=30), timedelta(minutes=5))
    last: Stretch = Stretch(timedelta(hours=6), timedelta(minutes=1))

    def spacing(self, at: datetime) -> timedelta:
        """Time from a scrape to the next."""
        at += OFFSET
        begun = [each for each in (self.long, self.recent, self.last) if each.start <= at]
        return begun[-1].spacing


@dataclass
class Patience:
    """Waits for real while a poll or a scrape runs, for both ends of it are on this loop."""

    clock: VirtualClock
    running: int = 0

    def __call__(self, event: Event) -> None:
        """Counts the polls under way."""
        match event:
            case PollStarted():
                self.count(1)
            case PollEnded():
                self.count(-1)

    def count(self, more: int) -> None:
        """Takes note of what began or ended."""
        self.running += more
        self.clock.patience = _PATIENCE_SECONDS if self.running else 0.0


@dataclass
class Stage:
    """The exporter's surroundings: the API, and who scrapes.

    Attributes:
        clock: virtual time.
        simulator: the API.
        story: what goes wrong with it.
        past: when it is scraped.
        session: scrapes.
        ca_file: what the exporter trusts.
        out: where pages go.
    """

    clock: VirtualClock
    simulator: Simulator
    story: Story
    past: Past
    session: aiohttp.ClientSession
    ca_file: str
    out: BinaryIO
    _rules: tuple[Rule, ...] = field(default=())

    async def live(self, until: datetime, *, leaps: bool = False, **options: str) -> None:
        """Runs an exporter until an instant, with these options, and scrapes it.

        `leaps`: sleeps through most of the time between scrapes, as a suspended machine does.
        """
        settings = load(
            {
                "base_url": self.simulator.url,
                "api_key": str(self.simulator.key),
                "ca_file": self.ca_file,
                "web.listen_address": "127.0.0.1:0",
                **{f"collectors.{name}.enabled": "true" for name in _OPTIONAL},
                **{name.replace("__", "."): value for name, value in options.items()},
            }
        )
        patience = Patience(self.clock)
        service = Service(settings, clock=self.clock, random=Random(1))
        if leaps:
            service.listeners[:] = map(_deaf_to_lag, service.listeners)
        service.listeners.append(patience)
        began = self.clock.now()
        async with service.serving() as [url]:
            await self.clock.sleep(_POLL_FIRST.total_seconds())
            while self.clock.now() <= until:
                self._go_wrong()
                self._write(began, await self._scrape(url, patience))
                await self._rest(leaps=leaps)

    async def _rest(self, *, leaps: bool) -> None:
        """Lets time pass until the next scrape; a poll is due shortly before it, or none is."""
        end = self.clock.passed + self.past.spacing(self.clock.now()).total_seconds()
        if leaps:
            await self.clock.sleep(1)
            self.clock.jump(end - self.clock.passed - _AWAKE_SECONDS)
        await self.clock.sleep(end - self.clock.passed)

    async def _scrape(self, url: str, patience: Patience) -> bytes:
        patience.count(1)
        async with self.session.get(f"{url}/metrics") as response:
            page = await response.read()
        patience.count(-1)
        return page

    def _write(self, began: datetime, page: bytes) -> None:
        at, start = (round(each.timestamp() * 1000) for each in (self.clock.now(), began))
        self.out.write(FRAME.pack(at, start, len(page)) + page)

    def _go_wrong(self) -> None:
        rules = self.story.rules(END - self.clock.now())
        if rules != self._rules:
            self._rules = self.simulator.rules = rules


def _deaf_to_lag(listener: Listener) -> Listener:
    """Whoever sleeps has timers that are late, which the exporter would tell for a minute."""
    return lambda event: None if isinstance(event, LoopLagged) else listener(event)


@asynccontextmanager
async def staged(
    clock: VirtualClock, servers: int, story: Story, past: Past, out: BinaryIO
) -> AsyncIterator[Stage]:
    """Opens what an exporter needs."""
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(tls)
    api_clock = ApiClock(clock)
    simulator = Simulator(world(servers), api_clock, tls={"": tls}, kept_requests=10)
    simulator.rewrite = lambda endpoint, payload: story.rewrite(
        endpoint, payload, END - api_clock.now()
    )
    session = aiohttp.ClientSession(auto_decompress=False)
    with authority.cert_pem.tempfile() as ca_file:
        async with simulator, session:
            yield Stage(clock, simulator, story, past, session, ca_file, out)


def write(servers: int, story: str, past: Past, out: BinaryIO) -> None:
    """Writes the pages until the end."""

    async def scenario(clock: VirtualClock) -> None:
        logs.start("error", "logfmt")
        async with staged(clock, servers, STORIES[story], past, out) as stage:
            await _live_long(stage, past)
            await stage.live(END - OFFSET)

    run(scenario, start=past.long.start - OFFSET - _POLL_FIRST)


async def _live_long(stage: Stage, past: Past) -> None:
    interval = f"{past.long.spacing.total_seconds():.0f}s"
    every = {f"collectors__{name}__interval": interval for name in ("servers", "usage")}
    end = past.recent.start - OFFSET
    await stage.live(end - past.long.spacing, leaps=True, **every)
    stage.clock.jump((end - _POLL_FIRST - stage.clock.now()).total_seconds())


def arguments(parser: argparse.ArgumentParser) -> None:
    """What a history is told."""
    parser.add_argument("--servers", type=int, default=300)
    parser.add_argument("--story", choices=list(STORIES), default="quiet")
    for name, stretch in _stretches(Past()).items():
        told = [f"{each.total_seconds() / 60:g}" for each in (stretch.before, stretch.spacing)]
        parser.add_argument(
            f"--{name}",
            default=":".join(told),
            help="minutes before the end at which it begins, and between its scrapes",
        )


def words(found: argparse.Namespace) -> list[str]:
    """The arguments, to hand them on."""
    names = ("servers", "story", *_stretches(Past()))
    return [f"--{name}={getattr(found, name)}" for name in names]


def past(found: argparse.Namespace) -> Past:
    """The arguments about the past."""
    return Past(*(_stretch(getattr(found, name)) for name in _stretches(Past())))


def _stretches(past: Past) -> dict[str, Stretch]:
    return {"long": past.long, "recent": past.recent, "last": past.last}


def _stretch(text: str) -> Stretch:
    return Stretch(*(timedelta(minutes=float(each)) for each in text.split(":")))


def main() -> None:
    """Writes pages to stdout."""
    parser = argparse.ArgumentParser(description=__doc__)
    arguments(parser)
    found = parser.parse_args()
    write(found.servers, found.story, past(found), sys.stdout.buffer)


if __name__ == "__main__":
    main()
