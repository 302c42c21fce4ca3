"""Interpolated Kneser–Ney against its formula, written out with plain dictionaries."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from unroll.networks.ngram import ContextState, KneserNey

each_order = pytest.mark.parametrize("order", range(1, 6))
Gram = tuple[int, ...]


def brute_force(text: Sequence[int], order: int, size: int) -> Callable[[int, Gram], float]:
    """P(word | all words before it), straight from the formula in the docstring of ``KneserNey``."""
    grams = {m: [tuple(text[i : i + m]) for i in range(len(text) - m + 1)] for m in range(1, order + 1)}
    counts: dict[int, dict[Gram, int]] = {order: Counter(grams[order])}
    for m in range(1, order):
        longer = set(grams[m + 1])
        counts[m] = {gram: sum((left, *gram) in longer for left in range(size)) for gram in grams[m]}
    discounts = {}
    for m, of_order in counts.items():
        once, twice = (sum(count == n for count in of_order.values()) for n in (1, 2))
        discounts[m] = once / (once + 2 * twice) if once and twice else 0.5
    after: dict[Gram, dict[int, int]] = defaultdict(dict)  # context → word → count, of every order
    for of_order in counts.values():
        for gram, count in of_order.items():
            after[gram[:-1]][gram[-1]] = count

    def probability(word: int, history: Gram, m: int) -> float:
        if m == 0:
            return 1 / size
        seen = after.get(history[len(history) - (m - 1) :], {})
        total = sum(seen.values())
        shorter = probability(word, history, m - 1)
        if total == 0:
            return shorter
        kinds = sum(count > 0 for count in seen.values())
        return (max(seen.get(word, 0) - discounts[m], 0) + discounts[m] * kinds * shorter) / total

    return lambda word, history: probability(word, history, min(order, len(history) + 1))


def fitted(order: int, text: Sequence[int], size: int) -> KneserNey:
    model = KneserNey(order, size)
    model.fit(np.array(text, np.int32))
    return model


def run(model: KneserNey, tokens: Tensor, state: tuple[ContextState] | None = None) -> Tensor:
    """Log-probabilities after each token: [B, T, V]."""
    lengths = torch.full((len(tokens),), tokens.shape[1])
    features, _ = model(tokens, lengths, state or model.initial_state(len(tokens)))
    return model.logits(features.flatten(0, 1)).unflatten(0, tokens.shape)


def draw(length: int, size: int, seed: int) -> list[int]:
    # Squared, so that some words are frequent and others rare or never seen.
    return (np.random.default_rng(seed).random(length) ** 2 * size).astype(int).tolist()


@each_order
@pytest.mark.parametrize(("length", "size", "seed"), [(60, 4, 0), (60, 4, 1), (200, 6, 2), (14, 5, 3), (8, 3, 4)])
def test_every_probability_equals_the_formula(order: int, length: int, size: int, seed: int) -> None:
    text = draw(length, size, seed)
    model, expected = fitted(order, text, size), brute_force(text, order, size)
    # Read the text itself (contexts seen) and another one (contexts seen in part or not at all).
    for tokens in (text[:30], draw(30, size, seed + 100)):
        found = run(model, torch.tensor([tokens]))[0].exp()
        wanted = [[expected(w, tuple(tokens[: t + 1])) for w in range(size)] for t in range(len(tokens))]
        torch.testing.assert_close(found, found.new_tensor(wanted), rtol=0, atol=1e-12)


@each_order
def test_probabilities_sum_to_one_after_seen_and_unseen_contexts(order: int) -> None:
    size = 7
    model = fitted(order, draw(80, size - 2, 5), size)  # two words of the vocabulary never occur
    start = model.logits(model.initial_state(1)[0].contexts)
    seen = run(model, torch.tensor([draw(80, size - 2, 5)]))
    unseen = run(model, torch.tensor([[5, 6, 0, 5, 1, 6, 6, 2, 3, 4, 0, 1]]))
    for logits in (start, seen, unseen):
        assert torch.isfinite(logits).all()
        total = logits.exp().sum(-1)
        torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-12)


@each_order
def test_windows_with_carried_state_equal_one_pass(order: int) -> None:
    model, tokens = fitted(order, draw(80, 5, 6), 5), torch.tensor([draw(11, 5, 7), draw(11, 5, 8)])
    state, parts = model.initial_state(2), []
    for window in tokens.split(3, dim=1):
        features, state = model(window, torch.full((2,), window.shape[1]), state)
        parts.append(features)
    whole, end = model(tokens, torch.tensor([11, 11]), model.initial_state(2))
    assert torch.equal(torch.cat(parts, dim=1), whole)
    assert torch.equal(state[0].contexts, end[0].contexts)


@each_order
def test_steps_of_one_token_equal_one_pass(order: int) -> None:
    model, tokens = fitted(order, draw(80, 5, 6), 5), torch.tensor([draw(11, 5, 7), draw(11, 5, 8)])
    whole, end = model(tokens, torch.tensor([11, 11]), model.initial_state(2))
    state, made = model.initial_state(2), []
    for step in tokens.unbind(1):
        features, state = model.step(step, state)
        made.append(features)
    assert torch.equal(torch.stack(made, dim=1), whole)
    assert torch.equal(state[0].contexts, end[0].contexts)


@each_order
def test_the_final_state_of_a_padded_batch_is_that_of_each_sequence_alone(order: int) -> None:
    model, tokens = fitted(order, draw(80, 5, 6), 5), torch.tensor([draw(9, 5, 7), draw(9, 5, 8)])
    _, final = model(tokens, torch.tensor([4, 9]), model.initial_state(2))
    for b, length in enumerate((4, 9)):
        _, alone = model(tokens[b : b + 1, :length], torch.tensor([length]), model.initial_state(1))
        assert torch.equal(final[0].contexts[b : b + 1], alone[0].contexts)


@each_order
def test_a_model_reloads_from_its_state_dict(order: int) -> None:
    model, tokens = fitted(order, draw(80, 5, 6), 5), torch.tensor([draw(30, 5, 9)])
    again = KneserNey(order, 5)
    again.load_state_dict(model.state_dict())
    assert torch.equal(run(again, tokens), run(model, tokens))


def test_more_context_helps_where_there_is_some_to_learn() -> None:
    text = [0, 1, 2, 0, 2, 1] * 30  # what follows 0 is told by the word before it alone
    losses = [-run(fitted(n, text, 3), torch.tensor([text]))[0, :-1].gather(1, torch.tensor(text[1:])[:, None]).mean()
              for n in (1, 2, 3)]  # fmt: skip
    assert losses[0] > losses[1] > losses[2]
    assert losses[2] < math.log(3) / 5


@pytest.mark.parametrize("order", [1, 2, 5])
def test_losses_of_targets_are_their_places_in_the_whole_distribution(order: int) -> None:
    model = KneserNey(order, 7)
    model.fit(np.random.default_rng(0).integers(0, 7, 200))
    inputs = torch.from_numpy(np.random.default_rng(1).integers(0, 7, (2, 30)))
    features = model(inputs, torch.tensor([30, 30]), model.initial_state(2))[0].flatten(0, 1)
    targets = torch.from_numpy(np.random.default_rng(2).integers(0, 7, 60))
    wanted = -model.logits(features)[torch.arange(60), targets]
    assert torch.allclose(model.losses(features, targets), wanted, rtol=0, atol=1e-12)
