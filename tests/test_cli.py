"""The command line as its users see it: exit codes, what is on stdout, what on stderr."""

import asyncio
import errno
import json
import os
import re
import signal
import socket
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import IO

import aiohttp
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from exporter import __version__
from exporter.cli import main
from exporter.collectors import ALL
from exporter.simulator import Rule, Simulator, World
from exporter.simulator.app import Payload
from exporter.simulator.faults import FAULTS
from tests.process import EXPORTER, spawned, variables

KNOWN = ", ".join([*FAULTS, "any"])
COMMANDS = [
    "serve",
    "demo",
    "simulate",
    "check",
    "once",
    "backfill",
    "healthcheck",
    "completion",
]
SECONDS = 20
"""After which something that was awaited is given up."""

Capture = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch
Variables = Mapping[str, str]

NOT_SAFE = "must be https, or the key could be read on its way; http is for loopback only"
FORMATS = "'text', 'openmetrics', 'table'"
WRITE_ADDRESS = "write host:port such as 0.0.0.0:11940"
CLOCK = "--start or --speed: "
HELP = "see `wlvpn-exporter --help`"
CHECK_HELP = "see `wlvpn-exporter check --help`"
ONCE_HELP = "see `wlvpn-exporter once --help`"


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """A small fleet in the present, where the processes live."""
    async with Simulator(World(servers=120)) as simulator:
        yield simulator


@pytest.fixture
def env(simulator: Simulator) -> Variables:
    """The variables of an exporter that polls the simulator."""
    return variables(simulator.url, 0)


class Running:
    """A command that runs; its output is read line by line."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.seen = {"stdout": "", "stderr": ""}

    async def read_until(self, pattern: str, stream: str = "stderr") -> re.Match[str]:
        """Reads until a line has the pattern."""
        reader: asyncio.StreamReader = getattr(self._process, stream)
        async with asyncio.timeout(SECONDS):
            while line := (await reader.readline()).decode():
                self.seen[stream] += line
                if found := re.search(pattern, line):
                    return found
        raise AssertionError(f"{pattern} is not in {self.seen}")

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def end(self, seconds: float = SECONDS) -> int:
        """Waits for the end; gives the exit code."""
        async with asyncio.timeout(seconds):
            out, err = await self._process.communicate()
        self.seen["stdout"] += (out or b"").decode()
        self.seen["stderr"] += (err or b"").decode()
        assert "Traceback" not in self.seen["stderr"]
        return self._process.returncode or 0


@asynccontextmanager
async def running(
    *words: str, env: Variables | None = None, stdout: int | IO[bytes] = PIPE
) -> AsyncIterator[Running]:
    """Runs a command as its users do."""
    environment = {**os.environ, **(env or {})}
    async with spawned(*EXPORTER, *words, env=environment, stdout=stdout) as process:
        yield Running(process)


async def run(*words: str, env: Variables | None = None) -> tuple[int, str, str]:
    """Runs a command to its end; gives the exit code, stdout and stderr."""
    async with running(*words, env=env) as command:
        return await command.end(), command.seen["stdout"], command.seen["stderr"]


async def fetch(url: str, key: str = "") -> tuple[int, str]:
    headers = {"Authorization": aiohttp.encode_basic_auth("api-key", key)} if key else {}
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
        return response.status, await response.text()


def samples(page: str, name: str) -> dict[str, float]:
    """A metric's values by collector."""
    return {
        sample.labels["collector"]: sample.value
        for family in read_text(page)
        for sample in family.samples
        if sample.name == name
    }


