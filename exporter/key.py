"""The API key: what may be done with it, and above all what may not.

Source: "Authentication" in the White Label VPN API documentation.
"""

import base64
import re
from collections.abc import Callable, Iterator
from urllib.parse import quote

USER = "api-key"

_WORD = re.compile(r"[!-~]+")
_ESCAPE = re.compile(r"%[0-9A-F]{2}")
_URL_SAFE = str.maketrans("+/", "-_")


class Key:
    """The account's API key: can be read again, cannot be printed.

    Args:
        read: gives the key's text; raises OSError when its file cannot be read.
    """

    def __init__(self, read: Callable[[], str]) -> None:
        self._read = read
        self._text = read()
        self._former: set[str] = set()

    def __repr__(self) -> str:
        return "Key(...)"

    @property
    def header(self) -> str:
        """The Authorization header's value."""
        return f"Basic {self._encoded}"

    @property
    def is_well_formed(self) -> bool:
        """Whether it can stand in a header."""
        return bool(_WORD.fullmatch(self._text))

    @property
    def _encoded(self) -> str:
        return base64.b64encode(f"{USER}:{self._text}".encode()).decode()

    def reread(self) -> None:
        """Reads the key again; a file that is unreadable or holds no key changes nothing."""
        try:
            text = self._read()
        except (OSError, UnicodeDecodeError):
            return
        if _WORD.fullmatch(text) and text != self._text:
            # A request that is on its way may still bring the old one back.
            self._former.add(self._text)
            self._text = text

    def redact(self, text: str) -> str:
        """Takes the key, and those before it, out of visible text: also base64 and URL encoded."""
        for key in (self._text, *self._former):
            for form in _forms(key):
                text = re.sub(form, "[redacted]", text)
        return text


def _forms(key: str) -> Iterator[str]:
    """Patterns of what a key may look like, the longest first where one holds another."""
    for plain in (f"{USER}:{key}", key):
        encoded = base64.b64encode(plain.encode()).decode().rstrip("=")
        for form in (encoded, encoded.translate(_URL_SAFE)):
            yield f"{re.escape(form)}={{0,2}}"  # the padding may be left out
    yield re.escape(key)
    for safe in ("", "/"):
        upper = quote(key, safe=safe)
        yield re.escape(upper)
        yield re.escape(_ESCAPE.sub(lambda escape: escape[0].lower(), upper))
