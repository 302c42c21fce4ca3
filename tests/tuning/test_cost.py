"""Formulas of cost against what they stand for: counted weights, counted products, measured memory."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
import torch
from cells.test_cells import VARIANTS
from networks.test_scan import OwnCell
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from unroll.cells import Cell
from unroll.config import Config, compose
from unroll.config.architectures import RecurrentConfig, cell_files
from unroll.config.compose import check
from unroll.data.batch import Batch, DataSpec, Window
from unroll.errors import BadInput
from unroll.experiment import build_task
from unroll.networks import scan
from unroll.networks.recurrent import RecurrentLayer
from unroll.tuning import parts
from unroll.tuning.cost import flops, memory, parameters
from unroll.tuning.parts import CHARACTERS, layer

CONF = Path(__file__).parent.parent.parent / "conf"
ROWS, STEPS = 2, 4
WORDS = DataSpec(11, ("N", "V", "D", "A"), 0, 0, 1, (), "words", 9, 5, None)
SERIES = DataSpec(0, (), 2, 0, 1, (), "steps", 0, 0, None)
EXPERIMENTS = {  # each task, with the experiment that it is tried on
    "regressor": ["experiment=adding"],
    "tagger": ["experiment=tagging", "data.probe=null", "data.vectors=glove.txt"],
    "language_model": ["experiment=grammar", "data.probe=null", "data.contrast=null", "data.vectors=glove.txt"],
    "cloze": ["experiment=grammar", "data.probe=null", "data.contrast=null", "data.vectors=glove.txt", "task=cloze",
              "training.truncation_length=null"],
}  # fmt: skip
SMALL = {"hidden_size": 7, "embedding_size": 6}
RECURRENT: list[dict[str, Any]] = [
    {"layers": 2}, {"layers": 3, "layer_norm": True}, {"learned_state": True}, {"weight_dropout": 0.5},
    {"layers": 2, "layer_norm": True, "learned_state": True, "initializer": "orthogonal", "variational": True},
    *({"readout": readout} for readout in ("last", "mean", "max")),
]  # fmt: skip
ANY: list[dict[str, Any]] = [
    {}, {"dropout": 0.5}, {"hidden_size": 1}, {"hidden_size": 6}, {"hidden_size": 3}, {"hidden_size": 40},
    {"inputs": "one_hot"}, {"inputs": "vectors"}, {"inputs": "frozen_vectors"},
]  # fmt: skip
OWN: dict[str, list[dict[str, Any]]] = {
    "recurrent": ANY + RECURRENT,
    "convolutional": [*ANY, {"layers": 1}, {"layers": 4, "kernel_width": 3}],
    "feedforward": [*ANY, {"order": 2}, {"order": 3, "direct": False}, {"direct": False, "hidden_size": 6}],
    "ngram": [{}, {"order": 2}],
}


@pytest.fixture(scope="module")
def runs() -> dict[tuple[str, str], Config]:
    """Every task with every arch that can do it, as the settings know."""
    kinds, found = {}, {}
    for name in sorted(path.stem for path in (CONF / "arch").glob("*.yaml")):
        experiment = "grammar" if name in ("ngram", "feedforward") else "tagging"
        kinds[name] = compose([f"experiment={experiment}", f"arch={name}"], CONF).model_dump(mode="json")["arch"]
    for task, overrides in EXPERIMENTS.items():
        settings = compose([*overrides, "arch=lstm"], CONF).model_dump(mode="json")
        for name, arch in kinds.items():
            with contextlib.suppress(BadInput):
                found[task, name] = check({**settings, "arch": arch}, "a test")
    return found


def spec_of(config: Config) -> DataSpec:
    return SERIES if config.task.name == "regressor" else WORDS


def varied(config: Config, **changes: Any) -> Config | None:
    """The run with other settings of its arch or, by ``tied``, of its task; None where they do not go together."""
    content = config.model_dump(mode="json")
    if "tied" in changes:
        content["task"]["tied"] = changes.pop("tied")
    size = {} if config.arch.network == "ngram" else SMALL
    try:
        return check({**content, "arch": {**content["arch"], **size, **changes}}, "a test")
    except BadInput:
        return None


def variants(config: Config) -> Iterator[Config]:
    """The run with every setting that changes a size."""
    tied: list[dict[str, Any]] = [{"tied": True}, {"tied": False}] if hasattr(config.task, "tied") else [{}]
    for changes in OWN[config.arch.network]:
        for both in tied:
            run = varied(config, **changes, **both)
            if run is not None:
                yield run


def counted(config: Config) -> int:
    return sum(parameter.numel() for parameter in build_task(config, spec_of(config)).parameters())


# ---- parameters


def test_every_arch_every_task_and_every_cell_is_tried(runs: dict[tuple[str, str], Config]) -> None:
    assert {arch for _, arch in runs} == {path.stem for path in (CONF / "arch").glob("*.yaml")}
    assert {task for task, _ in runs} == {path.stem for path in (CONF / "task").glob("*.yaml")}
    assert {run.arch.network for run in runs.values()} == set(OWN)
    cells = {run.arch.cell for run in runs.values() if isinstance(run.arch, RecurrentConfig)}
    assert cells == set(cell_files())
    for network, changes in OWN.items():  # a setting that goes with nothing would try nothing
        for change in changes:
            tried = [varied(run, **change, **tied) for run in runs.values() if run.arch.network == network
                     for tied in ([{"tied": False}] if hasattr(run.task, "tied") else [{}])]  # fmt: skip
            assert any(tried) or (network, change) == ("feedforward", {"inputs": "one_hot"}), (network, change)


def test_parameters_are_those_that_are_counted(runs: dict[tuple[str, str], Config]) -> None:
    compared = 0
    for config in runs.values():
        for run in variants(config):
            assert parameters(run, spec_of(run)) == counted(run), run.dump()
            compared += 1
    assert compared > 500


def test_tied_weights_are_counted_once(runs: dict[tuple[str, str], Config]) -> None:
    run = runs["language_model", "lstm"]
    alone, tied = (varied(run, hidden_size=6, tied=tied) for tied in (False, True))
    assert alone is not None and tied is not None
    assert parameters(alone, WORDS) - parameters(tied, WORDS) == 11 * 6
    assert flops(alone, WORDS) == flops(tied, WORDS)


class LowRankCell(OwnCell):
    """A cell of one's own with weights that none of the others has: W as a product, and a gain for each input."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.weight_narrow = nn.Parameter(torch.zeros(2 * hidden_size, 3))
        self.gain, self.threshold = nn.Parameter(torch.zeros(input_size)), nn.Parameter(torch.zeros(()))


