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
    parser.add_argument(
        "metrics", nargs="+", type=Path, metavar="FILE|FOLDER", help="files written by evaluate, or a folder of them"
    )
    parser.add_argument("--course", type=Path, metavar="FILE", help="compare the experiments of this course in FOLDER")
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="write comparison.csv and comparison.json (default: only print)"
    )
    parser.add_argument("--summary", type=Path, metavar="FOLDER", help="also write one file per experiment and arch")
    parser.add_argument("--costs", type=Path, metavar="FOLDER", help=f"speeds of these runs (default: {COSTS})")
    parser.add_argument("--targets", type=Path, metavar="FILE", help="bounds on figures, as YAML")


def run(options: Namespace) -> None:
    if options.course:
        files = _files_of_course(options.metrics, options.course)
    else:
        files = [file for path in options.metrics for file in _files(path)]
    if options.costs and not options.costs.is_dir():
        raise BadInput(
            f"--costs {options.costs} is not a folder; name one written by unroll evaluate --costs, or omit the option."
        )
    with doing(f"Comparing {len(files)} {'file' if len(files) == 1 else 'files'}"):
        from unroll.analysis.comparison import compare_all

        text = compare_all(files, options.costs or COSTS, options.out, options.targets, options.summary)
    print(text)
    if options.out:
        print(f"{options.out} written")


def _files(path: Path) -> list[Path]:
    """A file, or the files of figures in a folder.

    Raises:
        BadInput: the folder has runs, whose figures are not known yet, or nothing.
    """
    if not path.is_dir():
        return [path]
    found = sorted(path.glob("*.json"))
    if found and not (path / "run.json").exists():
        return found
    runs = [run.parent for depth in range(4) for run in path.glob("*/" * depth + "run.json")]
    if not runs:
        raise BadInput(f"{path} has no figures; unroll evaluate RUNS --out {path}/NAME.json writes them.")
    whole = path if len(runs[0].relative_to(path).parts) < 3 else path / runs[0].relative_to(path).parts[0]
    raise BadInput(f"{path} has runs, not figures; run unroll evaluate {whole} --out outputs/metrics/{whole.name}.json "
                   "and compare that file, or compare two sets of runs on validation with unroll verdict.")  # fmt: skip


def _files_of_course(folders: Sequence[Path], course: Path) -> list[Path]:
    """Files of the experiments of a course in a folder that may contain others."""
    from unroll import config

    if len(folders) != 1:
        raise BadInput("With --course, name a single folder with the figures of its experiments.")
    grids = config.course(course).values()
    return [folders[0] / f"{name}.json" for grid in grids for name in grid["experiments"]]
