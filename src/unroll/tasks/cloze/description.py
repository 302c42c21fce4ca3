"""Description of the cloze task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field as Option

from unroll.data.roles import PROBE, Role
from unroll.metrics import ACCURACY, ACCURACY_BY_GROUP, NATS, Metric
from unroll.tasks.description import Description, Need, Options


@dataclass(frozen=True)
class ClozeOptions(Options):
    """Predict each token from all others of its sequence; training starts at the frequencies of the tokens."""

    tied: Annotated[bool, Option(description="Whether the output matrix is the embedding.")]


DESCRIPTION = Description(
    roles={"inputs": Role(("symbols",)), **PROBE},
    metrics=(Metric("pseudo_perplexity", "ratio", lower=True, bottom=1), NATS, ACCURACY, ACCURACY_BY_GROUP),
    headlines=("pseudo_perplexity",),
    monitors=("loss",),
    networks=("recurrent",),
    sees="others",
    predicts_inputs=True,
    needs={"accuracy/": Need("probe", "data.reader.probe")},
    options=ClozeOptions,
)
