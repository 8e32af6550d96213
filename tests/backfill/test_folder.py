"""The folder: whole files of one order alone, or a clear word."""

import asyncio
import os
import re
import shutil
import signal
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from exporter.config import load
from exporter.errors import ConfigError
from exporter.month import Month
from exporter.settings import Settings
from exporter.simulator import Simulator
from tests.backfill.desk import backfill, content, names
from tests.conftest import Configure
from tests.manual_clock import ManualClock
from tests.process import EXPORTER, spawned, variables
from tests.test_signals import until_it_begins

JANUARY = ("2026-01", "2026-01")
ELSEWHERE = "choose another folder"
MINE = "choose a folder of yours"
KILLS = 50
"""How often a process is killed at most until it is hit as it writes."""


@pytest.fixture
def january(tmp_path: Path) -> Path:
    """A folder for it."""
    folder = tmp_path / "january"
    folder.mkdir()
    return folder


async def refusal(settings: Settings, clock: ManualClock, folder: Path, *labels: str) -> str:
    """Why nothing is put into a folder."""
    with pytest.raises(ConfigError) as caught:
        await backfill(settings, clock, folder, months=JANUARY, labels=labels)
    [problem] = caught.value.problems
    return problem.removeprefix(f"--output: {folder}: ")


async def test_orders_are_not_mixed(
    configure: Configure, clock: ManualClock, simulator: Simulator, january: Path
) -> None:
    """Files of other labels, details, addresses or accounts are left alone, and so is the API."""
    await backfill(configure(), clock, january, months=JANUARY, labels=("job=a",))
    before = content(january)
    simulator.requests.clear()
    other = f"http://localhost:{simulator.port}"
    two = january.parent / "two.yml"
    two.write_text("accounts: {brand-b: {api_key: demo-key}}")
    told = [
        await refusal(configure(), clock, january, "job=b"),
        await refusal(configure(collectors__usage__detail="pop"), clock, january, "job=a"),
        await refusal(configure(base_url=other), clock, january, "job=a"),
        await refusal(configure(config__file=str(two)), clock, january, "job=a"),
    ]
    assert [
        f"was filled with other {names}: {ELSEWHERE}"
        for names in ("labels", "detail", "base_url", "accounts, base_url, detail")
    ] == told
    assert (before, []) == (content(january), list(simulator.requests))


async def test_a_later_order_adds_to_it(
    configure: Configure, clock: ManualClock, simulator: Simulator, january: Path
) -> None:
    """More months of the same are no other order."""
    await backfill(configure(), clock, january, months=JANUARY)
    await backfill(configure(), clock, january, months=("2026-01", "2026-02"))
    assert names("2026-01-01", "2026-02-28") | {"backfill.json"} == content(january).keys()
    assert 59 == len(simulator.requests)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("2026-01-05.om", "# EOF\n", f"has files that are not ours: {ELSEWHERE}"),
        ("backfill.json", "{", f"backfill.json is not ours: {ELSEWHERE}"),
        ("backfill.json", "[]", f"backfill.json is not ours: {ELSEWHERE}"),
        ("backfill.json", "\udcff", f"backfill.json is not ours: {ELSEWHERE}"),
        (
            "backfill.json",
            "{}",
            f"was filled with other accounts, base_url, detail, labels: {ELSEWHERE}",
        ),
    ],
    ids=["files", "no JSON", "no object", "no text", "another's"],
)
async def test_what_is_not_ours_is_left_alone(
    name: str, text: str, expected: str, configure: Configure, clock: ManualClock, january: Path
) -> None:
    """Nobody's files are overwritten, or loaded together with ours."""
    (january / name).write_text(text, errors="surrogateescape")
    before = content(january)
    assert (expected, before) == (await refusal(configure(), clock, january), content(january))


async def test_other_files_do_not_matter(
    configure: Configure, clock: ManualClock, january: Path
) -> None:
    """A folder may hold what promtool will not be given."""
    (january / "notes.txt").write_text("mine")
    assert 0 == (await backfill(configure(), clock, january, months=JANUARY)).code
    assert b"mine" == content(january)["notes.txt"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/dev/null", f"File exists: {MINE}"),
        ("/dev/null/x", f"Not a directory: {MINE}"),
        ("/proc/1/x", f"No such file or directory: {MINE}"),
        (
            "/sys",
            f"(Operation not permitted|Permission denied|Read-only file system): {MINE}",
        ),
        ("/tmp/" + "x" * 300, f"File name too long: {MINE}"),  # noqa: S108 - it is never made
    ],
    ids=["a file", "below a file", "cannot be made", "cannot be written to", "too long"],
)
async def test_no_folder_is_told(
    path: str, expected: str, configure: Configure, clock: ManualClock, simulator: Simulator
) -> None:
    """Where nothing can be put, nobody is asked for it."""
    told = await refusal(configure(), clock, Path(path))
    assert re.fullmatch(expected, told)
    assert [] == list(simulator.requests)


async def test_a_file_that_was_cut_off_is_asked_for_again(
    configure: Configure, clock: ManualClock, simulator: Simulator, january: Path
) -> None:
    """By whomever, as we never leave one."""
    await backfill(configure(), clock, january, months=JANUARY)
    before = content(january)
    simulator.requests.clear()
    os.truncate(january / "2026-01-05.om", 300)
    os.truncate(january / "2026-01-06.om", 0)
    await backfill(configure(), clock, january, months=JANUARY)
    assert (before, 2) == (content(january), len(simulator.requests))


# The command as a process, in the present