# Wrong usage


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--frob"], "--frob: unknown option: see `wlvpn-exporter serve --help`"),
        (["demo", "--frob=1", "x"], "--frob: unknown option: see `wlvpn-exporter demo --help`"),
        (
            ["--web.listen-adress", "x"],
            "--web.listen-adress: unknown option: did you mean --web.listen-address?",
        ),
        (
            ["--web.listen_address=x"],
            "--web.listen_address: unknown option: did you mean --web.listen-address?",
        ),
        (["--log.lvl", "info"], "--log.lvl: unknown option: did you mean --log.level?"),
        (["check", "--countrys=FR"], "--countrys: unknown option: did you mean --countries?"),
        (["--api-key", "x"], "--api-key: unknown option: did you mean --api-key-file?"),
        (["check", "--log.level"], f"argument --log.level: expected one argument: {CHECK_HELP}"),
        (["check", "now"], f"'now' is not expected here: {CHECK_HELP}"),
        (["chekc"], "chekc: unknown command: did you mean check?"),
        (["sing"], "sing: unknown command: see `wlvpn-exporter --help`"),
        (
            ["once", "--format", "xml"],
            f"argument --format: invalid choice: 'xml' (choose from {FORMATS}): {ONCE_HELP}",
        ),
        (
            ["demo", "--servers", "x"],
            "argument --servers: invalid int value: 'x': see `wlvpn-exporter demo --help`",
        ),
        (["demo", "--servers=-1"], "--servers: servers must be 0 to 50000, got -1"),
        (["demo", "--customers=-1"], "--customers: customers must be 0 to 1000000, got -1"),
        (
            ["simulate", "--fault", "servers:explode"],
            f"--fault: rule 'servers:explode': fault 'explode' is not one of {KNOWN}",
        ),
        (
            ["simulate", "--speed", "-1"],
            "--start or --speed: speed must be a finite number >= 0, got -1.0",
        ),
        (
            ["simulate", "--start", "2026-01-31"],
            f"{CLOCK}the clock needs an instant with a time zone, got 2026-01-31T00:00:00",
        ),
        (
            ["simulate", "--listen-address", "here"],
            "--listen-address: here is not an address: write host:port such as 0.0.0.0:11940",
        ),
        (
            ["--countries", "FRA", "--base-url", "https://x"],
            "countries: FRA is not a country: write two-letter codes such as FR,US",
        ),
        (
            ["check", "--base-url", "http://api.wlvpn.com"],
            f"base_url: {NOT_SAFE}",
        ),
        (
            ["once", "--api-key-file", "missing"],
            "api_key_file: missing cannot be read: No such file or directory",
        ),
        (
            ["healthcheck", "--config.file", "missing"],
            "config.file: missing cannot be read: No such file or directory",
        ),
    ],
)
def test_tells_wrong_usage_in_one_line(
    words: list[str], expected: str, capsys: Capture, monkeypatch: Patch
) -> None:
    """What is wrong is one line on stderr, with the mend; the exit code is 2."""
    if "--api-key-file" not in words:
        monkeypatch.setenv("WLVPN_API_KEY", "the-key")
    code = main(words)
    assert (2, "", f"wlvpn-exporter: {expected}\n") == (code, *capsys.readouterr())


@pytest.mark.parametrize("words", [[""], ["serve", ""], ["check", " "], ["--", ""], ["-"], ["--"]])
def test_odd_words_are_wrong_usage(words: list[str], capsys: Capture) -> None:
    """An empty word, as of an empty shell variable, is wrong usage like any other."""
    code = main(words)
    out, err = capsys.readouterr()
    assert (2, "", 1) == (code, out, len(err.splitlines()))


def test_suggests_only_what_the_command_knows(capsys: Capture) -> None:
    """The demo polls nobody else's API: it does not suggest the flag it refuses."""
    main(["demo", "--base-url", "https://x"])
    assert "did you mean --base-url?" not in capsys.readouterr().err


def test_suggests_flags_of_the_command(capsys: Capture) -> None:
    """A command's own flags are among the nearest as well."""
    main(["check", "--probee"])
    expected = "wlvpn-exporter: --probee: unknown option: did you mean --probe?\n"
    assert expected == capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command(command: str, capsys: Capture) -> None:
    """Each command's help is on stdout and says what it does; the exit code is 0."""
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    out, err = capsys.readouterr()
    assert (0, "", True) == (
        caught.value.code,
        err,
        out.startswith(f"usage: wlvpn-exporter {command}"),
    )


