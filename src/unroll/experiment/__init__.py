"""The only place that joins the parts: conf → data → network → task → trainer → tracking."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unroll.experiment.building import build_network, build_task
    from unroll.experiment.evaluation import evaluate, evaluate_task
    from unroll.experiment.identity import adhoc_name, finished, with_precision
    from unroll.experiment.kept import present
    from unroll.experiment.loading import evaluation_loader, loaders
    from unroll.experiment.seeds import train_seeds
    from unroll.experiment.tracked import Pruned, sync
    from unroll.experiment.trained import Trained, refuse_another, tensors
    from unroll.experiment.training import train
    from unroll.experiment.workspace import Busy

__all__ = [
    "Busy", "Pruned", "Trained", "adhoc_name", "build_network", "build_task", "evaluate", "evaluate_task",
    "evaluation_loader", "finished", "loaders", "present", "refuse_another", "sync", "tensors", "train", "train_seeds",
    "with_precision",
]  # fmt: skip

MODULES = {
    "building": ("build_network", "build_task"),
    "evaluation": ("evaluate", "evaluate_task"),
    "identity": ("adhoc_name", "finished", "with_precision"),
    "kept": ("present",),
    "loading": ("evaluation_loader", "loaders"),
    "seeds": ("train_seeds",),
    "tracked": ("Pruned", "sync"),
    "trained": ("Trained", "refuse_another", "tensors"),
    "training": ("train",),
    "workspace": ("Busy",),
}


def __getattr__(name: str) -> Any:
    """Import a name from its module on first use, since loading a run must not import lightning."""
    for module, names in MODULES.items():
        if name in names:
            return getattr(import_module(f"unroll.experiment.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
