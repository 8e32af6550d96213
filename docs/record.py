"""Records docs/terminal.svg: the demo in one terminal, and commands that ask it in another.

`python -m docs.record` runs the real commands and draws what they said. To show another command,
add a line to COMMANDS. A test runs them again and compares, numbers aside.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path

from docs.terminal import Screen, draw

PICTURE = Path(__file__).parent / "terminal.svg"

COMMANDS = (
    "curl -s localhost:11940/metrics | grep used_ratio | grep -m 4 par- | cut -d, -f 2-",
    "export WLVPN_BASE_URL=http://127.0.0.1:11941 WLVPN_API_KEY=demo-key",
    "wlvpn-exporter check --probe",
    "wlvpn-exporter healthcheck",
)
"""What is typed. The ports are stand-ins, free ones are used; an export holds from there on."""

_EXPORTER, _SIMULATOR = "11940", "11941"
_WAIT_SECONDS = 30


def recorded() -> list[Screen]:
    """Runs everything once; gives the two terminals.

    Raises:
        RuntimeError: a command failed, or the demo did not start or end well.
    """
    with _demo() as (process, said):
        ports = _ports(_read(said))
        names = {ports[0]: _EXPORTER, ports[-1]: _SIMULATOR}
        talk = [(command, _renamed(told, names)) for command, told in _asked(names)]
        process.send_signal(signal.SIGINT)
        if process.wait(_WAIT_SECONDS):
            raise RuntimeError(f"the demo ended with {process.returncode}")
        whole = _renamed(said.read_text(encoding="utf-8"), names)
    return [Screen([("make demo", whole), ("^C", "")]), Screen(talk)]


@contextmanager
def _demo() -> Iterator[tuple["subprocess.Popen[bytes]", Path]]:
    """The demo, and the file with all it says."""
    words = [sys.executable, "-m", "exporter", "demo", "--web.listen-address=127.0.0.1:0"]
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder) / "said"
        with said.open("wb") as file:
            process = subprocess.Popen(
                words, env=_environment(), stdout=file, stderr=subprocess.STDOUT
            )
        try:
            yield process, said
        finally:
            process.kill()
            process.wait()


def _read(said: Path) -> str:
    """What the demo says until it is ready: each collector has been polled, and told so."""
    end = time.monotonic() + _WAIT_SECONDS
    text = ""
    while time.monotonic() < end:
        text = said.read_text(encoding="utf-8")
        if "Stop with Ctrl-C." in text and _is_ready(_ports(text)[0]):
            return text
        time.sleep(0.05)
    raise RuntimeError(f"the demo did not start: {text}")


def _ports(text: str) -> list[str]:
    return re.findall(r"http://127\.0\.0\.1:(\d+)", text)


def _is_ready(port: str) -> bool:
    connection = HTTPConnection("127.0.0.1", int(port), timeout=_WAIT_SECONDS)
    connection.request("GET", "/-/ready")
    with closing(connection):
        return connection.getresponse().status == HTTPStatus.OK


def _asked(names: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Each command as it is shown, and what it said."""
    ports = {shown: real for real, shown in names.items()}
    env = {
        **_environment(),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        # Where healthcheck asks: a free port instead of the default one.
        "WLVPN_WEB__LISTEN_ADDRESS": f"127.0.0.1:{ports[_EXPORTER]}",
    }
    exports = ""
    for command in COMMANDS:
        line = _renamed(command, ports)
        words = ["/bin/sh", "-c", exports + line]
        if line.startswith("export "):
            exports += f"{line}\n"
        done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{command}: {done.stdout}{done.stderr}")
        yield command, done.stdout + done.stderr


def _environment() -> dict[str, str]:
    """Ours, without what would configure an exporter."""
    return {name: value for name, value in os.environ.items() if not name.startswith("WLVPN_")}


def _renamed(text: str, names: dict[str, str]) -> str:
    """Puts other ports into a text."""
    for old, new in names.items():
        text = re.sub(rf":{old}\b", f":{new}", text)
    return text


if __name__ == "__main__":
    PICTURE.write_text(draw(recorded()), encoding="utf-8")
