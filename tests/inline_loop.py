"""An event loop that does at once what others leave to a thread: always in the same order."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class InlineLoop(asyncio.SelectorEventLoop):
    """See the module."""

    def run_in_executor(
        self, executor: object, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Runs it before anything else happens."""
        del executor
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - whoever waits is told
            done.set_exception(error)
        return done


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine on such a loop."""
    with asyncio.Runner(loop_factory=InlineLoop) as runner:
        return runner.run(coroutine)
