"""One poll of everything, and the page or the table that comes of it: `once`."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from exporter.errors import ApiError
from exporter.events import Outcome
from exporter.exposition import Format
from exporter.service import Service
from exporter.settings import Settings
from exporter.table import Polled, draw


@dataclass(frozen=True, slots=True)
class Once:
    """What is to be written, of how many polls, and how many of those failed."""

    text: str
    polls: int
    failed: int


def poll_once(settings: Settings, form: Format | Literal["table"]) -> Once:
    """Polls each collector of each account, with retries, and writes what there is."""
    service = Service(settings, runtime=False)
    at = service.clock.now()
    outcomes = asyncio.run(_poll(service))
    if form == "table":
        polls = map(Polled, service.store.slots(), outcomes)
        text = "".join(f"{told}\n" for told in draw(polls, at=at))
    else:
        page = service.store.body(form).finish(service.telemetry.tail(form), gzip=False)
        text = b"".join(page).decode()
    failed = sum(isinstance(outcome, ApiError) for outcome in outcomes)
    return Once(text, len(outcomes), failed)


async def _poll(service: Service) -> Sequence[Outcome]:
    async with service.pollers() as pollers:
        return await asyncio.gather(*(poller.poll() for poller in pollers))
