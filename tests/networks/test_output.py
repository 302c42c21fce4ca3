"""The output layer: the fused loss is the plain one in values and gradients, and never has all logits in memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from cells.test_cells import draw
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from unroll.networks import embedding as embeddings
from unroll.networks import fused_loss, output, pages
from unroll.networks.embedding import embed
from unroll.networks.fused_loss import linear_cross_entropy
from unroll.networks.output import TokenOutput

PLACES, FEATURES, VOCABULARY = 37, 9, 53
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}

each_type = pytest.mark.parametrize("kind", TOLERANCE, ids=["fp64", "fp32"])
each_smoothing = pytest.mark.parametrize("smoothing", [0.0, 0.1])
each_bias = pytest.mark.parametrize("biased", [True, False], ids=["bias", "no bias"])
Given = tuple[Tensor, Tensor, Tensor | None, Tensor]


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four chunks of rows, softmax over three rows at a time, gradients in tiles of seven tokens."""
    for name, value in (("CHUNK_ROWS", 10), ("CHUNK_BYTES", 1), ("BLOCK_BYTES", 3 * VOCABULARY * 8), ("TILE", 7)):
        monkeypatch.setattr(fused_loss, name, value)


def given(places: int = PLACES, kind: torch.dtype = torch.float64, biased: bool = True, scale: float = 1.0) -> Given:
    """Features, weight and bias, which need gradients, and targets."""
    shapes = [(places, FEATURES), (VOCABULARY, FEATURES), (VOCABULARY,)]
    parts = [scale * draw(*shape, seed=n) for n, shape in enumerate(shapes)]
    features, weight, bias = (part.to(kind).requires_grad_() for part in parts)
    targets = torch.randint(0, VOCABULARY, (places,), generator=torch.Generator().manual_seed(9))
    return features, weight, bias if biased else None, targets


def plain(features: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    logits = F.linear(features, weight, bias)
    return F.cross_entropy(logits, targets, reduction="none", label_smoothing=smoothing)


def gradients(losses: Tensor, parts: Given, upstream: Tensor, **options: bool) -> list[Tensor]:
    leaves = [part for part in parts[:3] if part is not None]
    return list(torch.autograd.grad(losses, leaves, upstream.to(losses.dtype), **options))


def close(found: list[Tensor], expected: list[Tensor], tolerance: float) -> None:
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=tolerance, atol=tolerance)


UPSTREAM: dict[str, Callable[[int], Tensor]] = {
    "mean": lambda n: torch.full((n,), 1 / n),
    "masked": lambda n: (torch.arange(n) % 3 > 0).double() / n,
    "different": lambda n: draw(n, seed=77),
    "none": torch.zeros,
}


@pytest.mark.usefixtures("small_chunks")
@each_type
@each_smoothing
@each_bias
@pytest.mark.parametrize("upstream", UPSTREAM)
@pytest.mark.parametrize("places", [1, 10, PLACES])
def test_the_fused_loss_is_the_plain_one_in_values_and_gradients(
    kind: torch.dtype, smoothing: float, biased: bool, upstream: str, places: int
) -> None:
    parts, weights = given(places, kind, biased), UPSTREAM[upstream](places)
    expected, found = plain(*parts, smoothing), linear_cross_entropy(*parts, smoothing)
    assert found.dtype == kind
    close([found], [expected], TOLERANCE[kind])
    close(gradients(found, parts, weights), gradients(expected, parts, weights), TOLERANCE[kind])


def test_with_chunks_of_the_usual_size_too() -> None:
    features, weight, bias = (draw(*shape) for shape in ((900, 3), (6000, 3), (6000,)))
    parts = (features.requires_grad_(), weight.requires_grad_(), bias.requires_grad_(), torch.arange(900))
    expected, found = plain(*parts), linear_cross_entropy(*parts)
    close([found], [expected], 1e-12)
    for weights in (torch.ones(900), draw(900)):
        close(gradients(found, parts, weights, retain_graph=True),
              gradients(expected, parts, weights, retain_graph=True), 1e-12)  # fmt: skip


@pytest.mark.usefixtures("small_chunks")
@each_smoothing
def test_gradients_pass_gradcheck(smoothing: float) -> None:
    *leaves, targets = given(12)
    assert torch.autograd.gradcheck(lambda *parts: linear_cross_entropy(*parts, targets, smoothing), leaves)


