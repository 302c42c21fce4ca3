"""Builds Lightning's Trainer from flat settings."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.plugins.precision import DoublePrecision, MixedPrecision, Precision

from unroll.training.callbacks import Display, TokenBudget
from unroll.training.distributed import SRUN, Group
from unroll.training.exchange import Strategy


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
    """Build a Trainer that stops at the token budget.

    Args:
        name: name of the run for progress output; None for no output.
        monitor: the monitored metric.
        mode: ``min`` or ``max``.
        steps_between_validations: number of batches between validations.
        accumulate: number of batches over which gradients are accumulated for each optimizer step.
        precision: one of :data:`~unroll.training.precision.PRECISIONS`.
        patience: validations without improvement before stopping early; None to disable.
        group: the process group.
        every_weight: whether all weights get a gradient in every batch.
        callbacks: further callbacks.
    """
    _quiet()
    stopping = [EarlyStopping(monitor, mode=mode, patience=patience)] if patience else []
    display = [Display(name)] if name is not None and group.rank == 0 else []
    # explicit for a single process: in a SLURM job, Lightning would handle signals and write its own checkpoints
    plugins: list[Any] = [plugin(precision), group.cluster or LightningEnvironment()]
    strategy: Any = "auto"
    if group.cluster is not None:
        strategy = Strategy(find_unused_parameters=not every_weight)
    trainer = Trainer(
        accelerator="gpu" if torch.cuda.is_available() else "cpu",  # not mps, which lacks double precision
        devices=group.local,
        num_nodes=group.world // group.local,
        strategy=strategy,
        plugins=plugins,
        deterministic="warn" if torch.cuda.is_available() else None,  # always on a CPU
        max_epochs=-1,
        val_check_interval=steps_between_validations,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        accumulate_grad_batches=accumulate,
        logger=False,
        callbacks=[TokenBudget(), *stopping, *display, *callbacks],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        enable_autolog_hparams=False,
    )
    # Lightning would replace the handler of SIGTERM by one that ends the run without a checkpoint
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    return trainer


def _quiet() -> None:
    """Silence Lightning's tips and its advice on worker processes, which are not used here."""
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", SRUN)
    # lightning 2.6 uses a class that torch 2.13 deprecates
    warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec.*", FutureWarning)
    # the means of a validation are equal in all processes, since they come from sums over all of them
    warnings.filterwarnings("ignore", ".*sync_dist=True.*")
    # in fp16 the first steps may overflow and be skipped; the schedule follows tokens, not steps
    warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step")
    warnings.filterwarnings("ignore", ".*Checkpoint directory .* exists and is not empty.*")


def plugin(precision: str) -> Precision:
    """Lightning's plugin for a precision.

    Mixed precision keeps weights in single precision; with fp16 the loss is scaled to preserve small gradients
    (Micikevicius et al., ICLR 2018).
    """
    if precision == "32":
        return Precision()
    if precision == "64":
        return DoublePrecision()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    scaler = torch.amp.GradScaler(device) if precision == "16-mixed" else None
    return MixedPrecision(precision, device, scaler)  # type: ignore[arg-type]
