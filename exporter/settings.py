"""What the configuration may say."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    create_model,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from exporter.address import parse_address
from exporter.collectors import ALL
from exporter.collectors.base import Whole
from exporter.duration import format_duration
from exporter.source import PREFIX, given

DEFAULT_ACCOUNT = "default"

_COUNTRY = re.compile(r"[A-Za-z]{2}", re.ASCII)
_ACCOUNT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_URL = re.compile(r"[!\"$->@-~]+")  # printable, with neither query nor fragment
_PROXY = re.compile(r"https?://[!-~]*[0-9A-Za-z\]](:[0-9]{1,5})?/?")
_PATH = re.compile(r"/[A-Za-z0-9_./-]*[A-Za-z0-9]", re.ASCII)


def _split(value: object) -> object:
    """Takes comma-separated text for a list, as the environment and flags write one."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


TextList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]


class Section(BaseModel):
    """A part of the configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class WebConfigFile(Section):
    """How it is served: TLS, passwords, response headers."""

    file: Path | None = Field(
        default=None,
        description="A YAML file in the format of Prometheus' exporter-toolkit; it and the files "
        "that it names are read again when they change.",
    )


class Web(Section):
    """What we serve, and where."""

    listen_address: TextList = Field(
        default=("0.0.0.0:11940",),
        description="Addresses to listen on, `host:port`, separated by commas; `[::]:11940` for "
        "IPv6.",
    )
    telemetry_path: str = Field(default="/metrics", description="Path of the metrics.")
    config: WebConfigFile = Field(
        default=WebConfigFile(), description="How it is served: TLS, passwords, response headers."
    )

    @field_validator("listen_address")
    @classmethod
    def _are_addresses(cls, addresses: tuple[str, ...]) -> tuple[str, ...]:
        if not addresses:
            raise ValueError("empty: write an address such as 0.0.0.0:11940")
        for address in addresses:
            parse_address(address)
        return addresses

    @field_validator("telemetry_path")
    @classmethod
    def _is_free(cls, path: str) -> str:
        if not _PATH.fullmatch(path) or path.startswith(("/-/", "/sd/")):
            raise ValueError("not a path for metrics: write one such as /metrics")
        return path


class Log(Section):
    """What we say on stderr."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least severe lines to write."
    )
    format: Literal["logfmt", "json"] = Field(default="logfmt", description="How lines look.")


class ConfigFile(Section):
    """Where more configuration is."""

    file: Path | None = Field(default=None, description="A YAML file with these options.")


Collectors = create_model(
    "Collectors",
    __base__=Section,
    __doc__="What is polled.",
    **{
        kind.name: (kind.options_type, Field(default=kind.options_type(), description=kind.help))
        for kind in ALL
    },  # type: ignore[call-overload] # names and types that only exist at run time
)


class Account(Section):
    """One reseller account."""

    api_key: SecretStr | None = Field(default=None, description="The API key.")
    api_key_file: Path | None = Field(
        default=None, description="A file that holds the API key; read again when it is refused."
    )
    base_url: str = Field(
        default="https://api.wlvpn.com", description="The API, https but for loopback hosts."
    )
    countries: TextList = Field(
        default=(),
        description="Two-letter codes of the countries whose servers are polled, as the platform "
        "writes them (`UK`); none means all.",
    )
    proxy_url: SecretStr | None = Field(
        default=None,
        description="Proxy to reach the API through; the environment's proxies are ignored.",
    )
    ca_file: Path | None = Field(
        default=None, description="PEM file of the certificates to trust instead of the system's."
    )
    max_body_bytes: Whole = Field(
        default=8 * 1024 * 1024,
        ge=1024,
        description="An answer that is larger than this, decompressed, is refused.",
    )
    collectors: Collectors = Field(default=Collectors(), description="What is polled.")

    @field_validator("base_url")
    @classmethod
    def _is_safe(cls, url: str) -> str:
        host = _host(url)
        if not host or not _URL.fullmatch(url) or "@" in urlsplit(url).netloc:
            raise ValueError("not a base URL: write one such as https://api.wlvpn.com")
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
            raise ValueError(
                "must be https, or the key could be read on its way; http is for loopback only"
            )
        return parts.geturl().rstrip("/")

    @field_validator("proxy_url")
    @classmethod
    def _is_proxy(cls, url: SecretStr | None) -> SecretStr | None:
        text = url.get_secret_value() if url else None
        if text and not (_host(text) and _PROXY.fullmatch(text)):
            raise ValueError("not a proxy: write its URL, such as http://proxy.example:3128")
        return url

    @field_validator("countries")
    @classmethod
    def _are_codes(cls, countries: tuple[str, ...]) -> tuple[str, ...]:
        for code in countries:
            if not _COUNTRY.fullmatch(code):
                told = given(code)
                raise ValueError(f"{told} is not a country: write two-letter codes such as FR,US")
        return tuple(dict.fromkeys(code.upper() for code in countries))

    @model_validator(mode="after")
    def _has_one_key(self) -> Self:
        if self.api_key and self.api_key_file:
            raise ValueError("api_key and api_key_file are both set: keep one")
        return self


class Settings(Account, BaseSettings):
    """The whole configuration; what it says of an account is the default for all accounts."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_file=".env",
        env_ignore_empty=True,
        dotenv_filtering="match_prefix",
    )

    accounts: dict[str, Account] = Field(
        default={}, description="More accounts by name, each with the options of an account."
    )
    web: Web = Field(default=Web(), description="What we serve, and where.")
    log: Log = Field(default=Log(), description="What we say on stderr.")
    config: ConfigFile = Field(default=ConfigFile(), description="Where more configuration is.")

    @field_validator("accounts")
    @classmethod
    def _are_named(cls, accounts: dict[str, Account]) -> dict[str, Account]:
        for name in accounts:
            if not _ACCOUNT.fullmatch(name) or name == DEFAULT_ACCOUNT:
                raise ValueError(
                    f"{name!r} cannot be an account's name: use letters, digits, - _ ."
                )
        return accounts

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Takes what it is given: `config.load` reads the sources, and tells all problems."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)


@dataclass(frozen=True, slots=True)
class Option:
    """One leaf of the configuration, by its path."""

    path: tuple[str, ...]
    field: FieldInfo

    @property
    def name(self) -> str:
        """As the YAML file nests it."""
        return ".".join(self.path)

    @property
    def flag(self) -> str | None:
        """As a flag; a secret has none, for processes see each other's."""
        if SecretStr in get_args(self.field.annotation):
            return None
        return "--" + self.name.replace("_", "-")

    @property
    def help(self) -> str:
        """What it does, and its default."""
        return f"{self.field.description} Default: {self.default}."

    @property
    def default(self) -> str:
        """Its default as one would write it."""
        value = self.field.default
        if value is None or value == ():
            return "none"
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, timedelta):
            return format_duration(value)
        return ",".join(value) if isinstance(value, tuple) else str(value)

    @property
    def variable(self) -> str:
        """As an environment variable."""
        return PREFIX + "__".join(self.path).upper()


def options(model: type[BaseModel] = Settings, path: tuple[str, ...] = ()) -> Iterator[Option]:
    """Walks all options; those of further accounts are the account's, below their name."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from options(kind, (*path, name))
        elif name != "accounts":
            yield Option((*path, name), field)


def _host(url: str) -> str | None:
    """The host of a URL; None where there is none, or host or port are impossible."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return None
    return host


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
