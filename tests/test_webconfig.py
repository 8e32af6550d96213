"""The web config file: what is refused in which words, and TLS and passwords on real sockets."""

import asyncio
import logging
import resource
import ssl
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import bcrypt
import pytest
import trustme
from aiohttp import web

from exporter.cli import main
from exporter.errors import ConfigError
from exporter.listener import listen
from exporter.service import Service
from exporter.webconfig import load
from exporter.webconfig.guard import Guard
from exporter.webconfig.password import MAX_CACHED, MAX_WAITING, BusyError, Check, Passwords
from tests.conftest import Configure
from tests.manual_clock import ManualClock

FILES = Path(__file__).parent / "webconfig"
HASH = bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode()
OTHER = bcrypt.hashpw(b"other", bcrypt.gensalt(4)).decode()
TLS = "tls_server_config: {cert_file: server.crt, key_file: server.key"
CLIENTS = f"{TLS}, client_ca_file: ca.crt, client_auth_type: RequireAndVerifyClientCert"
USERS = f"basic_auth_users: {{alice: {HASH}}}"

Capture = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch
Logged = pytest.LogCaptureFixture


def named(folder: str) -> pytest.MarkDecorator:
    """Runs a test for each file of a folder."""
    paths = sorted((FILES / folder).glob("*.yml"))
    return pytest.mark.parametrize("path", paths, ids=[path.stem for path in paths])


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(autouse=True)
def _certificates(authority: trustme.CA) -> None:
    """A certificate, its key and its authority in the working directory."""
    issue(authority)
    authority.cert_pem.write_to_path("ca.crt")


def issue(authority: trustme.CA, *, name: str = "server") -> bytes:
    """Puts a new certificate in place; gives it."""
    issued = authority.issue_cert("127.0.0.1", "localhost")
    issued.private_key_pem.write_to_path(f"{name}.key")
    issued.cert_chain_pems[0].write_to_path(f"{name}.crt")
    return ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())


def write(text: str) -> Path:
    """Writes the file anew, as a new file: no clock is too coarse to see it."""
    Path("new.yml").write_text(text, encoding="utf-8")
    return Path("new.yml").replace("web.yml")


def problems(text: str) -> tuple[str, ...]:
    """What is wrong with a file, without what all lines begin with."""
    told = load(write(text)).problems
    return tuple(problem.removeprefix("web.config.file: web.yml: ") for problem in told)


async def _hello(_: web.Request) -> web.Response:
    return web.Response(text="hello", headers={"Content-Security-Policy": "default-src 'none'"})


@asynccontextmanager
async def serving(
    text: str, *, check: Check = bcrypt.checkpw, clock: ManualClock | None = None
) -> AsyncIterator[str]:
    """Serves a page as the file says; gives its URL."""
    clock = clock or ManualClock()
    guard = Guard(write(text), clock=clock, passwords=Passwords(check))
    app = web.Application()
    app.add_routes([web.get("/", _hello)])
    guard.protect(app)
    async with listen(app, ["127.0.0.1:0"], clock=clock, tls=guard.tls) as [url]:
        yield url


