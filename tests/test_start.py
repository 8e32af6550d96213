"""The start: what is not imported, read or searched need not be waited for."""

import os
import re
import sys
from asyncio.subprocess import Process
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import pytest
import trustme

from exporter.process import MOST_UNSEEN, TURN_SECONDS
from exporter.simulator import Simulator
from tests.process import free_port, spawned, variables

TOLD = (sys.executable, "-X", "importtime", "-m", "exporter")
SERVES_WITHOUT = {"bcrypt", "exporter.demo", "exporter.simulator", "jinja2", "markupsafe"}
SERVES_WITHOUT |= {"shtab", "yaml"}
ASKS_WITHOUT = SERVES_WITHOUT | {"aiohttp", "apscheduler", "exporter.service", "prometheus_client"}

# What the imports have left behind, once `serve --help` has been told.
AFTERWARDS = """
import atexit, gc, os, sys
from exporter.__main__ import main

def tell():
    from aiohttp import connector

    certificates = connector._SSL_CONTEXT_VERIFIED.cert_store_stats()["x509"]
    print(certificates, os.environ.get("SSL_CERT_FILE"), file=sys.stderr)
    print(gc.isenabled(), gc.get_freeze_count() > 0, file=sys.stderr)

sys.argv[1:] = ["serve", "--help"]
atexit.register(tell)
main()
"""

# How the process is set up by who serves, a moment after the start.
SERVING = """
import asyncio, gc, os, signal, sys
from pathlib import Path
from threading import Thread, stack_size
from exporter.config import load
from exporter.demo import run_demo
from exporter.service import serve

def mapped():
    return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")

def grow(found):
    before = mapped()
    stack_size(1 << 20)
    thread = Thread(target=lambda: found.append((bytearray(1 << 16), mapped() - before)))
    thread.start()
    thread.join()
    return found[0][1]

async def look(how):
    small = {"servers": 10, "customers": 10, "seed": 1}
    flags = {"api_key": "x", "base_url": "http://127.0.0.1:1", "web.listen_address": "127.0.0.1:0"}
    serving = serve(load(flags)) if how == "serve" else run_demo(flags, **small)
    task = asyncio.create_task(serving)
    async with asyncio.timeout(10):
        while not gc.get_freeze_count():
            assert not task.done()
            await asyncio.sleep(0)
    turn = round(sys.getswitchinterval(), 6)
    print(gc.isenabled(), gc.get_threshold()[0], turn, file=sys.stderr)
    print(grow([]) > 32 << 20, file=sys.stderr)  # glibc sets 64 MB aside for a heap
    os.kill(os.getpid(), signal.SIGTERM)
    await task

asyncio.run(look(sys.argv[1]))
"""


def imported(said: bytes) -> set[str]:
    return set(re.findall(r"^import time: .*\| +(\S+)$", said.decode(), re.MULTILINE))


async def read_until(process: Process, word: bytes) -> bytes:
    assert process.stderr
    said = b""
    while word not in said:
        line = await process.stderr.readline()
        assert line, said.decode()
        said += line
    return said


async def scrape(port: int) -> str:
    url = f"http://127.0.0.1:{port}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return await response.text()


async def test_serving_imports_only_what_it_needs(simulator: Simulator) -> None:
    """Without YAML, passwords and readers of the status page, none of what these need."""
    port = free_port()
    env = {**os.environ, **variables(simulator.url, port)}
    async with spawned(*TOLD, env=env) as process:
        said = await read_until(process, b"first reading")
        page = await scrape(port)
        process.terminate()
        said += (await process.communicate())[1]
    assert 'wlvpn_up{account="default",collector="servers"}' in page
    assert "exporter.service" in imported(said)
    assert set() == SERVES_WITHOUT & imported(said)


@pytest.mark.parametrize("command", ["healthcheck", "check", "completion", "--version", "--help"])
async def test_commands_that_ask_little_import_little(command: str) -> None:
    """A health check, every half a minute, does not import the whole exporter."""
    env = {**os.environ, **variables("http://127.0.0.1:1", free_port())}
    async with spawned(*TOLD, command, env=env) as process:
        said = (await process.communicate())[1]
    assert "exporter.cli" in imported(said)
    assert set() == ASKS_WITHOUT & imported(said)


async def told_afterwards(env: Mapping[str, str]) -> list[str]:
    """What the imports have left behind."""
    async with spawned(sys.executable, "-c", AFTERWARDS, env=env) as process:
        return (await process.communicate())[1].decode().splitlines()


async def test_imports_read_no_certificates(tmp_path: Path) -> None:
    """They are hidden from aiohttp, which wants them at once, and back for our own contexts."""
    file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(file)
    [told, _] = await told_afterwards({**os.environ, "SSL_CERT_FILE": str(file)})
    assert f"0 {file}" == told


async def test_imports_leave_no_variable_behind() -> None:
    """OpenSSL finds the system's certificates where it would without us."""
    env = {name: text for name, text in os.environ.items() if name != "SSL_CERT_FILE"}
    [told, _] = await told_afterwards(env)
    assert "0 None" == told


async def test_imports_are_no_garbage_to_look_for() -> None:
    """Garbage is looked for again after the imports, and not among what they brought."""
    [_, told] = await told_afterwards(os.environ)
    assert "True True" == told


@pytest.mark.parametrize("how", ["serve", "demo"])
async def test_who_serves_is_set_up_for_it(how: str) -> None:
    """Garbage is looked for seldom, threads take short turns, and they share a heap."""
    async with spawned(sys.executable, "-c", SERVING, how) as process:
        said = (await process.communicate())[1].decode().splitlines()
    told = [line for line in said if not line.startswith("ts=")]
    assert [f"True {MOST_UNSEEN} {TURN_SECONDS}", "False"] == told
