"""Configuration: where it comes from, what wins, what is refused and in which words."""

from collections.abc import Mapping
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from exporter.cli import main
from exporter.config import Target, load, targets
from exporter.errors import ConfigError
from exporter.key import Key
from exporter.settings import Settings, options

FILES = Path(__file__).parent / "config"

Patch = pytest.MonkeyPatch


def problems(flags: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """What is wrong with the configuration."""
    with pytest.raises(ConfigError) as caught:
        targets(load(flags or {}))
    return caught.value.problems


def found(flags: Mapping[str, str] | None = None) -> dict[str, Target]:
    """The accounts by name."""
    return {target.account: target for target in targets(load(flags or {}))}


def polled(flags: Mapping[str, str], name: str) -> Any:  # noqa: ANN401 - made at run time
    """The options of a collector."""
    return getattr(load(flags).collectors, name)


def header(key: str) -> str:
    return Key(lambda: key).header


def write(text: str, name: str = "wlvpn.yml") -> Mapping[str, str]:
    """Writes a YAML file; gives the flags that name it."""
    Path(name).write_text(text, encoding="utf-8")
    return {"config.file": name}


def named(folder: str) -> pytest.MarkDecorator:
    """Runs a test for each configuration file of a folder."""
    paths = sorted((FILES / folder).glob("*.yml"))
    return pytest.mark.parametrize("path", paths, ids=[path.stem for path in paths])


# Whole files


@named("good")
def test_check_tells_what_a_good_file_means(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Patch
) -> None:
    """`check` says for each account what is polled, and exits 0."""
    monkeypatch.chdir(path.parent)
    code = main(["check", "--config.file", path.name])
    assert (0, path.with_suffix(".txt").read_text(), "") == (code, *capsys.readouterr())


@named("bad")
def test_check_tells_all_that_is_wrong_with_a_bad_file(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Patch
) -> None:
    """`check` says everything that is wrong at once, one line each, on stderr, and exits 2."""
    monkeypatch.chdir(path.parent)
    code = main(["check", "--config.file", path.name])
    told = path.with_suffix(".txt").read_text().splitlines()
    expected = "".join(f"wlvpn-exporter: {line}\n" for line in told)
    assert (2, "", expected) == (code, *capsys.readouterr())


def test_every_bad_file_has_its_messages() -> None:
    """No message file lacks its YAML file, and none lacks its messages."""
    names = {suffix: {p.stem for p in FILES.rglob(f"*{suffix}")} for suffix in (".yml", ".txt")}
    assert names[".yml"] == names[".txt"]


def test_reads_every_option_of_a_file() -> None:
    """Each option of the good file that has them all arrives, in its type."""
    settings = load({"config.file": str(FILES / "good" / "everything.yml")})
    told = {
        option.name: getattr(part, option.path[-1])
        for option in options()
        for part in [_part(settings, option.path[:-1])]
    }
    key, proxy = told.pop("api_key"), told.pop("proxy_url")
    assert "the-key" == key.get_secret_value()
    assert "http://user:password@proxy.example:3128" == proxy.get_secret_value()
    assert {
        "api_key_file": None,
        "base_url": "https://reseller.example",
        "countries": ("NO", "SE", "UK"),
        "ca_file": None,
        "max_body_bytes": 1048576,
        "collectors.servers.enabled": True,
        "collectors.servers.interval": timedelta(seconds=90),
        "collectors.servers.max_records": 30000,
        "collectors.usage.enabled": True,
        "collectors.usage.interval": timedelta(hours=1),
        "collectors.usage.max_records": 40000,
        "collectors.usage.detail": "pop",
        "collectors.usage.settle_days": 3,
        "collectors.plans.enabled": True,
        "collectors.plans.interval": timedelta(hours=2),
        "collectors.plans.max_records": 500,
        "collectors.accounts.enabled": True,
        "collectors.accounts.interval": timedelta(hours=3),
        "collectors.accounts.max_records": 600000,
        "collectors.accounts.max_groups": 7,
        "collectors.usage_report.enabled": False,
        "collectors.usage_report.interval": timedelta(minutes=30),
        "collectors.usage_report.max_records": 700000,
        "web.listen_address": ("127.0.0.1:11940", "[::1]:11940"),
        "web.telemetry_path": "/wlvpn/metrics",
        "web.config.file": Path("../../webconfig/good/headers.yml"),
        "log.level": "warning",
        "log.format": "json",
        "config.file": FILES / "good" / "everything.yml",
    } == told


def _part(settings: object, path: tuple[str, ...]) -> object:
    for name in path:
        settings = getattr(settings, name)
    return settings


# Precedence

ALL_SOURCES = ["flags", "environment", ".env", "file", "default"]


@pytest.mark.parametrize("highest", range(5), ids=ALL_SOURCES)
def test_first_source_that_names_an_option_wins(highest: int, monkeypatch: Patch) -> None:
    """Flags go before the environment, that before .env, that before the file, before defaults."""
    flags: dict[str, str] = {**write("base_url: https://3.example\n")} if highest <= 3 else {}
    if highest <= 2:
        Path(".env").write_text("WLVPN_BASE_URL=https://2.example\n")
    if highest <= 1:
        monkeypatch.setenv("WLVPN_BASE_URL", "https://1.example")
    if highest == 0:
        flags["base_url"] = "https://0.example"
    expected = f"https://{highest}.example" if highest <= 3 else "https://api.wlvpn.com"
    assert expected == load(flags).base_url


def test_sources_complete_each_other(monkeypatch: Patch) -> None:
    """Options of one section may come from five sources."""
    Path(".env").write_text("WLVPN_COLLECTORS__USAGE__DETAIL=pop\n")
    monkeypatch.setenv("WLVPN_COLLECTORS__USAGE__INTERVAL", "20m")
    flags = write("collectors: {usage: {settle_days: 9}}")
    usage = polled({**flags, "collectors.usage.enabled": "false"}, "usage")
    assert (False, timedelta(minutes=20), "pop", 9, 20_000) == (
        usage.enabled,
        usage.interval,
        usage.detail,
        usage.settle_days,
        usage.max_records,
    )


KEY_SOURCES = ["environment", ".env", "secrets", "file"]


@pytest.mark.parametrize(
    ("this", "that"), [("api_key", "api_key_file"), ("api_key_file", "api_key")]
)
@pytest.mark.parametrize("highest", range(4), ids=KEY_SOURCES)
def test_first_source_that_names_a_key_wins(
    highest: int, this: str, that: str, tmp_path: Path, monkeypatch: Patch
) -> None:
    """A key, or a key's file, hides the keys and key files of all sources below it."""
    (tmp_path / "secrets").mkdir()
    for place in range(4):
        Path(f"key-{place}").write_text(f"key-{place}\n")
    if highest <= 0:
        monkeypatch.setenv(f"WLVPN_{this.upper()}", "key-0")
    if highest <= 1:
        Path(".env").write_text(f"WLVPN_{that.upper()}=key-1\n")
    if highest <= 2:
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "secrets"))
        Path("secrets/wlvpn_api_key").write_text("key-2")
    flags = write(f"{this}: key-3")
    assert header(f"key-{highest}") == found(flags)["default"].key.header


