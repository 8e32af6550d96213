"""A real Prometheus and Alertmanager with our rules, and a webhook that hears what is told."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web

from exporter.simulator.app import Payload
from tests.alerts import promql
from tests.alerts.catalogue import ALERTS, BINARIES, RULE_FILES
from tests.process import free_port, running

EXAMPLE = ALERTS / "alertmanager.example.yaml"


@dataclass
class OnCall:
    """Who is told: a webhook for each receiver."""

    url: str = ""
    told: dict[str, list[dict[str, Any]]] = field(
        default_factory=lambda: {"pager": [], "ticket": []}
    )

    def heard(self, receiver: str) -> list[tuple[str, str]]:
        """What came to a receiver: state and alert's name of each notification."""
        return [
            (message["status"], message["groupLabels"]["alertname"])
            for message in self.told[receiver]
        ]

    async def _hear(self, request: web.Request) -> web.Response:
        self.told[request.match_info["receiver"]].append(await request.json())
        return web.Response()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["OnCall"]:
        app = web.Application()
        app.router.add_post("/{receiver}", self._hear)
        runner = web.AppRunner(app)
        await runner.setup()
        port = free_port()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{port}"
        try:
            yield self
        finally:
            await runner.cleanup()


@dataclass(frozen=True)
class Stack:
    """One generation of Prometheus and Alertmanager."""

    prometheus: str
    alertmanager: str
    on_call: OnCall

    async def alerts(self, state: str) -> dict[str, int]:
        """How many alerts of each name are in a state, by Prometheus."""
        answer = await _get(f"{self.prometheus}/api/v1/alerts")
        names = [
            alert["labels"]["alertname"]
            for alert in answer["data"]["alerts"]
            if alert["state"] == state
        ]
        return {name: names.count(name) for name in sorted(set(names))}

    async def suppressed(self) -> set[str]:
        """The alerts that Alertmanager holds back."""
        answer = await _get(f"{self.alertmanager}/api/v2/alerts")
        return {
            alert["labels"]["alertname"]
            for alert in answer
            if alert["status"]["state"] == "suppressed"
        }


def saturating(country: str) -> Callable[[str, Payload], Payload]:
    """Makes a simulator let every server of a country be full, and none elsewhere, at any hour."""

    def used(server: Any) -> int:  # noqa: ANN401 - JSON
        return 100 if server["country"] == country else min(60, int(server["capacity"]))

    def rewrite(endpoint: str, payload: Payload) -> Payload:
        if endpoint != "servers":
            return payload
        listed = payload["server"]
        assert isinstance(listed, dict)
        return {
            **payload,
            "server": {f: {**server, "capacity": used(server)} for f, server in listed.items()},
        }

    return rewrite


@asynccontextmanager
async def stack(
    version: str, target: str, folder: Path, *, faster: int, edit: Callable[[str], str] = str
) -> AsyncIterator[Stack]:
    """Runs one generation.

    Args:
        version: of the binaries' folder.
        target: is scraped each second.
        folder: keeps configuration and data.
        faster: by how much all times of rules and Alertmanager are shorter.
        edit: changes each expression before its times are.
    """
    lay_out_rules(folder, faster, edit)
    async with AsyncExitStack() as parts:
        on_call = await parts.enter_async_context(OnCall().listening())
        alertmanager = await parts.enter_async_context(
            running_alertmanager(version, folder, on_call.url, faster=faster)
        )
        port = free_port()
        config = folder / "prometheus.yml"
        config.write_text(
            yaml.safe_dump(
                {
                    "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                    "rule_files": ["rules/*.yaml"],
                    "scrape_configs": [
                        {"job_name": "wlvpn", "static_configs": [{"targets": [target]}]}
                    ],
                    "alerting": {
                        "alertmanagers": [
                            {
                                "static_configs": [
                                    {"targets": [alertmanager.removeprefix("http://")]}
                                ]
                            }
                        ]
                    },
                }
            )
        )
        await parts.enter_async_context(
            running(
                f"{BINARIES}/{version}/usr/bin/prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address=127.0.0.1:{port}",
                # Alertmanager forgets an alert four of these after it last heard of it.
                "--rules.alert.resend-delay=15s",
                "--log.level=error",
            )
        )
        url = f"http://127.0.0.1:{port}"
        await _until_ready(url)
        yield Stack(url, alertmanager, on_call)


@asynccontextmanager
async def running_alertmanager(
    version: str, folder: Path, on_call: str, *, faster: int = 1
) -> AsyncIterator[str]:
    """Runs Alertmanager with the example's routes and inhibitions; gives its address."""
    config = yaml.safe_load(EXAMPLE.read_text())
    for route in [config["route"], *config["route"]["routes"]]:
        for name in ("group_wait", "group_interval", "repeat_interval"):
            if name in route:
                route[name] = f"{max(1, promql.in_seconds(route[name]) // faster)}s"
    for receiver in config["receivers"]:
        for hook in receiver.get("webhook_configs", ()):
            hook["url"] = f"{on_call}/{hook['url'].rpartition('/')[2]}"
    file = folder / "alertmanager.yml"
    file.write_text(yaml.safe_dump(config))
    port = free_port()
    async with running(
        f"{BINARIES}/{version}/usr/bin/prometheus-alertmanager",
        f"--config.file={file}",
        f"--storage.path={folder}/alertmanager",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
        "--log.level=error",
        cwd=BINARIES / version / "usr" / "bin",
    ):
        url = f"http://127.0.0.1:{port}"
        await _until_ready(url)
        yield url


async def until(condition: Callable[[], Any], seconds: float, what: str) -> None:
    """Waits for a condition, which may be a coroutine function.

    Raises:
        AssertionError: it has not come true in time.
    """
    try:
        async with asyncio.timeout(seconds):
            while True:
                found = condition()
                if await found if asyncio.iscoroutine(found) else found:
                    return
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise AssertionError(f"waited {seconds:g} s in vain: {what}") from None


def lay_out_rules(folder: Path, faster: int, edit: Callable[[str], str]) -> None:
    rules = folder / "rules"
    rules.mkdir(parents=True)
    for path in RULE_FILES:
        (rules / path.name).write_text(_faster_rules(path, faster, edit))


def _faster_rules(path: Path, faster: int, edit: Callable[[str], str]) -> str:
    whole = yaml.safe_load(path.read_text())
    for group in whole["groups"]:
        group["interval"] = _shorter(group["interval"], faster)
        for rule in group["rules"]:
            rule["expr"] = "".join(_faster_tokens(edit(rule["expr"]), faster))
            for key in {"for", "keep_firing_for"} & set(rule):
                rule[key] = _shorter(rule[key], faster)
    return yaml.safe_dump(whole, sort_keys=False)


def _faster_tokens(expr: str, faster: int) -> Iterator[str]:
    for token in promql.tokens(expr):
        match token.kind:
            case "duration":
                yield _shorter(token.text, faster)
            case "range":
                window = token.text.strip("[]").split(":")
                yield f"[{':'.join(_shorter(part, faster) for part in window)}]"
            case _:
                yield token.text


def _shorter(duration: str, faster: int) -> str:
    return f"{promql.in_seconds(duration) * 1_000 // faster}ms"


async def _get(url: str) -> Any:  # noqa: ANN401 - JSON
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return await response.json()


async def _until_ready(url: str) -> None:
    async def is_ready() -> bool:
        try:
            async with aiohttp.ClientSession() as session, session.get(f"{url}/-/ready") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    await until(is_ready, 30, f"{url} to be ready")
