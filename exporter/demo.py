"""The simulated API beside the exporter, or alone: the commands that need no key."""

import argparse
from collections.abc import Callable, Mapping
from typing import TypeVar

from pydantic import BaseModel

from exporter import PROGRAM, process
from exporter.address import parse_address, reason_of
from exporter.config import load_logging
from exporter.errors import ConfigError
from exporter.service import Service, stop_signal
from exporter.simulator import Clock, Rule, Simulator, World

T = TypeVar("T")

_FAULTS = "*:any:probability=0.2"


async def run_demo(
    flags: Mapping[str, str], *, servers: int, customers: int, seed: int, faults: bool = False
) -> None:
    """Serves a simulated fleet until SIGTERM or SIGINT.

    Args:
        flags: options of the exporter by name.
        servers: size of the fleet.
        customers: how many there are.
        seed: another seed, another fleet.
        faults: whether one answer in five goes wrong.

    Raises:
        ConfigError: an option is wrong, or an address cannot be listened on.
    """
    stop = stop_signal()
    rules = [Rule.parse(_FAULTS)] if faults else []
    async with Simulator(_world(servers, customers, seed), rules=rules) as simulator:
        key = str(simulator.key)
        settings = load_logging({**flags, "base_url": simulator.url, "api_key": key})
        # Whatever else is configured, a demo asks nobody but the simulator.
        collectors = _all_on(settings.collectors)
        settings = settings.model_copy(
            update={"accounts": {}, "proxy_url": None, "collectors": collectors}
        )
        process.settle()
        async with Service(settings).serving() as urls:
            _say(f"{PROGRAM} demo: {servers} simulated servers, no key needed")
            _say(f"  metrics    {urls[0]}{settings.web.telemetry_path}")
            _say(f"  status     {urls[0]}/")
            _say(f"  simulator  {simulator.url}/  (speaks the API; its key: {key})")
            if faults:
                _say("  faults     one answer in five goes wrong, each time in another way")
            _say("Stop with Ctrl-C.")
            await stop.wait()


async def run_simulator(found: argparse.Namespace) -> None:
    """Serves the simulated API alone until SIGTERM or SIGINT.

    Args:
        found: the command's flags.

    Raises:
        ConfigError: a flag is wrong, or the address cannot be listened on.
    """
    stop = stop_signal()
    host, port = _read("--listen-address", lambda: parse_address(found.listen_address))
    simulator = Simulator(
        _world(found.servers, found.customers, found.seed),
        _read("--start or --speed", lambda: Clock(found.start, found.speed)),
        key=found.key,
        rules=_read("--fault", lambda: [Rule.parse(text) for text in found.fault]),
    )
    try:
        await simulator.start(host or "127.0.0.1", port)
    except (OSError, UnicodeError) as error:
        told = f"--listen-address: {found.listen_address}: {reason_of(error)}: choose another"
        raise ConfigError([told]) from None
    try:
        _say(f"simulating {found.servers} servers, stop with Ctrl-C; poll them with")
        _say(f"  WLVPN_BASE_URL={simulator.url} WLVPN_API_KEY={found.key} {PROGRAM}")
        await stop.wait()
    finally:
        await simulator.stop()


def _world(servers: int, customers: int, seed: int) -> World:
    _read("--customers", lambda: World(servers=0, customers=customers))
    return _read("--servers", lambda: World(seed=seed, servers=servers, customers=customers))


def _all_on(collectors: BaseModel) -> BaseModel:
    """Turns on what nobody turned off: a demo shows everything."""
    found = {name: getattr(collectors, name) for name in type(collectors).model_fields}
    unsaid = [name for name, own in found.items() if "enabled" not in own.model_fields_set]
    on = {name: found[name].model_copy(update={"enabled": True}) for name in unsaid}
    return collectors.model_copy(update=on)


def _read(flag: str, make: Callable[[], T]) -> T:
    """Makes something of a flag, and names the flag where that fails."""
    try:
        return make()
    except ValueError as error:
        raise ConfigError([f"{flag}: {error}"]) from None


def _say(text: str) -> None:
    print(text, flush=True)
