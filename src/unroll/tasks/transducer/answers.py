"""Network and answers of the transduction task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from unroll.data.batch import Batch, DataSpec
from unroll.data.fields import Record
from unroll.data.subwords import text_of
from unroll.data.units import joined
from unroll.data.vocabularies import Vocabularies
from unroll.data.vocabulary import END, SPECIAL
from unroll.errors import BadInput
from unroll.networks.beam import Hypotheses
from unroll.networks.encoder_decoder import EncodedSource, EncoderDecoder
from unroll.networks.sampling import Sampling
from unroll.tasks.answer import Answer, Attended
from unroll.tasks.network import Blocks, TaskNetwork
from unroll.tasks.transducer.description import TransducerOptions


@dataclass(frozen=True)
class Written(Answer):
    """A target, and others that were found with it.

    Args:
        target: its text.
        score: its log-probability, divided by the length penalty.
        others: further answers with their scores, best first.
        attended: what it was written from, if that was asked for.
    """

    target: str
    score: float
    others: list[tuple[str, float]]
    attended: Attended | None = None

    def content(self) -> dict[str, Any]:
        others = [{"target": text, "score": score} for text, score in self.others]
        return {"target": self.target, "score": self.score, **({"others": others} if others else {})}

    def __str__(self) -> str:
        return self.target


class Ranked(NamedTuple):
    """The answers of one record, best first.

    Args:
        symbols: symbols of each answer.
        scores: score of each answer.
        weights: of attention, for each symbol of the best answer over the steps of the source; None if not asked for.
    """

    symbols: list[list[int]]
    scores: list[float]
    weights: list[list[float]] | None = None


class TransducerNetwork(TaskNetwork):
    """Writes a target for each source; see :class:`~unroll.networks.encoder_decoder.EncoderDecoder`.

    Args:
        network: encoder and decoder.
        options: settings of the search.
        spec: sizes that the data determines.

    Shapes:
        batch: ``source``: [B, S]
    """

    def __init__(self, network: EncoderDecoder, options: TransducerOptions, spec: DataSpec) -> None:
        super().__init__(spec)
        self.network, self.options = network, options

    def read(self, batch: Batch) -> EncodedSource:
        """Read the sources of a batch.

        Raises:
            BadInput: a source is longer than allowed.
        """
        symbols, lengths = batch.sequence("source")
        refuse_long(int(lengths.max()) - 1, self.options.longest_source)
        return self.network.read(symbols, lengths)

    def read_by_others(self, batch: Batch) -> list[tuple[EncoderDecoder, EncodedSource]]:
        """The other networks of an ensemble, with what they read of a batch."""
        others = cast("tuple[TransducerNetwork, ...]", self.others)
        return [(other.network, other.read(batch)) for other in others]

    def search(
        self,
        source: EncodedSource,
        width: int,
        best: int = 1,
        others: Sequence[tuple[EncoderDecoder, EncodedSource]] = (),
        sampling: Sampling | None = None,
        seeds: Sequence[int] = (),
    ) -> Hypotheses:
        """Answers to sources by beam search, or drawn ones; see :meth:`EncoderDecoder.search`."""
        longest = longest_answers(source.memory.lengths - 1, self.options)
        return self.network.search(source, longest, width, best, self.options.length_penalty, others, sampling, seeds)

    @property
    def attends(self) -> bool:
        return self.network.decoder.wiring.attends

    def predict(self, batch: Batch) -> list[Ranked]:
        source = self.read(batch)
        width = max(self.options.beam, self.best)
        return self._ranked(source, self.search(source, width, self.best, self.read_by_others(batch)))

    def sample(self, batch: Batch, sampling: Sampling, seeds: Sequence[int]) -> list[Ranked]:
        source = self.read(batch)
        return self._ranked(source, self.search(source, 1, 1, self.read_by_others(batch), sampling, seeds))

    def _ranked(self, source: EncodedSource, found: Hypotheses) -> list[Ranked]:
        """The answers of each record, with their weights if they are asked for."""
        columns = (found.symbols.tolist(), found.lengths.tolist(), found.scores.tolist())
        ranked = [_existing(*row) for row in zip(*columns, strict=True)]
        if not self.shows_attention:
            return ranked
        targets, mask = ended(found, self.network.end_index)
        weights = self.network.weights(source, targets, mask.sum(dim=1))  # [B, T + 1, S]
        own = [row[real][:, :steps] for row, real, steps in zip(weights, mask, source.memory.lengths, strict=True)]
        if not all(part.isfinite().all() for part in own):
            raise BadInput("The network has weights of attention that are not finite; train the run again with a lower "
                           "training.optimizer.learning_rate.")  # fmt: skip
        return [row._replace(weights=part.tolist()) for row, part in zip(ranked, own, strict=True)]

    def answer(self, record: Record, predicted: Ranked, vocabulary: Vocabularies) -> Written:
        texts = [self.text(symbols, record["source"]) for symbols in predicted.symbols]
        attended = None
        if predicted.weights is not None:
            forms = self._forms(predicted.symbols[0], record["source"])
            attended = Attended([*self._steps(record["source"], vocabulary), END], [*forms, END], predicted.weights)
        return Written(texts[0], predicted.scores[0], list(zip(texts[1:], predicted.scores[1:], strict=True)), attended)

    def _steps(self, source: Sequence[str], vocabulary: Vocabularies) -> list[str]:
        """The written form of each step of a source, without the one that ends it."""
        symbols = vocabulary.symbols("source")
        if symbols.unit != "subwords":
            return list(source)
        return [text_of([symbols.symbols[number]]) for number in symbols.encode(source)]

    def _forms(self, symbols: Sequence[int], source: Sequence[str]) -> list[str]:
        """The written form of each symbol of an answer."""
        if self.spec["target"].unit == "subwords":
            return [self.text([number]) for number in symbols]
        return [self._form(number, source) for number in symbols]

    def text(self, symbols: Sequence[int], source: Sequence[str] = ()) -> str:
        """The text of symbols.

        Args:
            symbols: of an answer, without the one that ends it.
            source: written forms of the source, whose step j is the symbol V + j.
        """
        target = self.spec["target"]
        if target.unit == "subwords":
            return text_of(target.names[number] for number in symbols if number >= SPECIAL)
        return joined(self._forms(symbols, source), target.unit)

    def _form(self, number: int, source: Sequence[str]) -> str:
        """The written form of a symbol; that of one which is copied from an unknown source is unknown."""
        names = self.spec["target"].names
        if number < len(names):
            return names[number]
        place = number - len(names)
        return source[place] if place < len(source) else names[self.spec["target"].unknown_index]


def _existing(symbols: list[list[int]], lengths: list[int], scores: list[float]) -> Ranked:
    """The answers of one record that exist."""
    there = [n for n, score in enumerate(scores) if n == 0 or score > float("-inf")]
    return Ranked([symbols[n][: lengths[n]] for n in there], [scores[n] for n in there])


def ended(found: Hypotheses, end_index: int) -> tuple[Tensor, Tensor]:
    """The best answers with the symbol that ends them, [B, T + 1], and a mask that is true for their symbols."""
    symbols, lengths = found.symbols[:, 0], found.lengths[:, 0]
    targets = F.pad(symbols, (0, 1)).scatter(1, lengths[:, None], end_index)
    return targets, torch.arange(targets.shape[1], device=targets.device) <= lengths[:, None]


def longest_answers(lengths: Tensor, options: TransducerOptions) -> Tensor:
    """Maximum lengths of answers to sources of given lengths, without [EOS]: [B] → [B]."""
    return (lengths * options.longest_factor).to(torch.int64) + options.longest_more


def refuse_long(length: int, longest: int) -> None:
    """Refuse a source of more symbols than a network may read.

    Raises:
        BadInput: it has more.
    """
    if length > longest:
        raise BadInput(f"A source has {length:,} symbols, more than task.longest_source={longest:,}; shorten it, or "
                       "train with a greater limit.")  # fmt: skip


def build(blocks: Blocks, options: TransducerOptions) -> TransducerNetwork:
    """Build the network."""
    return TransducerNetwork(blocks.transducer(options.tied, options.shared), options, blocks.spec)
