"""The API key: what may be done with it, and above all what may not.

Source: "Authentication" in the White Label VPN API documentation.
"""

import base64
import re
from collections.abc import Callable
from urllib.parse import quote

USER = "api-key"

_WORD = re.compile(r"[!-~]+")
_ESCAPE = re.compile(r"%[0-9A-F]{2}")


class Key:
    """The account's API key: can be read again, cannot be printed.

    Args:
        read: gives the key's text; raises OSError when its file cannot be read.
    """

    def __init__(self, read: Callable[[], str]) -> None:
        self._read = read
        self._text = read()

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
        if _WORD.fullmatch(text):
            self._text = text

    def redact(self, text: str) -> str:
        """Takes the key out of visible text, also base64 and URL encoded."""
        alone = base64.b64encode(self._text.encode()).decode()
        upper = quote(self._text, safe="")
        lower = _ESCAPE.sub(lambda escape: escape[0].lower(), upper)
        for form in (self._encoded, alone, self._text, upper, lower):
            text = text.replace(form, "[redacted]")
        return text
