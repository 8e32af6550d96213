"""The systemd unit: how it is confined, what it needs, how the exporter finds its key."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from exporter.simulator import Simulator, World
from tests import process
from tests.deploy.shipped import DEPLOY, PAGE, PROGRAMS, PYTHON_PROGRAMS, exporter, run

UNIT = DEPLOY / "systemd" / "wlvpn-exporter.service"
ANALYZE = PROGRAMS / "systemd-analyze"
# Ours is 1.1: what remains is the network, which it is for, and /proc/stat.
HIGHEST_EXPOSURE = 1.2


def values(name: str) -> list[str]:
    """What the unit says of a setting, line by line."""
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)


def test_the_unit_is_confined() -> None:
    """The exposure that systemd sees in it is far below the 2.0 that we promise."""
    code, told, _ = run(ANALYZE, "security", "--offline=true", "--no-pager", UNIT)
    found = re.search(r"Overall exposure level for wlvpn-exporter.service: ([0-9.]+)", told)
    assert found
    assert (0, True) == (code, float(found[1]) <= HIGHEST_EXPOSURE)


def test_the_unit_is_understood(tmp_path: Path) -> None:
    """Every setting is known to systemd, and every value taken."""
    [start] = values("ExecStart")
    here = tmp_path / UNIT.name
    here.write_text(UNIT.read_text().replace(start, str(PYTHON_PROGRAMS / "wlvpn-exporter")))
    [units] = PROGRAMS.parents[1].glob("**/lib/systemd/system")
    told = run(
        ANALYZE, "verify", "--man=no", here, env={"SYSTEMD_UNIT_PATH": f"{tmp_path}:{units}"}
    )
    assert (0, "", "") == told


def test_process_metrics_can_be_read() -> None:
    """They need /proc/stat, which ProcSubset=pid would hide: seen with a real systemd."""
    assert [] == values("ProcSubset")


def test_the_key_is_no_variable() -> None:
    """The unit hands it over as a file that systemd alone can read."""
    assert [] == values("Environment")
    assert ["wlvpn_api_key:/etc/wlvpn-exporter/api_key"] == values("LoadCredential")


def paths() -> Iterator[str]:
    """What the unit needs of the machine."""
    for name in ("ExecStart", "EnvironmentFile", "LoadCredential"):
        for value in values(name):
            yield "/" + value.partition("/")[2]


@pytest.mark.parametrize("path", list(paths()))
def test_what_the_unit_needs_is_told(path: str) -> None:
    """The page says how each of its files comes to be."""
    assert path.removesuffix("/bin/wlvpn-exporter") in PAGE.read_text()


async def test_the_exporter_finds_its_key_as_the_unit_names_it(tmp_path: Path) -> None:
    """With nothing but systemd's folder of credentials, it polls."""
    [credential] = values("LoadCredential")
    (tmp_path / credential.partition(":")[0]).write_text("demo-key\n")
    port = process.free_port()
    async with (
        Simulator(World(servers=20)) as simulator,
        process.exporter(
            simulator, port, WLVPN_API_KEY="", CREDENTIALS_DIRECTORY=str(tmp_path)
        ) as running,
    ):
        assert running.stderr
        async with asyncio.timeout(20):
            while b"collector=servers records=20" not in (line := await running.stderr.readline()):
                assert line
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{port}/metrics") as response,
        ):
            assert 'wlvpn_up{account="default",collector="servers"} 1.0' in await response.text()


def test_a_wrong_configuration_is_not_tried_again() -> None:
    """The exit code that the unit gives up on is the one that a missing key has."""
    code, _, _ = exporter("serve")
    assert [str(code)] == values("RestartPreventExitStatus")