@pytest.mark.parametrize("directory", ["/nonexistent", "n" * 300], ids=["missing", "impossible"])
def test_credentials_directory_without_a_key_says_nothing(
    directory: str, monkeypatch: Patch
) -> None:
    """A secrets directory that holds other things, is missing or not for us, is passed over."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", directory)
    assert header("yaml") == found(write("api_key: yaml"))["default"].key.header


@pytest.mark.parametrize("highest", [0, 1, 2], ids=["flags", "environment", ".env"])
def test_first_source_that_names_the_file_wins(highest: int, monkeypatch: Patch) -> None:
    """The YAML file itself may be named by a flag, a variable or .env, in this order."""
    for place in range(3):
        write(f"api_key: key-{place}", f"{place}.yml")
    Path(".env").write_text("WLVPN_CONFIG__FILE=2.yml\n")
    if highest <= 1:
        monkeypatch.setenv("WLVPN_CONFIG__FILE", "1.yml")
    flags = {"config.file": "0.yml"} if highest == 0 else {}
    assert header(f"key-{highest}") == found(flags)["default"].key.header


def test_variables_are_nested_by_two_underscores(monkeypatch: Patch) -> None:
    """The variables that the documentation gives as examples are understood."""
    monkeypatch.setenv("WLVPN_API_KEY", "the-key")
    monkeypatch.setenv("WLVPN_COUNTRIES", "FR, us,,NO ,fr")
    monkeypatch.setenv("WLVPN_WEB__LISTEN_ADDRESS", "127.0.0.1:11940,[::1]:11940")
    monkeypatch.setenv("WLVPN_COLLECTORS__SERVERS__INTERVAL", "30s")
    settings = load({})
    assert (("FR", "US", "NO"), ("127.0.0.1:11940", "[::1]:11940"), timedelta(seconds=30)) == (
        settings.countries,
        settings.web.listen_address,
        polled({}, "servers").interval,
    )


def test_every_option_is_a_variable(monkeypatch: Patch) -> None:
    """No option's variable is taken for an unknown one."""
    told = {option.variable for option in options()}
    for variable in told:
        monkeypatch.setenv(variable, "?")
    assert [] == [line for line in problems() if "unknown" in line]
    assert {"WLVPN_API_KEY", "WLVPN_API_KEY_FILE", "WLVPN_LOG__LEVEL"} <= told


