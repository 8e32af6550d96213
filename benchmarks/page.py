"""Writes docs/performance.md's tables and its picture from `result.json`, and from nothing else."""

import re
from collections.abc import Mapping
from pathlib import Path

from benchmarks.chart import draw
from benchmarks.errors import BenchError
from benchmarks.process import ROOT
from benchmarks.result import Result
from benchmarks.table import tables

PAGE = ROOT / "docs" / "performance.md"
PICTURE = ROOT / "docs" / "performance.svg"

_ABSENT = "Not measured."
_TABLE = re.compile(
    r"^(<!-- table (?P<name>\S+): written by `make bench` -->\n).*?(^<!-- end of table -->$)",
    re.MULTILINE | re.DOTALL,
)


def rendered(result: Result, page: str) -> Mapping[Path, str]:
    """The files as they ought to be: the page's own words stay, its tables are made anew.

    Raises:
        BenchError: a part of the result is missing.
    """
    if not (result.scrapes and result.polls and result.starts):
        raise BenchError("the page needs all parts: run once with --write and without --only")
    found = tables(result)

    def fill(match: re.Match[str]) -> str:
        return f"{match[1]}\n{found.get(match['name'], _ABSENT)}\n\n{match[3]}"

    return {PAGE: _TABLE.sub(fill, page), PICTURE: draw(result.scrapes, result.versions)}


def write(result: Result) -> None:
    """Writes the files.

    Raises:
        BenchError: a part of the result is missing.
    """
    for path, text in rendered(result, PAGE.read_text(encoding="utf-8")).items():
        path.write_text(text, encoding="utf-8")
