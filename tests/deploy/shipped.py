"""What we ship to run the exporter with, and the programs that read it without running it."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
