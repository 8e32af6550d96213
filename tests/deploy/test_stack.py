"""What the compose files describe, run without containers: addresses and pace alone are others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from exporter.simulator import Simulator, World
from tests.alerts.catalogue import RULE_FILES, RULES
from tests.alerts.stack import until
from tests.deploy.shipped import (
    binary,
    flags_of,
    is_well,
    laid_out,
    redirect,
    run,
)
from tests.process import exporter, free_port, running

both_versions = pytest.mark.parametrize("version", ["2", "3"])


@both_versions
def test_prometheus_takes_its_configuration(version: str, tmp_path: Path) -> None:
    """With the rules beside it as they are mounted, all of them are found and right."""
    file = laid_out("prometheus", tmp_path) / "etc/prometheus/prometheus.yml"
    code, told, _ = run(binary(version, "promtool"), "check", "config", file)
    assert (0, len(RULE_FILES)) == (code, told.count("rules found"))


@both_versions
def test_alertmanager_takes_its_configuration(version: str, tmp_path: Path) -> None:
    """The example works as it is mounted."""
    file = laid_out("alertmanager", tmp_path) / "etc/alertmanager/alertmanager.yml"
    code, told, problems = run(binary(version, "amtool"), "check-config", file)
    assert (0, "", True) == (code, problems, "SUCCESS" in told)


@dataclass(frozen=True, slots=True)
class Stack:
    """The addresses of a stack that runs."""

    exporter: str
    prometheus: str
    alertmanager: str

    async def asked(self, path: str) -> Any:  # noqa: ANN401 - JSON
        """What Prometheus answers."""
        url = f"http://{self.prometheus}/api/v1/{path}"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return (await response.json())["data"]

    async def are_well(self) -> bool:
        """Whether those with a health check of their own pass it."""
        return await is_well("prometheus", self.prometheus) and (
            await is_well("alertmanager", self.alertmanager)
        )

    async def are_connected(self) -> bool:
        """Whether Prometheus scrapes the exporter and would tell Alertmanager."""
        targets = (await self.asked("targets"))["activeTargets"]
        managers = (await self.asked("alertmanagers"))["activeAlertmanagers"]
        ours = [target["health"] for target in targets if target["labels"]["job"] == "wlvpn"]
        return ["up"] == ours and (
            [f"http://{self.alertmanager}/api/v2/alerts"] == [m["url"] for m in managers]
        )


@asynccontextmanager
async def stack(version: str, folder: Path) -> AsyncIterator[Stack]:
    """Runs exporter, Prometheus and Alertmanager with what is shipped."""
    ports = [free_port() for _ in range(3)]
    addresses = Stack(*(f"127.0.0.1:{port}" for port in ports))
    prometheus = laid_out("prometheus", folder / "prometheus")
    alertmanager = laid_out("alertmanager", folder / "alertmanager")
    here = {
        "exporter:11940": (addresses.exporter, 3),
        "alertmanager:9093": (addresses.alertmanager, 1),
        # Nobody is there: what a real one would do is tried in test_probes.
        "blackbox:9115": (f"127.0.0.1:{free_port()}", 1),
        "scrape_interval: 30s": ("scrape_interval: 1s", 1),
        "scrape_timeout: 5s": ("scrape_timeout: 1s", 1),
    }
    redirect(prometheus / "etc/prometheus/prometheus.yml", here)
    async with AsyncExitStack() as parts:
        simulator = await parts.enter_async_context(Simulator(World(servers=120)))
        await parts.enter_async_context(exporter(simulator, ports[0]))
        await parts.enter_async_context(
            running(
                str(binary(version, "prometheus-alertmanager")),
                *flags_of("alertmanager", alertmanager),
                f"--web.listen-address={addresses.alertmanager}",
                "--log.level=error",
                cwd=binary(version, ""),  # its templates are found from there
            )
        )
        await parts.enter_async_context(
            running(
                str(binary(version, "prometheus")),
                *flags_of("prometheus", prometheus),
                f"--web.listen-address={addresses.prometheus}",
                "--log.level=error",
            )
        )
        yield addresses


async def test_the_stack_runs_as_it_is_described(tmp_path: Path) -> None:
    """The exporter is scraped, every rule is loaded, and Alertmanager is told: old and new."""
    async with asyncio.TaskGroup() as versions:
        for version in ("2", "3"):
            versions.create_task(see_it_run(version, tmp_path / version))


async def see_it_run(version: str, folder: Path) -> None:
    async with stack(version, folder) as addresses:
        await until(addresses.are_well, 20, "Prometheus and Alertmanager are well")
        await until(addresses.are_connected, 20, "Prometheus knows exporter and Alertmanager")
        groups = (await addresses.asked("rules"))["groups"]
        assert len(RULES) == sum(len(group["rules"]) for group in groups)
        found = await addresses.asked("query?query=count(wlvpn_server_capacity_used_ratio)")
        assert ["120"] == [series["value"][1] for series in found["result"]]
