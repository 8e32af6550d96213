"""The wheel, as a user installs it: in an empty environment, without the checkout."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*words: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
    ]
    run(*build, "--wheel-dir", folder, ROOT, cwd=folder)
    [wheel] = folder.glob("wlvpn_exporter-*.whl")
    return wheel


def test_the_wheel_holds_the_package_alone(wheel: Path) -> None:
    """Code, the page's template and the licence; no tests, no caches."""
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"exporter/cli.py", "exporter/status.html", "exporter/simulator/world.py"} <= names
    tops = {name.partition("/")[0] for name in names}
    assert {"exporter", f"{wheel.stem.removesuffix('-py3-none-any')}.dist-info"} == tops
    assert [] == [name for name in names if name.endswith(".pyc")]


def test_the_wheel_runs_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    """Installed with its locked requirements, its console script works."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    pip: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "--no-input"]
    run(*pip, "--require-hashes", "--requirement", ROOT / "requirements.txt", cwd=tmp_path)
    run(*pip, "--no-deps", wheel, cwd=tmp_path)
    program = tmp_path / "venv" / "bin" / "wlvpn-exporter"
    assert "wlvpn-exporter 0.1.0\n" == run(program, "--version", cwd=tmp_path)
    told = run(python, "-m", "pip", "check", cwd=tmp_path)
    assert "No broken requirements found.\n" == told
    checked = subprocess.run(
        [program, "check"],
        cwd=tmp_path,
        env={**os.environ, "WLVPN_API_KEY": "k"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (0, "") == (checked.returncode, checked.stderr)