@pytest.mark.usefixtures("small_chunks")
def test_a_second_backward_pass_gives_the_same_gradients() -> None:
    parts = given()
    found, weights = linear_cross_entropy(*parts), torch.full((PLACES,), 0.25)
    first = [part.clone() for part in gradients(found, parts, weights, retain_graph=True)]
    close(gradients(found, parts, weights, retain_graph=True), first, 1e-12)
    close(gradients(found, parts, 2 * weights), [2 * part for part in first], 1e-12)


def test_a_second_derivative_is_refused() -> None:
    parts = given()
    with pytest.raises(NotImplementedError, match="no second derivative"):
        gradients(linear_cross_entropy(*parts), parts, torch.ones(PLACES), create_graph=True)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("frozen", [(0,), (1,), (1, 2), (0, 2)])
@pytest.mark.parametrize("upstream", ["mean", "different"])
def test_what_is_frozen_gets_no_gradient_and_the_others_get_theirs(frozen: tuple[int, ...], upstream: str) -> None:
    parts = given()
    for number in frozen:
        parts[number].requires_grad_(False)  # type: ignore[union-attr]
    leaves = [part for part in parts[:3] if part is not None and part.requires_grad]
    weights = UPSTREAM[upstream](PLACES).double()
    found, expected = (torch.autograd.grad(run(*parts), leaves, weights) for run in (linear_cross_entropy, plain))
    close(list(found), list(expected), 1e-12)


@pytest.mark.usefixtures("small_chunks")
@each_smoothing
def test_without_a_place_the_gradients_are_zero(smoothing: float) -> None:
    parts = given(0)
    found = linear_cross_entropy(*parts, smoothing)
    assert found.shape == (0,)
    for part in gradients(found, parts, torch.ones(0)):
        assert not part.any()


def test_losses_are_those_of_a_scalar_loop() -> None:
    features, weight, bias, targets = given(3)
    assert bias is not None
    found = linear_cross_entropy(features, weight, bias, targets, 0.1).tolist()
    for x, target, loss in zip(features.tolist(), targets.tolist(), found, strict=True):
        z = [b + sum(w * f for w, f in zip(row, x, strict=True))
             for row, b in zip(weight.tolist(), bias.tolist(), strict=True)]  # fmt: skip
        total = math.log(sum(math.exp(score) for score in z))
        wanted = sum((0.9 * (v == target) + 0.1 / VOCABULARY) * (total - score) for v, score in enumerate(z))
        assert loss == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("shift", [-2e4, 2e4])
def test_logits_of_any_size_neither_overflow_nor_vanish(shift: float) -> None:
    features, weight, bias, targets = given(kind=torch.float32)
    assert bias is not None
    moved = (features, weight, (bias.detach() + shift).requires_grad_(), targets)
    found = linear_cross_entropy(*moved)
    expected = plain(features.double(), weight.double(), moved[2].double(), targets)
    torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-2)
    assert all(part.isfinite().all() for part in gradients(found, moved, torch.ones(PLACES)))


# ---- half precision


def halved() -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16)


@pytest.mark.usefixtures("small_chunks")
@each_smoothing
@pytest.mark.parametrize("upstream", ["mean", "different"])
def test_under_bf16_autocast_no_further_from_exact_than_the_plain_loss(smoothing: float, upstream: str) -> None:
    parts, weights = given(kind=torch.float32), UPSTREAM[upstream](PLACES)
    exact = plain(*parts, smoothing)
    wanted = [exact.detach(), *gradients(exact, parts, weights)]
    errors = []
    for run in (linear_cross_entropy, plain):
        with halved():
            losses = run(*parts, smoothing)
        found = [losses.detach(), *gradients(losses, parts, weights)]
        assert [part.dtype for part in found[1:]] == [torch.float32] * 3
        errors.append([float((one - two).norm() / two.norm()) for one, two in zip(found, wanted, strict=True)])
    for ours, theirs in zip(*errors, strict=True):
        assert ours < 1.5 * theirs
        assert ours < 0.01


