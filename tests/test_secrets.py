"""Keys and passwords: wherever one can stand, no output tells it."""

import asyncio
import base64
import re
import ssl
from pathlib import Path
from urllib.parse import quote

import pytest
import trustme

from exporter.cli import main
from exporter.config import load, targets
from exporter.errors import ConfigError, UnauthorizedError
from exporter.events import Accepted
from exporter.key import Key
from exporter.service import Service
from exporter.settings import options
from exporter.simulator import Rule, Simulator
from tests.manual_clock import ManualClock
from tests.stage import forms

CANARY = "SEKRET-canary/+=4711"
ILL_FORMED = "SEKRET-canary/+= 4711"

Capture = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch

both = pytest.mark.parametrize("key", [CANARY, ILL_FORMED], ids=["well-formed", "ill-formed"])
like_a_path = pytest.mark.parametrize(
    "key", [f"/{CANARY}", f"{CANARY}/4711-abcdef", "SEKRET-canary.4711.abcdef"]
)


def told(key: str, *texts: str) -> list[str]:
    """The forms of the key that are found in the texts."""
    parts = [part for part in re.split(r"[/+= ]+", key) if len(part) > 4]
    return [form for form in (*forms(key), *parts) for text in texts if form in text]


def test_forms_are_found() -> None:
    """The search itself works: each form is found within other text."""
    assert [[form] for form in forms(ILL_FORMED)] == [
        [found for found in told(ILL_FORMED, f"<{form}>") if found == form]
        for form in forms(ILL_FORMED)
    ]


# Wrong configuration: each place, with wrong options beside it


def refused(capsys: Capture, *words: str) -> str:
    """What `check` says of a wrong configuration."""
    code = main([*words, "--log.level", "loud", "--countries", "FRA"])
    out, err = capsys.readouterr()
    assert (2, "") == (code, out)
    assert "Traceback" not in err
    return err


@both
@pytest.mark.parametrize(
    "name",
    [
        "WLVPN_API_KEYY",
        "WLVPN_KEY",
        "WLVPN_ACCOUNTS",
        "WLVPN_ACCOUNTS__BRAND_A",
        "WLVPN_ACCOUNTS__API_KEY",
        "WLVPN_ACCOUNTS__BRAND_A__API_KEY",
        "WLVPN_ACCOUNTS__BRAND_A__API_KEYY",
        "WLVPN_ACCOUNTS__BRAND_A__API_KEY__X",
        "WLVPN_ACCOUNTS__DEFAULT__API_KEY",
        "WLVPN_COLLECTORS",
        "WLVPN_COLLECTORS__SERVERS",
        "WLVPN_WEB",
        *(option.variable for option in options()),
    ],
)
@pytest.mark.parametrize("source", ["environment", ".env"])
def test_no_variable_is_told(
    name: str, source: str, key: str, capsys: Capture, monkeypatch: Patch
) -> None:
    """A key in a variable, its own or a wrong one, is in no error."""
    if source == "environment":
        monkeypatch.setenv(name, key)
    else:
        Path(".env").write_text(f"{name}='{key}'\n")
    assert [] == told(key, refused(capsys, "check"))
    main(["check"])  # what is wrong with a value is told where nothing else is
    assert [] == told(key, *capsys.readouterr())


@like_a_path
@pytest.mark.parametrize("name", ["API_KEY_FILE", "CONFIG__FILE", "CA_FILE", "WEB__CONFIG__FILE"])
def test_no_key_that_looks_like_a_path_is_told(
    name: str, key: str, capsys: Capture, monkeypatch: Patch
) -> None:
    """Base64 may have a slash, other keys dots."""
    monkeypatch.setenv(f"WLVPN_{name}", key)
    main(["check"])
    assert "SEKRET" not in "".join(capsys.readouterr())


@both
@pytest.mark.parametrize("name", ["WLVPN_ACCOUNTS", "WLVPN_ACCOUNTS__BRAND_A", "WLVPN_COLLECTORS"])
@pytest.mark.parametrize("json", ['{"api_key": "%s"}', '["%s"]', '"%s"', '{"api_key": "%s'])
def test_no_json_in_a_variable_is_told(
    name: str, json: str, key: str, capsys: Capture, monkeypatch: Patch
) -> None:
    """A key within JSON, whole or broken, is in no error."""
    monkeypatch.setenv(name, json % key)
    assert [] == told(key, refused(capsys, "check"))