def trusting(authority: trustme.CA, client: trustme.LeafCert | None = None) -> ssl.SSLContext:
    """A client's context, with its certificate if it has one."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if client:
        client.configure_cert(context)
    return context


async def ask(
    url: str,
    user: str | None = None,
    password: str = "",
    *,
    context: ssl.SSLContext | None = None,
    path: str = "/",
) -> tuple[int, Mapping[str, str]]:
    """Asks once, on a connection of its own; gives the status and the headers."""
    headers = {}
    if user is not None:
        headers["Authorization"] = aiohttp.encode_basic_auth(user, password)
    async with (
        aiohttp.ClientSession() as session,
        session.get(url + path, headers=headers, ssl=context or True) as response,
    ):
        await response.read()
        return response.status, response.headers


async def status(
    url: str, user: str | None = None, password: str = "", context: ssl.SSLContext | None = None
) -> int:
    return (await ask(url, user, password, context=context))[0]


@asynccontextmanager
async def connected(
    url: str, context: ssl.SSLContext
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection of one's own."""
    host, _, port = url.partition("://")[2].partition(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
    try:
        yield reader, writer
    finally:
        writer.close()
        await reader.read()


async def shown_certificate(url: str, context: ssl.SSLContext) -> bytes | None:
    """The certificate that a new connection is shown."""
    async with connected(url, context) as (_, writer):
        found: ssl.SSLObject = writer.get_extra_info("ssl_object")
        return found.getpeercert(binary_form=True)


def warnings(logged: Logged) -> list[str]:
    """What was told of the file."""
    return [record.getMessage() for record in logged.records if "web config" in record.getMessage()]


# Whole files


@named("good")
def test_check_tells_what_a_good_file_asks_for(
    path: Path, capsys: Capture, monkeypatch: Patch
) -> None:
    """`check` says what stands between a stranger and us, and exits 0."""
    monkeypatch.chdir(path.parent)
    monkeypatch.setenv("WLVPN_API_KEY", "the-key")
    code = main(["check", f"--web.config.file={path.name}"])
    assert (0, path.with_suffix(".txt").read_text(), "") == (code, *capsys.readouterr())


@named("bad")
@pytest.mark.parametrize("command", ["check", "serve"])
def test_all_that_is_wrong_is_told_at_once(
    command: str, path: Path, capsys: Capture, monkeypatch: Patch
) -> None:
    """One line each with the mend, on stderr; the exit code is 2, and no secret is told."""
    monkeypatch.chdir(path.parent)
    monkeypatch.setenv("WLVPN_API_KEY", "the-key")
    code = main([command, f"--web.config.file={path.name}"])
    told = path.with_suffix(".txt").read_text().splitlines()
    assert not any("secret" in line for line in told)
    expected = "".join(f"wlvpn-exporter: {line}\n" for line in told)
    assert (2, "", expected) == (code, *capsys.readouterr())


def test_every_file_has_its_messages() -> None:
    """No message file lacks its YAML file, and none lacks its messages."""
    found = {suffix: {p.stem for p in FILES.rglob(f"*{suffix}")} for suffix in (".yml", ".txt")}
    assert found[".yml"] == found[".txt"]


@pytest.mark.parametrize("command", ["check", "serve"])
def test_the_file_and_the_configuration_are_told_at_once(command: str, capsys: Capture) -> None:
    """A broken web config does not hide that there is no key."""
    assert 2 == main([command, "--web.config.file=missing.yml"])
    key, file = capsys.readouterr().err.splitlines()
    assert "api_key: no key" in key
    assert (
        "wlvpn-exporter: web.config.file: missing.yml cannot be read: No such file or directory"
        == file
    )


def test_check_tells_of_tls(capsys: Capture, monkeypatch: Patch) -> None:
    """Everything that a file asks for is named; passwords within TLS need no warning."""
    monkeypatch.setenv("WLVPN_API_KEY", "the-key")
    monkeypatch.setenv("WLVPN_WEB__CONFIG__FILE", "web.yml")
    write(f"{CLIENTS}, client_allowed_sans: [a.example]}}\n{USERS}")
    assert 0 == main(["check"])
    assert (
        "web.yml: asks for TLS, client certificates, names in them, passwords"
        == capsys.readouterr().out.splitlines()[1]
    )


def _put_another_key(authority: trustme.CA) -> None:
    authority.issue_cert("x.example").private_key_pem.write_to_path("server.key")


def _put_a_locked_key(_: trustme.CA) -> None:
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415 - here alone
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
        load_pem_private_key,
    )

    key = load_pem_private_key(Path("server.key").read_bytes(), None)
    locked = key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    Path("server.key").write_bytes(locked)


def _put_text(name: str) -> Callable[[trustme.CA], object]:
    return lambda _: Path(name).write_text("not in PEM")


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (_put_another_key, "key_file: not the key of this certificate"),
        (
            _put_a_locked_key,
            "key_file: not a private key in PEM, or one with a passphrase: write it without",
        ),
        (
            _put_text("server.key"),
            "key_file: not a private key in PEM, or one with a passphrase: write it without",
        ),
        (_put_text("server.crt"), "cert_file: not a certificate in PEM"),
        (_put_text("ca.crt"), "client_ca_file: not a certificate in PEM"),
    ],
    ids=["another key", "locked key", "no key", "no certificate", "no authority"],
)
def test_refuses_certificates(
    spoil: Callable[[trustme.CA], object], expected: str, authority: trustme.CA
) -> None:
    """What OpenSSL would refuse is refused at the start, by the option that names it."""
    spoil(authority)
    assert (f"tls_server_config.{expected}",) == problems(f"{CLIENTS}}}")


UNCHECKED = (
    "cannot be had, because Python asks for no certificate that it does not check: "
    "write VerifyClientCertIfGiven or RequireAndVerifyClientCert"
)
REQUIRE = "write client_auth_type: RequireAndVerifyClientCert"
IF_GIVEN = "client_auth_type: VerifyClientCertIfGiven"


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (
            "client_ca_file: ca.crt",
            f"client_ca_file: of no use: {REQUIRE}",
        ),
        (
            "client_ca_file: ca.crt, client_auth_type: RequireClientCert",
            f"client_auth_type: RequireClientCert {UNCHECKED}",
        ),
        (
            f"client_ca_file: ca.crt, {IF_GIVEN}, client_allowed_sans: [a]",
            f"client_allowed_sans: needs certificates: {REQUIRE}",
        ),
    ],
)
def test_refuses_half_of_client_certificates(more: str, expected: str) -> None:
    """An option that would do nothing is refused: somebody relies on it."""
    assert (f"tls_server_config.{expected}",) == problems(f"{TLS}, {more}}}")


