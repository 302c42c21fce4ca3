"""``unroll train``."""

from __future__ import annotations

import contextlib
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from unroll.cli.figures import figures_line
from unroll.cli.parser import Parser, add_settings
from unroll.launching import launch, place


def add_arguments(parser: Parser) -> None:
    add_settings(parser)
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="resolved settings; tracking and data file paths may be overridden"
    )
    parser.add_argument("--prepared", type=Path, metavar="FOLDER", help="prepared data (default: the cache)")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="folder of the run (default: outputs/adhoc/…)")
    parser.add_argument(
        "--accept-code-change", action="store_true", help="resume from a checkpoint of different code, and tag the run"
    )


def run(options: Namespace) -> None:
    from unroll import config, preparation

    config.check_root()
    if options.config:
        settings = config.load_here(options.config, options.settings, reads_data=options.prepared is None)
    else:
        settings = config.compose(options.settings)
    prepared = options.prepared or preparation.prepared(settings.data)
    if launch(settings.training.devices, options.words):
        return
    from unroll import experiment
    from unroll.experiment.trained import read_facts

    out = options.out or Path("outputs/adhoc") / experiment.adhoc_name(settings, prepared)
    experiment.refuse_another(experiment.with_precision(settings), out)
    with _no_folder_left(out.parent):
        figures = experiment.train(settings, prepared, out, options.accept_code_change)
    if place().rank == 0:
        print(f"{out}  best validation: {figures_line(figures, read_facts(out).get('not_finite', {}))}")


@contextlib.contextmanager
def _no_folder_left(folder: Path) -> Iterator[None]:
    """Remove ``folder`` at exit if it is empty."""
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()
