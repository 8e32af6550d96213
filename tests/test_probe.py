"""`check --probe`: what each endpoint lets the key read, and what to do where it does not."""

import asyncio
import re
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from exporter.cli import main
from exporter.collectors import ALL
from exporter.column import width
from exporter.config import load
from exporter.errors import REASONS, ConfigError
from exporter.mend import MENDS
from exporter.probe import SHOWN_FIELDS, Probe
from exporter.service import Service
from exporter.settings import Settings
from exporter.simulator import Rule, Simulator, World
from exporter.simulator.app import Payload
from tests.conftest import Configure
from tests.faults import CASES, HOST, Case, Nameserver, Trial, certificates
from tests.manual_clock import ManualClock
from tests.process import EXPORTER, spawned, variables
from tests.stage import CANARY, COLLECTORS, forms, staged
from tests.virtual_loop import VirtualClock, run

GOLDEN = Path(__file__).parent / "golden" / "probe.txt"
ACCOUNTS = """
api_key: {key}
base_url: {url}
accounts:
  brand-a:
    api_key: {key}
  a-brand-with-a-name-that-is-as-long-as-a-name-may-be-and-no-more:
    api_key: not-the-key
    collectors: {{usage: {{enabled: false}}}}
"""

Capture = pytest.CaptureFixture[str]


async def probed(settings: Settings, clock: ManualClock) -> tuple[bool, list[str]]:
    """Whether all was permitted, and what was said."""
    said: list[str] = []
    permitted = await Probe(Service(settings, clock=clock)).tell(said.append)
    return permitted, said


def words(lines: list[str]) -> list[list[str]]:
    """The rows of the table, by their cells."""
    rows = [re.split(r" {2,}", text.strip()) for text in lines if re.match("  [a-z]", text)]
    return [row for row in rows if len(row) == 6]


# Every fault of the catalogue


def verdict(outcome: str) -> str:
    """What is said of an outcome."""
    if outcome in {"accepted", "rejected", "held"}:
        return "permitted"
    refused = {"unauthorized", "forbidden", "api_error"}
    return f"{'refused' if outcome in refused else 'failed'}: {outcome}"


def probe_in(case: Case) -> tuple[bool, list[str]]:
    """Probes an API that goes wrong, in virtual time."""
    said: list[str] = []
    permitted: list[bool] = []

    async def scenario(clock: VirtualClock) -> None:
        async with AsyncExitStack() as exits:
            options: dict[str, str] = {}
            contexts = nameserver = None
            if case.kind != "plain":
                nameserver = Nameserver()
                file, contexts = certificates(Path(exits.enter_context(TemporaryDirectory())))
                options["ca_file"] = str(file)
            host = HOST if nameserver else ""
            stage, service = await exits.enter_async_context(
                staged(clock, tls=contexts, resolver=nameserver, host=host, options=options)
            )
            clock.patience = 0.002
            Trial(case, stage, nameserver).begin(9)
            permitted.append(await Probe(service).tell(said.append))
            assert [] == [form for form in forms(CANARY) if form in "\n".join(said)]

    run(scenario)
    return permitted[0], said


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_fault_is_told(case: Case) -> None:
    """Whatever goes wrong is named by its reason, with its mend, after one request each."""
    permitted, said = probe_in(case)
    expected = [verdict(case.expected(name)) for name in COLLECTORS]
    rows = words(said)
    assert expected == [row[1] for row in rows]
    assert (expected == ["permitted"] * 2) is permitted
    text = " ".join(" ".join(said).split())
    for name in COLLECTORS:
        mend = MENDS.get(case.expected(name), "")
        assert mend.partition("{")[0] in text
    most = {"servers": 1, "usage": 2}
    assert [] == [row for row in rows if int(row[3]) > most[row[0]]]
    assert [] == [line for line in said if width(line) > 80]


def test_each_reason_can_be_told() -> None:
    """The faults above bring every reason there is."""
    assert set(REASONS) <= {case.expected(name) for case in CASES for name in COLLECTORS}


def test_the_slowest_request_is_told() -> None:
    """Of two requests the one that took long is told, and both are in the whole."""
    _, said = probe_in(Case("one is late", ("usage:latency=2:count=1",), "accepted"))
    [_, (*_, slowest, total)] = words(said)
    assert (True, True) == (slowest.startswith("2."), float(slowest[:-2]) <= float(total[:-2]))


def test_a_refusal_names_what_to_ask_for() -> None:
    """The path that is not permitted is known, and so is the option to live without it."""
    _, said = probe_in(Case("403", ("usage:status=403",), "accepted", "forbidden"))
    at = said.index("    HTTP 403: the key may not read this.")
    assert [
        "    Ask WLVPN to let this key read /v2/metrics/usage/pop_and_country/, or set",
        "    collectors.usage.enabled=false.",
    ] == said[at + 1 : at + 3]


# What is said


async def test_a_probe_reads_well(simulator: Simulator, clock: ManualClock, tmp_path: Path) -> None:
    """Several accounts, one of them refused, unknown fields and a bad record: the golden text."""
    (tmp_path / "accounts.yml").write_text(ACCOUNTS.format(key="demo-key", url=simulator.url))
    simulator.rewrite = add_fields
    simulator.rules = [Rule("usage", "status", 429, count=1, retry_after="120")]
    permitted, said = await probed(load({"config.file": str(tmp_path / "accounts.yml")}), clock)
    told = [line for line in said if not line.startswith("  Off, ")]
    assert GOLDEN.read_text(encoding="utf-8").splitlines() == told
    assert not permitted


