"""Every attention: its equations by scalar loops, its mask, its past, and what it refuses."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from cells.test_cells import EXACT, draw
from networks.decoders import HIDDEN, SCORES, SOURCES, attention, feature_size, memory
from torch import Tensor

import unroll.networks.attention
from unroll.errors import BadInput
from unroll.networks.attention import ATTENTIONS, Attention, DotAttention, LocalAttention, coverage_losses
from unroll.networks.attention.hidden_layer import ROOM, hidden_layer_scores
from unroll.networks.memory import Memory

each_score = pytest.mark.parametrize("score", SCORES)
each_mode = pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])

Row = list[float]
STEPS = 4


def queries(score: str = "additive") -> Tensor:
    return 2 * draw(3, STEPS, HIDDEN, seed=31)


def read_in_order(made: Attention, asked: Tensor, read: Memory) -> tuple[Tensor, Tensor]:
    """Contexts and weights of queries one after the other, as a decoder asks them."""
    prepared = made.prepare(read)
    carried = made.first(prepared)
    contexts, weights = [], []
    for query in asked.unbind(1):
        context, weight = made.read(query[:, None], prepared, None if carried is None else carried[:, None])
        carried = made.carry(carried, weight[:, 0])
        contexts.append(context[:, 0])
        weights.append(weight[:, 0])
    return torch.stack(contexts, dim=1), torch.stack(weights, dim=1)


def test_every_attention_is_exported_and_covered_here() -> None:
    exported = [getattr(unroll.networks.attention, name) for name in unroll.networks.attention.__all__]
    kinds = {e for e in exported if inspect.isclass(e) and issubclass(e, Attention) and not inspect.isabstract(e)}
    assert set(ATTENTIONS.values()) == kinds
    assert {name: type(attention(name)) for name in SCORES} == ATTENTIONS
    assert set(SCORES) == set(WEIGHTS)


def dot(a: Row, b: Row) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def times(matrix: list[Row], x: Row) -> Row:
    return [dot(row, x) for row in matrix]


def softmax(scores: Row) -> Row:
    powers = [math.exp(score) for score in scores]
    return [power / sum(powers) for power in powers]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def hidden_layer(p: dict[str, Any], s: Row, m: Row, more: float = 0.0) -> Row:
    """tanh(W s + U m + w k + b), number by number."""
    added = [w * more for w in p.get("of_coverage", [0.0] * 3)]
    parts = zip(
        times(p["of_query.weight"], s), times(p["of_feature.weight"], m), added, p["of_feature.bias"], strict=True
    )
    return [math.tanh(sum(part)) for part in parts]


def additive(p: dict[str, Any], s: Row, source: list[Row], past: list[Row]) -> Row:
    return softmax([dot(p["vector"], hidden_layer(p, s, m)) for m in source])


def coverage(p: dict[str, Any], s: Row, source: list[Row], past: list[Row]) -> Row:
    covered = [sum(weights[j] for weights in past) for j in range(len(source))]
    return softmax([dot(p["vector"], hidden_layer(p, s, m, k)) for m, k in zip(source, covered, strict=True)])


def general(p: dict[str, Any], s: Row, source: list[Row], past: list[Row]) -> Row:
    return softmax([dot(s, times(p["of_feature.weight"], m)) for m in source])


def local(p: dict[str, Any], s: Row, source: list[Row], past: list[Row]) -> Row:
    hidden = [math.tanh(x) for x in times(p["position.0.weight"], s)]
    centre, window = len(source) * sigmoid(dot(p["position.2.weight"][0], hidden)), 2
    products = []
    for j, m in enumerate(source, 1):
        gauss = math.exp(-((j - centre) ** 2) / (2 * (window / 2) ** 2))
        products.append(
            math.exp(dot(s, times(p["of_feature.weight"], m))) * gauss if abs(j - centre) <= window else 0.0
        )
    return [product / sum(products) for product in products]


def energies(p: dict[str, Any], s: Row, source: list[Row]) -> Row:
    norm = math.sqrt(dot(p["vector"], p["vector"]))
    scaled = [p["gain"][0] * v / norm for v in p["vector"]]
    return [dot(scaled, hidden_layer(p, s, m)) + p["offset"][0] for m in source]


def monotonic(p: dict[str, Any], s: Row, source: list[Row], past: list[Row]) -> Row:
    """The expected weights, by the recursion q_j = (1 − p_{j−1}) q_{j−1} + a_j of the paper."""
    chosen = [sigmoid(e) for e in energies(p, s, source)]
    before = past[-1] if past else [1.0] + [0.0] * (len(source) - 1)
    weights, q = [], 0.0
    for j, p_j in enumerate(chosen):
        q = (1 - chosen[j - 1]) * q + before[j] if j else before[0]
        weights.append(p_j * q)
    return weights


def hard_monotonic(p: dict[str, Any], s: Row, source: list[Row], past: list[Row]) -> Row:
    """Algorithm 1 of the paper: the first step from the last one read on whose score is positive."""
    before = past[-1] if past else [1.0] + [0.0] * (len(source) - 1)
    weights = [0.0] * len(source)
    if 1.0 in before:
        for j in range(before.index(1.0), len(source)):
            if energies(p, s, source)[j] > 0:
                weights[j] = 1.0
                break
    return weights


WEIGHTS: dict[str, Callable[..., Row]] = {
    "additive": additive, "coverage": coverage, "general": general, "local": local, "monotonic": monotonic,
    "dot": lambda p, s, source, past: softmax([dot(s, m) for m in source]),
    "scaled": lambda p, s, source, past: softmax([dot(s, m) / math.sqrt(HIDDEN) for m in source]),
}  # fmt: skip


def assert_is_by_hand(made: Attention, score: str, by_hand: Callable[..., Row]) -> Tensor:
    read, p = memory(score), {name: value.tolist() for name, value in made.named_parameters()}
    contexts, weights = read_in_order(made, queries(score), read)
    for b, length in enumerate(SOURCES):
        past: list[Row] = []
        source = read.features[b, :length].tolist()
        for t in range(STEPS):
            past.append(by_hand(p, queries(score)[b, t].tolist(), source, past))
            torch.testing.assert_close(weights[b, t, :length], weights.new_tensor(past[-1]), **EXACT)
            mean = [sum(a * m[n] for a, m in zip(past[-1], source, strict=True)) for n in range(feature_size(score))]
            torch.testing.assert_close(contexts[b, t], contexts.new_tensor(mean), **EXACT)
    return weights


@each_score
def test_weights_and_contexts_equal_a_scalar_loop(score: str) -> None:
    assert_is_by_hand(attention(score).train(), score, WEIGHTS[score])


def test_monotonic_attention_is_hard_in_evaluation() -> None:
    weights = assert_is_by_hand(attention("monotonic").eval(), "monotonic", hard_monotonic)
    assert set(weights.unique().tolist()) == {0.0, 1.0}
    totals = weights.sum(dim=-1)
    assert set(totals.unique().tolist()) == {0.0, 1.0}  # some queries read nothing
    for b in range(3):
        places = [int(row.argmax()) for row in weights[b] if row.any()]
        assert places == sorted(places)


def test_monotonic_attention_is_the_same_with_probabilities_of_zero_and_one() -> None:
    """Expected weights of certain choices are the hard ones, and gradients at such probabilities stay finite."""
    made, read = attention("monotonic").train(), memory()
    with torch.no_grad():
        made.gain.fill_(1e4)
    _, expected = read_in_order(made, queries(), read)
    loss = (expected * draw(*expected.shape)).sum()
    assert all(bool(gradient.isfinite().all()) for gradient in torch.autograd.grad(loss, list(made.parameters())))
    _, hard = read_in_order(made.eval(), queries(), read)
    torch.testing.assert_close(expected, hard, **EXACT)


def test_noise_stands_before_the_sigmoid_in_training_only() -> None:
    made, read = attention("monotonic").train(), memory()
    _, quiet = read_in_order(made, queries(), read)
    made.noise = 1.0  # type: ignore[assignment]
    torch.manual_seed(3)
    _, noisy = read_in_order(made, queries(), read)
    torch.manual_seed(3)
    _, again = read_in_order(made, queries(), read)
    assert torch.equal(noisy, again)
    assert not torch.allclose(noisy, quiet)
    torch.manual_seed(3)
    prepared = made.prepare(read)
    first = made.first(prepared)
    assert first is not None
    scores = made.scores(made.project(queries()[:, :1]), prepared, None)
    moved = torch.sigmoid(scores + torch.randn_like(scores))[:, 0]
    torch.testing.assert_close(noisy[:, 0, 0], moved[:, 0], **EXACT)  # the first step is read with its own probability
    calm = made.eval()
    assert torch.equal(read_in_order(calm, queries(), read)[1], read_in_order(calm, queries(), read)[1])


def test_predicted_positions_of_local_attention_cover_the_source() -> None:
    made = attention("local")
    assert isinstance(made, LocalAttention)
    read = memory("local")
    positions = made.positions(1e6 * queries(), made.prepare(read).mask)[..., 0]
    for b, length in enumerate(SOURCES):
        assert bool((positions[b] >= 0).all() and (positions[b] <= length).all())
    _, weights = read_in_order(made, 1e3 * queries(), read)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(3, STEPS, dtype=torch.float64), **EXACT)


@each_mode
@each_score
def test_padding_reaches_nothing_whatever_it_is(score: str, training: bool) -> None:
    made, found = attention(score).train(training), []
    for total, garbage in ((6, 0.0), (6, float("nan")), (9, float("inf"))):
        read, asked = memory(score, total, garbage), queries(score).requires_grad_()
        read = read._replace(features=read.features.requires_grad_())
        contexts, weights = read_in_order(made, asked, read)
        loss = (contexts * draw(*contexts.shape)).sum() + weights.square().sum()
        wanted = [read.features, asked, *made.parameters()]
        by_features, *others = torch.autograd.grad(loss, wanted, materialize_grads=True)
        for b, length in enumerate(SOURCES):
            assert not weights[b, :, length:].any()
            assert not by_features[b, length:].any()
        found.append([contexts, weights[..., :6], by_features[:, :6], *others])
    for other in found[1:]:
        for one, two in zip(other, found[0], strict=True):
            torch.testing.assert_close(one, two, **EXACT)


@each_score
def test_queries_of_one_call_are_independent(score: str) -> None:
    """Several queries of a source, each with its own past, as a beam asks them."""
    made, read = attention(score).train(), memory(score)
    prepared = made.prepare(read)
    past = torch.softmax(draw(3, STEPS, 6, seed=3), dim=-1) if made.sequential else None
    together, _ = made.read(queries(score), prepared, past)
    for t in range(STEPS):
        alone, _ = made.read(queries(score)[:, t : t + 1], prepared, None if past is None else past[:, t : t + 1])
        torch.testing.assert_close(together[:, t : t + 1], alone, **EXACT)


@each_score
def test_gradients_pass_gradcheck(score: str) -> None:
    made = attention(score).train()
    asked = queries(score)[:, :2].clone().requires_grad_()
    features = memory(score).features.nan_to_num().clamp(-3, 3).requires_grad_()

    def run(asked: Tensor, features: Tensor) -> Tensor:
        return read_in_order(made, asked, memory(score)._replace(features=features))[0]

    assert torch.autograd.gradcheck(run, (asked, features))


def test_coverage_losses_equal_a_loop_over_steps() -> None:
    weights = torch.softmax(draw(2, 5, 4), dim=-1)
    found = coverage_losses(weights)
    for b in range(2):
        covered = torch.zeros(4, dtype=torch.float64)
        for t in range(5):
            expected = sum(min(float(a), float(k)) for a, k in zip(weights[b, t], covered, strict=True))
            assert float(found[b, t]) == pytest.approx(expected, abs=1e-12)
            covered = covered + weights[b, t]
    assert not found[:, 0].any()


@each_score
def test_weights_have_full_precision_under_autocast(score: str) -> None:
    made = attention(score).float()
    read = memory(score)._replace(features=memory(score).features.float())
    with torch.autocast("cpu", torch.bfloat16):
        _, weights = read_in_order(made, queries(score).float(), read)
    assert weights.dtype == torch.float32
    _, exact = read_in_order(attention(score), queries(score), memory(score))
    torch.testing.assert_close(weights.double(), exact, rtol=0.0, atol=0.05)
    if not made.sequential or score == "coverage":
        torch.testing.assert_close(weights.sum(dim=-1), torch.ones(3, STEPS))


@pytest.mark.parametrize("kind", [DotAttention, ATTENTIONS["scaled"]])
def test_sizes_that_cannot_be_multiplied_are_refused(kind: type[Attention]) -> None:
    with pytest.raises(BadInput, match="states of 4 numbers and features of 5, which must be equal; choose general or"):
        kind(4, 5)


def test_a_window_that_may_be_empty_is_refused() -> None:
    with pytest.raises(BadInput, match="window of 0 steps on each side may have no step to read; choose at least 1"):
        LocalAttention(4, 5, 3, 0)


@pytest.mark.parametrize("room", [1, 2 * 3 * 5, 2 * 2 * 3 * 5, 10**6])  # of one query, two of three, all
def test_scores_of_a_hidden_layer_equal_those_of_a_tensor_of_all_pairs(
    room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ROOM, "cpu", room)
    asked, keys, vector = (
        draw(2, 3, 5).requires_grad_(),
        draw(2, 3, 5, seed=2).requires_grad_(),
        draw(5).requires_grad_(),
    )
    expected = torch.tanh(asked[:, :, None] + keys[:, None]) @ vector
    found = hidden_layer_scores(asked, keys, vector)
    torch.testing.assert_close(found, expected, **EXACT)
    weights = draw(2, 3, 3, seed=4)
    for one, two in zip(
        torch.autograd.grad((found * weights).sum(), [asked, keys, vector]),
        torch.autograd.grad((expected * weights).sum(), [asked, keys, vector]), strict=True,
    ):  # fmt: skip
        torch.testing.assert_close(one, two, **EXACT)
    with pytest.raises(NotImplementedError, match="no second derivative"):
        torch.autograd.grad(hidden_layer_scores(asked, keys, vector).sum(), asked, create_graph=True)
