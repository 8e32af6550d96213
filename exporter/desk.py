"""Where work for clients is done, for one after the other, while a few may wait."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

MOST_WAITING = 8
"""At a desk. Who waits keeps one of 256 connections; few of them may."""

T = TypeVar("T")


class BusyError(Exception):
    """Enough others wait already; the text is one line for people."""

    def __init__(self) -> None:
        super().__init__("too many ask for this at the same time: try again")


class Desk:
    """Serves one at a time, so that whoever asks without end takes no more than one thread."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def serve(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Does the work when its turn comes.

        It is not begun for one who is cancelled while waiting. Once begun it keeps its turn to its
        end: a thread cannot be stopped, and of those who ask and go each would leave one behind.

        Args:
            work: what to do.

        Raises:
            BusyError: too many wait.
        """
        if self._waiting >= MOST_WAITING:
            raise BusyError
        self._waiting += 1
        try:
            await self._turn.acquire()
        finally:
            self._waiting -= 1
        doing = asyncio.create_task(work())
        doing.add_done_callback(lambda _: self._turn.release())
        return await asyncio.shield(doing)
