"""Language models: what is tied, what is projected, and what tells a token: what comes before, or all others."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from cells.test_cells import EXACT, VARIANTS, draw, randomized
from torch import Tensor, nn

from unroll.networks.embedding import embed
from unroll.networks.encoder import SequenceEncoder
from unroll.networks.language import ClozeNetwork, RecurrentLanguageNetwork
from unroll.networks.output import TokenOutput
from unroll.networks.recurrent import Recurrent

VOCABULARY, WIDTH, HIDDEN = 11, 6, 8
LENGTHS = [4, 1, 6, 3]

each_variant = pytest.mark.parametrize("variant", VARIANTS)
# where a rectified unit is off, nothing depends on anything
each_smooth = pytest.mark.parametrize("variant", [v for v in VARIANTS if v not in ("irnn", "vanilla-relu")])
each_direction = pytest.mark.parametrize("bidirectional", [False, True])


def parts(
    variant: str,
    tied: bool,
    width: int = WIDTH,
    hidden: int = HIDDEN,
    layers: int = 1,
    bidirectional: bool = False,
    learned_state: bool = False,
) -> tuple[SequenceEncoder, TokenOutput, nn.Embedding]:
    torch.manual_seed(3)
    embedding = embed(VOCABULARY, width, padding_index=0, scale=0.1)
    recurrent = Recurrent(VARIANTS[variant].build, width, hidden, layers, bidirectional, learned_state=learned_state)
    encoder = SequenceEncoder(embedding, recurrent, nn.Identity(), "final")
    return encoder, TokenOutput(encoder.output_size, VOCABULARY, embedding if tied else None), embedding


def build(variant: str = "lstm", tied: bool = True) -> RecurrentLanguageNetwork:
    network: RecurrentLanguageNetwork = randomized(RecurrentLanguageNetwork(*parts(variant, tied)[:2]).double())
    return network


def build_cloze(
    variant: str = "lstm", bidirectional: bool = True, layers: int = 1, tied: bool = True, learned_state: bool = False
) -> ClozeNetwork:
    encoder, output, _ = parts(variant, tied, layers=layers, bidirectional=bidirectional, learned_state=learned_state)
    network: ClozeNetwork = randomized(ClozeNetwork(encoder, output).double())
    return network


# ---- logits of tokens


@pytest.mark.parametrize("tied", [False, True])
def test_tied_weights_are_one_parameter_and_untied_ones_are_two(tied: bool) -> None:
    encoder, output, embedding = parts("lstm", tied)
    network = RecurrentLanguageNetwork(encoder, output)
    assert (output.decoder.weight is embedding.weight) == tied
    tables = [parameter for parameter in network.parameters() if len(parameter) == VOCABULARY and parameter.dim() == 2]
    assert len(tables) == (1 if tied else 2)
    output.decoder.weight.data.fill_(5.0)
    assert (embedding.weight == 5.0).all() == tied


@pytest.mark.parametrize(
    ("width", "hidden", "tied", "projected"), [(6, 8, True, True), (8, 8, True, False), (6, 8, False, False)]
)
def test_a_projection_appears_exactly_when_tied_widths_differ(
    width: int, hidden: int, tied: bool, projected: bool
) -> None:
    _, output, _ = parts("lstm", tied, width, hidden)
    assert any(name.startswith("projection.") for name, _ in output.named_parameters()) == projected
    if projected:
        assert output.projection.weight.shape == (width, hidden)


@each_variant
@pytest.mark.parametrize("tied", [True, False])
def test_logits_are_the_equation(variant: str, tied: bool) -> None:
    network = build(variant, tied)
    embedding, output = network.encoder.inputs, network.output
    tokens, lengths = torch.tensor([[1, 2, 3], [4, 5, 6]]), torch.tensor([3, 3])
    features, _ = network(tokens, lengths, network.initial_state(2))
    hidden, _ = network.encoder.recurrent(embedding(tokens), lengths, network.initial_state(2))
    if tied:
        expected = hidden @ output.projection.weight.T @ embedding.weight.T + output.decoder.bias
    else:
        expected = hidden @ output.decoder.weight.T + output.decoder.bias
    torch.testing.assert_close(network.logits(features), expected, **EXACT)
    targets = torch.tensor([[2, 3, 4], [5, 6, 7]])
    told = expected.exp() / expected.exp().sum(dim=-1, keepdim=True)
    losses = network.losses(features.flatten(0, 1), targets.flatten()).view(2, 3)
    torch.testing.assert_close(losses, -told.gather(2, targets[..., None])[..., 0].log(), **EXACT)


@each_variant
def test_windows_of_tokens_with_carried_state_equal_one_pass(variant: str) -> None:
    network = build(variant)
    tokens = torch.tensor([[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]])
    whole, _ = network(tokens, torch.tensor([5, 5]), network.initial_state(2))
    first, state = network(tokens[:, :2], torch.tensor([2, 2]), network.initial_state(2))
    second, _ = network(tokens[:, 2:], torch.tensor([3, 3]), state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole, **EXACT)


@each_variant
def test_steps_of_one_token_equal_one_pass(variant: str) -> None:
    network = build(variant)
    tokens = torch.tensor([[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]])
    whole, final = network(tokens, torch.tensor([5, 5]), network.initial_state(2))
    state, made = network.initial_state(2), []
    for step in tokens.unbind(1):
        features, state = network.step(step, state)
        made.append(features)
    torch.testing.assert_close(torch.stack(made, dim=1), whole, **EXACT)
    for part, wanted in zip(state[0], final[0], strict=True):
        torch.testing.assert_close(part, wanted, **EXACT)


# ---- each token told from the others


def sequence(b: int) -> Tensor:
    return torch.randint(1, VOCABULARY, (LENGTHS[b],), generator=torch.Generator().manual_seed(50 + b))


def padded(total: int, garbage: int) -> Tensor:
    """The same four sequences with the token ``garbage`` behind them up to ``total`` steps."""
    tokens = torch.full((len(LENGTHS), total), garbage)
    for b, length in enumerate(LENGTHS):
        tokens[b, :length] = sequence(b)
    return tokens


def other(tokens: Tensor, s: int) -> Tensor:
    """The same tokens but for another one at step ``s``."""
    changed = tokens.clone()
    changed[:, s] = tokens[:, s] % (VOCABULARY - 1) + 1
    return changed


@each_smooth
@pytest.mark.parametrize("tied", [True, False])
def test_two_directions_tell_a_token_from_every_other_and_never_from_itself(variant: str, tied: bool) -> None:
    network, lengths = build_cloze(variant, tied=tied), torch.tensor([6])
    tokens = sequence(2)[None]
    logits = network(tokens, lengths)[0]
    for s in range(6):
        unchanged = (network(other(tokens, s), lengths)[0] == logits).all(dim=1)
        assert unchanged.tolist() == [t == s for t in range(6)]


@each_smooth
@pytest.mark.parametrize("layers", [1, 2])
def test_one_direction_tells_a_token_from_those_before_it_alone(variant: str, layers: int) -> None:
    network, lengths = build_cloze(variant, bidirectional=False, layers=layers), torch.tensor([6])
    tokens = sequence(2)[None]
    logits = network(tokens, lengths)[0]
    for s in range(6):
        unchanged = (network(other(tokens, s), lengths)[0] == logits).all(dim=1)
        assert unchanged.tolist() == [t <= s for t in range(6)]


@each_variant
@each_direction
@pytest.mark.parametrize("learned", [False, True])
def test_logits_of_a_cloze_are_those_of_the_states_on_both_sides(
    variant: str, bidirectional: bool, learned: bool
) -> None:
    network = build_cloze(variant, bidirectional, learned_state=learned)
    layers, tokens, lengths = network.encoder.recurrent.layers, padded(8, 3), torch.tensor(LENGTHS)
    logits = network(tokens, lengths)
    for b, t in product(range(len(LENGTHS)), range(max(LENGTHS))):
        if t >= LENGTHS[b]:
            continue
        read = network.encoder.inputs(sequence(b)).unbind(0)
        sides = []
        for layer, side in zip(layers, (read[:t], read[:t:-1]), strict=False):  # what comes after, from the end on
            state = layer.initial_state(1)
            for step in side:
                _, state = layer.cell(step[None], state)
            sides.append(state[0])
        expected = network.output(torch.cat(sides, dim=1))[0]
        torch.testing.assert_close(logits[b, t], expected, **EXACT)


@each_direction
@pytest.mark.parametrize("garbage", [0, 7])
def test_padding_is_invisible_to_a_cloze_forward_and_backward(bidirectional: bool, garbage: int) -> None:
    network, everyone = build_cloze(bidirectional=bidirectional), list(range(len(LENGTHS)))
    weights = list(network.parameters())

    def measured(tokens: Tensor, which: list[int]) -> tuple[list[Tensor], tuple[Tensor, ...]]:
        logits = network(tokens, torch.tensor([LENGTHS[b] for b in which]))
        real = [logits[n, : LENGTHS[b]] for n, b in enumerate(which)]
        loss = sum((rows * draw(*rows.shape, seed=70 + b)).sum() for rows, b in zip(real, which, strict=True))
        return real, torch.autograd.grad(loss, weights)

    alone = [measured(sequence(b)[None], [b]) for b in everyone]
    for total in (max(LENGTHS), 9):
        real, gradients = measured(padded(total, garbage), everyone)
        for b in everyone:
            torch.testing.assert_close(real[b], alone[b][0][0], **EXACT)
        for n, gradient in enumerate(gradients):
            torch.testing.assert_close(gradient, sum(own[n] for _, own in alone), **EXACT)
