"""Which sizes are measured side by side."""

import pytest

from benchmarks.scrape import stages


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        pytest.param([10_000, 1_000], [[1_000, 10_000]], id="small ones together"),
        pytest.param([100_000, 50_000, 10], [[10], [50_000], [100_000]], id="large ones alone"),
        pytest.param([100_000], [[100_000]], id="a large one only"),
    ],
)
def test_large_sizes_have_the_machine_for_themselves(
    sizes: list[int], expected: list[list[int]]
) -> None:
    """Sizes that are compared with each other share their rounds."""
    assert expected == stages(sizes)
