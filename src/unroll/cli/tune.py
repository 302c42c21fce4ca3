"""``unroll tune``."""

from __future__ import annotations

import os
from argparse import Namespace
from pathlib import Path

from unroll.cli.numbers import number
from unroll.cli.parser import Parser, add_settings
from unroll.terminal import announce, doing

WORKERS = 4  # maximum per core: a worker may wait for a GPU, or for its data


def add_arguments(parser: Parser) -> None:
    add_settings(parser, "study=NAME, one of conf/study, and key=value of the study or of its trials")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="resolved study; storage and tracking may be overridden"
    )
    workers = number(int, 1, WORKERS * (os.cpu_count() or 1), f", {WORKERS} per core: more would only use up memory")
    parser.add_argument(
        "--workers",
        type=workers,
        default=1,
        metavar="N",
        help="trials to train in parallel, each in a process (default: 1)",
    )
    parser.add_argument("--prepared", type=Path, metavar="FOLDER", help="prepared data (default: the cache)")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="folder for trials, best settings and figures (default: outputs/adhoc/…)",
    )


def run(options: Namespace) -> None:
    with doing("Reading the study"):
        from unroll import config
        from unroll.analysis.study import draw_study, write_study_page
        from unroll.tuning.tune import tune

        config.check_root()
        if options.config:
            study = config.load_study_here(options.config, options.settings, reads_data=options.prepared is None)
        else:
            study = config.compose_study_from(options.settings)
    announce(f"Tuning {study.study.name}: {study.study.trials} {'trial' if study.study.trials == 1 else 'trials'}")

    def draw(folder: Path) -> None:
        draw_study(folder)
        write_study_page(folder, folder / "index.html")

    with doing("Opening the study"):
        summary, out = tune(study, options.workers, options.prepared, options.out, draw)
    print(summary)
    print(out / "index.html")
