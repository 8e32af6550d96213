"""The configuration: read from all sources, checked, and handed on in parts.

The first source that names an option wins: flags, `WLVPN_` environment variables (nested by `__`),
`.env`, the secrets directory, the YAML file, defaults.
"""

import os
import re
import ssl
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial, reduce
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource, SettingsError

from exporter import logs, webconfig
from exporter.collectors import ALL
from exporter.collectors.base import Collector
from exporter.errors import ConfigError
from exporter.key import Key
from exporter.settings import DEFAULT_ACCOUNT, Account, Settings, options
from exporter.source import PREFIX, complete, given, nearest, shown
from exporter.webconfig import Rules

# Kubernetes gives every pod such variables for a Service that is called wlvpn-something.
_SERVICE_LINK = re.compile(r".*_(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_[0-9]+_(TCP|UDP|SCTP).*)?)")

_NO_KEY = f"api_key: no key: set {PREFIX}API_KEY or {PREFIX}API_KEY_FILE (the demo needs none)"
_MENDS = {
    "bool_parsing": "write true or false",
    "bool_type": "write true or false",
    "dict_type": "not a map of options",
    "model_type": "not a map of options",
    "string_type": "not text",
    "tuple_type": "not a list",
}


@dataclass(frozen=True, slots=True)
class Target:
    """What the service needs to know of one account."""

    account: str
    key: Key
    base_url: str
    proxy_url: str | None = field(repr=False)
    ca_file: Path | None
    max_body_bytes: int
    collectors: tuple[Collector[Any, Any], ...]


def load_logging(flags: Mapping[str, str]) -> Settings:
    """Reads the configuration, and begins to log as it says.

    Raises:
        ConfigError: with all that is wrong, at once.
    """
    settings = load(flags)
    logs.start(settings.log.level, settings.log.format)
    return settings


def load(flags: Mapping[str, str]) -> Settings:
    """Reads the configuration from all sources.

    Args:
        flags: values by option name, which go before every other source.

    Raises:
        ConfigError: with all that is wrong, at once.
    """
    unknown: dict[str, str] = {}
    try:
        dotenv = _read_dotenv()
        unknown = _unknown_variables([*os.environ, *dotenv.env_vars])
        settings = _validate(_read(flags, dotenv), unknown)
        if unknown:
            check(settings)
    except ConfigError as error:
        raise ConfigError([*unknown.values(), *error.problems]) from None
    if unknown:
        raise ConfigError([*unknown.values()])
    return settings


def _read_dotenv() -> DotEnvSettingsSource:
    try:
        return DotEnvSettingsSource(Settings)
    except (OSError, UnicodeDecodeError):
        raise ConfigError([".env: not a readable text file: mend or remove it"]) from None


def _read(flags: Mapping[str, str], dotenv: DotEnvSettingsSource) -> dict[str, Any]:
    """Reads all sources; the first that names an option wins."""
    nested: dict[str, Any] = {}
    for name, value in flags.items():
        *parents, leaf = name.split(".")
        place = nested
        for parent in parents:
            place = place.setdefault(parent, {})
        place[leaf] = value
    try:
        variables, lines = EnvSettingsSource(Settings)(), dotenv()
    except SettingsError as error:
        raise ConfigError([f"{error}: write plain text, not JSON"]) from None
    lines = {name: value for name, value in lines.items() if value is not None}
    return reduce(_merge, complete([nested, variables, lines]))


def _merge(high: Mapping[str, Any], low: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**low, **high}
    for name in high.keys() & low.keys():
        if isinstance(high[name], dict) and isinstance(low[name], dict):
            merged[name] = _merge(high[name], low[name])
    return merged


def _validate(merged: Mapping[str, Any], unknown: Mapping[str, str]) -> Settings:
    try:
        return Settings(**merged)
    except ValidationError as error:
        found = error.errors(include_input=False)
        problems = [_told(problem) for problem in found if _variable(problem) not in unknown]
        if not merged.keys() & {"api_key", "api_key_file", "accounts"}:
            problems.append(_NO_KEY)
        raise ConfigError(problems) from None


def targets(settings: Settings) -> tuple[Target, ...]:
    """Gives the accounts, complete: what one leaves unsaid is taken from the top level.

    Raises:
        ConfigError: an account has no key, or a file cannot be read.
    """
    accounts = {name: _inherit(settings, own) for name, own in settings.accounts.items()}
    if settings.api_key or settings.api_key_file or not accounts:
        accounts = {DEFAULT_ACCOUNT: settings, **accounts}
    found, problems = [], []
    for name, account in accounts.items():
        path = "" if account is settings else f"accounts.{name}."
        try:
            found.append(_target(name, account))
        except ConfigError as error:
            problems += [path + problem for problem in error.problems]
    if problems:
        raise ConfigError(problems)
    return tuple(found)


