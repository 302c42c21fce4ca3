"""``unroll compare``."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from unroll.cli.parser import Parser
from unroll.errors import BadInput
from unroll.terminal import doing

COSTS = Path("outputs/costs")


def add_arguments(parser: Parser) -> None:
    parser.add_argument("metrics", nargs="+", type=Path, metavar="FILE|FOLDER", help="files written by evaluate")
    parser.add_argument("--course", type=Path, metavar="FILE", help="compare the experiments of this course in FOLDER")
    parser.add_argument("--out", type=Path, metavar="FOLDER", default=Path("outputs/comparison"))
    parser.add_argument("--summary", type=Path, metavar="FOLDER", help="also write one file per experiment and arch")
    parser.add_argument("--costs", type=Path, metavar="FOLDER", help=f"speeds of these runs (default: {COSTS})")
    parser.add_argument("--targets", type=Path, metavar="FILE", help="bounds on figures, as YAML")


def run(options: Namespace) -> None:
    files = _files_of_course(options.metrics, options.course) if options.course else options.metrics
    if options.costs and not options.costs.is_dir():
        raise BadInput(
            f"--costs {options.costs} is not a folder; name one written by unroll evaluate --costs, or omit the option."
        )
    with doing(f"Comparing {len(files)} {'file' if len(files) == 1 else 'files'}"):
        from unroll.analysis.comparison import compare_all

        text = compare_all(files, options.costs or COSTS, options.out, options.targets, options.summary)
    print(text)


def _files_of_course(folders: Sequence[Path], course: Path) -> list[Path]:
    """Files of the experiments of a course in a folder that may contain others."""
    from unroll import config

    if len(folders) != 1:
        raise BadInput("With --course, name a single folder with the figures of its experiments.")
    grids = config.course(course).values()
    return [folders[0] / f"{name}.json" for grid in grids for name in grid["experiments"]]
