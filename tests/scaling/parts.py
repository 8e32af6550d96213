"""Everything that docs/scaling.md names, running: two stores, who writes to them, and one alone."""

import asyncio
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.alerts.catalogue import BINARIES
from tests.alerts.stack import OnCall, running_alertmanager, until
from tests.process import free_port, spawned
from tests.scaling.example import ALONE, FASTER, FILES, adapted, words

_EXPORTER = "wlvpn-exporter:11940"
_WRITE = "http://victoria-metrics:8428/api/v1/write"

# What the example leaves at its default is a time like the others, and as much shorter: Prometheus
# waits 5 s for a batch to fill, and VictoriaMetrics tells nothing of the last 30 s.
_BATCHES = "queue_config: {batch_send_deadline: 83ms}"
_STORE = (
    "-search.latencyOffset=500ms",
    # A search that found no series is remembered for up to 10 s.
    "-storage.cacheSizeIndexDBTagFilters=1",
    "-memory.allowedBytes=64MB",
)
_VMAGENT = ("-remoteWrite.flushInterval=100ms",)
# The delay is 30 s by default. VictoriaMetrics finds a sample one or two seconds after it came, and
# cannot be hurried.
_VMALERT = ("-remoteWrite.flushInterval=100ms", "-rule.evalDelay=3s")


@dataclass(frozen=True, slots=True)
class Parts:
    """The addresses of what can be asked, and what can be killed."""

    alone: str
    """One Prometheus that scrapes and evaluates, as docs/prometheus.yml has it."""
    replica: str
    """The second of a pair of Prometheus that evaluate the rules and write all to `paired`."""
    paired: str
    collected: str
    """VictoriaMetrics of a pair of vmagents, a Prometheus agent and a pair of vmalerts."""
    world: str
    """A Prometheus that federates from the second replica."""
    on_call: OnCall
    """Who is told by the replicas and by both vmalerts."""
    mortal: tuple[Process, Process]
    """The first replica and the first vmagent."""


@asynccontextmanager
async def parts(folder: Path, target: str, rules: Path) -> AsyncIterator[Parts]:
    """Runs them all.

    Args:
        folder: keeps configuration and data.
        target: where the exporter listens.
        rules: a folder of rules, with times as short as all others here.
    """
    async with AsyncExitStack() as life:
        on_call = await life.enter_async_context(OnCall().listening())
        alertmanager = await life.enter_async_context(
            running_alertmanager("3", folder, on_call.url, faster=FASTER)
        )
        site = _Site(folder, target, rules, alertmanager.removeprefix("http://"), life)
        paired, collected = await asyncio.gather(site.store("paired"), site.store("collected"))
        alone, (first, _), (_, replica), (vmagent, *_), *_ = await asyncio.gather(
            site.alone(),
            site.replica("a", paired),
            site.replica("b", paired),
            asyncio.gather(site.vmagent("a", collected), site.vmagent("b", collected)),
            site.agent("c", collected),
            asyncio.gather(site.vmalert(collected), site.vmalert(collected)),
        )
        world = await site.world(replica)
        yield Parts(alone, replica, paired, collected, world, on_call, (first, vmagent))


@dataclass(frozen=True, slots=True)
class _Site:
    """Where everything is laid out; each method starts one part, as its file and the page say."""

    folder: Path
    exporter: str
    rules: Path
    alertmanager: str
    life: AsyncExitStack

    async def alone(self) -> str:
        nobody = f"127.0.0.1:{free_port()}"
        places = {"localhost:11940": self.exporter, "localhost:9093": nobody} | self._rules()
        _, url = await self._prometheus("alone", adapted(ALONE.read_text(), places), version="2")
        return url

    async def replica(self, name: str, store: str) -> tuple[Process, str]:
        text = (FILES / "prometheus-replica.yml").read_text()
        places = self._writes(name, store) | self._rules() | self._alertmanagers()
        return await self._prometheus(name, adapted(text, places))

    async def agent(self, name: str, store: str) -> None:
        text = (FILES / "prometheus-agent.yml").read_text()
        config = adapted(text, self._writes(name, store))
        await self._prometheus(name, config, start="prometheus --agent")

    async def world(self, region: str) -> str:
        text = (FILES / "federation.yml").read_text()
        config = adapted(text, {"prometheus:9090": region.removeprefix("http://")})
        _, url = await self._prometheus("world", config, version="2")
        return url

    async def store(self, name: str) -> str:
        places = {"/var/lib/victoria-metrics": f"{self.folder}/{name}"}
        _, url = await self._victoria(
            "victoria-metrics", *words("victoria-metrics", places), *_STORE
        )
        return url

    async def vmagent(self, name: str, store: str) -> Process:
        config = self.folder / f"vmagent-{name}.yml"
        text = (FILES / "vmagent.yml").read_text()
        config.write_text(adapted(text, {_EXPORTER: self.exporter}))
        places = {
            "/etc/vmagent/vmagent.yml": f"{config}",
            "/var/lib/vmagent": f"{self.folder}/vmagent-{name}",
            "http://victoria-metrics:8428": store,
            "cluster.name=a": f"cluster.name={name}",
        }
        process, _ = await self._victoria("vmagent", *words("vmagent", places), *_VMAGENT)
        return process

    async def vmalert(self, store: str) -> None:
        places = {"/etc/vmalert/wlvpn": f"{self.rules}", "http://victoria-metrics:8428": store}
        flags = words("vmalert", places | self._alertmanagers())
        await self._victoria("vmalert", *flags, *_VMALERT)

    def _rules(self) -> dict[str, str]:
        return {"wlvpn/*": f"{self.rules}/*"}

    def _alertmanagers(self) -> dict[str, str]:
        """The second one is down."""
        nobody = f"127.0.0.1:{free_port()}"
        return {"alertmanager-a:9093": self.alertmanager, "alertmanager-b:9093": nobody}

    def _writes(self, name: str, store: str) -> dict[str, str]:
        return {
            _EXPORTER: self.exporter,
            _WRITE: f"{store}/api/v1/write\n    {_BATCHES}",
            "replica: a": f"replica: {name}",
        }

    async def _prometheus(
        self, name: str, config: str, *, version: str = "3", start: str = "prometheus --config.file"
    ) -> tuple[Process, str]:
        folder = self.folder / name
        folder.mkdir()
        (folder / "prometheus.yml").write_text(config)
        places = {"/etc/prometheus": f"{folder}", "/var/lib/prometheus": f"{folder}"}
        port = free_port()
        listen = f"--web.listen-address=127.0.0.1:{port}"
        return await self._start(
            f"{version}/usr/bin/prometheus",
            *words(start, places),
            listen,
            "--log.level=error",
            port=port,
        )

    async def _victoria(self, program: str, *flags: str) -> tuple[Process, str]:
        port = free_port()
        listen = f"-httpListenAddr=127.0.0.1:{port}"
        return await self._start(
            f"3/usr/bin/{program}", *flags, listen, "-loggerLevel=ERROR", port=port
        )

    async def _start(self, program: str, *flags: str, port: int) -> tuple[Process, str]:
        # Nobody reads what they say, and a pipe that is full would stop them.
        process = await self.life.enter_async_context(
            spawned(f"{BINARIES}/{program}", *flags, stdout=DEVNULL, stderr=DEVNULL)
        )
        url = f"http://127.0.0.1:{port}"
        await until(lambda: _is_ready(url), 30, f"{program} to be ready")
        return process, url


async def _is_ready(url: str) -> bool:
    """Prometheus and VictoriaMetrics have this path in common."""
    try:
        async with aiohttp.ClientSession() as session, session.get(f"{url}/-/ready") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False
