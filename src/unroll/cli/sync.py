"""``unroll sync``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from unroll.cli.parser import Parser
from unroll.terminal import doing


def add_arguments(parser: Parser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a run, or its folder in outputs/working")
    parser.add_argument("--uri", help="URI of MLflow's store, if it has moved or is not the project's")


def run(options: Namespace) -> None:
    with doing(f"Sending {options.run} to MLflow"):
        from unroll.config import check_root
        from unroll.experiment import sync

        check_root()  # unsent metrics are in outputs/working
        sentence = sync(options.run, options.uri)
    print(sentence)
