"""What is read of Python's own account of imports."""

from benchmarks.result import Import
from benchmarks.start import dearest, own_ms

TOLD = """\
import time: self [us] | cumulative | imported package
import time:       100 |        100 |   zipimport
import time:      1500 |       2500 |     aiohttp.client
import time:      2000 |       4500 |   aiohttp
a warning of somebody
import time:       250 |       4750 | exporter.cli
"""


def test_each_package_has_what_its_own_modules_took() -> None:
    """What a module imports is not its own, and submodules belong to their package."""
    assert {"zipimport": 0.1, "aiohttp": 3.5, "exporter": 0.25} == own_ms(TOLD)


def test_the_dearest_come_first_by_their_medians() -> None:
    """One slow round changes nothing, and there are ten at the most."""
    rounds = [
        {f"package{number:02}": float(number) for number in range(20)} | {"slow": slow}
        for slow in (0.5, 99.0, 0.5)
    ]
    expected = tuple(
        Import(package=f"package{number:02}", own_ms=number) for number in range(19, 9, -1)
    )
    assert expected == dearest(rounds)
