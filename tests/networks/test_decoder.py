"""The decoder: whole sequences equal single steps, padding is invisible, and rows of its state can be selected."""

from __future__ import annotations

import copy
import subprocess
import sys
from itertools import product
from typing import Any

import pytest
import torch
from cells.test_cells import EXACT, draw
from networks.decoders import (
    ATTENDING,
    CELLS,
    HIDDEN,
    SCORES,
    SOURCES,
    SYMBOLS,
    TARGETS,
    WIRINGS,
    by_steps,
    feature_size,
    make,
    measured,
    memory,
    previous,
    whole,
)
from torch import Tensor, nn
from torch.nn.utils import parametrize

from unroll.cells import GRUCell
from unroll.errors import BadInput
from unroll.networks.attention import ATTENTIONS
from unroll.networks.bridge import BRIDGES
from unroll.networks.decoder import Decoder, Running
from unroll.networks.memory import Memory
from unroll.networks.recurrent import Recurrent
from unroll.networks.state import select_rows
from unroll.networks.wiring import CONTEXTS, READS, SEQUENTIAL, Wiring

each_wiring = pytest.mark.parametrize("wiring", WIRINGS)
each_attending = pytest.mark.parametrize("wiring", ATTENDING)
each_score = pytest.mark.parametrize("score", SCORES)
each_mode = pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])


def assert_equal(found: dict[str, list[Tensor]], expected: dict[str, list[Tensor]]) -> None:
    assert found.keys() == expected.keys()
    for name, parts in expected.items():
        for one, two in zip(found[name], parts, strict=True):
            torch.testing.assert_close(one, two, **EXACT, msg=lambda text, name=name: f"{name}: {text}")


def test_every_wiring_attention_and_bridge_is_covered_here() -> None:
    assert set(WIRINGS.values()) == {
        *(Wiring(context) for context in CONTEXTS if context != "attention"),
        *(Wiring("attention", read, feeding) for read in READS for feeding in (False, True)),
    }
    assert {name: type(make("after", name).attention) for name in SCORES} == ATTENTIONS
    assert set(BRIDGES) == {"zero", "copy", "linear"}


def assert_whole_is_steps(decoder: Decoder, score: str) -> None:
    expected = measured(decoder, by_steps, memory(score), previous())
    assert any(gradient.any() for gradient in expected["by parameters"])
    assert_equal(measured(decoder, whole, memory(score), previous()), expected)


@each_wiring
def test_a_whole_sequence_equals_its_steps_in_values_and_gradients(wiring: str) -> None:
    for cell, layers in (("gru-after", 1), ("lstm", 2)):
        assert_whole_is_steps(make(wiring, cell=cell, layers=layers), "additive")


@each_score
def test_a_whole_sequence_equals_its_steps_with_every_score(score: str) -> None:
    for wiring, training in (("after", False), ("after", True), ("before-feeding", True)):
        assert_whole_is_steps(make(wiring, score).train(training), score)


@pytest.mark.parametrize("cell", CELLS)
def test_a_whole_sequence_equals_its_steps_with_every_cell(cell: str) -> None:
    for wiring, layer_norm in product(("both", "before"), (False, True)):
        assert_whole_is_steps(make(wiring, cell=cell, layer_norm=layer_norm), "additive")


PRODUCT = [
    (wiring, score, cell, layers)
    for wiring, cell, layers in product(WIRINGS, CELLS, (1, 2))
    for score in (SCORES if wiring in ATTENDING else ["additive"])
]


@pytest.mark.slow
@pytest.mark.parametrize("layer_norm", [False, True], ids=["plain", "normalized"])
@pytest.mark.parametrize(("wiring", "score", "cell", "layers"), PRODUCT)
def test_a_whole_sequence_equals_its_steps_in_every_combination(
    wiring: str, score: str, cell: str, layers: int, layer_norm: bool
) -> None:
    for training in (False, True) if score == "monotonic" else (False,):
        assert_whole_is_steps(make(wiring, score, cell, layers, layer_norm=layer_norm).train(training), score)


