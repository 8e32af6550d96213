"""The manifests, rendered by kustomize: valid, restricted, and of one mind with the exporter."""

import asyncio
import json
from pathlib import Path

import aiohttp
import pytest

from exporter import __version__
from exporter.simulator import Simulator, World
from tests import process
from tests.deploy.manifest import KUBERNETES, Manifest, of_kind, pods, rendered, selects
from tests.deploy.shipped import (
    DASHBOARDS,
    PAGE,
    PYTHON_PROGRAMS,
    ROOT,
    exporter,
    read,
    run,
)

SHARDS = KUBERNETES / "overlays" / "accounts"
OPERATOR = "monitoring.coreos.com/v1"
FOLDER = "/etc/wlvpn-exporter"
# `kubectl apply` notes down what it applied, and an object's notes have this limit.
MOST_BYTES = 262_144

ROOTS = ["base", "overlays/accounts"]

each_root = pytest.mark.parametrize("root", ROOTS)


def write(folder: Path, manifests: list[Manifest]) -> list[Path]:
    """Puts each into a file; as JSON, in which text cannot be taken for a number."""
    files = [folder / f"{number}.json" for number in range(len(manifests))]
    for file, manifest in zip(files, manifests, strict=True):
        file.write_text(json.dumps(manifest))
    return files


@pytest.mark.parametrize("version", ["1.25", "1.31", "1.37"])
def test_kubernetes_takes_the_manifests(version: str, tmp_path: Path) -> None:
    """Each is valid by the published schemas, to the last field, from old to new."""
    everything = [m for root in ROOTS for m in rendered(KUBERNETES / root)]
    found = [m for m in everything if m["apiVersion"] != OPERATOR]
    code, _, problems = run(
        PYTHON_PROGRAMS / "kubernetes-validate",
        f"--kubernetes-version={version}",
        "--strict",
        "--quiet",
        *write(tmp_path, found),
    )
    assert (0, "") == (code, problems)


@each_root
def test_the_operator_takes_the_manifests(root: str, tmp_path: Path) -> None:
    """ServiceMonitor and PrometheusRule have the fields of its definitions, and no others."""
    found = [m for m in rendered(KUBERNETES / root) if m["apiVersion"] == OPERATOR]
    assert ["PrometheusRule", "ServiceMonitor"] == sorted(m["kind"] for m in found)
    code, told, _ = run(
        PYTHON_PROGRAMS / "check-jsonschema",
        f"--schemafile={Path(__file__).with_name('operator.schema.json')}",
        *write(tmp_path, found),
    )
    assert (0, "ok -- validation done\n") == (code, told)


@each_root
def test_pods_are_restricted(root: str) -> None:
    """They pass the restricted pod security standard, write nothing and know no service account."""
    for pod in pods(root):
        spec = pod["spec"]
        [container] = spec["containers"]
        assert (True, "RuntimeDefault") == (
            spec["securityContext"]["runAsNonRoot"],
            spec["securityContext"]["seccompProfile"]["type"],
        )
        assert {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        } == container["securityContext"]
        assert (False, False) == (spec["automountServiceAccountToken"], spec["enableServiceLinks"])
        assert set() == spec.keys() & {"hostNetwork", "hostPID", "hostIPC", "initContainers"}
        assert {"configMap", "secret"} >= {n for v in spec["volumes"] for n in v} - {"name"}
        assert {"requests", "limits"} == container["resources"].keys()


@each_root
def test_pods_run_our_image(root: str) -> None:
    """It is this version, as the user that the image has."""
    assert "USER 65532:65532\n" in (ROOT / "Dockerfile").read_text()
    for pod in pods(root):
        [container] = pod["spec"]["containers"]
        context = pod["spec"]["securityContext"]
        assert f"wlvpn-exporter:{__version__}" == container["image"]
        assert [65532] * 3 == [context[n] for n in ("runAsUser", "runAsGroup", "fsGroup")]


