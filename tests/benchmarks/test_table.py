"""How figures are written."""

from dataclasses import replace

import pytest

from benchmarks.figure import Spread
from benchmarks.result import Result
from benchmarks.table import ranged, tables, told
from tests.benchmarks.example import example


@pytest.mark.parametrize(
    ("figure", "expected"),
    [
        (0.03149, "0.031"),
        (1.249, "1.25"),
        (12.34, "12.3"),
        (123.4, "123"),
        (12345.6, "12,346"),
        (-12.34, "-12.3"),
    ],
)
def test_a_figure_has_the_digits_that_it_is_worth(figure: float, expected: str) -> None:
    """Three, and none behind the point from a hundred on."""
    assert expected == told(figure)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (Spread(2, 1, 3), "2.00 (1.00 to 3.00)"),
        (Spread(1, 1, 1), "1.00"),
        (Spread(1, 0.9999, 1.0001), "1.00 (1.000 to 1.00)"),
    ],
)
def test_rounds_that_differ_are_told(found: Spread, expected: str) -> None:
    """The lowest and the highest stand beside the median."""
    assert expected == ranged(found)


def test_every_row_has_all_columns() -> None:
    """Each table is one that Markdown draws."""
    for name, table in tables(example()).items():
        if name != "versions":
            columns = {line.count("|") for line in table.splitlines()}
            assert 1 == len(columns), name


def test_a_part_that_was_not_measured_has_no_table() -> None:
    """Tables are made of what there is."""
    assert ["versions"] == list(tables(Result(cores=2, versions={})))
    assert {"demands", "starts", "imports", "versions"} == set(
        tables(replace(example(), scrapes=None, polls=None))
    )