def test_empty_variables_say_nothing(monkeypatch: Patch) -> None:
    """An empty variable neither sets an option nor hides a key: compose files leave such behind."""
    for option in options():
        monkeypatch.setenv(option.variable, "")
    Path(".env").write_text("WLVPN_BASE_URL=\nWLVPN_API_KEY=\n")
    flags = write("api_key: yaml\nbase_url: https://yaml.example\ncountries: SE")
    target = found(flags)["default"]
    assert (header("yaml"), "https://yaml.example", ("SE",)) == (
        target.key.header,
        target.base_url,
        target.collectors[0].countries,
    )


@pytest.mark.parametrize(
    "name",
    [
        "WLVPN_EXPORTER_SERVICE_HOST",
        "WLVPN_EXPORTER_SERVICE_PORT",
        "WLVPN_EXPORTER_SERVICE_PORT_METRICS",
        "WLVPN_EXPORTER_PORT",
        "WLVPN_EXPORTER_PORT_11940_TCP",
        "WLVPN_EXPORTER_PORT_11940_TCP_PROTO",
        "WLVPN_EXPORTER_PORT_11940_TCP_PORT",
        "WLVPN_EXPORTER_PORT_11940_TCP_ADDR",
        "WLVPN_SERVICE_HOST",
        "WLVPN_PORT",
    ],
)
def test_ignores_service_links(name: str, monkeypatch: Patch) -> None:
    """The variables that Kubernetes makes of a Service called wlvpn-something are not ours."""
    monkeypatch.setenv("WLVPN_API_KEY", "the-key")
    monkeypatch.setenv(name, "tcp://10.0.0.1:11940")
    assert ["default"] == list(found())


# Unknown names


@pytest.mark.parametrize(
    ("name", "mend"),
    [
        ("WLVPN_APIKEY", "did you mean WLVPN_API_KEY?"),
        ("WLVPN_COUNTRY", "did you mean WLVPN_COUNTRIES?"),
        ("wlvpn_base_uri", "did you mean WLVPN_BASE_URL?"),
        ("WLVPN_WEB__LISTEN_ADRESS", "did you mean WLVPN_WEB__LISTEN_ADDRESS?"),
        ("WLVPN_WEB_LISTEN_ADDRESS", "did you mean WLVPN_WEB__LISTEN_ADDRESS?"),
        (
            "WLVPN_COLLECTORS__SERVERS__INTERVALL",
            "did you mean WLVPN_COLLECTORS__SERVERS__INTERVAL?",
        ),
        ("WLVPN_XYZZY", "see --help for those there are"),
    ],
)
def test_refuses_unknown_variables(name: str, mend: str, monkeypatch: Patch) -> None:
    """A WLVPN_ variable that means nothing is one error, with the nearest that does."""
    monkeypatch.setenv("WLVPN_API_KEY", "the-key")
    monkeypatch.setenv(name, "1")
    assert (f"{name}: unknown variable: {mend}",) == problems()


@pytest.mark.parametrize(
    "name",
    [
        "WLVPN_ACCOUNTS",
        "WLVPN_ACCOUNTS__BRAND_A",
        "WLVPN_ACCOUNTS__BRAND_A__API_KEYS",
        "WLVPN_ACCOUNTS__BRAND_A__COLLECTORS__SERVERS__INTERVALL",
        "WLVPN_ACCOUNTS__BRAND_A__WEB__LISTEN_ADDRESS",
    ],
)
def test_refuses_unknown_variables_of_accounts(name: str, monkeypatch: Patch) -> None:
    """Within an account as well, a misspelt variable is named."""
    monkeypatch.setenv("WLVPN_API_KEY", "the-key")
    monkeypatch.setenv("WLVPN_ACCOUNTS__BRAND_A__API_KEY", "key-a")
    monkeypatch.setenv(name, "{}")
    assert problems()[0].startswith(f"{name}: unknown variable: ")


