"""The shipped jobs find the servers and have them probed; addresses and pace alone are others."""

import asyncio
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from exporter.clock import SystemClock
from exporter.errors import ApiError
from exporter.events import Event, PollEnded
from exporter.service import Service
from exporter.simulator import Rule, Simulator, World
from exporter.simulator.app import Payload
from tests.alerts.stack import until
from tests.conftest import Configure
from tests.deploy.shipped import (
    DEPLOY,
    binary,
    flags_of,
    is_well,
    laid_out,
    read,
    redirect,
    run,
)
from tests.process import free_port, running, spawned
from tests.scaling.answer import count

BLACKBOX = binary("3", "prometheus-blackbox-exporter")
JOBS = {"wlvpn-tcp": "tcp_connect", "wlvpn-icmp": "icmp"}
POPS = {"par", "lon", "nyc", "tyo", "syd"}
LABELS = ("account", "pop", "country")

Labels = tuple[str, ...]
"""Of a probe: instance, account, pop and country."""
Target = tuple[str, Labels]
"""An address, and what its probe is called."""


class WakingClock(SystemClock):
    """A machine's that sleeps now and then: readings age, polls are due, and the date is kept."""

    def __init__(self) -> None:
        self.slept = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.slept


def leaving_out(gone: str = "") -> Callable[[str, Payload], Payload]:
    """Makes the simulator list a few POPs alone, and one of their servers not."""

    def rewrite(endpoint: str, payload: Payload) -> Payload:
        if endpoint != "servers":
            return payload
        listed = payload["server"]
        assert isinstance(listed, dict)
        kept = {f: s for f, s in listed.items() if f.split("-")[0] in POPS and f != gone}
        return {**payload, "server": kept}

    return rewrite


def listed(simulator: Simulator) -> dict[str, Any]:
    """The simulator's own last list."""
    payload: Any = simulator.answers[-1].payload
    servers: dict[str, Any] = payload["server"]
    return servers


@dataclass(frozen=True, slots=True)
class Prometheus:
    """One that runs."""

    url: str
    session: aiohttp.ClientSession

    async def targets(self, job: str) -> set[Target]:
        """What a job scrapes."""
        async with self.session.get(f"{self.url}/api/v1/targets?state=active") as response:
            found = (await response.json())["data"]["activeTargets"]
        ours = [target for target in found if target["labels"]["job"] == job]
        assert {JOBS[job]} >= {target["discoveredLabels"]["__param_module"] for target in ours}
        return {(t["discoveredLabels"]["__address__"], labels_of(t["labels"], job)) for t in ours}

    async def probed(self, job: str) -> dict[Labels, str]:
        """What came of the probes, by their labels."""
        query = {"query": f'probe_success{{job="{job}"}}'}
        async with self.session.get(f"{self.url}/api/v1/query", params=query) as response:
            found = (await response.json())["data"]["result"]
        return {labels_of(one["metric"], job): one["value"][1] for one in found}

    async def failures(self) -> float:
        """How often a list could not be had."""
        return await count(self.session, self.url, "prometheus_sd_http_failures_total")


def labels_of(labels: dict[str, str], job: str) -> Labels:
    """Those that a probe has, and it has no others."""
    assert {"instance", "job", *LABELS} == labels.keys() - {"__name__"}
    assert job == labels["job"]
    return tuple(labels[name] for name in ("instance", *LABELS))


@asynccontextmanager
async def prometheus(
    version: str, root: Path, here: dict[str, tuple[str, int]], target: str
) -> AsyncIterator[Prometheus]:
    """Runs a generation with the shipped jobs; whatever they find, `target` is what is probed."""
    laid_out("prometheus", root)
    config = root / "etc/prometheus/prometheus.yml"
    redirect(config, here)
    edited = read(config)
    for job in edited["scrape_configs"][1:]:
        job["http_sd_configs"][0]["refresh_interval"] = "1s"
        probed = target if job["job_name"] == "wlvpn-tcp" else target.partition(":")[0]
        loopback = {"target_label": "__param_target", "replacement": probed}
        job["relabel_configs"] = [*job["relabel_configs"], loopback]
    assert list(JOBS) == [job["job_name"] for job in edited["scrape_configs"][1:]]
    config.write_text(yaml.safe_dump({**edited, "rule_files": [], "alerting": {}}))
    port = free_port()
    words = [str(binary(version, "prometheus")), *flags_of("prometheus", root)]
    listen = f"--web.listen-address=127.0.0.1:{port}"
    async with (
        running(*words, listen, "--log.level=error"),
        aiohttp.ClientSession() as session,
    ):
        await until(lambda: is_well("prometheus", f"127.0.0.1:{port}"), 20, "Prometheus is well")
        yield Prometheus(f"http://127.0.0.1:{port}", session)


