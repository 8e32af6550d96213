"""Where configuration lies beside flags and variables: the secrets directory and the YAML file.

YAML is read as text alone, as variables are: that keeps `NO` a country, and `60` from being a guess
at seconds.
"""

import os
import re
from collections.abc import Hashable, Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from exporter.errors import ConfigError

PREFIX = "WLVPN_"
SECRETS_DIRECTORY = "/run/secrets"

# YAML's own messages quote names, and a key in the wrong place may be taken for one.
_QUOTED = re.compile(r" '[^']{4,}.*")

_SHORT = 15  # characters: an IPv4 address has as many, and a key more
_LONGEST_SUFFIX = len(".yaml")

Section = dict[str, Any]


def complete(sections: Sequence[Section]) -> list[Section]:
    """Adds what the secrets directory and the YAML file say, in the order of precedence.

    A key, or a key's file, hides those of all later sources: they are two ways to say one thing.

    Args:
        sections: what flags, environment and `.env` say.

    Raises:
        ConfigError: the YAML file cannot be read.
    """
    files = [_within(section, "config").get("file") for section in sections]
    path = next((file for file in files if file and isinstance(file, str)), None)
    completed = [*sections, _read_secrets(), _read_options(Path(path)) if path else {}]
    _hide_keys(completed)
    accounts = [_within(section, "accounts") for section in completed]
    for name in {name for found in accounts for name in found}:
        _hide_keys(_within(found, name) for found in accounts)
    return completed


def shown(text: object) -> str:
    """Writes text so that it stays in its line, whatever it holds."""
    plain = str(text)
    return plain if plain.isprintable() else repr(plain)


def given(value: object) -> str:
    """Writes what an option was given, but not what may be a key in the wrong place."""
    text = str(value)
    folder, _, name = text.rpartition("/")
    is_name = not folder and name.count(".") == 1 and len(Path(name).suffix) <= _LONGEST_SUFFIX
    if len(text) <= _SHORT or is_name or (folder and os.path.isdir(folder)):  # noqa: PTH112 - it never raises
        return shown(text) or "nothing"
    return "what it was given"


def nearest(name: str, known: Iterable[str], otherwise: str) -> str:
    """Gives the mend for an unknown name: the known one that is like it, or something else."""
    found = get_close_matches(name, sorted(known), n=1)
    return f"did you mean {found[0]}?" if found else otherwise


def _within(section: Section, name: str) -> Section:
    found = section.get(name)
    return found if isinstance(found, dict) else {}


def _hide_keys(sections: Iterable[Section]) -> None:
    hidden = False
    for section in sections:
        if hidden:
            section.pop("api_key", None)
            section.pop("api_key_file", None)
        hidden = hidden or "api_key" in section or "api_key_file" in section


def _read_secrets() -> Section:
    """Finds the key's file, so that it can be read again, as any key file."""
    for directory in (os.environ.get("CREDENTIALS_DIRECTORY"), SECRETS_DIRECTORY):
        file = Path(directory or "") / f"{PREFIX}API_KEY".lower()
        try:
            found = bool(directory) and file.is_file()
        except OSError:  # a directory that is not for us
            found = False
        if found:
            return {"api_key_file": str(file)}
    return {}


def _read_options(path: Path) -> Section:
    told = f"config.file: {given(path)}"
    read = read_yaml(path, told)
    if "config" in read:
        raise ConfigError([f"{told}: it cannot name another file: remove `config`"])
    for name, account in _within(read, "accounts").items():
        # One without options lacks its key, which has to be told.
        read["accounts"][name] = account or {}
    return _without_empty(read)


def read_yaml(path: Path, told: str) -> Section:
    """Reads a file that holds a map; it is made of text, lists and maps alone.

    Args:
        path: the file.
        told: what problems begin with.

    Raises:
        ConfigError: it cannot be read, or is something else.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError([f"{told} cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"{told} is not UTF-8"]) from None
    except ValueError:
        raise ConfigError([f"{told} is not the name of a file"]) from None
    return _parse_yaml(text, told)


def _parse_yaml(text: str, told: str) -> Section:
    import yaml  # noqa: PLC0415 - most have no such file, and it costs 2 MB

    class Loader(yaml.BaseLoader):
        """Builds text, lists and maps; refuses what YAML forbids and PyYAML lets pass."""

        def construct_mapping(
            self,
            node: yaml.MappingNode,
            deep: bool = False,  # noqa: FBT001, FBT002 - as PyYAML has it
        ) -> dict[Hashable, Any]:
            seen = set()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode) and key.value in seen:
                    told = "this name stands twice"
                    raise yaml.constructor.ConstructorError(None, None, told, key.start_mark)
                seen.add(key.value if isinstance(key, yaml.ScalarNode) else None)
            return super().construct_mapping(node, deep)

    try:
        read = yaml.load(text, Loader=Loader)  # noqa: S506 - it builds only text
    except RecursionError:
        raise ConfigError([f"{told} is nested too deep"]) from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        problem = _QUOTED.sub("", error.problem or "not YAML")
        if problem.startswith("but "):
            problem = f"{error.context}, {problem}"
        raise ConfigError([f"{told}, line {line}: {problem}"]) from None
    except (yaml.YAMLError, ValueError, OverflowError):  # a character that there is not, a version
        raise ConfigError([f"{told} is not YAML"]) from None
    if read in (None, ""):
        return {}
    if not isinstance(read, dict):
        raise ConfigError([f"{told} is not a map of options"])
    return read


def _without_empty(read: Section) -> Section:
    """Takes an option without a value for one that is not there, as with variables."""
    return {
        name: _without_empty(value) if isinstance(value, dict) else value
        for name, value in read.items()
        if value != ""
    }