@pytest.mark.parametrize(
    ("yaml", "expected"),
    [
        ("contries: FR", "contries: unknown option: did you mean countries?"),
        ("acounts: {}", "acounts: unknown option: did you mean accounts?"),
        ("colectors: {}", "colectors: unknown option: did you mean collectors?"),
        ("log: {levl: info}", "log.levl: unknown option: did you mean level?"),
        ("collectors: {server: {}}", "collectors.server: unknown option: did you mean servers?"),
        (
            "collectors: {usage: {details: pop}}",
            "collectors.usage.details: unknown option: did you mean detail?",
        ),
        (
            "accounts: {a: {api_key: k, baseurl: x}}",
            "accounts.a.baseurl: unknown option: did you mean base_url?",
        ),
        (
            "accounts: {a: {api_key: k, collectors: {usage: {details: pop}}}}",
            "accounts.a.collectors.usage.details: unknown option: did you mean detail?",
        ),
        ("xyzzy: 1", "xyzzy: unknown option: see --help for those there are"),
    ],
)
def test_refuses_unknown_keys(yaml: str, expected: str) -> None:
    """A key of the file that means nothing is one error, with the nearest name of its level."""
    assert (expected,) == problems(write(f"api_key: the-key\n{yaml}"))


def test_refuses_unknown_variables_in_dotenv() -> None:
    """A misspelt variable in .env does not pass silently; other programs' do."""
    Path(".env").write_text("OTHER=1\nWLVPN_API_KEY=the-key\nWLVPN_CONTRIES=FR\n")
    [problem] = problems()
    assert "unknown" in problem


# All at once


def test_tells_all_at_once(monkeypatch: Patch) -> None:
    """Variables, flags and the file are all checked in one run."""
    monkeypatch.setenv("WLVPN_API_KEY", "the-key")
    monkeypatch.setenv("WLVPN_XYZZY", "1")
    monkeypatch.setenv("WLVPN_COLLECTORS__SERVERS__INTERVAL", "5s")
    flags = {**write("countries: [FRA]"), "log.level": "loud"}
    assert [
        "WLVPN_XYZZY",
        "collectors.servers.interval",
        "countries",
        "log.level",
    ] == sorted(problem.partition(":")[0] for problem in problems(flags))


def test_tells_of_the_file_and_of_variables_at_once(monkeypatch: Patch) -> None:
    """A file that cannot be read does not hide what else is wrong."""
    monkeypatch.setenv("WLVPN_XYZZY", "1")
    flags = {"config.file": "missing.yml"}
    assert ["WLVPN_XYZZY", "config.file"] == [p.partition(":")[0] for p in problems(flags)]


def test_tells_of_options_and_of_keys_at_once(monkeypatch: Patch) -> None:
    """A wrong option does not hide that there is no key."""
    monkeypatch.setenv("WLVPN_COUNTRIES", "FRA")
    assert ["api_key", "countries"] == sorted(p.partition(":")[0] for p in problems())


def test_tells_all_of_one_account_at_once() -> None:
    """A certificate file that cannot be read does not hide that there is no key."""
    assert ["api_key", "ca_file"] == sorted(
        p.partition(":")[0] for p in problems({"ca_file": "missing.pem"})
    )


@pytest.mark.parametrize(
    "yaml",
    ['"a\\nb": 1', 'api_key_file: "a\\nb"', 'ca_file: "a\\nb"', 'countries: ["a\\nb"]'],
    ids=["option", "key file", "certificates", "country"],
)
def test_problems_are_one_line_each(yaml: str) -> None:
    """Hostile text cannot forge a second line."""
    assert [1] == [len(p.splitlines()) for p in problems(write(yaml)) if "no key" not in p]


# Values


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("15s", 15), ("90s", 90), ("15000ms", 15), ("1m30s", 90), ("15m", 900), ("1d", 86400)],
)
def test_reads_intervals(text: str, seconds: int) -> None:
    """An interval is a number with its unit, at least 15 s."""
    servers = polled({"collectors.servers.interval": text}, "servers")
    assert timedelta(seconds=seconds) == servers.interval