def test_problems_are_one_line_each() -> None:
    """Hostile text cannot forge a second line."""
    told = problems('tls_server_config: {"a\\nb": 1, cert_file: "c\\nd", cipher_suites: ["e\\nf"]}')
    assert [1] * 4 == [len(line.splitlines()) for line in told]


def test_a_name_that_no_file_can_have_is_told() -> None:
    """Wherever it came from."""
    [problem] = load(Path("a\0b")).problems
    assert problem.endswith("is not the name of a file")


@pytest.mark.parametrize("option", ["cert", "key", "cert_file", "key_file", "client_ca"])
def test_odd_text_is_no_crash(option: str) -> None:
    """A character that no encoding has is a problem like any other."""
    assert problems(f'tls_server_config: {{{option}: "\\ud800"}}')


def test_hashes_are_in_no_repr() -> None:
    """Neither a log line nor a traceback can tell them."""
    assert HASH not in repr(load(write(USERS)))


@pytest.mark.parametrize(
    "text",
    [
        "basic_auth_users: {{alice: {}x}}",
        "basic_auth_users: {{alice: [{}]}}",
        "basic_auth_users: {{alice: {{hash: {}}}}}",
        'basic_auth_users: {{"{}": alice}}',
        'basic_auth_users: {{"{}:": alice}}',
        'basic_auth_users: {{"{0}": "{0}"}}',
        "basic_auth_users: {}",
        "basic_auth_users: [{}]",
        "rate_limit: {{interval: {}}}",
        "rate_limit: {{burst: {}}}",
        "http_server_config: {{http2: {}}}",
        "tls_server_config: {{min_version: {}}}",
        "{}",
        "alice: {}",
    ],
)
def test_hashes_are_in_no_error(text: str) -> None:
    """Not in their place either, cut or misspelt."""
    found = problems(text.format(HASH))
    assert found
    assert HASH[7:] not in "".join(found)


# TLS


def with_versions(context: ssl.SSLContext, version: ssl.TLSVersion) -> ssl.SSLContext:
    """A client that speaks one version alone, old as it may be."""
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = version
    context.minimum_version = version
    return context


@pytest.mark.parametrize(
    ("more", "version", "is_served"),
    [
        ("", ssl.TLSVersion.TLSv1_1, False),
        ("", ssl.TLSVersion.TLSv1_2, True),
        ("", ssl.TLSVersion.TLSv1_3, True),
        (", min_version: TLS13", ssl.TLSVersion.TLSv1_2, False),
        (", min_version: TLS13", ssl.TLSVersion.TLSv1_3, True),
        (", max_version: TLS12", ssl.TLSVersion.TLSv1_2, True),
        (", max_version: TLS12", ssl.TLSVersion.TLSv1_3, False),
    ],
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_tls_versions(
    more: str, version: ssl.TLSVersion, authority: trustme.CA, *, is_served: bool
) -> None:
    """TLS 1.2 and 1.3 by default, or what the file narrows it to."""
    async with serving(f"{TLS}{more}}}") as url:
        assert url.startswith("https://")
        context = with_versions(trusting(authority), version)
        if is_served:
            assert 200 == await status(url, context=context)
            return
        with pytest.raises(aiohttp.ClientConnectionError):
            await status(url, context=context)


async def test_plain_http_is_not_served_beside_tls(authority: trustme.CA) -> None:
    """Who speaks no TLS gets no page, and the next client is served."""
    async with serving(f"{TLS}}}") as url:
        with pytest.raises(aiohttp.ClientConnectionError):
            await status(url.replace("https", "http"))
        assert 200 == await status(url, context=trusting(authority))


def _inline() -> str:
    """The file with all three in it; they are nowhere else."""
    lines = ["tls_server_config:", "  client_auth_type: VerifyClientCertIfGiven"]
    for name, file in (("cert", "server.crt"), ("key", "server.key"), ("client_ca", "ca.crt")):
        lines += [f"  {name}: |", *(f"    {row}" for row in Path(file).read_text().splitlines())]
        Path(file).unlink()
    return "\n".join(lines)


async def test_the_file_can_hold_the_certificate_itself(authority: trustme.CA) -> None:
    """`cert`, `key` and `client_ca` are what their files would hold."""
    async with serving(_inline()) as url:
        assert 200 == await status(url, context=trusting(authority))


def test_paths_are_the_files_own(monkeypatch: Patch) -> None:
    """Relative paths begin where the file is, not where we were started."""
    Path("elsewhere").mkdir()
    write(f"{TLS}}}")
    monkeypatch.chdir("elsewhere")
    assert () == load(Path("../web.yml")).problems


async def test_ciphers_and_curve_are_those_of_the_file(authority: trustme.CA) -> None:
    """A client finds the cipher it is meant to find, under TLS 1.2."""
    more = (
        "max_version: TLS12, curve_preferences: [CurveP384], prefer_server_cipher_suites: false, "
        "cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, "
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, "
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256]"
    )
    async with serving(f"{TLS}, {more}}}") as url:
        async with connected(url, trusting(authority)) as (_, writer):
            cipher, protocol, _ = writer.get_extra_info("cipher")
        assert cipher in {"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"}
        assert "TLSv1.2" == protocol
        context = trusting(authority)
        context.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384")
        with pytest.raises(aiohttp.ClientConnectionError):
            await status(url, context=context)
        context = trusting(authority)
        context.set_ecdh_curve("prime256v1")
        with pytest.raises(aiohttp.ClientConnectionError):
            await status(url, context=context)