@both
@pytest.mark.parametrize(
    "yaml",
    [
        "api_key: %s",
        "api_key: '%s'",
        "api_key: [%s]",
        "api_key: {key: %s}",
        "api_key: '%s",
        "api_key: '%s' '",
        "api_key: {%s",
        "api_key: %s\n\tweb: {}",
        "api_key: %s: x",
        "%s",
        "- %s",
        "api_kee: %s",
        "accounts: %s",
        "accounts: [%s]",
        "accounts: {brand-a: '%s'}",
        "accounts: {brand-a: {api_key: '%s', xyzzy: 1}}",
        "accounts: {default: {api_key: '%s'}}",
        "accounts: {'brand a': {api_key: '%s'}}",
        "accounts: {brand-a: {api_key: '%s', api_key_file: x}}",
        "api_key: '%s'\napi_key_file: x",
        "web: '%s'",
        "web: {api_key: '%s'}",
        "collectors: {servers: '%s'}",
        "base_url: 'https://api-key:%s@api.wlvpn.com'",
        "base_url: 'http://%s'",
        "proxy_url: 'http://user:%s@proxy.example:3128'",
    ],
)
def test_no_yaml_is_told(yaml: str, key: str, capsys: Capture) -> None:
    """A key in the file, in its place or a wrong one, quoted or broken, is in no error."""
    Path("wlvpn.yml").write_text(yaml % key)
    assert [] == told(key, refused(capsys, "check", "--config.file", "wlvpn.yml"))


@pytest.mark.parametrize("yaml", ["*SEKRET-canary", "!SEKRET!canary x", "[*SEKRET-canary]"])
def test_no_name_within_yaml_is_told(yaml: str, capsys: Capture) -> None:
    """A key that YAML takes for the name of an alias or a tag is in no error."""
    Path("wlvpn.yml").write_text(f"api_key: {yaml}")
    assert "SEKRET" not in refused(capsys, "check", "--config.file", "wlvpn.yml")


@pytest.mark.parametrize(
    "content",
    [CANARY, ILL_FORMED, f"{CANARY}\n{CANARY}", f"WLVPN_API_KEY={CANARY} ", f"\xff{CANARY}"],
    ids=["key", "two words", "two lines", "assignment", "latin"],
)
@pytest.mark.parametrize("place", ["api_key_file", "secrets", "accounts"])
def test_no_key_file_is_told(
    content: str, place: str, capsys: Capture, tmp_path: Path, monkeypatch: Patch
) -> None:
    """What a key file holds is in no error, neither of the key nor of other options."""
    Path("wlvpn_api_key").write_text(content, encoding="latin-1")
    if place == "secrets":
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    else:
        name = {"api_key_file": "API_KEY_FILE", "accounts": "ACCOUNTS__A__API_KEY_FILE"}[place]
        monkeypatch.setenv(f"WLVPN_{name}", "wlvpn_api_key")
    assert [] == told(CANARY, refused(capsys, "check"))
    main(["check"])
    assert [] == told(CANARY, *capsys.readouterr())


@both
@pytest.mark.parametrize("command", ["serve", "demo", "once"])
@pytest.mark.parametrize("joined", [True, False], ids=["one word", "two words"])
@pytest.mark.parametrize("flag", ["--api-key", "--api_key", "--key", "-k", "--wlvpn-api-key"])
def test_no_flag_is_told(
    command: str, flag: str, key: str, capsys: Capture, *, joined: bool
) -> None:
    """Whoever takes the key for a flag does not find it in the error."""
    words = [f"{flag}={key}"] if joined else [flag, key]
    assert [] == told(key, refused(capsys, command, *words))


@both
@pytest.mark.parametrize("option", ["api_key", "proxy_url"])
def test_no_representation_tells(option: str, key: str) -> None:
    """Whoever prints the configuration, its errors or the key sees none."""
    flags = {"api_key": "the-key", option: key if option == "api_key" else f"http://u:{key}@h"}
    texts = [repr(Key(lambda: key))]
    try:
        texts += [repr(load(flags)), str(load(flags)), repr(targets(load(flags)))]
    except ConfigError as error:
        texts += [repr(error), str(error)]
    assert [] == told(key, *texts)


def test_no_flag_takes_a_secret(capsys: Capture) -> None:
    """Processes see each other's flags: the help knows none for the key or the proxy's password."""
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    out, _ = capsys.readouterr()
    assert (True, False, False) == tuple(
        f"{flag} " in out for flag in ("--api-key-file", "--api-key", "--proxy-url")
    )


# A running exporter


