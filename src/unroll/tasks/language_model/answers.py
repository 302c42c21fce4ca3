"""Network and answers of the language model task."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from unroll.data.batch import DataSpec
from unroll.data.vocabularies import Vocabularies
from unroll.networks.language import LanguageNetwork
from unroll.tasks.answer import Answer
from unroll.tasks.language_model.description import LanguageModelOptions
from unroll.tasks.network import Blocks, TaskNetwork


@dataclass(frozen=True)
class Continuation(Answer):
    """A text and its continuation.

    Args:
        prompt: start of the text.
        continuation: the added text.
        mean_log_probability: mean log-probability of the added tokens, in nats.
        unit: unit of the tokens; words are joined by spaces.
    """

    prompt: str
    continuation: str
    mean_log_probability: float
    unit: str

    def __str__(self) -> str:
        between = " " if self.unit == "words" and self.prompt else ""
        return f"{self.prompt}{between}{self.continuation}"

    def content(self) -> dict[str, Any]:
        return {name: value for name, value in super().content().items() if name != "unit"}


class LanguageModelNetwork(TaskNetwork):
    """A language model: Mikolov et al. 2010.

    Args:
        network: embedding, recurrence and output layer, or an n-gram model.
        spec: sizes that the data determines.
    """

    def __init__(self, network: LanguageNetwork, spec: DataSpec) -> None:
        super().__init__(spec)
        self.network = network

    @torch.inference_mode()
    def generate(
        self, prompt: str, vocabulary: Vocabularies, length: int, temperature: float, seed: int
    ) -> Continuation:
        draw = torch.Generator().manual_seed(seed)
        symbols = vocabulary.symbols("inputs")
        numbers = symbols.encode(symbols.split(prompt)).tolist() or [symbols.start]
        state = self.network.initial_state(1)
        inputs = torch.tensor([numbers])
        added = []
        total = 0.0
        for _ in range(length):
            features, state = self.network(inputs, torch.tensor([inputs.shape[1]]), state)
            logits = self.network.logits(features[:, -1])[0].double()  # [V]
            logits[[self.spec["inputs"].padding_index, self.spec["inputs"].unknown_index]] = -math.inf
            if temperature > 0:
                token = int(torch.multinomial(torch.softmax(logits / temperature, 0), 1, generator=draw))
            else:
                token = int(logits.argmax())
            total += float(torch.log_softmax(logits, 0)[token])
            added.append(token)
            inputs = torch.tensor([[token]])
        return Continuation(prompt, symbols.join(added), total / max(length, 1), symbols.unit)


def build(blocks: Blocks, options: LanguageModelOptions) -> LanguageModelNetwork:
    """Build the network."""
    return LanguageModelNetwork(blocks.language(options.tied), blocks.spec)