@pytest.mark.parametrize(("text", "expected"), [("true", True), ("false", False)])
def test_whose_order_of_ciphers_counts(text: str, *, expected: bool) -> None:
    """Ours, unless the file says otherwise."""
    context = load(write(f"{TLS}, prefer_server_cipher_suites: {text}}}")).rules.tls.context
    assert context
    assert expected is bool(context.options & ssl.OP_CIPHER_SERVER_PREFERENCE)


async def test_http_2_is_declined_in_the_handshake(authority: trustme.CA) -> None:
    """A client that would rather speak it learns that it is HTTP/1.1."""
    context = trusting(authority)
    context.set_alpn_protocols(["h2", "http/1.1"])
    async with serving(f"{TLS}}}") as url, connected(url, context) as (_, writer):
        assert "http/1.1" == writer.get_extra_info("ssl_object").selected_alpn_protocol()


# Client certificates


async def test_client_certificates_are_required(authority: trustme.CA) -> None:
    """One of the authority's is let in; none, or another authority's, gets no page."""
    stranger = trustme.CA().issue_cert("scraper.example")
    async with serving(f"{CLIENTS}}}") as url:
        mine = trusting(authority, authority.issue_cert("scraper.example"))
        assert 200 == await status(url, context=mine)
        for context in (trusting(authority), trusting(authority, stranger)):
            with pytest.raises((aiohttp.ClientConnectionError, ssl.SSLError)):
                await status(url, context=context)


async def test_an_intermediate_authority_will_do(authority: trustme.CA) -> None:
    """As in the toolkit, the authority in the file need not be a root."""
    below = authority.create_child_ca()
    below.cert_pem.write_to_path("ca.crt")
    async with serving(f"{CLIENTS}}}") as url:
        assert 200 == await status(url, context=trusting(authority, below.issue_cert("a.example")))


async def test_given_certificates_are_verified(authority: trustme.CA) -> None:
    """None is needed, but a wrong one is refused."""
    text = CLIENTS.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven")
    stranger = trustme.CA().issue_cert("scraper.example")
    async with serving(f"{text}}}") as url:
        assert 200 == await status(url, context=trusting(authority))
        with pytest.raises((aiohttp.ClientConnectionError, ssl.SSLError)):
            await status(url, context=trusting(authority, stranger))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["scraper.example"], 200),
        (["other.example", "scraper.example"], 200),
        (["2001:db8::1"], 200),
        (["192.0.2.1"], 200),
        (["root@scraper.example"], 200),
        (["other.example", "common name: scraper.example"], 403),
        (["scraper.example.org"], 403),
        (["*.scraper.example"], 403),
    ],
    ids=str,
)
async def test_names_in_certificates_are_compared(
    names: Sequence[str], expected: int, authority: trustme.CA
) -> None:
    """A DNS name, address or mail address has to be in the list, to the letter."""
    allowed = '[scraper.example, "2001:db8::1", 192.0.2.1, root@scraper.example]'
    async with serving(f"{CLIENTS}, client_allowed_sans: {allowed}}}") as url:
        common = next((n.partition(": ")[2] for n in names if ": " in n), None)
        alternative = [name for name in names if ": " not in name]
        issued = authority.issue_cert(*alternative, common_name=common)
        context = trusting(authority, issued)
        assert expected == await status(url, context=context)


# Change while running