def add_fields(endpoint: str, payload: Payload) -> object:
    """Gives each server members that the documentation does not know, and one a bad value."""
    if endpoint == "servers" and isinstance(payload["server"], dict):
        for server in payload["server"].values():
            server |= {"städte": 1, "load\x1b[31m": 2, "\u05d0": 3}
        payload["server"]["par-z99.wlvpn.com"] = {"capacity": 101}
    return payload


async def test_requests_are_counted_as_they_were_made(
    simulator: Simulator, configure: Configure, clock: ManualClock
) -> None:
    """The usage of two months is two requests; who fails at the second has made two."""
    _, said = await probed(configure(), clock)
    assert [["servers", "1"], ["usage", "2"]] == [[row[0], row[3]] for row in words(said)]
    assert 3 == len(simulator.requests)
    simulator.requests.clear()
    asked: list[str] = []

    def forget(endpoint: str, payload: Payload) -> object:
        asked.append(endpoint)
        return {"data": 7} if asked.count("usage") == 2 else payload

    simulator.rewrite = forget
    _, said = await probed(configure(), clock)
    assert ["usage", "failed: schema", "-", "2"] == words(said)[1][:4]


async def test_what_the_api_does_not_want_to_hear_is_not_asked(
    simulator: Simulator, configure: Configure, clock: ManualClock
) -> None:
    """An account that is told to wait asks nothing more, and says so."""
    simulator.rules = [Rule("servers", "status", 429, retry_after="300")]
    _, said = await probed(configure(), clock)
    assert ["usage", "failed: rate_limited", "-", "0", "-"] == words(said)[1][:5]
    assert "    HTTP 429 before, to be asked again in 5m." in said
    assert 1 == len(simulator.requests)


async def test_what_is_off_is_named_and_not_asked(
    simulator: Simulator, configure: Configure, clock: ManualClock
) -> None:
    """Only what is enabled costs a request."""
    off = {f"collectors__{kind.name}__enabled": "false" for kind in ALL if kind.name != "servers"}
    permitted, said = await probed(configure(**off), clock)
    names = ", ".join(kind.name for kind in ALL if kind.name != "servers")
    assert f"  Off, so not asked for: {names}." in said
    assert ["/v2/servers"] == [request.path for request in simulator.requests]
    assert ("1 of 1 permitted.", True) == (said[-1], permitted)


async def test_a_probe_of_nothing_is_refused(
    simulator: Simulator, configure: Configure, clock: ManualClock
) -> None:
    """Where all is off nothing was permitted, and who asks has to turn something on."""
    off = {f"collectors__{kind.name}__enabled": "false" for kind in ALL}
    with pytest.raises(ConfigError) as caught:
        await probed(configure(**off), clock)
    expected = "--probe: every collector is off: write enabled: true for one of them"
    assert ((expected,), 0) == (caught.value.problems, len(simulator.requests))


async def test_many_unknown_fields_are_counted(
    simulator: Simulator, configure: Configure, clock: ManualClock
) -> None:
    """An answer that is full of them does not fill the terminal."""

    def fill(endpoint: str, payload: Payload) -> object:
        if endpoint == "servers" and isinstance(payload["server"], dict):
            for server in payload["server"].values():
                server |= {f"field-{n:03}": 1 for n in range(SHOWN_FIELDS + 300)}
        return payload

    simulator.rewrite = fill
    _, said = await probed(configure(), clock)
    text = " ".join(said)
    assert ("field-019" in text, "field-020" in text) == (True, False)
    assert "and 300 more." in text


def test_the_certificate_is_told() -> None:
    """Over TLS its end is known, and how far away that is."""
    _, said = probe_in(Case("TLS", (), "accepted", kind="tls"))
    [line] = [line for line in said if "certificate" in line]
    assert re.fullmatch(r"  The API's certificate ends on \d{4}-\d\d-\d\d, in \d+ days\.", line)


# The command


@pytest.fixture
async def present() -> AsyncIterator[Simulator]:
    """A small fleet in the present, where commands live."""
    async with Simulator(World(servers=120)) as simulator:
        yield simulator


@pytest.mark.parametrize(("status", "code"), [("", 0), ("403", 1)], ids=["permitted", "refused"])
async def test_the_exit_code_says_whether_all_is_permitted(
    status: str,
    code: int,
    present: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    """0 where every endpoint may be read, 1 where one may not; all of it is on stdout."""
    for name, value in variables(present.url, 0).items():
        monkeypatch.setenv(name, value)
    present.rules = [Rule("usage", "status", status)] if status else []
    assert code == await asyncio.to_thread(main, ["check", "--probe"])
    out, err = capsys.readouterr()
    assert ("", f"{2 - code} of 2 permitted.") == (err, out.splitlines()[-1])


async def test_a_probe_can_be_interrupted(present: Simulator) -> None:
    """Ctrl-C while the API hangs ends at once; what was found by then has been said."""
    present.rules = [Rule("usage", "hang")]
    async with spawned(*EXPORTER, "check", "--probe", env={**variables(present.url, 0)}) as process:
        assert process.stdout
        async with asyncio.timeout(20):
            while b"  servers  " not in (line := await process.stdout.readline()):
                assert line
        process.send_signal(signal.SIGINT)
        out, err = await asyncio.wait_for(process.communicate(), 5)
    assert (130, b"", b"") == (process.returncode, out, err)
