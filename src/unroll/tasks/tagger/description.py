"""Description of the tagging task."""

from __future__ import annotations

from dataclasses import dataclass

from unroll.data.roles import PROBE, Role
from unroll.metrics import ACCURACY, ACCURACY_BY_GROUP, NATS, Metric
from unroll.tasks.description import Description, Need, ReadingOptions

SPANS = Need("labels", "data.reader.scheme", "scheme")


@dataclass(frozen=True)
class TaggerOptions(ReadingOptions):
    """Predict the label of each token."""


DESCRIPTION = Description(
    roles={
        "inputs": Role(("symbols",), learns_unknown=True),
        "labels": Role(("labels",)),
        **PROBE,
        "spelling": Role(("spelling",), is_needed=False),
    },
    metrics=(
        Metric("f1", "difference", lower=False, top=1),
        Metric("precision", "difference", lower=False, top=1),
        Metric("recall", "difference", lower=False, top=1),
        ACCURACY,
        ACCURACY_BY_GROUP,
        NATS,
    ),
    headlines=("f1", "accuracy"),
    monitors=("f1", "accuracy"),  # in corpora of spans, most tokens are outside of them
    networks=("recurrent", "convolutional"),
    blocks=frozenset({"spelling", "labels"}),
    predicts="labels",
    needs={"f1": SPANS, "precision": SPANS, "recall": SPANS, "accuracy/": Need("probe", "data.reader.probe")},
    whole=SPANS,
    reads_windows=True,
    options=TaggerOptions,
)
