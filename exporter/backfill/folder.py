"""The folder that the files go to, one a day; whatever is in it is whole.

A file's content is written elsewhere in the folder and renamed. A day that can still be corrected
goes to `unsettled`, and is asked for again. The files beside it are to be loaded; the commands that
do so move them to `loaded`.
"""

import fcntl
import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import date, datetime
from pathlib import Path
from typing import Self

from exporter.errors import ConfigError, ExporterError
from exporter.exposition import END

MANIFEST = "backfill.json"
UNSETTLED = "unsettled"
LOADED = "loaded"

_ELSEWHERE = "choose another folder"


class FolderError(ExporterError):
    """A file cannot be written; the text says where and why."""


class Folder:
    """The files of one order, as a context manager that nobody else fills meanwhile.

    Args:
        path: where it is; it is made if need be.
        manifest: what its files were made from: files of something else are not mixed with them.
    """

    def __init__(self, path: Path, manifest: Mapping[str, object]) -> None:
        self.path = path
        self._manifest = manifest

    def __enter__(self) -> Self:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.path, os.O_RDONLY)
        except OSError as error:
            raise self._refusal(error.strerror, "choose a folder of yours") from None
        try:
            self._claim()
        except BaseException:
            os.close(self._lock)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._lock)

    def _claim(self) -> None:
        """Makes sure that it is ours, and nobody else's at the moment.

        Raises:
            ConfigError: it is not, or cannot be written to.
        """
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise self._refusal("another backfill is filling it", "wait for its end") from None
        except OSError:
            pass  # a file system without locks
        try:
            self._compare()
            text = json.dumps(self._manifest, indent=2, sort_keys=True) + "\n"
            self._write(self.path / MANIFEST, text.encode())
        except OSError as error:
            raise self._refusal(error.strerror, "choose a folder of yours") from None

    def _compare(self) -> None:
        try:
            found = json.loads((self.path / MANIFEST).read_bytes())
        except FileNotFoundError:
            if any(self.path.glob("*.om")):
                raise self._refusal("has files that are not ours", _ELSEWHERE) from None
            return
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise self._refusal(f"{MANIFEST} is not ours", _ELSEWHERE)
        other = [name for name, value in self._manifest.items() if found.get(name) != value]
        if other:
            told = f"was filled with other {', '.join(sorted(other))}"
            raise self._refusal(told, _ELSEWHERE)

    def _refusal(self, told: str | None, mend: str) -> ConfigError:
        return ConfigError([f"--output: {self.path}: {told}: {mend}"])

    def has(self, day: date, *, settled: datetime) -> bool:
        """Whether the day was loaded, or is there, whole, and was asked for when it was settled.

        Raises:
            ConfigError: what has the day's name cannot be read.
        """
        name = _name(day)
        if self._find(f"{LOADED}/{name}"):
            return True
        found = self._find(name)
        if found is None or found.st_mtime < settled.timestamp():
            return False
        with self._reading(name):
            return (self.path / name).read_bytes().endswith(END)

    def _find(self, name: str) -> os.stat_result | None:
        with self._reading(name), suppress(FileNotFoundError):
            found = (self.path / name).stat()
            if not stat.S_ISREG(found.st_mode):
                raise self._refusal(f"{name} is not a file", "move it away")
            return found
        return None

    @contextmanager
    def _reading(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            told = f"{name} cannot be read: {error.strerror}"
            raise self._refusal(told, "let us read it, or move it away") from None

    def ready(self) -> list[date]:
        """The days to load, in order, whoever ordered them."""
        found = []
        for path in self.path.glob("*.om"):
            with suppress(ValueError):
                found.append(date.fromisoformat(path.stem))
        return sorted(found)

    def put(self, day: date, content: bytes, *, asked: datetime, settled: datetime) -> None:
        """Puts a day there, whole or not at all.

        Args:
            day: which.
            content: the file's.
            asked: when the API was asked for it.
            settled: when the API does not correct it any more.

        Raises:
            FolderError: it cannot be written.
        """
        final, early = self.path / _name(day), self.path / UNSETTLED / _name(day)
        path, other = (final, early) if asked >= settled else (early, final)
        try:
            path.parent.mkdir(exist_ok=True)
            self._write(path, content, asked.timestamp())
            other.unlink(missing_ok=True)
        except OSError as error:
            raise FolderError(f"cannot write into {path.parent}: {error.strerror}") from None
        with suppress(OSError):
            early.parent.rmdir()  # once it is empty

    def _write(self, path: Path, content: bytes, seconds: float | None = None) -> None:
        part = self.path / f".{path.name}.part"
        try:
            with part.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            if seconds is not None:
                os.utime(part, (seconds, seconds))
            part.replace(path)
        except OSError:
            with suppress(OSError):
                part.unlink()  # what is left of it fills the disk
            raise


def _name(day: date) -> str:
    return f"{day}.om"
