"""Network and answers of the transduction task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from unroll.data.batch import Batch, DataSpec
from unroll.data.fields import Record
from unroll.data.subwords import text_of
from unroll.data.units import joined
from unroll.data.vocabularies import Vocabularies
from unroll.data.vocabulary import SPECIAL
from unroll.errors import BadInput
from unroll.networks.beam import Hypotheses
from unroll.networks.encoder_decoder import EncodedSource, EncoderDecoder
from unroll.tasks.answer import Answer
from unroll.tasks.network import Blocks, TaskNetwork
from unroll.tasks.transducer.description import TransducerOptions


@dataclass(frozen=True)
class Written(Answer):
    """A target, and others that were found with it.

    Args:
        target: its text.
        score: its log-probability, divided by the length penalty.
        others: further answers with their scores, best first.
    """

    target: str
    score: float
    others: list[tuple[str, float]]

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
    """

    symbols: list[list[int]]
    scores: list[float]


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

    def search(self, source: EncodedSource, width: int, best: int = 1) -> Hypotheses:
        """Answers to sources by beam search."""
        longest = longest_answers(source.memory.lengths - 1, self.options)
        return self.network.search(source, longest, width, best, self.options.length_penalty)

    def predict(self, batch: Batch) -> list[Ranked]:
        found = self.search(self.read(batch), max(self.options.beam, self.best), self.best)
        return [
            _ranked(*row) for row in zip(*(part.tolist() for part in found[:2]), found.scores.tolist(), strict=True)
        ]

    def answer(self, record: Record, predicted: Ranked, vocabulary: Vocabularies) -> Written:
        texts = [self.text(symbols, record["source"]) for symbols in predicted.symbols]
        return Written(texts[0], predicted.scores[0], list(zip(texts[1:], predicted.scores[1:], strict=True)))

    def text(self, symbols: Sequence[int], source: Sequence[str] = ()) -> str:
        """The text of symbols.

        Args:
            symbols: of an answer, without the one that ends it.
            source: written forms of the source, whose step j is the symbol V + j.
        """
        target = self.spec["target"]
        if target.unit == "subwords":
            return text_of(target.names[number] for number in symbols if number >= SPECIAL)
        return joined([self._form(number, source) for number in symbols], target.unit)

    def _form(self, number: int, source: Sequence[str]) -> str:
        """The written form of a symbol; that of one which is copied from an unknown source is unknown."""
        names = self.spec["target"].names
        if number < len(names):
            return names[number]
        place = number - len(names)
        return source[place] if place < len(source) else names[self.spec["target"].unknown_index]


def _ranked(symbols: list[list[int]], lengths: list[int], scores: list[float]) -> Ranked:
    """The answers of one record that exist."""
    there = [n for n, score in enumerate(scores) if n == 0 or score > float("-inf")]
    return Ranked([symbols[n][: lengths[n]] for n in there], [scores[n] for n in there])


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
