"""Every fault of the catalogue, on both collectors, cold, warm and stale; see tests/faults.py."""

import pytest

from tests.faults import CASES, PAGE, Case, Row, document, play


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    """What the cases of this module brought."""
    return []


@pytest.mark.no_cover  # other tests cover all of it; measured, this takes 2.7 times as long
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_sample_is_wrong_whatever_the_api_does(case: Case, rows: list[Row]) -> None:
    """The outcome is the expected one, no sample is a lie, and the next good poll heals it."""
    row = play(case)
    assert [] == row.problems
    rows.append(row)


def test_the_failures_are_documented(rows: list[Row]) -> None:
    """docs/failures.md says what happened just now: `make faults` writes it."""
    written = PAGE.read_text(encoding="utf-8").splitlines()
    assert [] == [line for line in document(rows).splitlines() if line not in written]
    if len(rows) == len(CASES):
        assert written == document(rows).splitlines()
