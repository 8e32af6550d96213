"""A map of the file, read name by name; what is wrong is collected, not raised."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from exporter.source import given, nearest, shown

T = TypeVar("T")
Stamp = tuple[int, int, int, int] | None

_BOOLEANS = {
    **dict.fromkeys(("true", "yes", "on"), True),
    **dict.fromkeys(("false", "no", "off"), False),
}


def stamp(path: Path) -> Stamp:
    """What changes when a file does; None where there is none."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    # The last also changes when somebody may read it at last.
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_ctime_ns


class Look:
    """What a look at the file has brought so far.

    Attributes:
        problems: one line for each.
        stamps: the files that were looked at, as they were just before.
    """

    def __init__(self, path: Path) -> None:
        self.told = f"web.config.file: {given(path)}"
        self.directory = path.parent
        self.problems: list[str] = []
        self.stamps: dict[Path, Stamp] = {path: stamp(path)}

    def pem(self, path: Path) -> bytes:
        """Reads a file that the file names.

        Raises:
            OSError: it cannot be read.
            ValueError: it is not the name of a file.
        """
        self.stamps[path] = stamp(path)
        return path.read_bytes()


class Part:
    """A map of the file, by its path within it."""

    def __init__(self, found: object, path: str, look: Look) -> None:
        self.look = look
        self._path = path
        self._known: set[str] = set()
        # A name without a value is as good as none.
        self._found: dict[str, object] = found if isinstance(found, dict) else {}
        if not isinstance(found, dict) and found != "":
            self.wrong("", "not a map of options")

    def __bool__(self) -> bool:
        return bool(self._found)

    def wrong(self, name: str, told: str) -> None:
        """Tells a problem of an option; never with a secret's value."""
        place = ".".join(filter(None, (self._path, name)))
        self.look.problems.append(f"{self.look.told}: {shown(place)}: {told}")

    def part(self, name: str) -> "Part":
        """A map below this one."""
        self._known.add(name)
        return Part(
            self._found.get(name, ""), ".".join(filter(None, (self._path, name))), self.look
        )

    def all(self) -> Mapping[str, object]:
        """What it holds, where names are free."""
        return self._found

    def text(self, name: str) -> str:
        """A text; empty where there is none."""
        self._known.add(name)
        found = self._found.get(name, "")
        if isinstance(found, str):
            return found
        self.wrong(name, "not text")
        return ""

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts."""
        self._known.add(name)
        found = self._found.get(name, "") or []
        if isinstance(found, list) and all(isinstance(each, str) and each for each in found):
            return tuple(found)
        self.wrong(name, "not a list of texts")
        return ()

    def boolean(self, name: str, *, default: bool) -> bool:
        """Yes or no."""
        text = self.text(name).lower()
        if text and text not in _BOOLEANS:
            self.wrong(name, "write true or false")
        return _BOOLEANS.get(text, default)

    def choice(
        self, name: str, choices: Mapping[str, T], default: T, refused: Mapping[str, str]
    ) -> T:
        """One of several; those that are refused have their own mend."""
        text = self.text(name)
        if text in refused:
            self.wrong(name, f"{text} {refused[text]}")
        elif text and text not in choices:
            self.wrong(name, nearest(text, choices, f"write {' or '.join(choices)}"))
        return choices.get(text, default)

    def finish(self) -> None:
        """Tells the names that mean nothing."""
        otherwise = f"there are {', '.join(sorted(self._known))}"
        for name in self._found:
            if name not in self._known:
                self.wrong(name, f"unknown option: {nearest(name, self._known, otherwise)}")