@pytest.mark.parametrize("wiring", ["both", "before", "after", "after-feeding"])
def test_a_whole_sequence_equals_its_steps_under_one_mask_of_each_dropout(wiring: str) -> None:
    decoder = make(wiring, layers=2, dropout=0.4, variational=True, weight_dropout=0.4).train()
    torch.manual_seed(2)
    running = decoder.start(memory())
    with parametrize.cached():
        features, _ = whole(decoder, previous(), running)
        steps, _ = by_steps(decoder, previous(), running)
    kept, _ = whole(decoder.eval(), previous(), decoder.start(memory()))
    for b, length in enumerate(TARGETS):
        torch.testing.assert_close(features[b, :length], steps[b, :length], **EXACT)
        assert not torch.allclose(features[b, :length], kept[b, :length])
        dropped = features[b, :length] == 0
        assert bool((dropped == dropped[:1]).all())  # the same units of the features at every step
    assert 0 < sum(int((features[b, 0] == 0).sum()) for b in range(3)) < 3 * HIDDEN


@each_wiring
def test_dropout_acts_on_embeddings_between_layers_and_on_features_in_training_only(wiring: str) -> None:
    decoder = make(wiring, layers=2)
    expected, _ = whole(decoder.eval(), previous(), decoder.start(memory()))
    for place, module in enumerate(("dropout", "recurrent.dropout", "output_dropout")):
        changed = copy.deepcopy(decoder).train()
        changed.get_submodule(module).p = 0.5
        torch.manual_seed(place)
        running = changed.start(memory())
        for run in (whole, by_steps):
            dropped, _ = run(changed, previous(), running)
            assert not torch.allclose(dropped[0, : TARGETS[0]], expected[0, : TARGETS[0]]), module
            assert bool((dropped[0, : TARGETS[0]] == 0).any()) == (module == "output_dropout")
        kept, _ = whole(changed.eval(), previous(), running)
        assert torch.equal(kept, expected)


@each_mode
@pytest.mark.parametrize("wiring", WIRINGS)
def test_alone_equals_batched_equals_more_padding_forwards_and_backwards(wiring: str, training: bool) -> None:
    for score in SCORES if wiring == "after" else ("additive",):
        decoder = make(wiring, score).train(training)
        alone = [
            measured(decoder, lambda *given, b=b: whole(*given, [b]), memory(score, SOURCES[b], which=[b]),
                     previous(TARGETS[b], which=[b]), [b])
            for b in range(3)
        ]  # fmt: skip
        expected = {name: [part for one in alone for part in one[name]] for name in alone[0]}
        expected["by parameters"] = [sum(parts) for parts in zip(*(one["by parameters"] for one in alone), strict=True)]  # type: ignore[misc]
        for total, garbage, padding in ((6, 1e3, 0), (6, float("nan"), 3), (9, float("nan"), 5)):
            found = measured(decoder, whole, memory(score, total, garbage), previous(padding % 2 + 5, padding))
            assert not any(part.any() for part in found.pop("by padding"))
            assert_equal(found, {name: parts for name, parts in expected.items() if name != "by padding"})


@each_mode
@each_attending
def test_weights_sum_to_one_and_are_zero_on_padding(wiring: str, training: bool) -> None:
    for score in SCORES:
        decoder = make(wiring, score).train(training)
        _, weights = whole(decoder, previous(), decoder.start(memory(score, 8, float("nan"))))
        assert weights is not None
        for b, length in enumerate(SOURCES):
            read = weights[b, : TARGETS[b]]
            assert not read[:, length:].any()
            assert bool((read >= 0).all())
            if score == "monotonic":
                assert bool((read.sum(dim=-1) <= 1 + 1e-12).all())
            else:
                torch.testing.assert_close(read.sum(dim=-1), torch.ones(TARGETS[b], dtype=torch.float64), **EXACT)


