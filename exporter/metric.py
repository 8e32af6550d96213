"""A metric as data: one row of a table, checked when the module that holds it is imported.

Naming rules: "Metric and label naming" and "Writing exporters" in the Prometheus documentation.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Kind = Literal["gauge", "counter", "histogram", "gaugehistogram"]

_NAME = re.compile(r"wlvpn_[a-z]+(_[a-z]+)*")
_LABEL = re.compile(r"[a-z]+(_[a-z]+)*")
_TARGET_LABELS = {"instance", "job", "region", "service", "cluster", "env"}


class Distribution(NamedTuple):
    """How values lie now: the sample of a gauge histogram, which may fall as well as rise.

    Attributes:
        bounds: the buckets' upper ends, rising; one more without an end follows them.
        counts: values in each bucket alone, so one more than bounds.
        total: the sum of all values.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: int


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family.

    Attributes:
        name: the family's name as Prometheus shows it; a counter's ends in `_total`.
        kind: its type.
        help: one sentence in the API's terms.
        labels: label names; a domain metric's `account` comes first and is stamped by the encoder.
        value: reads a domain metric's sample from a record, a Distribution for a gauge histogram;
            None where the record has none.

    Raises:
        ValueError: a name or label breaks the naming rules.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...]
    value: Callable[[Any], float | Distribution | None] = lambda _: None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.name}: not a metric name of ours")
        if (self.kind == "counter") != self.name.endswith("_total"):
            raise ValueError(f"{self.name}: counters, and only they, end in _total")
        if not self.help.endswith("."):
            raise ValueError(f"{self.name}: HELP is a sentence")
        if self.kind == "gaugehistogram" and self.labels != ("account",):
            raise ValueError(f"{self.name}: a gauge histogram has one label, account")
        for label in self.labels:
            if not _LABEL.fullmatch(label) or label in _TARGET_LABELS:
                raise ValueError(f"{self.name}: {label!r} cannot be a label of ours")


@dataclass(frozen=True, slots=True)
class Table:
    """Metrics that are read from the same records.

    Attributes:
        records: takes the records out of what a collector knows. A record's attributes are its
            labels, by name.
        metrics: the rows.
    """

    records: Callable[[Any], Iterable[Any]]
    metrics: tuple[Metric, ...]
