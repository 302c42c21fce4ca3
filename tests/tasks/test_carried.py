"""Truncated backpropagation through time: which steps a gradient reaches, and which state every window begins with."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unroll import cells
from unroll.cells import VanillaCell
from unroll.data.batch import FieldSpec
from unroll.data.buckets import Buckets
from unroll.data.prepared import Column, Split
from unroll.data.streams import Reset, Streams
from unroll.networks.encoder import SequenceEncoder
from unroll.networks.feedforward import FeedforwardLanguageNetwork
from unroll.networks.labels import SoftmaxOutput
from unroll.networks.language import LanguageNetwork, RecurrentLanguageNetwork
from unroll.networks.output import TokenOutput
from unroll.networks.recurrent import Recurrent
from unroll.tasks.base import Task
from unroll.tasks.carried import CarriedState
from unroll.tasks.language_model.answers import LanguageModelNetwork
from unroll.tasks.language_model.description import LanguageModelOptions
from unroll.tasks.language_model.module import LanguageModel
from unroll.tasks.regressor.answers import RegressorNetwork
from unroll.tasks.regressor.description import RegressorOptions
from unroll.tasks.regressor.module import Regressor
from unroll.tasks.tagger.answers import TaggerNetwork
from unroll.tasks.tagger.description import TaggerOptions
from unroll.tasks.tagger.module import Tagger

V, STREAMS = 7, 3
EXACT = {"rtol": 0.0, "atol": 1e-10}
WORDS = {"inputs": FieldSpec(V, unit="words")}
TAGGED = {"inputs": FieldSpec(2), "labels": FieldSpec(2, ("a", "b"), padding_index=-1)}
SERIES = {"inputs": FieldSpec(2), "target": FieldSpec(1)}
KINDS: dict[str, tuple[type[cells.Cell], dict[str, Any]]] = {
    name: (kind, {}) for name in cells.__all__ if isinstance(kind := getattr(cells, name), type)
    and issubclass(kind, cells.Cell) and not getattr(kind, "__abstractmethods__", None)
}  # fmt: skip
KINDS["GRUCell-before"] = (cells.GRUCell, {"reset": "before"})
NETWORKS = [*KINDS, "two layers", "learned state", "feed-forward"]
CUTS = [(1, 1), (3, 3), (5, 2), (4, 1), (7, 3), (100, 100), (None, None)]


def encoder(name: str, inputs: nn.Module, width: int) -> SequenceEncoder:
    kind, arguments = KINDS.get(name, KINDS["LSTMCell"])
    recurrent = Recurrent(lambda i, h: kind(i, h, **arguments), width, 4, 1 + (name == "two layers"), False,
                          learned_state=name == "learned state")  # fmt: skip
    for parameter in recurrent.parameters():  # a learned state that is still zero would prove nothing
        nn.init.uniform_(parameter, -0.6, 0.6)
    return SequenceEncoder(inputs, recurrent, nn.Identity(), "final").double()


def language_model(name: str) -> LanguageModel:
    torch.manual_seed(0)
    words = nn.Embedding(V, 5, padding_idx=0)
    network: LanguageNetwork
    if name == "feed-forward":
        network = FeedforwardLanguageNetwork(words, 4, 6, True, False, 0.0).double()
    else:
        network = RecurrentLanguageNetwork(encoder(name, words, 5), TokenOutput(4, V, None)).double()
    return LanguageModel(LanguageModelNetwork(network, WORDS), LanguageModelOptions(tied=False), None, 1000)


def text(length: int, documents: tuple[int, ...] = ()) -> Split:
    """A text in sentences, some of which begin documents."""
    tokens = np.random.default_rng(0).integers(2, V, length).astype(np.int32)
    begins = sorted({0, 10, 27, *documents})
    opens = np.isin(begins, documents)
    return Split("train", {"inputs": Column(tokens, np.array([*begins, length])), "document": Column(opens, None)})


def series(vectors: np.ndarray, offsets: np.ndarray, targets: np.ndarray) -> Split:
    """Sequences of vectors with a number each."""
    return Split("train", {"inputs": Column(vectors, offsets), "target": Column(targets, None)})


def tagged(values: np.ndarray, offsets: np.ndarray, labels: np.ndarray) -> Split:
    """Sequences of vectors or symbols with a label per step."""
    return Split("train", {"inputs": Column(values, offsets), "labels": Column(labels, offsets)})


def gradients(task: Task, losses: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(losses, list(task.parameters()), allow_unused=True, materialize_grads=True))


def whole(task: LanguageModel, loader: Streams) -> tuple[Tensor, Any]:
    """Summed loss of every stream read in one piece, and the state behind each, without any window."""
    total, states, network = torch.zeros((), dtype=torch.float64), [], task.network.network
    for start, size in zip(loader.starts, loader.sizes, strict=True):
        tokens = torch.from_numpy(np.array(loader.split["inputs"].values[start : start + size + 1], np.int64))[None]
        features, state = network(tokens[:, :-1], torch.tensor([size]), network.initial_state(1))
        total = total + network.losses(features.flatten(0, 1), tokens[0, 1:]).sum()
        states.append(state)
    joined = [[torch.cat(rows) for rows in zip(*parts, strict=True)] for parts in zip(*states, strict=True)]
    return total, joined


def summed(task: Task, batch: Any) -> Tensor:
    scores = task.scores(batch, evaluating=False)
    return (scores.losses * scores.mask).sum()


@pytest.mark.parametrize("k", [20, 100, None])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_window_that_holds_every_step_gives_the_gradient_of_full_backpropagation(name: str, k: int | None) -> None:
    task, loader = language_model(name), Streams(text(60), STREAMS, k)
    (batch,) = loader
    expected, _ = whole(task, loader)
    for one, two in zip(gradients(task, summed(task, batch)), gradients(task, expected), strict=True):
        torch.testing.assert_close(one, two, **EXACT)


@pytest.mark.parametrize(("k", "s"), CUTS)
@pytest.mark.parametrize("name", NETWORKS)
def test_after_all_windows_loss_and_state_are_those_of_one_pass(name: str, k: int | None, s: int | None) -> None:
    task, loader = language_model(name), Streams(text(62), STREAMS, k, s)  # streams of 21, 20 and 20 steps
    expected, states = whole(task, loader)
    losses = [summed(task, batch) for batch in loader]
    torch.testing.assert_close(torch.stack(losses).sum(), expected, **EXACT)
    for part, reference in zip(task.carried.states[task.training], states, strict=True):
        for one, two in zip(part, reference, strict=True):
            torch.testing.assert_close(one, two, rtol=0, atol=0 if one.dtype == torch.int64 else 1e-10)
            assert not one.requires_grad


@pytest.mark.parametrize(("k", "s"), [(1, 1), (3, 1), (4, 1), (3, 3), (5, 2), (6, 4)])
def test_of_a_linear_network_the_gradient_is_the_last_terms_of_the_series(k: int, s: int) -> None:
    """h_t = W h_{t−1} + x_t, so ∂(vᵀ h_t)/∂W = Σ_j (Wᵀ)^j v h_{t−1−j}ᵀ, over the steps j that a window holds."""
    torch.manual_seed(1)
    steps, width = 13, 3
    cell = VanillaCell(width, width, "identity").double()
    with torch.no_grad():
        cell.weight_input.copy_(torch.eye(width))
        cell.bias.zero_()
    x, weight = torch.randn(steps, width, dtype=torch.float64), cell.weight_recurrent
    hidden = [torch.zeros(width, dtype=torch.float64)]
    for step in x:
        hidden.append(weight.detach() @ hidden[-1] + step)
    v = torch.randn(width, dtype=torch.float64)
    split = tagged(x.float().numpy(), np.array([0, steps]), np.zeros(steps, np.int32))
    network = SequenceEncoder(nn.Identity(), Recurrent(lambda *_: cell, width, width, 1, False), nn.Identity(), "final")
    carried = CarriedState()
    for number, batch in enumerate(Buckets(split, TAGGED, ("inputs",), 1, None, k, s)):
        begin = max(0, (number + 1) * s - k)
        inputs = x[None, begin : begin + batch.mask.shape[1]]  # of double precision
        output = carried.read(network, inputs, batch, True)
        expected = torch.zeros_like(weight)
        for t in range(number * s, min((number + 1) * s, steps)):
            for j in range(t - begin + 1):
                expected += torch.outer(torch.linalg.matrix_power(weight.detach().T, j) @ v, hidden[t - j])
        (found,) = torch.autograd.grad((output[0][batch.mask[0]] @ v).sum(), weight)
        torch.testing.assert_close(found, expected, **EXACT)


@pytest.mark.parametrize(("k", "s"), [(3, 3), (5, 2), (8, 8), (None, None)])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_document_begins_with_a_state_of_its_own_wherever_it_lies(name: str, k: int | None, s: int | None) -> None:
    """The documents of one stream begin in the middle of windows; the other rows go on."""
    opens = (0, 4, 23, 24, 30, 51)
    task, split = language_model(name), text(61, opens)
    loader = Streams(split, STREAMS, k, s, "document")  # 20 steps each
    losses = torch.stack([summed(task, batch) for batch in loader]).sum()
    expected = torch.zeros((), dtype=torch.float64)
    tokens = torch.from_numpy(split["inputs"].values.astype(np.int64))
    for begin, end in ((0, 4), (4, 20), (20, 23), (23, 24), (24, 30), (30, 40), (40, 51), (51, 60)):
        inputs, targets = tokens[None, begin:end], tokens[begin + 1 : end + 1]
        features, _ = task.network.network(inputs, torch.tensor([end - begin]), task.network.network.initial_state(1))
        expected = expected + task.network.network.losses(features[0], targets).sum()
    torch.testing.assert_close(losses, expected, **EXACT)


@pytest.mark.parametrize("reset", ["epoch", "never", "document"])
def test_an_epoch_goes_on_with_the_state_of_the_one_before_it_only_if_asked_to(reset: Reset) -> None:
    task, loader = language_model("LSTMCell"), Streams(text(62, (0,)), STREAMS, 4, 4, reset)
    first = [summed(task, batch).item() for batch in loader]
    left = [part.clone() for part in task.carried.states[True][0]]
    second = [summed(task, batch).item() for batch in loader]
    assert (first == second) == (reset != "never")
    if reset == "never":
        inputs = next(iter(Streams(text(62), STREAMS, 4))).sequence("inputs").values
        features, _ = task.network.network(inputs, torch.full((STREAMS,), 4), (cells.LSTMState(*left),))
        targets = next(iter(loader)).sequence("targets").values
        losses = task.network.network.losses(features.flatten(0, 1), targets.flatten())
        assert second[0] == pytest.approx(losses.sum().item())


@pytest.mark.parametrize(("k", "s"), [(1, 1), (3, 3), (5, 2), (100, 100)])
@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "feed-forward"])
def test_tags_and_numbers_of_long_sequences_are_those_of_one_pass(name: str, k: int, s: int) -> None:
    lengths = np.array([3, 11, 7, 1, 16])
    offsets, total, draw = np.cumsum([0, *lengths]), int(lengths.sum()), np.random.default_rng(0)
    vectors = draw.normal(size=(total, 2)).astype(np.float32)
    torch.manual_seed(0)
    inputs = nn.Linear(2, 2).double()
    labels_of = TaggerNetwork(encoder(name, Doubled(inputs), 2), SoftmaxOutput(4, 2).double(), TAGGED)
    tagger = Tagger(labels_of, TaggerOptions(unknown_rate=0.0), None, 100)
    number_of = RegressorNetwork(encoder(name, Doubled(inputs), 2), SERIES)
    regressor = Regressor(number_of, RegressorOptions(), None, 100).double()
    labels, targets = draw.integers(0, 2, total).astype(np.int32), draw.normal(size=5).astype(np.float32)
    for task, split in (
        (tagger, tagged(vectors, offsets, labels)), (regressor, series(vectors, offsets, targets)),
    ):  # fmt: skip
        (full,) = Buckets(split, task.spec, ("inputs",), 5, None)
        windows = list(Buckets(split, task.spec, ("inputs",), 5, None, k, s))
        assert len(windows) == -(-16 // s) if k < 16 else len(windows) == 1
        found = torch.stack([summed(task, batch) for batch in windows]).sum()
        torch.testing.assert_close(found, summed(task, full), **EXACT)
        counts = sum(int(task.scores(batch, evaluating=False).mask.sum()) for batch in windows)
        assert counts == (total if task is tagger else 5)


class Doubled(nn.Module):
    """Vectors, which files hold in single precision, in double."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear

    def forward(self, vectors: Tensor) -> Tensor:
        result: Tensor = self.linear(vectors.double())
        return result


