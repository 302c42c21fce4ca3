"""Memories and bridges: every source can be read, and starts every decoder."""

from __future__ import annotations

import math
from itertools import product
from typing import Any, NamedTuple

import pytest
import torch
from cells.test_cells import EXACT, draw, randomized
from networks.decoders import CELLS, EMBEDDING, SCORES, SYMBOLS, awake
from torch import Tensor, nn

from unroll.cells import Cell, GRUCell, LSTMCell
from unroll.errors import BadInput
from unroll.networks.bridge import BRIDGES, Bridge
from unroll.networks.convolutional import ConvolutionalEncoder
from unroll.networks.decoder import Decoder
from unroll.networks.encoder import SequenceEncoder
from unroll.networks.memory import MEMORIES, CategoryMemory, Memory, SequenceMemory, VectorMemory
from unroll.networks.readout import READOUTS, finals, maximum, mean
from unroll.networks.recurrent import Recurrent
from unroll.networks.wiring import Wiring

INPUT, HIDDEN, LENGTHS = 3, 4, [4, 1, 6]

each_summary = pytest.mark.parametrize("summary", READOUTS)


def recurrent_memory(
    summary: str = "final", cell: str = "lstm", layers: int = 1, bidirectional: bool = False
) -> SequenceMemory:
    torch.manual_seed(3)
    recurrent = Recurrent(CELLS[cell], INPUT, HIDDEN, layers, bidirectional)
    return SequenceMemory(SequenceEncoder(nn.Identity(), recurrent, nn.Dropout(0.0), None), summary)


def convolutional_memory(summary: str = "final") -> SequenceMemory:
    torch.manual_seed(3)
    return SequenceMemory(ConvolutionalEncoder(nn.Identity(), INPUT, HIDDEN, 2, 3, 0.0), summary)


ENCODERS = {
    f"{cell}-{layers}x{1 + both}": (cell, layers, both) for cell, layers, both in product(CELLS, (1, 2), (False, True))
}
SOURCES = ["lstm-1x1", "gru-after-2x2", "own-1x2", "convolutional", "category", "vector"]


def reader(name: str, summary: str = "final") -> nn.Module:
    """What reads a source, in double precision."""
    torch.manual_seed(3)
    if name == "category":
        made: nn.Module = CategoryMemory(6, HIDDEN)
    elif name == "vector":
        made = VectorMemory(HIDDEN)
    else:
        made = convolutional_memory(summary) if name == "convolutional" else recurrent_memory(summary, *ENCODERS[name])
    return awake(randomized(made.double()))  # type: ignore[no-any-return]


def padded(total: int, garbage: float, which: list[int] | None = None) -> tuple[Tensor, Tensor]:
    """The same three sources with ``garbage`` beyond their lengths."""
    which = [0, 1, 2] if which is None else which
    inputs = torch.full((len(which), total, INPUT), garbage, dtype=torch.float64)
    for row, b in enumerate(which):
        inputs[row, : LENGTHS[b]] = draw(LENGTHS[b], INPUT, seed=50 + b)
    return inputs, torch.tensor([LENGTHS[b] for b in which])


def read(name: str, made: nn.Module) -> Memory:
    """A memory of three sources."""
    if name == "category":
        found = made(torch.tensor([5, 0, 3]))
    else:
        found = made(draw(3, HIDDEN)) if name == "vector" else made(*padded(7, float("nan")))
    assert isinstance(found, Memory)
    return found


def test_everything_that_makes_a_memory_is_covered_here() -> None:
    assert {type(reader(name)) for name in SOURCES} == set(MEMORIES.values())
    assert {ENCODERS[name][0] for name in ENCODERS} == set(CELLS)


@each_summary
@pytest.mark.parametrize("name", ["lstm-1x2", "irnn-2x1", "own-2x2", "convolutional"])
def test_alone_equals_batched_equals_more_padding_forwards_and_backwards(name: str, summary: str) -> None:
    made = reader(name, summary)

    def measured(total: int, garbage: float, which: list[int]) -> tuple[list[Tensor], list[Tensor]]:
        found = made(*padded(total, garbage, which))
        real = [found.features[row, : LENGTHS[b]] for row, b in enumerate(which)]
        loss = sum((part * draw(*part.shape, seed=60 + b)).sum() for part, b in zip(real, which, strict=True))
        loss = loss + sum(
            (found.summary[row] * draw(found.summary.shape[1], seed=70 + b)).sum() for row, b in enumerate(which)
        )
        return [*real, *found.summary], list(torch.autograd.grad(loss, list(made.parameters())))

    alone = [measured(LENGTHS[b], 0.0, [b]) for b in range(3)]
    gradients = [sum(parts) for parts in zip(*(found[1] for found in alone), strict=True)]
    values = [found[0][0] for found in alone] + [found[0][1] for found in alone]
    for total, garbage in ((6, 1e3), (6, float("nan")), (9, float("inf"))):
        found, by_parameters = measured(total, garbage, [0, 1, 2])
        for one, two in zip([*found, *by_parameters], [*values, *gradients], strict=True):
            torch.testing.assert_close(one, two, **EXACT)


