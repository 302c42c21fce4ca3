"""``unroll repro``."""

from __future__ import annotations

from argparse import Namespace

from unroll.cli.numbers import number
from unroll.cli.parser import Parser
from unroll.errors import BadInput
from unroll.terminal import doing


def add_arguments(parser: Parser) -> None:
    parser.add_argument("file", nargs="?", metavar="FILE", help="run the stages of this file, such as paper/dvc.yaml")
    parser.add_argument(
        "--jobs",
        type=number(int, 1),
        default=1,
        metavar="N",
        help="stages of the course to run in parallel (default: 1)",
    )
    parser.add_argument("--force", metavar="STAGE", help="run only this stage, even if it is up to date")


def run(options: Namespace) -> None:
    if options.file and options.force:
        raise BadInput("Give a file or --force STAGE, not both.")
    with doing("Reading the pipeline"):
        from unroll import config, pipeline

        config.check_root()
    if options.force:
        pipeline.force(options.force)
    elif options.file:
        pipeline.repro_file(options.file)
    else:
        pipeline.repro(options.jobs)