@each_root
def test_keys_are_files_that_the_user_brings(root: str) -> None:
    """No manifest holds a secret, no variable does, and the exporter's group alone may read it."""
    assert [] == of_kind("Secret", root)
    for pod in pods(root):
        [container] = pod["spec"]["containers"]
        assert "envFrom" not in container
        assert [] == [variable for variable in container["env"] if "value" not in variable]
        [secret] = [volume["secret"] for volume in pod["spec"]["volumes"] if "secret" in volume]
        assert (0o440, True) == (secret["defaultMode"], secret["secretName"] in PAGE.read_text())


@each_root
def test_the_monitor_scrapes_as_the_example_does(root: str) -> None:
    """A longer interval would leave gaps, and what is not ready has to be seen above all."""
    [service], [monitor] = of_kind("Service", root), of_kind("ServiceMonitor", root)
    [endpoint] = monitor["spec"]["endpoints"]
    for name in ("docs/prometheus.yml", "deploy/prometheus.yml"):
        whole = read(ROOT / name)
        [job] = [job for job in whole["scrape_configs"] if job["job_name"] == "wlvpn"]
        scraped = {**whole.get("global", {}), **job}
        assert (scraped["scrape_interval"], scraped["scrape_timeout"]) == (
            endpoint["interval"],
            endpoint["scrapeTimeout"],
        )
    assert service["spec"]["publishNotReadyAddresses"]


@each_root
def test_what_selects_finds(root: str) -> None:
    """Service, monitor and policy mean the exporters' pods, by labels and ports that exist."""
    [service], [monitor] = of_kind("Service", root), of_kind("ServiceMonitor", root)
    [policy] = of_kind("NetworkPolicy", root)
    assert selects(monitor["spec"]["selector"]["matchLabels"], service)
    [endpoint], [port] = monitor["spec"]["endpoints"], service["spec"]["ports"]
    assert port["name"] == endpoint["port"]
    for pod in pods(root):
        assert selects(service["spec"]["selector"], pod)
        assert selects(policy["spec"]["podSelector"]["matchLabels"], pod)
        [container] = pod["spec"]["containers"]
        assert [{"name": port["targetPort"], "containerPort": 11940}] == container["ports"]


def test_a_pod_belongs_to_one_shard() -> None:
    """No Deployment takes another's pods for its own."""
    for deployment in of_kind("Deployment", "overlays/accounts"):
        labels = deployment["spec"]["selector"]["matchLabels"]
        assert [deployment["spec"]["template"]] == [
            pod for pod in pods("overlays/accounts") if selects(labels, pod)
        ]


def test_shards_are_spread_over_nodes() -> None:
    """All shards count when the next one's node is chosen."""
    for pod in pods("overlays/accounts"):
        [spread] = pod["spec"]["topologySpreadConstraints"]
        labels = spread["labelSelector"]["matchLabels"]
        assert all(selects(labels, other) for other in pods("overlays/accounts"))


def test_an_account_belongs_to_one_shard() -> None:
    """Nobody polls it twice by mistake, and no shard sees another's keys."""
    accounts = [name for f in SHARDS.glob("*/accounts.yaml") for name in read(f)["accounts"]]
    secrets = [
        volume["secret"]["secretName"]
        for pod in pods("overlays/accounts")
        for volume in pod["spec"]["volumes"]
        if "secret" in volume
    ]
    assert (3, 2) == (len(accounts), len(secrets))
    assert (3, 2) == (len(set(accounts)), len(set(secrets)))


def mounted(root: str, place: int, folder: Path) -> dict[str, str]:
    """Lays out what a pod sees below our folder; gives its variables, as they are there."""
    maps = {m["metadata"]["name"]: m.get("data", {}) for m in of_kind("ConfigMap", root)}
    spec = list(pods(root))[place]["spec"]
    [container] = spec["containers"]
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    for mount in container["volumeMounts"]:
        here = folder / Path(mount["mountPath"]).relative_to(FOLDER)
        here.mkdir()
        named = volumes[mount["name"]].get("configMap", {}).get("name")
        for name, text in maps.get(named, {}).items():
            (here / name).write_text(text.replace(FOLDER, str(folder)))
    return {v["name"]: v["value"].replace(FOLDER, str(folder)) for v in container["env"]}


