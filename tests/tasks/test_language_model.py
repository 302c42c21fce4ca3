"""Continuations of texts: against a plain loop over whole texts, alone and together."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from unroll.cells import GRUCell, LSTMCell
from unroll.data.vocabularies import Vocabularies
from unroll.data.vocabulary import SymbolVocabulary
from unroll.errors import BadInput
from unroll.networks.embedding import embed
from unroll.networks.encoder import SequenceEncoder
from unroll.networks.feedforward import FeedforwardLanguageNetwork
from unroll.networks.language import LanguageNetwork, RecurrentLanguageNetwork
from unroll.networks.ngram import KneserNey
from unroll.networks.output import TokenOutput
from unroll.networks.recurrent import Recurrent
from unroll.networks.sampling import uniforms
from unroll.tasks.language_model.answers import Continuation, LanguageModelNetwork

WORDS = SymbolVocabulary("words", False, False, 0, ("[PAD]", "[UNK]", "[EOS]", *"abcdefgh"))
SIZE = len(WORDS.symbols)
VOCABULARY = Vocabularies({"inputs": WORDS})
PROMPTS = ["a b c", "", "h", "a zebra c d e f", "b b"]
KINDS = ["lstm", "gru", "feedforward", "ngram-1", "ngram-3"]
each_kind = pytest.mark.parametrize("kind", KINDS)
SETTINGS = [(1.0, 0, 1.0), (0.0, 0, 1.0), (0.7, 4, 1.0), (1.3, 0, 0.8), (0.9, 5, 0.7)]


def build(kind: str) -> LanguageModelNetwork:
    torch.manual_seed(2)
    network: LanguageNetwork
    if kind.startswith("ngram"):
        counting = KneserNey(int(kind[-1]), SIZE)
        counting.fit(np.random.default_rng(0).integers(2, SIZE, 300).astype(np.int32))
        network = counting
    else:
        words = embed(SIZE, 6, padding_index=0, scale=1.0)
        if kind == "feedforward":
            network = FeedforwardLanguageNetwork(words, 4, 5, True, False, 0.3).double()
        else:
            cell = {"lstm": LSTMCell, "gru": GRUCell}[kind]
            encoder = SequenceEncoder(words, Recurrent(cell, 6, 7, 2, False, dropout=0.3), nn.Dropout(0.3), None)
            network = RecurrentLanguageNetwork(encoder, TokenOutput(7, SIZE, None)).double()
        for parameter in network.parameters():
            nn.init.normal_(parameter)
    return LanguageModelNetwork(network, VOCABULARY.spec).eval()


def generate(
    network: LanguageModelNetwork, prompts: list[str], length: int, seed: int, settings: tuple[float, int, float]
) -> list[Continuation]:
    found = network.generate(prompts, VOCABULARY, length, seed, *settings)
    assert all(isinstance(answer, Continuation) for answer in found)
    return found  # type: ignore[return-value]


def plain(
    network: LanguageModelNetwork, prompt: str, length: int, seed: int, settings: tuple[float, int, float]
) -> tuple[list[str], float]:
    """A continuation by reading the whole text again for each token, and its mean log-probability."""
    temperature, top_k, top_p = settings
    text = [WORDS.index.get(word, 1) for word in prompt.split()] or [WORDS.index["[EOS]"]]
    added, total, coins = [], 0.0, uniforms(seed, length).tolist()
    for coin in coins:
        model = network.network
        features, _ = model(torch.tensor([text + added]), torch.tensor([len(text + added)]), model.initial_state(1))
        logits = model.logits(features[:, -1])[0].tolist()
        powers = {n: math.exp(logits[n]) for n in range(2, SIZE)}
        ranked = sorted(powers, key=lambda n: -powers[n])
        if temperature == 0:
            token = ranked[0]
        else:
            hot = {n: math.exp(logits[n] / temperature) for n in ranked[: top_k or None]}
            kept, mass = {}, 0.0
            for n, power in hot.items():
                if mass < top_p * sum(hot.values()):
                    kept[n] = power
                mass += power
            order, left = (kept if top_k or top_p < 1 else sorted(kept)), coin * sum(kept.values())
            for token in order:
                left -= kept[token]
                if left < 0:
                    break
        total += math.log(powers[token] / sum(powers.values()))
        added.append(token)
    return [WORDS.symbols[n] for n in added], total / length


@each_kind
@pytest.mark.parametrize("settings", SETTINGS)
def test_continuations_are_those_of_a_loop_over_whole_texts_alone_and_together(
    kind: str, settings: tuple[float, int, float]
) -> None:
    network = build(kind)
    together = generate(network, PROMPTS, 8, 5, settings)
    assert [answer.prompt for answer in together] == PROMPTS
    for number, (prompt, answer) in enumerate(zip(PROMPTS, together, strict=True)):
        (alone,) = generate(network, [prompt], 8, 5 + number, settings)
        words, mean = plain(network, prompt, 8, 5 + number, settings)
        assert alone.continuation == answer.continuation == WORDS.join([WORDS.index[word] for word in words])
        for found in (alone, answer):
            assert found.mean_log_probability == pytest.approx(mean, abs=1e-10)


def test_padding_and_the_unknown_word_are_never_added() -> None:
    network = build("lstm")
    with torch.no_grad():
        network.network.output.decoder.bias[:2] = 50.0
    for settings in SETTINGS:
        for answer in generate(network, PROMPTS * 10, 20, 0, settings):
            assert "[" not in answer.continuation
            assert answer.mean_log_probability < 0


def test_a_network_that_has_diverged_is_refused() -> None:
    network = build("gru")
    with torch.no_grad():
        network.network.output.decoder.bias[3] = math.nan
    for settings in SETTINGS:
        with pytest.raises(BadInput, match="its weights are not finite; train the run again"):
            generate(network, PROMPTS, 3, 0, settings)


@each_kind
def test_numbers_that_give_no_distribution_are_refused(kind: str) -> None:
    with pytest.raises(BadInput, match="No symbols have a probability"):
        generate(build(kind), PROMPTS, 3, 0, (1.0, 0, 0.0))
