"""The command line of the benchmark."""

from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import program


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--servers", "0"], "'0' is not a whole number"),
        (["--servers", "1000,many"], "'many' is not a whole number"),
        (["--servers=-5"], "'-5' is not a whole number"),
        (["--rounds", "1.5"], "'1.5' is not a whole number"),
        (["--only", "everything"], "invalid choice: 'everything'"),
    ],
)
def test_a_wrong_option_is_refused(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is started, with exit code 2."""
    with pytest.raises(SystemExit, match="2"):
        command.main(words)
    assert told in capsys.readouterr().err


def test_a_missing_program_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code is 1, and stdout stays empty."""
    monkeypatch.setattr(program.find, "__defaults__", (tmp_path,))
    assert 1 == command.main([])
    out, err = capsys.readouterr()
    assert ("", 1) == (out, err.count("\n"))
    assert err.startswith("benchmarks: missing: h2load")
