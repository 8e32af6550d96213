"""How far it is, on stderr: a bar for people, a line for each month elsewhere."""

from contextlib import suppress
from datetime import date
from typing import TextIO

from exporter import PROGRAM
from exporter.clock import Clock
from exporter.duration import format_age

_WIDTH = 20
_ERASE = "\r\x1b[K"


class Progress:
    """Tells it, as long as somebody listens: the work goes on without.

    Args:
        clock: for the time left.
        stream: where to; None where Python has none, as after `2>&-`.

    Attributes:
        requests: how many were made so far.
    """

    def __init__(self, *, clock: Clock, stream: TextIO | None) -> None:
        self.requests = 0
        self._clock = clock
        self._stream = stream
        self._is_terminal = stream is not None and stream.isatty()
        self.begin(0)

    def begin(self, days: int) -> None:
        """Begins to count days, of which there are so many."""
        self._days, self._done = days, 0
        self._began = self._clock.monotonic()

    def step(self, day: date, *, ends_month: bool) -> None:
        """Tells that a day is done."""
        self._done += 1
        elapsed = self._clock.monotonic() - self._began
        left = format_age(elapsed / self._done * (self._days - self._done))
        told = f"{self._done} of {self._days} days, {self.requests} requests, {left} left"
        if self._is_terminal:
            bar = "#" * (_WIDTH * self._done // self._days)
            self._write(f"{_ERASE}{day} [{bar:.<{_WIDTH}}] {told}")
        elif ends_month:
            self._write(f"{PROGRAM}: {day}: {told}\n")

    def say(self, text: str) -> None:
        """Writes a line of its own."""
        self._write(f"{_ERASE if self._is_terminal else ''}{PROGRAM}: {text}\n")

    def _write(self, text: str) -> None:
        if self._stream is None:
            return
        with suppress(OSError):
            self._stream.write(text)
            self._stream.flush()
