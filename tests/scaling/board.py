"""The dashboards' queries, for a world in which a minute is a second."""

import re

from tests.grafana.queries import DASHBOARDS, Query
from tests.grafana.queries import queries as queries_of

_OTHER_EACH_TIME = re.compile(r"\bprocess_(?!start)|\bwlvpn_event_loop")
"""What differs from scrape to scrape."""

_SHORTER = (
    (r"\[\d+[smhdw]\]", "[20s]"),
    (r"\[\d+[smhdw]:\d+[smhdw]\]", "[20s:1s]"),
    # A rate of 20 s has a step where a poll enters it and one where a poll leaves it: between them.
    (r"(:rate2h\{[^}]*\})\[20s\]", r"\1[3s]"),
    (r"\boffset \d+[mhdw]\b", "offset 7s"),
    # Which of two equals is the eighth is nobody's promise.
    (r"\btopk\(\d+,", "topk(1000,"),
    # The month may be younger than that on the day on which this runs.
    (r"> 2 \* 86400", "> 0"),
)

BOARDS = {path.stem: path for path in DASHBOARDS}
"""The dashboards by name."""


def queries(name: str) -> list[str]:
    """All queries of a dashboard with nothing left out, but for those about the process."""
    # Where a variable has no "all", everything is chosen none the less.
    found = dict.fromkeys(_asked(query) for query in queries_of(BOARDS[name], lambda _: [".+"]))
    return [_shorter(expr) for expr in found if not _OTHER_EACH_TIME.search(expr)]


def _asked(query: Query) -> str:
    return f"group by ({query.label}) ({query.text})" if query.kind == "values" else query.text


def _shorter(expr: str) -> str:
    for pattern, instead in _SHORTER:
        expr = re.sub(pattern, instead, expr)
    return expr
