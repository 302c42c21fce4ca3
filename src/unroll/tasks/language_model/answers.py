"""Network and answers of the language model task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from unroll.data.batch import DataSpec
from unroll.data.vocabularies import Vocabularies
from unroll.errors import BadInput
from unroll.networks.language import LanguageNetwork
from unroll.networks.recurrent import State
from unroll.networks.restrictions import Restrictions
from unroll.networks.sampling import Sampling
from unroll.networks.search import search
from unroll.networks.state import where_rows
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
        self, prompts: Sequence[str], vocabulary: Vocabularies, length: int, seed: int, temperature: float, top_k: int,
        top_p: float,
    ) -> list[Answer]:  # fmt: skip
        sampling = Sampling(temperature, top_k, top_p)
        symbols, spec = vocabulary.symbols("inputs"), self.spec["inputs"]
        texts = [symbols.encode(symbols.split(prompt)).tolist() or [symbols.start] for prompt in prompts]
        first, state = self._read(texts)
        banned = torch.tensor([spec.padding_index, spec.unknown_index])
        seeds = range(seed, seed + len(texts))
        found = search([_Continuing(self.network, state, banned)], first, None, Restrictions(length), sampling=sampling,
                       seeds=seeds)  # fmt: skip
        if found.scores.isneginf().any():
            raise BadInput("The network predicts no token, since its weights are not finite; train the run again with "
                           "a lower training.optimizer.learning_rate.")  # fmt: skip
        means = (found.log_probabilities[:, 0] / length).tolist()
        answers = zip(prompts, found.symbols[:, 0].tolist(), means, strict=True)
        return [Continuation(prompt, symbols.join(added), mean, symbols.unit) for prompt, added, mean in answers]

    def _read(self, texts: list[list[int]]) -> tuple[Tensor, State]:
        """Read all but the last token of each text: the last tokens [B], and the states before them."""
        first = torch.tensor([text[-1] for text in texts])
        state = self.network.initial_state(len(texts))
        lengths = torch.tensor([len(text) - 1 for text in texts])
        if not lengths.any():
            return first, state
        tokens = pad_sequence([torch.tensor(text[:-1], dtype=torch.int64) for text in texts], batch_first=True)
        after = self.network(tokens, lengths.clamp(min=1), state)[1]
        return first, where_rows(lengths > 0, after, state)


class _Continuing:
    """A language model as the search reads it, from given states; padding and the unknown token do not occur."""

    def __init__(self, network: LanguageNetwork, state: State, banned: Tensor) -> None:
        self.network, self.state, self.banned = network, state, banned

    def start(self) -> State:
        return self.state

    def step(self, previous: Tensor, state: State) -> tuple[Tensor, State]:
        features, after = self.network.step(previous, state)
        logits = self.network.logits(features).index_fill(1, self.banned, -torch.inf)
        return logits.log_softmax(dim=1, dtype=torch.promote_types(logits.dtype, torch.float32)), after


def build(blocks: Blocks, options: LanguageModelOptions) -> LanguageModelNetwork:
    """Build the network."""
    return LanguageModelNetwork(blocks.language(options.tied), blocks.spec)
