"""``unroll sync``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from unroll.cli.parser import Parser


def add_arguments(parser: Parser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="a run, or the folder of one below outputs/working")
    parser.add_argument("--uri", help="MLflow's store, if it has moved or is not this project's")


def run(options: Namespace) -> None:
    from unroll.config import check_root
    from unroll.experiment import sync

    check_root()  # what is owed lies below it
    print(sync(options.run, options.uri))