async def test_a_new_certificate_is_served_to_the_next_connection(authority: trustme.CA) -> None:
    """And the connection that is open goes on with the old one."""
    context = trusting(authority)
    async with serving(f"{TLS}}}") as url, connected(url, context) as (reader, writer):
        before = await shown_certificate(url, context)
        after = issue(authority)
        assert before != after
        assert after == await shown_certificate(url, context)
        found: ssl.SSLObject = writer.get_extra_info("ssl_object")
        assert before == found.getpeercert(binary_form=True)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200 ")


async def test_a_broken_certificate_keeps_the_last_one(
    authority: trustme.CA, caplog: Logged
) -> None:
    """It goes on being served; that is told once, and once when it is well again."""
    caplog.set_level(logging.INFO, "exporter")
    context = trusting(authority)
    async with serving(f"{TLS}}}") as url:
        before = await shown_certificate(url, context)
        for _ in range(3):
            _put_another_key(authority)
            assert before == await shown_certificate(url, context)
        assert ["web config refused, the last one stays"] == warnings(caplog)
        [record] = caplog.records
        assert (
            "web.config.file: web.yml: tls_server_config.key_file: not the key of this certificate"
            == getattr(record, "fields", {})["problems"]
        )
        after = issue(authority)
        for _ in range(3):
            assert after == await shown_certificate(url, context)
        assert "web config is well again" == warnings(caplog)[-1]
        assert 2 == len(warnings(caplog))


async def test_a_file_that_comes_late_is_noticed(authority: trustme.CA) -> None:
    """A certificate that the new file names, and that is put there after it, is taken."""
    context = trusting(authority)
    async with serving(f"{TLS}}}") as url:
        before = await shown_certificate(url, context)
        write(TLS.replace("server.", "new.") + "}")
        assert before == await shown_certificate(url, context)
        assert issue(authority, name="new") == await shown_certificate(url, context)


async def test_a_new_authority_counts_at_once(authority: trustme.CA) -> None:
    """Clients of the old one are strangers from the next connection on."""
    other = trustme.CA()
    old, new = (trusting(authority, ca.issue_cert("a.example")) for ca in (authority, other))
    async with serving(f"{CLIENTS}}}") as url:
        assert 200 == await status(url, context=old)
        other.cert_pem.write_to_path("ca.crt")
        assert 200 == await status(url, context=new)
        with pytest.raises((aiohttp.ClientConnectionError, ssl.SSLError)):
            await status(url, context=old)


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("", "TLS, client certificates, names in them, passwords"),
        (f"{TLS}}}\n{USERS}", "client certificates, names in them"),
        (f"{CLIENTS}}}\n{USERS}", "names in them"),
        (f"{CLIENTS}, client_allowed_sans: [a.example]}}", "passwords"),
    ],
    ids=["everything", "certificates", "names", "passwords"],
)
async def test_a_change_takes_no_protection_away(
    text: str, missing: str, authority: trustme.CA, caplog: Logged
) -> None:
    """A file that is being rewritten is empty for an instant: that opens no door."""
    context = trusting(authority, authority.issue_cert("a.example"))
    async with serving(f"{CLIENTS}, client_allowed_sans: [a.example]}}\n{USERS}") as url:
        write(text)
        assert (401, 200) == (
            await status(url, context=context),
            await status(url, "alice", "right", context),
        )
    fields = [getattr(record, "fields", {}) for record in caplog.records]
    assert [f"it would take away {missing}: restart if that is meant"] == [
        each["problems"] for each in fields
    ]


async def test_a_file_that_goes_away_changes_nothing() -> None:
    """Nor does it end the exporter."""
    async with serving(USERS) as url:
        await asyncio.to_thread(Path("web.yml").unlink)
        assert (401, 200) == (await status(url), await status(url, "alice", "right"))


async def test_tls_and_passwords_can_be_added(authority: trustme.CA) -> None:
    """More protection counts from the next connection on."""
    async with serving("") as url:
        assert 200 == await status(url)
        write(f"{TLS}}}\n{USERS}")
        assert 401 == await status(url.replace("http", "https"), context=trusting(authority))


# Passwords