class CubicCell(OwnCell):
    """A cell of one's own that is tensor-valued."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.weight_tensor = nn.Parameter(torch.zeros(hidden_size, hidden_size, hidden_size))


CELLS: dict[str, Callable[[int, int], Cell]] = {name: variant.build for name, variant in VARIANTS.items()}


@pytest.mark.parametrize("learned_state", [False, True], ids=["zero", "learned"])
@pytest.mark.parametrize("layer_norm", [False, True], ids=["plain", "normalized"])
@pytest.mark.parametrize("cell", [*CELLS, "own", "low-rank"])
def test_the_polynomial_of_tiny_cells_holds_for_wide_ones(cell: str, layer_norm: bool, learned_state: bool) -> None:
    make = {**CELLS, "own": OwnCell, "low-rank": LowRankCell}[cell]
    for width, size in ((5, 17), (23, 6), (40, 64), (1, 30), (30, 1)):
        made = make(width, size)
        if layer_norm:
            made.normalize()
        whole = RecurrentLayer(made, False, learned_state)
        cost = layer(make, (), width, size, layer_norm, learned_state)
        assert cost.parameters == sum(weight.numel() for weight in whole.parameters())
        assert cost.products == sum(weight.numel() for weight in made.parameters() if weight.dim() > 1)


def test_a_cell_of_no_such_polynomial_is_refused() -> None:
    with pytest.raises(BadInput, match="CubicCell do not grow"):
        layer(CubicCell, (), 5, 6, False, False)


def test_a_cost_draws_no_random_number(runs: dict[tuple[str, str], Config]) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    parts._counted.cache_clear()  # cells that were counted before would not be built
    parameters(runs["tagger", "bilstm-bichars-crf"], WORDS)
    assert torch.equal(torch.rand(2), expected)


def test_an_argument_that_the_cell_refuses_is_told(runs: dict[tuple[str, str], Config]) -> None:
    irnn = runs["regressor", "irnn"]
    arch = irnn.arch.model_copy(update={"cell_arguments": {"scale": "much"}})  # a cell of one's own may state no types
    run = irnn.model_copy(update={"arch": arch})
    with pytest.raises(BadInput, match=r"arch\.cell=irnn refuses"):
        parameters(run, SERIES)


# ---- operations


def batch_of(config: Config, spec: DataSpec, rows: int, steps: int) -> Batch:
    """Sequences without padding, each token a form of its own of as many characters as the formula takes it to have."""
    draw = torch.Generator().manual_seed(0)
    inputs: Tensor = torch.rand(rows, steps, 2, generator=draw)
    targets: Tensor = torch.rand(rows, generator=draw)
    if config.task.name != "regressor":
        inputs = torch.randint(2, spec.vocabulary_size, (rows, steps), generator=draw)
        targets = inputs % len(spec.labels) if config.task.name == "tagger" else inputs.roll(1, 1)
    mask, left = torch.ones(rows, steps, dtype=torch.bool), torch.full((rows,), steps)
    characters = torch.randint(2, 9, (rows * steps, CHARACTERS), generator=draw)
    forms = torch.arange(rows * steps).view(rows, steps)
    window = Window(True, steps, rows, left, None) if config.task.name == "language_model" else None
    spelled = (forms, characters, torch.full((len(characters),), CHARACTERS))
    return Batch(inputs, targets, left, mask, None, None, *spelled, window, rows * steps)


def prepared(config: Config, spec: DataSpec, rows: int, steps: int) -> tuple[Any, Batch]:
    return build_task(config, spec).train(), batch_of(config, spec, rows, steps)


def products_of(config: Config) -> tuple[int, int]:
    """Operations of the matrix products of one step that torch counts, forwards and in all, but for those left out."""
    task, batch = prepared(config, spec_of(config), ROWS, STEPS)
    counts = []
    with FlopCounterMode(display=False) as counter:
        loss = task.training_step(batch, 0)
        counts.append(counter.get_flop_counts())
        loss.backward()
        counts.append(counter.get_flop_counts())
    sums = [{name: sum(by_kind.values()) for name, by_kind in count.items()} for count in counts]
    left_out = "Linear" if config.task.name == "regressor" else "LinearChainCRF"
    forward, every = (count["Global"] - count.get(left_out, 0) for count in sums)
    return forward, every


DEEP = {"layers": 2, "layer_norm": True, "dropout": 0.5}
MULTIPLIED: dict[str, list[dict[str, Any]]] = {  # settings by which other matrices are multiplied
    "recurrent": [{}, DEEP, {"inputs": "one_hot"}, {"hidden_size": 6}, {"hidden_size": 3}],
    "convolutional": OWN["convolutional"],
    "feedforward": OWN["feedforward"],
}


@pytest.mark.parametrize("arch", sorted(path.stem for path in (CONF / "arch").glob("*.yaml") if path.stem != "ngram"))
def test_flops_are_those_of_the_products_that_torch_counts(
    arch: str, runs: dict[tuple[str, str], Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "_way", lambda cell, inputs: "steps")  # what kernels multiply is not seen
    compared = 0
    for config in (run for (_, name), run in runs.items() if name == arch):
        for changes in MULTIPLIED[config.arch.network]:
            run = varied(config, **changes)
            if run is None:
                continue
            told, (forward, every) = flops(run, spec_of(run)) * ROWS * STEPS, products_of(run)
            assert 3 * forward == told, run.dump()
            # no gradient is formed by a first state of zeros, nor by what is read but not learned
            assert 2 * told <= 3 * every <= 3 * told, run.dump()
            if run.arch.network == "feedforward" and run.arch.inputs != "frozen_vectors":
                assert every == told
            compared += 1
    assert compared >= 4


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["lstm", "gru", "rnn"])
def test_the_operations_of_long_sequences_are_told_within_a_hundredth(
    arch: str, runs: dict[tuple[str, str], Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "_way", lambda cell, inputs: "steps")
    monkeypatch.setitem(globals(), "STEPS", 60)
    run = runs["language_model", arch]
    assert products_of(run)[1] == pytest.approx(flops(run, WORDS) * ROWS * STEPS, rel=0.01)


def test_ngrams_are_counted_and_cost_nothing(runs: dict[tuple[str, str], Config]) -> None:
    run = runs["language_model", "ngram"]
    assert parameters(run, WORDS) == flops(run, WORDS) == memory(run, WORDS, 1) == 0


# ---- memory


def sized(task: str, arch: str, hidden_size: int, vocabulary_size: int, *more: str) -> tuple[Config, DataSpec]:
    size = [f"recurrent.hidden_size={hidden_size}", f"recurrent.embedding_size={hidden_size // 2}"]
    config = compose([*EXPERIMENTS[task], f"arch={arch}", *size, *more], CONF)
    return config, replace(WORDS, vocabulary_size=vocabulary_size)


def peak(config: Config, spec: DataSpec, steps: int) -> int:
    """Bytes of all tensors at the worst moment of the second step of training, the weights included."""
    torch.manual_seed(0)
    task, batch = prepared(config, spec, config.training.batch_size, steps)
    optimizer = task.configure_optimizers()["optimizer"]
    task.training_step(batch, 0).backward()
    optimizer.step()
    optimizer.zero_grad()  # what is freed in the profile must have been taken in it
    held = sum(weight.nbytes for weight in task.parameters())
    held += sum(part.nbytes for state in optimizer.state.values() for part in state.values())
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as taken:
        task.training_step(batch, 0).backward()
        optimizer.step()
    assert taken.profiler is not None and taken.profiler.kineto_results is not None
    events = [event for event in taken.profiler.kineto_results.events() if event.name() == "[memory]"]
    in_time = sorted(events, key=lambda event: event.start_ns())
    return held + max(accumulate(event.nbytes() for event in in_time))


@pytest.mark.slow
@pytest.mark.parametrize("overrides", [[], ["recurrent.layers=2", "recurrent.dropout=0.5"],
                                       ["recurrent.layer_norm=true"]], ids=["plain", "deep", "normalized"])  # fmt: skip
@pytest.mark.parametrize(("hidden_size", "vocabulary_size"), [(160, 30), (32, 3000)])
@pytest.mark.parametrize("arch", ["lstm", "gru", "rnn", "peephole"])
def test_memory_is_told_within_a_factor_of_two(
    arch: str, hidden_size: int, vocabulary_size: int, overrides: list[str]
) -> None:
    run, spec = sized("language_model", arch, hidden_size, vocabulary_size, *overrides)
    assert 1 / 2 < peak(run, spec, 35) / memory(run, spec) < 2


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["bilstm-chars", "bilstm-bichars-crf", "lstm-feedback", "cnn"])
def test_memory_of_a_tagger_is_told_within_a_factor_of_two(arch: str) -> None:
    run, spec = sized("tagger", arch, 96, 1000)
    assert 1 / 2 < peak(run, spec, 35) / memory(run, spec, longest=35) < 2


def of_training(run: Config, **changes: Any) -> Config:
    content = run.model_dump(mode="json")
    return check({**content, "training": {**content["training"], **changes}}, "a test")


def test_frozen_vectors_have_neither_gradient_nor_moments(runs: dict[tuple[str, str], Config]) -> None:
    tuned, frozen = (varied(runs["tagger", "lstm"], inputs=inputs) for inputs in ("vectors", "frozen_vectors"))
    assert tuned is not None and frozen is not None
    assert parameters(tuned, WORDS) == parameters(frozen, WORDS)
    assert memory(tuned, WORDS, 9) - memory(frozen, WORDS, 9) == 3 * 4 * 11 * 5


def test_an_optimizer_costs_the_moments_that_it_keeps(runs: dict[tuple[str, str], Config]) -> None:
    run = runs["language_model", "gru"]
    sgd = {"name": "sgd", "learning_rate": 0.1, "weight_decay": 0.0}
    adamw, heavy, plain = (
        memory(of_training(run, optimizer=optimizer), WORDS)
        for optimizer in ({**sgd, "name": "adamw", "momentum": 0.0}, {**sgd, "momentum": 0.9}, {**sgd, "momentum": 0.0})
    )
    assert adamw - heavy == heavy - plain == 4 * parameters(run, WORDS)


def test_numbers_of_double_precision_are_twice_as_large(runs: dict[tuple[str, str], Config]) -> None:
    run = runs["language_model", "gru"]
    assert memory(of_training(run, precision="64"), WORDS) == 2 * memory(run, WORDS)


def test_activations_are_those_of_one_batch_of_one_process(runs: dict[tuple[str, str], Config]) -> None:
    run = of_training(runs["language_model", "gru"], batch_size=5, truncation_length=20)
    weights = 4 * 4 * parameters(run, WORDS)
    shared, short = of_training(run, devices=2), of_training(run, truncation_length=10)
    assert 5 * (memory(shared, WORDS) - weights) == 3 * (memory(run, WORDS) - weights)
    assert 2 * (memory(short, WORDS) - weights) == memory(run, WORDS) - weights
    assert memory(run, WORDS, longest=10) == memory(short, WORDS)
    assert memory(run, WORDS, longest=100) == memory(run, WORDS)


def test_memory_is_not_told_of_sequences_of_unknown_length(runs: dict[tuple[str, str], Config]) -> None:
    with pytest.raises(BadInput, match=r"set training\.truncation_length"):
        memory(runs["tagger", "bilstm"], WORDS)
