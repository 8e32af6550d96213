"""Real processes: the exporter as its users start it, and others beside it."""

import asyncio
import os
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

from exporter.simulator import Simulator

EXPORTER = (sys.executable, "-m", "exporter")


@asynccontextmanager
async def spawned(
    *words: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdout: int | IO[bytes] = PIPE,
    stderr: int = PIPE,
) -> AsyncIterator[Process]:
    """Starts a program; whatever fails, nothing of it is left running.

    `env` is its whole environment: without what ours has, its coverage is not measured.
    """
    process = await asyncio.create_subprocess_exec(
        *words, env=env, cwd=cwd, stdout=stdout, stderr=stderr
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


@asynccontextmanager
async def running(
    *words: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> AsyncIterator[Process]:
    """Runs a program, and sees to it that it ends well when it is told to."""
    async with spawned(*words, env={**os.environ, **(env or {})}, cwd=cwd) as process:
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


def variables(url: str, port: int, **more: str) -> Mapping[str, str]:
    """What the exporter has to be told to poll a simulator and be found."""
    return {
        "WLVPN_API_KEY": "demo-key",
        "WLVPN_BASE_URL": url,
        "WLVPN_WEB__LISTEN_ADDRESS": f"127.0.0.1:{port}",
        **more,
    }


@asynccontextmanager
async def exporter(simulator: Simulator, port: int, **env: str) -> AsyncIterator[Process]:
    """The exporter, listening."""
    async with running(*EXPORTER, env=variables(simulator.url, port, **env)) as process:
        assert process.stderr
        async with asyncio.timeout(20):
            while b"listening" not in (line := await process.stderr.readline()):
                assert line, "the exporter ended"
        yield process
