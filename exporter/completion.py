"""What a shell needs to complete our words, made by shtab from the parsers: `completion`."""

import argparse
from collections.abc import Iterable

import shtab

from exporter.parser import choices
from exporter.settings import options

# A metavar that ends so says what is wanted.
_PATHS = {"FILE": shtab.FILE, "DIR": shtab.DIRECTORY}


def script(
    parser: argparse.ArgumentParser, commands: Iterable[argparse.ArgumentParser], shell: str
) -> str:
    """Gives the shell's script.

    Args:
        parser: of everything; it and the commands' are changed, and good for nothing else then.
        commands: the parsers of the commands.
        shell: for which one.
    """
    values = {option.name: choices(option) or None for option in options()}
    for one in (parser, *commands):
        for action in one._actions:  # noqa: SLF001 - argparse tells its parts in no other way
            # Our own parser leaves it to the settings to refuse what is none of these.
            action.choices = action.choices or values.get(action.dest)
            for end, completed in _PATHS.items():
                if str(action.metavar).endswith(end):
                    action.complete = completed  # type: ignore[attr-defined] # as shtab has it
    return shtab.complete(parser, shell)
