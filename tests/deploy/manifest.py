"""The manifests as kustomize renders them."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.shipped import DEPLOY, PROGRAMS, run

KUBERNETES = DEPLOY / "kubernetes"

Manifest = dict[str, Any]


@cache
def rendered(folder: Path) -> tuple[Manifest, ...]:
    code, told, problems = run(PROGRAMS / "kustomize", "build", folder)
    assert (0, "") == (code, problems)
    return tuple(yaml.safe_load_all(told))


def of_kind(kind: str, root: str = "base") -> list[Manifest]:
    return [found for found in rendered(KUBERNETES / root) if found["kind"] == kind]


def pods(root: str) -> Iterator[Manifest]:
    for deployment in of_kind("Deployment", root):
        yield deployment["spec"]["template"]


def selects(labels: dict[str, str], manifest: Manifest) -> bool:
    found: dict[str, str] = manifest["metadata"]["labels"]
    return labels.items() <= found.items()