def test_summaries_are_readouts_of_the_features() -> None:
    lengths = torch.tensor(LENGTHS)
    for name, expected in (
        ("final", lambda features: finals(features, lengths, HIDDEN)),
        ("mean", lambda features: mean(features, lengths)),
        ("max", lambda features: maximum(features, lengths)),
        ("last", lambda features: torch.stack([row[n - 1] for row, n in zip(features, LENGTHS, strict=True)])),
    ):  # fmt: skip
        found = read("lstm-2x2", reader("lstm-2x2", name))
        assert torch.equal(found.summary, expected(found.features))
        assert torch.equal(found.lengths, lengths)


def test_categories_and_vectors_are_memories_of_one_step() -> None:
    made = reader("category")
    found = read("category", made)
    assert isinstance(made, CategoryMemory)
    assert torch.equal(found.summary, made.embedding.weight[[5, 0, 3]])
    assert torch.equal(found.features, found.summary[:, None])
    assert found.lengths.tolist() == [1, 1, 1]
    vectors = draw(2, HIDDEN)
    assert torch.equal(VectorMemory(HIDDEN)(vectors).summary, vectors)


def test_an_unknown_summary_is_refused() -> None:
    with pytest.raises(BadInput, match=r"no summary of a source 'fianl' \(did you mean final\?\)"):
        recurrent_memory("fianl")


class TwoParts(NamedTuple):
    """A state of parts of different shapes."""

    hidden: Tensor
    matrix: Tensor


class MatrixCell(Cell):
    """A cell with a matrix beside its output."""

    def initial_state(self, batch_size: int) -> TwoParts:
        return TwoParts(self._zeros(batch_size), self.bias.new_zeros(batch_size, 2, 3))

    def step(self, projected: Tensor, state: TwoParts) -> tuple[Tensor, TwoParts]:
        moved = torch.tanh(projected + self.recur(state.hidden) + state.matrix.sum((1, 2))[:, None])
        return moved, TwoParts(moved, torch.tanh(state.matrix + moved[:, :1, None]))


class Counted(NamedTuple):
    """A state with an integer."""

    hidden: Tensor
    steps: Tensor


class CountingCell(Cell):
    """A cell that counts its steps."""

    def initial_state(self, batch_size: int) -> Counted:
        return Counted(self._zeros(batch_size), torch.zeros(batch_size, dtype=torch.long))

    def step(self, projected: Tensor, state: Counted) -> tuple[Tensor, Counted]:
        moved = torch.tanh((projected + self.recur(state.hidden)) / (1 + state.steps[:, None]))
        return moved, Counted(moved, state.steps + 1)


def network(cell: Any = LSTMCell, layers: int = 2, width: int = EMBEDDING, **settings: Any) -> Recurrent:
    torch.manual_seed(4)
    return Recurrent(cell, width, HIDDEN, layers, False, **settings).double()


def bridge(name: str, size: int, recurrent: Recurrent) -> Bridge:
    torch.manual_seed(6)
    return BRIDGES[name](size, recurrent.initial_state(1)).double()


def flat(state: tuple[Any, ...]) -> list[Tensor]:
    return [part for cell in state for part in cell]


@pytest.mark.parametrize("cell", [*CELLS.values(), MatrixCell], ids=[*CELLS, "matrix"])
def test_the_linear_bridge_equals_a_loop_over_layers_parts_and_numbers(cell: Any) -> None:
    recurrent, summary = network(cell), draw(3, 5)
    made = bridge("linear", 5, recurrent)
    found = made(summary, recurrent.initial_state(3))
    zero = recurrent.initial_state(3)
    assert [type(part) for part in found] == [type(part) for part in zero]
    weight, bias, row = made.linear.weight.tolist(), made.linear.bias.tolist(), 0
    for part, like in zip(flat(found), flat(zero), strict=True):
        assert part.shape == like.shape
        for n in range(like[0].numel()):
            for b in range(3):
                sum_ = sum(w * c for w, c in zip(weight[row], summary[b].tolist(), strict=True)) + bias[row]
                assert part[b].flatten()[n].item() == pytest.approx(math.tanh(sum_), abs=1e-10)
            row += 1
    assert row == len(weight)


def test_the_bridge_copy_hands_the_summary_to_each_part_of_each_layer() -> None:
    recurrent, summary = network(), draw(3, HIDDEN)
    parts = flat(bridge("copy", HIDDEN, recurrent)(summary, recurrent.initial_state(3)))
    assert len(parts) == 4
    assert all(torch.equal(part, summary) for part in parts)


def test_the_bridge_zero_is_the_initial_state_learned_or_not() -> None:
    for learned in (False, True):
        recurrent = network(learned_state=learned)
        for layer in recurrent.layers:
            for part in layer.start:
                part.data += 1.0
        parts = flat(bridge("zero", 5, recurrent)(draw(3, 5), recurrent.initial_state(3)))
        assert all(torch.equal(part, torch.full_like(part, float(learned))) for part in parts)


