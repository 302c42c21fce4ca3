"""``unroll config``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from unroll.cli import streams
from unroll.cli.parser import Parser, add_settings
from unroll.cli.settings import composed
from unroll.errors import BadInput
from unroll.terminal import doing


def add_arguments(parser: Parser) -> None:
    add_settings(parser)
    parser.add_argument(
        "--explain", nargs="?", const="", metavar="SECTION", help="explain every setting, or the settings of a section"
    )
    parser.add_argument("--course", type=Path, metavar="FILE", help="resolve every run of a course")
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="folder to write with --course (default: outputs/configs)"
    )


def run(options: Namespace) -> None:
    with doing("Reading the settings"):
        from unroll import config

    if (options.out and not options.course) or (options.course and options.settings):
        raise BadInput("--out requires --course, and --course takes no settings.")
    if options.explain is not None:
        if options.settings or options.course:
            raise BadInput("--explain takes an optional SECTION, such as training, and no settings.")
        print(config.explain(options.explain or None))
    elif options.course:
        config.refuse_stale(options.course)
        config.resolve(options.course, options.out or Path("outputs/configs"))
    else:
        print(composed(options.settings).dump(streams.shows_unicode()), end="")
