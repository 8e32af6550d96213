"""The file itself, read and checked whole; every problem is told at once."""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from exporter.duration import parse_duration
from exporter.errors import ConfigError
from exporter.source import read_yaml
from exporter.webconfig.part import Look, Part, Stamp
from exporter.webconfig.tls import Tls, read_tls

MAX_COST = 15  # 2 s a password; stopping has to be over in 5

_MAKE = 'make one with `htpasswd -nBC 10 ""`'
_HASH = re.compile(
    r"\$2[aby]\$(?P<cost>[0-9]{2})\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}", re.ASCII
)
_VALUE = re.compile(r"[ -~]+")
_HEADERS: Mapping[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}


@dataclass(frozen=True, slots=True)
class Rate:
    """How often we may be asked: `burst` at once, and one more each `interval_seconds`."""

    interval_seconds: float
    burst: int


@dataclass(frozen=True, slots=True)
class Rules:
    """What the file says; by default nothing."""

    tls: Tls = field(default_factory=Tls)
    headers: Mapping[str, str] = field(default_factory=dict)
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    rate: Rate | None = None

    @property
    def needs(self) -> frozenset[str]:
        """What stands between a stranger and us."""
        needs = {
            "TLS": self.tls.context is not None,
            "client certificates": self.tls.clients == ssl.CERT_REQUIRED,
            "names in them": bool(self.tls.sans),
            "passwords": bool(self.users),
        }
        return frozenset(name for name, is_there in needs.items() if is_there)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a look at the file brought; rules with problems are not to be used.

    Attributes:
        rules: what it says.
        problems: one line for each, with its mend.
        stamps: the files that were looked at, as they were just before.
    """

    rules: Rules
    problems: tuple[str, ...]
    stamps: Mapping[Path, Stamp]


def load(path: Path) -> Loaded:
    """Reads the file, and those that it names."""
    look = Look(path)
    try:
        whole = Part(read_yaml(path, look.told), "", look)
    except ConfigError as error:
        return Loaded(Rules(), error.problems, look.stamps)
    http = whole.part("http_server_config")
    http.boolean("http2", default=True)  # see decision 12
    rules = Rules(
        tls=read_tls(whole.part("tls_server_config")),
        headers=_read_headers(http.part("headers")),
        users=_read_users(whole.part("basic_auth_users")),
        rate=_read_rate(whole.part("rate_limit")),
    )
    http.finish()
    whole.finish()
    return Loaded(rules, tuple(look.problems), look.stamps)


def _read_headers(part: Part) -> Mapping[str, str]:
    headers = {name: part.text(name) for name in _HEADERS}
    part.finish()
    for name, value in headers.items():
        allowed = _HEADERS[name]
        if value and allowed and value not in allowed:
            part.wrong(name, f"write {' or '.join(allowed)}")
        elif value and not _VALUE.fullmatch(value):
            part.wrong(name, "not one line of printable ASCII")
    return {name: value for name, value in headers.items() if value}


def _read_users(part: Part) -> Mapping[str, str]:
    users = {name: str(stored) for name, stored in part.all().items()}
    for name, stored in users.items():
        if not name or ":" in name:
            # It may be a password that has slipped into the name.
            part.wrong("", "a name is empty or has a colon: basic authentication has no such names")
            continue
        if _HASH.fullmatch(name):
            part.wrong("", "a hash stands where its user's name should: write name: hash")
            continue
        found = _HASH.fullmatch(stored)
        if not found or int(found["cost"]) not in range(4, 32):
            part.wrong(name, f"not a bcrypt hash: {_MAKE}")
        elif int(found["cost"]) > MAX_COST:
            part.wrong(name, f"a cost above {MAX_COST} takes seconds to check: {_MAKE}")
    return users


def _read_rate(part: Part) -> Rate | None:
    interval, burst = part.text("interval") or "0", part.text("burst") or "0"
    part.finish()
    try:
        seconds = 0.0 if interval == "0" else parse_duration(interval).total_seconds()
    except ValueError as error:
        part.wrong("interval", str(error))
        return None
    if not re.fullmatch("[0-9]{1,9}", burst, re.ASCII):
        part.wrong("burst", "not a number: write how many requests may come at once")
        return None
    if seconds and not int(burst):
        part.wrong("burst", "0 would refuse everybody: write 1 or more")
    return Rate(seconds, int(burst)) if seconds else None
