"""``unroll prepare``."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

from unroll.cli.parser import Parser, add_settings
from unroll.cli.settings import composed


def add_arguments(parser: Parser) -> None:
    add_settings(parser)
    parser.add_argument(
        "--data", type=Path, metavar="FILE", help="resolved data settings; data file paths may be overridden"
    )
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="folder for fit/ and test/ (default: the cache)")


def run(options: Namespace) -> None:
    from unroll import config, preparation
    from unroll.data.seal import unknown_of
    from unroll.data.unknown import sentences

    words = options.settings
    corpus = config.load_data_here(options.data, words) if options.data else composed(words).data
    folder = preparation.prepared(corpus, options.out)
    print(folder)
    for sentence in sentences(unknown_of(folder)):
        print(f"unroll: {sentence}", file=sys.stderr)