@pytest.mark.parametrize(("name", "cell", "size", "sentence"), [
    ("copy", LSTMCell, 5, "summary of 5 numbers cannot be copied to the part hidden of the state of decoder layer 1, "
                          "which has 4; choose the bridge linear"),
    ("copy", MatrixCell, HIDDEN, "part matrix of the state of decoder layer 1, which has 2 × 3; choose"),
    ("copy", CountingCell, HIDDEN, r"part steps of the state of decoder layer 1 is of torch.int64.*bridge zero"),
    ("linear", CountingCell, 5, r"part steps of the state of decoder layer 1 is of torch.int64.*bridge zero"),
])  # fmt: skip
def test_a_bridge_that_cannot_be_is_refused_in_a_sentence(name: str, cell: Any, size: int, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        bridge(name, size, network(cell))


def test_the_first_state_has_full_precision_under_autocast() -> None:
    for name in ("copy", "linear"):
        recurrent = network().float()
        made = bridge(name, HIDDEN, recurrent).float()
        with torch.autocast("cpu", torch.bfloat16):
            summary = (draw(3, HIDDEN).float() @ torch.eye(HIDDEN)).requires_grad_()
            assert summary.dtype == torch.bfloat16
            assert {part.dtype for part in flat(made(summary, recurrent.initial_state(3)))} == {torch.float32}


def decoder_of(made: nn.Module, wiring: Wiring, score: str, cell: Any, layers: int, name: str) -> Decoder:
    size: Any = made.feature_size
    sizes = wiring.input_sizes(EMBEDDING, size, size, HIDDEN)
    recurrent = network(cell, layers, sum(sizes))
    attending = SCORES[score](HIDDEN, size) if wiring.attends else None
    first = BRIDGES[name](size, recurrent.initial_state(1))
    embedding = nn.Embedding(SYMBOLS, EMBEDDING)
    decoder = Decoder(embedding, recurrent, wiring, first, attending, size, size, nn.Dropout(0.0))
    return awake(randomized(decoder.double()))  # type: ignore[no-any-return]


DECODERS: list[tuple[Wiring, str, str]] = [
    (Wiring("start"), "additive", "linear"), (Wiring("every_step"), "additive", "zero"),
    (Wiring("both"), "additive", "linear"), (Wiring("attention", "before"), "additive", "linear"),
    (Wiring("attention", "after", True), "general", "zero"), (Wiring("attention", "after"), "local", "linear"),
    (Wiring("attention", "before", True), "monotonic", "linear"), (Wiring("attention", "after"), "coverage", "linear"),
]  # fmt: skip


def assert_starts_and_trains(source: str, wiring: Wiring, score: str, name: str, cell: Any, layers: int) -> None:
    made = reader(source).train()
    decoder = decoder_of(made, wiring, score, cell, layers, name).train()
    symbols, lengths = torch.tensor([[1, 2, 3, 0], [4, 0, 0, 0], [6, 5, 4, 3]]), torch.tensor([3, 1, 4])
    features, weights = decoder.whole(symbols, lengths, decoder.start(read(source, made)))
    assert features.shape == (3, 4, HIDDEN)
    assert (weights is not None) == wiring.attends
    real = torch.arange(4) < lengths[:, None]
    loss = (features * draw(3, 4, HIDDEN))[real].sum()
    parameters = dict(made.named_parameters(prefix="source")) | dict(decoder.named_parameters())
    gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    # a category or a vector is one step, on which all attention has the same weight
    flat_weights = source in ("category", "vector") or score == "local"
    for key, gradient in zip(parameters, gradients, strict=True):
        reaches = gradient is not None and bool(gradient.isfinite().all()) and bool(gradient.any())
        assert reaches or (key.startswith("attention") and flat_weights), key


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(("wiring", "score", "name"), DECODERS)
def test_every_source_starts_and_trains_every_decoder(source: str, wiring: Wiring, score: str, name: str) -> None:
    assert_starts_and_trains(source, wiring, score, name, GRUCell, 2)


@pytest.mark.slow
@pytest.mark.parametrize("source", [*ENCODERS, "convolutional"])
@pytest.mark.parametrize(("wiring", "score", "name"), DECODERS)
def test_every_encoder_starts_and_trains_every_decoder(source: str, wiring: Wiring, score: str, name: str) -> None:
    for number, cell in enumerate(CELLS.values()):
        layers = 1 + number % 2
        assert_starts_and_trains(source, wiring, score, name, cell, layers)


def test_an_encoder_of_equal_size_is_copied_into_a_decoder() -> None:
    made = reader("lstm-1x1")
    decoder = decoder_of(made, Wiring("both"), "additive", LSTMCell, 2, "copy")
    found = read("lstm-1x1", made)
    running = decoder.start(found)
    assert all(torch.equal(part, found.summary) for part in flat(running.state))
