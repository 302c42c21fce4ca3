"""Outputs that tell labels: losses against plain loops, searches against all there is, padding that nobody sees."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from itertools import pairwise, product

import pytest
import torch
from torch import Tensor

from unroll.cells import GRUCell, LSTMCell, VanillaCell
from unroll.errors import BadInput
from unroll.networks import labels as module
from unroll.networks.labels import CRFOutput, FeedbackOutput, LabelOutput, SoftmaxOutput
from unroll.networks.recurrent import CellFactory

FEATURES, EMBEDDING, HIDDEN = 3, 2, 4
LABELS = ("O", "B-X", "I-X")
COUNT = len(LABELS)
TARGETS = [[0, 1, 2], [1], [1, 2, 2, 0], [0, -1]]  # valid BIO, and one label that is not known
LENGTHS = [len(labels) for labels in TARGETS]
EXACT = {"rtol": 0.0, "atol": 1e-10}
GARBAGE = [0.0, 1e3, -1e30]
Row = list[float]


def feedback(cell: CellFactory, beam: int, count: int = COUNT) -> FeedbackOutput:
    return FeedbackOutput(FEATURES, count, EMBEDDING, cell, HIDDEN, beam)


OUTPUTS: dict[str, Callable[[], LabelOutput]] = {
    "softmax": lambda: SoftmaxOutput(FEATURES, COUNT),
    "crf": lambda: CRFOutput(FEATURES, LABELS, None),
    "crf-bio": lambda: CRFOutput(FEATURES, LABELS, "bio"),
    "feedback": lambda: feedback(LSTMCell, 3),
    "feedback-greedy": lambda: feedback(GRUCell, 1),
    "feedback-vanilla": lambda: feedback(VanillaCell, 3),
}
each_output = pytest.mark.parametrize("name", OUTPUTS)
each_crf = pytest.mark.parametrize("name", ["crf", "crf-bio"])
each_cell = pytest.mark.parametrize("cell", [LSTMCell, GRUCell, VanillaCell])


def randomized(output: LabelOutput) -> LabelOutput:
    """No number is one that another could stand for, and none is so small that nothing depends on it."""
    output.double()
    with torch.no_grad():
        for number, parameter in enumerate(output.parameters()):
            parameter.copy_(draw(*parameter.shape, seed=3 + 100 * number))
    return output


def build(name: str) -> LabelOutput:
    return randomized(OUTPUTS[name]())


def draw(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def sequence(b: int) -> Tensor:
    return draw(LENGTHS[b], FEATURES, seed=50 + b)


def padded(total: int, garbage: float, label: int) -> tuple[Tensor, Tensor]:
    """The same four sequences with ``garbage`` and ``label`` behind them up to ``total`` steps."""
    features = torch.full((len(LENGTHS), total, FEATURES), garbage, dtype=torch.float64)
    targets = torch.full((len(LENGTHS), total), label)
    for b, length in enumerate(LENGTHS):
        features[b, :length], targets[b, :length] = sequence(b), torch.tensor(TARGETS[b])
    return features, targets


def softmax(logits: Row) -> Row:
    total = sum(math.exp(logit) for logit in logits)
    return [math.exp(logit) / total for logit in logits]


def affine(weight: list[Row], x: Row, bias: Row) -> Row:
    return [sum(a * b for a, b in zip(row, x, strict=True)) + c for row, c in zip(weight, bias, strict=True)]


def parameters(output: LabelOutput) -> dict[str, list]:
    return {name: value.tolist() for name, value in output.named_parameters()}


# ---- what every output promises


def test_the_suite_covers_every_output() -> None:
    kinds = {kind for kind in vars(module).values() if inspect.isclass(kind) and issubclass(kind, LabelOutput)}
    assert {type(make()) for make in OUTPUTS.values()} == kinds - {LabelOutput}


def measured(output: LabelOutput, features: Tensor, targets: Tensor, which: list[int]) -> dict[str, list[Tensor]]:
    """Losses, masks and labels of every real step, and the gradients of a fixed projection of the losses."""
    features, lengths = features.clone().requires_grad_(), torch.tensor([LENGTHS[b] for b in which])
    losses, mask = output.losses(features, targets, lengths)
    assert losses.shape == mask.shape == targets.shape
    assert not any(mask[n, LENGTHS[b] :].any() for n, b in enumerate(which))
    weights = torch.ones_like(losses)
    for n, b in enumerate(which):
        weights[n, : LENGTHS[b]] = draw(LENGTHS[b], seed=70 + b)
    gradients = torch.autograd.grad((losses * mask * weights).sum(), [features, *output.parameters()])
    real = {"losses": losses * mask, "mask": mask, "best": output.best(features, lengths)}
    steps = {key: [value[n, : LENGTHS[b]] for n, b in enumerate(which)] for key, value in real.items()}
    return steps | {"features": list(gradients[0]), "parameters": list(gradients[1:])}


@each_output
@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("label", [-1, 1])
def test_alone_equals_batched_equals_padded_with_garbage_forward_and_backward(
    name: str, garbage: float, label: int
) -> None:
    output, everyone = build(name), list(range(len(LENGTHS)))
    alone = [measured(output, sequence(b)[None], torch.tensor(TARGETS[b])[None], [b]) for b in everyone]
    for total in (max(LENGTHS), 7):
        seen = measured(output, *padded(total, garbage, label), everyone)
        for b, length in enumerate(LENGTHS):
            for key in ("losses", "mask", "best"):
                torch.testing.assert_close(seen[key][b], alone[b][key][0], **EXACT)
            torch.testing.assert_close(seen["features"][b][:length], alone[b]["features"][0], **EXACT)
            assert not seen["features"][b][length:].any()
        for n, gradient in enumerate(seen["parameters"]):
            torch.testing.assert_close(gradient, sum(one["parameters"][n] for one in alone), **EXACT)
            assert gradient.any()


@each_output
def test_a_label_that_is_not_known_has_no_loss_of_its_own(name: str) -> None:
    losses, mask = build(name).losses(*padded(5, 0.0, -1), torch.tensor(LENGTHS))
    known = [[label >= 0 for label in labels] + [False] * (5 - len(labels)) for labels in TARGETS]
    real = [[True] * length + [False] * (5 - length) for length in LENGTHS]
    # a CRF tells a sequence as a whole: what is not known is summed over, and each token has its share
    assert mask.tolist() == (real if name.startswith("crf") else known)
    assert (losses[mask] > 0).all()


# ---- one by one


def test_losses_and_labels_of_a_softmax_equal_a_scalar_loop() -> None:
    output = build("softmax")
    weights, (features, targets) = parameters(output), padded(6, 1e3, -1)
    losses, _ = output.losses(features, targets, torch.tensor(LENGTHS))
    best = output.best(features, torch.tensor(LENGTHS))
    for b, labels in enumerate(TARGETS):
        for t, (x, label) in enumerate(zip(sequence(b).tolist(), labels, strict=True)):
            probabilities = softmax(affine(weights["linear.weight"], x, weights["linear.bias"]))
            if label >= 0:
                assert losses[b, t].item() == pytest.approx(-math.log(probabilities[label]), abs=1e-10)
            assert best[b, t].item() == probabilities.index(max(probabilities))


# ---- all together


def crf_scores(output: LabelOutput, steps: list[Row], bio: bool) -> dict[tuple[int, ...], float]:
    """Score of every labelling of a sequence that is allowed."""
    p, scores = parameters(output), {}
    emissions = [affine(p["linear.weight"], x, p["linear.bias"]) for x in steps]
    for labels in product(range(COUNT), repeat=len(steps)):
        names = ["O", *(LABELS[label] for label in labels)]
        if bio and any(right == "I-X" and left == "O" for left, right in pairwise(names)):
            continue
        moves = sum(p["crf.transitions"][left][right] for left, right in pairwise(labels))
        emitted = sum(emission[label] for emission, label in zip(emissions, labels, strict=True))
        scores[labels] = p["crf.start"][labels[0]] + emitted + moves + p["crf.end"][labels[-1]]
    return scores


@each_crf
def test_a_crfs_loss_per_token_is_the_likelihood_over_all_labellings_by_length(name: str) -> None:
    output, (features, targets) = build(name), padded(6, 1e3, -1)
    losses, _ = output.losses(features, targets, torch.tensor(LENGTHS))
    best = output.best(features, torch.tensor(LENGTHS))
    for b, labels in enumerate(TARGETS):
        scores = crf_scores(output, sequence(b).tolist(), name == "crf-bio")
        agreeing = [
            score for path, score in scores.items()
            if all(known in (-1, label) for known, label in zip(labels, path, strict=True))
        ]  # fmt: skip
        likelihood = sum(map(math.exp, agreeing)) / sum(map(math.exp, scores.values()))
        expected = losses.new_full((LENGTHS[b],), -math.log(likelihood) / LENGTHS[b])
        torch.testing.assert_close(losses[b, : LENGTHS[b]], expected, **EXACT)
        assert tuple(best[b, : LENGTHS[b]].tolist()) == max(scores, key=lambda path: scores[path])


def test_a_crf_never_breaks_the_scheme_that_it_is_given_and_breaks_it_without() -> None:
    names = ("I-Y", "B-X", "O", "I-X", "B-Y")
    features, lengths = 3 * draw(300, 9, FEATURES), torch.arange(300) % 9 + 1
    broken = {}
    for scheme in ("bio", None):
        best = randomized(CRFOutput(FEATURES, names, scheme)).best(features, lengths)
        told = [["O", *(names[n] for n in row[:length])] for row, length in zip(best.tolist(), lengths, strict=True)]
        broken[scheme] = sum(
            right[0] == "I" and left not in (f"B-{right[2:]}", f"I-{right[2:]}")
            for row in told for left, right in pairwise(row)
        )  # fmt: skip
    assert broken["bio"] == 0
    assert broken[None] > 100


# ---- each from the one before


def test_losses_of_feedback_equal_a_scalar_loop_that_reads_the_true_label_before() -> None:
    output, (features, targets) = build("feedback-vanilla"), padded(6, 1e3, -1)
    targets[2, 1] = -1  # and what comes after a label that is not known
    p, losses = parameters(output), output.losses(features, targets, torch.tensor(LENGTHS))[0]
    for b, length in enumerate(LENGTHS):
        state, before = [0.0] * HIDDEN, COUNT
        for t in range(length):
            x = features[b, t].tolist() + p["embedding.weight"][before]
            from_input = affine(p["cell.weight_input"], x, p["cell.bias"])
            state = [math.tanh(a) for a in affine(p["cell.weight_recurrent"], state, from_input)]
            label = int(targets[b, t])
            if label >= 0:
                told = softmax(affine(p["linear.weight"], state, p["linear.bias"]))[label]
                assert losses[b, t].item() == pytest.approx(-math.log(told), abs=1e-10)
            before = label if label >= 0 else COUNT


@each_cell
def test_a_true_label_reaches_its_own_loss_and_all_steps_after_it_alone(cell: CellFactory) -> None:
    output, features, lengths = randomized(feedback(cell, 1)), draw(1, 6, FEATURES), torch.tensor([6])
    targets = torch.tensor([[0, 2, 1, 1, 0, 2]])
    before = output.losses(features, targets, lengths)[0][0]
    for s in range(6):
        shares = torch.zeros((), dtype=torch.float64)
        for label in range(COUNT):
            other = targets.clone()
            other[0, s] = label
            losses = output.losses(features, other, lengths)[0][0]
            assert (losses != before).tolist() == [label != targets[0, s] and t >= s for t in range(6)]
            shares = shares + torch.exp(-losses[s])
        assert shares.item() == pytest.approx(1.0, abs=1e-10)  # so step s did not read the label that it tells


def told_by_teacher_forcing(output: LabelOutput, steps: Tensor, labels: Tensor) -> Tensor:
    """Log-probability of each of [N, T] labellings of one sequence [T, F]: [N]."""
    many = steps.expand(len(labels), *steps.shape)
    return -output.losses(many, labels, torch.full((len(labels),), len(steps)))[0].sum(dim=1)


def in_order(labels: Tensor, scores: Tensor) -> tuple[list[list[int]], Tensor]:
    order = scores.argsort(descending=True)
    return labels[order].tolist(), scores[order]


@each_cell
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_beam_as_wide_as_all_labellings_finds_them_all_in_order(cell: CellFactory, count: int) -> None:
    longest = max(LENGTHS)
    output = randomized(feedback(cell, count**longest, count))
    assert isinstance(output, FeedbackOutput)
    features, _ = padded(6, 1e3, -1)
    labels, scores = output.search(features, torch.tensor(LENGTHS))
    assert labels.shape == (len(LENGTHS), count**longest, 6)
    for b, length in enumerate(LENGTHS):
        everything = torch.tensor(list(product(range(count), repeat=length)))
        told = told_by_teacher_forcing(output, sequence(b), everything)
        assert told.exp().sum().item() == pytest.approx(1.0, abs=1e-10)
        expected_labels, expected_scores = in_order(everything, told)
        found = count**length
        assert labels[b, :found, :length].tolist() == expected_labels
        torch.testing.assert_close(scores[b, :found], expected_scores, **EXACT)
        assert scores[b, found:].isneginf().all()


@each_cell
@pytest.mark.parametrize("beam", [1, 2, 5])
def test_a_beams_scores_are_the_log_probabilities_of_its_labels_in_order_and_the_first_is_told(
    cell: CellFactory, beam: int
) -> None:
    output, features = randomized(feedback(cell, beam)), draw(20, 7, FEATURES)
    assert isinstance(output, FeedbackOutput)
    lengths = torch.arange(20) % 7 + 1
    labels, scores = output.search(features, lengths)
    assert labels.shape == (20, beam, 7)
    for b, length in enumerate(lengths.tolist()):
        there = scores[b].isfinite()
        assert there.sum() == min(beam, COUNT**length)
        told = told_by_teacher_forcing(output, features[b, :length], labels[b, there, :length])
        torch.testing.assert_close(scores[b, there], told, **EXACT)
        assert len({tuple(row) for row in labels[b, there, :length].tolist()}) == there.sum()
    assert (scores[:, :-1] >= scores[:, 1:]).all()
    assert torch.equal(output.best(features, lengths), labels[:, 0])


@each_cell
def test_a_beam_of_one_takes_the_likeliest_label_step_by_step_and_a_wider_one_finds_better(cell: CellFactory) -> None:
    output, wide, features = randomized(feedback(cell, 1)), randomized(feedback(cell, 9)), 2 * draw(40, 6, FEATURES)
    assert isinstance(output, FeedbackOutput) and isinstance(wide, FeedbackOutput)
    wide.load_state_dict(output.state_dict())
    lengths = torch.full((40,), 6)
    labels, scores = output.search(features, lengths)
    for b in range(40):
        state, before = output.cell.initial_state(1), torch.tensor([COUNT])
        for t in range(6):
            made, state = output.cell(torch.cat([features[b : b + 1, t], output.embedding(before)], dim=1), state)
            before = output.linear(made).argmax(dim=1)
            assert labels[b, 0, t] == before
    better = wide.search(features, lengths)[1][:, 0] - scores[:, 0]
    assert (better > 1e-6).any()


def former_search(output: FeedbackOutput, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """The search that output connections had before there was one for all networks, in double precision."""
    batch, time, width, count = *features.shape[:2], output.beam, output.label_count
    state = output.cell.initial_state(batch * width)
    scores = torch.full((batch, width), -torch.inf, dtype=torch.float64)
    scores[:, 0] = 0.0
    labels = torch.full((batch, width, time), count)
    stays = torch.full((count,), -torch.inf, dtype=torch.float64)
    stays[0] = 0.0
    for step in range(time):
        before = labels[:, :, step - 1] if step else labels[:, :, 0]
        read = torch.cat([features[:, step, None].expand(-1, width, -1), output.embedding(before)], dim=-1)
        made, state = output.cell(read.flatten(0, 1), state)
        likely = torch.log_softmax(output.linear(made), dim=-1).view(batch, width, count)
        likely = torch.where((step < lengths)[:, None, None], likely, stays)
        scores, chosen = (scores[..., None] + likely).flatten(1).topk(width)
        origin = chosen // count
        labels = labels.gather(1, origin[..., None].expand_as(labels))
        labels[:, :, step] = chosen % count
        rows = (origin + width * torch.arange(batch)[:, None]).flatten()
        state = type(state)(*(part[rows] for part in state))
    return labels, scores


@each_cell
@pytest.mark.parametrize(("beam", "count"), [(1, 5), (3, 5), (4, 2), (8, 1), (30, 3)])
def test_the_search_finds_what_that_of_output_connections_alone_found(cell: CellFactory, beam: int, count: int) -> None:
    output, features = randomized(feedback(cell, beam, count)), 2 * draw(30, 8, FEATURES)
    assert isinstance(output, FeedbackOutput)
    lengths = torch.arange(30) % 7 + 1
    labels, scores = output.search(features, lengths)
    former_labels, former_scores = former_search(output, features, lengths)
    torch.testing.assert_close(scores, former_scores, **EXACT)
    real = (torch.arange(8) < lengths[:, None])[:, None] & scores.isfinite()[..., None]
    assert torch.equal(labels * real, former_labels * real)
    assert labels.shape == former_labels.shape


def test_an_empty_sequence_is_refused() -> None:
    output = feedback(LSTMCell, 2)
    with pytest.raises(BadInput, match="A maximum length of 0 leaves no answer"):
        output.best(torch.zeros(2, 3, FEATURES), torch.tensor([3, 0]))


def test_under_autocast_scores_are_probabilities_of_single_precision() -> None:
    output = randomized(feedback(LSTMCell, 3)).float()
    assert isinstance(output, FeedbackOutput)
    features, lengths = draw(5, 6, FEATURES).bfloat16(), torch.tensor([6, 2, 3, 1, 6])
    with torch.autocast("cpu", torch.bfloat16):
        labels, scores = output.search(features, lengths)
        _, of_one_step = output.search(features[:, :1], torch.ones(5, dtype=torch.int64))
    assert ((labels >= 0) & (labels < COUNT)).all()
    assert scores.dtype == torch.float64
    torch.testing.assert_close(of_one_step.exp().sum(dim=1), torch.ones(5).double(), rtol=0.0, atol=1e-6)
