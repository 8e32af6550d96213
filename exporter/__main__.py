"""The program's start: it can be stopped before the rest is imported, which takes a while."""

import gc
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_ONCE = {"backfill", "check", "completion", "healthcheck", "once"}
"""Commands that end by themselves: one that is stopped has not done its work."""

_LIGHT = {"check", "completion", "healthcheck", "-h", "--help", "--version"}
"""Commands that do without the service; one that needs it after all imports it itself."""

_CERTIFICATES = "SSL_CERT_FILE"


def main() -> int:
    """Runs the command line; gives the exit code."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    with _no_certificates(), _no_collections():
        from exporter.cli import main  # noqa: PLC0415 - see the module

        if not _LIGHT & set(sys.argv[1:2]):
            import exporter.service  # noqa: F401, PLC0415 - as above

    return main()


def _leave(number: int, _: FrameType | None) -> None:
    os._exit(128 + number if _ONCE & set(sys.argv[1:2]) else 0)


@contextmanager
def _no_certificates() -> Iterator[None]:
    """Hides the system's certificates from imports.

    As it is imported, aiohttp reads them twice for contexts of its own, which costs 40 ms and 2 MB.
    Ours is made by `api` for an account that needs it.
    """
    found = os.environ.get(_CERTIFICATES)
    os.environ[_CERTIFICATES] = os.devnull
    try:
        yield
    finally:
        del os.environ[_CERTIFICATES]
        if found is not None:
            os.environ[_CERTIFICATES] = found


@contextmanager
def _no_collections() -> Iterator[None]:
    """Keeps Python from looking for garbage among what stays, which costs 30 ms in all.

    Without the freeze the first look would only come later: as soon as it may.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


if __name__ == "__main__":
    sys.exit(main())
