"""The parser of the command and of each verb, and arguments that several verbs take."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from unroll.errors import BadInput

EPILOG = """\
SETTING is key=value, such as experiment=tagging arch=bilstm seed=0 training.tokens=200000;
unroll config --explain lists them. RUN is the folder of a trained run."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are those of all other bad input.

    Args:
        options: what argparse gives to the parser of a verb, such as its name and sentence.

    Raises:
        BadInput: from ``parse_known_args``, where argparse would print the usage and exit.
    """

    def __init__(self, **options: Any) -> None:  # argparse has no type for them
        super().__init__(epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def error(self, message: str) -> NoReturn:
        """Refuse the arguments, and name the place where there is more."""
        raise BadInput(f"{message}; see {self.prog} --help.")


def add_settings(parser: Parser, what: str = "key=value") -> None:
    """Have a verb take settings, on both sides of its options."""
    parser.add_argument("settings", nargs="*", metavar="SETTING", help=what)
