"""The feed-forward language model against the equation of its paper."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from unroll.errors import BadInput
from unroll.networks.embedding import embed
from unroll.networks.feedforward import FeedforwardLanguageNetwork
from unroll.networks.language import LanguageNetwork

VOCABULARY, WIDTH, HIDDEN, PADDING = 9, 3, 5, 0
EXACT = {"rtol": 0.0, "atol": 1e-10}

each_variant = pytest.mark.parametrize(
    ("order", "direct", "tied"), list(product((2, 3, 5), (False, True), (False, True)))
)
Row = list[float]


def build(
    order: int, direct: bool, tied: bool = False, hidden: int = HIDDEN, dropout: float = 0.0
) -> FeedforwardLanguageNetwork:
    torch.manual_seed(4)
    embedding = embed(VOCABULARY, WIDTH, PADDING, scale=1.0)
    network = FeedforwardLanguageNetwork(embedding, order, hidden, direct, tied, dropout).double()
    nn.init.normal_(network.output.decoder.bias)
    return network


def draw_tokens(*shape: int, seed: int = 1) -> Tensor:
    return torch.randint(1, VOCABULARY, shape, generator=torch.Generator().manual_seed(seed))


def run(network: LanguageNetwork, tokens: Tensor) -> Tensor:
    """Logits after each token of equally long sequences: [B, T, V]."""
    lengths = torch.full((len(tokens),), tokens.shape[1])
    return network.logits(network(tokens, lengths, network.initial_state(len(tokens)))[0])


def times(matrix: list[Row], vector: Row) -> Row:
    return [sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix]


def paper(network: FeedforwardLanguageNetwork, order: int, direct: bool, tied: bool, tokens: list[int]) -> Row:
    """y = b + W x + U tanh(d + H x) after ``tokens``, number by number; tied: y = b + C P [x; tanh(d + H x)]."""
    weights = {name: value.tolist() for name, value in network.state_dict().items()}
    history = [PADDING] * (order - 1) + tokens
    x = [number for back in range(1, order) for number in weights["embedding.weight"][history[-back]]]
    hidden = [math.tanh(d + hx) for d, hx in
              zip(weights["hidden.bias"], times(weights["hidden.weight"], x), strict=True)]  # fmt: skip
    features = (x if direct else []) + hidden
    if tied:
        features = (
            times(weights["output.projection.weight"], features) if "output.projection.weight" in weights else features
        )
        output = weights["embedding.weight"]
    else:
        output = weights["output.decoder.weight"]
    return [b + y for b, y in zip(weights["output.decoder.bias"], times(output, features), strict=True)]


@each_variant
def test_logits_are_the_equation_of_the_paper_in_a_scalar_loop(order: int, direct: bool, tied: bool) -> None:
    network, tokens = build(order, direct, tied), draw_tokens(2, 7)
    logits = run(network, tokens)
    for b, t in product(range(2), range(7)):
        expected = paper(network, order, direct, tied, tokens[b, : t + 1].tolist())
        torch.testing.assert_close(logits[b, t], logits.new_tensor(expected), **EXACT)


@pytest.mark.parametrize("direct", [False, True])
def test_the_output_matrix_is_the_papers_w_beside_its_u(direct: bool) -> None:
    network, tokens = build(3, direct), draw_tokens(2, 7)
    features, _ = network(tokens, torch.tensor([7, 7]), network.initial_state(2))
    w, u = network.output.decoder.weight.split([network.output.decoder.in_features - HIDDEN, HIDDEN], dim=1)
    assert w.shape[1] == (2 * WIDTH if direct else 0)
    x, hidden = features.split([w.shape[1], HIDDEN], dim=-1)
    torch.testing.assert_close(run(network, tokens), network.output.decoder.bias + x @ w.T + hidden @ u.T, **EXACT)


@pytest.mark.parametrize(("n", "direct"), list(product((2, 3, 5), (False, True))))
def test_parameters_are_counted_by_the_formula_of_the_paper(n: int, direct: bool) -> None:
    v, m, h = VOCABULARY, WIDTH, HIDDEN
    of_the_paper = v * (1 + n * m + h) + h * (1 + (n - 1) * m)
    without_w = of_the_paper - v * (n - 1) * m
    counted = sum(parameter.numel() for parameter in build(n, direct).parameters())
    assert counted == (of_the_paper if direct else without_w)


@each_variant
@pytest.mark.parametrize("window", [1, 2, 5, 12])
def test_windows_of_any_length_equal_one_pass(order: int, direct: bool, tied: bool, window: int) -> None:
    network, tokens = build(order, direct, tied), draw_tokens(3, 12)
    weights = list(network.parameters())
    whole = run(network, tokens)
    projection = torch.randn(whole.shape, dtype=torch.float64)
    expected = torch.autograd.grad((whole * projection).sum(), weights)
    state, parts = network.initial_state(3), []
    for part in tokens.split(window, dim=1):
        features, state = network(part, torch.full((3,), part.shape[1]), state)
        parts.append(network.logits(features))
    joined = torch.cat(parts, dim=1)
    torch.testing.assert_close(joined, whole, **EXACT)
    for one, other in zip(torch.autograd.grad((joined * projection).sum(), weights), expected, strict=True):
        torch.testing.assert_close(one, other, **EXACT)
    if order > 2:  # the state is what makes them equal
        forgetful = run(network, tokens[:, -5:])
        assert not torch.allclose(forgetful[:, 0], whole[:, -5])


@each_variant
def test_steps_of_one_token_equal_one_pass(order: int, direct: bool, tied: bool) -> None:
    network, tokens = build(order, direct, tied), draw_tokens(3, 9)
    whole, final = network(tokens, torch.full((3,), 9), network.initial_state(3))
    state, made = network.initial_state(3), []
    for step in tokens.unbind(1):
        features, state = network.step(step, state)
        made.append(features)
    torch.testing.assert_close(torch.stack(made, dim=1), whole, **EXACT)
    assert torch.equal(state[0].tokens, final[0].tokens)


@each_variant
def test_padding_is_invisible_in_features_gradients_and_the_state_carried_on(
    order: int, direct: bool, tied: bool
) -> None:
    network, lengths = build(order, direct, tied), [4, 1, 6, 2]
    weights = list(network.parameters())
    start = (type(network.initial_state(4)[0])(draw_tokens(4, order - 2, seed=2)),)
    sequences = [draw_tokens(length, seed=10 + b) for b, length in enumerate(lengths)]
    projection = torch.randn(4, 6, VOCABULARY, dtype=torch.float64)
    alone, states, total = [], [], torch.zeros((), dtype=torch.float64)
    for b, own in enumerate(sequences):
        features, state = network(own[None], torch.tensor([len(own)]), (type(start[0])(start[0].tokens[b : b + 1]),))
        alone.append(network.logits(features)[0])
        states.append(state[0].tokens[0])
        total = total + (alone[-1] * projection[b, : len(own)]).sum()
    expected = torch.autograd.grad(total, weights)
    for width, garbage in product((6, 9), (0, 8)):
        tokens = torch.full((4, width), garbage)
        for b, own in enumerate(sequences):
            tokens[b, : len(own)] = own
        features, state = network(tokens, torch.tensor(lengths), start)
        logits = network.logits(features)
        loss = sum((logits[b, :n] * projection[b, :n]).sum() for b, n in enumerate(lengths))
        for b, n in enumerate(lengths):
            torch.testing.assert_close(logits[b, :n], alone[b], **EXACT)
            assert torch.equal(state[0].tokens[b], states[b])
        for one, other in zip(torch.autograd.grad(loss, weights), expected, strict=True):
            torch.testing.assert_close(one, other, **EXACT)


@pytest.mark.parametrize("order", [2, 3, 5])
def test_a_step_reads_the_n_minus_1_tokens_up_to_its_own_and_no_other(order: int) -> None:
    network, tokens = build(order, direct=True), draw_tokens(1, 8)
    before = run(network, tokens)
    for s in range(8):
        other = tokens.clone()
        other[0, s] = tokens[0, s] % (VOCABULARY - 1) + 1
        changed = (run(network, other) != before)[0].any(dim=-1)
        assert changed.tolist() == [s <= t < s + order - 1 for t in range(8)]


def test_what_stands_before_the_beginning_is_the_zero_vector_and_is_not_learned() -> None:
    network = build(4, direct=True)
    assert not network.embedding.weight[PADDING].any()
    run(network, draw_tokens(2, 5)).square().sum().backward()
    assert network.embedding.weight.grad is not None
    assert not network.embedding.weight.grad[PADDING].any()
    assert network.embedding.weight.grad[1:].any()


@pytest.mark.parametrize(
    ("hidden", "direct", "tied", "projected"),
    [(HIDDEN, False, True, True), (WIDTH, False, True, False), (WIDTH, True, True, True), (HIDDEN, True, False, False)],
)
def test_the_embedding_is_the_output_matrix_if_tied_and_a_projection_fits_the_widths(
    hidden: int, direct: bool, tied: bool, projected: bool
) -> None:
    network = build(3, direct, tied, hidden)
    assert (network.output.decoder.weight is network.embedding.weight) == tied
    assert any(name.startswith("output.projection.") for name, _ in network.named_parameters()) == projected


def test_losses_are_minus_the_log_of_the_softmax() -> None:
    network, tokens, targets = build(3, direct=True), draw_tokens(2, 6), draw_tokens(12, seed=5)
    features, _ = network(tokens, torch.tensor([6, 6]), network.initial_state(2))
    rows = network.logits(features).flatten(0, 1).tolist()
    losses = network.losses(features.flatten(0, 1), targets).tolist()
    for row, target, loss in zip(rows, targets.tolist(), losses, strict=True):
        assert loss == pytest.approx(-math.log(math.exp(row[target]) / sum(map(math.exp, row))), abs=1e-10)


@pytest.mark.parametrize("direct", [False, True])
def test_gradients_pass_gradcheck(direct: bool) -> None:
    network, tokens, targets = build(3, direct), draw_tokens(1, 3), draw_tokens(3, seed=6)
    names = [name for name, _ in network.named_parameters()]
    start = network.embedding.weight.detach()[PADDING]

    def loss(*values: Tensor) -> Tensor:
        weights = dict(zip(names, values, strict=True))
        # the padding row gets no gradient by design, so that it must not move when numbers are nudged either
        table = weights["embedding.weight"]
        weights["embedding.weight"] = torch.cat([start[None], table[PADDING + 1 :]])
        features, _ = functional_call(network, weights, (tokens, torch.tensor([3]), network.initial_state(1)))
        hidden = nn.functional.linear(features[0], weights["output.decoder.weight"], weights["output.decoder.bias"])
        return nn.functional.cross_entropy(hidden, targets, reduction="none")

    values = [value.detach().clone().requires_grad_() for value in network.parameters()]
    assert torch.autograd.gradcheck(loss, values)


def test_dropout_falls_on_x_and_on_the_tanh_units() -> None:
    network, tokens = build(3, direct=True, dropout=0.5), draw_tokens(40, 20)
    lengths, start = torch.full((40,), 20), network.initial_state(40)
    dropped, kept = network(tokens, lengths, start)[0], network.eval()(tokens, lengths, start)[0]
    of_x = slice(0, 2 * WIDTH)
    both = dropped[..., of_x] != 0
    torch.testing.assert_close(dropped[..., of_x][both], 2 * kept[..., of_x][both], **EXACT)
    for part in (of_x, slice(2 * WIDTH, None)):
        share = (dropped[:, 2:, part] == 0).double().mean()  # from the third step on no padding is read
        assert 0.45 < share < 0.55
    assert (kept[:, 2:] != 0).all()


def test_an_order_that_reads_nothing_and_an_embedding_without_padding_are_errors() -> None:
    with pytest.raises(BadInput, match="order 1 reads no token"):
        build(1, direct=True)
    with pytest.raises(BadInput, match="no padding token"):
        FeedforwardLanguageNetwork(nn.Embedding(VOCABULARY, WIDTH), 3, HIDDEN, False, False, 0.0)
