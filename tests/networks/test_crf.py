"""The linear-chain CRF against the sum over all labellings, one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from types import ModuleType
from typing import NamedTuple

import pytest
import torch
import torchcrf
from processes import some_slow
from torch import Tensor
from torch.nn import functional as F

from unroll.errors import BadInput
from unroll.networks import crf as crf_module
from unroll.networks import partition
from unroll.networks.crf import LinearChainCRF
from unroll.networks.schemes import Constraints, constraints

EXACT = {"rtol": 0.0, "atol": 1e-10}
GARBAGE = [1e3, float("nan"), float("inf"), float("-inf")]

# Moves that the constraints of 2, 3 and 4 labels forbid; some labelling of every length is left.
FORBIDDEN = {
    2: ([1], [(1, 1)], []),
    3: ([2], [(0, 2), (1, 1), (2, 0)], [0]),
    4: ([0, 2], [(0, 1), (1, 2), (2, 2), (3, 0), (3, 3)], [1]),
}

each_size = pytest.mark.parametrize(
    ("labels", "time", "constrained"),
    [pytest.param(k, t, c, id=f"K{k}-T{t}{'-constrained' * c}")
     for k, t, c in product((1, 2, 3, 4), (1, 2, 3, 4, 5), (False, True)) if k > 1 or not c],
)  # fmt: skip


def draw(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def masks(labels: int) -> Constraints:
    starts, moves, ends = FORBIDDEN[labels]
    allowed = Constraints(*(torch.ones(labels, *rest, dtype=torch.bool) for rest in ((), (labels,), ())))
    for label in starts:
        allowed.start[label] = False
    for left, right in moves:
        allowed.transitions[left, right] = False
    for label in ends:
        allowed.end[label] = False
    return allowed


def build(labels: int, allowed: Constraints | None = None, scale: float = 1.0) -> LinearChainCRF:
    crf = LinearChainCRF(labels, allowed).double()
    with torch.no_grad():
        for n, parameter in enumerate(crf.parameters()):
            parameter.copy_(scale * draw(*parameter.shape, seed=40 + n))
    return crf


class Labellings(NamedTuple):
    """Ways to label one sequence of T steps."""

    labels: Tensor  # [N, T]
    scores: Tensor  # [N]

    def log_sum(self) -> Tensor:
        return self.scores.logsumexp(0)

    def agreeing(self, targets: list[int]) -> Labellings:
        """Those that have the targets where they are known."""
        known = torch.tensor(targets)
        kept = ((self.labels == known) | (known < 0)).all(dim=1)
        return Labellings(self.labels[kept], self.scores[kept])


def every(crf: LinearChainCRF, emissions: Tensor, allowed: Constraints | None) -> Labellings:
    """Every allowed labelling of one sequence [T, K] with its score, summed as the equation says."""
    time, count = emissions.shape
    labels = torch.tensor(list(product(range(count), repeat=time)))  # [Kᵀ, T]
    scores = crf.start[labels[:, 0]] + crf.end[labels[:, -1]]
    possible = torch.ones(len(labels), dtype=torch.bool)
    if allowed:
        possible = allowed.start[labels[:, 0]] & allowed.end[labels[:, -1]]
    for t in range(time):
        scores = scores + emissions[t, labels[:, t]]
        if t:
            move = labels[:, t - 1], labels[:, t]
            scores = scores + crf.transitions[move]
            possible &= allowed.transitions[move] if allowed else True
    return Labellings(labels[possible], scores[possible])


def gradients(crf: LinearChainCRF, emissions: Tensor, values: Tensor) -> list[Tensor]:
    """Of a weighted sum of one number per sequence, by emissions, start, transitions and end."""
    leaves = [emissions, crf.start, crf.transitions, crf.end]
    loss = (values * draw(len(values), seed=77)).sum()
    found = torch.autograd.grad(loss, leaves, retain_graph=True, materialize_grads=True)
    return list(found)


class Case(NamedTuple):
    """Two sequences as a padded batch, and all the ways to label each."""

    crf: LinearChainCRF
    emissions: Tensor
    lengths: Tensor
    ways: list[Labellings]


def cases(labels: int, time: int, constrained: bool) -> Iterator[Case]:
    """Every pair of lengths of which one is ``time``, with NaN behind the shorter sequence."""
    allowed = masks(labels) if constrained else None
    crf = build(labels, allowed)
    for lengths in product(range(1, time + 1), repeat=2):
        if max(lengths) < time:
            continue
        emissions = torch.full((2, time, labels), float("nan"), dtype=torch.float64)
        for b, length in enumerate(lengths):
            emissions[b, :length] = draw(length, labels, seed=10 * b + length)
        emissions.requires_grad_()
        ways = [every(crf, emissions[b, :length], allowed) for b, length in enumerate(lengths)]
        yield Case(crf, emissions, torch.tensor(lengths), ways)


def padded(rows: list[list[int]], time: int, filler: int = -1) -> Tensor:
    return torch.tensor([row + [filler] * (time - len(row)) for row in rows])


def expect_same(crf: LinearChainCRF, emissions: Tensor, values: Tensor, expected: list[Tensor]) -> None:
    """The same values, and the same gradients by everything."""
    by_hand = torch.stack(expected)
    torch.testing.assert_close(values, by_hand, **EXACT)
    mine = gradients(crf, emissions, values)
    theirs = gradients(crf, emissions, by_hand)
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other, **EXACT)


@each_size
def test_the_log_partition_is_that_of_all_labellings(labels: int, time: int, constrained: bool) -> None:
    for case in cases(labels, time, constrained):
        values = case.crf.log_partition(case.emissions, case.lengths)
        expect_same(case.crf, case.emissions, values, [ways.log_sum() for ways in case.ways])


@each_size
def test_score_and_loss_are_those_of_the_targets(labels: int, time: int, constrained: bool) -> None:
    for case in cases(labels, time, constrained):
        for pick in (0, 7, -1):
            places = [pick % len(ways.scores) for ways in case.ways]
            targets = padded([ways.labels[n].tolist() for ways, n in zip(case.ways, places, strict=True)], time)
            scores = [ways.scores[n] for ways, n in zip(case.ways, places, strict=True)]
            expect_same(case.crf, case.emissions, case.crf.score(case.emissions, targets, case.lengths), scores)
            losses = [ways.log_sum() - score for ways, score in zip(case.ways, scores, strict=True)]
            expect_same(case.crf, case.emissions, case.crf(case.emissions, targets, case.lengths), losses)


@each_size
def test_unknown_targets_are_summed_over(labels: int, time: int, constrained: bool) -> None:
    # In one batch: a sequence of every length, once for every set of steps at which the label is unknown.
    allowed = masks(labels) if constrained else None
    crf = build(labels, allowed)
    emissions = torch.full((time, time, labels), float("nan"), dtype=torch.float64)
    for length in range(1, time + 1):
        emissions[length - 1, :length] = draw(length, labels, seed=length)
    emissions.requires_grad_()
    rows, lengths, sums, losses = [], [], [], []
    for length in range(1, time + 1):
        ways = every(crf, emissions[length - 1, :length], allowed)
        gold = ways.labels[len(ways.labels) // 2].tolist()
        for hidden in product((False, True), repeat=length):
            rows.append([-1 if hide else label for label, hide in zip(gold, hidden, strict=True)])
            lengths.append(length)
            sums.append(ways.agreeing(rows[-1]).log_sum())
            losses.append(ways.log_sum() - sums[-1])
    targets, steps = padded(rows, time, filler=0), torch.tensor(lengths)
    batch = emissions[steps - 1]  # [B, T, K]
    expect_same(crf, emissions, crf.score(batch, targets, steps), sums)
    expect_same(crf, emissions, crf(batch, targets, steps), losses)


@each_size
def test_marginals_are_the_shares_of_all_labellings(labels: int, time: int, constrained: bool) -> None:
    for case in cases(labels, time, constrained):
        expected = torch.zeros(2, time, labels, dtype=torch.float64)
        for b, ways in enumerate(case.ways):
            for row, share in zip(ways.labels, ways.scores.detach().softmax(0), strict=True):
                expected[b, torch.arange(len(row)), row] += share
        marginals = case.crf.marginals(case.emissions, case.lengths)
        torch.testing.assert_close(marginals, expected, **EXACT)
        assert torch.equal(marginals == 0, expected == 0)


@each_size
def test_viterbi_and_the_n_best_are_the_best_of_all_labellings(labels: int, time: int, constrained: bool) -> None:
    for case in cases(labels, time, constrained):
        for n in (1, 2, 5, labels**time, labels**time + 2):
            found, scores = case.crf.n_best(case.emissions, case.lengths, n)
            assert found.shape == (2, n, time)
            for b, ways in enumerate(case.ways):
                order = ways.scores.argsort(descending=True)[:n]
                missing = n - len(order)
                assert torch.equal(found[b], padded(ways.labels[order].tolist() + [[]] * missing, time))
                expected = F.pad(ways.scores[order].detach(), (0, missing), value=-torch.inf)
                torch.testing.assert_close(scores[b], expected, **EXACT)
        best, score = case.crf.viterbi(case.emissions, case.lengths)
        assert torch.equal(best, found[:, 0])
        torch.testing.assert_close(score, scores[:, 0], **EXACT)


def test_a_forbidden_move_gets_no_probability_and_no_gradient_however_well_it_scores() -> None:
    allowed = masks(4)
    crf, lengths = build(4, allowed), torch.tensor([5, 2])
    with torch.no_grad():
        for parameter, mask in zip(crf.parameters(), allowed, strict=True):
            parameter[~mask] = 1e6
    emissions = draw(2, 5, 4).requires_grad_()
    losses = crf(emissions, torch.tensor([[1, 0, 0, 2, 3], [3, 2, -1, -1, -1]]), lengths)
    reference = build(4, allowed)  # with other numbers where nothing is to be seen
    expected = reference(emissions, torch.tensor([[1, 0, 0, 2, 3], [3, 2, -1, -1, -1]]), lengths)
    torch.testing.assert_close(losses, expected, **EXACT)
    _, *by_parameters = gradients(crf, emissions, losses)
    for gradient, mask in zip(by_parameters, allowed, strict=True):
        assert not gradient[~mask].any()
        assert (gradient[mask] != 0).all()
    ways = every(reference, emissions[0], allowed)
    assert torch.equal(crf.viterbi(emissions, lengths)[0][0], ways.labels[ways.scores.argmax()])


LENGTHS = [4, 1, 6, 3]


def batch(total: int, garbage: float, target: int) -> tuple[Tensor, Tensor]:
    """The same four sequences with garbage behind them up to ``total`` steps; the third has unknown labels."""
    emissions = torch.full((len(LENGTHS), total, 4), garbage, dtype=torch.float64)
    targets = torch.full((len(LENGTHS), total), target)
    golds = [[1, 3, 1, 0], [3], [1, -1, -1, 2, 1, 3], [3, 2, 3]]
    for b, length in enumerate(LENGTHS):
        emissions[b, :length] = draw(length, 4, seed=50 + b)
        targets[b, :length] = torch.tensor(golds[b])
    return emissions, targets


SUMS: dict[str, Callable[[LinearChainCRF, Tensor, Tensor, Tensor], Tensor]] = {
    "loss": lambda crf, emissions, targets, lengths: crf(emissions, targets, lengths),
    "score": lambda crf, emissions, targets, lengths: crf.score(emissions, targets, lengths),
    "log-partition": lambda crf, emissions, _, lengths: crf.log_partition(emissions, lengths),
}


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("target", [-1, 0, 9])
@pytest.mark.parametrize("scale", [1.0, 1e3])  # the second leaves the range, so that it is done in log space
@pytest.mark.parametrize("name", SUMS)
def test_alone_equals_batched_equals_padded_with_garbage(name: str, scale: float, target: int, garbage: float) -> None:
    crf = build(4, masks(4), scale)
    for total in (max(LENGTHS), 9):
        emissions, targets = batch(total, garbage, target)
        emissions = (scale * emissions).requires_grad_()
        values = SUMS[name](crf, emissions, targets, torch.tensor(LENGTHS))
        for b, length in enumerate(LENGTHS):
            alone = emissions.detach()[b : b + 1, :length].requires_grad_()
            value = SUMS[name](crf, alone, targets[b : b + 1, :length], torch.tensor([length]))
            torch.testing.assert_close(values[b], value[0], rtol=1e-14, atol=1e-10)
            mine = torch.autograd.grad(values[b], [emissions, *crf.parameters()], retain_graph=True)
            own = torch.autograd.grad(value, [alone, *crf.parameters()])
            torch.testing.assert_close(mine[0][b, :length], own[0][0], **EXACT)
            assert torch.equal(mine[0][b, length:], torch.zeros_like(mine[0][b, length:]))  # nor is any of it NaN
            for one, other in zip(mine[1:], own[1:], strict=True):
                torch.testing.assert_close(one, other, **EXACT)


@pytest.mark.parametrize("garbage", GARBAGE)
def test_marginals_and_best_labels_do_not_see_padding(garbage: float) -> None:
    crf = build(4, masks(4))
    emissions, _ = batch(9, garbage, -1)
    lengths = torch.tensor(LENGTHS)
    marginals, (labels, scores) = crf.marginals(emissions, lengths), crf.n_best(emissions, lengths, 3)
    for b, length in enumerate(LENGTHS):
        alone, only = emissions[b : b + 1, :length], lengths[b : b + 1]
        torch.testing.assert_close(marginals[b, :length], crf.marginals(alone, only)[0], **EXACT)
        assert not marginals[b, length:].any()
        own_labels, own_scores = crf.n_best(alone, only, 3)
        assert torch.equal(labels[b, :, :length], own_labels[0])
        assert (labels[b, :, length:] == -1).all()
        torch.testing.assert_close(scores[b], own_scores[0], **EXACT)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
def test_it_equals_the_package_pytorch_crf(dtype: torch.dtype, tolerance: float) -> None:
    theirs = torchcrf.CRF(17, batch_first=True).to(dtype)
    mine = build(17).to(dtype)
    pairs = [(theirs.start_transitions, mine.start), (theirs.transitions, mine.transitions),
             (theirs.end_transitions, mine.end)]  # fmt: skip
    for their, own in pairs:
        their.data.copy_(own.data)
    generator = torch.Generator().manual_seed(3)
    lengths = torch.randint(1, 31, (32,), generator=generator)
    targets = torch.randint(17, (32, 30), generator=generator)
    emissions = draw(32, 30, 17).to(dtype).requires_grad_()
    mask = torch.arange(30) < lengths[:, None]
    own_losses = mine(emissions, targets, lengths)
    losses = -theirs(emissions, targets, mask, reduction="none")
    torch.testing.assert_close(own_losses, losses, rtol=0.0, atol=tolerance)
    own = torch.autograd.grad(own_losses.sum(), [emissions, *(o for _, o in pairs)])
    wanted = torch.autograd.grad(losses.sum(), [emissions, *(t for t, _ in pairs)])
    for one, other in zip(own, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=0.0, atol=tolerance)
    best = [
        labels[:length].tolist() for labels, length in zip(mine.viterbi(emissions, lengths)[0], lengths, strict=True)
    ]
    assert best == theirs.decode(emissions, mask)


def test_gradients_pass_gradcheck() -> None:
    crf, lengths = build(4, masks(4)), torch.tensor(LENGTHS)
    emissions, targets = batch(7, 0.5, 2)
    assert torch.autograd.gradcheck(
        lambda emissions, *_: crf(emissions, targets, lengths), (emissions.requires_grad_(), *crf.parameters())
    )


def test_a_second_derivative_is_refused_rather_than_wrong() -> None:
    crf, lengths = build(4), torch.tensor(LENGTHS)
    emissions, targets = batch(7, 0.5, 2)
    loss = crf(emissions.requires_grad_(), targets, lengths).sum()
    with pytest.raises(NotImplementedError, match="second derivative"):
        torch.autograd.grad(loss, emissions, create_graph=True)


def test_at_first_it_is_a_softmax_at_every_step() -> None:
    crf, lengths = LinearChainCRF(4, None).double(), torch.tensor(LENGTHS)
    emissions, targets = draw(4, 6, 4), torch.randint(4, (4, 6), generator=torch.Generator().manual_seed(1))
    steps = F.cross_entropy(emissions.transpose(1, 2), targets, reduction="none")
    expected = (steps * (torch.arange(6) < lengths[:, None])).sum(dim=1)
    torch.testing.assert_close(crf(emissions, targets, lengths), expected, **EXACT)


class Extreme(NamedTuple):
    """How far apart emissions and transitions lie, and whether they drift over time."""

    emissions: float
    moves: float
    drifting: bool


def extremes() -> list[Extreme]:
    return [Extreme(e, m, d) for e, m, d in product((1, 20, 60, 150, 500), (1, 15, 50, 300), (False, True))]


@pytest.mark.parametrize("draw", some_slow(range(3), 0))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_spread_of_scores_leaves_the_range_unnoticed(dtype: torch.dtype, draw: int) -> None:
    # Sticky labels with few ways between them: what the forward messages have long forgotten may win in the end.
    # fp64 has eight times the range of fp32, and so gets eight times the spread.
    factor = 1.0 if dtype == torch.float32 else 8.0
    paths = torch.cartesian_prod(*[torch.arange(3)] * 8)  # [3⁸, 8]
    for seed, extreme in enumerate(extremes(), start=draw * len(extremes())):
        generator = torch.Generator().manual_seed(seed)
        moves = (torch.rand(3, 3, generator=generator) < 0.4) | torch.eye(3, dtype=torch.bool)
        allowed = Constraints(torch.rand(3, generator=generator) < 0.8, moves, torch.rand(3, generator=generator) < 0.8)
        emissions = extreme.emissions * torch.randn(4, 8, 3, generator=generator)
        if extreme.drifting:
            emissions = (emissions.cumsum(dim=1) - emissions.flip(1).cumsum(dim=1)) / 4
        crf = LinearChainCRF(3, allowed)
        for parameter in crf.parameters():
            parameter.data = extreme.moves * torch.randn(parameter.shape, generator=generator)
        emissions, crf = factor * emissions.to(dtype), crf.to(dtype)
        for parameter in crf.parameters():
            parameter.data *= factor
        expect_extreme(crf, emissions, allowed, paths)


def expect_extreme(crf: LinearChainCRF, emissions: Tensor, allowed: Constraints, paths: Tensor) -> None:
    """Log-partition and its gradients against all paths, summed in fp64, in which no sum over scores loses anything."""
    leaves = [emissions.requires_grad_(), *crf.parameters()]
    wide = [leaf.detach().double().requires_grad_() for leaf in leaves]
    masked = [part.masked_fill(~mask, -torch.inf) for part, mask in zip(wide[1:], allowed, strict=True)]
    scores = masked[0][paths[:, 0]] + masked[1][paths[:, :-1], paths[:, 1:]].sum(dim=1) + masked[2][paths[:, -1]]
    scores = scores + wide[0][:, torch.arange(paths.shape[1]), paths].sum(dim=2)  # [B, N]
    mine = crf.log_partition(emissions, torch.full((len(emissions),), paths.shape[1]))
    if not allowed.start.any() or not allowed.end.any():
        assert mine.isneginf().all()
        return
    expected = scores.logsumexp(dim=1)
    eps = torch.finfo(emissions.dtype).eps
    size = 1 + max(float(leaf.detach().abs().max()) for leaf in leaves)  # rounding goes with the numbers summed
    torch.testing.assert_close(mine.double(), expected, rtol=0.0, atol=50 * eps * size)
    found = torch.autograd.grad(mine.sum(), leaves)
    for one, other in zip(found, torch.autograd.grad(expected.sum(), wide), strict=True):
        torch.testing.assert_close(one.double(), other, rtol=0.0, atol=100 * eps * size)


@pytest.mark.parametrize(("dtype", "factor"), [(torch.float32, 1.0), (torch.float64, 8.0)])
def test_what_the_messages_of_both_directions_would_lose_is_found(dtype: torch.dtype, factor: float) -> None:
    # Three labels that never change, in three phases. Label 1 wins. Yet after the first phase 0 is so far ahead of it
    # that a message from the beginning would lose it, before the last phase 2 is so far ahead that one from the end
    # would, and the third label, of which neither loses sight, looks like the winner to both.
    phases = torch.tensor([[0.0, -130, -100], [-300, 260, 160], [-300, -130, -100]]) * factor
    emissions = (phases / 3).repeat_interleave(3, dim=0)[None].to(dtype)  # [1, 9, 3]
    crf = LinearChainCRF(3, Constraints(torch.ones(3) > 0, torch.eye(3) > 0, torch.ones(3) > 0)).to(dtype)
    totals, lengths = emissions.sum(dim=1), torch.tensor([9])  # [1, 3]
    torch.testing.assert_close(crf.log_partition(emissions, lengths), totals.logsumexp(dim=1), rtol=1e-5, atol=1e-3)
    marginals = totals.softmax(dim=1)[:, None].expand(1, 9, 3)
    torch.testing.assert_close(crf.marginals(emissions, lengths), marginals, rtol=0.0, atol=1e-5)


Call = tuple[str, int, torch.dtype]  # function, number of sequences, precision


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """What is called to sum over paths."""
    seen: list[Call] = []

    def spy(name: str, *modules: ModuleType) -> None:
        original = getattr(partition, name)

        def spied(emissions: Tensor, moves: Tensor, lengths: Tensor) -> Tensor:
            seen.append((name, len(emissions), emissions.dtype))
            return original(emissions, moves, lengths)

        for module in modules:
            monkeypatch.setattr(module, name, spied)

    spy("relative_log_partition", partition, crf_module)
    spy("_log_space_partition", partition)
    return seen


def test_ordinary_scores_stay_in_the_range_and_other_sequences_alone_are_done_again(calls: list[Call]) -> None:
    labels = ["O", *(f"{prefix}-{kind}" for prefix in "BIES" for kind in "ABCD")]
    crf = LinearChainCRF(17, constraints(labels, "bioes"))
    for n, parameter in enumerate(crf.parameters()):
        parameter.data = 2 * draw(*parameter.shape, seed=n).float()
    emissions, lengths = 4 * draw(32, 100, 17).float(), torch.arange(32) * 3 + 1  # of a step up to 30 apart
    targets = torch.zeros(32, 100, dtype=torch.long).masked_fill(torch.arange(100) >= lengths[:, None], -1)
    crf(emissions.requires_grad_(), targets, lengths)
    assert calls == [("relative_log_partition", 32, torch.float32)]
    with torch.no_grad():
        emissions[[3, 20], 2] *= 8
        emissions[20, 1] *= 300
    crf(emissions, targets, lengths)
    assert calls[2:] == [("relative_log_partition", 2, torch.float64), ("_log_space_partition", 1, torch.float64)]


def test_a_sequence_stays_in_the_range_however_long_the_others_are(calls: list[Call]) -> None:
    # Labels that never change: were the last step to go on through the padding, it would leave one of them behind.
    crf = LinearChainCRF(2, Constraints(torch.ones(2) > 0, torch.eye(2) > 0, torch.ones(2) > 0))
    emissions = torch.zeros(2, 500, 2)
    emissions[0, 2, 1] = 5.0
    crf.log_partition(emissions.requires_grad_(), torch.tensor([3, 500]))
    assert len(calls) == 1


def test_a_loss_that_is_scaled_up_has_its_gradient_scaled_up(calls: list[Call]) -> None:
    # Two labels that never change, each far ahead in one half, so that the counts of what is forbidden are beyond fp32.
    crf = LinearChainCRF(2, Constraints(torch.ones(2) > 0, torch.eye(2) > 0, torch.ones(2) > 0))
    emissions = torch.tensor([[[0.0, -19]] * 4 + [[-19, 0.0]] * 4]).requires_grad_()
    value = crf.log_partition(emissions, torch.tensor([8]))
    assert len(calls) == 1
    by_emissions, by_transitions = torch.autograd.grad(1e6 * value.sum(), [emissions, crf.transitions])
    torch.testing.assert_close(by_emissions, torch.full((1, 8, 2), 0.5e6))
    torch.testing.assert_close(by_transitions, 3.5e6 * torch.eye(2))


def test_large_emissions_do_not_cost_the_loss_its_digits() -> None:
    crf, lengths = build(5), torch.tensor([40, 33])
    emissions, targets = draw(2, 40, 5), torch.zeros(2, 40, dtype=torch.long)
    expected = crf(emissions, targets, lengths)
    lifted = (emissions + 500).float()
    rounding = 40 * 500 * torch.finfo(torch.float32).eps  # of the input itself, were every error of one sign
    torch.testing.assert_close(crf.float()(lifted, targets, lengths).double(), expected, rtol=0.0, atol=rounding)


def test_where_the_constraints_leave_no_labels_nothing_is_nan() -> None:
    # From either label only the other follows, and only 1 may end: so sequences are of even length.
    allowed = Constraints(torch.tensor([True, False]), torch.tensor([[False, True], [True, False]]),
                          torch.tensor([False, True]))  # fmt: skip
    for scale in (1.0, 1e4):
        crf, lengths = build(2, allowed), torch.tensor([3, 4, 1])
        emissions = (scale * draw(3, 4, 2)).requires_grad_()
        values = crf.log_partition(emissions, lengths)
        way = emissions[1].gather(1, torch.tensor([[0], [1], [0], [1]])).sum() + crf.start[0] + crf.end[1]
        way = way + 2 * crf.transitions[0, 1] + crf.transitions[1, 0]
        torch.testing.assert_close(
            values, torch.stack([values.new_tensor(-torch.inf), way, values.new_tensor(-torch.inf)])
        )
        by_emissions, *by_parameters = torch.autograd.grad(values.sum(), [emissions, *crf.parameters()])
        zigzag = torch.tensor([[1.0, 0], [0, 1], [1, 0], [0, 1]], dtype=torch.float64)
        torch.testing.assert_close(by_emissions, torch.stack([0 * zigzag, zigzag, 0 * zigzag]), **EXACT)
        torch.testing.assert_close(by_parameters[1], by_parameters[1].new_tensor([[0.0, 2], [1, 0]]), **EXACT)
        torch.testing.assert_close(crf.marginals(emissions, lengths), by_emissions, **EXACT)
        labels, scores = crf.viterbi(emissions, lengths)
        assert labels.tolist() == [[-1] * 4, [0, 1, 0, 1], [-1] * 4]
        torch.testing.assert_close(scores, values.detach())
        with pytest.raises(
            BadInput,
            match="Sequence 2 of the batch has unknown labels without an allowed value: the constraints forbid",
        ):
            crf(emissions, torch.tensor([[0, 1, 0, 1], [0, 1, 0, 1], [-1, -1, -1, -1]])[[1, 1, 2]],
                torch.tensor([4, 2, 1]))  # fmt: skip


@pytest.mark.parametrize(
    ("targets", "fault"),
    [
        ([2, 1, 0, 1], "starts with label 2"),
        ([0, 0, 2, 1], "goes from label 0 to label 2 at step 2"),
        ([0, 0, 1, 0], "ends with label 0"),
        ([0, 0, -1, 0], "ends with label 0"),
        ([2, -1, -1, -1], "starts with label 2"),
        ([-1, 2, 0, -1], "goes from label 2 to label 0 at step 2"),
    ],
)
def test_targets_that_make_a_forbidden_move_are_an_error_that_names_it(targets: list[int], fault: str) -> None:
    crf = build(3, masks(3))
    with pytest.raises(
        BadInput, match=rf"Sequence 1 of the batch {fault}: the constraints forbid.*prepare.* again.*allowed=None"
    ):
        crf(draw(2, 4, 3), torch.tensor([[0, 0, 1, 2], targets]), torch.tensor([4, 4]))
    assert crf.score(
        draw(2, 4, 3), torch.tensor([[0, 0, 1, 2], targets]), torch.tensor([4, 4])
    ).isneginf().tolist() == [
        False,
        True,
    ]


def test_under_autocast_all_is_computed_in_fp32() -> None:
    crf, lengths = build(4).float(), torch.tensor(LENGTHS)
    emissions, targets = batch(6, 0.0, 0)
    emissions = emissions.bfloat16().requires_grad_()
    same = emissions.detach().float().requires_grad_()
    expected = torch.autograd.grad(crf(same, targets, lengths).sum(), [same, *crf.parameters()])
    with torch.autocast("cpu", torch.bfloat16):
        losses = crf(emissions, targets, lengths)
        found = torch.autograd.grad(losses.sum(), [emissions, *crf.parameters()])
        numbers = [losses, crf.log_partition(emissions, lengths), crf.score(emissions, targets, lengths),
                   crf.marginals(emissions, lengths), crf.n_best(emissions, lengths, 2)[1]]  # fmt: skip
    plain = [crf(same, targets, lengths), crf.log_partition(same, lengths), crf.score(same, targets, lengths),
             crf.marginals(same, lengths), crf.n_best(same, lengths, 2)[1]]  # fmt: skip
    for one, other in zip(numbers, plain, strict=True):
        assert torch.equal(one, other)
        assert one.dtype == torch.float32
    assert torch.equal(found[0], expected[0].bfloat16())
    for one, other in zip(found[1:], expected[1:], strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_gradients_the_numbers_are_the_same(mode: Callable[[], torch.no_grad | torch.inference_mode]) -> None:
    crf, lengths = build(4, masks(4)), torch.tensor(LENGTHS)
    emissions, targets = batch(7, 0.0, -1)
    with mode():
        again = emissions.clone(), targets.clone(), lengths.clone()
        marginals, losses = crf.marginals(again[0], again[2]), crf(*again)
        assert not losses.requires_grad
    torch.testing.assert_close(losses, crf(emissions, targets, lengths).detach(), **EXACT)
    torch.testing.assert_close(marginals, crf.marginals(emissions, lengths), **EXACT)
    assert not marginals.requires_grad


def test_a_published_crf_holds_its_three_parameters_and_nothing_else() -> None:
    crf = build(3, masks(3))
    assert list(crf.state_dict()) == ["start", "transitions", "end"]
    twin = LinearChainCRF(3, masks(3)).double()
    twin.load_state_dict(crf.state_dict())
    emissions, lengths = draw(2, 4, 3), torch.tensor([4, 3])
    assert torch.equal(twin.log_partition(emissions, lengths), crf.log_partition(emissions, lengths))