NO_DURATION = "not a duration: write a number with its unit, such as 90s, 15m or 1h"
TOO_SHORT = "shorter than 15s would be impolite to the API: write 15s or more"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("60", NO_DURATION),
        ("60.0", NO_DURATION),
        ("1.5m", NO_DURATION),
        ("-60s", NO_DURATION),
        ("60 s", NO_DURATION),
        ("60S", NO_DURATION),
        ("\u0661\u0665s", NO_DURATION),
        ("soon", NO_DURATION),
        ("0s", TOO_SHORT),
        ("14s999ms", TOO_SHORT),
        ("1ms", TOO_SHORT),
    ],
)
def test_refuses_intervals(text: str, expected: str) -> None:
    """A number without a unit is a guess, and a short interval is refused, never clamped."""
    flags = {"api_key": "the-key", "collectors.usage.interval": text}
    assert (f"collectors.usage.interval: {expected}",) == problems(flags)


@pytest.mark.parametrize("text", ["999999999d", "999999999d999999999d"])
def test_refuses_absurd_intervals(text: str) -> None:
    """An interval that no clock can count to is refused like any wrong one."""
    flags = {"api_key": "the-key", "collectors.usage.interval": text}
    [problem] = problems(flags)
    assert problem.startswith("collectors.usage.interval: ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((text, True) for text in ("true", "True", "yes", "on", "1")),
        *((text, False) for text in ("false", "FALSE", "no", "off", "0")),
    ],
)
def test_reads_booleans(text: str, *, expected: bool) -> None:
    """Yes and no are taken in the usual words."""
    assert expected is polled({"collectors.usage.enabled": text}, "usage").enabled


@pytest.mark.parametrize("text", ["5_0", "0", "-1", "many", "True", ""])
def test_refuses_numbers(text: str) -> None:
    """A whole number is digits; Python's own spellings are none."""
    flags = {"api_key": "the-key", "collectors.usage.max_records": text}
    [problem] = problems(flags)
    assert problem.startswith("collectors.usage.max_records: ")


@pytest.mark.parametrize(
    ("yaml", "expected"),
    [
        ("[NO, SE]", ("NO", "SE")),
        ("NO", ("NO",)),
        ("no,se", ("NO", "SE")),
        ("[uk, UK, ON]", ("UK", "ON")),
        ("[]", ()),
    ],
)
def test_reads_countries(yaml: str, expected: tuple[str, ...]) -> None:
    """Norway is a country, not a negation; codes are upper case, each once, in order."""
    assert expected == load(write(f"countries: {yaml}")).countries


@pytest.mark.parametrize("text", ["FRA", "F", "F1", "NO SE", "FR;US", "ÅÄ", "ß", "\ufb01"])
def test_refuses_countries(text: str) -> None:
    """Two letters, as the platform writes them, and nothing that only looks like it."""
    flags = {"api_key": "the-key", "countries": text}
    [problem] = problems(flags)
    assert "is not a country: write two-letter codes such as FR,US" in problem


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://api.wlvpn.com", "https://api.wlvpn.com"),
        ("https://api.wlvpn.com/", "https://api.wlvpn.com"),
        ("https://example.com:8443/wlvpn/", "https://example.com:8443/wlvpn"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://127.9.9.9", "http://127.9.9.9"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://localhost", "http://localhost"),
    ],
)
def test_takes_base_urls(url: str, expected: str) -> None:
    """Any host by https, and by http where nobody else can listen."""
    assert expected == load({"base_url": url}).base_url


NOT_SAFE = "must be https, or the key could be read on its way; http is for loopback only"
NOT_BASE = "not a base URL: write one such as https://api.wlvpn.com"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://api.wlvpn.com", NOT_SAFE),
        ("http://10.0.0.1", NOT_SAFE),
        ("http://0.0.0.0", NOT_SAFE),
        ("http://[::]", NOT_SAFE),
        ("http://localhost.example.com", NOT_SAFE),
        ("http://127.0.0.1.example.com", NOT_SAFE),
        ("ftp://127.0.0.1", NOT_SAFE),
        ("//api.wlvpn.com", NOT_SAFE),
        ("api.wlvpn.com", NOT_BASE),
        ("", NOT_BASE),
        ("https://", NOT_BASE),
        ("https://user@api.wlvpn.com", NOT_BASE),
        ("https://user:word@api.wlvpn.com", NOT_BASE),
        ("https://:word@api.wlvpn.com", NOT_BASE),
        ("https://@api.wlvpn.com", NOT_BASE),
        ("https://api.wlvpn.com?country=FR", NOT_BASE),
        ("https://api.wlvpn.com#servers", NOT_BASE),
        ("https://api.wlvpn.com?", NOT_BASE),
        ("https://api.wlvpn.com#", NOT_BASE),
        ("https://api.wlvpn.com:99999", NOT_BASE),
        ("https://api.wlvpn.com:port", NOT_BASE),
        ("https://[::1", NOT_BASE),
        ("https://api wlvpn.com", NOT_BASE),
        ("https://api.wlvpn.com\n", NOT_BASE),
    ],
)
def test_refuses_base_urls(url: str, expected: str) -> None:
    """What could give the key away, or is no place to ask, is refused."""
    assert (f"base_url: {expected}",) == problems({"api_key": "the-key", "base_url": url})


