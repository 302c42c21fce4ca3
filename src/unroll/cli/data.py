"""``unroll data``."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from unroll.cli.parser import Parser
from unroll.errors import BadInput, no_such


def add_arguments(parser: Parser) -> None:
    parser.add_argument("action", choices=["list", "fetch", "add"])
    parser.add_argument("names", nargs="*", metavar="NAME|PATH")
    parser.add_argument("--name", help="name of the added corpus")


def run(options: Namespace) -> None:
    if options.name and options.action != "add":
        raise BadInput("--name requires unroll data add.")
    if options.action == "list":
        _list(options.names)
    elif options.action == "fetch":
        _fetch(options.names)
    else:
        _add(options.names, options.name)


def _list(names: Sequence[str]) -> None:
    from unroll import config

    if names:
        raise BadInput("unroll data list takes no names.")
    for name, corpus in config.corpora().items():
        origin = "embedded" if corpus.generator else "public" if corpus.sources else "own"
        state = "here" if Path(corpus.train).exists() else "not here"
        print(f"{name:22} {origin:9} {state:9} {corpus.title}")


def _fetch(names: Sequence[str]) -> None:
    from unroll import config, preparation

    if not names:
        raise BadInput("Name one or more corpora; unroll data list shows them.")
    known = config.corpora()
    for name in names:
        if name not in known:
            raise no_such("corpus", name, known)
    for name in names:
        print(preparation.fetch_corpus(known[name]))


def _add(paths: Sequence[str], name: str | None) -> None:
    from unroll import preparation

    if len(paths) != 1:
        raise BadInput("Name one file or folder to add: unroll data add PATH")
    written = preparation.add_corpus(Path(paths[0]), name)
    print(f"{written} written; use it as data={written.stem}.")
