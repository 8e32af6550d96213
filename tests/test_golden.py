"""The page's domain part, byte by byte.

What Prometheus gets for two accounts in a small world, polled in one month and again in the next.
After a change that is meant, write the golden pages anew with `.venv/bin/python -m
tests.test_golden`, and read the difference before committing it.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families

from exporter.collectors import ALL
from exporter.collectors.accounts import AccountsCollector
from exporter.collectors.base import Collector
from exporter.collectors.plans import PlansCollector
from exporter.collectors.servers import ServersCollector
from exporter.collectors.usage import UsageCollector
from exporter.collectors.usage_report import UsageReportCollector
from exporter.exposition import Format
from exporter.metric import Metric as OurMetric
from exporter.simulator import World
from exporter.snapshot import Reading, Store
from tests.manual_clock import ManualClock

GOLDEN = Path(__file__).parent / "golden"
FILES: dict[Format, Path] = {"text": GOLDEN / "page.txt", "openmetrics": GOLDEN / "page.om"}
SIXTEEN_DAYS_SECONDS = 16 * 86_400.0
POPS = ("lon", "sjc")  # more would only make the pages longer

PEOPLE = [
    {
        "cust_id": number,
        "acct_status_id": (1, 1, 1, 3, 5)[number % 5],
        "acct_group_id": number % 9 // 4,
    }
    for number in range(40)
]
CUSTOMERS: Mapping[str, Mapping[str, object]] = {
    "/v2/plans": {
        "plans": [
            {"plan_code": "year", "name": "One year", "interval_days": 365},
            {"plan_code": "metered", "name": "50 GB", "bandwidth_mb": 51200},
        ]
    },
    "/v2/customers/paged/": {
        "page": 1,
        "result_count": 40,
        "customers": [each | {"user_throttled": each["cust_id"] % 2} for each in PEOPLE],
    },
    "/v2/customers/usage-report/": {
        "result_count": 40,
        "total_count": 40,
        "last_cust_id": 39,
        "customers": [
            {"cust_id": number, "bandwidth": 2**number, "connections": number**2}
            for number in range(40)
        ],
    },
}

BOTH = pytest.mark.parametrize("form", FILES)


async def make_pages(clock: ManualClock) -> dict[Format, bytes]:
    """Polls a small world for two accounts, as the exporter would, and encodes what it knows."""
    world = World(seed=7, servers=12)

    async def get(path: str, query: Mapping[str, str]) -> Mapping[str, object]:
        if path == "/v2/servers":
            wanted = query.get("country", "").split(",")
            listed = world.listed(clock.now()).items()
            return {"server": {f: asdict(s) for f, s in listed if s.country in wanted or not query}}
        if query.get("page", "1") != "1":
            return {"page": query["page"], "result_count": 0, "customers": []}
        if path in CUSTOMERS:
            return CUSTOMERS[path]
        days = [date.fromisoformat(query[name]) for name in ("start_date", "end_date")]
        usage = world.usage(days[0], days[1], clock.now())
        return {"data": {pop: {c: asdict(u) for c, u in usage[pop].items()} for pop in POPS}}

    pop, total = (UsageCollector.options_type(detail=detail) for detail in ("pop_country", "total"))
    collectors: list[tuple[str, Collector[Any, Any]]] = [
        ("brand-a", ServersCollector(ServersCollector.options_type())),
        ("brand-a", UsageCollector(pop)),
        ("brand-b", ServersCollector(ServersCollector.options_type(), ("CH", "UK", "US"))),
        ("brand-b", UsageCollector(total)),
        *(
            (account, kind(kind.options_type()))
            for account in ("brand-a", "brand-b")
            for kind in (PlansCollector, AccountsCollector, UsageReportCollector)
        ),
    ]
    store = Store(collectors, clock=clock, emit=lambda _: None)
    for wait_seconds in (0, SIXTEEN_DAYS_SECONDS):
        clock.advance(wait_seconds)
        for account, collector in collectors:
            last = store.last(account, collector.name)
            answer = await collector.fetch(get, now=clock.now(), last=last and last.content)
            reading = Reading(answer.content, answer.records, clock.now(), clock.monotonic())
            await store.accept(account, collector.name, reading)
    tails: dict[Format, bytes] = {"text": b"", "openmetrics": b"# EOF\n"}
    return {form: b"".join(store.body(form).finish(tails[form], gzip=False)) for form in FILES}


def parse(form: Format) -> list[Metric]:
    """The families that Prometheus' own library reads."""
    text = FILES[form].read_text(encoding="utf-8")
    if form == "text":
        return list(text_string_to_metric_families(text))
    return list(openmetrics_parser.text_string_to_metric_families(text))  # type: ignore[no-untyped-call]


def families(metric: OurMetric, form: Format) -> list[tuple[str, str, str]]:
    """Name, type and help of what a metric is in a format."""
    name = metric.name.removesuffix("_total")
    if metric.kind != "gaugehistogram" or form == "openmetrics":
        return [(name, metric.kind, metric.help)]
    others = [(f"{name}{suffix}", "gauge", metric.help) for suffix in ("_gcount", "_gsum")]
    return [(name, "histogram", metric.help), *others]


@BOTH
async def test_the_page_is_the_golden_one(form: Format, clock: ManualClock) -> None:
    """Names, labels, order and numbers stay as they are until somebody means to change them."""
    assert FILES[form].read_bytes() == (await make_pages(clock))[form]


@BOTH
def test_the_golden_page_holds_every_family_once(form: Format) -> None:
    """All domain metrics are on it, in the order of the collectors, each with its type and help."""
    expected = [family for c in ALL for metric in c.metrics() for family in families(metric, form)]
    assert expected == [(f.name, f.type, f.documentation) for f in parse(form)]


def test_both_golden_pages_hold_the_same_samples() -> None:
    """The format is a matter of writing alone."""
    text, openmetrics = (
        sorted(
            (s.name, sorted(s.labels.items()), float(s.value))
            for f in parse(form)
            for s in f.samples
        )
        for form in FILES
    )
    assert text == openmetrics
    assert {"brand-a", "brand-b"} == {dict(labels)["account"] for _, labels, _ in text}


if __name__ == "__main__":
    for made_form, made_page in asyncio.run(make_pages(ManualClock())).items():
        FILES[made_form].write_bytes(made_page)