@pytest.mark.parametrize("url", ["HTTPS://api.wlvpn.com", " https://api.wlvpn.com"])
def test_odd_spellings_of_https_stay_https(url: str) -> None:
    """A base URL is written in one way: whoever looks for `https:` later finds it."""
    try:
        accepted = load({"base_url": url}).base_url
    except ConfigError:
        return
    assert "https://api.wlvpn.com" == accepted


@pytest.mark.parametrize("path", ["/metrics", "/a/b-c_d.e/2"])
def test_takes_telemetry_paths(path: str) -> None:
    """Metrics may be anywhere that is not taken."""
    assert path == load({"web.telemetry_path": path}).web.telemetry_path


@pytest.mark.parametrize(
    "path", ["", "/", "metrics", "/metrics/", "/-/healthy", "/sd/servers", "/a b", "/a?b", "/{a}"]
)
def test_refuses_telemetry_paths(path: str) -> None:
    """A path that is taken, or is none, is refused."""
    flags = {"api_key": "the-key", "web.telemetry_path": path}
    expected = "web.telemetry_path: not a path for metrics: write one such as /metrics"
    assert (expected,) == problems(flags)


@pytest.mark.parametrize("address", ["11940", "localhost", "::1:11940", "[::1]", ":99999", "a:b"])
def test_refuses_listen_addresses(address: str) -> None:
    """An address is a host and a port, the host of IPv6 in brackets."""
    expected = f"{address} is not an address: write host:port such as 0.0.0.0:11940"
    flags = {"api_key": "the-key", "web.listen_address": address}
    assert (f"web.listen_address: {expected}",) == problems(flags)


def test_default_address_is_every_ipv4_address() -> None:
    """Without a word, everybody on the network can scrape."""
    [address] = load({}).web.listen_address
    host, _, port = address.partition(":")
    assert (ip_address("0.0.0.0"), "11940") == (ip_address(host), port)  # noqa: S104


# The key


@pytest.mark.parametrize("text", ["the-key", "the-key\n", " the-key\r\n", "\nthe-key\n\n"])
def test_reads_key_files(text: str) -> None:
    """Editors end files with a newline, which is not part of the key."""
    Path("key").write_text(text, newline="")
    assert header("the-key") == found({"api_key_file": "key"})["default"].key.header


NOT_A_KEY = "key: not a key: it must be one word of printable ASCII"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", NOT_A_KEY),
        (b" \n", NOT_A_KEY),
        (b"the key", NOT_A_KEY),
        (b"the-key\nanother", NOT_A_KEY),
        (b"the\tkey", NOT_A_KEY),
        (b"the\0key", NOT_A_KEY),
        ("clé".encode(), "key is not text: write the key alone into it"),
        (b"\xef\xbb\xbfthe-key", "key is not text: write the key alone into it"),
        (b"\xff\xfet\0h\0e\0", "key is not text: write the key alone into it"),
    ],
)
def test_refuses_key_files(content: bytes, expected: str) -> None:
    """A file that holds anything but one word is refused at the start, not by the API."""
    Path("key").write_bytes(content)
    assert (f"api_key_file: {expected}",) == problems({"api_key_file": "key"})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (".", ". cannot be read: Is a directory"),
        ("missing", "missing cannot be read: No such file or directory"),
        ("file/key", "file/key cannot be read: Not a directory"),
        ("loop", "loop cannot be read: Too many levels of symbolic links"),
        ("n" * 300, "what it was given cannot be read: File name too long"),
    ],
    ids=["directory", "missing", "not a directory", "loop", "long"],
)
@pytest.mark.parametrize("option", ["api_key_file", "config.file"])
def test_tells_why_a_file_cannot_be_read(option: str, name: str, expected: str) -> None:
    """A file that cannot be read is named, with the system's own reason."""
    Path("file").touch()
    Path("loop").symlink_to("loop")
    assert f"{option}: {expected}" in problems({option: name})