def unmeasured(url: str) -> Mapping[str, str]:
    """The environment of a process that is cut short: without what measures its coverage.

    That would catch signals before we do, and leave a broken file of its own.
    """
    return variables(url, 0)


def words(folder: Path, month: str) -> list[str]:
    return [*EXPORTER, "backfill", "--from", month, "--to", month, "--output", str(folder)]


async def is_seen(folder: Path, pattern: str, later: str = "") -> bool:
    """Waits for a file without giving way to anything: what is there may be gone soon.

    Where the file `later` is seen first, the other was there between two looks.
    """

    def wait() -> bool:
        until = time.monotonic() + 20
        while not any(folder.glob(pattern)):
            assert time.monotonic() < until
            if later and (folder / later).exists():
                return False
        return True

    return await asyncio.to_thread(wait)


async def test_a_second_one_keeps_out(present: Simulator, settled: str, january: Path) -> None:
    """Two at a time would be twice as fast as is polite."""
    env = unmeasured(present.url)
    async with spawned(*words(january, settled), env=env) as first:
        assert await is_seen(january, "*.om")
        async with spawned(*words(january, settled), env=env) as second:
            out, err = await second.communicate()
        first.kill()
        await first.communicate()
    told = f"--output: {january}: another backfill is filling it: wait for its end"
    assert (2, b"", f"wlvpn-exporter: {told}\n") == (second.returncode, out, err.decode())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_whenever_it_is_stopped_the_next_run_goes_on(
    number: signal.Signals, present: Simulator, settled: str, tmp_path: Path
) -> None:
    """Nothing half, a line that says how to go on, and in the end the folder of one long run."""
    env = {**os.environ, **variables(present.url, 0)}
    async with spawned(*words(tmp_path / "a", settled), env=env) as process:
        assert await is_seen(tmp_path / "a", "*.om")
        process.send_signal(number)
        out, err = await asyncio.wait_for(process.communicate(), 5)
    last = "wlvpn-exporter: stopped: run the same command again to go on"
    said = err.decode().splitlines()
    assert (128 + number, b"", last) == (process.returncode, out, said[-1])
    assert b"Traceback" not in err
    await judge_next_run(present, settled, tmp_path)


@pytest.mark.parametrize(
    ("pattern", "later"),
    [(".*.om.part", ""), (".backfill.json.part", "backfill.json")],
    ids=["within a file", "within the manifest"],
)
async def test_whenever_it_is_killed_the_next_run_goes_on(
    pattern: str, later: str, present: Simulator, settled: str, tmp_path: Path
) -> None:
    """The same where it had no time to say anything."""
    for _ in range(KILLS):
        async with spawned(*words(tmp_path / "a", settled), env=unmeasured(present.url)) as process:
            hit = await is_seen(tmp_path / "a", pattern, later)
            process.kill()
            await process.communicate()
        if hit:
            break
        shutil.rmtree(tmp_path / "a")  # it was too quick for us
    assert hit
    await judge_next_run(present, settled, tmp_path)


async def judge_next_run(present: Simulator, settled: str, folder: Path) -> None:
    """What a stopped run left in a/ is whole, and the next one makes it what b/ is."""
    there = {path.read_bytes()[-6:] for path in (folder / "a").glob("*.om")}
    clock = ManualClock(datetime.now(UTC))
    settings = load({"base_url": present.url, "api_key": "demo-key"})
    for name in ("a", "b"):
        await backfill(settings, clock, folder / name, months=(settled, settled))
    assert there <= {b"# EOF\n"}
    assert content(folder / "a") == content(folder / "b")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_can_be_stopped_as_it_starts(
    number: signal.Signals, present: Simulator, settled: str, tmp_path: Path
) -> None:
    """A command that was stopped has not done its work, whenever that was."""
    env = unmeasured(present.url)
    async with spawned(*words(tmp_path / "a", settled), env=env) as process:
        await until_it_begins(process.pid)
        process.send_signal(number)
        out, err = await asyncio.wait_for(process.communicate(), 5)
    assert (128 + number, b"", False) == (process.returncode, out, b"Traceback" in err)


async def test_a_full_disk_is_told(present: Simulator, settled: str, tmp_path: Path) -> None:
    """One clear line, exit 1, and nothing half is left."""
    env = unmeasured(present.url)
    limited = ["bash", "-c", 'ulimit -f 1; exec "$@"', "bash", *words(tmp_path / "a", settled)]
    async with spawned(*limited, env=env) as process:
        out, err = await process.communicate()
    assert (1, b"", ["backfill.json"]) == (process.returncode, out, [*content(tmp_path / "a")])
    assert [
        f"wlvpn-exporter: cannot write into {tmp_path / 'a'}: File too large",
        "wlvpn-exporter: mend that, and run the same command again to go on",
    ] == err.decode().splitlines()[-2:]


async def test_a_backfill_as_its_users_run_it(present: Simulator, tmp_path: Path) -> None:
    """Files, exit 0, the commands on stdout and all else on stderr."""
    env = {**os.environ, **variables(present.url, 0)}
    today = datetime.now(UTC).date()
    month = str(
        Month.of(datetime.now(UTC)) if today.day > 1 else Month(today.year, today.month).previous
    )
    done = tmp_path / "a"
    clock = ManualClock(datetime.now(UTC))
    settings = load({"base_url": present.url, "api_key": "demo-key"})
    await backfill(settings, clock, done, months=(month, month), labels=("job=a",))
    async with spawned(*words(done, month), "--label", "job=a", env=env) as process:
        out, _ = await process.communicate()
    assert (0, True) == (process.returncode, out.startswith(b"# "))
