"""``unroll report``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from unroll.cli.parser import Parser
from unroll.terminal import doing


def add_arguments(parser: Parser) -> None:
    parser.add_argument(
        "--course",
        type=Path,
        metavar="FILE",
        default=Path("conf/course.yaml"),
        help="chapters of the report (default: conf/course.yaml)",
    )
    parser.add_argument(
        "--outputs",
        type=Path,
        metavar="FOLDER",
        default=Path("outputs"),
        help="results of the course (default: outputs)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        default=Path("outputs/report/index.html"),
        help="page to write (default: outputs/report/index.html)",
    )


def run(options: Namespace) -> None:
    with doing(f"Writing {options.out}"):
        from unroll import config
        from unroll.analysis.report import write_report

        chapters = config.course(options.course)
        page = write_report(chapters, config.about(chapters), options.outputs, options.out)
    print(page)
