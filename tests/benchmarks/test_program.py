"""The programs that are measured with."""

from pathlib import Path

import pytest

from benchmarks import program
from benchmarks.errors import BenchError


def test_what_is_missing_is_named_with_the_mend(tmp_path: Path) -> None:
    """One line names all of it."""
    (tmp_path / "usr" / "bin").mkdir(parents=True)
    (tmp_path / "usr" / "bin" / "jq").touch()
    expected = "missing: h2load, nginx, node_exporter, node_exporter_newest. Mend: run `make bench`"
    with pytest.raises(BenchError) as caught:
        program.find(tmp_path)
    assert str(caught.value).startswith(expected)
