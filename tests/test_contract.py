"""The public names, and what docs/stability.md promises about a rename."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from docs import contract

PAGE = contract.ROOT / "docs" / "stability.md"
PROMTOOL = contract.ROOT / ".cache" / "prometheus"
OLD, NEW = "wlvpn_servers", "wlvpn_servers_listed"

both_versions = pytest.mark.parametrize("version", ["2", "3"])


def test_nothing_promised_is_gone() -> None:
    """A public name that is renamed or removed stops here, and not at a user's dashboard."""
    gone = sorted(contract.promised() - contract.names())
    assert [] == gone, "promised: read docs/stability.md, then take the line out of contract.txt"


def test_a_name_that_is_gone_stays_in_the_list() -> None:
    """Writing the list anew forgets nothing: a line leaves it by hand alone."""
    gone = "metric wlvpn_gone gauge account"
    assert gone in contract.text({gone}).splitlines()


@pytest.mark.parametrize("path", ["/", "/-/healthy", "/-/ready"])
def test_paths_are_in_the_list(path: str) -> None:
    """What is served is found in the source."""
    assert f"path {path}" in contract.names()


def example() -> str:
    """The two rules of the page."""
    blocks = re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert 1 == len(blocks)
    return str(blocks[0])


def ends_at_minute_20(name: str, *, value: int, instance: str) -> dict[str, str]:
    """A series that the exporter shows for twenty minutes."""
    series = f'{name}{{account="a", country="FR", instance="{instance}"}}'
    return {"series": series, "values": f"{value}x20 _x20"}


def shown(name: str, minute: int, *values: int) -> dict[str, Any]:
    """What both names together say of a minute, whoever said it."""
    samples = [
        {"labels": f'{{account="a", country="FR", instance="{number}"}}', "value": value}
        for number, value in enumerate(values, 1)
    ]
    expr = f"max by (account, country, instance) ({name})"
    return {"eval_time": f"{minute}m", "expr": expr, "exp_samples": samples}


STAGES = {
    "only the old exporter": [(OLD, 7)],
    "only the new exporter": [(NEW, 7)],
    "a pair, one of them old": [(OLD, 7), (NEW, 7)],
}


@both_versions
@pytest.mark.parametrize("shows", STAGES.values(), ids=list(STAGES))
def test_a_rename_is_bridged_both_ways(
    version: str, shows: list[tuple[str, int]], tmp_path: Path
) -> None:
    """Both names show what the exporter shows by one, and both end when it does."""
    (tmp_path / "rules.yaml").write_text(example())
    series = [
        ends_at_minute_20(name, value=value, instance=str(number))
        for number, (name, value) in enumerate(shows, 1)
    ]
    values = [value for _, value in shows]
    checks = [shown(name, 10, *values) for name in (OLD, NEW)]
    checks += [shown(name, 35) for name in (OLD, NEW)]
    trial = {"interval": "1m", "input_series": series, "promql_expr_test": checks}
    test = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [trial]}
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(test))
    command = [f"{PROMTOOL}/{version}/usr/bin/promtool", "test", "rules", f"{tmp_path}/test.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr
