"""An exporter as most people write one: Gauges that prometheus-client renders for each scrape.

`python -m benchmarks.live --page FILE --port 8000` sets them to what a page says.
"""

import argparse
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics
from prometheus_client.aiohttp import make_aiohttp_handler
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


def registry(page: str) -> CollectorRegistry:
    """Sets a Gauge or Counter to each sample of a page."""
    disable_created_metrics()  # type: ignore[no-untyped-call] # prometheus-client's
    found = CollectorRegistry()
    for family in text_string_to_metric_families(page):
        add = _count if family.type == "counter" else _set
        add(family, found)
    return found


def _count(family: Metric, found: CollectorRegistry) -> None:
    names = _label_names(family.samples)
    counter = Counter(family.name, family.documentation, names, registry=found)
    for sample in family.samples:
        (counter.labels(*_values(sample, names)) if names else counter).inc(sample.value)


def _set(family: Metric, found: CollectorRegistry) -> None:
    """A histogram becomes a Gauge for each kind of its series: nothing else can be set."""
    for name, samples in groupby(sorted(family.samples, key=_name), key=_name):
        listed = list(samples)
        names = _label_names(listed)
        gauge = Gauge(name, family.documentation, names, registry=found)
        for sample in listed:
            (gauge.labels(*_values(sample, names)) if names else gauge).set(sample.value)


def _name(sample: Sample) -> str:
    return sample.name


def _label_names(samples: Iterable[Sample]) -> list[str]:
    return list(dict.fromkeys(name for sample in samples for name in sample.labels))


def _values(sample: Sample, names: Iterable[str]) -> list[str]:
    return [sample.labels.get(name, "") for name in names]


def main() -> None:
    """Serves until it is stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    found = parser.parse_args()
    app = web.Application()
    handler = make_aiohttp_handler(registry=registry(found.page.read_text(encoding="utf-8")))
    app.router.add_get("/metrics", handler)
    web.run_app(app, host="127.0.0.1", port=found.port, access_log=None, print=None)


if __name__ == "__main__":
    main()
