"""What to do with the files: the commands to run, and what Prometheus has to be told before."""

import shlex
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path

from exporter.backfill.folder import LOADED, UNSETTLED
from exporter.backfill.order import DAY, spans

# Comments, so that all of it can be pasted into a shell.
_LOAD = """\
# {count} days to load: {days}.
# Prometheus deletes what is older than its retention, 15 days unless it is told otherwise. The
# first of these days began {age} days ago: before loading, start Prometheus with at least
#   --storage.tsdb.retention.time={keep}d
# and with more to keep that day for longer.
# Load the files where Prometheus runs, as its user. data is its --storage.tsdb.path. What was
# loaded is moved to {loaded}, so that no day is loaded twice.
data=/var/lib/prometheus
folder={folder}
mkdir -p "$folder/{loaded}"
for file in "$folder"/*.om; do
  promtool tsdb create-blocks-from openmetrics --quiet "$file" "$data" &&
    mv "$file" "$folder/{loaded}" || break
done
"""
_NOTHING = "# There is nothing to load.\n"
_AGAIN = """\
# The API may still correct {days}.
# Do not load these days yet: they are in {place}, beside the others.
# Run the same backfill again on {date} or later, and load them then.
"""


def advise(
    folder: Path, ready: Sequence[date], *, unsettled: Sequence[date], settled: date, now: datetime
) -> str:
    """Writes the commands, and why they are not enough.

    Args:
        folder: where the files are.
        ready: the days to load, in order.
        unsettled: those that may still change.
        settled: when they have settled.
        now: the present.
    """
    text = _load(folder, ready, now) if ready else _NOTHING
    if not unsettled:
        return text
    return text + _AGAIN.format(days=spans(unsettled), place=UNSETTLED, date=settled)


def _load(folder: Path, ready: Sequence[date], now: datetime) -> str:
    age = (now - datetime.combine(ready[0], time(), UTC)) // DAY
    return _LOAD.format(
        count=len(ready),
        days=spans(ready),
        age=age,
        keep=age + 1,
        folder=shlex.quote(str(folder)),
        loaded=LOADED,
    )