@pytest.mark.parametrize("option", ["api_key_file", "ca_file"])
@pytest.mark.parametrize("escape", [r"\0", r"\ud800"], ids=["null", "surrogate"])
def test_refuses_paths_that_no_file_can_have(option: str, escape: str) -> None:
    """A path the system cannot even be asked for is an error like any other."""
    told = problems(write(f'{option}: "a{escape}b"'))
    assert any(problem.startswith(f"{option}: ") for problem in told)


@pytest.mark.parametrize("key", ["the key", "the-key\n", "clé", "\x7f"])
def test_refuses_ill_formed_keys(key: str) -> None:
    """A key that cannot stand in a header is refused, without being told."""
    expected = "api_key: not a key: it must be one word of printable ASCII"
    assert (expected,) == problems({"api_key": key})


def test_tells_where_a_key_can_be_set() -> None:
    """Whoever starts without a key learns the two variables that give one."""
    expected = "api_key: no key: set WLVPN_API_KEY or WLVPN_API_KEY_FILE (the demo needs none)"
    assert (expected,) == problems()


def test_refuses_a_dotenv_that_is_not_text() -> None:
    """A broken .env is an error like any other."""
    Path(".env").write_bytes(b"WLVPN_API_KEY=\xff\n")
    [problem] = [line for line in problems() if "no key" not in line]
    assert ".env" in problem


@pytest.mark.parametrize("section", ["WEB", "LOG", "CONFIG", "COLLECTORS"])
@pytest.mark.parametrize("value", ["plain", '"text"', "[]", '{"file": 1}'])
def test_refuses_a_section_in_one_variable(section: str, value: str, monkeypatch: Patch) -> None:
    """A variable that names a whole section is unknown, whatever it holds."""
    monkeypatch.setenv("WLVPN_API_KEY", "the-key")
    monkeypatch.setenv(f"WLVPN_{section}", value)
    assert problems()[0].startswith(f"WLVPN_{section}: unknown variable: ")


def test_refuses_yaml_that_is_too_deep() -> None:
    """A file nested beyond reason is an error like any other."""
    [problem] = problems(write("[" * 3000))
    assert problem.startswith("config.file: wlvpn.yml")


# Accounts


def test_variables_make_accounts(monkeypatch: Patch) -> None:
    """Accounts need no file: their variables carry their name."""
    monkeypatch.setenv("WLVPN_ACCOUNTS__BRAND_A__API_KEY", "12345")
    monkeypatch.setenv("WLVPN_ACCOUNTS__BRAND_A__COUNTRIES", "NO,SE")
    monkeypatch.setenv("WLVPN_ACCOUNTS__BRAND_A__COLLECTORS__SERVERS__INTERVAL", "30s")
    monkeypatch.setenv("WLVPN_ACCOUNTS__BRAND_B__API_KEY", "true")
    accounts = found()
    assert {"brand_a": header("12345"), "brand_b": header("true")} == {
        name: target.key.header for name, target in accounts.items()
    }
    servers, _ = accounts["brand_a"].collectors
    assert (("NO", "SE"), timedelta(seconds=30)) == (servers.countries, servers.options.interval)


def test_variables_complete_accounts_of_the_file(monkeypatch: Patch) -> None:
    """The file may hold an account and a variable its key."""
    monkeypatch.setenv("WLVPN_ACCOUNTS__BRAND_A__API_KEY", "key-a")
    target = found(write("accounts: {brand_a: {base_url: 'https://a.example'}}"))["brand_a"]
    assert (header("key-a"), "https://a.example") == (target.key.header, target.base_url)


def test_key_of_an_account_hides_those_of_lower_sources(monkeypatch: Patch) -> None:
    """For an account as well, a variable's key goes before the file's key file."""
    monkeypatch.setenv("WLVPN_ACCOUNTS__BRAND_A__API_KEY", "key-a")
    target = found(write("accounts: {brand_a: {api_key_file: missing}}"))["brand_a"]
    assert header("key-a") == target.key.header