def test_under_bf16_autocast_the_small_gradient_of_a_likely_target_is_as_exact_as_a_large_one() -> None:
    features, weight, bias, targets = given(kind=torch.float32, scale=0.3)
    assert bias is not None
    with torch.no_grad():
        bias[targets[0]] += 9.0
    sure = (features, weight, bias, targets[:1].expand(PLACES))
    exact = plain(*sure)
    wanted = gradients(exact, sure, torch.ones(PLACES))
    assert float(exact.detach().max()) < 0.05
    with halved():
        losses = linear_cross_entropy(*sure)
    assert losses.dtype == torch.float32
    for one, two in zip(gradients(losses, sure, torch.ones(PLACES)), wanted, strict=True):
        assert float((one - two).norm() / two.norm()) < 0.02


def test_autocast_leaves_fp64_exact() -> None:
    parts = given()
    with halved():
        found = linear_cross_entropy(*parts)
    close([found], [plain(*parts)], 1e-12)


@pytest.mark.usefixtures("small_chunks")
@each_smoothing
@pytest.mark.parametrize("half", [False, True])
def test_evaluation_gives_the_values_of_training(smoothing: float, half: bool) -> None:
    parts = given(kind=torch.float32)
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        training = linear_cross_entropy(*parts, smoothing)
        with torch.no_grad():
            evaluation = linear_cross_entropy(*parts, smoothing)
    assert training.requires_grad
    assert not evaluation.requires_grad
    assert torch.equal(training, evaluation)


# ---- memory


class Largest(TorchDispatchMode):
    """Records the most numbers of a tensor that an operation returns."""

    def __init__(self) -> None:
        super().__init__()
        self.most = 0

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = operation(*args, **(kwargs or {}))
        parts = result if isinstance(result, tuple | list) else [result]
        self.most = max([self.most, *(part.numel() for part in parts if isinstance(part, Tensor))])
        return result