@pytest.mark.parametrize(
    ("command", "expected"),
    [("check", "[options]"), ("completion", "[options] SHELL")],
)
def test_usage_is_one_line(command: str, expected: str, capsys: Capture) -> None:
    """It names what must be given; what may be given stands below, a command's own first."""
    with pytest.raises(SystemExit):
        main([command, "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert [f"usage: wlvpn-exporter {command} {expected}", ""] == lines[:2]


def test_own_flags_come_first(capsys: Capture) -> None:
    """Who asks what a command can do need not search it among the configuration."""
    with pytest.raises(SystemExit):
        main(["check", "--help"])
    out = capsys.readouterr().out
    assert out.index("  --probe ") < out.index("\nconfiguration") < out.index("  --base-url")


@pytest.mark.parametrize("command", [*COMMANDS, ""])
def test_help_fits_a_terminal(command: str, capsys: Capture, monkeypatch: Patch) -> None:
    """No line is longer than 80 characters, but in the simulator's catalogue."""
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main([*command.split(), "--help"])
    out, _, _ = capsys.readouterr().out.partition("\nfaults of")
    assert [] == [line for line in out.splitlines() if len(line) > 80]


def test_help_names_each_command(capsys: Capture) -> None:
    """The help shows the shortest start and all commands."""
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    out, err = capsys.readouterr()
    assert (0, "") == (caught.value.code, err)
    assert "WLVPN_API_KEY=... wlvpn-exporter " in out
    assert COMMANDS == re.findall(r"^    ([a-z]+)(?: +[A-Z].*)?$", out, re.MULTILINE)


def test_version(capsys: Capture) -> None:
    """The version is one line on stdout."""
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert (0, f"wlvpn-exporter {__version__}\n", "") == (caught.value.code, *capsys.readouterr())


async def test_start_without_a_key() -> None:
    """Whoever just starts it learns in one line what is missing."""
    expected = "api_key: no key: set WLVPN_API_KEY or WLVPN_API_KEY_FILE (the demo needs none)"
    assert (2, "", f"wlvpn-exporter: {expected}\n") == await run()


async def test_start_with_everything_wrong(env: Variables) -> None:
    """All that is wrong is told at once, one line each."""
    wrong = {"WLVPN_CONTRIES": "FR", "WLVPN_COUNTRIES": "FRA", "WLVPN_LOG__LEVEL": "loud"}
    code, out, err = await run("--config.file", os.devnull, env={**env, **wrong})
    assert (2, "") == (code, out)
    assert [
        "wlvpn-exporter: WLVPN_CONTRIES: unknown variable: did you mean WLVPN_COUNTRIES?",
        "wlvpn-exporter: countries: FRA is not a country: write two-letter codes such as FR,US",
        "wlvpn-exporter: log.level: Input should be 'debug', 'info', 'warning' or 'error'",
    ] == err.splitlines()


@pytest.fixture
def taken() -> Iterator[str]:
    """An address that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["serve", "--web.listen-address"], "web.listen_address"),
        (["demo", "--servers=5", "--web.listen-address"], "web.listen_address"),
        (["simulate", "--servers=5", "--listen-address"], "--listen-address"),
    ],
    ids=["serve", "demo", "simulate"],
)
def test_taken_port_is_told(
    words: list[str], option: str, taken: str, capsys: Capture, monkeypatch: Patch
) -> None:
    """Who cannot listen says where and why in one line, and exits 2."""
    monkeypatch.setenv("WLVPN_API_KEY", "the-key")
    assert 2 == main([*words, taken])
    out, err = capsys.readouterr()
    [line] = err.splitlines()
    assert ("", True) == (out, line.startswith(f"wlvpn-exporter: {option}: {taken}: "))
    assert os.strerror(errno.EADDRINUSE).lower() in line.lower()


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 64, ".."])
def test_unknown_listen_host_is_told(host: str, capsys: Capture, monkeypatch: Patch) -> None:
    """A host that is none of this machine's is one line, whatever the resolver thinks of it."""
    monkeypatch.setenv("WLVPN_API_KEY", "the-key")
    assert 2 == main(["--web.listen-address", f"{host}:0"])
    out, err = capsys.readouterr()
    [line] = err.splitlines()
    assert ("", True) == (out, line.startswith(f"wlvpn-exporter: web.listen_address: {host}:0: "))


# check


async def polled(capsys: Capture, *words: str) -> tuple[int, str, str]:
    """Runs a command of this process beside the simulator."""
    code = await asyncio.to_thread(main, words)
    return (code, *capsys.readouterr())


@pytest.fixture
def _polls_simulator(env: Variables, monkeypatch: Patch) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("_polls_simulator")
async def test_check_alone_asks_nobody(simulator: Simulator, capsys: Capture) -> None:
    """Without --probe the API is left alone."""
    code, _, _ = await polled(capsys, "check")
    assert (0, []) == (code, list(simulator.requests))


# once


@pytest.mark.usefixtures("_polls_simulator")
@pytest.mark.parametrize("form", ["text", "openmetrics"])
async def test_once_writes_a_page(form: str, capsys: Capture) -> None:
    """The page is on stdout, can be read by Prometheus' own parsers, and tells nothing of us.

    In a textfile collector's page, `process_*` and `python_*` would clash with node_exporter's own.
    """
    code, out, _ = await polled(capsys, "once", "--format", form)
    read = {"text": read_text, "openmetrics": read_openmetrics}[form]
    names = {sample.name for family in read(out) for sample in family.samples}  # type: ignore[no-untyped-call] # the library's omission
    assert 0 == code
    assert {"wlvpn_server_info", "wlvpn_usage_month_end_timestamp_seconds", "wlvpn_up"} <= names
    assert set() == {name for name in names if not name.startswith("wlvpn_")}
    assert (form == "openmetrics") is out.endswith("# EOF\n")


@pytest.mark.usefixtures("_polls_simulator")
async def test_once_writes_what_there_is(simulator: Simulator, capsys: Capture) -> None:
    """If the API fails for one collector, the rest is written; the exit code is 1."""
    simulator.rules = [Rule("usage", "status", 401)]
    code, out, err = await polled(capsys, "once")
    assert (1, {"servers": 1.0, "usage": 0.0}) == (code, samples(out, "wlvpn_up"))
    assert "wlvpn_server_capacity_used_ratio" in out
    assert 'level=warning msg="poll failed" account=default collector=usage' in err


@pytest.mark.usefixtures("_polls_simulator")
async def test_once_logs_json(simulator: Simulator, capsys: Capture) -> None:
    """Every line on stderr is an object, if that is wanted."""
    simulator.rules = [Rule("*", "status", 401)]
    _, _, err = await polled(capsys, "once", "--log.format", "json", "--log.level", "debug")
    told = [json.loads(line)["msg"] for line in err.splitlines()]
    assert ["poll failed", "poll failed", "request done", "request done"] == sorted(told)


@pytest.mark.parametrize("words", [["once"], ["check"], ["--help"], ["--version"]], ids=str)
async def test_reader_may_have_seen_enough(words: Sequence[str], env: Variables) -> None:
    """`once | head -1` ends without a complaint."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        async with running(*words, env=env, stdout=writer) as command:
            assert 0 == await command.end()
            complaints = re.findall("^(?!.*level=info).+$", command.seen["stderr"], re.MULTILINE)
            assert [] == complaints
    finally:
        os.close(writer)


async def test_full_disk_is_told(env: Variables) -> None:
    """A page that cannot be written is told in one line, and is no success."""
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        async with running("once", "--log.level=error", env=env, stdout=full) as command:
            assert 0 != await command.end()
            assert 1 == len(command.seen["stderr"].splitlines())
    finally:
        os.close(full)


@pytest.mark.parametrize("words", [["once"], ["check", "--probe"]], ids=["once", "check"])
async def test_output_is_utf8_wherever_it_runs(
    words: Sequence[str], env: Variables, simulator: Simulator
) -> None:
    """A machine set to ASCII gets the same bytes: Prometheus reads nothing but UTF-8."""

    def rename(endpoint: str, payload: Payload) -> object:
        if endpoint == "servers" and isinstance(payload["server"], dict):
            for server in payload["server"].values():
                server |= {"city": "São Paulo", "São": 1}
        return payload

    simulator.rewrite = rename
    code, out, _ = await run(*words, env={**env, "PYTHONIOENCODING": "ascii"})
    assert (0, True) == (code, "São" in out)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_once_can_be_interrupted(
    number: signal.Signals, env: Variables, simulator: Simulator
) -> None:
    """Ctrl-C while the API hangs ends at once, without a page or a traceback."""
    hanging = hang(simulator)
    async with running("once", env=env) as command:
        await arrive(hanging)
        command.signal(number)
        assert 0 != await command.end(5)
        assert "" == command.seen["stdout"]


# serve


def hang(simulator: Simulator) -> asyncio.Event:
    """Lets every request hang; gives an event that is set when the first has arrived."""
    arrived = asyncio.Event()

    def note(_: str, payload: Payload) -> object:
        arrived.set()
        return payload

    simulator.rewrite = note
    simulator.rules = [Rule("*", "hang")]
    return arrived


async def arrive(event: asyncio.Event) -> None:
    async with asyncio.timeout(SECONDS):
        await event.wait()


async def listening(command: Running) -> str:
    """The base URL of an exporter that has started."""
    found = await command.read_until(r"msg=listening url=(\S+)/metrics$")
    return found[1]


async def test_serve_with_a_wrong_key_goes_on(env: Variables, simulator: Simulator) -> None:
    """A wrong key is no reason to stop: it is told once, in the log and as wlvpn_up 0."""
    simulator.key = "another"
    async with running("serve", env=env) as command:
        url = await listening(command)
        await command.read_until(
            r'level=warning msg="poll failed" .*collector=usage .*"HTTP 401: the API'
        )
        _, page = await fetch(f"{url}/metrics")
        assert {"servers": 0.0, "usage": 0.0} == samples(page, "wlvpn_up")
        assert (200, "healthy\n") == await fetch(f"{url}/-/healthy")
        command.signal(signal.SIGTERM)
        assert 0 == await command.end(5)
        assert "" == command.seen["stdout"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_signal_ends_a_hanging_poll(
    number: signal.Signals, env: Variables, simulator: Simulator
) -> None:
    """An API that hangs does not keep the exporter: it exits 0 within 5 s."""
    hanging = hang(simulator)
    async with running("serve", env=env) as command:
        await listening(command)
        await arrive(hanging)
        command.signal(number)
        assert 0 == await command.end(5)
        assert ["stopping"] == re.findall(r"msg=(\w+)", command.seen["stderr"])[1:]


async def test_second_signal_ends_at_once(env: Variables) -> None:
    """Whoever asks twice does not wait for a scraper that does not read; the exit code is 1."""
    async with (
        Simulator(World(servers=20_000)) as simulator,
        running("serve", env={**env, "WLVPN_BASE_URL": simulator.url}) as command,
    ):
        host, port = (await listening(command)).removeprefix("http://").split(":")
        await command.read_until("first reading.* collector=servers")
        with socket.socket() as scraper:
            scraper.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            scraper.connect((host, int(port)))
            scraper.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"H" == scraper.recv(1)
            command.signal(signal.SIGTERM)
            await command.read_until("msg=stopping")
            command.signal(signal.SIGTERM)
            assert 1 == await command.end(5)


# healthcheck


async def test_healthcheck_of_a_running_exporter(
    env: Variables, capsys: Capture, monkeypatch: Patch
) -> None:
    """An exporter that lives is healthy, whatever its API does."""
    variables = {**env, "WLVPN_BASE_URL": "http://127.0.0.1:9"}
    async with running("serve", env=variables) as command:
        url = await listening(command)
        address = url.removeprefix("http://")
        monkeypatch.setenv("WLVPN_WEB__LISTEN_ADDRESS", f"{address},[::1]:1")
        assert 0 == main(["healthcheck"])
        assert (f"{url}/-/healthy: healthy\n", "") == capsys.readouterr()


def test_healthcheck_of_a_dead_exporter(capsys: Capture) -> None:
    """Where nobody listens there is no answer; the exit code is 1."""
    with socket.socket() as bound:
        # Bound but not listening: nobody else can take the port meanwhile.
        bound.bind(("127.0.0.1", 0))
        url = f"127.0.0.1:{bound.getsockname()[1]}"
        code = main(["healthcheck", "--web.listen-address", url])
    expected = f"http://{url}/-/healthy: no answer: ConnectionRefusedError\n"
    assert (1, expected, "") == (code, *capsys.readouterr())


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("HTTP/1.0 503 Stopped\r\n\r\nthe scheduler has stopped\n", "the scheduler has stopped"),
        ("HTTP/1.0 404 Not Found\r\n\r\n", ""),
        ("SSH-2.0-OpenSSH\r\n", "no answer: BadStatusLine"),
        ("", "no answer: RemoteDisconnected"),
    ],
    ids=["unhealthy", "not found", "not HTTP", "nothing"],
)
async def test_healthcheck_of_an_unhealthy_listener(
    answer: str, expected: str, capsys: Capture
) -> None:
    """Only a 200 is health; everything else is told, and the exit code is 1."""

    async def tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer.encode())
        writer.close()

    async with await asyncio.start_server(tell, "127.0.0.1", 0) as server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        code, out, err = await polled(capsys, "healthcheck", "--web.listen-address", address)
    assert (1, f"http://{address}/-/healthy: {expected}\n", "") == (code, out, err)


def test_healthcheck_of_an_impossible_host(capsys: Capture) -> None:
    """A host that cannot even be looked up is no answer, not a crash."""
    code = main(["healthcheck", "--web.listen-address", "..:80"])
    out, err = capsys.readouterr()
    assert (1, "") == (code, err)
    assert out.startswith("http://..:80/-/healthy: no answer: ")


# simulate and demo


async def test_simulate_speaks_the_api() -> None:
    """The simulator alone prints how to poll it, and is what its flags say."""
    words = ["simulate", "--servers=7", "--key=word", "--listen-address=127.0.0.1:0"]
    words += ["--start=2026-01-31T23:50Z", "--speed=0", "--fault=servers:status=503:count=1"]
    async with running(*words) as command:
        found = await command.read_until(
            r"^  WLVPN_BASE_URL=(\S+) WLVPN_API_KEY=word wlvpn-exporter$", "stdout"
        )
        status, _ = await fetch(f"{found[1]}/v2/servers", key="word")
        _, text = await fetch(f"{found[1]}/v2/servers", key="word")
        usage = f"{found[1]}/v2/metrics/usage/pop_and_country/"
        january = await fetch(f"{usage}?start_date=2026-01-01&end_date=2026-01-31", key="word")
        assert (503, 7, 200) == (status, len(json.loads(text)["server"]), january[0])
        command.signal(signal.SIGTERM)
        assert 0 == await command.end(5)
        assert "" == command.seen["stderr"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_demo_shows_a_fleet(number: signal.Signals) -> None:
    """The demo needs no key, shows everything, tells where to look, and stops when told."""
    names = sorted(kind.name for kind in ALL)
    async with running("demo", "--servers=50", "--web.listen-address=127.0.0.1:0") as command:
        metrics = await command.read_until(r"^  metrics    (http://\S+/metrics)$", "stdout")
        status = await command.read_until(r"^  status     (http://\S+/)$", "stdout")
        await command.read_until("^Stop with Ctrl-C", "stdout")
        for _ in names:
            await command.read_until('msg="first reading" account=default ')
        _, page = await fetch(metrics[1])
        capacity = [line for line in page.splitlines() if line.startswith("wlvpn_server_info{")]
        assert (50, dict.fromkeys(names, 1.0)) == (len(capacity), samples(page, "wlvpn_up"))
        assert 200 == (await fetch(status[1]))[0]
        command.signal(number)
        assert 0 == await command.end(5)


async def test_demo_leaves_off_what_was_turned_off() -> None:
    """Its wish to show everything gives way to ours."""
    words = ["--servers=5", "--collectors.plans.enabled=false", "--log.level=debug"]
    async with running("demo", *words, "--web.listen-address=127.0.0.1:0") as command:
        found = await command.read_until(r"^  metrics    (http://\S+/metrics)$", "stdout")
        _, page = await fetch(found[1])
    assert {kind.name for kind in ALL} - {"plans"} == samples(page, "wlvpn_polls_total").keys()


@pytest.mark.parametrize("prefix", ["WLVPN_", "WLVPN_ACCOUNTS__REAL__"], ids=["key", "account"])
async def test_demo_polls_nobody_else(prefix: str, env: Variables, simulator: Simulator) -> None:
    """The demo leaves alone the API whose key happens to be configured."""
    real = {f"{prefix}API_KEY": "demo-key", f"{prefix}BASE_URL": simulator.url}
    address = {"WLVPN_WEB__LISTEN_ADDRESS": env["WLVPN_WEB__LISTEN_ADDRESS"]}
    async with running("demo", "--servers=5", env=real | address) as command:
        found = await command.read_until(r"^  metrics    (http://\S+/metrics)$", "stdout")
        for _ in ALL:
            await command.read_until('msg="first reading" account=default ')
        _, page = await fetch(found[1])
    assert {"default"} == set(re.findall('account="(.*?)"', page))
    assert [] == list(simulator.requests)
