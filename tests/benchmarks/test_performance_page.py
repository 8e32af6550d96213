"""docs/performance.md and its picture, and the result that they are made of."""

import re
import xml.etree.ElementTree as ET  # the picture is ours
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks import result
from benchmarks.chart import Scale, draw, spread_out
from benchmarks.errors import BenchError
from benchmarks.page import PAGE, PICTURE, rendered
from benchmarks.result import Result, TargetName
from benchmarks.table import tables
from tests.benchmarks.example import example


def picture() -> str:
    found = example()
    assert found.scrapes
    return draw(found.scrapes, found.versions)


@pytest.mark.parametrize("path", [PAGE, PICTURE], ids=lambda path: path.name)
def test_the_page_says_what_was_measured(path: Path) -> None:
    """What is committed is what `benchmarks/result.json` says; `make bench` makes both."""
    pages = rendered(result.load(), PAGE.read_text(encoding="utf-8"))
    assert pages[path] == path.read_text(encoding="utf-8")


def test_the_page_has_every_table() -> None:
    """None is made for nobody, and none is asked for that nobody makes."""
    named = re.findall(r"^<!-- table (\S+):", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(tables(example())) == set(named)


def test_writing_again_changes_nothing() -> None:
    """The page's own words stay, and so do its tables."""
    once = rendered(example(), PAGE.read_text(encoding="utf-8"))[PAGE]
    assert once == rendered(example(), once)[PAGE]


def test_a_table_that_is_missing_is_said_to_be() -> None:
    """An old figure does not stay where the new run has none."""
    page = "<!-- table scrapes-7: written by `make bench` -->\nold\n<!-- end of table -->\n"
    expected = page.replace("old", "\nNot measured.\n")
    assert expected == rendered(example(), page)[PAGE]


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(replace(example(), scrapes=None), id="scrapes"),
        pytest.param(replace(example(), polls=None), id="polls"),
        pytest.param(replace(example(), starts=None), id="starts"),
    ],
)
def test_a_part_that_is_missing_makes_no_page(found: Result) -> None:
    """A page is of a whole run."""
    with pytest.raises(BenchError, match="needs all parts"):
        rendered(found, "")


def test_the_picture_refers_to_nothing_outside() -> None:
    """It is whole by itself: no script, no font, no image from elsewhere."""
    text = picture().replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert [] == re.findall(r"https?:|url\(|href|<script|@import", text)


def test_the_picture_is_readable_in_the_dark() -> None:
    """Each colour has another one for dark pages."""
    light, _, dark = picture().partition("@media (prefers-color-scheme: dark)")
    named = re.findall(r"(--\w+): ", light)
    assert named == re.findall(r"(--\w+): ", dark)


def test_the_picture_names_each_line_at_its_end() -> None:
    """There is no legend to hunt in, and no name covers another."""
    root = ET.fromstring(picture())  # noqa: S314 - as above
    names = root.findall(".//{*}text[@class='name']")
    heights = sorted(float(name.attrib["y"]) for name in names)
    assert 5 == len(names)
    assert all(below - above >= 18 for above, below in pairwise(heights))


def test_a_logarithmic_scale() -> None:
    """Ten times as much is as far again."""
    scale = Scale(1, 100, 50, 250)
    assert (50, 150, 250) == (scale.at(1), scale.at(10), scale.at(100))


def test_labels_move_up_where_they_would_meet() -> None:
    """The lowest stays at its line."""
    ends: dict[TargetName, float] = {"live": 100, "nginx": 300, "node_exporter": 101}
    assert {"nginx": 300, "node_exporter": 101, "live": 82} == spread_out(ends)