@pytest.mark.parametrize("upstream", ["mean", "different"])
@pytest.mark.parametrize("half", [False, True])
def test_the_logits_of_all_places_are_never_in_memory(upstream: str, half: bool) -> None:
    places, size = 1600, 6000
    features, weight, bias = (draw(*shape).float() for shape in ((places, 2), (size, 2), (size,)))
    parts = (features.requires_grad_(), weight.requires_grad_(), bias.requires_grad_(), torch.arange(places))

    def most(run: Callable[..., Tensor]) -> int:
        with Largest() as seen, torch.autocast("cpu", torch.bfloat16, enabled=half):
            with torch.no_grad():
                run(*parts)
            gradients(run(*parts), parts, UPSTREAM[upstream](places))
        return seen.most

    assert most(plain) >= places * size
    per_number = 2 if half else 4
    assert most(linear_cross_entropy) <= max(fused_loss.CHUNK_BYTES // per_number, fused_loss.CHUNK_ROWS * size)


@pytest.fixture
def all_large(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every tensor is large enough for pages of its own."""
    for module in (pages, embeddings):
        monkeypatch.setattr(module, "LARGE", 1)
    return


@pytest.mark.usefixtures("all_large")
def test_large_tensors_are_zeros_of_their_own() -> None:
    like = torch.ones(5, 3)
    one, two = pages.zeros_like(like, torch.float64), pages.zeros_like(like, torch.float64)
    one += 1
    assert (one == 1).all()
    assert not two.any()
    assert one.dtype == torch.float64
    assert pages.empty_like(like, torch.bfloat16).copy_(like).equal(like.bfloat16())
    like.requires_grad_()
    assert not pages.zeros_like(like, torch.float32).requires_grad


@pytest.mark.usefixtures("all_large")
@pytest.mark.parametrize("half", [False, True])
def test_a_large_embedding_has_the_gradient_of_torch(half: bool) -> None:
    ours, tokens = embed(11, 4, 0, 1.0), torch.tensor([[1, 2, 0, 2], [10, 0, 2, 1]])
    theirs = nn.Embedding.from_pretrained(ours.weight.detach().clone(), freeze=False, padding_idx=0)
    weights = draw(2, 4, 4).float()
    for table in (ours, theirs):
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            (table(tokens) * weights).sum().backward()
    assert "_Lookup" in str(ours(tokens).grad_fn)
    assert torch.equal(ours(tokens), theirs(tokens))
    assert ours.weight.grad is not None
    assert torch.equal(ours.weight.grad, theirs.weight.grad)  # type: ignore[arg-type]
    assert not ours.weight.grad[0].any()


@pytest.mark.usefixtures("all_large", "small_chunks")
def test_the_gradient_of_a_tied_embedding_is_added_to_that_of_the_output_in_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(output, "FUSED_SIZE", 1)
    table = embed(VOCABULARY, FEATURES, 0, 1.0)
    layer, tokens = TokenOutput(FEATURES, VOCABULARY, table), torch.arange(1, 9)
    loss = layer.losses(table(tokens), tokens + 1).sum()
    # a mode that reads every operation would itself refer to the gradients
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], record_shapes=True) as seen:
        loss.backward()
    shape = list(table.weight.shape)
    sums = [event.name for event in seen.events() if event.name.startswith("aten::add") and shape in event.input_shapes]
    assert sums == ["aten::add_"]


# ---- the layer


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize(("tied", "width"), [(True, FEATURES), (True, 4), (False, 4)])
@pytest.mark.parametrize("large", [False, True])
@each_smoothing
def test_a_layer_that_is_fused_equals_one_that_is_not(
    tied: bool, width: int, large: bool, smoothing: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(5)
    table = embed(VOCABULARY, width, 0, 1.0)
    layer = TokenOutput(width if not tied else FEATURES, VOCABULARY, table if tied else None).double()
    table.double()
    nn.init.normal_(layer.decoder.bias)
    tokens = torch.randint(0, VOCABULARY, (PLACES,), generator=torch.Generator().manual_seed(4))
    mix = draw(width, layer.projection.in_features if isinstance(layer.projection, nn.Linear) else width)
    results = []
    for size in (VOCABULARY + 1, VOCABULARY):
        monkeypatch.setattr(output, "FUSED_SIZE", size)
        monkeypatch.setattr(embeddings, "LARGE", 1 if large else 2**30)
        losses = layer.losses(torch.tanh(table(tokens) @ mix), tokens.flip(0), smoothing)
        parameters = list({id(p): p for p in [table.weight, *layer.parameters()]}.values())
        results.append([losses, *torch.autograd.grad(losses, parameters, draw(PLACES))])
    assert "LinearCrossEntropy" in str(results[1][0].grad_fn)
    assert "LinearCrossEntropy" not in str(results[0][0].grad_fn)
    close(results[1], results[0], 1e-12)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_losses_of_a_mask_are_those_of_its_places_alone(
    fused: bool, masked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "FUSED_SIZE", 1 if fused else 100)
    layer, features = TokenOutput(4, 9, None).double(), draw(2, 5, 4)
    targets, mask = torch.arange(10).view(2, 5) % 9, torch.ones(2, 5, dtype=torch.bool)
    if masked:
        mask[1, 2:] = False
        features[~mask] = math.nan
    features.requires_grad_()
    found = layer.masked_losses(features, targets, mask)
    (gradient,) = torch.autograd.grad((found * mask).sum(), features)
    torch.testing.assert_close(found[mask], layer.losses(features[mask], targets[mask]), rtol=0, atol=1e-12)
    assert not found[~mask].any()
    assert not gradient[~mask].any()
    assert gradient[mask].all()


@pytest.mark.parametrize("size", [8, output.FUSED_SIZE])
def test_losses_and_log_probabilities_are_in_single_precision_under_autocast(size: int) -> None:
    torch.manual_seed(0)
    layer, features = TokenOutput(4, size, None), draw(6, 4).float()
    targets = torch.arange(6)
    with halved():
        losses, found = layer.losses(features, targets), layer.log_probabilities(features)
    assert losses.dtype == found.dtype == torch.float32
    torch.testing.assert_close(found.exp().sum(dim=1), torch.ones(6), rtol=0, atol=1e-5)
    torch.testing.assert_close(-found.gather(1, targets[:, None])[:, 0], losses, rtol=0, atol=0.02)
    exact = torch.log_softmax(layer.double()(features.double()), dim=1)
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=0.05)
    assert torch.equal(layer.log_probabilities(features.double()), exact)


def test_the_likeliest_token_of_many_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "ROWS", 5)
    torch.manual_seed(0)
    layer, features = TokenOutput(4, 9, None), draw(3, 4, 4).float()
    assert torch.equal(layer.likeliest(features), layer(features).argmax(dim=-1))
