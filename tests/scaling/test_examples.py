"""The files of deploy/scaling and what docs/scaling.md says of them, without running anything."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.alerts.catalogue import ALERTS, BINARIES
from tests.scaling.example import ALONE, FILES, PAGE, blocks

PROMETHEUS = ["federation.yml", "prometheus-agent.yml", "prometheus-replica.yml"]
VMAGENT = ["vmagent.yml"]


def done(*words: str) -> tuple[int, str]:
    """Its exit code, and what it says."""
    run = subprocess.run(words, capture_output=True, text=True, check=False)
    return run.returncode, run.stdout + run.stderr


@pytest.mark.parametrize("version", ["2", "3"])
@pytest.mark.parametrize("name", PROMETHEUS)
def test_prometheus_takes_the_files(name: str, version: str) -> None:
    """Old and new take each file as it is, an agent that of the agent."""
    program = f"{BINARIES}/{version}/usr/bin/promtool"
    mode = ["--agent"] if "agent" in name else []
    exit_code, told = done(program, "check", "config", "--syntax-only", *mode, f"{FILES}/{name}")
    assert 0 == exit_code, told


@pytest.mark.parametrize("name", VMAGENT)
def test_vmagent_takes_the_files(name: str) -> None:
    """It knows each field: an unknown one would be an error."""
    flags = (f"-promscrape.config={FILES}/{name}", "-dryRun", "-remoteWrite.url=http://localhost/")
    exit_code, told = done(f"{BINARIES}/3/usr/bin/vmagent", *flags)
    assert 0 == exit_code, told


def test_vmalert_takes_the_rules() -> None:
    """The files are those of Prometheus, unchanged."""
    exit_code, told = done(
        f"{BINARIES}/3/usr/bin/vmalert", f"-rule={ALERTS}/rules/*.yaml", "-dryRun"
    )
    assert 0 == exit_code, told


def test_no_file_is_left_out() -> None:
    """Each is checked here, and the page leads to it."""
    found = {path.name for path in FILES.iterdir()}
    assert {*PROMETHEUS, *VMAGENT} == found
    assert found == set(re.findall(r"\(\.\./deploy/scaling/([\w.-]+)\)", PAGE.read_text()))


@pytest.mark.parametrize("excerpt", blocks("text"))
def test_an_excerpt_of_the_page_stands_in_a_file(excerpt: str) -> None:
    """What is shown is what was tested, to the letter."""
    assert any(excerpt in path.read_text() for path in FILES.iterdir())


@pytest.mark.parametrize("name", ["prometheus-agent.yml", "prometheus-replica.yml", "vmagent.yml"])
def test_everybody_scrapes_alike(name: str) -> None:
    """Job, interval and deadline are those of one Prometheus: two scrapers have to agree."""
    assert scrapes(ALONE) == scrapes(FILES / name)


def scrapes(path: Path) -> list[dict[str, object]]:
    """What a file scrapes, but for where."""
    jobs = yaml.safe_load(path.read_text())["scrape_configs"]
    return [{key: job[key] for key in job if key != "static_configs"} for job in jobs]


def test_the_store_keeps_one_sample_of_each_scrape() -> None:
    """Deduplication counts in the interval of the scrapes."""
    [job] = scrapes(ALONE)
    [interval] = re.findall(r"-dedup\.minScrapeInterval=(\w+)", "".join(blocks("sh")))
    assert job["scrape_interval"] == interval


def test_the_page_names_every_group_of_rules() -> None:
    """Whoever runs vmalert is told of all of them, and of no other."""
    groups = {
        group["name"]
        for path in (ALERTS / "rules").glob("*.yaml")
        for group in yaml.safe_load(path.read_text())["groups"]
    }
    assert groups == set(re.findall(r"`(wlvpn-(?!exporter|federation)[a-z]+)`", PAGE.read_text()))