TOP = """\
api_key: top
base_url: https://top.example
countries: [FR]
proxy_url: http://top.example:3128
collectors: {servers: {interval: 20s, max_records: 7}, usage: {enabled: no}}
accounts:
  heir: {api_key: heir}
  own:
    api_key: own
    base_url: https://own.example
    countries: []
    proxy_url: http://own.example:3128
    collectors: {servers: {interval: 40s}, usage: {enabled: yes}}
"""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("default", ("https://top.example", "http://top.example:3128", [("FR",)], ["20s"])),
        ("heir", ("https://top.example", "http://top.example:3128", [("FR",)], ["20s"])),
        ("own", ("https://own.example", "http://own.example:3128", [(), ()], ["40s", "15m"])),
    ],
)
def test_accounts_inherit_what_they_leave_unsaid(
    name: str, expected: tuple[object, ...], settings: Settings
) -> None:
    """The top level is every account's default, option by option; an empty list is said."""
    [target] = [target for target in targets(settings) if target.account == name]
    assert expected == (
        target.base_url,
        target.proxy_url,
        [collector.countries for collector in target.collectors],
        [_written(collector.options.interval) for collector in target.collectors],
    )
    assert 7 == target.collectors[0].options.max_records


@pytest.fixture
def settings() -> Settings:
    return load(write(TOP))


def _written(interval: timedelta) -> str:
    seconds = int(interval.total_seconds())
    return f"{seconds // 60}m" if seconds % 60 == 0 else f"{seconds}s"


@pytest.mark.parametrize("key", ["api_key: top", "api_key_file: key"])
def test_accounts_do_not_inherit_the_key(key: str) -> None:
    """One account's key is never sent in another's name."""
    Path("key").write_text("top")
    [problem] = problems(write(f"{key}\naccounts: {{heir: {{countries: FR}}}}"))
    assert problem.startswith("accounts.heir.api_key: no key")


def test_key_of_an_account_is_its_own(settings: Settings) -> None:
    """Each account gets its key."""
    assert {"default": header("top"), "heir": header("heir"), "own": header("own")} == {
        target.account: target.key.header for target in targets(settings)
    }


def test_accounts_alone_need_no_top_level_key() -> None:
    """Without a key at the top level there is no account named default."""
    assert ["brand-a"] == list(found(write("accounts: {brand-a: {api_key: key-a}}")))


def test_an_option_without_a_value_counts_as_absent() -> None:
    """A section's or an option's bare name in the file changes nothing, as an empty variable."""
    text = "api_key: the-key\nweb:\nlog: {level: }\ncountries:\ncollectors:\n  usage:\n"
    assert load({"api_key": "the-key"}) == load(write(text)).model_copy(
        update={"config": load({"api_key": "the-key"}).config}
    )


def test_an_account_without_options_lacks_its_key() -> None:
    """It is not forgotten in silence."""
    expected = "accounts.a.api_key: no key: set api_key_file for this account"
    assert (expected,) == problems(write("accounts:\n  a:\n"))


@pytest.mark.parametrize(
    "text",
    [r'a: "\U00110000"', r'a: "\UFFFFFFFF"', f"%YAML 1.{'9' * 5000}\n--- {{}}"],
    ids=["no character", "no number of one", "no version"],
)
def test_what_the_parser_stumbles_over_is_no_yaml(text: str) -> None:
    """It raises other errors than its own for these."""
    assert ("config.file: wlvpn.yml is not YAML",) == problems(write(text))


def test_a_name_that_stands_twice_is_refused() -> None:
    """Neither of two values is the right one."""
    expected = "config.file: wlvpn.yml, line 2: this name stands twice"
    text = "api_key: the-key\nlog: {level: info, level: debug}\n"
    assert (expected,) == problems(write(text))


def test_the_file_cannot_name_another() -> None:
    """Whoever tries learns that it would not be read."""
    expected = "config.file: wlvpn.yml: it cannot name another file: remove `config`"
    assert (expected,) == problems(write("api_key: k\nconfig: {file: other.yml}"))


@pytest.mark.parametrize(
    "url",
    [
        "proxy.example",
        "ftp://proxy.example",
        "http://",
        "http://a b",
        "http://a:99999",
        "http://[::1",
    ],
)
def test_refuses_what_is_no_proxy(url: str, monkeypatch: Patch) -> None:
    """Not only the first poll tells."""
    monkeypatch.setenv("WLVPN_PROXY_URL", url)
    expected = "proxy_url: not a proxy: write its URL, such as http://proxy.example:3128"
    assert (expected,) == problems({"api_key": "the-key"})


def test_a_variable_without_a_value_in_dotenv_hides_nothing() -> None:
    """A bare name in .env is as if it were not there."""
    Path(".env").write_text("WLVPN_API_KEY\n")
    assert header("of-the-file") == found(write("api_key: of-the-file"))["default"].key.header
