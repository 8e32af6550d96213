"""What reaches on-call when something happens: the real parts, sixty times faster.

The exporter cannot be hurried (it polls each 15 seconds at most), so that a reading counts as stale
after 30 seconds here, not after 300.
"""

import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

from exporter.simulator import Rule, Simulator, World
from tests.alerts.stack import Stack, saturating, stack, until
from tests.process import EXPORTER, free_port, spawned, variables

FASTER = 60
COUNTRY = "US"
WORLD = World(servers=1_040)  # 300 of them in the United States


def stale_sooner(expr: str) -> str:
    """Not five minutes before the reading is dropped, but nine and a half."""
    return expr.replace("(wlvpn_data_ttl_seconds) - 300", "(wlvpn_data_ttl_seconds) - 570")


@asynccontextmanager
async def both_generations(target: str, folder: Path) -> AsyncIterator[list[Stack]]:
    async with AsyncExitStack() as parts:
        yield [
            await parts.enter_async_context(
                stack(version, target, folder / version, faster=FASTER, edit=stale_sooner)
            )
            for version in ("2", "3")
        ]


async def test_one_event_is_one_notification(tmp_path: Path) -> None:
    """300 full servers, a dead API, a dead exporter: one page each, and one more when it ends."""
    port = free_port()
    env = variables("", port, WLVPN_COLLECTORS__SERVERS__INTERVAL="15s")
    async with Simulator(WORLD) as simulator, AsyncExitStack() as life:
        process = await life.enter_async_context(
            spawned(*EXPORTER, env={**env, "WLVPN_BASE_URL": simulator.url})
        )
        stacks = await life.enter_async_context(both_generations(f"127.0.0.1:{port}", tmp_path))
        pages: list[tuple[str, str]] = []

        async def fires(name: str, count: int = 1) -> None:
            async def is_firing() -> bool:
                return all([(await each.alerts("firing")).get(name, 0) >= count for each in stacks])

            await until(is_firing, 150, f"{count} {name} to fire")

        async def calms() -> None:
            async def is_calm() -> bool:
                told = [await each.alerts("firing") for each in stacks]
                return all(set(names) <= {"WlvpnCountryHeadroomLow"} for names in told)

            await until(is_calm, 150, "calm")

        async def holds_back(name: str) -> None:
            async def is_held() -> bool:
                return all([name in await each.suppressed() for each in stacks])

            await until(is_held, 30, f"{name} to be held back")

        async def tells(status: str, name: str) -> None:
            pages.append((status, name))
            with suppress(AssertionError):
                await until(
                    lambda: all(pages == each.on_call.heard("pager") for each in stacks),
                    30,
                    "the page",
                )
            assert [pages] * len(stacks) == [each.on_call.heard("pager") for each in stacks]
            assert [[]] * len(stacks) == [each.on_call.heard("ticket") for each in stacks]

        simulator.rewrite = saturating(COUNTRY)
        await fires("WlvpnServerSaturated", 300)
        await fires("WlvpnPopSaturated")
        await holds_back("WlvpnServerSaturated")
        await holds_back("WlvpnPopSaturated")
        await tells("firing", "WlvpnCountrySaturated")
        simulator.rewrite = None
        await calms()
        await tells("resolved", "WlvpnCountrySaturated")

        simulator.rules = [Rule.parse("*:status=503")]
        await fires("WlvpnServersStale")
        await tells("firing", "WlvpnServersStale")
        for each in stacks:
            [alert] = each.on_call.told["pager"][-1]["alerts"]
            assert "server_error" in alert["annotations"]["description"]
        simulator.rules = []
        await calms()
        await tells("resolved", "WlvpnServersStale")

        process.send_signal(signal.SIGTERM)
        await fires("WlvpnExporterAbsent")
        await holds_back("WlvpnExporterAbsent")
        await tells("firing", "WlvpnExporterDown")
