"""Whoever listens to a backfill or does not: it does its work."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from exporter.config import load
from exporter.simulator import Simulator
from tests.backfill.desk import backfill, content
from tests.backfill.test_folder import words
from tests.manual_clock import ManualClock
from tests.process import spawned, variables


@pytest.mark.parametrize(
    ("redirection", "expected"),
    [
        ("2>&1 | true", (0, "")),
        ("2>&1 >/dev/null | true", (0, "")),
        ("2>/dev/full >/dev/null", (0, "")),
        ("2>&- >/dev/null", (0, "")),
        (">/dev/full", (1, "wlvpn-exporter: cannot write: No space left on device")),
    ],
    ids=["no reader", "no reader of stderr", "a full stderr", "no stderr", "a full stdout"],
)
async def test_it_does_its_work_without_a_reader(
    redirection: str, expected: tuple[int, str], present: Simulator, settled: str, tmp_path: Path
) -> None:
    """All days are there; only commands that could not be written are a failure."""
    clock, folder = ManualClock(datetime.now(UTC)), tmp_path / "a"
    settings = load({"base_url": present.url, "api_key": "demo-key"})
    await backfill(settings, clock, folder, months=(settled, settled))
    whole = content(folder)
    for day in ("03", "04"):
        (folder / f"{settled}-{day}.om").unlink()
    script = f'"$@" {redirection}; exit ${{PIPESTATUS[0]}}'
    env = {**os.environ, **variables(present.url, 0)}
    async with spawned("bash", "-c", script, "bash", *words(folder, settled), env=env) as process:
        out, err = await process.communicate()
    last = err.decode().splitlines()[-1:]
    assert (expected, b"") == ((process.returncode, "".join(last)), out)
    assert whole == content(folder)
