"""Description of the language model task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field as Option

from unroll.data.roles import PROBE, Role
from unroll.metrics import ACCURACY_BY_GROUP, KNOWN, NATS, Metric
from unroll.tasks.description import Description, Need, Options


@dataclass(frozen=True)
class LanguageModelOptions(Options):
    """Predict each next token; training starts at the frequencies of the tokens."""

    tied: Annotated[bool, Option(description="Whether the output matrix is the embedding.")]


DESCRIPTION = Description(
    roles={
        "inputs": Role(("symbols",)),
        **PROBE,
        "document": Role(("document_start",), is_needed=False),
    },
    metrics=(
        Metric("perplexity", "ratio", lower=True, bottom=1),
        Metric("perplexity_known", "ratio", lower=True, bottom=1),
        NATS,
        KNOWN,
        Metric("bits_per_character", "difference", lower=True),
        ACCURACY_BY_GROUP,
    ),
    headlines=("perplexity",),
    monitors=("loss",),
    networks=("recurrent", "feedforward", "ngram"),
    reads="streams",
    sees="past",
    predicts_inputs=True,
    continues=True,
    needs={
        "bits_per_character": Need("inputs", "data.reader={name: text, unit: characters}", "unit", "characters"),
        "accuracy/": Need("probe", "data.reader.probe"),
    },
    reads_windows=True,
    options=LanguageModelOptions,
)
