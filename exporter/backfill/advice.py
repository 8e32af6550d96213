"""What to do with the files: the commands to run, and what Prometheus has to be told before."""

import shlex
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path

from exporter.backfill.order import DAY, spans

# Comments, so that all of it can be pasted into a shell.
_LOAD = """\
# {count} days: {days}.
# Prometheus deletes what is older than its retention, 15 days unless it is told otherwise. The
# first of these days began {age} days ago: before loading, start Prometheus with at least
#   --storage.tsdb.retention.time={keep}d
# and with more to keep that day for longer.
# Load the files where Prometheus runs, as its user. data is its --storage.tsdb.path.
data=/var/lib/prometheus
for file in {files}; do
  promtool tsdb create-blocks-from openmetrics --quiet "$file" "$data" || break
done
"""
_AGAIN = """\
# The API may still correct {days}.
# Run the same backfill again on {date} or later, and load these days only then.
"""


def advise(
    folder: Path, days: Sequence[date], *, unsettled: Sequence[date], settled: date, now: datetime
) -> str:
    """Writes the commands, and why they are not enough.

    Args:
        folder: where the files are.
        days: those that it has, in order.
        unsettled: those of them that may still change.
        settled: when they have settled.
        now: the present.
    """
    age = (now - datetime.combine(days[0], time(), UTC)) // DAY
    text = _LOAD.format(
        count=len(days),
        days=spans(days),
        age=age,
        keep=age + 1,
        files=f"{shlex.quote(str(folder))}/*.om",
    )
    return text + (_AGAIN.format(days=spans(unsettled), date=settled) if unsettled else "")
