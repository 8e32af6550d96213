"""What a backfill says: how far it is, what to run next, and never the key."""

import io
from pathlib import Path

import pytest

from exporter import logs
from exporter.simulator import Simulator
from tests.backfill.desk import Terminal, backfill, content, fail_from
from tests.conftest import Configure
from tests.manual_clock import ManualClock
from tests.stage import CANARY, forms

HINT = (
    "without --label job=... and --label instance=..., as Prometheus adds them to the live series, "
    "these are series of their own"
)


async def test_the_commands_are_told(
    configure: Configure, clock: ManualClock, tmp_path: Path
) -> None:
    """All that is on stdout can be pasted: a loop, and why it is not enough."""
    folder = tmp_path / "it's $HOME"
    ended = await backfill(configure(), clock, folder)
    quoted = f"{tmp_path}/it'\"'\"'s $HOME"
    assert (
        f"""\
# 59 days to load: 2026-01-01 to 2026-02-28.
# Prometheus deletes what is older than its retention, 15 days unless it is told otherwise. The
# first of these days began 75 days ago: before loading, start Prometheus with at least
#   --storage.tsdb.retention.time=76d
# and with more to keep that day for longer.
# Load the files where Prometheus runs, as its user. data is its --storage.tsdb.path. What was
# loaded is moved to loaded, so that no day is loaded twice.
data=/var/lib/prometheus
folder='{quoted}'
mkdir -p "$folder/loaded"
for file in "$folder"/*.om; do
  promtool tsdb create-blocks-from openmetrics --quiet "$file" "$data" &&
    mv "$file" "$folder/loaded" || break
done
"""
        == ended.out
    )


async def test_progress_elsewhere_is_a_line_a_month(
    configure: Configure, clock: ManualClock, tmp_path: Path
) -> None:
    """In a log there are no bars."""
    ended = await backfill(configure(), clock, tmp_path)
    assert [
        f"wlvpn-exporter: {HINT}",
        "wlvpn-exporter: 2026-01-31: 31 of 59 days, 31 requests, 14s left",
        "wlvpn-exporter: 2026-02-28: 59 of 59 days, 59 requests, 0s left",
        "wlvpn-exporter: 59 of 59 days are there, 59 requests",
    ] == ended.err.splitlines()


async def test_progress_on_a_terminal_is_a_bar(
    configure: Configure, clock: ManualClock, tmp_path: Path
) -> None:
    """One line that is written over; what has to stay is a line of its own."""
    labels = ("job=a", "instance=b")
    ended = await backfill(configure(), clock, tmp_path, labels=labels, err=Terminal())
    bars = ended.err.removeprefix("\r\x1b[K").split("\r\x1b[K")
    assert 60 == len(bars)
    assert "2026-01-31 [##########..........] 31 of 59 days, 31 requests, 14s left" == bars[30]
    assert "wlvpn-exporter: 59 of 59 days are there, 59 requests\n" == bars[-1]
    assert 1 == ended.err.count("\n")


@pytest.mark.parametrize("rule", ["status=401", "status=503", "api_status", "redirect=/", ""])
async def test_no_output_tells_the_key(
    rule: str, configure: Configure, clock: ManualClock, simulator: Simulator, tmp_path: Path
) -> None:
    """However it ends, at debug as well, the key is in no line and in no file."""
    log = io.StringIO()
    logs.start("debug", "logfmt", log)
    simulator.key = CANARY
    error = f"wrong: {CANARY}"
    if rule == "api_status":
        simulator.rewrite = lambda _, payload: {**payload, "api_status": 0, "error": error}
    elif rule:
        fail_from(simulator, "2026-01-04", f"usage:{rule}")
    ended = await backfill(configure(api_key=CANARY), clock, tmp_path)
    files = b"".join(content(tmp_path).values()).decode()
    texts = (ended.out, ended.err, log.getvalue(), files)
    assert (not rule, True) == (ended.code == 0, "level=debug" in log.getvalue())
    assert [] == [form for form in forms(CANARY) for text in texts if form in text]
