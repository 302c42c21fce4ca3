"""``unroll upgrade``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from unroll.cli.parser import Parser
from unroll.terminal import doing


def add_arguments(parser: Parser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="folder for the converted run (default: RUN itself)")


def run(options: Namespace) -> None:
    out = options.out or options.run
    with doing(f"Converting {options.run}"):
        from unroll.experiment.upgrade import upgrade

        config = upgrade(options.run, out)
    print(f"{out}: {config.name} now has format {config.format}; its weights are unchanged.")
