"""What the exporter has to keep to."""

from dataclasses import replace

import pytest

from benchmarks.demand import Demand, demands
from benchmarks.result import Result
from tests.benchmarks.example import around, example, single


def test_every_demand_is_judged() -> None:
    """A whole run leaves none open."""
    expected = [3, 500, 500, 100, 1.5, 55, 2, 60, 1, 220, 350]
    assert expected == [demand.limit for demand in demands(example())]


def test_what_was_not_measured_is_not_judged() -> None:
    """Neither kept nor missed."""
    assert [] == demands(Result(cores=2, versions={}))
    without = replace(example(), scrapes=None, polls=None)
    assert [350] == [demand.limit for demand in demands(without)]


@pytest.mark.parametrize(
    ("figure", "at_least", "expected"),
    [(2.9, False, True), (3.0, False, True), (3.1, False, False), (3.1, True, True)],
)
def test_the_median_decides(figure: float, *, at_least: bool, expected: bool) -> None:
    """Not the best round, and not the worst."""
    found = around(figure)
    demand = Demand(name="it", limit=3, found=found, unit="x", at_least=at_least)
    assert expected == demand.is_kept


def test_nginx_is_compared_the_other_way_round() -> None:
    """We are a multiple of it; all else is a multiple of us."""
    found, *_ = demands(example())
    assert (2.5, True, False) == (round(found.found.median, 3), found.is_kept, found.is_stretched)


def test_the_cheaper_node_exporter_counts() -> None:
    """A newer version that got better would be noticed."""
    found = demands(example())[1]
    assert 500 < found.found.median < 600
    assert found.is_kept


def test_better_than_demanded_is_told() -> None:
    """A stretch is reached or not."""
    demand = Demand(name="it", limit=3, stretch=2, found=single(2), unit="x")
    assert demand.is_stretched
