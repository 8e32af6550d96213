"""How the tests come by a browser."""

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "install-chromium"
APT = """#!/bin/sh
echo "$*" >>"$0.told"
program=${0%/*}/chromium
case $* in *install*) echo "#!/bin/sh" >"$program" && chmod +x "$program" ;; esac
"""


def put(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


def installed(folder: Path) -> tuple[int, str]:
    """Runs it where only these programs are; gives its exit code and what it says."""
    done = subprocess.run(
        ["/bin/sh", SCRIPT], env={"PATH": str(folder)}, capture_output=True, text=True, check=False
    )
    assert "" == done.stdout
    return done.returncode, done.stderr


def test_a_browser_that_is_there_is_enough(tmp_path: Path) -> None:
    """Nothing is installed and nobody has to be root."""
    put(tmp_path, "chromium", "#!/bin/sh\n")
    assert (0, "") == installed(tmp_path)


def test_root_has_it_installed(tmp_path: Path) -> None:
    """With a font, and without a question."""
    put(tmp_path, "apt-get", APT)
    put(tmp_path, "id", "#!/bin/sh\necho 0\n")
    put(tmp_path, "chmod", '#!/bin/sh\nexec /bin/chmod "$@"\n')
    assert (0, "") == installed(tmp_path)
    assert [
        "-qq update",
        "-qq install --yes --no-install-recommends chromium fonts-dejavu-core",
    ] == (tmp_path / "apt-get.told").read_text().splitlines()


@pytest.mark.parametrize("has_apt", [True, False], ids=["apt", "no-apt"])
def test_others_are_told_the_command(tmp_path: Path, *, has_apt: bool) -> None:
    """In one line that can be pasted."""
    put(tmp_path, "id", "#!/bin/sh\necho 1000\n")
    if has_apt:
        put(tmp_path, "apt-get", APT)
    code, said = installed(tmp_path)
    assert 1 == code
    mend = "apt-get install --no-install-recommends chromium" if has_apt else "called chromium on"
    assert mend in said
    assert not (tmp_path / "apt-get.told").exists()