def check(settings: Settings) -> tuple[tuple[Target, ...], Rules]:
    """Gives the accounts, and what the web config file says.

    Raises:
        ConfigError: with all that is wrong with either, at once.
    """
    found: tuple[Target, ...] = ()
    problems: list[str] = []
    try:
        found = targets(settings)
    except ConfigError as error:
        problems += error.problems
    file = settings.web.config.file
    loaded = webconfig.load(file) if file else None
    problems += loaded.problems if loaded else ()
    if problems:
        raise ConfigError(problems)
    return found, loaded.rules if loaded else Rules()


def _target(name: str, account: Account) -> Target:
    problems: list[str] = []
    try:
        key = _key(account)
    except ConfigError as error:
        problems += error.problems
    if account.ca_file and not _is_readable_pem(account.ca_file):
        problems.append(f"ca_file: {given(account.ca_file)} is not a readable PEM file")
    if problems:
        raise ConfigError(problems)
    collectors = account.collectors
    return Target(
        account=name,
        key=key,
        base_url=account.base_url,
        proxy_url=account.proxy_url.get_secret_value() if account.proxy_url else None,
        ca_file=account.ca_file,
        max_body_bytes=account.max_body_bytes,
        collectors=tuple(
            kind(getattr(collectors, kind.name), account.countries)
            for kind in ALL
            if getattr(collectors, kind.name).enabled
        ),
    )


def _is_readable_pem(path: Path) -> bool:
    try:
        ssl.create_default_context(cafile=path)
    except (OSError, ValueError):
        return False
    return True


def _key(account: Account) -> Key:
    if account.api_key:
        source, key = "api_key", Key(account.api_key.get_secret_value)
    elif account.api_key_file:
        source = f"api_key_file: {given(account.api_key_file)}"
        try:
            key = Key(partial(_read_key, account.api_key_file))
        except OSError as error:
            raise ConfigError([f"{source} cannot be read: {error.strerror}"]) from None
        except UnicodeDecodeError:
            raise ConfigError([f"{source} is not text: write the key alone into it"]) from None
        except ValueError:
            raise ConfigError([f"{source} is not the name of a file"]) from None
    else:
        at_top = isinstance(account, Settings)
        raise ConfigError(
            [_NO_KEY if at_top else "api_key: no key: set api_key_file for this account"]
        )
    if not key.is_well_formed:
        raise ConfigError([f"{source}: not a key: it must be one word of printable ASCII"])
    return key


def _read_key(path: Path) -> str:
    return path.read_text(encoding="ascii").strip()


def _inherit(base: BaseModel, own: BaseModel) -> Any:  # noqa: ANN401 - the type of `own`
    """Fills what `own` leaves unsaid from `base`, except the key."""
    filled = {}
    for name in type(own).model_fields:
        mine, theirs = getattr(own, name), getattr(base, name)
        if isinstance(mine, BaseModel):
            filled[name] = _inherit(theirs, mine)
        elif name not in own.model_fields_set and name not in {"api_key", "api_key_file"}:
            filled[name] = theirs
    return own.model_copy(update=filled)


def _unknown_variables(names: Iterable[str]) -> dict[str, str]:
    """The problem for each WLVPN_ variable, in capitals, that means nothing."""
    known = {option.variable for option in options()}
    of_account = {option.variable.removeprefix(PREFIX) for option in options(Account)}
    problems = {}
    for name in sorted(names):
        plain = name.upper()
        if not plain.startswith(PREFIX) or plain in known or _SERVICE_LINK.fullmatch(plain):
            continue
        account, _, option = plain.removeprefix(f"{PREFIX}ACCOUNTS__").partition("__")
        if account == plain or option not in of_account:
            shorter = {variable.removeprefix(PREFIX) for variable in known}
            mend = _nearest(plain.removeprefix(PREFIX), shorter).replace("mean ", f"mean {PREFIX}")
            problems[plain] = f"{shown(name)}: unknown variable: {mend}"
    return problems


def _variable(problem: Any) -> str:  # noqa: ANN401 - pydantic's ErrorDetails
    """The variable that would have said what a problem is about."""
    return PREFIX + "__".join(str(part) for part in problem["loc"]).upper()


def _nearest(name: str, known: Iterable[str]) -> str:
    return nearest(name, known, "see --help for those there are")


def _told(problem: Any) -> str:  # noqa: ANN401 - pydantic's ErrorDetails
    """One line for one of pydantic's errors, without the value."""
    path = [str(part) for part in problem["loc"]]
    name = shown(".".join(path))
    if problem["type"] == "extra_forbidden":
        return f"{name}: unknown option: {_nearest(path[-1], _siblings(path))}"
    text = _MENDS.get(problem["type"]) or problem["msg"].removeprefix("Value error, ")
    return f"{name}: {text}" if name else text


def _siblings(path: Sequence[str]) -> set[str]:
    """The names that could stand where the last of the path does."""
    model: type[BaseModel] = Settings
    if path[0] == "accounts":
        model, path = Account, path[2:]
    *parents, _ = path
    found = {
        o.path[len(parents)] for o in options(model) if list(o.path[: len(parents)]) == parents
    }
    return found | ({"accounts"} if len(path) == 1 and model is Settings else set())
