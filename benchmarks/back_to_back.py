"""The exporter, serving as ever, that polls whenever it is told to: intervals have a lower limit.

`python -m benchmarks.back_to_back`, configured as the exporter is, polls the servers once for each
line on stdin. It answers with a line of JSON: the instants of that poll by name, in the order they
came, in nanoseconds of the monotonic clock, which all processes share.
"""

import asyncio
import json
import sys
import time

from exporter import process
from exporter.config import load
from exporter.events import Accepted, Event, RequestDone
from exporter.poll import Poller
from exporter.service import Service


class Marks:
    """Listens to a poll's events, and notes when they came."""

    def __init__(self) -> None:
        self.by_name: dict[str, int] = {}

    def begin(self) -> None:
        """Forgets the poll before."""
        self.by_name = {"asked": time.monotonic_ns()}

    def hear(self, event: Event) -> None:
        """Notes an event; one more step of the poll is one more `case`."""
        match event:
            case RequestDone(collector="servers"):
                self.by_name["answered"] = time.monotonic_ns()

    def end(self) -> None:
        """Notes that the new page is served from now on."""
        self.by_name["published"] = time.monotonic_ns()


async def main() -> None:
    """Serves, and polls on command, until stdin ends."""
    process.settle()
    service, marks = Service(load({})), Marks()
    service.listeners.append(marks.hear)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    async with service.serving(), service.pollers() as pollers:
        [poller] = [poller for poller in pollers if poller.collector.name == "servers"]
        async for _ in lines:
            sys.stdout.write(f"{json.dumps(await _poll(poller, marks))}\n")
            sys.stdout.flush()


async def _poll(poller: Poller, marks: Marks) -> dict[str, int]:
    """Polls once; gives its instants, none if it brought nothing new."""
    marks.begin()
    outcome = await poller.poll()
    marks.end()
    return marks.by_name if isinstance(outcome, Accepted) and outcome.changed else {}


if __name__ == "__main__":
    asyncio.run(main())
