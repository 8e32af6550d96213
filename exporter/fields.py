"""Typed reads from untrusted JSON; what does not fit raises SchemaError with the value's path.

Absent stays absent and wrong stays wrong: nothing here clamps, guesses or fills in a zero.
"""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping

from exporter.errors import SchemaError

TEXT_LIMIT = 128
"""Characters of a label's value: longer text is cut and ends in a hash of the whole."""

_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_DECIMAL = re.compile(r"[0-9]{1,19}(\.[0-9]{1,19})?", re.ASCII)
_INTEGER_LIMIT = 2**63 - 1
_NUMBERS = (int, float)  # int | float would be made anew for each record


class Ambiguous:
    """Stands where a JSON object gives one name several values: nobody knows which is true."""


def unambiguous(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Makes an object of its members; JSON's own rule, the last one wins, would be a guess."""
    members = dict(pairs)
    if len(members) < len(pairs):
        for name, times in Counter(name for name, _ in pairs).items():
            if times > 1:
                members[name] = Ambiguous()
    return members


def mapping(value: object, path: str) -> dict[str, object]:
    """Reads a JSON object; `[]` is how the API's PHP writes an empty one.

    Raises:
        SchemaError: it is something else.
    """
    if isinstance(value, dict):
        return value
    if value == []:
        return {}
    raise SchemaError(f"{path}: expected an object, got {_kind(value)}")


def items(value: object, path: str) -> list[object]:
    """Reads a list; one with gaps is an object in the API's PHP, and its names mean nothing.

    Raises:
        SchemaError: it is something else.
    """
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        return list(value.values())
    raise SchemaError(f"{path}: expected a list, got {_kind(value)}")


def member(parent: Mapping[str, object], key: str) -> object:
    """Reads a required member.

    Raises:
        SchemaError: it is absent.
    """
    if key not in parent:
        raise SchemaError(f"{key}: absent")
    return parent[key]


def text(value: object, path: str) -> str:
    """Reads text fit for a label: cleaned, at most 128 characters, `unknown` if nothing is left.

    Raises:
        SchemaError: it is neither text nor null.
    """
    if isinstance(value, str):
        return clean(value) or "unknown"
    if value is None:
        return "unknown"
    raise SchemaError(f"{path}: expected text, got {_kind(value)}")


def number(value: object, path: str, *, low: float, high: float) -> float:
    """Reads a number within low..high; the API writes some numbers as text.

    Raises:
        SchemaError: it is not a number, or out of range.
    """
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        value = float(value) if "." in value else int(value)
    if isinstance(value, bool) or not isinstance(value, _NUMBERS):
        raise SchemaError(f"{path}: expected a number, got {_kind(value)}")
    if not low <= value <= high:
        raise SchemaError(f"{path}: not within {low:g}..{high:g}")
    return value or 0  # nobody wants to see -0.0


def count(value: object, path: str) -> int:
    """Reads a whole number that is not negative and fits 63 bits.

    Raises:
        SchemaError: it is something else.
    """
    read = number(value, path, low=0, high=_INTEGER_LIMIT)
    if read != int(read):
        raise SchemaError(f"{path}: expected a whole number")
    return int(read)


def visible(value: str) -> str:
    """Text without control, format, surrogate and line separating characters."""
    return "".join(c for c in value if unicodedata.category(c) not in _UNSEEN)


def clean(value: str) -> str:
    """Visible text without blanks around it, cut at 128 characters."""
    if not (value.isascii() and value.isprintable()):
        value = visible(value)
    value = value.strip()
    if len(value) <= TEXT_LIMIT:
        return value
    digest = hashlib.sha256(value.encode()).hexdigest()[:8]
    return f"{value[: TEXT_LIMIT - len(digest) - 1]}~{digest}"


def _kind(value: object) -> str:
    if value is None:
        return "null"
    names = {
        Ambiguous: "several values",
        bool: "true or false",
        dict: "an object",
        list: "a list",
        str: "text",
    }
    return names.get(type(value), "a number")
