"""The commands that show faults: `demo --faults` and the help of `simulate`."""

import asyncio
import re
import sys

import pytest

from exporter.cli import main
from exporter.simulator.faults import FAULTS, LINE_FAULTS
from tests.process import running


@pytest.mark.parametrize(
    ("flags", "expected"),
    [([], False), (["--faults"], True)],
    ids=["honest", "with faults"],
)
async def test_the_demo_tells_of_its_faults(flags: list[str], *, expected: bool) -> None:
    """Only a demo with faults says that answers go wrong."""
    words = ["demo", "--servers=5", "--web.listen-address=127.0.0.1:0", *flags]
    async with running(sys.executable, "-m", "exporter", *words) as process:
        assert process.stdout
        async with asyncio.timeout(20):
            told = await process.stdout.readuntil(b"Stop with Ctrl-C.")
    line = "  faults     one answer in five goes wrong, each time in another way\n"
    assert expected == (line in told.decode())


@pytest.mark.parametrize("name", [*FAULTS, *LINE_FAULTS])
def test_the_help_lists_each_fault(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Who writes rules finds all faults in the help, with how to write them."""
    with pytest.raises(SystemExit):
        main(["simulate", "--help"])
    told = capsys.readouterr().out
    assert "ENDPOINT:FAULT[=VALUE][:count=N][:probability=P][:retry_after=TEXT]" in told
    assert re.search(rf"^  {name}(=\S+)?  +[A-Z].*\.$", told, re.MULTILINE)
