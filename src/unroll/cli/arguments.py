"""Parsing of the command line into the options of a verb."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

from unroll import __version__
from unroll.cli.parser import Parser
from unroll.credentials import public
from unroll.errors import BadInput, no_such


def parse(verbs: Mapping[str, str], words: Sequence[str]) -> argparse.Namespace:
    """Options of a verb, including ``verb``, the function that runs it, and ``words``, without passwords.

    Args:
        verbs: name and description of each verb.
        words: arguments, without the name of the command.

    Raises:
        BadInput: the arguments are invalid.
        SystemExit: help or the version was printed.
    """
    _refuse_no_verb(verbs, words)
    parser = _parser(verbs, words)
    options, rest = parser.parse_known_args(words)
    # argparse accepts names and settings on one side of an option only and returns the others as unknown
    if "names" in options and not any(word.startswith("-") for word in rest):
        options.names += rest
        rest = []
    if getattr(options, "text", "") is None and len(rest) == 1 and not rest[0].startswith("-") and not options.file:
        options.text = rest.pop()
    if any(word.startswith("-") or not ("=" in word or word.startswith("~")) for word in rest) or (
        rest and "settings" not in options
    ):
        hint = f"; {options.hint}" if "hint" in options else ""
        if "settings" in options:
            hint = _habit(rest, words) or hint
        options.parser.error(f"unrecognized arguments: {' '.join(rest)}{hint}")
    if rest:
        options.settings += rest
    _check_bytes(words)
    _hide_passwords(options, words)
    return options


def _habit(rest: Sequence[str], words: Sequence[str]) -> str:
    """The clause that helps with an option of another program; empty if it is not a habit."""
    word = next((word for word in rest if word.startswith("-")), "")
    if not word:
        return ""
    from unroll import config

    clause = config.option(word, words[words.index(word) + 1 :], [*config.keys(), *config.GROUPS])
    return f"; {clause}" if clause else ""


def _refuse_no_verb(verbs: Mapping[str, str], words: Sequence[str]) -> None:
    """Refuse settings without a verb, and a call for help in the words of other programs."""
    first = words[0] if words else ""
    if first == "help":
        raise BadInput(f"unroll {' '.join([*words[1:2], '--help'])} shows the help.")
    if "=" in first and not first.startswith("-") and not set(words) & verbs.keys():
        raise BadInput(f"{first!r} is not a verb; a verb comes first, as in unroll train {first}; see unroll --help.")
    if first and not first.startswith("-") and first not in verbs:
        raise no_such("verb", first, verbs)


def _parser(verbs: Mapping[str, str], words: Sequence[str]) -> Parser:
    """The parser of the command. Only the requested verb gets its arguments; the others get their description."""
    parser = Parser(prog="unroll", description="Experiments with recurrent networks: train, track, compare, report.")
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument(
        "--plugins", action="append", type=Path, default=[], metavar="FOLDER",
        help="folder with your own cells/, readers/ or tasks/; runs the code in it",
    )  # fmt: skip
    choices = parser.add_subparsers(metavar="VERB", required=True)
    for name, sentence in verbs.items():
        choice = choices.add_parser(name, description=sentence, help=sentence)
        if name in words:
            module = import_module(f"unroll.cli.{name}")
            module.add_arguments(choice)
            choice.set_defaults(verb=module.run, parser=choice)
    return parser


def _check_bytes(words: Sequence[str]) -> None:
    """Refuse arguments that Python could not decode, since they cannot be printed or written."""
    for number, word in enumerate(words, start=1):
        if any("\ud800" <= character <= "\udfff" for character in word):
            raise BadInput(f"Argument {number} is not valid UTF-8; convert it, or put the text into a file.")


def _hide_passwords(options: argparse.Namespace, words: Sequence[str]) -> None:
    """Remove passwords in URIs from settings, and from the arguments passed to other processes."""
    options.words = [_public(word) for word in words]
    if "settings" in options:
        options.settings = [_public(word) for word in options.settings]
    if "uri" in options and options.uri:
        options.uri = public(options.uri)


def _public(word: str) -> str:
    key, equals, value = word.partition("=")
    return f"{key}={public(value)}" if equals and ":/" not in key else public(word)
