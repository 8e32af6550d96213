"""Real processes: the exporter as its users start it, and others beside it."""

import asyncio
import os
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from exporter.simulator import Simulator


@asynccontextmanager
async def running(*words: str, env: Mapping[str, str] | None = None) -> AsyncIterator[Process]:
    """Runs a program, and sees to it that it ends well when it is told to."""
    process = await asyncio.create_subprocess_exec(
        *words, env={**os.environ, **(env or {})}, stdout=PIPE, stderr=PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        assert await asyncio.wait_for(process.wait(), 20) == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def exporter(simulator: Simulator, port: int, **env: str) -> AsyncIterator[Process]:
    variables = {
        "WLVPN_API_KEY": "demo-key",
        "WLVPN_BASE_URL": simulator.url,
        "WLVPN_WEB__LISTEN_ADDRESS": f"127.0.0.1:{port}",
        **env,
    }
    async with running(sys.executable, "-m", "exporter", env=variables) as process:
        assert process.stderr
        async with asyncio.timeout(20):
            while b"listening" not in await process.stderr.readline():
                pass
        yield process
