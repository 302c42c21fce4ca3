"""Description of the transduction task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field as Option

from unroll.data.roles import Role
from unroll.metrics import ACCURACY, ACCURACY_BY_GROUP, NATS, Metric
from unroll.tasks.description import Description, Need, ReadingOptions

Figure = Literal["bleu", "chrf", "word_error_rate", "character_error_rate", "rouge"]
Score = Literal["accuracy", "bleu", "chrf", "word_error_rate", "character_error_rate", "rougeL"]
ROUGE = ("rouge1", "rouge2", "rougeL")  # the figures of rouge


@dataclass(frozen=True)
class TransducerOptions(ReadingOptions):
    """Write a target for each source; the tokens of the targets count."""

    tied: Annotated[bool, Option(description="Whether the output matrix is the embedding of the targets.")]
    shared: Annotated[
        bool, Option(description="Whether source and target, which then need one vocabulary, share an embedding.")
    ]
    smoothing: Annotated[
        float, Option(ge=0, lt=1, description="Weight of the uniform distribution in label smoothing; 0 for none.")
    ]
    coverage: Annotated[
        float, Option(ge=0, description="Weight of the loss of reading again what attention has read; 0 for none.")
    ]
    own_inputs: Annotated[
        float,
        Option(
            ge=0,
            le=1,
            description="Probability, at the end of training, that the decoder reads its own prediction of the symbol "
            "before in place of the right one (scheduled sampling); 0 for teacher forcing.",
        ),
    ]
    own_inputs_schedule: Annotated[
        Literal["linear", "exponential", "inverse_sigmoid"],
        Option(description="How that probability rises from 0 over the budget."),
    ]
    score: Annotated[
        Score, Option(description="The figure of greedy answers that chooses the checkpoint and compares runs.")
    ]
    figures: Annotated[
        tuple[Figure, ...],
        Option(description="Further figures of texts; words are those between blanks, which may be phones."),
    ]
    beam: Annotated[
        int,
        Option(ge=1, le=10_000, description="Beam width on test and in prediction; 1 for greedy search, as on "
               "validation."),
    ]  # fmt: skip
    length_penalty: Annotated[
        float, Option(ge=0, le=100, description="Exponent of the length penalty of the beam; 0 for none.")
    ]
    longest_factor: Annotated[
        float, Option(ge=0, le=1000, description="Maximum length of an answer per symbol of its source.")
    ]
    longest_more: Annotated[int, Option(ge=1, le=10**6, description="Symbols that are added to this maximum length.")]
    longest_source: Annotated[
        int, Option(ge=1, le=10**6, description="Maximum length of a source in symbols; longer ones are refused.")
    ]

    @property
    def chosen(self) -> str:
        return self.score

    @property
    def texts(self) -> list[str]:
        """The figures of texts that are computed."""
        own = {"accuracy": (), "rougeL": ("rouge",)}.get(self.score, (self.score,))
        return list(dict.fromkeys((*own, *self.figures)))

    @property
    def figures_left_out(self) -> tuple[str, ...]:
        every = ("bleu", "chrf", "word_error_rate", "character_error_rate")
        return (*(name for name in every if name not in self.texts), *(ROUGE if "rouge" not in self.texts else ()))


DESCRIPTION = Description(
    roles={
        "source": Role(("symbols",), learns_unknown=True, has_own_name=True),
        "target": Role(("symbols",), has_own_name=True),
        "references": Role(("references",), is_needed=False),
        "groups": Role(("groups",), is_needed=False),
    },
    metrics=(
        ACCURACY,
        ACCURACY_BY_GROUP,
        NATS,
        Metric("perplexity", "ratio", lower=True, bottom=1),
        Metric("capped", "log-odds", lower=True, top=1),
        Metric("bleu", "difference", lower=False, top=100),
        Metric("chrf", "difference", lower=False, top=100),
        Metric("word_error_rate", "difference", lower=True),
        Metric("character_error_rate", "difference", lower=True),
        *(Metric(name, "difference", lower=False, top=1) for name in ROUGE),
    ),
    headlines=("accuracy",),
    monitors=("accuracy",),
    networks=("recurrent", "convolutional"),
    blocks=frozenset({"readout", "decoder"}),
    source="source",
    lengths=("target", "source"),
    predicts="target",
    groups="groups",
    searches=("beam", "length_penalty", "longest_factor", "longest_more"),
    needs={"accuracy/": Need("groups", "data.reader.group_columns")},
    options=TransducerOptions,
)
