"""``unroll data``."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from unroll.cli.parser import Parser
from unroll.errors import BadInput, no_such
from unroll.terminal import doing, printable


def add_arguments(parser: Parser) -> None:
    parser.add_argument("action", choices=["list", "fetch", "add"])
    parser.add_argument(
        "names", nargs="*", default=[], metavar="NAME|PATH", help="corpora to fetch; or a file or folder to add, with"
        " settings such as data.reader.token_column=1"
    )  # fmt: skip
    parser.add_argument("--name", help="name of the added corpus")
    parser.add_argument("--force", action="store_true", help="add a corpus in spite of doubts")


def run(options: Namespace) -> None:
    if options.action != "add" and (options.name or options.force):
        raise BadInput(f"--{'name' if options.name else 'force'} requires unroll data add.")
    if options.action == "list":
        _list(options.names)
    elif options.action == "fetch":
        _fetch(options.names)
    else:
        _add(options)


def _list(names: Sequence[str]) -> None:
    from unroll import config

    if names:
        raise BadInput("unroll data list takes no names.")
    known = config.corpora()
    width = max(map(len, known), default=0)
    for name, corpus in known.items():
        origin = "embedded" if corpus.generator else "public" if corpus.sources else "own"
        state = "here" if Path(corpus.train).exists() else "not here"
        print(f"{name:{width}} {origin:9} {state:9} {printable(corpus.title)}")


def _fetch(names: Sequence[str]) -> None:
    from unroll import config, preparation

    if not names:
        raise BadInput("Name one or more corpora; unroll data list shows them.")
    known = config.corpora()
    public = {name: corpus for name, corpus in known.items() if corpus.sources}
    for name in names:
        if name not in known:
            raise no_such("public corpus", name, public)
    for name in names:
        with doing(f"Fetching {name}"):
            folder = preparation.fetch_corpus(known[name])
        print(folder)


def _add(options: Namespace) -> None:
    from unroll.own_corpus import add_corpus

    settings = [word for word in options.names if _is_setting(word)]
    paths = [word for word in options.names if word not in settings]
    if len(paths) != 1:
        raise BadInput("Name one file or folder to add: unroll data add PATH [data.KEY=VALUE …]")
    written = add_corpus(Path(paths[0]), options.name, settings, options.force)
    print(f"{written} written; use it as data={written.stem}.")


def _is_setting(word: str) -> bool:
    """Whether a word is a setting rather than a path, which may have the same form."""
    return word.startswith("data.") and "=" in word and not Path(word).exists()
