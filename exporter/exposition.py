"""Records x metrics -> the bytes that Prometheus reads; nothing else escapes or formats a number.

Formats: "Exposition formats" in the Prometheus documentation (text 0.0.4) and the OpenMetrics 1.0.0
specification. Sample lines are the same in both. HELP and TYPE lines differ for a counter, and for
a gauge histogram, which text 0.0.4 does not know: there it is three families.
"""

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from io import BytesIO
from itertools import accumulate, repeat, starmap
from operator import attrgetter
from typing import Any, Literal, NamedTuple, cast

from exporter.metric import Distribution, Metric, Table

Format = Literal["text", "openmetrics"]

CONTENT_TYPES: Mapping[Format, str] = {
    "text": "text/plain; version=0.0.4; charset=utf-8",
    "openmetrics": "application/openmetrics-text; version=1.0.0; charset=utf-8",
}

END = b"# EOF\n"
"""How an OpenMetrics file ends; what ends otherwise was cut off."""

_GZIP_WINDOW = 31  # zlib's way to say: 32 KiB window, gzip header and trailer
_GZIP_LEVEL = 3
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_GAUGE_HISTOGRAM = ("_bucket", "_gcount", "_gsum")
_PLAIN_LIMIT = 1e6  # from here on Prometheus writes a bucket's bound with an exponent
_STEP = 200  # records in one go, during which no other thread of Python's gets its turn


@dataclass(frozen=True, slots=True)
class Stamp:
    """What the lines of a file say beside what a page's do.

    Attributes:
        labels: more labels, by name.
        seconds: the samples' Unix time; None for a page, where it is the scrape's.
    """

    labels: Mapping[str, str] = field(default_factory=dict)
    seconds: int | None = None

    @property
    def end(self) -> tuple[str, str]:
        """What stands behind a line's own labels, and behind its value."""
        pairs = (f',{name}="{text.translate(_ESCAPES)}"' for name, text in self.labels.items())
        return "".join(pairs) + "} ", "\n" if self.seconds is None else f" {self.seconds}\n"


_UNSTAMPED = Stamp()


def encode(
    tables: Iterable[Table], known: object, account: str, stamp: Stamp = _UNSTAMPED
) -> dict[str, bytes]:
    """Encodes what a collector knows into sample lines.

    Returns:
        The lines of each family by the name that they begin with; a family without samples is left
        out.
    """
    blocks = {}
    for table in tables:
        found = list(table.records(known))
        for metric, records in _plain(table.metrics, found):
            steps = range(0, len(records), _STEP)
            block = BytesIO()  # unlike a join, it does not need twice the room
            block.writelines(
                _lines(metric, records[at : at + _STEP], account, stamp) for at in steps
            )
            if block.tell():
                blocks[metric.name] = block.getvalue()
    return blocks


class _Bucket(NamedTuple):
    """A bucket's line."""

    le: str
    values: int


def _plain(
    metrics: Iterable[Metric], records: Sequence[Any]
) -> Iterator[tuple[Metric, Sequence[Any]]]:
    """Takes gauge histograms apart, into what has one number a record."""
    for metric in metrics:
        if metric.kind != "gaugehistogram":
            yield metric, records
            continue
        found = [d for d in map(metric.value, records) if isinstance(d, Distribution)]
        bucket, count, total = (
            replace(metric, name=metric.name + suffix, kind="gauge") for suffix in _GAUGE_HISTOGRAM
        )
        labels = (*metric.labels, "le")
        rows = [row for distribution in found for row in _buckets(distribution)]
        yield replace(bucket, labels=labels, value=attrgetter("values")), rows
        yield replace(count, value=lambda distribution: sum(distribution.counts)), found
        yield replace(total, value=attrgetter("total")), found


def _buckets(distribution: Distribution) -> Iterable[_Bucket]:
    bounds = [*map(_bound, distribution.bounds), "+Inf"]
    return starmap(_Bucket, zip(bounds, accumulate(distribution.counts), strict=True))


