"""A real Prometheus, old and new, is given the blocks: it says of each day what the API says."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import aiohttp
import pytest

from exporter.config import load
from exporter.month import Month
from exporter.simulator import Simulator, World
from tests.backfill.desk import UNITS, Sample, backfill
from tests.manual_clock import ManualClock
from tests.process import exporter, free_port, running, spawned
from tests.test_prometheus import BINARIES, USAGE, ask, both_versions

DAY = 86_400
BEFORE, AFTER = 4, 8
"""Days before and after the month's end."""

CONFIG = """
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: wlvpn
    static_configs: [{{targets: ["{target}"]}}]
"""


async def load_blocks(advice: str, data: Path, version: str) -> None:
    """Runs what the command told to run."""
    script = re.sub("^data=.*$", f"data={data}", advice, flags=re.MULTILINE)
    env = {"PATH": f"{BINARIES / version / 'usr/bin'}:{os.environ['PATH']}"}
    async with spawned("sh", "-ec", script, env=env) as process:
        out, err = await process.communicate()
    assert (0, b"", b"") == (process.returncode, out, err)


@asynccontextmanager
async def prometheus(folder: Path, advice: str, version: str, target: str) -> AsyncIterator[str]:
    """Started as the command told, beside the exporter; gives its URL."""
    [retention] = re.findall(r"^#   (--storage\S+)$", advice, re.MULTILINE)
    config, port = folder / "prometheus.yml", free_port()
    config.write_text(CONFIG.format(target=target))
    async with running(
        f"{BINARIES}/{version}/usr/bin/prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
        retention,
    ):
        yield f"http://127.0.0.1:{port}"


async def told(url: str, days: list[date], more: Mapping[str, str]) -> dict[Sample, float]:
    """What the API says of days, asked by nothing of ours."""
    found: dict[Sample, float] = {}
    auth = {"Authorization": aiohttp.encode_basic_auth("api-key", "demo-key")}
    async with aiohttp.ClientSession(headers=auth) as session:
        for day in days:
            query = {"start_date": f"{day:%Y-%m}-01", "end_date": f"{day}"}
            async with session.get(url + USAGE, params=query) as response:
                usage = (await response.json())["data"]
            for pop, cells in usage.items():
                for code, cell in cells.items():
                    key = frozenset({**more, "pop": pop, "country_code": code}.items())
                    for unit, field in UNITS.items():
                        name = f"wlvpn_usage_month_to_date_{unit}"
                        found[name, key, last_second(day)] = float(cell[field])
    return found


def last_second(day: date) -> float:
    return datetime.combine(day, time(23, 59, 59), UTC).timestamp()


async def stored(url: str, until: float) -> dict[Sample, float]:
    """All samples that Prometheus has until then."""
    found = {}
    for unit in UNITS:
        name = f"wlvpn_usage_month_to_date_{unit}"
        answer = await ask(f"{url}/api/v1/query", query=f"{name}[1000d]", time=f"{until}")
        for series in answer["data"]["result"]:
            for seconds, value in series["values"]:
                found[name, labels(series), float(seconds)] = float(value)
    return found


async def answer(url: str, query: str, at: float) -> dict[tuple[str, str], float]:
    """A query's answer, by POP and country code."""
    found = (await ask(f"{url}/api/v1/query", query=query, time=f"{at}"))["data"]["result"]
    return {
        (series["metric"]["pop"], series["metric"]["country_code"]): float(series["value"][1])
        for series in found
    }


async def until_live(url: str) -> set[frozenset[tuple[str, str]]]:
    """Waits for the first scrape of a reading; gives the labels of its series."""
    async with asyncio.timeout(30):
        while True:
            with suppress(aiohttp.ClientError, KeyError):
                found = await ask(f"{url}/api/v1/query", query="wlvpn_usage_month_to_date_bytes")
                if result := found["data"]["result"]:
                    return {labels(series) for series in result}
            await asyncio.sleep(0.1)


def labels(series: Mapping[str, Mapping[str, str]]) -> frozenset[tuple[str, str]]:
    """Those of a series, without its name."""
    return frozenset(pair for pair in series["metric"].items() if pair[0] != "__name__")


def cell(labels: frozenset[tuple[str, str]]) -> tuple[str, str]:
    """Whose usage it is."""
    by_name = dict(labels)
    return by_name["pop"], by_name["country_code"]


def bytes_at(past: Mapping[Sample, float], at: float) -> dict[tuple[str, str], float]:
    """The bytes of all cells at an instant."""
    name = "wlvpn_usage_month_to_date_bytes"
    return {cell(key[1]): value for key, value in past.items() if (key[0], key[2]) == (name, at)}


@pytest.fixture
async def present() -> AsyncIterator[Simulator]:
    """The API in the present, where processes live."""
    async with Simulator(World(servers=20)) as simulator:
        yield simulator


@both_versions
async def test_each_day_in_prometheus_is_what_the_api_says(
    version: str, present: Simulator, tmp_path: Path
) -> None:
    """Every cell of days around a month's end, in the series that go on live."""
    now, port = datetime.now(UTC), free_port()
    last = Month.of(now).previous.previous
    first = last.previous
    days = [(first.end + timedelta(days=n)).date() for n in range(-BEFORE, AFTER)]
    target = {"job": "wlvpn", "instance": f"127.0.0.1:{port}"}
    ended = await backfill(
        load({"base_url": present.url, "api_key": "demo-key"}),
        ManualClock(now),
        tmp_path / "out",
        months=(str(first), str(last)),
        labels=tuple("=".join(pair) for pair in target.items()),
    )
    for path in (tmp_path / "out").glob("*.om"):
        if path.stem not in map(str, days):
            path.unlink()  # a call of promtool for each would take a minute
    await load_blocks(ended.out, tmp_path / "data", version)
    expected = await told(present.url, days, {"account": "default", **target})
    async with (
        exporter(present, port),
        prometheus(tmp_path, ended.out, version, target["instance"]) as url,
    ):
        live = await until_live(url)
        past = await stored(url, last.end.timestamp())
        assert (0, expected) == (ended.code, past)
        # A cell that has usage in both is one series: without exception they have the same labels.
        cells = {cell(key) for _, key, _ in past}
        same = [key for key in live if cell(key) in cells]
        assert 0.8 * len(cells) < len(same)
        assert set(same) <= {key for _, key, _ in past}
        await judge_queries(url, first.end.timestamp() - 1, past)


async def judge_queries(url: str, end: float, past: Mapping[Sample, float]) -> None:
    """What docs/backfill.md asks gives what it promises, from a day's end to the next one's."""
    page = (Path(__file__).parents[2] / "docs/backfill.md").read_text(encoding="utf-8")
    month_to_date, of_a_day = re.findall(r"^```promql\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    for at in (end - DAY, end, end + DAY, end + 2 * DAY, end + AFTER * DAY):
        so_far = bytes_at(past, at)
        before = bytes_at(past, at - DAY) if at != end + DAY else {}
        gained = {key: value - before.get(key, 0) for key, value in so_far.items()}
        for later in (1, DAY / 2, DAY - 1):
            assert so_far == await answer(url, month_to_date, at + later)
            assert gained == await answer(url, of_a_day, at + later)
