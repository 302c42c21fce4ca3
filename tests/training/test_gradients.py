"""The gradient of a step: of the mean over all its tokens, penalised, clipped, and dropped if it is broken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.plugins.precision import MixedPrecision
from torch import Tensor, nn

from unroll.cells import GRUCell
from unroll.data.batch import Batch, FieldSpec, Part
from unroll.data.buckets import Buckets
from unroll.data.prepared import Column, Split
from unroll.data.streams import Streams
from unroll.errors import BadInput
from unroll.networks.embedding import embed
from unroll.networks.encoder import SequenceEncoder
from unroll.networks.labels import CRFOutput, LabelOutput, SoftmaxOutput
from unroll.networks.language import RecurrentLanguageNetwork
from unroll.networks.output import TokenOutput
from unroll.networks.recurrent import Recurrent, recurrent_matrices
from unroll.tasks.base import Task
from unroll.tasks.description import Options
from unroll.tasks.language_model.answers import LanguageModelNetwork
from unroll.tasks.language_model.description import LanguageModelOptions
from unroll.tasks.language_model.module import LanguageModel
from unroll.tasks.network import TaskNetwork
from unroll.tasks.registry import description_of
from unroll.tasks.regressor.answers import RegressorNetwork
from unroll.tasks.regressor.description import RegressorOptions
from unroll.tasks.regressor.module import Regressor
from unroll.tasks.tagger.answers import TaggerNetwork
from unroll.tasks.tagger.description import TaggerOptions
from unroll.tasks.tagger.module import Tagger
from unroll.training.gradients import Clipping, Gradients, clip, total_norm

pytestmark = pytest.mark.filterwarnings("ignore:You defined a `validation_step`")  # there is nothing to validate on

LENGTHS = [3, 9, 1, 6, 2, 7, 5, 4, 8, 1]
LABELS = ("O", "B-x", "I-x")
WORDS = {"inputs": FieldSpec(9, unit="words")}
TAGGED = {**WORDS, "labels": FieldSpec(len(LABELS), LABELS, padding_index=-1)}
SERIES = {"inputs": FieldSpec(2), "target": FieldSpec(1)}
EXACT = {"rtol": 0.0, "atol": 1e-10}


class Given:
    """Batches one after the other; in a list Lightning would take each for a loader."""

    def __init__(self, batches: list[Batch]) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        return iter(self.batches)


class Descent:
    """Plain descent at rate 1, so that weights move by the gradient."""

    def __call__(self, parameters: Iterator[nn.Parameter], progress: Callable[[], float]) -> dict[str, Any]:
        return {"optimizer": torch.optim.SGD(parameters, 1.0)}


def encoder(inputs: nn.Module, width: int, bidirectional: bool) -> SequenceEncoder:
    return SequenceEncoder(inputs, Recurrent(GRUCell, width, 4, 1, bidirectional), nn.Identity(), "final")


def task_of(name: str) -> Task:
    torch.manual_seed(0)
    task: Task
    if name == "language model":
        network = RecurrentLanguageNetwork(encoder(embed(9, 5, 0, 1.0), 5, False), TokenOutput(4, 9, None))
        language = LanguageModelNetwork(network, WORDS)
        task = LanguageModel(language, LanguageModelOptions(tied=False), Descent(), 10**9)
    elif name == "regressor":
        regressor = RegressorNetwork(encoder(nn.Identity(), 2, True), SERIES)
        task = Regressor(regressor, RegressorOptions(), Descent(), 10**9)
    else:
        output: LabelOutput = CRFOutput(8, LABELS, "bio") if name == "crf" else SoftmaxOutput(8, 3)
        tagger = TaggerNetwork(encoder(embed(9, 5, 0, 1.0), 5, True), output, TAGGED)
        task = Tagger(tagger, TaggerOptions(unknown_rate=0.0), Descent(), 10**9)
    task.nominal = 16.0
    return task.double()


def split_of(name: str) -> Split:
    offsets, total, draw = np.cumsum([0, *LENGTHS]), sum(LENGTHS), np.random.default_rng(0)
    if name == "regressor":
        vectors, targets = draw.normal(size=(total, 2)), draw.normal(size=len(LENGTHS))
        return Split("train", {"inputs": Column(vectors, offsets), "target": Column(targets, None)})
    tokens, labels = draw.integers(2, 9, total), draw.integers(0, 2, total)
    return Split("train", {"inputs": Column(tokens, offsets), "labels": Column(labels, offsets)})


def rows(batch: Batch, begin: int, end: int) -> Batch:
    """Some sequences of a batch, as a batch."""
    window = batch.window and batch.window._replace(left=batch.window.left[begin:end])
    mask = batch.mask[begin:end]

    def some(part: Part) -> Part:
        return type(part)(*(values[begin:end] for values in part)) if isinstance(part, tuple) else part[begin:end]

    return Batch({role: some(part) for role, part in batch.fields.items()}, mask, window, int(mask.sum()))


def moved(
    task: Task, batches: list[Batch], accumulate: int, gradients: Gradients, *more: Callback, **options: Any
) -> list[Tensor]:
    """By how much every weight moved over all batches."""
    before = [weight.detach().clone() for weight in task.parameters()]
    Trainer(
        accelerator="cpu", max_epochs=1, accumulate_grad_batches=accumulate, callbacks=[gradients, *more], logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, **options,
    ).fit(task, Given(batches))  # fmt: skip
    return [weight.detach() - old for weight, old in zip(task.parameters(), before, strict=True)]


def plain(**named: Any) -> Gradients:
    return Gradients(**{"clipping": Clipping(), "recurrent": [], "l1": 0.0, "l2": 0.0, "patience": 3, **named})


def expected(task: Task, batches: list[Batch]) -> list[Tensor]:
    """The gradient of the mean over all places that the batches count."""
    scores = [task.scores(batch, evaluating=False) for batch in batches]
    total = torch.stack([(part.losses * part.mask).sum() for part in scores]).sum()
    count = sum(int(part.mask.sum()) for part in scores)
    return list(torch.autograd.grad(total / count, list(task.parameters())))


def batches_of(name: str, size: int) -> list[Batch]:
    split = split_of(name)
    if name == "language model":
        return list(Streams(split, size, 6))
    return list(Buckets(split, SERIES if name == "regressor" else TAGGED, ("inputs",), size, 0))


NAMES = ["language model", "tagger", "crf", "regressor"]


@pytest.mark.parametrize("name", NAMES)
def test_a_step_follows_the_mean_over_all_its_real_tokens(name: str) -> None:
    (batch, *_) = batches_of(name, 10 if name != "language model" else 4)
    gradient = expected(task_of(name), [batch])
    for found, wanted in zip(moved(task_of(name), [batch], 1, plain()), gradient, strict=True):
        torch.testing.assert_close(found, -wanted, **EXACT)


@pytest.mark.parametrize("cut", [1, 2, 4, 7])
@pytest.mark.parametrize("name", NAMES)
def test_two_accumulated_parts_give_the_step_of_the_whole(name: str, cut: int) -> None:
    if name == "language model":
        (batch, *_) = batches_of(name, 8)
    else:
        (batch,) = batches_of(name, 10)
    whole = moved(task_of(name), [batch], 1, plain())
    parts = [rows(batch, 0, cut), rows(batch, cut, len(batch.mask))]
    for one, two in zip(moved(task_of(name), parts, 2, plain()), whole, strict=True):
        torch.testing.assert_close(one, two, **EXACT)


@pytest.mark.parametrize("name", ["tagger", "crf", "regressor"])
def test_the_last_group_of_an_epoch_may_be_short(name: str) -> None:
    batches = batches_of(name, 4)
    assert len(batches) == 3
    reference = task_of(name)
    for group in (batches[:2], batches[2:]):
        with torch.no_grad():
            for weight, gradient in zip(reference.parameters(), expected_with(reference, group), strict=True):
                weight -= gradient
    start = list(task_of(name).parameters())
    for found, old, new in zip(moved(task_of(name), batches, 2, plain()), start, reference.parameters(), strict=True):
        torch.testing.assert_close(old + found, new, **EXACT)


def expected_with(task: Task, batches: list[Batch]) -> list[Tensor]:
    with torch.enable_grad():
        return expected(task, batches)


def test_penalties_pull_on_the_recurrent_matrices_and_on_nothing_else() -> None:
    (batch,) = batches_of("tagger", 10)
    gradient = expected(task_of("tagger"), [batch])
    task = task_of("tagger")
    matrices = recurrent_matrices(task)
    assert len(matrices) == 2
    old = {id(weight): weight.detach().clone() for weight in matrices}
    found = moved(task, [batch], 1, plain(recurrent=matrices, l1=0.3, l2=0.7))
    for weight, step, wanted in zip(task.parameters(), found, gradient, strict=True):
        penalty = 0.3 * old[id(weight)].sign() + 0.7 * old[id(weight)] if id(weight) in old else 0.0
        torch.testing.assert_close(step, -(wanted + penalty), **EXACT)


def test_the_recurrent_matrix_under_a_dropout_is_the_one_that_is_trained() -> None:
    network = Recurrent(GRUCell, 3, 4, 2, True, weight_dropout=0.5)
    trained = {id(parameter) for parameter in network.parameters()}
    found = recurrent_matrices(network)
    assert len(found) == 4
    assert all(id(weight) in trained and weight.shape == (12, 4) for weight in found)


@pytest.mark.parametrize("limit", [1e-3, 0.5, 100.0])
def test_clipping_is_torchs(limit: float) -> None:
    torch.manual_seed(0)
    shapes = [(3, 4), (5,), (2, 2), (1,)]
    values = [torch.randn(shape) for shape in shapes]

    def fresh() -> list[nn.Parameter]:
        found = [nn.Parameter(torch.zeros(shape)) for shape in shapes]
        for parameter, value in zip(found, values, strict=True):
            parameter.grad = value.clone()
        return found

    for clipping, by_torch in (
        (Clipping(norm=limit), lambda found: nn.utils.clip_grad_norm_(found, limit)),
        (Clipping(value=limit), lambda found: nn.utils.clip_grad_value_(found, limit)),
        (Clipping(parameter_norm=limit), lambda found: [nn.utils.clip_grad_norm_([one], limit) for one in found]),
    ):
        ours, theirs = [value.clone() for value in values], fresh()
        after, clipped = clip(ours, total_norm(ours), clipping)
        by_torch(theirs)
        for one, two in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, two.grad, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(after, total_norm(ours))
        assert bool(clipped) == any(not torch.equal(one, value) for one, value in zip(ours, values, strict=True))


def test_norms_before_and_after_and_the_share_of_clipped_steps_are_measured() -> None:
    batches = batches_of("tagger", 4)
    gradients = plain(clipping=Clipping(norm=0.05))
    moved(task_of("tagger"), batches, 1, gradients)
    found = gradients.take_measured()
    assert found["gradient_norm"] > found["gradient_norm_clipped"] == pytest.approx(0.05)
    assert found["clipped_share"] == 1.0
    assert found["dropped_steps"] == 0.0
    assert gradients.take_measured() == {}


def test_under_16_mixed_the_unscaled_gradient_is_clipped() -> None:
    class Seen(Callback):
        scales: ClassVar[list[float]] = []

        def on_before_optimizer_step(self, trainer: Trainer, pl_module: Any, optimizer: Any) -> None:
            self.scales.append(trainer.precision_plugin.scaler.get_scale())

    (batch,) = batches_of("tagger", 10)
    plugin = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=256.0))
    task, seen = task_of("tagger").float(), Seen()
    gradients = plain(clipping=Clipping(norm=0.5))
    found = moved(task, [batch], 1, gradients, seen, plugins=[plugin])
    assert seen.scales == [256.0]
    assert gradients.take_measured()["gradient_norm"] < 10
    assert float(total_norm(found)) == pytest.approx(0.5, rel=1e-3)


class Broken(Task):
    """A loss that is not finite in the steps that it is told."""

    description = description_of("language_model")

    def __init__(self, steps: set[int], through: str) -> None:
        network = TaskNetwork(WORDS)
        network.weight = nn.Parameter(torch.ones(3))
        super().__init__(
            network, Options(), lambda parameters, _: {"optimizer": torch.optim.AdamW(parameters, 0.1)}, 10**9
        )
        self.weight, self.steps, self.through, self.number = network.weight, steps, through, -1

    def scores(self, batch: Batch, evaluating: bool) -> Any:
        from unroll.tasks.base import Scores

        self.number += 1
        loss = (self.weight**2).sum().expand(batch.mask.shape)
        if self.number in self.steps:
            # the square root of zero has a finite value and an infinite slope
            loss = loss + torch.nan if self.through == "loss" else loss + torch.sqrt(self.weight.sum() * 0)
        return Scores(loss, batch.mask, {}, None)


@pytest.mark.parametrize("through", ["loss", "gradient"])
def test_a_step_that_is_not_finite_is_left_out_and_counted(through: str) -> None:
    batches = batches_of("tagger", 2)
    assert len(batches) == 5
    task, gradients = Broken({1, 3}, through), plain()
    moved(task, batches, 1, gradients)
    reference = Broken(set(), through)
    moved(reference, batches[:3], 1, plain())
    torch.testing.assert_close(task.weight, reference.weight)
    assert gradients.take_measured()["dropped_steps"] == 2


@pytest.mark.parametrize("through", ["loss", "gradient"])
def test_too_many_in_a_row_stop_the_run_with_a_sentence_and_sound_weights(through: str) -> None:
    task = Broken({1, 2, 3, 4}, through)
    with pytest.raises(BadInput, match=r"not finite in 3 consecutive steps, after .* tokens; lower"):
        moved(task, batches_of("tagger", 2), 1, plain(patience=2))
    assert task.weight.isfinite().all()


def test_a_window_without_a_target_moves_nothing() -> None:
    offsets = np.array([0, 9])
    split = Split("train", {"inputs": Column(np.ones((9, 2)), offsets), "target": Column(np.ones(1), None)})
    first, *_ = Buckets(split, SERIES, ("inputs",), 1, None, 4)
    torch.manual_seed(0)
    network = RegressorNetwork(encoder(nn.Identity(), 2, False), SERIES)
    task = Regressor(network, RegressorOptions(), lambda parameters, _: {
        "optimizer": torch.optim.AdamW(parameters, 0.1, weight_decay=0.5)}, 10**9).double()  # fmt: skip
    assert all(not step.any() for step in moved(task, [first], 1, plain()))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_gradients_of_the_previous_step_are_freed_before_the_forward_pass(accumulate: int) -> None:
    task, held = task_of("tagger"), []
    original = task.scores

    def scores(batch: Batch, evaluating: bool) -> Any:
        held.append(any(parameter.grad is not None for parameter in task.parameters()))
        return original(batch, evaluating)

    task.scores = scores  # type: ignore[method-assign]
    moved(task, batches_of("tagger", 2), accumulate, plain())
    assert held == [bool(number % accumulate) for number in range(len(held))]
    assert len(held) >= 4
