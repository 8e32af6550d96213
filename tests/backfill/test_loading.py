"""What the command tells to run loads each day once, when the API does not correct it any more."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.errors import ConfigError
from exporter.simulator import Simulator
from tests.backfill.desk import asked, backfill, days
from tests.conftest import Configure
from tests.manual_clock import ManualClock
from tests.process import spawned

DAY = 86_400
MARCH = ("2026-03", "2026-03")
PROMTOOL = """\
#!/bin/sh
[ "$4" = --quiet ] && [ -s "$5" ] && [ "$6" = /var/lib/prometheus ] || exit 2
case "$5" in *"$REFUSED"*) exit 1;; esac
echo "${5##*/}" >>"$NOTES"
"""


async def paste(script: str, folder: Path, refused: str = "none") -> list[str]:
    """Runs commands, with a promtool that notes what it is given; all that it noted so far."""
    promtool, notes = folder / "bin/promtool", folder / "notes"
    promtool.parent.mkdir(exist_ok=True)
    promtool.write_text(PROMTOOL)
    promtool.chmod(0o755)
    path = f"{promtool.parent}:{os.environ['PATH']}"
    env = {"PATH": path, "NOTES": str(notes), "REFUSED": refused}
    async with spawned("sh", "-c", script, env=env) as process:
        out, err = await process.communicate()
    assert (b"", b"") == (out, err)
    return [line.removesuffix(".om") for line in notes.read_text().splitlines()]


async def test_each_day_is_loaded_once(
    configure: Configure, clock: ManualClock, simulator: Simulator, tmp_path: Path
) -> None:
    """What is told after the rerun loads the days that have settled since, and only these."""
    folder = tmp_path / "it's $HOME"
    march = [str(day) for day in days("2026-03-01", "2026-03-31")]
    first = await backfill(configure(), clock, folder, months=MARCH)
    assert march[:11] == await paste(first.out, tmp_path)
    simulator.requests.clear()
    clock.advance(21 * DAY)
    second = await backfill(configure(), clock, folder, months=MARCH)
    assert march[11:] == asked(simulator)
    assert march == await paste(second.out, tmp_path)
    simulator.requests.clear()
    third = await backfill(configure(), clock, folder, months=MARCH)
    assert ([], "# There is nothing to load.\n") == (asked(simulator), third.out)


async def test_what_was_not_loaded_is_told_again(
    configure: Configure, clock: ManualClock, tmp_path: Path
) -> None:
    """A file that promtool refuses ends the loop; it and those after it are still to be loaded."""
    folder = tmp_path / "out"
    first = await backfill(configure(), clock, folder)
    assert 37 == len(await paste(first.out, tmp_path, refused="2026-02-07"))
    second = await backfill(configure(), clock, folder)
    assert "# 22 days to load: 2026-02-07 to 2026-02-28." in second.out
    winter = [str(day) for day in days("2026-01-01", "2026-02-28")]
    assert winter == await paste(second.out, tmp_path)


@pytest.mark.parametrize("settle_days", [10, 28], ids=["few", "many"])
async def test_a_day_that_may_change_after_all_is_not_loaded(
    settle_days: int, configure: Configure, clock: ManualClock, tmp_path: Path
) -> None:
    """Who learns that the API corrects for longer has no files to load that it may correct."""
    folder = tmp_path / "out"
    await backfill(configure(), clock, folder)
    settings = configure(collectors__usage__settle_days=str(settle_days))
    ended = await backfill(settings, clock, folder)
    last = {10: "2026-02-28", 28: "2026-02-16"}[settle_days]
    wanted = [str(day) for day in days("2026-01-01", last)]
    assert wanted == await paste(ended.out, tmp_path)


def make_loop(path: Path) -> None:
    """A link to itself, which nobody can read, not even root."""
    path.symlink_to(path.name)


@pytest.mark.parametrize("name", ["2026-01-05.om", "loaded/2026-01-05.om"])
@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (Path.mkdir, "is not a file: move it away"),
        (os.mkfifo, "is not a file: move it away"),
        (
            make_loop,
            "cannot be read: Too many levels of symbolic links: let us read it, or move it away",
        ),
    ],
    ids=["folder", "FIFO", "unreadable"],
)
async def test_what_is_no_file_is_refused(
    make: Callable[[Path], object],
    expected: str,
    name: str,
    configure: Configure,
    clock: ManualClock,
    simulator: Simulator,
    tmp_path: Path,
) -> None:
    """What has a day's name but cannot be one is named, and nobody is asked for anything."""
    await backfill(configure(), clock, tmp_path, months=("2026-02", "2026-02"))
    simulator.requests.clear()
    (tmp_path / name).parent.mkdir(exist_ok=True)
    make(tmp_path / name)
    with pytest.raises(ConfigError) as caught:
        await backfill(configure(), clock, tmp_path)
    assert (f"--output: {tmp_path}: {name} {expected}",) == caught.value.problems
    assert [] == asked(simulator)
