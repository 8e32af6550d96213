"""Text in columns for a terminal of 80 cells: ASCII around the names, nothing beyond its place.

Names come from the API, so they may be of any width and direction.
"""

import textwrap
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from exporter.fields import visible

WIDTH = 80

_CUT = "..."
_NO_CELL = {"Me", "Mn"}
_TWO_CELLS = {"F", "W"}
_FROM_RIGHT = {"AL", "AN", "R"}  # these turn around the numbers beside them


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its head, how many cells wide it is, and whether it holds numbers."""

    head: str
    cells: int
    is_number: bool = False


def printable(text: str) -> str:
    """Text that a terminal shows from left to right and takes for nothing but text."""
    return "".join(map(_printable, visible(text)))


def _printable(character: str) -> str:
    if unicodedata.bidirectional(character) not in _FROM_RIGHT:
        return character
    return character.encode("ascii", "backslashreplace").decode()


def width(text: str) -> int:
    """How many cells a text takes."""
    return sum(map(_cells, text))


def _cells(character: str) -> int:
    if unicodedata.category(character) in _NO_CELL:
        return 0
    return 2 if unicodedata.east_asian_width(character) in _TWO_CELLS else 1


def fit(text: str, cells: int, *, is_number: bool = False) -> str:
    """Makes a text exactly so many cells wide; what is too long ends in dots."""
    text = printable(text)
    if width(text) > cells:
        text = _cut(text, cells - len(_CUT)) + _CUT
    padding = " " * (cells - width(text))
    return padding + text if is_number else text + padding


def _cut(text: str, cells: int) -> str:
    for end, character in enumerate(text):
        cells -= _cells(character)
        if cells < 0:
            return text[:end]
    return text


def line(columns: Sequence[Column], texts: Iterable[str]) -> str:
    """One line of a table."""
    pairs = zip(columns, texts, strict=True)
    return "  ".join(fit(text, c.cells, is_number=c.is_number) for c, text in pairs).rstrip()


def head(columns: Sequence[Column]) -> str:
    """The first line of a table."""
    return line(columns, [column.head for column in columns])


def wrap(text: str, *, indent: str) -> list[str]:
    """Breaks prose into indented lines."""
    return textwrap.wrap(
        printable(text),
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )
