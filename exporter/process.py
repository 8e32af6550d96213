"""This process, set up to serve for months while a thread now and then works through an answer."""

import gc
import sys
from contextlib import suppress

MOST_UNSEEN = 50_000
"""New objects that may be garbage, until Python looks which of them are."""

TURN_SECONDS = 0.00005
"""After how long a thread of Python's lets another in that waits."""

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # mallopt(3)
_LARGE_BYTES = 2 * 1024 * 1024


def settle() -> None:
    """Sets up the process, once all is imported and before there are threads.

    What is there by now stays: a look for garbage through it would stop scrapes for 15 ms. The
    records of 20,000 servers are fewer than such a look waits for; Python counts references, and
    a poll leaves nothing large behind that needs it. And the thread lets a scrape in after a
    twentieth of a millisecond instead of five.
    """
    gc.freeze()
    gc.set_threshold(MOST_UNSEEN, *gc.get_threshold()[1:])
    sys.setswitchinterval(TURN_SECONDS)
    _return_memory()


def _return_memory() -> None:
    """Has threads share one heap, and what is large lie outside, to go back when it is let go.

    They take turns anyway, and a heap of its own keeps what a thread needed for an instant: 50 MB
    after polls of 100,000 servers. Only glibc is like that; elsewhere nothing happens.
    """
    with suppress(ImportError, AttributeError, OSError):
        import ctypes  # noqa: PLC0415 - a Python without it will do

        libc = ctypes.CDLL(None)
        libc.mallopt(_M_ARENA_MAX, 1)
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