@asynccontextmanager
async def probing(exporter: str, folder: Path) -> AsyncIterator[list[Prometheus]]:
    """Runs the blackbox exporter and both generations of Prometheus."""
    async with AsyncExitStack() as parts:
        listener = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        await parts.enter_async_context(listener)
        target = f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        blackbox = f"127.0.0.1:{free_port()}"
        words = flags_of("blackbox", laid_out("blackbox", folder / "blackbox"))
        listen = f"--web.listen-address={blackbox}"
        # Where nobody may ping it says so at each probe: a pipe that is not read would fill.
        prober = spawned(str(BLACKBOX), *words, listen, stdout=DEVNULL, stderr=DEVNULL)
        await parts.enter_async_context(prober)
        await until(lambda: is_well("blackbox", blackbox), 20, "the blackbox exporter is well")
        here = {
            "exporter:11940": (exporter.removeprefix("http://"), 3),
            "blackbox:9115": (blackbox, 1),
            "scrape_interval: 1m": ("scrape_interval: 2s", 2),
            "scrape_timeout: 5s": ("scrape_timeout: 2s", 1),
        }
        yield [
            await parts.enter_async_context(prometheus(version, folder / version, here, target))
            for version in ("2", "3")
        ]


@pytest.mark.parametrize("module", JOBS.values())
def test_the_blackbox_exporter_takes_its_configuration(module: str) -> None:
    """The file is right, and has what the jobs ask for."""
    file = DEPLOY / "blackbox.yml"
    code, _, problems = run(BLACKBOX, "--config.check", f"--config.file={file}")
    assert (0, True) == (code, "Config file is ok" in problems)
    assert module in read(file)["modules"]


async def test_the_servers_are_found_and_probed(
    configure: Configure, simulator: Simulator, tmp_path: Path
) -> None:
    """Old and new: as the API lists them, through an outage of it, and until they vanish."""
    simulator.world = World(servers=600)
    simulator.rewrite = leaving_out()
    clock = WakingClock()
    settings = configure(collectors__usage__enabled="false")
    service = Service(settings, clock=clock)
    failed: list[Event] = []
    service.listeners.append(lambda event: failed.extend([event] * is_failure(event)))
    async with (
        service.serving() as [url],
        probing(url, tmp_path) as both,
    ):
        await until(lambda: each_finds(both, simulator), 60, "the servers are found")
        before = {job: await both[0].targets(job) for job in JOBS}
        await until(lambda: each_probes(both, before), 60, "all of them are probed")

        simulator.rules = [Rule.parse("servers:status=503")]
        clock.slept += 200
        await outlast(both, before)
        # One that slept through its deadline would be repeated a minute later.
        await until(lambda: failed, 60, "the poll has failed")

        gone = min(names(before["wlvpn-tcp"]))
        simulator.rules = []
        simulator.rewrite = leaving_out(gone)
        clock.slept += 100
        await until(lambda: each_finds(both, simulator, without=gone), 60, f"{gone} is dropped")
        for job, targets in before.items():
            after = await both[0].targets(job)
            assert {gone} == names(targets - after)
            assert 1 == len(after - targets)


def names(targets: set[Target]) -> set[str]:
    """Their FQDNs."""
    return {labels[0] for _, labels in targets}


def is_failure(event: Event) -> bool:
    return isinstance(event, PollEnded) and isinstance(event.outcome, ApiError)


async def each_finds(both: list[Prometheus], simulator: Simulator, without: str = "") -> bool:
    """Whether each job of each has two servers of each POP, as the simulator lists them."""
    if not simulator.answers or without in listed(simulator):
        return False
    for one in both:
        for job in JOBS:
            found = await one.targets(job)
            if without in names(found) or sorted([*POPS, *POPS]) != sorted(
                pop for _, (_, _, pop, _) in found
            ):
                return False
            assert found <= offered(simulator, ":443" if job == "wlvpn-tcp" else "")
    return True


def offered(simulator: Simulator, port: str) -> set[Target]:
    """Every target that there may be."""
    return {
        (server["ip"] + port, (fqdn, "default", fqdn.split("-")[0], server["country"]))
        for fqdn, server in listed(simulator).items()
        if server["ip"].startswith(("198.18.", "198.19."))
    }


async def each_probes(both: list[Prometheus], targets: dict[str, set[Target]]) -> bool:
    """Whether all were probed, and those by TCP answered; to ping may not be allowed here."""
    for one in both:
        for job, found in targets.items():
            probed = await one.probed(job)
            if probed.keys() != {labels for _, labels in found}:
                return False
            if job == "wlvpn-tcp" and set(probed.values()) != {"1"}:
                return False
    return True


async def outlast(both: list[Prometheus], targets: dict[str, set[Target]]) -> None:
    """Lets each fail several times to have a list, and sees that it keeps the one that it has."""
    for one in both:
        failures = await one.failures()

        async def has_failed(one: Prometheus = one, failures: float = failures) -> bool:
            return await one.failures() >= failures + 6

        await until(has_failed, 60, "the list cannot be had")
        assert targets == {job: await one.targets(job) for job in JOBS}