@pytest.mark.parametrize(
    ("user", "password", "expected"),
    [
        ("alice", "right", 200),
        ("alice", "wrong", 401),
        ("alice", "", 401),
        ("alice", "right ", 401),
        ("Alice", "right", 401),
        ("bob", "right", 401),
        ("", "right", 401),
        (None, "", 401),
    ],
)
async def test_passwords_are_asked_for(user: str | None, password: str, expected: int) -> None:
    """A user with his password is served, on any path; anybody else is asked for one."""
    async with serving(USERS) as url:
        found, headers = await ask(url, user, password)
        assert (expected, 404 if expected == 200 else 401) == (
            found,
            (await ask(url, user, password, path="/nope"))[0],
        )
        assert ("Basic" if expected == 401 else None) == headers.get("WWW-Authenticate")


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Basic !",
        "Basic YWxpY2U=",
        "Basic 4pi6",
        "Basic /zpy",
        "Bearer x",
        "Basic \xe9",
    ],
)
async def test_what_is_no_password_is_refused_without_hashing(header: str) -> None:
    """Rubbish in the header costs nothing but the answer."""
    async with (
        serving(USERS, check=_never) as url,
        aiohttp.ClientSession() as session,
        session.get(url, headers={"Authorization": header}) as response,
    ):
        assert 401 == response.status


def _never(_: bytes, __: bytes) -> bool:
    raise AssertionError("nothing is to be hashed")


class Counting:
    """Compares as bcrypt does, and notes against what."""

    def __init__(self) -> None:
        self.stored: list[bytes] = []

    def __call__(self, password: bytes, stored: bytes) -> bool:
        self.stored.append(stored)
        return bcrypt.checkpw(password, stored)


async def test_bcrypt_reads_only_72_bytes() -> None:
    """A longer password is refused unread: bcrypt would take its beginning for the whole."""
    stored = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode()
    check = Counting()
    async with serving(f"basic_auth_users: {{alice: {stored}}}", check=check) as url:
        assert (200, 401) == (
            await status(url, "alice", "x" * 72),
            await status(url, "alice", "x" * 73),
        )
    assert 1 == len(check.stored)


async def test_a_good_password_is_hashed_once() -> None:
    """Not for each scrape, and not for each of two that come together; a wrong one each time."""
    check = Counting()
    async with serving(USERS, check=check) as url:
        asked = (status(url, "alice", "right") for _ in range(5))
        assert [200] * 5 == await asyncio.gather(*asked)
        assert 200 == await status(url, "alice", "right")
        assert 1 == len(check.stored)
        for expected in (2, 3):
            assert 401 == await status(url, "alice", "wrong")
            assert expected == len(check.stored)


async def test_a_changed_password_counts_at_once() -> None:
    """What was remembered of the old one is worth nothing, nor is a connection that was let in."""
    right = {"Authorization": aiohttp.encode_basic_auth("alice", "right")}
    async with serving(USERS) as url, aiohttp.ClientSession(headers=right) as kept:
        async with kept.get(url) as response:
            assert 200 == response.status
        assert 401 == await status(url, "alice", "other")
        write(f"basic_auth_users: {{alice: {OTHER}}}")
        async with kept.get(url) as response:
            assert 401 == response.status
        assert (401, 200) == (
            await status(url, "alice", "right"),
            await status(url, "alice", "other"),
        )


async def test_an_unknown_user_costs_as_much_as_the_dearest() -> None:
    """Time does not tell who exists: somebody unknown is hashed at the highest cost of the file."""
    check = Counting()
    passwords = Passwords(check)
    users = {"alice": HASH, "bob": HASH.replace("$04$", "$06$"), "carol": HASH}
    for _ in range(2):
        assert not await passwords.verify(users, "nobody", b"right")
    assert [b"$2b$06$"] * 2 == [stored[:7] for stored in check.stored]
    # Even if it were right, nobody is let in by it.
    always = Passwords(lambda _, __: True)
    assert not await always.verify(users, "nobody", b"right")


async def test_what_is_remembered_is_bounded() -> None:
    """The oldest is forgotten, and hashed again."""
    hashed: list[bytes] = []

    def check(password: bytes, _: bytes) -> bool:
        hashed.append(password)
        return True

    passwords = Passwords(check)
    for number in [*range(MAX_CACHED + 1), MAX_CACHED, 0]:
        assert await passwords.verify({"alice": HASH}, "alice", str(number).encode())
    assert (MAX_CACHED + 2, b"0") == (len(hashed), hashed[-1])


async def test_a_flood_of_wrong_passwords_is_bounded() -> None:
    """So many wait; more are told to come back, and who is known passes at once."""
    gate = threading.Event()

    def check(password: bytes, stored: bytes) -> bool:
        if password == b"wrong":
            gate.wait(20)
        return bcrypt.checkpw(password, stored)

    users = {"alice": HASH}
    passwords = Passwords(check)
    assert await passwords.verify(users, "alice", b"right")
    async with asyncio.TaskGroup() as tasks:
        flood = [
            tasks.create_task(passwords.verify(users, "alice", b"wrong"))
            for _ in range(MAX_WAITING)
        ]
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await passwords.verify(users, "alice", b"wrong")
        assert await passwords.verify(users, "alice", b"right")
        assert not any(task.done() for task in flood)
        gate.set()
    assert [False] * MAX_WAITING == [task.result() for task in flood]
    assert not await passwords.verify(users, "alice", b"wrong")


