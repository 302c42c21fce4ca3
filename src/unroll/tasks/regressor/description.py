"""Description of the regression task."""

from __future__ import annotations

from dataclasses import dataclass

from unroll.data.roles import Role
from unroll.metrics import Metric
from unroll.tasks.description import Description, Options


@dataclass(frozen=True)
class RegressorOptions(Options):
    """Predict one number for each sequence."""


DESCRIPTION = Description(
    roles={"inputs": Role(("frames",)), "target": Role(("number",))},
    metrics=(Metric("loss", "ratio", lower=True),),
    headlines=("loss",),
    monitors=("loss",),
    networks=("recurrent", "convolutional"),
    blocks=frozenset({"readout"}),
    loss_over="records",
    predicts="target",
    reads_windows=True,
    options=RegressorOptions,
)
