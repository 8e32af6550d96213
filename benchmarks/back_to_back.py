"""The exporter, serving as ever, that polls whenever it is told to: intervals have a lower limit.

`python -m benchmarks.back_to_back`, configured as the exporter is, polls the servers once for each
line on stdin. It answers with a line of JSON: the instants of that poll by name, in the order they
came, in nanoseconds of the monotonic clock, which all processes share. No event tells of the steps
within: their functions are replaced by ones that note when they are done.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from types import ModuleType

from exporter import api, process, snapshot
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

    def note(self, name: str) -> None:
        """Notes that a step is done."""
        self.by_name[name] = time.monotonic_ns()


def watch(marks: Marks) -> None:
    """Has the steps of a poll noted; `checked` includes the comparison with the last reading."""
    _replace(api, "decode", after=lambda: marks.note("decoded"))
    _replace(
        snapshot,
        "encode",
        before=lambda: marks.by_name.setdefault("checked", time.monotonic_ns()),
        after=lambda: marks.note("encoded"),
    )
    _replace(snapshot, "body", after=lambda: marks.note("compressed"))


def _replace(
    module: ModuleType,
    name: str,
    *,
    before: Callable[[], object] = lambda: None,
    after: Callable[[], object],
) -> None:
    function = getattr(module, name)

    def noting(*words: object) -> object:
        before()
        done: object = function(*words)
        after()
        return done

    setattr(module, name, noting)


async def main() -> None:
    """Serves, and polls on command, until stdin ends."""
    process.settle()
    service, marks = Service(load({})), Marks()
    service.listeners.append(marks.hear)
    watch(marks)
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
    marks.note("published")
    return marks.by_name if isinstance(outcome, Accepted) and outcome.changed else {}


if __name__ == "__main__":
    asyncio.run(main())
