"""``unroll upgrade``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from unroll.cli.parser import Parser


def add_arguments(parser: Parser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="folder for the converted run (default: RUN itself)")


def run(options: Namespace) -> None:
    from unroll.experiment.upgrade import upgrade

    out = options.out or options.run
    config = upgrade(options.run, out)
    print(f"{out}: {config.name} now has format {config.format}; its weights are unchanged.")
