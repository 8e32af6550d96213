"""Records x metrics -> the bytes that Prometheus reads; nothing else escapes or formats a number.

Formats: "Exposition formats" in the Prometheus documentation (text 0.0.4) and the OpenMetrics 1.0.0
specification. Sample lines are the same in both; only a counter's HELP and TYPE lines differ.
"""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from exporter.metric import Metric, Table

Format = Literal["text", "openmetrics"]

CONTENT_TYPES: Mapping[Format, str] = {
    "text": "text/plain; version=0.0.4; charset=utf-8",
    "openmetrics": "application/openmetrics-text; version=1.0.0; charset=utf-8",
}

_GZIP_WINDOW = 31  # zlib's way to say: 32 KiB window, gzip header and trailer
_GZIP_LEVEL = 3
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def encode(tables: Iterable[Table], known: object, account: str) -> dict[str, bytes]:
    """Encodes what a collector knows into sample lines.

    Returns:
        The lines of each family by its name; a family without samples is left out.
    """
    blocks = {}
    for table in tables:
        records = list(table.records(known))
        for metric in table.metrics:
            if lines := "".join(_lines(metric, records, account)):
                blocks[metric.name] = lines.encode()
    return blocks


def _lines(metric: Metric, records: Iterable[Any], account: str) -> Iterable[str]:
    start = f'{metric.name}{{account="{account.translate(_ESCAPES)}"'
    for record in records:
        value = metric.value(record)
        if value is None:
            continue
        # A label without a value is the same to Prometheus as no label.
        labels = "".join(
            f',{name}="{text.translate(_ESCAPES)}"'
            for name in metric.labels[1:]
            if (text := getattr(record, name))
        )
        yield f"{start}{labels}}} {value!r}\n"


@dataclass(frozen=True, slots=True)
class Body:
    """One page's unchanging head in one format, as it is and as the start of a gzip member."""

    plain: bytes
    deflated: bytes
    _compressor: "zlib._Compress"
    _finished: dict[bytes, bytes] = field(default_factory=dict)

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
    chunks = []
    for metric in metrics:
        lines = [block[metric.name] for block in blocks if metric.name in block]
        if lines:
            chunks += [_header(metric, form), *lines]
    plain = b"".join(chunks)
    compressor = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    deflated = compressor.compress(plain) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return Body(plain, deflated, compressor)


def _header(metric: Metric, form: Format) -> bytes:
    name, text = metric.name, metric.help.replace("\\", r"\\").replace("\n", r"\n")
    if form == "openmetrics":
        name, text = name.removesuffix("_total"), text.replace('"', r"\"")
    return f"# HELP {name} {text}\n# TYPE {name} {metric.kind}\n".encode()