async def run(capsys: Capture, *words: str) -> str:
    """All that a command says at debug, on stdout and stderr; the simulator goes on meanwhile."""
    await asyncio.to_thread(main, [*words, "--log.level", "debug"])
    return "".join(capsys.readouterr())


@pytest.fixture
def _polls_simulator(simulator: Simulator, monkeypatch: Patch) -> None:
    simulator.key = CANARY
    monkeypatch.setenv("WLVPN_API_KEY", CANARY)
    monkeypatch.setenv("WLVPN_BASE_URL", simulator.url)


@pytest.mark.usefixtures("_polls_simulator")
@pytest.mark.parametrize("words", [["once"], ["check", "--probe"]], ids=["once", "check"])
@pytest.mark.parametrize(
    "said",
    [
        CANARY,
        quote(CANARY, safe=""),
        base64.b64encode(CANARY.encode()).decode(),
        base64.b64encode(f"api-key:{CANARY}".encode()).decode(),
    ],
    ids=["raw", "URL", "base64", "base64 with user"],
)
async def test_no_error_of_the_api_tells(
    said: str, words: list[str], simulator: Simulator, capsys: Capture
) -> None:
    """An API that repeats the key in its error does not bring it into ours."""
    error = f"wrong key: {said}!"
    simulator.rewrite = lambda _, payload: {**payload, "api_status": 0, "error": error}
    text = await run(capsys, *words)
    assert "wrong key: [redacted]!" in text
    assert [] == told(CANARY, text)


@pytest.mark.usefixtures("_polls_simulator")
@pytest.mark.parametrize(
    "rule",
    [
        "*:status=401",
        "*:status=302",
        "*:truncate:count=1",
        "*:status=503:count=1",
        "*:encoding=gzip",
        "*:encoding=br",
        "*:header_flood",
    ],
)
async def test_no_failure_tells(rule: str, simulator: Simulator, capsys: Capture) -> None:
    """However the API fails, at debug as well, the key is in no line."""
    simulator.rules = [Rule.parse(rule)]
    text = await run(capsys, "once")
    assert "level=debug" in text
    assert [] == told(CANARY, text)


@pytest.mark.usefixtures("_polls_simulator")
@pytest.mark.parametrize("proxy", ["http://user:{}@127.0.0.1:9", "ftp://{}", "{}", "http://{}:x"])
async def test_no_proxy_is_told(proxy: str, capsys: Capture, monkeypatch: Patch) -> None:
    """A proxy's password, or what was taken for a proxy, is in no line."""
    monkeypatch.setenv("WLVPN_PROXY_URL", proxy.format(quote(CANARY, safe="")))
    assert [] == told(CANARY, await run(capsys, "check", "--probe"))


@pytest.mark.parametrize("scheme", ["https", "HTTPS", " https", "\thttps"])
async def test_key_goes_to_nobody_without_a_certificate(
    scheme: str, capsys: Capture, monkeypatch: Patch
) -> None:
    """However https is written, a server whose certificate nobody vouches for gets no request."""
    requests = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readline())
        writer.close()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    async with await asyncio.start_server(note, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        monkeypatch.setenv("WLVPN_API_KEY", CANARY)
        monkeypatch.setenv("WLVPN_BASE_URL", f"{scheme}://localhost:{port}")
        await run(capsys, "check", "--probe")
    assert [] == requests


async def test_a_flipped_symlink_brings_the_new_key(
    simulator: Simulator, capsys: Capture, tmp_path: Path, clock: ManualClock
) -> None:
    """Kubernetes renews a mounted secret by flipping a symlink to a folder: no restart, no word."""
    for folder, key in (("..old", "old-key"), ("..new", CANARY)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "key").write_text(f"{key}\n")
    (tmp_path / "..data").symlink_to("..old")
    (tmp_path / "key").symlink_to("..data/key")
    flags = {"base_url": simulator.url, "api_key_file": str(tmp_path / "key")}
    simulator.key = "old-key"
    service = Service(load(flags), clock=clock)
    async with service.pollers() as (servers, _):
        assert isinstance(await servers.poll(), Accepted)
        simulator.key = CANARY
        assert isinstance(await servers.poll(), UnauthorizedError)
        (tmp_path / "..next").symlink_to("..new")
        (tmp_path / "..next").rename(tmp_path / "..data")
        assert isinstance(await servers.poll(), Accepted)
    assert [200, 401, 401, 200] == [request.status for request in simulator.requests]
    assert [] == told(CANARY, *capsys.readouterr())
