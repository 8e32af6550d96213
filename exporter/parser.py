"""argparse, with our manners: what is wrong is one line, with the mend; help is short."""

import argparse
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any, Literal, NoReturn, get_args, get_origin

from exporter import PROGRAM
from exporter.errors import ConfigError
from exporter.settings import Option, options

_CONFIGURATION = f"configuration, also from variables and a file (see {PROGRAM} --help)"


class Parser(argparse.ArgumentParser):
    """Tells a wrong usage in one line, with the mend."""

    def __init__(self, *words: Any, **options: Any) -> None:  # noqa: ANN401 - as argparse has it
        self.flags: list[str] = []
        self.appendix: Callable[[], str] | None = None
        self._needed: list[str] = []
        super().__init__(*words, **options)

    def add_argument(self, *names: str, **options: Any) -> argparse.Action:  # noqa: ANN401 - as argparse has it
        """Remembers the flags, so that the nearest can be told, and what must be given."""
        self.flags += [name for name in names if name.startswith("--")]
        action = super().add_argument(*names, **options)
        if action.required:
            word = action.metavar or action.dest.upper()
            self._needed.append(" ".join([*action.option_strings[-1:], str(word)]))
        return action

    def add_options(self, *, without: Sequence[str] = ()) -> None:
        """Takes the configuration's options as flags, but for those named."""
        group = self.add_argument_group(_CONFIGURATION)
        for option in options():
            if option.flag and option.name not in without:
                self.flags.append(option.flag)
                group.add_argument(
                    option.flag,
                    dest=option.name,
                    default=argparse.SUPPRESS,
                    metavar="|".join(choices(option)) or option.path[-1].upper(),
                    help=option.help.replace("%", "%%"),
                )

    def format_help(self) -> str:
        """Has a usage of one line, and ends with the appendix, made when it is read."""
        self.usage = self.usage or " ".join(["%(prog)s", "[options]", *self._needed])
        appendix = f"\n{self.appendix()}\n" if self.appendix else ""
        return super().format_help() + appendix

    def error(self, message: str) -> NoReturn:
        """Raises instead of exiting.

        Raises:
            ConfigError: always.
        """
        raise ConfigError([f"{message}: see `{self.prog} --help`"])

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
        mend = f"did you mean {found[0]}?" if found else f"see `{self.prog} --help`"
        raise ConfigError([f"{flag}: unknown option: {mend}"])


def choices(option: Option) -> Sequence[str]:
    """The values that an option can have, where they are few."""
    kind = option.field.annotation
    if kind is bool:
        return "true", "false"
    return get_args(kind) if get_origin(kind) is Literal else ()
