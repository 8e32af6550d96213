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
from exporter.collectors.base import Collector
from exporter.collectors.servers import ServersCollector
from exporter.collectors.usage import UsageCollector
from exporter.exposition import Format
from exporter.simulator import World
from exporter.snapshot import Reading, Store
from tests.manual_clock import ManualClock

GOLDEN = Path(__file__).parent / "golden"
FILES: dict[Format, Path] = {"text": GOLDEN / "page.txt", "openmetrics": GOLDEN / "page.om"}
SIXTEEN_DAYS_SECONDS = 16 * 86_400.0
POPS = ("lon", "sjc")  # more would only make the pages longer

BOTH = pytest.mark.parametrize("form", FILES)


async def make_pages(clock: ManualClock) -> dict[Format, bytes]:
    """Polls a small world for two accounts, as the exporter would, and encodes what it knows."""
    world = World(seed=7, servers=12)

    async def get(path: str, query: Mapping[str, str]) -> Mapping[str, object]:
        if path == "/v2/servers":
            wanted = query.get("country", "").split(",")
            listed = world.listed(clock.now()).items()
            return {"server": {f: asdict(s) for f, s in listed if s.country in wanted or not query}}
        days = [date.fromisoformat(query[name]) for name in ("start_date", "end_date")]
        usage = world.usage(days[0], days[1], clock.now())
        return {"data": {pop: {c: asdict(u) for c, u in usage[pop].items()} for pop in POPS}}

    pop, total = (UsageCollector.options_type(detail=detail) for detail in ("pop_country", "total"))
    collectors: list[tuple[str, Collector[Any, Any]]] = [
        ("brand-a", ServersCollector(ServersCollector.options_type())),
        ("brand-a", UsageCollector(pop)),
        ("brand-b", ServersCollector(ServersCollector.options_type(), ("CH", "UK", "US"))),
        ("brand-b", UsageCollector(total)),
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


@BOTH
async def test_the_page_is_the_golden_one(form: Format, clock: ManualClock) -> None:
    """Names, labels, order and numbers stay as they are until somebody means to change them."""
    assert FILES[form].read_bytes() == (await make_pages(clock))[form]


@BOTH
def test_the_golden_page_holds_every_family_once(form: Format) -> None:
    """All domain metrics are on it, in the order of the collectors, each with its type and help."""
    expected = [(m.name.removesuffix("_total"), m.kind, m.help) for c in ALL for m in c.metrics()]
    assert expected == [(f.name, f.type, f.documentation) for f in parse(form)]


def test_both_golden_pages_hold_the_same_samples() -> None:
    """The format is a matter of writing alone."""
    text, openmetrics = (
        [(s.name, s.labels, float(s.value)) for family in parse(form) for s in family.samples]
        for form in FILES
    )
    assert text == openmetrics
    assert {"brand-a", "brand-b"} == {labels["account"] for _, labels, _ in text}


if __name__ == "__main__":
    for made_form, made_page in asyncio.run(make_pages(ManualClock())).items():
        FILES[made_form].write_bytes(made_page)
