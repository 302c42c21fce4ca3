"""The parser class of the command and its verbs, and arguments shared by several verbs."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from unroll.errors import BadInput

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

EPILOG = """\
SETTING is key=value, such as experiment=tagging arch=bilstm seed=0, or
data=NAME task=tagger without an experiment; unroll config --explain lists them.
RUN is the folder of a trained run."""


class Parser(argparse.ArgumentParser):
    """A parser that raises :class:`BadInput` instead of printing its usage and exiting.

    Args:
        options: options of ``argparse.ArgumentParser``.

    Raises:
        BadInput: from ``parse_known_args``, if the arguments are invalid.
    """

    def __init__(self, **options: Any) -> None:  # argparse has no type for them
        super().__init__(epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def error(self, message: str) -> NoReturn:
        """Raise an error that refers to the help."""
        raise BadInput(f"{message}; see {self.prog} --help.")

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        """Print the help or the version; argparse would hide that it could not be written."""
        (file or sys.stderr).write(message)


def add_settings(parser: Parser, what: str = "key=value") -> None:
    """Add settings to the arguments of a verb."""
    parser.add_argument("settings", nargs="*", default=[], metavar="SETTING", help=what)
