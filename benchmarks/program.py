"""The programs that are measured beside the exporter, and measured with."""

import platform
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from benchmarks.errors import BenchError
from benchmarks.process import ROOT

FOLDER = ROOT / ".cache" / "prometheus" / "bench"

_VERSION = re.compile(r"\d+(?:\.\d+)+")


@dataclass(frozen=True, slots=True)
class Programs:
    """Where each of them is.

    Attributes:
        h2load: asks many times.
        nginx: serves a file.
        node_exporter: reads a textfile, as of Debian 12.
        node_exporter_newest: the same, as of Debian's newest suite.
        jq: makes a textfile of an answer.
    """

    h2load: Path
    nginx: Path
    node_exporter: Path
    node_exporter_newest: Path
    jq: Path

    def versions(self) -> Mapping[str, str]:
        """What is measured, and of which version."""
        return {
            "python": platform.python_version(),
            "aiohttp": version("aiohttp"),
            "live": version("prometheus-client"),
            "nginx": _version(self.nginx, "-v"),
            "node_exporter": _version(self.node_exporter, "--version"),
            "node_exporter_newest": _version(self.node_exporter_newest, "--version"),
            "jq": _version(self.jq, "--version"),
            "h2load": _version(self.h2load, "--version"),
        }


def find(folder: Path = FOLDER) -> Programs:
    """Finds what `tests/fetch-prometheus` unpacked.

    Raises:
        BenchError: something is missing.
    """
    found = folder / "usr" / "bin"
    programs = {
        "h2load": found / "h2load",
        "nginx": found / "nginx",
        "jq": found / "jq",
        "node_exporter": found / "prometheus-node-exporter",
        "node_exporter_newest": folder / "sid" / "usr" / "bin" / "prometheus-node-exporter",
    }
    missing = [name for name, path in programs.items() if not path.exists()]
    if missing:
        raise BenchError(f"missing: {', '.join(missing)}. Mend: run `make bench`, which fetches it")
    return Programs(**programs)


def _version(program: Path, flag: str) -> str:
    told = subprocess.run([program, flag], capture_output=True, text=True, check=False, timeout=10)
    found = _VERSION.search(told.stdout + told.stderr)
    if found is None:
        raise BenchError(f"{program.name} does not tell its version")
    return found[0]