async def test_who_comes_in_a_flood_is_told_to_come_back() -> None:
    """503, with the time to wait."""
    gate = threading.Event()

    def check(_: bytes, __: bytes) -> bool:
        return gate.wait(20) and False

    async with serving(USERS, check=check) as url:
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(ask(url, "alice", "wrong")) for _ in range(MAX_WAITING + 1)]
            done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED, timeout=20)
            gate.set()
        [[found, headers]] = [task.result() for task in done]
        assert (503, "2") == (found, headers["Retry-After"])
        assert [401] * MAX_WAITING + [503] == sorted(task.result()[0] for task in asked)


async def test_the_loop_goes_on_while_passwords_are_hashed() -> None:
    """Twenty wrong ones at cost 10 take a second, and hold up nobody else for 20 ms."""
    passwords = Passwords()
    users = {"alice": bcrypt.hashpw(b"right", bcrypt.gensalt(10)).decode()}
    await passwords.verify(users, "alice", b"wrong")
    burst = asyncio.gather(*(passwords.verify(users, "alice", b"wrong") for _ in range(20)))
    lags = []
    while not burst.done():
        started = time.monotonic()
        await asyncio.sleep(0.002)
        lags.append(time.monotonic() - started - 0.002)
    assert [False] * 20 == await burst
    assert len(lags) > 20
    # One turn in twenty may be the machine's own doing.
    assert sorted(lags)[len(lags) * 19 // 20] < 0.02


async def test_the_password_is_in_no_log(caplog: Logged) -> None:
    """At no level, in no form."""
    caplog.set_level(logging.DEBUG)
    async with serving(USERS) as url:
        await status(url, "alice", "canary-word")
        await status(url, "alice", "right")
    encoded = aiohttp.encode_basic_auth("alice", "canary-word").removeprefix("Basic ")
    assert [] == [word for word in ("canary-word", encoded, HASH) if word in caplog.text]


# Headers and rate


async def test_headers_are_added_to_every_answer() -> None:
    """To refusals too; what the file says goes before what we say ourselves."""
    file = (FILES / "good" / "headers.yml").read_text()
    async with serving(f"{file}\n{USERS}") as url:
        for user, path, expected in (("alice", "/", 200), ("alice", "/x", 404), (None, "/", 401)):
            found, headers = await ask(url, user, "right", path=path)
            assert (
                expected,
                "default-src 'self'",
                "max-age=31536000",
                "nosniff",
                "deny",
                "1; mode=block",
            ) == (
                found,
                headers["Content-Security-Policy"],
                headers["Strict-Transport-Security"],
                headers["X-Content-Type-Options"],
                headers["X-Frame-Options"],
                headers["X-XSS-Protection"],
            )


async def test_blank_headers_leave_ours() -> None:
    """A header without a value is none."""
    text = 'http_server_config: {headers: {Content-Security-Policy: ""}}'
    async with serving(text) as url:
        _, headers = await ask(url)
        assert "default-src 'none'" == headers["Content-Security-Policy"]


async def test_requests_are_limited_by_rate(clock: ManualClock) -> None:
    """So many at once, then one each interval; who waits may come in a burst again."""
    async with serving("rate_limit: {interval: 10s, burst: 2}", clock=clock) as url:
        assert [200, 200, 429] == [await status(url) for _ in range(3)]
        clock.advance(10)
        assert [200, 429] == [await status(url) for _ in range(2)]
        clock.advance(1000)
        assert [200, 200, 429] == [await status(url) for _ in range(3)]


# The exporter itself


@pytest.mark.parametrize(
    "path", ["/", "/metrics", "/-/healthy", "/-/ready", "/sd/servers", "/nope"]
)
async def test_every_path_of_the_exporter_is_protected(
    path: str, configure: Configure, authority: trustme.CA
) -> None:
    """Health too: nothing is told to who has no password."""
    write(f"{TLS}}}\n{USERS}")
    context = trusting(authority)
    async with Service(configure(web__config__file="web.yml")).serving() as [url]:
        assert url.startswith("https://")
        refused, _ = await ask(url, path=path, context=context)
        found, headers = await ask(url, "alice", "right", path=path, context=context)
        async with aiohttp.ClientSession() as session:
            for method in ("HEAD", "POST", "OPTIONS"):
                async with session.request(method, url + path, ssl=context) as response:
                    assert 401 == response.status
    assert (401, True) == (refused, found in {200, 404, 503})
    assert path != "/metrics" or "Vary" in headers


async def test_a_broken_file_ends_the_start(configure: Configure) -> None:
    """Serving begins with a whole file or not at all."""
    write("basic_auth_users: {alice: x}")
    with pytest.raises(ConfigError, match="not a bcrypt hash"):
        async with Service(configure(web__config__file="web.yml")).serving():
            raise AssertionError("it cannot serve")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "healthy"),
        (USERS, "a name and its password are needed"),
        (f"{TLS}}}", "healthy"),
        (f"{CLIENTS}}}", "it lives, and asks for a client certificate"),
        (f"{CLIENTS}, max_version: TLS12}}", "it lives, and asks for a client certificate"),
    ],
    ids=["plain", "passwords", "TLS", "client certificates", "client certificates, TLS 1.2"],
)
async def test_healthcheck_of_a_protected_exporter(
    text: str, expected: str, configure: Configure, monkeypatch: Patch, capsys: Capture
) -> None:
    """Whoever asks for a password or a certificate is alive."""
    write(text)
    monkeypatch.setenv("WLVPN_API_KEY", "the-key")
    monkeypatch.setenv("WLVPN_WEB__CONFIG__FILE", "web.yml")
    async with Service(configure(web__config__file="web.yml")).serving() as [url]:
        address = url.partition("://")[2]
        words = ["healthcheck", "--web.listen-address", address]
        assert 0 == await asyncio.to_thread(main, words)
        assert f"{url}/-/healthy: {expected}\n" == capsys.readouterr().out
    assert 1 == await asyncio.to_thread(main, words)


