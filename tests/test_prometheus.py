"""A real Prometheus, old and new, scrapes the running exporter; every sample is compared."""

import asyncio
import subprocess
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from exporter.simulator import Clock, Simulator, World
from tests.process import exporter, free_port, running

BINARIES = Path(__file__).parents[1] / ".cache" / "prometheus"
SERVERS, USAGE = "/v2/servers", "/v2/metrics/usage/pop_and_country/"
USAGE_REPORT = "/v2/customers/usage-report/"
OPTIONAL = {
    f"WLVPN_COLLECTORS__{name}__ENABLED": "true" for name in ("PLANS", "ACCOUNTS", "USAGE_REPORT")
}
ACCEPT = {"text": "text/plain;version=0.0.4", "openmetrics": "application/openmetrics-text"}
CONFIG = """
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: wlvpn
    static_configs: [{{targets: ["{target}"]}}]
"""

ONE_OF_EACH = (
    "wlvpn_servers",
    "wlvpn_usage_month_to_date_bytes",
    "wlvpn_plan_info",
    "wlvpn_accounts",
    "wlvpn_customer_day_bytes_gsum",
)

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


def noon() -> datetime:
    """Today's, as the exporter's own clock has it: a run of all tests may go past midnight."""
    return datetime.now(UTC).replace(hour=12, minute=0)


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
    simulator = Simulator(World(servers=50), Clock(noon()))
    async with simulator, exporter(simulator, port, **OPTIONAL):
        async with asyncio.timeout(20), aiohttp.ClientSession() as session:
            while True:
                page = await (await session.get(f"http://127.0.0.1:{port}/metrics")).read()
                if all(f"\n{name}{{".encode() in page for name in ONE_OF_EACH):
                    break
        checked = await asyncio.to_thread(
            subprocess.run,
            [f"{BINARIES}/{version}/usr/bin/promtool", "check", "metrics"],
            input=page,
            capture_output=True,
            check=False,
        )
    assert (0, b"", b"") == (checked.returncode, checked.stdout, checked.stderr)


@asynccontextmanager
async def relay(port: int, form: str) -> AsyncIterator[str]:
    """Hands on the exporter's page in one format, whatever Prometheus would rather have."""
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:

        async def handle(_: web.Request) -> web.Response:
            async with session.get("/metrics", headers={"Accept": ACCEPT[form]}) as response:
                told = {"Content-Type": response.headers["Content-Type"]}
                return web.Response(body=await response.read(), headers=told)

        app = web.Application()
        app.router.add_get("/metrics", handle)
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


def quantile(share: float, values: list[int], bounds: list[int]) -> float:
    """What `histogram_quantile()` is documented to give: a straight line within a bucket."""
    rank, low, below = share * len(values), 0, 0
    for bound in bounds:
        within = sum(low < value <= bound or value == low == 0 for value in values)
        if below + within >= rank:
            return low + (bound - low) * (rank - below) / within
        low, below = bound, below + within
    return bounds[-1]


@both_versions
async def test_quantiles_of_customers_are_right(version: str, tmp_path: Path) -> None:
    """Buckets are scraped in both formats under the same names and bounds, and can be asked."""
    port, family = free_port(), "wlvpn_customer_day_bytes"
    simulator = Simulator(World(servers=10, customers=2_000), Clock(noon(), speed=0))
    async with (
        simulator,
        exporter(simulator, port, **OPTIONAL),
        relay(port, "text") as text,
        relay(port, "openmetrics") as openmetrics,
        prometheus(version, f'{text}", "{openmetrics}', tmp_path) as (url, _),
    ):
        buckets = await until_found(url, f"{family}_bucket", 2 * 12)
        [payload] = answered(simulator, USAGE_REPORT)
        used = [customer["bandwidth"] for customer in payload["customers"]]
        bounds = [2**20 * 4**power for power in range(11)]
        counts = [sum(value <= bound for value in used) for bound in bounds]
        assert [*counts, len(used)] * 2 == [
            int(s["value"][1]) for target in (text, openmetrics) for s in sorted_of(buckets, target)
        ]
        written = [[s["metric"]["le"] for s in sorted_of(buckets, t)] for t in (text, openmetrics)]
        assert written[0] == written[1]
        assert ("1.048576e+06", "1.099511627776e+12", "+Inf") == (written[0][0], *written[0][-2:])
        for query, value in {
            **{
                f"histogram_quantile({q}, {family}_bucket)": quantile(q, used, bounds)
                for q in (0.5, 0.9, 0.99)
            },
            f"{family}_gcount": len(used),
            f"{family}_gsum": sum(used),
            "wlvpn_customers_reported": len(used),
        }.items():
            found = await until_found(url, query, 2)
            assert [pytest.approx(value)] * 2 == [float(each["value"][1]) for each in found]
        targets = (await ask(f"{url}/api/v1/targets"))["data"]["activeTargets"]
        assert [("up", "")] * 2 == [(t["health"], t["lastError"]) for t in targets]


def sorted_of(series: list[dict[str, Any]], target: str) -> list[dict[str, Any]]:
    """The buckets of one target, by their bounds."""
    mine = [each for each in series if each["metric"]["instance"] == target]
    return sorted(mine, key=lambda each: float(each["metric"]["le"]))
