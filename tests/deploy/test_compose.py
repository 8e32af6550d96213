"""The compose files, as Docker Compose itself reads and merges them."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from exporter.cli import parsers
from exporter.settings import options
from tests.alerts.promql import in_seconds
from tests.deploy.shipped import DEPLOY, PROGRAMS, PYTHON_PROGRAMS, ROOT, exporter, run

STACKS = {"demo": ["compose.yaml"], "live": ["compose.yaml", "compose.live.yaml"]}
SERVICES = ["exporter", "prometheus", "blackbox", "alertmanager", "grafana"]

each_stack = pytest.mark.parametrize("stack", STACKS)
each_service = pytest.mark.parametrize("service", SERVICES)


@cache
def composed(stack: str) -> dict[str, Any]:
    """A stack with everything merged, and paths made absolute."""
    files = [word for name in STACKS[stack] for word in ("--file", DEPLOY / name)]
    code, told, problems = run(PROGRAMS / "docker-compose", *files, "config", "--format=json")
    assert (0, "") == (code, problems)
    found: dict[str, Any] = json.loads(told)
    return found


def service_of(stack: str, service: str) -> dict[str, Any]:
    found: dict[str, Any] = composed(stack)["services"][service]
    return found


def files_of(stack: str, service: str) -> dict[str, Path]:
    """What is mounted from the repository, by where it is seen."""
    mounts = service_of(stack, service).get("volumes", [])
    return {m["target"]: Path(m["source"]) for m in mounts if m["type"] == "bind"}


@pytest.mark.parametrize("file", STACKS["live"])
def test_a_file_is_of_the_published_form(file: str) -> None:
    """The compose specification's schema takes each file by itself."""
    code, told, _ = run(
        PYTHON_PROGRAMS / "check-jsonschema",
        "--builtin-schema=vendor.compose-spec",
        DEPLOY / file,
    )
    assert (0, "ok -- validation done\n") == (code, told)


@each_stack
def test_a_stack_is_complete(stack: str) -> None:
    """Both hold the same services."""
    assert sorted(SERVICES) == sorted(composed(stack)["services"])


@each_stack
@each_service
def test_a_service_is_confined(stack: str, service: str) -> None:
    """It writes into its volumes alone, gains no rights, and cannot take the whole machine."""
    found = service_of(stack, service)
    assert (True, ["ALL"], ["no-new-privileges:true"]) == (
        found["read_only"],
        found["cap_drop"],
        found["security_opt"],
    )
    assert {"cpus", "mem_limit", "pids_limit"} <= found.keys()
    assert set() == found.keys() & {
        "privileged",
        "cap_add",
        "devices",
        "network_mode",
        "pid",
        "ipc",
    }


@each_stack
@each_service
def test_an_image_is_exactly_one(stack: str, service: str) -> None:
    """Ours is built from here, and never fetched; another's names its exact version."""
    found = service_of(stack, service)
    if service == "exporter":
        assert (str(ROOT), None) == (found["build"]["context"], found.get("image"))
    else:
        assert re.fullmatch(r"[a-z]+/[a-z-]+:v?[0-9]+\.[0-9]+\.[0-9]+", found["image"])


@each_stack
@each_service
def test_a_port_is_this_machines_alone(stack: str, service: str) -> None:
    """Nobody else reaches the stack until somebody decides so; nobody at all has it probe."""
    ports = service_of(stack, service).get("ports", [])
    expected = [] if service == "blackbox" else ["127.0.0.1"]
    assert expected == [port["host_ip"] for port in ports]


@each_stack
@each_service
def test_a_service_is_watched(stack: str, service: str) -> None:
    """It has a health check; the exporter's is in its image."""
    in_image = "HEALTHCHECK" in (ROOT / "Dockerfile").read_text() and service == "exporter"
    assert in_image or service_of(stack, service)["healthcheck"]["test"][0] == "CMD"


@each_stack
@each_service
def test_what_is_mounted_exists(stack: str, service: str) -> None:
    """It is part of the repository, is not written to, and is never made up when it is missing."""
    for source in files_of(stack, service).values():
        assert source.exists()
        assert source.is_relative_to(ROOT)
    for mount in service_of(stack, service).get("volumes", []):
        if mount["type"] == "bind":
            assert (True, {}) == (mount["read_only"], mount["bind"])


