"""``unroll prepare``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from unroll.cli.parser import Parser, add_settings


def add_arguments(parser: Parser) -> None:
    add_settings(parser)
    parser.add_argument("--data", type=Path, metavar="FILE", help="resolved data settings; files of data may differ")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where fit/ and test/ go (a cache)")


def run(options: Namespace) -> None:
    from unroll import config, preparation

    if options.data:
        corpus = config.load_data_here(options.data, options.settings)
    else:
        corpus = config.compose(options.settings).data
    print(preparation.prepared(corpus, options.out))
