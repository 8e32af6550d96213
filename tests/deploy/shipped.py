"""What we ship to run the exporter with, and the programs that read it without running it."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DASHBOARDS = sorted((ROOT / "grafana" / "dashboards").glob("*.json"))
PROMETHEUS = ROOT / ".cache" / "prometheus"
PROGRAMS = PROMETHEUS / "deploy" / "usr" / "bin"
PYTHON_PROGRAMS = Path(sys.executable).parent
PAGE = ROOT / "docs" / "deploy.md"


def read(path: Path) -> Any:  # noqa: ANN401 - whatever is there
    """The one document of a YAML file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


SERVICES = read(DEPLOY / "compose.yaml")["services"]


def run(*words: str | Path, env: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """A program's exit code, and what it says on stdout and stderr."""
    # Docker Compose reads variables of its own.
    ours = {name: value for name, value in os.environ.items() if not name.startswith("COMPOSE_")}
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, env={**ours, **(env or {})}
    )
    return done.returncode, done.stdout, done.stderr


def exporter(*words: str, env: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """What the exporter says."""
    return run(sys.executable, "-m", "exporter", *words, env=env)


def binary(version: str, name: str) -> Path:
    """A program of a generation."""
    return PROMETHEUS / version / "usr" / "bin" / name


def laid_out(service: str, root: Path) -> Path:
    """A folder that holds what the service has mounted, where it sees it."""
    for volume in SERVICES[service]["volumes"]:
        target = root / volume["target"].lstrip("/")
        source = DEPLOY / volume["source"]
        if volume["type"] == "volume":
            target.mkdir(parents=True)
        elif source.is_dir():
            shutil.copytree(source, target)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    return root


def flags_of(service: str, root: Path) -> Iterable[str]:
    """The service's arguments, with paths below the folder."""
    for word in SERVICES[service]["command"]:
        yield re.sub(r"=(/.*)", rf"={root}\1", word)


def redirect(config: Path, here: Mapping[str, tuple[str, int]]) -> None:
    """Changes what a file says: words that it holds, as often as told, to others."""
    text = config.read_text()
    for shipped, (ours, times) in here.items():
        assert times == text.count(shipped), shipped
        text = text.replace(shipped, ours)
    config.write_text(text)


async def is_well(service: str, address: str) -> bool:
    """Whether the service's health check would be content."""
    url = SERVICES[service]["healthcheck"]["test"][-1]
    here = re.sub(r"127\.0\.0\.1:[0-9]+", address, url)
    assert here != url
    try:
        async with aiohttp.ClientSession() as session, session.get(here) as response:
            return response.ok
    except aiohttp.ClientError:
        return False
