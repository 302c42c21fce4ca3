"""``unroll evaluate``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from unroll.cli.figures import figures_line
from unroll.cli.own_data import prepared_of
from unroll.cli.parser import Parser
from unroll.cli.tracking import add_tracking, tracking_words
from unroll.errors import BadInput
from unroll.terminal import doing


def add_arguments(parser: Parser) -> None:
    parser.add_argument("runs", type=Path, metavar="RUN|FOLDER", help="a run, or a folder of runs")
    parser.add_argument(
        "--prepared", type=Path, metavar="FOLDER", help="what unroll prepare --out FOLDER wrote (default: the cache)"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the figures as JSON")
    parser.add_argument("--costs", type=Path, metavar="FOLDER", help="with --out: write measured speeds, named alike")
    parser.add_argument("--curves", type=Path, metavar="FOLDER", help="with --out: write learning curves, named alike")
    parser.add_argument("--archs", nargs="+", metavar="ARCH", help="only the runs of these architectures of FOLDER")
    add_tracking(parser)


def run(options: Namespace) -> None:
    folders = [options.runs / arch for arch in options.archs] if options.archs else [options.runs]
    for folder in folders:
        if not _runs(folder):
            raise BadInput(f"{folder} has no runs; name a run, or a folder of runs.")
    runs = [run for folder in folders for run in _runs(folder)]
    with doing(f"Evaluating {options.runs}"):
        results = _evaluated(options, runs)
    for name, result in results.items():
        print(f"{name:14} {result['split']}  {figures_line(result['test'], result.get('not_finite', {}))}")


def _evaluated(options: Namespace, runs: list[Path]) -> dict[str, Any]:
    """Evaluate runs, write what was asked for, and return the results by run."""
    from unroll.analysis.curves import write_curves
    from unroll.experiment import evaluate

    costs = options.costs / f"{options.out.stem}.json" if options.out and options.costs else None
    prepared = options.prepared or [prepared_of(run) for run in runs]
    results = evaluate(runs, prepared, options.out, costs, tracking_words(options.settings))
    if options.out and options.curves:
        write_curves(options.curves / f"{options.out.stem}.csv", dict(zip(runs, results.values(), strict=True)))
    return results


def _runs(folder: Path) -> list[Path]:
    """A run, or the runs in a folder and its subfolders, such as those of an architecture."""
    if (folder / "run.json").exists():
        return [folder]
    inner = [path for path in _folders(folder) if not (path / "run.json").exists()]
    deeper = {path: [run for run in _folders(path) if (run / "run.json").exists()] for path in inner}
    return [run for path in _folders(folder) for run in deeper.get(path) or [path]]


def _folders(folder: Path) -> list[Path]:
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in paths if path.is_dir() and not path.name.startswith(".")]
