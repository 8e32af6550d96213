"""What a run keeps."""

import json
from dataclasses import replace
from pathlib import Path

from benchmarks.result import load, rounded, save
from tests.benchmarks.example import example


def test_a_result_is_read_as_it_was_kept(tmp_path: Path) -> None:
    """Kept, read and kept again it is the same, to the letter."""
    one, other = tmp_path / "one.json", tmp_path / "other.json"
    save(example(), one)
    save(load(one), other)
    assert one.read_text() == other.read_text()


def test_figures_are_kept_with_four_digits(tmp_path: Path) -> None:
    """More would be noise, and every run would change every line."""
    file = tmp_path / "result.json"
    poll = replace(example().polls[0], rss_mb=51.23456, peak_mb=0.000123456)  # type: ignore[index]
    found = replace(example(), polls=(poll,))
    save(found, file)
    assert rounded(found) == load(file)
    [kept] = json.loads(file.read_text())["polls"]
    assert (51.23, 0.0001235, 3_500) == (kept["rss_mb"], kept["peak_mb"], kept["servers"])


def test_a_part_that_was_not_measured_is_absent(tmp_path: Path) -> None:
    """It is not 0."""
    file = tmp_path / "result.json"
    save(replace(example(), starts=None), file)
    assert load(file).starts is None
