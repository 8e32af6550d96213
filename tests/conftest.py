"""What the tests share: virtual time, and the simulator on a real port."""

import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator

import hypothesis
import pytest

from exporter.config import load
from exporter.settings import Settings
from exporter.simulator import Simulator, World
from tests.manual_clock import ManualClock

# How long an example takes says nothing on a busy machine.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")

Configure = Callable[..., Settings]


@pytest.fixture(autouse=True)
def _no_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    """Each test starts with no WLVPN_ variables and in an empty directory, without a .env."""
    for name in [name for name in os.environ if name.upper().startswith("WLVPN_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.chdir(str(tmp_path))


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Commands start logging for the whole process: what a test starts ends with it."""
    root, ours = logging.getLogger(), logging.getLogger("exporter")
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    ours.setLevel(logging.NOTSET)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def simulator(clock: ManualClock) -> AsyncIterator[Simulator]:
    """A small fleet whose time is the test's."""
    async with Simulator(World(servers=120), clock.simulated) as simulator:
        yield simulator


@pytest.fixture
def configure(simulator: Simulator) -> Configure:
    """Makes a configuration for the simulator; keyword arguments are options, `.` written `__`."""

    def configure(**options: str) -> Settings:
        flags = {"base_url": simulator.url, "api_key": "demo-key"}
        flags |= {"web.listen_address": "127.0.0.1:0"}
        return load(flags | {name.replace("__", "."): text for name, text in options.items()})

    return configure
