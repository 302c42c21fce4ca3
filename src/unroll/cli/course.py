"""``unroll course``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from unroll.cli.parser import Parser


def add_arguments(parser: Parser) -> None:
    parser.add_argument(
        "course", nargs="?", type=Path, metavar="FILE", default=Path("conf/course.yaml"),
        help="course (default: conf/course.yaml)",
    )  # fmt: skip
    parser.add_argument("--graph", action="store_true", help="print the stages by chapter instead")


def run(options: Namespace) -> None:
    from unroll import config

    config.check_root()
    if options.graph:
        from unroll.pipeline import graph

        print(graph(options.course))
        return
    changed = config.write_grid(options.course)
    print(f"{config.grid_file(options.course)} {'written' if changed else 'is up to date'}")
