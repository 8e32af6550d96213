"""argparse, with our manners: what is wrong is one line, with the mend."""

import argparse
import sys
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any, NoReturn

from exporter import PROGRAM
from exporter.errors import ConfigError


class Parser(argparse.ArgumentParser):
    """Tells a wrong usage in one line, with the mend."""

    def __init__(self, *words: Any, **options: Any) -> None:  # noqa: ANN401 - as argparse has it
        self.flags: list[str] = []
        self.appendix: Callable[[], str] | None = None
        super().__init__(*words, **options)

    def add_argument(self, *names: str, **options: Any) -> argparse.Action:  # noqa: ANN401 - as argparse has it
        """Remembers the flags, so that the nearest can be told."""
        self.flags += [name for name in names if name.startswith("--")]
        return super().add_argument(*names, **options)

    def format_help(self) -> str:
        """Ends with the appendix, if any; it is only made when somebody wants to read it."""
        appendix = f"\n{self.appendix()}\n" if self.appendix else ""
        return super().format_help() + appendix

    def error(self, message: str) -> NoReturn:
        """Raises instead of exiting.

        Raises:
            ConfigError: always.
        """
        raise ConfigError([f"{message}: see `{PROGRAM} --help`"])

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Exits after a help or a version that has been read, or that nobody wants to read."""
        sys.stdout.flush()
        super().exit(status, message)

    def refuse(self, word: str) -> NoReturn:
        """Refuses a word that nobody knows.

        Raises:
            ConfigError: always.
        """
        if not word.startswith("-"):
            self.error(f"{word!r} is not expected here")
        flag = word.partition("=")[0]
        found = get_close_matches(flag, self.flags, n=1)
        mend = f"did you mean {found[0]}?" if found else f"see `{PROGRAM} --help`"
        raise ConfigError([f"{flag}: unknown option: {mend}"])
