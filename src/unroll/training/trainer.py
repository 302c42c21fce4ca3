"""Lightning's Trainer, set up from flat settings."""

from __future__ import annotations

import logging
import sys
import warnings
from importlib.util import find_spec
from typing import Any

import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping

from unroll.training.callbacks import Lines, TokenBar, TokenBudget
from unroll.training.distributed import SRUN, Group
from unroll.training.exchange import Strategy
from unroll.training.precision import plugin


def build_trainer(
    name: str | None,
    monitor: str,
    mode: str,
    steps_between_validations: int,
    accumulate: int,
    precision: str,
    patience: int | None,
    group: Group,
    every_weight: bool,
    callbacks: list[Callback],
) -> Trainer:
    """Trainer that stops at the token budget.

    Args:
        name: of the run, for the lines on the terminal; None for none.
        monitor: metric by which a validation is better.
        mode: ``min`` or ``max``.
        steps_between_validations: batches.
        accumulate: batches whose gradients make one step of the optimizer.
        precision: one of :data:`~unroll.training.precision.PRECISIONS`.
        patience: validations without improvement before stopping; None for never.
        group: processes that train together.
        every_weight: whether all weights have a gradient in every batch.
        callbacks: further ones.
    """
    _quiet()
    told = name is not None and group.rank == 0
    terminal = told and sys.stderr.isatty() and find_spec("rich") is not None
    stopping = [EarlyStopping(monitor, mode=mode, patience=patience)] if patience else []
    progress: Callback = TokenBar(refresh_rate=10, console_kwargs={"stderr": True}) if terminal else Lines(str(name))
    # a process alone is told so: in a job of SLURM, Lightning would take its signals and write checkpoints of its own
    plugins: list[Any] = [plugin(precision), group.cluster or LightningEnvironment()]
    strategy: Any = "auto"
    if group.cluster is not None:
        strategy = Strategy(find_unused_parameters=not every_weight)
    return Trainer(
        accelerator="gpu" if torch.cuda.is_available() else "cpu",  # not mps, which lacks double precision
        devices=group.local,
        num_nodes=group.world // group.local,
        strategy=strategy,
        plugins=plugins,
        deterministic="warn" if torch.cuda.is_available() else None,  # on a CPU everything is
        max_epochs=-1,
        val_check_interval=steps_between_validations,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        accumulate_grad_batches=accumulate,
        logger=False,
        callbacks=[TokenBudget(), *stopping, *callbacks, *([progress] if told else [])],
        enable_progress_bar=terminal,
        enable_model_summary=False,
        enable_checkpointing=False,
        enable_autolog_hparams=False,
    )


def _quiet() -> None:
    """Silence what Lightning says to everybody: tips, and advice on workers that do not exist here."""
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", SRUN)
    # lightning 2.6 asks torch 2.13 for a class that is on its way out
    warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec.*", FutureWarning)
    # the means of a validation are the same in all processes, since they are made of sums over all
    warnings.filterwarnings("ignore", ".*sync_dist=True.*")
    # in fp16 the first steps may overflow and be left out; the schedule follows the tokens, not the steps
    warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step")
    warnings.filterwarnings("ignore", ".*Checkpoint directory .* exists and is not empty.*")
