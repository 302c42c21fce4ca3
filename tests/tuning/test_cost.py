"""Costs that are counted without numbers, against the real network: its weights, its products, its memory."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
import torch
from networks.test_scan import OwnCell
from processes import some_slow
from torch import Tensor, nn
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from unroll.cells import Cell, HiddenState
from unroll.config import Config, compose
from unroll.config.blocks import EmbeddingConfig, RecurrentConfig
from unroll.config.compose import check, finished
from unroll.config.origin import Origin
from unroll.data.batch import Batch, DataSpec, FieldSpec, Padded, Part, Spelled, Window
from unroll.errors import BadInput
from unroll.experiment import build_task, cells
from unroll.networks import output, scan
from unroll.plugins import parts
from unroll.tuning import cost
from unroll.tuning.cost import CHARACTERS, flops, memory, parameters

pytestmark = pytest.mark.xdist_group("cost")  # one worker, so that every run is composed once
CONF = Path(__file__).parent.parent.parent / "conf"
ROWS, STEPS = 2, 4
LABELS = ("N", "V", "D", "A")
WORDS = {
    "inputs": FieldSpec(11, unit="words", vector_size=5), "labels": FieldSpec(len(LABELS), LABELS, padding_index=-1),
    "spelling": FieldSpec(9),
}  # fmt: skip
SERIES = {"inputs": FieldSpec(2), "target": FieldSpec(1)}
SYMBOLS = ("[PAD]", "[UNK]", "[EOS]", *"0123456789")
PAIRS = {"source": FieldSpec(13, SYMBOLS, "characters"), "target": FieldSpec(9, SYMBOLS[:9], "words")}
EXPERIMENTS = {  # each task, with the experiment that it is tried on
    "regressor": ["experiment=adding"],
    "tagger": ["experiment=tagging", "data.reader={name: conllu}", "data.vectors=glove.txt"],
    "language_model": ["experiment=grammar", "data.reader={name: conllu}", "data.vectors=glove.txt"],
    "cloze": ["experiment=grammar", "data.reader={name: conllu}", "data.vectors=glove.txt", "task=cloze",
              "training.truncation_length=null"],
    "transducer": ["data=numbers", "task=transducer"],
}  # fmt: skip
SMALL = {"encoder.hidden_size": 7, "inputs.size": 6, "decoder.hidden_size": 7}
RECURRENT: list[dict[str, Any]] = [
    {"encoder.layers": 2}, {"encoder.layers": 3, "encoder.layer_norm": True}, {"encoder.learned_state": True},
    {"encoder.layers": 2, "encoder.layer_norm": True, "encoder.learned_state": True,
     "encoder.initializer": "orthogonal", "encoder.variational": True},
    {"encoder.weight_dropout": 0.5}, *({"encoder.readout": readout} for readout in ("last", "mean", "max")),
]  # fmt: skip
ANY: list[dict[str, Any]] = [
    {}, {"encoder.dropout": 0.5}, *({"encoder.hidden_size": size} for size in (1, 6, 3, 40)),
    {"inputs.name": "one_hot"}, *({"inputs.name": "vectors", "inputs.frozen": frozen} for frozen in (False, True)),
]  # fmt: skip
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "recurrent": ANY + RECURRENT,
    "convolutional": [*ANY, {"encoder.layers": 1}, {"encoder.layers": 4, "encoder.kernel_width": 3}],
    "feedforward": [
        *ANY,
        {"encoder.order": 2},
        {"encoder.order": 3, "encoder.direct": False},
        {"encoder.direct": False, "encoder.hidden_size": 6},
    ],
    "ngram": [{}, {"encoder.order": 2}],
}


@pytest.fixture(scope="module")
def runs() -> dict[tuple[str, str], Config]:
    """Every task with every arch that can do it, as the settings know."""
    found = {}
    for name in sorted(path.stem for path in (CONF / "arch").glob("*.yaml")):
        for task, overrides in EXPERIMENTS.items():
            with contextlib.suppress(BadInput):
                found[task, name] = compose([*overrides, f"arch={name}"], CONF)
    return found


def spec_of(config: Config) -> DataSpec:
    return {"regressor": SERIES, "transducer": PAIRS}.get(config.task.name, WORDS)


def varied(config: Config, **changes: Any) -> Config | None:
    """The run with other settings of its arch or, by ``tied``, of its task; None if they do not fit together."""
    content = config.model_dump(mode="json")
    if "tied" in changes:
        content["task"]["tied"] = changes.pop("tied")
    if "encoder.hidden_size" in changes and "decoder" in content["arch"]:
        changes["decoder.hidden_size"] = changes["encoder.hidden_size"]
    given = {f"arch.{key}": value for key, value in changes.items()}
    for key, value in {**SMALL, **changes}.items():
        block, _, name = key.partition(".")
        if key in changes or name in content["arch"].get(block, {}):
            content["arch"].setdefault(block, {})[name] = value
    try:
        return finished(content, Origin("a test", given))
    except BadInput:
        return None


def variants(config: Config) -> Iterator[Config]:
    """The run with every setting that changes a size."""
    tied: list[dict[str, Any]] = [{"tied": True}, {"tied": False}] if hasattr(config.task, "tied") else [{}]
    for changes in SETTINGS[config.arch.encoder.name]:
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
    assert {run.arch.encoder.name for run in runs.values()} == set(SETTINGS)
    cells = {run.arch.encoder.cell for run in runs.values() if isinstance(run.arch.encoder, RecurrentConfig)}
    assert cells == set(parts("cells"))
    for network, changes in SETTINGS.items():  # a setting that goes with nothing would try nothing
        for change in changes:
            tried = [varied(run, **change, **tied) for run in runs.values() if run.arch.encoder.name == network
                     for tied in ([{"tied": False}] if hasattr(run.task, "tied") else [{}])]  # fmt: skip
            assert any(tried) or (network, change) == ("feedforward", {"inputs.name": "one_hot"}), (network, change)


ARCHS = sorted(path.stem for path in (CONF / "arch").glob("*.yaml"))
QUICK = (
    "cnn",
    "feedforward",
    "ngram",
    "bilstm-bichars-crf",
    "lstm-feedback",
    "lstm",
    "luong",
)  # of each kind; others are slow


@pytest.mark.parametrize("arch", some_slow(ARCHS, *QUICK))
def test_parameters_are_those_that_are_counted(arch: str, runs: dict[tuple[str, str], Config]) -> None:
    compared = 0
    for config in (run for (_, name), run in runs.items() if name == arch):
        for run in variants(config):
            assert parameters(run, spec_of(run)) == counted(run), run.dump()
            compared += 1
    assert compared >= 2


def test_tied_weights_are_counted_once(runs: dict[tuple[str, str], Config]) -> None:
    run = runs["language_model", "lstm"]
    alone, tied = (varied(run, **{"encoder.hidden_size": 6, "tied": tied}) for tied in (False, True))
    assert alone is not None and tied is not None
    assert parameters(alone, WORDS) - parameters(tied, WORDS) == 11 * 6
    assert flops(alone, WORDS) == flops(tied, WORDS)


def forget_counts() -> None:
    for count in (cost._weights, cost._operations, cost._peak):
        count.cache_clear()


def test_a_cost_draws_no_random_number(runs: dict[tuple[str, str], Config]) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    forget_counts()
    run = runs["tagger", "bilstm-bichars-crf"]
    assert parameters(run, WORDS) < flops(run, WORDS) < memory(run, WORDS, 5)
    assert torch.equal(torch.rand(2), expected)


def test_a_network_is_counted_once_whatever_it_is_trained_by(
    runs: dict[tuple[str, str], Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_counts()
    run = runs["language_model", "gru"]
    costs = parameters(run, WORDS), flops(run, WORDS), memory(run, WORDS)
    monkeypatch.setattr(cost, "build_task", None)
    other = of_training(run, tokens=77, optimizer={**run.training.optimizer.model_dump(), "learning_rate": 0.07})
    assert (parameters(other, WORDS), flops(other, WORDS), memory(other, WORDS)) == costs


def test_an_argument_that_the_cell_refuses_is_reported(runs: dict[tuple[str, str], Config]) -> None:
    irnn = runs["regressor", "irnn"]
    arguments = {"cell_arguments": {"scale": "much"}}  # a cell of one's own may state no types
    arch = irnn.arch.model_copy(update={"encoder": irnn.arch.encoder.model_copy(update=arguments)})
    run = irnn.model_copy(update={"arch": arch})
    with pytest.raises(BadInput, match=r"arch\.encoder\.cell=irnn"):
        parameters(run, SERIES)


# ---- operations


def batch_of(config: Config, spec: DataSpec, rows: int, steps: int) -> Batch:
    """Sequences without padding, each token a form of its own of as many characters as the formula takes it to have."""
    draw = torch.Generator().manual_seed(0)
    mask, left = torch.ones(rows, steps, dtype=torch.bool), torch.full((rows,), steps)
    window = Window(True, steps, rows, left, None) if config.task.name == "language_model" else None
    if config.task.name == "regressor":
        frames, target = torch.rand(rows, steps, 2, generator=draw), torch.rand(rows, generator=draw)
        return Batch({"inputs": Padded(frames, left), "target": target}, mask, window, rows * steps)
    if config.task.name == "transducer":
        pairs = {role: torch.randint(3, known.size, (rows, steps), generator=draw) for role, known in spec.items()}
        return Batch({role: Padded(values, left) for role, values in pairs.items()}, mask, None, rows * steps)
    inputs = torch.randint(2, spec["inputs"].size, (rows, steps), generator=draw)
    characters = torch.randint(2, spec["spelling"].size, (rows * steps, CHARACTERS), generator=draw)
    forms = torch.arange(rows * steps).view(rows, steps)
    fields: dict[str, Part] = {
        "inputs": Padded(inputs, left), "labels": Padded(inputs % spec["labels"].size, left),
        "targets": Padded(inputs.roll(1, 1), left),
        "spelling": Spelled(forms, characters, torch.full((len(characters),), CHARACTERS)),
    }  # fmt: skip
    return Batch(fields, mask, window, rows * steps)


def prepared(config: Config, spec: DataSpec, rows: int, steps: int) -> tuple[Any, Batch]:
    return build_task(config, spec).train(), batch_of(config, spec, rows, steps)


def products_of(config: Config, steps: int) -> tuple[int, int]:
    """Operations of the matrix products of one step that torch counts of real numbers, forwards and in all."""
    task, batch = prepared(config, spec_of(config), ROWS, steps)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        task.training_step(batch, 0)
    task, batch = prepared(config, spec_of(config), ROWS, steps)  # the first one carries the state of its window
    with FlopCounterMode(display=False) as every:
        task.training_step(batch, 0).backward()
    return counter.get_total_flops(), every.get_total_flops()


def products_of_a_token(config: Config) -> tuple[float, float]:
    """What one token more of each sequence adds to them, by sequence."""
    attends = getattr(config.arch.decoder, "attention", None)  # over as many steps of a source as are written
    start = 1 if attends else STEPS
    less, more = (products_of(config, steps) for steps in (start, start + 1))
    forward, every = ((after - before) / ROWS for before, after in zip(less, more, strict=True))
    return forward, every


DEEP = {"encoder.layers": 2, "encoder.layer_norm": True, "encoder.dropout": 0.5}
MULTIPLIED: dict[str, list[dict[str, Any]]] = {  # settings by which other matrices are multiplied
    "recurrent": [{}, DEEP, {"inputs.name": "one_hot"}, {"encoder.hidden_size": 6}, {"encoder.hidden_size": 3}],
    "convolutional": SETTINGS["convolutional"],
    "feedforward": SETTINGS["feedforward"],
}


@pytest.mark.parametrize("arch", some_slow([arch for arch in ARCHS if arch != "ngram"], *QUICK))
def test_flops_are_those_of_the_products_that_torch_counts(
    arch: str, runs: dict[tuple[str, str], Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "_implementation", lambda cell, inputs: "steps")  # what kernels multiply is not seen
    compared = 0
    for config in (run for (_, name), run in runs.items() if name == arch):
        for changes in MULTIPLIED[config.arch.encoder.name]:
            run = varied(config, **changes)
            if run is None:
                continue
            operations, (forward, every) = flops(run, spec_of(run)), products_of_a_token(run)
            assert operations == 3 * forward, run.dump()
            # no gradient is formed by what is read but not learned, and a CRF's is one product where two are counted
            assert 2 / 3 * operations <= every <= operations, run.dump()
            if isinstance(run.arch.inputs, EmbeddingConfig) and "crf" not in arch:
                assert every == operations, run.dump()
            compared += 1
    assert compared >= 4


@pytest.mark.parametrize("arch", ["lstm", "feedforward"])
def test_a_fused_loss_is_counted_as_its_three_products(
    arch: str, runs: dict[tuple[str, str], Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = next(run for (task, name), run in runs.items() if name == arch and task == "language_model")
    plain = flops(run, spec_of(run))
    monkeypatch.setattr(output, "FUSED_SIZE", 1)
    cost._operations.cache_clear()
    assert flops(run, spec_of(run)) == plain
    assert memory(run, spec_of(run)) > 0


class LowRankCell(OwnCell):
    """W as a product of two matrices, and weights that no step uses."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.narrow, self.wide = nn.Parameter(torch.ones(3, hidden_size)), nn.Parameter(torch.ones(2 * hidden_size, 3))

    def recur(self, hidden: Tensor) -> Tensor:
        return F.linear(F.linear(hidden, self.narrow), self.wide)


