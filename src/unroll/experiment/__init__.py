"""The only place that joins the parts: conf → data → network → task → trainer → tracking."""

from unroll.experiment.building import build_task
from unroll.experiment.evaluation import evaluate, evaluate_task
from unroll.experiment.identity import adhoc_name, finished, with_precision
from unroll.experiment.loading import evaluation_loader, loaders
from unroll.experiment.tracked import Pruned, sync
from unroll.experiment.trained import Trained, refuse_another, tensors
from unroll.experiment.training import train
from unroll.experiment.working import Busy

__all__ = [
    "Busy", "Pruned", "Trained", "adhoc_name", "build_task", "evaluate", "evaluate_task", "evaluation_loader",
    "finished", "loaders", "refuse_another", "sync", "tensors", "train", "with_precision",
]  # fmt: skip
