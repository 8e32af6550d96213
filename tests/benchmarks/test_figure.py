"""What many measurements come to."""

import pytest

from benchmarks.figure import Spread, percentile, ratios, spread


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        pytest.param([3.0, 1.0, 2.0], Spread(2, 1, 3), id="odd"),
        pytest.param([4.0, 1.0, 2.0, 3.0], Spread(2.5, 1, 4), id="even"),
        pytest.param([7.0], Spread(7, 7, 7), id="one"),
    ],
)
def test_a_spread_is_the_median_and_the_extremes(figures: list[float], expected: Spread) -> None:
    """The order of the rounds does not matter."""
    assert expected == spread(figures)


def test_ratios_are_taken_round_by_round() -> None:
    """A round in which everything took ten times as long changes no ratio."""
    assert Spread(2, 2, 2) == ratios([2.0, 20.0, 2.0], [1.0, 10.0, 1.0])


def test_rounds_that_are_missing_are_an_error() -> None:
    """Nothing is compared with nothing."""
    with pytest.raises(ValueError, match="shorter"):
        ratios([1.0, 2.0, 3.0], [1.0, 2.0])


def test_the_inverse_is_the_other_way_round() -> None:
    """The lowest becomes the highest."""
    assert Spread(0.25, 0.2, 0.5) == Spread(4, 2, 5).inverse()


@pytest.mark.parametrize(
    ("count", "percent", "expected"),
    [(100, 50, 50), (100, 99, 99), (1000, 99, 990), (7, 99, 7), (1, 50, 1), (2, 50, 1)],
)
def test_a_percentile_is_a_figure_that_was_measured(
    count: int, percent: float, expected: float
) -> None:
    """The smallest that so many percent do not exceed; nothing lies between two figures."""
    assert expected == percentile(range(count, 0, -1), percent)


def test_nothing_is_no_figure() -> None:
    """Where nothing was measured there is no result."""
    with pytest.raises(ValueError, match="nothing was measured"):
        spread([])
    with pytest.raises(ValueError, match="nothing was measured"):
        percentile([], 50)