def test_an_unbounded_cell_that_overflows_in_the_padding_leaves_gradients_finite() -> None:
    for wiring in ("both", "before", "after", "after-feeding"):
        decoder = make(wiring, cell="irnn", layers=2)
        with torch.no_grad():
            decoder.recurrent.layers[0].cell.weight_recurrent.mul_(0).fill_diagonal_(1e200)
        symbols, lengths = torch.zeros(3, 6, dtype=torch.long), torch.tensor([1, 1, 1])
        features, _ = decoder.whole(symbols, lengths, decoder.start(memory()))
        gradients = torch.autograd.grad(features[:, 0].sum(), list(decoder.parameters()), allow_unused=True)
        assert all(bool(gradient.isfinite().all()) for gradient in gradients if gradient is not None)


def by_hand(decoder: Decoder, read: Memory, symbols: Tensor, contexts: Tensor) -> Tensor:
    """The cell called step by step on the symbol and a context joined."""
    cell, state = decoder.recurrent.layers[0].cell, decoder.bridge(read.summary, decoder.recurrent.initial_state(3))[0]
    made = []
    for step in symbols.unbind(1):
        output, state = cell(torch.cat([decoder.embedding(step), contexts], dim=-1), state)
        made.append(output)
    return torch.stack(made, dim=1)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("layer_norm", [False, True], ids=["plain", "normalized"])
def test_the_summary_at_every_step_equals_a_loop_by_hand(cell: str, layer_norm: bool) -> None:
    for wiring in ("every_step", "both"):
        decoder, read = make(wiring, cell=cell, layer_norm=layer_norm), memory()
        expected = by_hand(decoder, read, previous(), read.summary)
        for run in (whole, by_steps):
            features, _ = run(decoder, previous(), decoder.start(read))
            for b, length in enumerate(TARGETS):
                torch.testing.assert_close(features[b, :length], expected[b, :length], **EXACT)


@pytest.mark.parametrize("cell", ["lstm", "gru-before", "own"])
def test_a_vector_at_every_stage_equals_constant_inputs_through_the_network(cell: str) -> None:
    decoder, read = make("every_step", cell=cell, layers=2), memory()
    steps = previous().shape[1]
    inputs = torch.cat([decoder.embedding(previous()), read.summary[:, None].expand(-1, steps, -1)], dim=-1)
    expected = decoder.recurrent.outputs(inputs, torch.tensor(TARGETS))
    features, weights = whole(decoder, previous(), decoder.start(read))
    assert weights is None
    for b, length in enumerate(TARGETS):
        torch.testing.assert_close(features[b, :length], expected[b, :length], **EXACT)


def test_the_context_start_is_a_network_that_begins_with_the_summary() -> None:
    decoder, read = make("start", cell="lstm", layers=2), memory()
    state = decoder.bridge(read.summary, decoder.recurrent.initial_state(3))
    expected, _ = decoder.recurrent(decoder.embedding(previous()), torch.tensor(TARGETS), state)
    features, _ = whole(decoder, previous(), decoder.start(read))
    for b, length in enumerate(TARGETS):
        torch.testing.assert_close(features[b, :length], expected[b, :length], **EXACT)


@each_attending
@pytest.mark.parametrize("layers", [1, 2])
def test_attention_equals_a_loop_by_hand_over_contexts(wiring: str, layers: int) -> None:
    """The equations of the class, with the context read as such and joined to what it is joined to."""
    decoder, read, wired = make(wiring, "general", layers=layers), memory("general"), WIRINGS[wiring]
    assert decoder.attention is not None
    prepared, state = decoder.attention.prepare(read), decoder.bridge(read.summary, decoder.recurrent.initial_state(3))
    fed, made = draw(3, HIDDEN) * 0, []
    for step in previous().unbind(1):
        parts = [decoder.embedding(step)]
        if wired.read == "before":
            context, _ = decoder.attention.read(state[-1].hidden[:, None], prepared, None)
            parts.append(context[:, 0])
        output, state = decoder.recurrent.step(torch.cat([*parts, fed] if wired.feeding else parts, dim=-1), state)
        if wired.read == "after":
            context, _ = decoder.attention.read(output[:, None], prepared, None)
        fed = torch.tanh(decoder.of_context(context[:, 0]) + decoder.of_output(output))
        made.append(fed)
    features, _ = whole(decoder, previous(), decoder.start(read))
    for b, length in enumerate(TARGETS):
        torch.testing.assert_close(features[b, :length], torch.stack(made, dim=1)[b, :length], **EXACT)