def _bound(value: float) -> str:
    """Writes a bound as Prometheus 3 would rewrite it, and 2 keeps it: one series in both."""
    if value < _PLAIN_LIMIT:
        return repr(float(value))
    mantissa, _, exponent = f"{value:.15e}".partition("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{exponent}"


def _lines(metric: Metric, records: Sequence[Any], account: str, stamp: Stamp) -> bytes:
    """Weaves columns into lines: Python's own loop over records would take three times as long."""
    values = cast(list[float | None], list(map(metric.value, records)))
    if None in values:
        records = [each for each, value in zip(records, values, strict=True) if value is not None]
        values = [value for value in values if value is not None]
    labels = [list(map(attrgetter(name), records)) for name in metric.labels[1:]]
    columns: list[Iterable[str]] = [repeat(f'{metric.name}{{account="{account}"', len(records))]
    for name, texts in zip(metric.labels[1:], labels, strict=True):
        columns += [repeat(f',{name}="'), texts, repeat('"')]
    closing, end = stamp.end
    columns += [repeat(closing), map(repr, values), repeat(end)]
    lines = "".join(map("".join, zip(*columns, strict=False)))
    # A label without a value is the same to Prometheus as no label, and some have to be escaped.
    quotes = 2 * (len(metric.labels) + len(stamp.labels)) * len(records)
    is_plain = all(map(all, labels)) and "\\" not in lines
    if not is_plain or (quotes, len(records)) != (lines.count('"'), lines.count("\n")):
        lines = "".join(map(_line, repeat(metric), repeat(account), records, values, repeat(stamp)))
    return lines.encode()


def _line(metric: Metric, account: str, record: object, value: float | None, stamp: Stamp) -> str:
    texts = [account, *(getattr(record, name) for name in metric.labels[1:])]
    pairs = zip(metric.labels, (text.translate(_ESCAPES) for text in texts), strict=True)
    labels = ",".join(f'{name}="{text}"' for name, text in pairs if text)
    closing, end = stamp.end
    return f"{metric.name}{{{labels}{closing}{value!r}{end}"


@dataclass(frozen=True)
class Body:
    """One page's unchanging head in one format.

    Attributes:
        parts: it, in the order of the page.
        deflated: it as the start of a gzip member.
    """

    parts: Sequence[bytes]
    deflated: bytes
    _compressor: "zlib._Compress"
    _finished: dict[bytes, bytes] = field(default_factory=dict)

    @cached_property
    def plain(self) -> bytes:
        """It as it is; few ask for that, and the parts are there anyway."""
        return b"".join(self.parts)

    def finish(self, tail: bytes, *, gzip: bool) -> tuple[bytes, bytes]:
        """Completes the page with its tail.

        Returns:
            Two chunks to send one after the other. Compressed, they are one gzip member: readers
            that stop after the first member exist.
        """
        if not gzip:
            return self.plain, tail
        if tail not in self._finished:
            compressor = self._compressor.copy()
            self._finished.clear()  # a crowd of scrapers shares the last one
            self._finished[tail] = compressor.compress(tail) + compressor.flush(zlib.Z_FINISH)
        return self.deflated, self._finished[tail]


def body(metrics: Iterable[Metric], blocks: Sequence[Mapping[str, bytes]], form: Format) -> Body:
    """Joins the blocks of all accounts, family by family in the order of `metrics`."""
    parts = _parts(metrics, blocks, form)
    compressor = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    deflated = [*map(compressor.compress, parts), compressor.flush(zlib.Z_SYNC_FLUSH)]
    return Body(parts, b"".join(deflated), compressor)


def document(metrics: Iterable[Metric], blocks: Sequence[Mapping[str, bytes]]) -> bytes:
    """Joins the blocks of all accounts to a whole OpenMetrics file."""
    return b"".join([*_parts(metrics, blocks, "openmetrics"), END])


def _parts(
    metrics: Iterable[Metric], blocks: Sequence[Mapping[str, bytes]], form: Format
) -> list[bytes]:
    parts = []
    for metric in metrics:
        for family, names in _families(metric, form):
            lines = [block[name] for block in blocks for name in names if name in block]
            if lines:
                parts += [_header(family, form), *lines]
    return parts


def _families(metric: Metric, form: Format) -> Iterator[tuple[Metric, Sequence[str]]]:
    """The families that a metric is in a format, and what their lines begin with, in order."""
    if metric.kind != "gaugehistogram":
        yield metric, (metric.name,)
        return
    bucket, *others = names = [metric.name + suffix for suffix in _GAUGE_HISTOGRAM]
    if form == "openmetrics":
        yield metric, names
        return
    # Prometheus' own library writes it so: nothing but a histogram may have buckets.
    yield replace(metric, kind="histogram"), (bucket,)
    for name in others:
        yield replace(metric, name=name, kind="gauge"), (name,)


def _header(metric: Metric, form: Format) -> bytes:
    name, text = metric.name, metric.help.replace("\\", r"\\").replace("\n", r"\n")
    if form == "openmetrics":
        name, text = name.removesuffix("_total"), text.replace('"', r"\"")
    return f"# HELP {name} {text}\n# TYPE {name} {metric.kind}\n".encode()