class TwiceCell(OwnCell):
    """W is used two times in each step."""

    def step(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        middle, _ = super().step(projected, state)
        return super().step(projected, HiddenState(middle))


class CubicCell(OwnCell):
    """A tensor of three dimensions, so that no matrix tells what it costs."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.tensor = nn.Parameter(torch.ones(2 * hidden_size, hidden_size, hidden_size))

    def recur(self, hidden: Tensor) -> Tensor:
        return torch.einsum("bi,gij,bj->bg", hidden, self.tensor, hidden)


class CheckedCell(OwnCell):
    """It looks for accidents, of which there are none."""

    def step(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        if projected.isnan().any() or not state.hidden.isfinite().all():
            raise ArithmeticError
        return super().step(projected, state)


class AskingCell(OwnCell):
    """What it computes depends on how large its numbers are."""

    def step(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        return super().step(projected * 2 if projected.max() > 9 else projected, state)


class WrongCell(OwnCell):
    """Its shapes do not go together."""

    def recur(self, hidden: Tensor) -> Tensor:
        return hidden @ self.weight_recurrent


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch, runs: dict[tuple[str, str], Config]) -> Iterator[Any]:
    """Has networks built of a cell of one's own: gives a run with it."""

    def run_of(kind: type[Cell], **changes: Any) -> Config:
        forget_counts()
        monkeypatch.setattr(cells, "cell_named", lambda name: kind)
        run = varied(runs["tagger", "gru"], **{"encoder.cell_arguments": {}, **changes})
        assert run is not None
        return run

    yield run_of
    forget_counts()


OWN: list[tuple[type[Cell], dict[str, Any]]] = [
    *((kind, {}) for kind in (OwnCell, LowRankCell, TwiceCell, CubicCell, CheckedCell)),
    (OwnCell, {"encoder.layers": 2, "encoder.bidirectional": True}),
    (OwnCell, {"encoder.learned_state": True}),
]


@pytest.mark.parametrize(("kind", "changes"), OWN)
def test_a_cell_of_ones_own_is_counted_like_any_other(own: Any, kind: type[Cell], changes: dict[str, Any]) -> None:
    run = own(kind, **changes)
    assert parameters(run, WORDS) == counted(run)
    assert flops(run, WORDS) == 3 * products_of_a_token(run)[0]
    assert memory(run, WORDS, 9) > 16 * parameters(run, WORDS)


def test_what_no_step_uses_takes_no_operation(own: Any) -> None:
    plain, low_rank, twice = (flops(own(kind), WORDS) for kind in (OwnCell, LowRankCell, TwiceCell))
    size = SMALL["encoder.hidden_size"]
    assert twice - plain == 6 * 2 * size * size
    assert low_rank - plain == 6 * (3 * size + 2 * size * 3 - 2 * size * size)


def test_a_cell_that_asks_for_numbers_has_parameters_and_no_other_cost(own: Any) -> None:
    run = own(AskingCell)
    assert parameters(run, WORDS) == counted(run)
    for count in (lambda: flops(run, WORDS), lambda: memory(run, WORDS, 9)):
        with pytest.raises(BadInput, match=r"meta device, which has shapes but no data: .*meta tensor"):
            count()


def test_a_mistake_in_a_cell_is_reported_with_its_line(own: Any) -> None:
    line = inspect.getsourcelines(WrongCell)[1] + 4
    with pytest.raises(BadInput, match=rf"test_cost\.py, line {line}: WrongCell"):
        flops(own(WrongCell), WORDS)


def test_spans_and_constraints_on_labels_are_no_obstacle(runs: dict[tuple[str, str], Config]) -> None:
    labels = FieldSpec(3, ("O", "B-X", "I-X"), padding_index=-1)
    spans, plain = ({**WORDS, "labels": replace(labels, scheme=scheme)} for scheme in ("bio", None))
    for count in (parameters, flops, lambda run, spec: memory(run, spec, 9)):
        run = runs["tagger", "bilstm-crf"]
        assert 0 < count(run, plain) <= count(run, spans) < 1.01 * count(run, plain)


def test_ngrams_are_counted_and_cost_nothing(runs: dict[tuple[str, str], Config]) -> None:
    run = runs["language_model", "ngram"]
    assert parameters(run, WORDS) == flops(run, WORDS) == memory(run, WORDS, 1) == 0


# ---- memory


def sized(task: str, arch: str, hidden_size: int, vocabulary_size: int, *more: str) -> tuple[Config, DataSpec]:
    size = [f"arch.encoder.hidden_size={hidden_size}", f"arch.inputs.size={hidden_size // 2}"]
    config = compose([*EXPERIMENTS[task], f"arch={arch}", *size, *more], CONF)
    return config, {**WORDS, "inputs": replace(WORDS["inputs"], size=vocabulary_size)}


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
@pytest.mark.parametrize(
    "overrides", [[], ["arch.encoder.layers=2", "arch.encoder.dropout=0.5"], ["arch.encoder.layer_norm=true"]],
    ids=["plain", "deep", "normalized"],
)  # fmt: skip
@pytest.mark.parametrize(("hidden_size", "vocabulary_size"), [(160, 30), (32, 3000)])
@pytest.mark.parametrize("arch", ["lstm", "gru", "rnn", "peephole"])
def test_memory_is_what_a_step_holds(arch: str, hidden_size: int, vocabulary_size: int, overrides: list[str]) -> None:
    run, spec = sized("language_model", arch, hidden_size, vocabulary_size, *overrides)
    most = 2.2 if arch == "lstm" else 1.45  # oneDNN's LSTM has a workspace of its own, torch's GRU a way of its own
    assert 0.85 < peak(run, spec, 35) / memory(run, spec) < most


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["bilstm-chars", "bilstm-bichars-crf", "lstm-feedback", "peephole", "bigru", "cnn"])
def test_memory_of_a_tagger_is_what_a_step_holds(arch: str) -> None:
    run, spec = sized("tagger", arch, 96, 1000)
    most = 2.7 if "lstm" in arch else 1.45
    assert 0.85 < peak(run, spec, 35) / memory(run, spec, longest=35) < most