ROWS = [[2, 0, 1], [0, 0, 1, 1, 2, 2], [1, 1, 0], [2, 2], [0, 2, 2, 2, 1]]


def recomputed(decoder: Decoder, read: Memory, history: Tensor, rows: Tensor, sentences: Tensor) -> Tensor:
    """Features after the last symbol, from the start, of each row alone."""
    made = []
    for row in rows.tolist():
        b = int(sentences[row])
        alone = Memory(read.features[b : b + 1], read.lengths[b : b + 1], read.summary[b : b + 1])
        made.append(by_steps(decoder, history[row : row + 1], decoder.start(alone))[0][:, -1])
    return torch.cat(made)


@each_wiring
@pytest.mark.parametrize("rows", ROWS, ids=str)
def test_selected_rows_of_a_running_decoder_go_on_as_if_recomputed(wiring: str, rows: list[int]) -> None:
    for score in ("additive", "coverage", "monotonic") if wiring in ATTENDING else ("additive",):
        decoder, read = make(wiring, score, "lstm", 2).train(score == "monotonic"), memory(score)
        running = decoder.start(read)
        history, sentences = torch.empty(3, 0, dtype=torch.long), torch.arange(3)
        generator = torch.Generator().manual_seed(1)
        for _ in range(3):
            symbols = torch.randint(SYMBOLS, (len(history),), generator=generator)
            history = torch.cat([history, symbols[:, None]], dim=1)
            features, running = decoder.step(symbols, running)
            expected = recomputed(decoder, read, history, torch.arange(len(history)), sentences)
            torch.testing.assert_close(features, expected, **EXACT)
            chosen = torch.tensor(rows) % len(history)
            running = select_rows(running, chosen)
            history, sentences = history[chosen], sentences[chosen]


def test_a_beam_reads_the_memory_that_it_started_with() -> None:
    decoder = make("before")
    running = decoder.start(memory())
    assert running.source is not None
    beam = select_rows(running, torch.arange(3).repeat_interleave(5))
    _, beam = decoder.step(torch.zeros(15, dtype=torch.long), beam)
    assert beam.source is not None
    assert beam.source.values.prepared.keys is running.source.values.prepared.keys
    assert beam.source.values.entering is running.source.values.entering


@pytest.mark.parametrize("wiring", ["both", "before", "after", "after-feeding"])
def test_a_whole_sequence_can_go_on_from_selected_rows(wiring: str) -> None:
    decoder = make(wiring, "coverage")
    _, running = decoder.step(torch.tensor([1, 2, 3]), decoder.start(memory("coverage")))
    for rows in ([0, 0, 1, 1, 2, 2], [2, 1], [1, 1, 2]):
        chosen = select_rows(running, torch.tensor(rows))
        symbols = torch.randint(SYMBOLS, (len(rows), 4), generator=torch.Generator().manual_seed(4))
        features, _ = decoder.whole(symbols, torch.full((len(rows),), 4), chosen)
        torch.testing.assert_close(features, by_steps(decoder, symbols, chosen)[0], **EXACT)


