"""LightningModule of the transduction task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from unroll.data.batch import Batch
from unroll.data.prepared import Split
from unroll.data.scoring import ReferenceVocabulary
from unroll.errors import BadInput
from unroll.metrics import exp
from unroll.networks.beam import Hypotheses
from unroll.tasks.base import OptimizerFactory, Scores, Task
from unroll.tasks.texts import matches
from unroll.tasks.transducer.answers import TransducerNetwork, ended, longest_answers
from unroll.tasks.transducer.description import DESCRIPTION, TransducerOptions
from unroll.tasks.transducer.figures import TextFigures
from unroll.tasks.transducer.sampling import coins, probability


class Transducer(Task):
    """Transduction: losses of known targets, and figures of the targets that are found without them.

    .. math:: L = -\\frac{1}{N} \\sum_t \\ln P(y_t \\mid y_{<t}, x)

    Args:
        network: the transducer.
        options: settings of the task.
        optimizer: see :class:`~unroll.tasks.base.Task`.
        budget: training budget in tokens of the targets.

    Shapes:
        batch: ``source``: [B, S], ``target``, mask: [B, T], ``references``: bytes of the right answers [B, …],
        ``groups``: [B, G]

    Answers are found by greedy search on validation, which chooses the checkpoint, and by the beam of the settings on
    test. One is right if its text is that of a reference, or of the target if the corpus has no references.
    """

    description = DESCRIPTION
    tie = "val/loss"  # a share of whole answers is often 0 at first, and may be 1 long before the end
    derived_from: ClassVar[dict[str, str]] = {"perplexity": "loss"}
    network: TransducerNetwork
    options: TransducerOptions

    def __init__(
        self, network: TransducerNetwork, options: TransducerOptions, optimizer: OptimizerFactory | None, budget: int
    ) -> None:
        super().__init__(network, options, optimizer, budget)
        self.text_figures = TextFigures(options.texts, self.spec["target"].lowercase)
        self.seed = torch.initial_seed() % 2**32  # that of the run, from which its network was drawn

    def measure_names(self) -> tuple[str, ...]:
        return ("accuracy", "capped")

    def derived(self, metrics: dict[str, float]) -> dict[str, float]:
        return {"perplexity": exp(metrics["loss"])}

    def check_data(self, splits: Mapping[str, Split]) -> None:
        for name, split in splits.items():
            sources, targets = (torch.from_numpy(split[role].lengths) - 1 for role in ("source", "target"))
            if int(sources.max()) > self.options.longest_source:
                number = int(sources.argmax()) + 1
                raise BadInput(f"Record {number} of {name} has a source of {int(sources.max()):,} symbols, more than "
                               f"task.longest_source={self.options.longest_source:,}; raise it, or remove the "
                               "record.")  # fmt: skip
            if (targets > longest_answers(sources, self.options)).all():
                raise BadInput(f"No target of {name} is as short as answers may be: the shortest has "
                               f"{int(targets.min()):,} symbols, and answers at most {self.options.longest_factor:g} × "
                               f"those of their source + {self.options.longest_more}; raise task.longest_factor or "
                               "task.longest_more.")  # fmt: skip

    def scores(self, batch: Batch, evaluating: bool) -> Scores:
        source, targets = self.network.read(batch), batch.sequence("target").values
        if not evaluating:
            options = self.options
            own = self._own_inputs(targets, batch.mask)
            losses = self.network.network.losses(source, targets, batch.mask, options.smoothing, options.coverage, own)
            return Scores(losses, batch.mask, {}, None)
        others = self.network.read_by_others(batch)
        every = [(self.network.network, source), *others]
        losses = torch.stack([network.losses(read, targets, batch.mask) for network, read in every]).mean(dim=0)
        found = self.network.search(source, self.options.beam if self.thorough else 1, others=others)
        texts, answers = self._texts(found), self._right_answers(batch)
        correct = matches(texts, answers).to(targets.device)  # [B]
        real = batch.mask.any(dim=1)  # the only row of an empty share is not
        if real.all():
            self.text_figures.update(texts, answers)
        return Scores(
            losses, batch.mask, {"accuracy": (correct, real), "capped": (found.capped, real)}, correct,
            found.symbols[:, 0], real[:, None], found.lengths[:, 0], texts,
        )  # fmt: skip

    def on_validation_epoch_start(self) -> None:
        super().on_validation_epoch_start()
        self.text_figures.reset()

    def metrics(self) -> dict[str, float]:
        return super().metrics() | self.text_figures.compute()

    def items(self) -> dict[str, int]:
        found = super().items()
        return found | dict.fromkeys(self.text_figures.compute(), found["accuracy"])

    def signatures(self) -> dict[str, str]:
        return self.text_figures.signatures

    def searched(self, batch: Batch) -> tuple[Tensor, Tensor]:
        source = self.network.read(batch)
        found = self.network.search(source, self.options.beam)
        targets, mask = ended(found, self.network.network.end_index)
        return found.log_probabilities[:, 0], -self.network.network.losses(source, targets, mask).sum(dim=1)

    def _own_inputs(self, targets: Tensor, mask: Tensor) -> Tensor | None:
        """Where the decoder reads its own predictions: [B, T]; None for teacher forcing."""
        share = probability(
            self.options.own_inputs, self.options.own_inputs_schedule, self.tokens_seen / max(1, self.budget)
        )
        return coins(self.seed, self.tokens_seen, targets, mask, share) if share else None

    def _texts(self, found: Hypotheses) -> list[str]:
        """The text of the best answer of each record."""
        rows = zip(found.symbols[:, 0].tolist(), found.lengths[:, 0].tolist(), strict=True)
        return [self.network.text(symbols[:length]) for symbols, length in rows]

    def _right_answers(self, batch: Batch) -> list[list[str]]:
        """The right answers of each record, in lower case if targets are read so."""
        if "references" in batch.fields:
            rows = zip(*(part.tolist() for part in batch.sequence("references")), strict=True)
            found = [ReferenceVocabulary().decode(content[:length]) for content, length in rows]
            is_lower = self.spec["target"].lowercase
            return [[text.lower() for text in answers] for answers in found] if is_lower else found
        targets, lengths = batch.sequence("target")
        return [[self.network.text(row[: length - 1])] for row, length in zip(targets.tolist(), lengths.tolist(),
                                                                            strict=True)]  # fmt: skip