def test_a_window_without_a_target_has_no_loss_and_no_gradient() -> None:
    torch.manual_seed(0)
    network = RegressorNetwork(encoder("GRUCell", Doubled(nn.Linear(2, 2).double()), 2), SERIES)
    regressor = Regressor(network, RegressorOptions(), None, 100).double()
    vectors, targets = np.ones((9, 2), np.float32), np.ones(1, np.float32)
    split = series(vectors, np.array([0, 9]), targets)
    first, *_, last = Buckets(split, SERIES, ("inputs",), 1, None, 4)
    loss = regressor.training_step(first, 0)
    assert loss.item() == 0
    assert all(not gradient.any() for gradient in gradients(regressor, loss))
    assert any(gradient.any() for gradient in gradients(regressor, regressor.training_step(last, 1)))


@pytest.mark.parametrize("training", [True, False])
def test_training_and_evaluation_keep_their_states_apart(training: bool) -> None:
    task, loader = language_model("LSTMCell"), Streams(text(62), STREAMS, 4)
    task.train(training)
    batches = list(loader)
    summed(task, batches[0])
    kept = [part.clone() for part in task.carried.states[training][0]]
    task.train(not training)
    for batch in batches:
        summed(task, batch)
    assert all(torch.equal(a, b) for a, b in zip(kept, task.carried.states[training][0], strict=True))


