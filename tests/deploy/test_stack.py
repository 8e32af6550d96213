"""What the compose files describe, run without containers: addresses and pace alone are others."""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from exporter.simulator import Simulator, World
from tests.alerts.catalogue import RULE_FILES, RULES
from tests.alerts.stack import until
from tests.deploy.shipped import DEPLOY, PROMETHEUS, read, run
from tests.process import exporter, free_port, running

SERVICES = read(DEPLOY / "compose.yaml")["services"]

both_versions = pytest.mark.parametrize("version", ["2", "3"])


def laid_out(service: str, root: Path) -> Path:
    """A folder that holds what the service has mounted, where it sees it."""
    for volume in SERVICES[service]["volumes"]:
        target = root / volume["target"].lstrip("/")
        source = DEPLOY / volume["source"]
        if volume["type"] == "volume":
            target.mkdir(parents=True)
        elif source.is_dir():
            shutil.copytree(source, target)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    return root


def flags_of(service: str, root: Path) -> Iterable[str]:
    """The service's arguments, with paths below the folder."""
    for word in SERVICES[service]["command"]:
        yield re.sub(r"=(/.*)", rf"={root}\1", word)


def binary(version: str, name: str) -> Path:
    return PROMETHEUS / version / "usr" / "bin" / name


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


async def is_well(service: str, address: str) -> bool:
    """Whether the service's health check would be content."""
    url = SERVICES[service]["healthcheck"]["test"][-1]
    here = re.sub(r"127\.0\.0\.1:[0-9]+", address, url)
    assert here != url
    try:
        async with aiohttp.ClientSession() as session, session.get(here) as response:
            return response.ok
    except aiohttp.ClientError:
        return False


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
        return [("wlvpn", "up")] == [(t["labels"]["job"], t["health"]) for t in targets] and (
            [f"http://{self.alertmanager}/api/v2/alerts"] == [m["url"] for m in managers]
        )


@asynccontextmanager
async def stack(version: str, folder: Path) -> AsyncIterator[Stack]:
    """Runs exporter, Prometheus and Alertmanager with what is shipped."""
    ports = [free_port() for _ in range(3)]
    addresses = Stack(*(f"127.0.0.1:{port}" for port in ports))
    prometheus = laid_out("prometheus", folder / "prometheus")
    alertmanager = laid_out("alertmanager", folder / "alertmanager")
    redirect(prometheus / "etc/prometheus/prometheus.yml", addresses)
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


def redirect(config: Path, addresses: Stack) -> None:
    """Changes what a configuration says of others' addresses, and how often it scrapes."""
    text = config.read_text()
    for shipped, here in {
        '"exporter:11940"': addresses.exporter,
        '"alertmanager:9093"': addresses.alertmanager,
        "scrape_interval: 30s": "scrape_interval: 1s",
        "scrape_timeout: 5s": "scrape_timeout: 1s",
    }.items():
        assert 1 == text.count(shipped)
        text = text.replace(shipped, here)
    config.write_text(text)


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
