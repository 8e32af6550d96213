"""What the documentation says, compared with what there is."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
import yaml

from docs.generate import actions, commands, pages
from exporter import PROGRAM, webconfig
from exporter.collectors import ALL
from exporter.config import load, targets
from exporter.errors import REASONS
from exporter.settings import options
from exporter.source import PREFIX
from exporter.telemetry import METRICS

ROOT = Path(__file__).parents[1]
PROMTOOL = ROOT / ".cache" / "prometheus"
PAGES = sorted(
    page.relative_to(ROOT)
    for page in ROOT.rglob("*.md")
    if not any(part.startswith(".") for part in page.relative_to(ROOT).parts)
)
SUFFIXES = {
    "histogram": ("_bucket", "_count", "_sum"),
    "gaugehistogram": ("_bucket", "_gcount", "_gsum"),
}
METRIC_NAMES = {m.name for collector in ALL for m in collector.metrics()} | {
    metric.name for metric in METRICS
}
KEY_FILE = f"{PREFIX}API_KEY".lower()
MADE_UP = {"wlvpn_servers_listed"}
"""In the example of a rename: tests/test_contract.py tries it."""

each_page = pytest.mark.parametrize("page", PAGES, ids=str)
both_versions = pytest.mark.parametrize("version", ["2", "3"])


def read(page: Path) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", read(page), re.MULTILINE | re.DOTALL)


def code(page: Path) -> Iterator[str]:
    """The lines of shell blocks without comments, and what stands in backticks."""
    text = read(page)
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            yield line.partition("#")[0]
    yield from re.findall(
        r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    )


def flags() -> set[str]:
    return {"--version"} | {
        flag
        for command in commands().values()
        for action in actions(command)
        for flag in action.option_strings
    }


def words_for_us(page: Path) -> Iterator[str]:
    """The words after our program's name, and every flag that stands by itself."""
    for line in code(page):
        words = line.split()
        if PROGRAM in words:
            yield from words[words.index(PROGRAM) + 1 :]
        elif line.startswith("--"):
            yield words[0]


