"""A real Prometheus, old and new, scrapes the running exporter; every sample is compared."""

import asyncio
import subprocess
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from exporter.simulator import Simulator, World
from tests.process import exporter, free_port, running

BINARIES = Path(__file__).parents[1] / ".cache" / "prometheus"
SERVERS, USAGE = "/v2/servers", "/v2/metrics/usage/pop_and_country/"
CONFIG = """
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: wlvpn
    static_configs: [{{targets: ["{target}"]}}]
"""

both_versions = pytest.mark.parametrize("version", ["2", "3"])


async def ask(url: str, **query: str) -> dict[str, Any]:
    async with aiohttp.ClientSession() as session, session.get(url, params=query) as response:
        answer: dict[str, Any] = await response.json()
        return answer


async def until_found(url: str, query: str, count: int) -> list[dict[str, Any]]:
    """Asks Prometheus until it knows so many series."""
    async with asyncio.timeout(30):
        while True:
            try:
                found = (await ask(f"{url}/api/v1/query", query=query))["data"]["result"]
            except (aiohttp.ClientError, KeyError):
                found = []
            if len(found) == count:
                return list(found)
            await asyncio.sleep(0.1)


@asynccontextmanager
async def prometheus(version: str, target: str, folder: Path) -> AsyncIterator[tuple[str, Process]]:
    config = folder / "prometheus.yml"
    config.write_text(CONFIG.format(target=target))
    port = free_port()
    async with running(
        f"{BINARIES}/{version}/usr/bin/prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ) as process:
        yield f"http://127.0.0.1:{port}", process


def answered(simulator: Simulator, path: str) -> list[Any]:
    return [answer.payload for answer in simulator.answers if answer.request.path == path]


@both_versions
async def test_prometheus_stores_what_the_api_said(version: str, tmp_path: Path) -> None:
    """Every sample in Prometheus is a record of the API's answer, and every record is there."""
    port = free_port()
    async with (
        Simulator(World(servers=3500)) as simulator,
        exporter(simulator, port),
        prometheus(version, f"127.0.0.1:{port}", tmp_path) as (url, server),
    ):
        found = await until_found(url, "wlvpn_server_capacity_used_ratio", 3500)
        [listed] = answered(simulator, SERVERS)
        expected = {
            (fqdn, fqdn.split("-")[0], server["country"], server["city"]): int(server["capacity"])
            / 100
            for fqdn, server in listed["server"].items()
        }
        stored = {
            tuple(series["metric"][name] for name in ("fqdn", "pop", "country", "city")): float(
                series["value"][1]
            )
            for series in found
        }
        assert expected == stored

        this_month, last_month = answered(simulator, USAGE)
        for metric, payload in (("month_to_date", this_month), ("previous_month", last_month)):
            for unit, field in (
                ("bytes", "bandwidth"),
                ("connections", "connections"),
                ("customers", "customers"),
            ):
                cells = {
                    (pop, code): cell[field]
                    for pop, codes in payload["data"].items()
                    for code, cell in codes.items()
                }
                found = await until_found(url, f"wlvpn_usage_{metric}_{unit}", len(cells))
                stored = {
                    (series["metric"]["pop"], series["metric"]["country_code"]): float(
                        series["value"][1]
                    )
                    for series in found
                }
                assert cells == stored

        [target] = (await ask(f"{url}/api/v1/targets"))["data"]["activeTargets"]
        assert ("up", "") == (target["health"], target["lastError"])
        server.terminate()
        log = (await server.communicate())[1].decode().lower()
        told = [line for line in log.splitlines() if "level=info" not in line]
        assert [] == [line for line in told if "exiting gracefully" not in line]


@both_versions
async def test_promtool_finds_nothing_to_say(version: str) -> None:
    """`promtool check metrics` accepts the whole page without a remark."""
    port = free_port()
    async with Simulator(World(servers=50)) as simulator, exporter(simulator, port):
        async with asyncio.timeout(20), aiohttp.ClientSession() as session:
            while True:
                page = await (await session.get(f"http://127.0.0.1:{port}/metrics")).read()
                if b"\nwlvpn_usage_month_to_date_bytes{" in page and b"\nwlvpn_servers{" in page:
                    break
        checked = await asyncio.to_thread(
            subprocess.run,
            [f"{BINARIES}/{version}/usr/bin/promtool", "check", "metrics"],
            input=page,
            capture_output=True,
            check=False,
        )
    assert (0, b"", b"") == (checked.returncode, checked.stdout, checked.stderr)
