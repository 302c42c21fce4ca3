"""Hidden sizes at equal cost: the nearest there is, or a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from unroll.config import Config, compose
from unroll.config.decoders import RecurrentDecoderConfig
from unroll.data.batch import FieldSpec
from unroll.errors import BadInput
from unroll.tuning.cost import flops, parameters
from unroll.tuning.matching import QUANTITIES, matched

CONF = Path(__file__).parent.parent.parent / "conf"
LABELS = ("N", "V", "D", "A")
WORDS = {
    "inputs": FieldSpec(30, unit="words", vector_size=5), "labels": FieldSpec(len(LABELS), LABELS, padding_index=-1),
    "spelling": FieldSpec(9),
}  # fmt: skip
GRAMMAR = ["experiment=grammar", "arch.inputs.size=24"]
CLOZE = [*GRAMMAR, "task=cloze", "data.reader.probe=null", "data.reader.contrast=null"]
RUNS = {  # tied ones have a hidden size at which the output needs no projection, and costs less than a smaller one
    "untied": [*GRAMMAR, "arch=lstm", "task.tied=false"],
    "tied": [*GRAMMAR, "arch=rnn"],
    "tied feed-forward": [*GRAMMAR, "arch=feedforward", "arch.encoder.direct=false"],
    "two directions": [*CLOZE, "arch=bigru"],
    "two layers": [*GRAMMAR, "arch=gru-reset-before", "arch.encoder.layers=2", "arch.encoder.layer_norm=true"],
    "convolutions": ["experiment=tagging", "arch=cnn"],
    "feedback": ["experiment=tagging", "arch=lstm-feedback"],
    "spelling": ["experiment=tagging", "arch=bilstm-bichars-crf"],
}  # fmt: skip
QUICK = ("tied", "convolutions")  # whose operations are counted in the default tests, too
PAIRS = [
    pytest.param(run, quantity, marks=[] if quantity == "parameters" or run in QUICK else pytest.mark.slow)
    for run in RUNS for quantity in QUANTITIES
]  # fmt: skip
each_quantity = pytest.mark.parametrize("quantity", QUANTITIES)
each_pair = pytest.mark.parametrize(("run", "quantity"), PAIRS)


def settings(run: str, size: int = 8) -> Config:
    return with_size(compose(RUNS[run], CONF), size)


def with_size(config: Config, size: int) -> Config:
    encoder = config.arch.encoder.model_copy(update={"hidden_size": size})
    return config.model_copy(update={"arch": config.arch.model_copy(update={"encoder": encoder})})


def size_of(config: Config) -> int:
    return int(config.arch.encoder.model_dump()["hidden_size"])


@each_pair
def test_no_other_size_is_nearer(run: str, quantity: str) -> None:
    config = settings(run)
    costs = {size: QUANTITIES[quantity](with_size(config, size), WORDS) for size in range(1, 33)}
    sizes = (2, 5, 11, 12, 13, 22, 23, 24, 25, 26)
    for target in (costs[size] + shift for size in sizes for shift in (-300, -1, 0, 1, 100)):
        target = max(target, costs[1])
        found = size_of(matched(config, WORDS, quantity, target))
        assert found == min(costs, key=lambda size: abs(costs[size] - target)), target


@each_quantity
def test_of_two_sizes_as_near_the_smaller_is_taken(quantity: str) -> None:
    config, cost = settings("untied"), QUANTITIES[quantity]
    two = [cost(with_size(config, size), WORDS) for size in (20, 21)]
    assert sum(two) % 2 == 0
    assert size_of(matched(config, WORDS, quantity, sum(two) // 2)) == 20
    assert size_of(matched(config, WORDS, quantity, sum(two) // 2 + 1)) == 21


def test_nothing_but_the_size_changes() -> None:
    config = settings("untied")
    found = matched(config, WORDS, "parameters", 100_000)
    assert size_of(found) != size_of(config)
    assert with_size(found, size_of(config)) == config


@each_quantity
def test_a_cost_grows_with_its_target(quantity: str) -> None:
    config = settings("untied")
    sizes = [size_of(matched(config, WORDS, quantity, target)) for target in range(50_000, 5_000_000, 250_000)]
    assert sizes == sorted(set(sizes))


def test_a_gru_is_wider_than_an_lstm_of_as_many_parameters() -> None:
    lstm = settings("untied", 64)
    gru = compose([*GRAMMAR, "arch=gru", "task.tied=false"], CONF)
    gru = matched(gru, WORDS, "parameters", parameters(lstm, WORDS))
    assert size_of(gru) > 64
    assert parameters(gru, WORDS) == pytest.approx(parameters(lstm, WORDS), rel=0.02)
    assert flops(gru, WORDS) == pytest.approx(flops(lstm, WORDS), rel=0.03)


@each_pair
def test_less_than_one_unit_costs_is_refused(run: str, quantity: str) -> None:
    config = settings(run)
    least = QUANTITIES[quantity](with_size(config, 1), WORDS)
    assert size_of(matched(config, WORDS, quantity, least)) == 1
    with pytest.raises(BadInput, match=rf"has {least:,} {quantity} with a single hidden unit"):
        matched(config, WORDS, quantity, least - 1)


def test_ngrams_have_no_size_to_match() -> None:
    with pytest.raises(BadInput, match="arch=ngram has no hidden size to match"):
        matched(compose(["experiment=grammar", "arch=ngram"], CONF), WORDS, "parameters", 1_000)


def test_a_decoder_keeps_its_proportion() -> None:
    symbols = {"source": FieldSpec(13, unit="characters"), "target": FieldSpec(30, unit="words")}
    config = compose(["data=numbers", "task=transducer", "arch=seq2seq"], CONF)
    found = matched(config, symbols, "parameters", 50_000)
    assert isinstance(found.arch.decoder, RecurrentDecoderConfig)
    assert found.arch.decoder.hidden_size == found.arch.encoder.hidden_size  # type: ignore[attr-defined]
    assert parameters(found, symbols) == pytest.approx(50_000, rel=0.02)


def test_an_unknown_quantity_is_told() -> None:
    with pytest.raises(BadInput, match=r"no quantity 'flop' \(did you mean flops\?\)"):
        matched(settings("untied"), WORDS, "flop", 1_000)