@pytest.mark.parametrize(
    ("root", "place", "keys", "accounts"),
    [
        pytest.param("base", 0, ["wlvpn_api_key"], ["default"], id="base"),
        pytest.param(
            "overlays/accounts", 0, ["brand-a", "brand-b"], ["brand-a", "brand-b"], id="shard-1"
        ),
        pytest.param("overlays/accounts", 1, ["brand-c"], ["brand-c"], id="shard-2"),
    ],
)
def test_the_exporter_takes_what_it_is_given(
    root: str, place: int, keys: list[str], accounts: list[str], tmp_path: Path
) -> None:
    """With the keys where they are mounted, the configuration is valid and has the accounts."""
    env = mounted(root, place, tmp_path)
    for name in keys:
        (tmp_path / "keys" / name).write_text("a-key\n")
    code, told, problems = exporter("check", env=env)
    assert (0, "") == (code, problems)
    *polled, _ = told.splitlines()
    assert accounts == [line.partition(":")[0] for line in polled]


async def test_probes_and_scrapes_are_answered(tmp_path: Path) -> None:
    """What the kubelet and Prometheus will ask for is there once the servers were seen."""
    env = mounted("base", 0, tmp_path)
    (tmp_path / "keys" / "wlvpn_api_key").write_text("demo-key\n")
    [container] = next(pods("base"))["spec"]["containers"]
    [monitor] = of_kind("ServiceMonitor")
    paths = [container[f"{name}Probe"]["httpGet"]["path"] for name in ("liveness", "readiness")]
    paths += [monitor["spec"]["endpoints"][0]["path"]]
    port = process.free_port()
    async with (
        Simulator(World(servers=20)) as simulator,
        process.exporter(simulator, port, WLVPN_API_KEY="", **env) as running,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        assert running.stderr
        async with asyncio.timeout(20):
            for _ in range(2):
                assert b"first reading" in await running.stderr.readline()
        for path in paths:
            async with session.get(path) as response:
                assert (path, 200) == (path, response.status)


def test_every_dashboard_is_shipped() -> None:
    """Grafana's sidecar finds each one, whole, small enough for `kubectl apply`."""
    found = [m for m in of_kind("ConfigMap") if "grafana_dashboard" in m["metadata"]["labels"]]
    assert {"1"} == {m["metadata"]["labels"]["grafana_dashboard"] for m in found}
    assert {path.name: json.loads(path.read_text()) for path in DASHBOARDS} == {
        name: json.loads(text) for m in found for name, text in m["data"].items()
    }
    for manifest in found:
        assert len(json.dumps(manifest)) < MOST_BYTES


def test_the_rules_are_shipped() -> None:
    """They are those of alerts/rules, as `make docs` writes them for the operator."""
    [found] = of_kind("PrometheusRule")
    assert read(ROOT / "alerts" / "prometheusrule.yaml")["spec"] == found["spec"]


def test_the_example_of_ones_own_renders(tmp_path: Path) -> None:
    """What the page tells to write puts image, namespace and labels in their places."""
    text = PAGE.read_text().partition("kind: Kustomization")
    example = text[0].rpartition("```text\n")[2] + text[1] + text[2].partition("```")[0]
    base = Path("../" * (len(tmp_path.parts) - 1)) / KUBERNETES.relative_to("/") / "base"
    (tmp_path / "kustomization.yaml").write_text(
        example.replace("wlvpn-exporter/deploy/kubernetes/base", str(base))
    )
    found = rendered(tmp_path)
    assert {"wlvpn"} == {manifest["metadata"]["namespace"] for manifest in found}
    assert all(selects({"release": "kube-prometheus-stack"}, manifest) for manifest in found)
    [image] = [
        manifest["spec"]["template"]["spec"]["containers"][0]["image"]
        for manifest in found
        if manifest["kind"] == "Deployment"
    ]
    assert f"registry.example.com/wlvpn-exporter:{__version__}" == image