@each_wiring
def test_a_fused_wiring_makes_no_steps_and_another_one_does(wiring: str, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = make(wiring)
    steps = []
    advance = Decoder._advance
    monkeypatch.setattr(Decoder, "_advance", lambda *given: steps.append(1) or advance(*given))
    whole(decoder, previous(), decoder.start(memory()))
    assert len(steps) == (0 if WIRINGS[wiring].fused else previous().shape[1])
    told = WIRINGS[wiring].explanation(layer_norm=False, attention=None)
    assert told.startswith("All steps are computed in one scan" if WIRINGS[wiring].fused else "Steps are computed one")


def test_explanations_say_how_a_setting_runs() -> None:
    assert {name for name, kind in ATTENTIONS.items() if kind.sequential} == set(SEQUENTIAL)
    explain = {name: wiring.explanation for name, wiring in WIRINGS.items()}
    assert explain["start"](False, None) == "All steps are computed in one scan."
    assert "projected once per sequence" in explain["every_step"](False, None)
    assert "joined to each input" in explain["both"](True, None)
    assert "batched products" in explain["after"](False, "general")
    assert "step by step, since a score reads earlier weights" in explain["after"](False, "coverage")
    assert "reads before the cell; embeddings" in explain["before"](False, "additive")
    assert "fed-back vector; the keys are projected once, and layer" in explain["after-feeding"](True, "monotonic")


def refusal(**changes: Any) -> Any:
    given: dict[str, Any] = {
        "wiring": Wiring("attention", "after"), "bridge": "linear", "attention": True, "bidirectional": False,
        "input_size": None, "learned_state": False,
    } | changes  # fmt: skip
    wiring = given["wiring"]
    width = given["input_size"] or sum(wiring.input_sizes(3, 5, 5, HIDDEN))
    recurrent = Recurrent(GRUCell, width, HIDDEN, 1, given["bidirectional"], learned_state=given["learned_state"])
    bridge = BRIDGES[given["bridge"]](5, recurrent.initial_state(1))
    attending = SCORES["additive"](HIDDEN, 5) if given["attention"] else None
    return Decoder(nn.Embedding(SYMBOLS, 3), recurrent, wiring, bridge, attending, 5, 5, nn.Dropout(0.0))


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"bidirectional": True}, "has one direction; set bidirectional=false"),
    ({"input_size": 4}, r"reads 4 numbers per step, and its wiring gives 3"),
    ({"attention": False}, "context attention needs an attention"),
    ({"wiring": Wiring("start")}, "context start has no attention"),
    ({"wiring": Wiring("start"), "attention": False, "bridge": "zero"}, "choose the bridge copy or linear"),
    ({"wiring": Wiring("both"), "attention": False, "bridge": "zero"}, "choose the bridge copy or linear"),
    ({"wiring": Wiring("every_step"), "attention": False}, "choose the bridge zero, or context both"),
    ({"learned_state": True}, "set learned_state=false, or choose the bridge zero"),
], ids=str)  # fmt: skip
def test_parts_that_do_not_fit_are_refused_in_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        refusal(**changes)


@pytest.mark.parametrize(("given", "sentence"), [
    (("atention",), "did you mean attention"), (("attention",), "place of attention"),
    (("attention", "befor"), "did you mean before"), (("start", "after"), "has no attention to read or to feed back"),
    (("every_step", None, True), "has no attention to read or to feed back"),
], ids=str)  # fmt: skip
def test_unknown_and_contradictory_wirings_are_refused_in_a_sentence(given: tuple[Any, ...], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        Wiring(*given)


@each_wiring
def test_steps_and_whole_agree_in_half_precision(wiring: str) -> None:
    decoder = make(wiring).float()
    read = memory()
    read = Memory(read.features.float(), read.lengths, read.summary.float())
    exact, _ = whole(decoder, previous(), decoder.start(read))
    with torch.autocast("cpu", torch.bfloat16):
        for run in (whole, by_steps):
            running: Running = decoder.start(read)
            features, weights = run(decoder, previous(), running)
            assert weights is None or weights.dtype == torch.float32
            for b, length in enumerate(TARGETS):
                torch.testing.assert_close(features[b, :length].float(), exact[b, :length], rtol=0.0, atol=0.1)


@pytest.mark.parametrize("wiring", ["both", "before-feeding"])
def test_a_state_dict_goes_round(wiring: str) -> None:
    decoder, other = make(wiring), make(wiring)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter += 1.0
    expected, _ = whole(decoder, previous(), decoder.start(memory()))
    assert not torch.allclose(whole(other, previous(), other.start(memory()))[0], expected)
    other.load_state_dict(decoder.state_dict())
    assert torch.equal(whole(other, previous(), other.start(memory()))[0], expected)
    assert len(set(decoder.state_dict())) == len(list(decoder.parameters()))
    assert feature_size("additive") != HIDDEN  # so that no size stands for another


def test_asking_how_a_setting_runs_does_not_import_torch() -> None:
    code = (
        "import sys; from unroll.networks.wiring import Wiring\n"
        "Wiring('attention', 'before').explanation(True, 'additive'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