@pytest.mark.parametrize(
    ("text", "broken"),
    [(f"{TLS}}}", "?"), (USERS, f"{USERS}\nx: 1"), (USERS, "?"), (f"{TLS}}}", f"{TLS}}}\nx: 1")],
)
async def test_healthcheck_of_an_exporter_whose_file_broke_since(
    text: str, broken: str, configure: Configure, monkeypatch: Patch
) -> None:
    """It runs on with the last good one: that is no reason to restart it."""
    write(text)
    monkeypatch.setenv("WLVPN_API_KEY", "the-key")
    async with Service(configure(web__config__file="web.yml")).serving() as [url]:
        write(broken)
        words = ["healthcheck", "--web.config.file=web.yml"]
        words += ["--web.listen-address", url.partition("://")[2]]
        assert 0 == await asyncio.to_thread(main, words)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"{TLS}}}", "TLS is needed: connect again"),
        (f"{CLIENTS}}}", "TLS is needed: connect again"),
    ],
)
async def test_new_protection_counts_on_old_connections(text: str, told: str) -> None:
    """Who has been connected in the clear is sent away once TLS is asked for."""
    async with serving("") as url, aiohttp.ClientSession() as kept:
        async with kept.get(url) as response:
            assert 200 == response.status
        write(text)
        async with kept.get(url) as response:
            assert (403, f"{told}\n") == (response.status, await response.text())


async def test_new_protection_counts_on_old_encrypted_connections(authority: trustme.CA) -> None:
    """So is who has no certificate, once one is asked for."""
    context = trusting(authority)
    async with serving(f"{TLS}}}") as url, aiohttp.ClientSession() as kept:
        async with kept.get(url, ssl=context) as response:
            assert 200 == response.status
        write(f"{CLIENTS}}}")
        async with kept.get(url, ssl=context) as response:
            told = "a client certificate is needed: connect again\n"
            assert (403, told) == (response.status, await response.text())


def test_a_change_that_could_not_be_read_is_read_again(clock: ManualClock) -> None:
    """Nothing but the number of open files was in the way."""
    guard = Guard(write(f"{TLS}}}"), clock=clock)
    before = guard.tls()
    write(f"{TLS}, min_version: TLS13}}")
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limit[1]))
    try:
        assert before is guard.tls()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    assert before is guard.tls()
    clock.advance(1)
    assert before is not guard.tls()


def test_a_private_key_in_a_name_s_place_is_not_told() -> None:
    """Whoever writes PEM where a path belongs reads so, and not the key."""
    text = 'tls_server_config: {cert_file: a, key_file: "-----BEGIN PRIVATE KEY-----\\nMIGH"}'
    found = "".join(problems(text))
    assert "key_file: PEM, not the name of a file: write it under key" in found
    assert "MIGH" not in found


def test_a_file_that_stays_is_read_once() -> None:
    """A look at it makes no new context."""
    guard = Guard(write(f"{TLS}}}"), clock=ManualClock())
    for text in (f"{TLS}}}", "?"):
        write(text)
        context = guard.tls()
        assert [context] * 10 == [guard.tls() for _ in range(10)]