def of_training(run: Config, **changes: Any) -> Config:
    content = run.model_dump(mode="json")
    return check({**content, "training": {**content["training"], **changes}}, "a test")


def test_frozen_vectors_have_neither_gradient_nor_moments(runs: dict[tuple[str, str], Config]) -> None:
    tuned, frozen = (
        varied(runs["tagger", "lstm"], **{"inputs.name": "vectors", "inputs.frozen": is_frozen})
        for is_frozen in (False, True)
    )
    assert tuned is not None and frozen is not None
    assert parameters(tuned, WORDS) == parameters(frozen, WORDS)
    size = 4 * 11 * 5  # the gradient comes last, when what is held most may be gone
    assert 2 * size <= memory(tuned, WORDS, 9) - memory(frozen, WORDS, 9) <= 3 * size


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
    both = memory(of_training(run, precision="64"), WORDS), 2 * memory(run, WORDS)
    assert both[0] == pytest.approx(both[1], rel=0.01)  # tokens are whole numbers in both


def test_activations_are_those_of_one_batch_of_one_process(runs: dict[tuple[str, str], Config]) -> None:
    run = of_training(runs["language_model", "gru"], batch_size=5, truncation_length=20)
    shared, smaller = of_training(run, devices=2), of_training(run, batch_size=3)
    assert memory(shared, WORDS) == memory(smaller, WORDS) < memory(run, WORDS)
    short = of_training(run, truncation_length=10)
    assert memory(run, WORDS, longest=10) == memory(short, WORDS)
    assert memory(run, WORDS, longest=100) == memory(run, WORDS)


def test_a_penalty_on_activations_holds_more_of_them(runs: dict[tuple[str, str], Config]) -> None:
    run = runs["language_model", "gru"]
    penalized = of_training(run, activation_regularization=2.0, temporal_activation_regularization=1.0)
    assert memory(penalized, WORDS) > memory(run, WORDS)
    assert flops(penalized, WORDS) == flops(run, WORDS)


def test_sequences_of_unknown_length_have_no_memory(runs: dict[tuple[str, str], Config]) -> None:
    with pytest.raises(BadInput, match=r"set training\.truncation_length"):
        memory(runs["tagger", "bilstm"], WORDS)