CASES = list(product(range(5), (1, 2, 3)))


@pytest.mark.parametrize(("seed", "streams"), CASES)
def test_a_loader_goes_on_from_the_place_that_was_saved(seed: int, streams: int) -> None:
    lengths = np.random.default_rng(seed).integers(1, 9, 23)
    offsets = np.cumsum([0, *lengths])
    tokens = np.arange(offsets[-1], dtype=np.int32)
    split = Split("train", {"inputs": Column(tokens, offsets)})
    buckets = partial(Buckets, split, WORDS, ("inputs",), streams, seed, 3, 2)
    for make in (partial(Streams, split, streams, 3, 2), buckets):
        loader, reference = make(), make()
        epochs = [batch.sequence("inputs").values for _ in range(3) for batch in reference]
        stop = int(np.random.default_rng(seed).integers(1, len(epochs)))
        read: list[Tensor] = []
        while len(read) < stop:
            for batch in loader:
                read.append(batch.sequence("inputs").values)
                if len(read) == stop:
                    break
        other = make()
        other.load_state_dict(loader.state_dict())
        while len(read) < len(epochs):
            for batch in other:
                read.append(batch.sequence("inputs").values)
                if len(read) == len(epochs):
                    break
        assert all(torch.equal(one, two) for one, two in zip(read, epochs, strict=True))


def test_losses_are_what_torch_says() -> None:
    task, loader = language_model("LSTMCell"), Streams(text(31), 2, 6)
    for batch in loader:
        state = task.carried.states.get(True) or task.network.network.initial_state(2)
        features, _ = task.network.network(*batch.sequence("inputs"), state)
        logits = task.network.network.logits(features.flatten(0, 1))
        expected = F.cross_entropy(logits, batch.sequence("targets").values.flatten(), reduction="none")
        torch.testing.assert_close(task.scores(batch, False).losses.flatten(), expected, **EXACT)