def promtool(version: str, *words: str) -> tuple[int, str]:
    """Its exit code, and what it says."""
    done = subprocess.run(
        [PROMTOOL / version / "usr/bin/promtool", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("path", list(pages()), ids=lambda path: str(path.name))
def test_generated_pages_are_current(path: Path) -> None:
    """What is committed is what the code says; `make docs` mends it."""
    assert pages()[path] == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(METRIC_NAMES))
@pytest.mark.parametrize("page", ["docs/metrics.md", "CHANGELOG.md"])
def test_every_metric_is_told(page: str, name: str) -> None:
    """The reference and the changelog name each metric."""
    assert f"`{name}`" in read(Path(page))


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_is_told(reason: str) -> None:
    """The reference explains each reason once."""
    assert 1 == read(Path("docs/metrics.md")).count(f"\n| `{reason}` |")


@pytest.mark.parametrize("name", [option.name for option in options()])
def test_every_option_is_told(name: str) -> None:
    """The reference has one row for each option."""
    assert 1 == read(Path("docs/configuration.md")).count(f"\n| `{name}` |")


@pytest.mark.parametrize("command", list(commands()))
def test_every_command_is_told(command: str) -> None:
    """The reference has each command, and the changelog names it."""
    assert f"\n| `{command}` |" in read(Path("docs/configuration.md"))
    assert f"`{command}`" in read(Path("CHANGELOG.md"))


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    """Each relative link of a page has a file at its end."""
    links = re.findall(r"\]\(([^)#\s]+)", read(page))
    dead = [
        link
        for link in links
        if "://" not in link and not (ROOT / page.parent / link).resolve().exists()
    ]
    assert [] == dead


@each_page
def test_metrics_exist(page: Path) -> None:
    """Each metric that a page names is in the code."""
    named = set(re.findall(r"\bwlvpn_[a-z_]*[a-z]\b", read(page))) - {KEY_FILE}
    known = METRIC_NAMES | {
        metric.name + suffix
        for metric in (*METRICS, *(m for collector in ALL for m in collector.metrics()))
        for suffix in SUFFIXES.get(metric.kind, ())
    }
    assert set() == named - known - MADE_UP


@each_page
def test_variables_exist(page: Path) -> None:
    """Each environment variable that a page names is an option's."""
    text = read(page).replace("ACCOUNTS__BRAND_A__", "")
    named = set(re.findall(rf"\b{PREFIX}[A-Z_]*[A-Z]\b", text))
    assert set() == named - {option.variable for option in options()}


@each_page
def test_flags_exist(page: Path) -> None:
    """Each flag of ours that a page names is understood."""
    named = {word.partition("=")[0] for word in words_for_us(page) if word.startswith("--")}
    assert set() == named - flags()


@each_page
def test_commands_exist(page: Path) -> None:
    """Each command of ours that a page names is understood."""
    named = {word for word in words_for_us(page) if re.fullmatch("[a-z]+", word)}
    shells = {
        shell for action in actions(commands()["completion"]) for shell in action.choices or ()
    }
    assert set() == named - set(commands()) - shells


@each_page
def test_make_targets_exist(page: Path) -> None:
    """Each `make` target that a page names is in the Makefile."""
    known = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = {
        word
        for line in code(page)
        for program, *words in [line.split() or [""]]
        for word in words
        if program == "make" and "=" not in word
    }
    assert set() == named - set(known)


@pytest.mark.parametrize("target", ["demo", "test"])
@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_the_two_commands_come_first(page: str, target: str) -> None:
    """Whoever opens the project sees how to try it and how to check it."""
    assert f"make {target}" in blocks(Path(page), "sh")[0]


@both_versions
@pytest.mark.parametrize(
    "text",
    [
        pytest.param((ROOT / "docs/prometheus.yml").read_text(), id="docs/prometheus.yml"),
        *(
            pytest.param(text, id=f"{page}:{number}")
            for page in PAGES
            for number, text in enumerate(blocks(page, "yaml"))
            if "scrape_configs" in text
        ),
    ],
)
def test_scrape_examples_are_accepted(version: str, text: str, tmp_path: Path) -> None:
    """Prometheus, old and new, takes the examples as they are."""
    (tmp_path / "prometheus.yml").write_text(text)
    exit_code, told = promtool(version, "check", "config", f"{tmp_path}/prometheus.yml")
    assert (0, True) == (exit_code, "is valid prometheus config file syntax" in told)


@pytest.mark.parametrize(
    ("page", "text", "accounts"),
    [
        pytest.param(page, text, list(yaml.safe_load(text)["accounts"]), id=str(page))
        for page in PAGES
        for text in blocks(page, "yaml")
        if "accounts:" in text
    ],
)
def test_configuration_examples_load(
    page: Path, text: str, accounts: list[str], tmp_path: Path
) -> None:
    """Each example is a configuration that the real loader takes, with all its accounts."""
    for name in accounts:
        (tmp_path / name).write_text("a-key\n")
    file = tmp_path / "wlvpn-exporter.yml"
    file.write_text(text.replace("/run/secrets", str(tmp_path)))
    found = targets(load({"config.file": str(file)}))
    assert accounts == [target.account for target in found], page


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(text, id=f"{page}:{number}")
        for page in PAGES
        for number, text in enumerate(blocks(page, "yaml"))
        if "_server_config:" in text
    ],
)
def test_web_config_examples_load(text: str, tmp_path: Path) -> None:
    """Each example is a web config that is taken, with the certificate that it names."""
    issued = trustme.CA().issue_cert("localhost")
    issued.private_key_pem.write_to_path(tmp_path / "server.key")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "server.crt")
    file = tmp_path / "web.yml"
    file.write_text(text)
    assert () == webconfig.load(file).problems


@pytest.mark.parametrize(
    "text", [text for page in PAGES for text in blocks(page, "yaml") if "modules:" in text]
)
def test_examples_of_modules_are_what_is_shipped(text: str) -> None:
    """The blackbox exporter takes that file, which tests/deploy sees to."""
    assert yaml.safe_load((ROOT / "deploy/blackbox.yml").read_text()) == yaml.safe_load(text)


@each_page
def test_every_yaml_example_is_tried(page: Path) -> None:
    """None is of a kind that no test here knows."""
    known = ("scrape_configs:", "accounts:", "_server_config:", "modules:", "wlvpn-renamed")
    assert [] == [text for text in blocks(page, "yaml") if not any(k in text for k in known)]


@both_versions
def test_queries_parse(version: str, tmp_path: Path) -> None:
    """Each PromQL example of the pages is one that Prometheus understands."""
    queries = [query.strip() for page in PAGES for query in blocks(page, "promql")]
    rules = [{"record": f"a:{number}", "expr": text} for number, text in enumerate(queries)]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "docs", "rules": rules}]}))
    exit_code, told = promtool(version, "check", "rules", str(file))
    assert (0, True) == (exit_code, f"SUCCESS: {len(queries)} rules found" in told)


def promises() -> list[tuple[str, list[str]]]:
    """Each promise of the security page with the tests it names."""
    lines = [line for line in read(Path("docs/security.md")).splitlines() if line.startswith("- ")]
    return [(line.partition("`")[0], re.findall(r"`(tests/\S+)`", line)) for line in lines]


@pytest.mark.parametrize(("promise", "named"), promises(), ids=lambda value: str(value)[:60])
def test_each_promise_of_security_names_its_test(promise: str, named: list[str]) -> None:
    """A sentence without a test is no promise, and a test that is gone keeps none."""
    assert promise.rstrip().endswith(".")
    assert named
    for test in named:
        file, _, name = test.partition("::")
        assert re.search(rf"^(async )?def {name}\(", read(Path(file)), re.MULTILINE), test
