"""Completion of our words, by a real bash."""

import subprocess
from pathlib import Path

import pytest

from exporter.cli import main, parsers
from exporter.parser import choices
from exporter.settings import options

COMMANDS = set(parsers()[1])

# What bash does when Tab is pressed at the end of a line.
PRESS_TAB = r"""
set -eu
source "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
set +eu
[[ $(complete -p wlvpn-exporter) =~ -F\ ([a-z_]+) ]]
"${BASH_REMATCH[1]}"
printf '%s\n' "${COMPREPLY[@]}"
"""

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def script(tmp_path: Path, capsys: Capture) -> Path:
    """The script for bash, beside some files."""
    assert 0 == main(["completion", "bash"])
    out, err = capsys.readouterr()
    assert "" == err
    file = tmp_path / "completion.bash"
    file.write_text(out, encoding="utf-8")
    (tmp_path / "web.yml").touch()
    (tmp_path / "certificates").mkdir()
    return file


def completed(script: Path, *words: str) -> set[str]:
    """What bash offers after the words."""
    done = subprocess.run(
        ["/bin/bash", "--norc", "-c", PRESS_TAB, "bash", script, "wlvpn-exporter", *words],
        capture_output=True,
        text=True,
        check=True,
        cwd=script.parent,
    )
    assert "" == done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([""], COMMANDS),
        (["ch"], {"check"}),
        (["h"], {"healthcheck"}),
        (["check", "--pro"], {"--probe"}),
        (["once", "--format", ""], {"text", "openmetrics", "table"}),
        (["once", "--format", "t"], {"text", "table"}),
        (["serve", "--log.level", ""], {"debug", "info", "warning", "error"}),
        (["--log.format", ""], {"logfmt", "json"}),
        (["check", "--collectors.usage.enabled", ""], {"true", "false"}),
        (["--collectors.usage.detail", "pop"], {"pop", "pop_country"}),
        (["--web.config.file", "w"], {"web.yml"}),
        (["serve", "--api-key-file", "c"], {"certificates", "completion.bash"}),
        (["completion", ""], {"bash", "zsh", "tcsh"}),
        (["simulate", "--listen-address", ""], set()),
        (["check", "--probe", "--ca-file", "cert"], {"certificates"}),
        (["demo", "--base"], set()),
        (["once", "--api"], {"--api-key-file"}),
    ],
    ids=" ".join,
)
def test_tab_completes(words: list[str], expected: set[str], script: Path) -> None:
    """Commands, flags, values where they are few, files where a file is wanted."""
    assert expected == completed(script, *words)


def test_every_flag_completes(script: Path) -> None:
    """Each option of the configuration is offered, also where `serve` is left out; no key is."""
    flags = {option.flag for option in options() if option.flag}
    assert flags <= completed(script, "serve", "--")
    assert flags <= completed(script, "--")
    assert "--api-key" not in completed(script, "--")


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_each_shell_has_its_script(shell: str, capsys: Capture) -> None:
    """The script names each command, and the values of an option."""
    assert 0 == main(["completion", shell])
    out, err = capsys.readouterr()
    assert "" == err
    assert {*COMMANDS, "logfmt"} == {word for word in (*COMMANDS, "logfmt") if word in out}


def test_values_are_offered_and_not_demanded(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an option may be is for the settings to say, in their own words, wherever it stands."""
    monkeypatch.setenv("WLVPN_API_KEY", "the-key")
    main(["completion", "bash"])
    capsys.readouterr()
    assert 2 == main(["check", "--log.level", "loud"])
    expected = "wlvpn-exporter: log.level: Input should be 'debug', 'info', 'warning' or 'error'\n"
    assert expected == capsys.readouterr().err


def test_few_values_are_known() -> None:
    """Those of a switch and of an enumeration; others have none."""
    found = {option.name: choices(option) for option in options()}
    assert ("true", "false") == found["collectors.servers.enabled"]
    assert ("logfmt", "json") == found["log.format"]
    assert () == found["countries"]
