"""Grafana finds the data and the dashboards."""

from pathlib import Path

from tests.deploy.shipped import DEPLOY, ROOT, read

PROVISIONING = ROOT / "grafana" / "provisioning"
COMPOSE = read(DEPLOY / "compose.yaml")["services"]
[SOURCE] = read(PROVISIONING / "datasources" / "prometheus.yaml")["datasources"]
[PROVIDER] = read(PROVISIONING / "dashboards" / "wlvpn.yaml")["providers"]


def test_the_data_source_is_the_stacks_prometheus() -> None:
    """Its address is the service's name and the port on which Prometheus listens."""
    [port] = COMPOSE["prometheus"]["ports"]
    assert f"http://prometheus:{port.rpartition(':')[2]}" == SOURCE["url"]
    assert ("prometheus", True) == (SOURCE["uid"], SOURCE["isDefault"])


def test_the_data_source_knows_the_scrape_interval() -> None:
    """A shorter one would leave rates without the samples they need."""
    scraped = read(DEPLOY / "prometheus.yml")["global"]["scrape_interval"]
    assert scraped == SOURCE["jsonData"]["timeInterval"]


def test_dashboards_are_read_from_where_they_are_mounted() -> None:
    """So is the one that opens first."""
    mounted = {
        Path(volume["target"]): DEPLOY / volume["source"]
        for volume in COMPOSE["grafana"]["volumes"]
        if volume["type"] == "bind"
    }
    path = Path(PROVIDER["options"]["path"])
    assert ROOT / "grafana" / "dashboards" == mounted[path].resolve()
    home = Path(
        COMPOSE["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    ).relative_to(path)
    assert (mounted[path] / home).is_file()


def test_dashboards_are_not_changed_by_hand() -> None:
    """What was saved in the browser would be lost with the next file."""
    assert ("WLVPN", False) == (PROVIDER["folder"], PROVIDER["allowUiUpdates"])
