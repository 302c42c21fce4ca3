"""``unroll train``."""

from __future__ import annotations

import contextlib
import os
import sys
from argparse import Namespace
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from unroll.cli.figures import figures_line
from unroll.cli.parser import Parser, add_settings
from unroll.cli.settings import composed
from unroll.errors import BadInput
from unroll.launching import AT_A_TIME, launch, place
from unroll.terminal import announce, doing

if TYPE_CHECKING:
    from unroll.config import Config


def add_arguments(parser: Parser) -> None:
    add_settings(parser)
    parser.add_argument(
        "--config", type=Path, metavar="FILE|FOLDER",
        help="resolved settings, or a folder with those of each seed; tracking and data files may be overridden",
    )  # fmt: skip
    parser.add_argument("--prepared", type=Path, metavar="FOLDER", help="prepared data (default: the cache)")
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER",
        help="folder of the run, or of the runs of --config FOLDER (default: outputs/adhoc/…)",
    )  # fmt: skip
    parser.add_argument(
        "--accept-code-change", action="store_true", help="resume from a checkpoint of different code, and tag the run"
    )


def run(options: Namespace) -> None:
    with doing("Reading the settings"):
        from unroll import config

        config.check_root()
        if options.config and options.config.is_dir():
            train = partial(_train_folder, options, _runs_of_folder(options))
        elif options.config:
            settings = config.load_here(options.config, options.settings, reads_data=options.prepared is None)
            train = partial(_train_one, options, settings)
        else:
            train = partial(_train_one, options, composed(options.settings))
    train()


def _train_one(options: Namespace, settings: Config) -> None:
    """Train one run."""
    what = f"Training {settings.name}{_budget(settings)}"
    prepared = options.prepared or _prepared(settings)
    with doing(what):
        if launch(settings.training.devices, options.words):
            return
    announce(what)
    from unroll import experiment

    out = options.out or Path("outputs/adhoc") / experiment.adhoc_name(settings, prepared)
    experiment.refuse_another(experiment.with_precision(settings), out)
    figures = experiment.present(settings, prepared, out)
    if figures is None:
        with _no_folder_left(out.parent):
            figures = experiment.train(settings, prepared, out, options.accept_code_change)
    if place().rank == 0:
        _report(out, figures)


def _budget(settings: Config) -> str:
    """The budget of a run; empty for a network that counts, which reads the whole training split."""
    return "" if settings.arch.encoder.counts else f": {settings.training.tokens:,} tokens"


def _prepared(settings: Config) -> Path:
    """The prepared data of a run, in the cache."""
    from unroll import preparation

    with doing(f"Preparing {settings.data.name}"):
        return preparation.prepared(settings.data)


def _runs_of_folder(options: Namespace) -> dict[Path, Config]:
    """Settings of the runs of a folder, ``<seed>.yaml``, by the folder of the run, ``<seed>`` of the output."""
    from unroll import config

    files = sorted(options.config.glob("*.yaml"), key=lambda file: (len(file.stem), file.stem))
    if not files:
        raise BadInput(f"{options.config} has no settings; name a folder with one file per seed, such as 0.yaml.")
    if options.out is None:
        raise BadInput("--config FOLDER requires --out FOLDER; or name one file of it.")
    if place().world > 1:
        raise BadInput("--config FOLDER starts its own processes; run it without a launcher and set training.devices.")
    reads_data = options.prepared is None
    return {options.out / file.stem: config.load_here(file, options.settings, reads_data) for file in files}


def _train_folder(options: Namespace, runs: dict[Path, Config]) -> None:
    """Train the runs of a folder of settings."""
    options.prepared = options.prepared or _prepared(next(iter(runs.values())))
    for run in runs.values():
        announce(f"Training {run.name}{_budget(run)}")
    from unroll import experiment

    processes = _processes()
    devices = max(run.training.devices for run in runs.values())
    commands = {}
    if processes > 1 or devices > 1:  # otherwise in this process
        commands = {out: _command(options, options.config / f"{out.name}.yaml") for out in runs}
    for out, run in runs.items():
        experiment.refuse_another(experiment.with_precision(run), out)
    trained = experiment.train_seeds(
        runs, options.prepared, options.accept_code_change, commands, 1 if devices > 1 else processes
    )
    with _no_folder_left(options.out):
        for out, figures in trained:
            _report(out, figures)


def _command(options: Namespace, file: Path) -> list[str]:
    """The command that trains one seed of a folder."""
    plugins = [word for folder in options.plugins for word in ("--plugins", str(folder))]
    accept = ["--accept-code-change"] if options.accept_code_change else []
    return [
        sys.executable, "-m", "unroll.cli", *plugins, "train", *options.settings, *accept, "--config", str(file),
        "--prepared", str(options.prepared), "--out", str(options.out / file.stem),
    ]  # fmt: skip


def _processes() -> int:
    """The number of seeds to train at a time."""
    text = os.environ.get(AT_A_TIME, "1")
    if not text.isdecimal() or int(text) < 1:
        raise BadInput(f"{AT_A_TIME}={text} is not a number of processes; set it to 1 or more.")
    return int(text)


def _report(out: Path, figures: dict[str, float]) -> None:
    from unroll.experiment.trained import read_facts

    print(f"{out}  best validation: {figures_line(figures, read_facts(out).get('not_finite', {}))}", flush=True)


@contextlib.contextmanager
def _no_folder_left(folder: Path) -> Iterator[None]:
    """Remove ``folder`` at exit if it is empty."""
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()