@each_stack
def test_what_is_kept_is_kept_in_volumes(stack: str) -> None:
    """Everything else is read-only: a program that keeps its data elsewhere would not start."""
    flags = {
        "prometheus": "--storage.tsdb.path",
        "alertmanager": "--storage.path",
        "grafana": "/var/lib/grafana",  # Grafana's own default
    }
    for service, flag in flags.items():
        volumes = service_of(stack, service)["volumes"]
        command = dict(w.split("=", 1) for w in service_of(stack, service).get("command") or ())
        kept = [mount["target"] for mount in volumes if mount["type"] == "volume"]
        assert [command.get(flag, flag)] == kept
        assert ["/tmp"] == service_of(stack, service)["tmpfs"]  # noqa: S108 - the container's


@each_stack
def test_prometheus_keeps_what_the_rules_look_back_on(stack: str) -> None:
    """They read eight days of daily peaks."""
    command = service_of(stack, "prometheus")["command"]
    [kept] = [w.partition("=")[2] for w in command if "retention.time=" in w]
    assert in_seconds(kept) > 9 * 86_400


@each_stack
@each_service
def test_a_secret_is_a_file(stack: str, service: str) -> None:
    """No variable and no argument holds one; variables name the files that do."""
    found = service_of(stack, service)
    environment = found.get("environment", {})
    held = [n for n in environment if re.search(r"(PASSWORD|TOKEN|API_KEY|SECRET_KEY)", n)]
    seen = [f"/run/secrets/{secret['source']}" for secret in found.get("secrets", [])]
    assert seen == [environment[name] for name in held]
    assert [] == [name for name in held if not name.endswith("_FILE")]


def test_secrets_are_never_committed() -> None:
    """Git ignores the folder in which they stand, and nothing else."""
    files = [Path(secret["file"]) for secret in composed("live")["secrets"].values()]
    assert 2 == len(files)
    [ignored] = re.findall(r"^/.+", (DEPLOY / ".gitignore").read_text(), re.MULTILINE)
    assert {DEPLOY / ignored.strip("/")} == {file.parent for file in files}


def test_the_demo_needs_no_secret() -> None:
    """Nobody has to invent a password to look at it: there is no account to enter."""
    environment = service_of("demo", "grafana")["environment"]
    assert "secrets" not in composed("demo")
    assert ("true", "true", "Viewer") == (
        environment["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"],
        environment["GF_AUTH_DISABLE_LOGIN_FORM"],
        environment["GF_AUTH_ANONYMOUS_ORG_ROLE"],
    )


def test_the_live_stack_asks_for_a_password() -> None:
    """Its Grafana has an administrator, whose password is the file's."""
    environment = service_of("live", "grafana")["environment"]
    assert ("false", "false", "false") == (
        environment["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"],
        environment["GF_AUTH_DISABLE_LOGIN_FORM"],
        environment["GF_AUTH_ANONYMOUS_ENABLED"],
    )


def test_simulated_servers_never_stand_beside_real_ones() -> None:
    """The two stacks share no volume."""
    demo, live = (
        {volume["name"] for volume in composed(stack)["volumes"].values()} for stack in STACKS
    )
    assert (3, 3, set()) == (len(demo), len(live), demo & live)


def test_the_demo_probes_nothing_outside() -> None:
    """Its prober's one network leads nowhere; with real servers it leads to them."""
    for stack, is_internal in {"demo": True, "live": False}.items():
        assert ["probes"] == list(service_of(stack, "blackbox")["networks"])
        assert is_internal == composed(stack)["networks"]["probes"].get("internal", False)
        assert {"default", "probes"} == set(service_of(stack, "prometheus")["networks"])


@each_stack
def test_the_exporter_knows_its_command(stack: str) -> None:
    """It is one of the exporter's, without flags."""
    [command] = service_of(stack, "exporter")["command"]
    assert command in parsers()[1]


def test_the_exporter_takes_its_variables(tmp_path: Path) -> None:
    """With the key where it is mounted, the configuration is valid."""
    (tmp_path / "wlvpn_api_key").write_text("a-key\n")
    environment = service_of("live", "exporter")["environment"]
    assert set(environment) <= {option.variable for option in options()}
    here = {n: v.replace("/run/secrets", str(tmp_path)) for n, v in environment.items()}
    code, told, problems = exporter("check", env=here)
    assert (0, "", True) == (code, problems, told.startswith("default: https://api.wlvpn.com"))
