"""A scrape as the oracle sees it: the samples of each account, and what is wrong with its form."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from prometheus_client import Metric
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.oracle_answer import Labels

END = "# EOF\n"
PREFIX = "wlvpn_"
GAUGE_HISTOGRAMS = ("wlvpn_customer_day_bytes", "wlvpn_customer_day_connections")
"""Text 0.0.4 has no such type and calls them histograms, but they fall at midnight."""

_HELP = "# HELP "


@dataclass(frozen=True, slots=True)
class Family:
    """One metric family.

    Attributes:
        name: as its HELP line has it.
        kind: its type.
        samples: values by account, sample name, and labels without the account.
        problems: what is wrong with its form.
    """

    name: str
    kind: str
    samples: Mapping[str, Mapping[str, Mapping[Labels, float]]]
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """One scrape.

    Attributes:
        families: in their order.
        problems: what is wrong with its form.
    """

    families: tuple[Family, ...]
    problems: tuple[str, ...]

    def samples(self, account: str) -> dict[str, Mapping[Labels, float]]:
        """The samples of one account, by name."""
        return {
            name: values
            for family in self.families
            for name, values in family.samples.get(account, {}).items()
        }

    def cumulative(self, account: str) -> dict[str, Mapping[Labels, float]]:
        """The samples of one account that may only grow, by name."""
        return {
            name: values
            for family in self.families
            if family.kind in ("counter", "histogram") and family.name.startswith(PREFIX)
            if family.name not in GAUGE_HISTOGRAMS
            for name, values in family.samples.get(account, {}).items()
        }


@lru_cache(maxsize=2)
def read_page(page: str, *, openmetrics: bool) -> Page:
    """Reads a scrape; a family that did not change since is not read again."""
    text, problems = _without_end(page, openmetrics=openmetrics)
    start, *rest = f"\n{text}".split(f"\n{_HELP}")
    if start.strip():
        problems.append("the page does not start with the HELP line of a family")
    # Each but the last has lost the end of its last line to the separator.
    blocks = [f"{_HELP}{block}\n" for block in rest[:-1]] + [_HELP + block for block in rest[-1:]]
    families = tuple(_read_family(block, openmetrics=openmetrics) for block in blocks)
    names = Counter(family.name for family in families)
    names += Counter(
        name
        for f in families
        for name in {n for told in f.samples.values() for n in told}
        if name != f.name
    )
    problems += [f"{name} is in two places" for name, count in names.items() if count > 1]
    problems += [problem for family in families for problem in family.problems]
    return Page(families, tuple(problems))


def _without_end(page: str, *, openmetrics: bool) -> tuple[str, list[str]]:
    problems = [] if page.endswith("\n") or not page else ["the last line has no end"]
    ends = f"\n{page}".count(f"\n{END}")
    if not openmetrics:
        return page, problems + ["# EOF in the text format"] * min(ends, 1)
    if ends != 1 or not page.endswith(END):
        problems.append("# EOF is not there once, at the end")
    return page.removesuffix(END), problems


@lru_cache(maxsize=128)
def _read_family(block: str, *, openmetrics: bool) -> Family:
    name = block.removeprefix(_HELP).split(maxsplit=1)[0] if len(block) > len(_HELP) + 1 else ""
    try:
        metrics = _parse(block, openmetrics=openmetrics)
    except Exception as error:  # noqa: BLE001 - whatever the library stumbles over
        return Family(name, "unknown", {}, (f"{name} cannot be parsed: {error}",))
    if len(metrics) != 1:
        others = [metric.name for metric in metrics]
        return Family(name, "unknown", {}, (f"{name} is not one family but {others}",))
    [metric] = metrics
    samples: dict[str, dict[str, dict[Labels, float]]] = {}
    # The library reads a line that is there twice in succession as one.
    lines = sum(line[:1] not in ("", "#") for line in block.split("\n"))
    read = len(metric.samples)
    problems = [f"{name} has {lines} lines and {read} samples"] if lines != read else []
    for sample in metric.samples:
        labels = dict(sample.labels)
        account = labels.pop("account", "")
        values = samples.setdefault(account, {}).setdefault(sample.name, {})
        key = tuple(sorted(labels.items()))
        if key in values:
            problems.append(f"{_shown(sample)} is there twice")
        values[key] = float(sample.value)
        if sample.name.startswith(PREFIX):
            problems += _problems(sample)
    return Family(name, metric.type, samples, tuple(problems))


def _parse(block: str, *, openmetrics: bool) -> list[Metric]:
    if not openmetrics:
        return list(text_string_to_metric_families(block))
    return list(openmetrics_parser.text_string_to_metric_families(block + END))  # type: ignore[no-untyped-call]


def _problems(sample: Sample) -> Iterator[str]:
    if not math.isfinite(sample.value):
        yield f"{_shown(sample)} is {sample.value}"
    if sample.timestamp is not None:
        yield f"{_shown(sample)} has a timestamp"
    if sample.name.endswith("_created"):
        yield f"{_shown(sample)} is there"


def _shown(sample: Sample) -> str:
    return f"{sample.name}{sample.labels}"
