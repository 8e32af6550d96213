"""The program's start: it can be stopped before the rest is imported, which takes half a second."""

import os
import signal
import sys
from types import FrameType

_ONCE = {"check", "once", "healthcheck"}
"""Commands that end by themselves: one that is stopped has not done its work."""


def main() -> int:
    """Runs the command line; gives the exit code."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    from exporter.cli import main  # noqa: PLC0415 - see the module

    return main()


def _leave(number: int, _: FrameType | None) -> None:
    os._exit(128 + number if _ONCE & set(sys.argv[1:2]) else 0)


if __name__ == "__main__":
    sys.exit(main())
