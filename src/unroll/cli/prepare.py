"""``unroll prepare``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from unroll.cli.parser import Parser, add_settings
from unroll.cli.settings import composed
from unroll.terminal import doing, say


def add_arguments(parser: Parser) -> None:
    add_settings(parser)
    parser.add_argument(
        "--data", type=Path, metavar="FILE", help="resolved data settings; data file paths may be overridden"
    )
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="folder for fit/ and test/ (default: the cache)")


def run(options: Namespace) -> None:
    with doing("Reading the settings"):
        from unroll import config, preparation
        from unroll.data.seal import unknown_of
        from unroll.data.unknown import sentences

        words = options.settings
        corpus = config.load_data_here(options.data, words) if options.data else composed(words).data
    with doing(f"Preparing {corpus.name}"):
        folder = preparation.prepared(corpus, options.out)
    print(folder)
    for sentence in sentences(unknown_of(folder)):
        say(f"unroll: {sentence}")
