"""``unroll clean``."""

from __future__ import annotations

from argparse import Namespace

from unroll.cli.numbers import number
from unroll.cli.parser import Parser
from unroll.errors import no_such
from unroll.terminal import doing


def add_arguments(parser: Parser) -> None:
    parser.add_argument(
        "kinds", nargs="*", default=[], metavar="KIND", help="caches, adhoc, working, kept, mlflow, dvc"
    )
    parser.add_argument(
        "--days", type=number(float, 0), default=0, metavar="N", help="only files not modified for N days (default: 0)"
    )
    parser.add_argument("--yes", action="store_true", help="delete without confirmation")


def run(options: Namespace) -> None:
    with doing("Looking for files that are not needed"):
        from unroll import config, disk

    config.check_root()
    for name in options.kinds:
        if name not in disk.KINDS:
            raise no_such("kind of leftovers", name, disk.KINDS)
    print(disk.clean(options.kinds, options.days, options.yes) if options.kinds else disk.overview())
