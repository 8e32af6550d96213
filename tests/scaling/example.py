"""The example of docs/scaling.md as it is run here: its files and its command lines, word for word.

Only addresses, folders and times are replaced, and each that is to be replaced has to be there.
"""

import re
import shlex
from collections.abc import Mapping

from tests.alerts.catalogue import ROOT

FILES = ROOT / "deploy" / "scaling"
PAGE = ROOT / "docs" / "scaling.md"
ALONE = ROOT / "docs" / "prometheus.yml"
"""How one Prometheus by itself is configured."""

FASTER = 60
"""By how much all times are shorter: a minute's rules are evaluated each second."""

_MILLISECONDS = {"s": 1_000, "m": 60_000}
_TIME = re.compile(r"((?:scrape_interval|scrape_timeout|minScrapeInterval)(?:: |=))(\d+)([sm])\b")


def blocks(language: str) -> list[str]:
    """The fenced blocks of the page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def command(start: str) -> str:
    """The one command line of the page that starts with these words.

    Raises:
        ValueError: there is none, or more than one.
    """
    lines = "".join(blocks("sh")).replace("\\\n", " ").splitlines()
    [found] = [line for line in lines if line.startswith(start)]
    return found


def words(start: str, replace: Mapping[str, str]) -> list[str]:
    """A command line of the page, faster and with other addresses, without the program's name."""
    return shlex.split(adapted(command(start), replace))[1:]


def adapted(text: str, replace: Mapping[str, str]) -> str:
    """Replaces addresses and folders, and shortens the times of scrapes.

    Raises:
        ValueError: something that is to be replaced is not there.
    """
    for old, new in replace.items():
        if old not in text:
            raise ValueError(f"{old} is not in the example")
        text = text.replace(old, new)
    return _TIME.sub(lambda found: f"{found[1]}{_sooner(found[2], found[3])}", text)


def _sooner(number: str, unit: str) -> str:
    return f"{int(number) * _MILLISECONDS[unit] // FASTER}ms"
