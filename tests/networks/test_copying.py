"""Copying: a mixture of two distributions over known symbols and those of the source, in logarithms."""

from __future__ import annotations

import math

import pytest
import torch
from cells.test_cells import EXACT, draw, randomized
from torch import Tensor, nn
from torch.nn import functional as F

from unroll.networks.copying import CopyingOutput, extended
from unroll.networks.output import FUSED_SIZE, TokenOutput

SIZE, KNOWN, UNKNOWN = 4, 6, 1
LENGTHS = torch.tensor([5, 3, 1])
# "the cat saw the dodo", where neither cat nor dodo is in the target vocabulary; symbols of the source vocabulary of 5,
# which lacks dodo too: it is numbered 5
SYMBOLS = torch.tensor([[3, 2, 4, 3, 5], [5, 6, 5, 0, 0], [2, 0, 0, 0, 0]])
TABLE = torch.tensor([0, 1, -1, 4, 5])


class Linear(nn.Module):
    """An output layer over the vocabulary."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(SIZE, KNOWN)

    def log_probabilities(self, features: Tensor) -> Tensor:
        return torch.log_softmax(self.linear(features), dim=-1)

    def losses(self, features: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(self.linear(features), targets, reduction="none")


def build() -> CopyingOutput:
    torch.manual_seed(1)
    made: CopyingOutput = randomized(CopyingOutput(Linear(), SIZE, KNOWN, UNKNOWN).double())
    return made


def symbols() -> Tensor:
    return extended(SYMBOLS, LENGTHS, TABLE, KNOWN)


def weights(scale: float = 1.0) -> Tensor:
    padding = torch.arange(5) >= LENGTHS[:, None]
    return torch.softmax((scale * draw(3, 5, seed=2)).masked_fill(padding, -math.inf), dim=-1)


def test_symbols_that_the_target_vocabulary_lacks_are_numbered_by_their_first_step() -> None:
    assert symbols().tolist() == [
        [4, KNOWN + 1, 5, 4, KNOWN + 4],
        [KNOWN, KNOWN + 1, KNOWN, -1, -1],
        [KNOWN, -1, -1, -1, -1],
    ]


def test_padding_and_other_sources_do_not_change_the_numbers() -> None:
    longer = F.pad(SYMBOLS, (0, 3), value=5)
    assert torch.equal(extended(longer, LENGTHS, TABLE, KNOWN)[:, :5], symbols())
    assert bool((extended(longer, LENGTHS, TABLE, KNOWN)[:, 5:] == -1).all())
    assert torch.equal(extended(SYMBOLS[1:2, :3], LENGTHS[1:2], TABLE, KNOWN), symbols()[1:2, :3])


def by_hand(made: CopyingOutput, features: Tensor, row: int, read: Tensor) -> list[float]:
    """Probability of each of the V + S symbols."""
    score = sum(w * x for w, x in zip(made.gate.weight[0].tolist(), features[row].tolist(), strict=True))
    gate = 1 / (1 + math.exp(-(score + made.gate.bias.item())))
    logits = made.output.linear(features[row]).tolist()
    total = sum(math.exp(z) for z in logits)
    probabilities = [gate * math.exp(z) / total for z in logits] + [0.0] * 5
    for j in range(int(LENGTHS[row])):
        probabilities[int(symbols()[row, j])] += (1 - gate) * read[row, j].item()
    return probabilities


def test_probabilities_equal_a_loop_over_symbols_and_sum_to_one() -> None:
    made, features = build(), draw(3, SIZE, seed=3)
    found = made.log_probabilities(features, weights(), symbols())
    assert found.shape == (3, KNOWN + 5)
    for row in range(3):
        expected = found.new_tensor(by_hand(made, features, row, weights()))
        torch.testing.assert_close(found[row].exp(), expected, **EXACT)
    torch.testing.assert_close(found.exp().sum(dim=-1), torch.ones(3, dtype=torch.float64), **EXACT)


@pytest.mark.parametrize("scale", [1.0, 1e3])  # with certain attention, most symbols of the source have no mass
def test_losses_are_the_negative_log_probabilities(scale: float) -> None:
    made, features = build(), draw(3, SIZE, seed=3)
    likely = made.log_probabilities(features, weights(scale), symbols())
    for target in range(KNOWN + 5):
        found = made.losses(features, torch.full((3,), target), weights(scale), symbols())
        torch.testing.assert_close(found, -likely[:, target], **EXACT)


def test_a_target_that_is_neither_known_nor_in_the_source_has_no_probability() -> None:
    made, features = build(), draw(3, SIZE, seed=3)
    assert made.losses(features, torch.full((3,), KNOWN + 2), weights(), symbols()).tolist() == [math.inf] * 3


@pytest.mark.parametrize("targets", [[4, KNOWN, 2], [KNOWN + 4, KNOWN + 1, KNOWN], [0, 1, 5]], ids=str)
def test_gradients_pass_gradcheck(targets: list[int]) -> None:
    made, features = build(), draw(3, SIZE, seed=3).requires_grad_()
    read, wanted = weights().requires_grad_(), torch.tensor(targets)
    assert torch.autograd.gradcheck(lambda f, w: made.losses(f, wanted, w, symbols()), (features, read))
    rows, columns = (made.log_probabilities(features, weights(), symbols()) > -math.inf).nonzero(as_tuple=True)
    assert torch.autograd.gradcheck(
        lambda f, w: made.log_probabilities(f, w, symbols())[rows, columns], (features, read)
    )


def test_gradients_of_impossible_symbols_are_finite() -> None:
    made, features, read = build(), draw(3, SIZE, seed=3).requires_grad_(), weights(1e3).detach().requires_grad_()
    for made_of in (
        made.losses(features, torch.tensor([4, KNOWN, KNOWN + 3]), read, symbols()),
        made.log_probabilities(features, read, symbols()),
    ):
        found = torch.autograd.grad(made_of[made_of.isfinite()].sum(), [features, read, *made.gate.parameters()])
        assert all(bool(gradient.isfinite().all()) for gradient in found)


def test_probabilities_far_apart_do_not_underflow() -> None:
    """A gate nearly closed to generation: the loss of a generated symbol is that of its logarithms."""
    made, features = build(), draw(3, SIZE, seed=3)
    with torch.no_grad():
        made.gate.bias.fill_(-2000.0)
    found = made.losses(features, torch.tensor([0, 0, 0]), weights(), symbols())
    plain = F.cross_entropy(made.output.linear(features), torch.tensor([0, 0, 0]), reduction="none")
    closed = F.softplus(-made.gate(features)[:, 0])
    torch.testing.assert_close(found, plain + closed, **EXACT)


def test_weights_and_symbols_of_padding_do_not_matter() -> None:
    made, features = build(), draw(3, SIZE, seed=3)
    wider = F.pad(weights(), (0, 2)), F.pad(symbols(), (0, 2), value=-1)
    for target in range(KNOWN + 5):
        wanted = torch.full((3,), target)
        expected = made.losses(features, wanted, weights(), symbols())
        assert torch.equal(made.losses(features, wanted, *wider), expected)
    likely = made.log_probabilities(features, *wider)
    assert torch.equal(likely[:, : KNOWN + 5], made.log_probabilities(features, weights(), symbols()))
    assert bool((likely[:, KNOWN + 5 :] == -math.inf).all())


def test_a_decoder_reads_the_unknown_symbol_in_place_of_a_copied_one() -> None:
    assert build().readable(torch.tensor([0, 5, KNOWN, KNOWN + 4])).tolist() == [0, 5, UNKNOWN, UNKNOWN]


def test_losses_have_full_precision_under_autocast() -> None:
    made, features = build().float(), draw(3, SIZE, seed=3).float()
    with torch.autocast("cpu", torch.bfloat16):
        found = made.losses(features, torch.tensor([4, KNOWN, 2]), weights().float(), symbols())
    assert found.dtype == torch.float32


def test_losses_over_a_large_vocabulary_are_those_of_its_log_probabilities() -> None:
    """Where the output layer forms its gradients without logits, which it does for a gradient of its own per row."""
    torch.manual_seed(1)
    size = FUSED_SIZE + 1
    made = CopyingOutput(TokenOutput(SIZE, size, None), SIZE, size, UNKNOWN).double()
    features, read = draw(3, SIZE, seed=3).requires_grad_(), weights().requires_grad_()
    places = extended(SYMBOLS, LENGTHS, TABLE, size)
    targets = torch.tensor([4, size, 7])
    likely = made.log_probabilities(features, read, places)
    expected = -likely.gather(1, targets[:, None])[:, 0]
    found = made.losses(features, targets, read, places)
    torch.testing.assert_close(found, expected, **EXACT)
    parts = [features, read, *made.parameters()]
    each = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    for one, two in zip(
        torch.autograd.grad((found * each).sum(), parts),
        torch.autograd.grad((expected * each).sum(), parts),
        strict=True,
    ):
        torch.testing.assert_close(one, two, **EXACT)
