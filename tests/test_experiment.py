"""Parts joined: every task with every architecture learns, saves and reloads; each setting does what its name says."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch import seed_everything
from safetensors.torch import load_file
from torch import Tensor, nn

from unroll import experiment, preparation
from unroll.cells import cell_named
from unroll.cells.lstm import GatedMemory
from unroll.cli import main
from unroll.config import Config, compose
from unroll.data.batch import Batch
from unroll.data.corpus import SPLITS
from unroll.errors import BadInput
from unroll.experiment import Trained
from unroll.experiment.building import begin
from unroll.experiment.prepared_data import PreparedData
from unroll.networks.attention import ATTENTIONS
from unroll.networks.bridge import BRIDGES
from unroll.networks.characters import CharacterBiLSTM, CharacterCNN
from unroll.networks.convolutional import ConvolutionalEncoder
from unroll.networks.embedding import OneHot, WordEmbedding
from unroll.networks.encoder import SequenceEncoder
from unroll.networks.feedforward import FeedforwardLanguageNetwork
from unroll.networks.labels import CRFOutput, FeedbackOutput, SoftmaxOutput
from unroll.networks.ngram import KneserNey
from unroll.networks.readout import READOUTS
from unroll.networks.recurrent import RecurrentLayer
from unroll.serving.model import RunModel
from unroll.tasks.base import Task
from unroll.tasks.cloze.module import Cloze
from unroll.tasks.language_model.module import LanguageModel
from unroll.tasks.registry import descriptions
from unroll.tasks.regressor.module import Regressor
from unroll.tasks.tagger.answers import TaggerNetwork
from unroll.tasks.tagger.module import Tagger
from unroll.tasks.transducer.answers import TransducerNetwork
from unroll.tasks.transducer.module import Transducer

CONF = Path(__file__).parent.parent / "conf"
Small = Callable[..., Config]

# Every task with the experiment that it is tried on; and every architecture with the tasks that it can do: a new file
# in conf/task or conf/arch is to be added here.
TASKS: dict[str, tuple[type[Task], list[str]]] = {
    "regressor": (Regressor, ["adding"]),
    "tagger": (Tagger, ["tagging"]),
    "language_model": (LanguageModel, ["grammar"]),
    "cloze": (Cloze, ["grammar", "task=cloze"]),
    "transducer": (Transducer, ["pairs"]),
}
TRIED = {overrides[0] for _, overrides in TASKS.values()}
ALL, LABELS, WRITES = set(TASKS), {"tagger"}, {"transducer"}
ARCHS: dict[str, set[str]] = {
    **dict.fromkeys(["rnn", "irnn", "lstm", "coupled", "peephole", "gru", "gru-reset-before"], ALL - WRITES),
    "bilstm": ALL - WRITES - {"language_model"}, "bigru": ALL - WRITES - {"language_model"},
    **dict.fromkeys(["seq2seq", "seq2seq-reversed", "seq2seq-every-step", "bahdanau", "luong"], WRITES),
    "bilstm-crf": LABELS, "bilstm-chars": LABELS, "bilstm-chars-crf": LABELS, "bilstm-bichars-crf": LABELS,
    "lstm-feedback": LABELS, "cnn": {"tagger", "regressor"},
    "feedforward": {"language_model"}, "ngram": {"language_model"},
}  # fmt: skip
QUICK = [
    "training.tokens=1000", "training.batch_size=6", "training.optimizer.learning_rate=5e-2", "training.warmup=0"
]  # fmt: skip
CASES = [  # every architecture and every task in the default tier, every pair in the slow one
    pytest.param(task, arch, marks=[] if j == i % len(able) else pytest.mark.slow)
    for i, (arch, able) in enumerate(ARCHS.items())
    for j, task in enumerate(task for task in TASKS if task in able)
]


def composed(small: Small, task: str, arch: str, *overrides: str) -> Config:
    name, *more = TASKS[task][1]
    return small(name, arch, *more, *overrides)


def built(config: Config) -> tuple[Any, list[Batch]]:
    """The task of a run before training, and the batches of its first epoch."""
    data = data_of(config)
    splits = {split: data.split(split) for split in ("train", "validation")}
    torch.manual_seed(0)
    return experiment.build_task(config, data.spec), list(experiment.loaders(config, data.spec, splits)[0])


def data_of(config: Config) -> PreparedData:
    return PreparedData(config, preparation.prepared(config.data))


def trained(config: Config, folder: Path) -> dict[str, float]:
    return experiment.train(config, preparation.prepared(config.data), folder)


def judged(folder: Path) -> dict[str, float]:
    """Figures of a finished run on the validation split."""
    run = Trained.load(folder)
    split = data_of(run.config).split("validation")
    return experiment.evaluate_task(run.task, experiment.evaluation_loader(run.config, run.vocabulary.spec, split))


def history(folder: Path, metric: str) -> list[tuple[int, float]]:
    with (folder / "history.csv").open(encoding="utf-8") as file:
        return [(int(row["tokens"]), float(row["value"])) for row in csv.DictReader(file) if row["metric"] == metric]


def has_learned(folder: Path) -> bool:
    losses = [value for _, value in history(folder, "train/loss")]
    return sum(losses[-3:]) < 0.7 * sum(losses[:3])


# ---- every task, every architecture, every experiment


def test_the_suite_covers_every_task_and_every_architecture() -> None:
    assert set(TASKS) == {path.stem for path in (CONF / "task").glob("*.yaml")}
    assert set(TASKS) == set(descriptions())
    assert set(ARCHS) == {path.stem for path in (CONF / "arch").glob("*.yaml")}
    assert all(ARCHS.values())


@pytest.mark.parametrize("arch", ARCHS)
def test_what_the_suite_leaves_out_is_refused_by_the_settings(arch: str, small: Small) -> None:
    for task in ALL - ARCHS[arch]:
        with pytest.raises(BadInput, match=rf"arch={arch}\b"):
            composed(small, task, arch, *QUICK)


@pytest.mark.parametrize(("task", "arch"), CASES)
def test_every_task_learns_with_every_weight_saves_and_reloads(
    task: str, arch: str, small: Small, project: Path
) -> None:
    config = composed(small, task, arch, *QUICK)
    module, batches = built(config)
    if arch != "ngram":
        module.training_step(batches[0], 0).backward()
    assert [name for name, weight in module.named_parameters() if weight.grad is None or not weight.grad.any()] == []
    best = trained(config, project / "run")
    run = Trained.load(project / "run")
    assert type(run.task) is TASKS[task][0]
    assert judged(project / "run") == best
    validated = [value for _, value in history(project / "run", run.task.monitor)]
    better = min if run.task.mode == "min" else max
    assert best[run.task.monitor.removeprefix("val/")] == pytest.approx(better(validated), rel=1e-5)
    if arch != "ngram":
        assert has_learned(project / "run")


NETWORKS = {
    "recurrent": SequenceEncoder, "convolutional": ConvolutionalEncoder, "feedforward": FeedforwardLanguageNetwork,
    "ngram": KneserNey,
}  # fmt: skip
CHARACTERS = {"cnn": CharacterCNN, "bilstm": CharacterBiLSTM}
OUTPUTS = {"softmax": SoftmaxOutput, "crf": CRFOutput, "feedback": FeedbackOutput}


@pytest.mark.parametrize("arch", ARCHS)
def test_an_architecture_is_built_as_its_file_says(arch: str, small: Small, project: Path) -> None:
    said = yaml.safe_load((CONF / "arch" / f"{arch}.yaml").read_text(encoding="utf-8"))
    task, _ = built(composed(small, max(ARCHS[arch]), arch, *QUICK))  # the tagger where it can be one
    network = task.network
    encoder = network.encoder if isinstance(network, TaggerNetwork) else network.network
    if isinstance(network, TransducerNetwork):
        said_of_decoder, decoder = said["decoder"], encoder.decoder
        assert {type(layer.cell) for layer in decoder.recurrent.layers} == {cell_named(said_of_decoder["cell"])}
        assert type(decoder.bridge) is BRIDGES[said_of_decoder.get("bridge", "linear")]
        assert decoder.wiring.context == said_of_decoder["context"]
        attention = said_of_decoder.get("attention")
        assert type(decoder.attention) is (ATTENTIONS[attention["name"]] if attention else type(None))
        assert encoder.reverse_source == said_of_decoder.get("reverse_source", False)
        encoder = encoder.memory.encoder
    stated, spelling = said["encoder"], said.get("inputs", {}).get("characters")
    assert type(encoder) is NETWORKS[stated["name"]]
    if stated["name"] == "recurrent":
        cells = [layer.cell for layer in encoder.recurrent.layers]
        assert {type(cell) for cell in cells} == {cell_named(stated["cell"])}
        assert len(cells) == (2 if stated["bidirectional"] else 1)
        assert isinstance(encoder.inputs, WordEmbedding) == (spelling is not None)
        if spelling:
            characters = encoder.inputs.characters
            assert type(characters) is CHARACTERS[spelling["name"]]
            assert characters.embedding.embedding_dim == spelling["embedding_size"]
            assert characters.output_size == spelling["size"] * (2 if spelling["name"] == "bilstm" else 1)
    if isinstance(network, TaggerNetwork):
        assert type(network.output) is OUTPUTS[said.get("output", {"name": "softmax"})["name"]]
        if isinstance(network.output, FeedbackOutput):
            sizes = network.output.beam, network.output.embedding.embedding_dim
            assert sizes == (said["output"]["beam"], said["output"]["embedding_size"])
    for name in ("order", "direct", "kernel_width"):
        if name in stated:
            found = encoder.layers[0].kernel_size[0] if name == "kernel_width" else getattr(encoder, name, None)
            assert (encoder.context + 1 if found is None else found) == stated[name]
    if "layers" in stated:
        assert len(encoder.layers) == stated["layers"]


@pytest.mark.parametrize("name", sorted({path.stem for path in (CONF / "experiment").glob("*.yaml")} - TRIED))
def test_every_other_experiment_trains_on_data_of_its_kind_and_reloads(name: str, small: Small, project: Path) -> None:
    data = compose([f"experiment={name}"], CONF).data
    kinds = {"conllu": "conllu", "series": "series", "columns": "conll", "pairs": "tsv"}
    kind = kinds.get(data.reader.name, "txt")
    if kind == "conll":
        write_columns(project / "data" / "small", data.option("token_column"))
    elif kind == "tsv":
        write_pairs(project / "data" / "small")
    (project / "vectors.txt").write_text("the 0.5 -1\nzebra 1 2\n", encoding="utf-8")
    files = [f"data.{split}=data/small/{split}.{kind}" for split in ("train", "validation", "test")]
    settings = ["data.split=null", *(["data.reader={name: text}"] if data.reader.name == "brown" else [])]
    vectors = ["data.vectors=vectors.txt"] if data.vectors else []
    budget = ["training.tokens=200", "training.evaluation_streams=2", "training.threads=1"]
    config = small(name, "bahdanau" if kind == "tsv" else "lstm", *files, *settings, *vectors, *budget)
    assert trained(config, project / "run") == judged(project / "run")


def write_pairs(folder: Path) -> None:
    """Sources and targets with the groups that the generated corpora have."""
    for split in ("train", "validation", "test"):
        (folder / f"{split}.tsv").write_text("12\tone two\t2\tnone\n3\tthree\t1\tnone\n" * 20, encoding="utf-8")


def write_columns(folder: Path, token_column: int) -> None:
    """Names of towns and of people, with words before them that tell which."""
    names = ["in O/Rome B-LOC/. O", "says O/Ann B-PER/Lee I-PER/. O", "in O/New B-LOC/York I-LOC", "so O/it O/is O"]
    text = "\n\n".join(name.replace("/", "\n") for name in names) + "\n\n"
    rows = [("0 " * token_column + line) if line else "" for line in (text * 20).splitlines()]
    for split in ("train", "validation", "test"):
        (folder / f"{split}.conll").write_text("\n".join(rows) + "\n", encoding="utf-8")


@pytest.mark.parametrize("arch", ["bilstm-crf", "lstm-feedback"])
def test_where_labels_tell_spans_their_f1_chooses_and_judges(arch: str, small: Small, project: Path) -> None:
    write_columns(project / "data" / "small", 0)
    files = [f"data.{split}=data/small/{split}.conll" for split in ("train", "validation", "test")]
    config = small("tagging", arch, *files, "data.reader={name: columns, scheme: bio}", *QUICK)
    best = trained(config, project / "run")
    assert best["f1"] == pytest.approx(max(value for _, value in history(project / "run", "val/f1")), rel=1e-5)
    assert best["f1"] > 0.5
    output = Trained.load(project / "run").network.output
    assert not isinstance(output, CRFOutput) or output.crf.forbidden.any()  # what breaks the scheme
    results = experiment.evaluate([project / "run"], preparation.prepared(config.data), None, None)[f"{arch}-0"]
    order = results["order"]
    assert order["task"] == "tagger"
    assert order["training.batch_size"] == config.training.batch_size
    assert len(order["data"]) == 12
    assert (results["headline"], results["mode"]) == ("f1", "max")
    assert {"precision", "recall", "f1", "accuracy"} <= results["test"].keys()


# ---- what settings name


def encoder_of(task: Any) -> SequenceEncoder:
    network = task.network
    encoder = network.encoder if hasattr(network, "encoder") else network.network.encoder
    assert isinstance(encoder, SequenceEncoder)
    return encoder


def cell_of(task: Any) -> Any:
    layer = encoder_of(task).recurrent.layers[0]
    assert isinstance(layer, RecurrentLayer)
    return layer.cell


def read(task: Any, batch: Batch) -> Tensor:
    """Features of every step of the longest sequences of a batch."""
    inputs, lengths = batch.sequence("inputs")
    longest = lengths == lengths.max()
    return encoder_of(task).outputs(inputs[longest], lengths[longest])


@pytest.mark.parametrize("variational", [False, True])
def test_variational_dropout_drops_the_same_units_at_every_step(variational: bool, small: Small, project: Path) -> None:
    config = small("tagging", "lstm", "arch.encoder.dropout=0.5", f"arch.encoder.variational={variational}",
                   "arch.encoder.layers=2", "training.batch_size=40")  # fmt: skip
    task, batches = built(config)
    encoder, seen = encoder_of(task), []
    for layer in encoder.recurrent.layers:  # what each layer is given, and what the encoder hands out
        outputs = layer.outputs
        layer.outputs = lambda inputs, *rest, outputs=outputs: seen.append(inputs) or outputs(inputs, *rest)
    seen.append(read(task, batches[0]))
    assert len(seen) == 3
    for sequences in seen:
        dropped = sequences == 0
        assert 0.3 < dropped.float().mean() < 0.7
        assert bool((dropped == dropped[:, :1]).all()) == variational


def test_weight_dropout_drops_entries_of_w_in_training_alone(small: Small, project: Path) -> None:
    plain, batches = built(small("tagging", "lstm", "arch.encoder.hidden_size=30"))
    task, _ = built(small("tagging", "lstm", "arch.encoder.hidden_size=30", "arch.encoder.weight_dropout=0.5"))
    assert 0.4 < (cell_of(task).weight_recurrent == 0).float().mean() < 0.6
    assert not torch.equal(read(task, batches[0]), read(task, batches[0]))
    for name, value in plain.state_dict().items():
        mine = name.replace("weight_recurrent", "parametrizations.weight_recurrent.original")
        task.get_parameter(mine).data.copy_(value)
    task.eval()
    assert torch.equal(read(task, batches[0]), read(plain, batches[0]))


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("arch", ["lstm", "gru-reset-before"])
def test_a_network_with_layer_norm_does_not_hear_how_large_its_products_are(
    arch: str, layer_norm: bool, small: Small, project: Path
) -> None:
    task, batches = built(small("tagging", arch, f"arch.encoder.layer_norm={layer_norm}"))
    features = []
    for _ in range(2):
        cell_of(task).weight_input.data *= 10
        cell_of(task).weight_recurrent.data *= 10
        features.append(read(task.double(), batches[0]))
    assert torch.allclose(*features, atol=1e-4) == layer_norm


@pytest.mark.parametrize("initializer", ["cell", "orthogonal"])
@pytest.mark.parametrize("arch", ["rnn", "lstm", "gru"])
def test_an_orthogonal_first_w_keeps_lengths_gate_by_gate(
    arch: str, initializer: str, small: Small, project: Path
) -> None:
    weight = cell_of(built(small("tagging", arch, f"arch.encoder.initializer={initializer}"))[0]).weight_recurrent
    blocks = weight.view(-1, weight.shape[1], weight.shape[1])
    products = blocks @ blocks.transpose(1, 2)
    assert torch.allclose(products, torch.eye(weight.shape[1]), atol=1e-5) == (initializer == "orthogonal")


@pytest.mark.parametrize("task", ["tagger", "language_model", "cloze"])
def test_a_learned_first_state_begins_at_zero_and_trains(task: str, small: Small, project: Path) -> None:
    config = composed(small, task, "lstm", "arch.encoder.learned_state=true", "training.tokens=200")
    starts = [weight for name, weight in built(config)[0].named_parameters() if ".start." in name]
    assert len(starts) == 2  # of the output and of the memory
    assert not any(start.any() for start in starts)
    trained(config, project / "run")
    weights = load_file(project / "run" / "weights.safetensors")
    assert [bool(weight.any()) for name, weight in weights.items() if ".start." in name] == [True, True]


CELL_ARGUMENTS: list[tuple[str, str, Callable[[Any], bool]]] = [
    ("lstm", "{forget_bias: 2.5}", lambda cell: forget_bias(cell) == {2.5}),
    ("coupled", "{forget_bias: 2.5}", lambda cell: forget_bias(cell) == {2.5}),
    ("peephole", "{forget_bias: -1}", lambda cell: forget_bias(cell) == {-1.0}),
    ("lstm-feedback", "{forget_bias: 2.5}", lambda cell: forget_bias(cell) == {2.5}),
    ("irnn", "{scale: 0.25}", lambda cell: torch.equal(cell.weight_recurrent, 0.25 * torch.eye(8))),
    ("gru", "{reset: before}", lambda cell: not hasattr(cell, "bias_candidate")),
    ("gru-reset-before", "{reset: after}", lambda cell: hasattr(cell, "bias_candidate")),
    ("rnn", "{nonlinearity: relu}", lambda cell: not (responses(cell) < 0).any()),
    ("rnn", "{nonlinearity: sigmoid}", lambda cell: bool((responses(cell) > 0).all())),
]


def forget_bias(cell: GatedMemory) -> set[float]:
    return set(cell.bias.view(cell.gates, -1)[cell.forget_gate].tolist())


def responses(cell: nn.Module) -> Tensor:
    inputs = torch.randn(100, 6, generator=torch.Generator().manual_seed(1))
    return cell(inputs, cell.initial_state(100))[0]  # type: ignore[no-any-return, operator]


@pytest.mark.parametrize(("arch", "arguments", "holds"), CELL_ARGUMENTS)
def test_arguments_reach_the_cell(
    arch: str, arguments: str, holds: Callable[[Any], bool], small: Small, project: Path
) -> None:
    assert not holds(cell_of(built(composed(small, "tagger", arch, *QUICK))[0]))
    task, _ = built(small("tagging", arch, f"arch.encoder.cell_arguments={arguments}"))
    assert holds(cell_of(task))
    if isinstance(task.network.output, FeedbackOutput):
        assert holds(task.network.output.cell)


@pytest.mark.parametrize(
    ("arch", "arguments", "words"),
    [
        ("rnn", {"nonlinearity": "tnah"}, ["'tnah'", "tanh, relu, sigmoid, identity"]),
        ("gru", {"reset": "middle"}, ["'middle'", "after, before"]),
        ("lstm", {"forget_bias": "much"}, ["arch.encoder.cell=lstm", "forget_bias", "much"]),
        ("irnn", {"scale": "wide"}, ["arch.encoder.cell=irnn", "scale", "wide"]),
        ("lstm", {"forget_bais": 1.0}, ["forget_bais", "it accepts forget_bias"]),
        ("rnn", {"forget_bias": 1.0}, ["forget_bias", "it accepts nonlinearity"]),
    ],
)
def test_a_wrong_argument_of_a_cell_is_one_sentence_with_the_choices(
    arch: str, arguments: dict[str, Any], words: list[str], small: Small, project: Path
) -> None:
    path = project / "conf" / "arch" / f"{arch}.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["encoder"]["cell_arguments"] = arguments
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(BadInput) as caught:
        built(small("tagging", arch))
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(("task", "more"), [("tagger", []), ("cloze", ["task.tied=false"])])
def test_one_hot_inputs_train_and_reload(task: str, more: list[str], small: Small, project: Path) -> None:
    config = composed(small, task, "lstm", "arch.inputs.name=one_hot", *QUICK, *more)
    best = trained(config, project / "run")
    assert isinstance(encoder_of(Trained.load(project / "run").task).inputs, OneHot)
    assert has_learned(project / "run")
    assert judged(project / "run") == best


@pytest.mark.parametrize("readout", [readout for readout in READOUTS if readout != "final"])  # which all others have
def test_a_regressor_learns_by_every_readout(readout: str, small: Small, project: Path) -> None:
    config = small("adding", "lstm", f"arch.encoder.readout={readout}", *QUICK)
    best = trained(config, project / "run")
    assert encoder_of(Trained.load(project / "run").task).readout == readout
    assert has_learned(project / "run")
    assert judged(project / "run") == best


def test_the_last_step_alone_is_refused_where_one_direction_has_read_nothing_else(small: Small) -> None:
    with pytest.raises(BadInput, match="choose final"):
        small("adding", "bilstm", "arch.encoder.readout=last")


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize(("task", "arch"), [("tagger", "bilstm-chars"), ("language_model", "lstm")])
def test_frozen_vectors_stay_tuned_ones_move_and_the_run_needs_their_file_no_more(
    task: str, arch: str, frozen: bool, small: Small, project: Path
) -> None:
    given = {"the": [0.5, -1.0, 2.0], "cat": [1.5, 0.25, -0.75], "zebra": [-1.0, 1.0, 0.125]}
    lines = [" ".join([word, *map(str, vector)]) for word, vector in given.items()]
    (project / "vectors.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    settings = ["arch.inputs.name=vectors", f"arch.inputs.frozen={frozen}", "data.vectors=vectors.txt",
                "training.optimizer.weight_decay=0.1", "training.tokens=200"]  # fmt: skip
    config = composed(small, task, arch, *settings)
    best = trained(config, project / "run")
    assert judged(project / "run") == best
    (project / "vectors.txt").unlink()
    for path in project.rglob("vectors.npy"):
        path.unlink()
    run = Trained.load(project / "run")
    words = encoder_of(run.task).inputs
    table = words.words if isinstance(words, WordEmbedding) else words
    assert isinstance(table, nn.Embedding)
    rows = {word: table.weight[run.vocabulary.symbols("inputs").index[word]].detach().numpy() for word in given}
    for word in given if frozen else ("the", "cat"):
        assert np.array_equal(rows[word], np.float32(given[word])) == frozen
    assert table.weight.requires_grad != frozen
    assert len(RunModel(project / "run").predict(["the zebra sees nobody"], {"length": 3})) == 1


@pytest.mark.parametrize("arch", ["bilstm-chars-crf", "lstm-feedback", "coupled"])
def test_taggers_train_in_bf16_and_are_judged_in_single_precision(arch: str, small: Small, project: Path) -> None:
    config = small("tagging", arch, "training.precision=bf16-mixed", *QUICK)
    best = trained(config, project / "run")
    assert has_learned(project / "run")
    assert judged(project / "run") == best


@pytest.mark.parametrize(
    ("task", "arch"), [("tagger", "bilstm-chars-crf"), ("cloze", "lstm"), ("language_model", "ngram")]
)
def test_a_run_publishes_what_it_learned_or_counted_and_nothing_that_its_settings_decide(
    task: str, arch: str, small: Small, project: Path
) -> None:
    config = composed(small, task, arch, "training.tokens=200")
    trained(config, project / "run")
    network = Trained.load(project / "run").network
    names = load_file(project / "run" / "weights.safetensors").keys()
    learned = {name for name, _ in network.named_parameters()}
    counted = {name for name, _ in network.named_buffers()} if arch == "ngram" else set()
    assert set(names) == learned | counted != set()


# ---- one run


@pytest.mark.parametrize(("name", "arch"), [("tagging", "bilstm-chars-crf"), ("grammar", "lstm"), ("adding", "rnn")])
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(
    name: str, arch: str, small: Small, project: Path
) -> None:
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        config = small(name, arch, f"seed={seed}", "arch.encoder.dropout=0.2", "training.tokens=300")
        experiment.train(config, preparation.prepared(config.data), project / folder)
    for file in ("weights.safetensors", "history.csv", "run.json"):
        a, b, c = ((project / folder / file).read_bytes() for folder in "abc")
        assert a == b
        assert a != c


def test_training_stops_at_the_token_budget_and_validates_as_often_as_asked(small: Small, project: Path) -> None:
    config = small("grammar", "gru", "training.tokens=3000", "training.validations=5")
    experiment.train(config, preparation.prepared(config.data), project / "run")
    tokens = json.loads((project / "run" / "run.json").read_text())["tokens"]
    assert 3000 <= tokens < 3000 + 4 * 7  # at most one step of 4 streams and 7 tokens beyond
    validated = [at for at, _ in history(project / "run", "val/loss")]
    assert validated[-1] == tokens
    assert len(validated) in (5, 6)


def test_the_weights_kept_are_those_of_the_best_validation(small: Small, project: Path) -> None:
    config = small("grammar", "lstm", "training.tokens=4000", "training.optimizer.learning_rate=3",
                   "training.schedule=constant", "training.validations=8")  # fmt: skip
    best = experiment.train(config, preparation.prepared(config.data), project / "run")
    losses = [value for _, value in history(project / "run", "val/loss")]
    assert losses[-1] > 1.01 * min(losses)  # a rate so high that the end is not the best: else nothing is proved
    assert best["loss"] == pytest.approx(min(losses), rel=1e-5)


def test_early_stopping_ends_before_the_budget(small: Small, project: Path) -> None:
    config = small("grammar", "lstm", "training.tokens=60000", "training.validations=60", "training.patience=2",
                   "training.optimizer.learning_rate=3", "training.schedule=constant")  # fmt: skip
    experiment.train(config, preparation.prepared(config.data), project / "run")
    assert json.loads((project / "run" / "run.json").read_text())["tokens"] < 30_000


def test_clipping_bounds_the_step_of_sgd(small: Small, project: Path) -> None:
    """With plain SGD at a constant rate, the weights cannot move farther than rate × clip × steps."""
    common = ["training.optimizer.name=sgd", "training.optimizer.learning_rate=1.0", "training.schedule=constant",
              "training.warmup=0", "training.tokens=140", "training.validations=1"]  # fmt: skip
    moved = {}
    for clip in ("1e-3", "null"):
        config = small("grammar", "rnn", *common, f"training.clip_norm={clip}")
        prepared = preparation.prepared(config.data)
        torch.manual_seed(0)
        seed_everything(0, verbose=False)
        data = PreparedData(config, prepared)
        task = experiment.build_task(config, data.spec)
        begin(task.network, data.split("train"), "inputs")
        before = experiment.tensors(task.network)
        experiment.train(config, prepared, project / clip)
        after = load_file(project / clip / "weights.safetensors")
        moved[clip] = max(float((after[name] - before[name]).norm()) for name in after)
    assert moved["1e-3"] <= 1e-3 * 5 + 1e-6
    assert moved["null"] > 10 * moved["1e-3"]


def test_bf16_trains_and_its_state_is_carried_in_single_precision(small: Small, project: Path) -> None:
    config = small("grammar", "lstm", "training.precision=bf16-mixed")
    experiment.train(config, preparation.prepared(config.data), project / "run")
    task = Trained.load(project / "run").task
    assert isinstance(task, LanguageModel)
    batch = next(iter(experiment.evaluation_loader(config, task.spec, data_of(config).split("validation"))))
    with torch.autocast("cpu", torch.bfloat16):
        task.train().training_step(batch, 0)
    assert {tensor.dtype for part in task.carried.states[True] for tensor in part} == {torch.float32}


def test_validation_has_a_state_of_its_own(small: Small, project: Path) -> None:
    config = small("grammar", "gru")
    data = data_of(config)
    task = experiment.build_task(config, data.spec)
    assert isinstance(task, LanguageModel)
    splits = {split: data.split(split) for split in ("train", "validation")}
    train, validation = experiment.loaders(config, data.spec, splits)
    task.train().training_step(next(iter(train)), 0)
    carried = [tensor.clone() for part in task.carried.states[True] for tensor in part]
    experiment.evaluate_task(task, validation)
    assert all(
        torch.equal(a, b) for a, b in zip(carried, (t for part in task.carried.states[True] for t in part), strict=True)
    )


@pytest.mark.parametrize("arch", [arch for arch, able in ARCHS.items() if "language_model" in able])
def test_a_language_model_read_in_windows_equals_one_pass(arch: str, small: Small, project: Path) -> None:
    config = small("grammar", arch, "training.truncation_length=5")
    task, _ = built(config)
    train, validation = (data_of(config).split(name) for name in ("train", "validation"))
    if isinstance(task.network.network, KneserNey):
        task.network.network.fit(train["inputs"].values)
    else:
        task.double()
    figures = []
    for length in (5, 10_000):
        settings = config.training.model_copy(update={"truncation_length": length})
        loader = experiment.evaluation_loader(config.model_copy(update={"training": settings}), task.spec, validation)
        figures.append(experiment.evaluate_task(task, loader))
    assert figures[0]["loss"] == pytest.approx(figures[1]["loss"], abs=1e-10)


def test_a_tagger_without_labels_is_refused(small: Small, project: Path) -> None:
    with pytest.raises(BadInput, match=r"role labels needs a field of kind labels, and the corpus has tokens"):
        small("tagging", "lstm", "data.reader={name: text}")


@pytest.mark.parametrize(("experiment", "arch", "given"), [
    ("adding", "lstm", "words"), ("adding", "cnn", "characters"), ("grammar", "lstm", "steps"),
    ("grammar", "ngram", "steps"), ("grammar", "feedforward", "steps"), ("grammar", "lstm", "characters"),
    ("tagging", "bilstm-chars", "steps"), ("tagging", "lstm", "characters"), ("tagging", "lstm", "words"),
])  # fmt: skip
def test_prepared_data_of_another_kind_are_refused(
    experiment: str, arch: str, given: str, small: Small, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = ["data.sentence_end=false", *(f"data.{split}=data/small/{split}.txt" for split in SPLITS)]
    other = {"words": ["grammar", "data.reader={name: text}", *plain], "steps": ["adding"],
             "characters": ["grammar", "data.reader={name: text, unit: characters}", *plain]}[given]  # fmt: skip
    prepared = preparation.prepared(small(other[0], "lstm", *other[1:]).data)
    Path("sent.yaml").write_text(small(experiment, arch).dump(), encoding="utf-8")
    assert main(["train", "--config", "sent.yaml", "--prepared", str(prepared), "--out", "run"]) == 2
    said = capsys.readouterr().err
    assert f"The prepared data have {'frames (frames)' if given == 'steps' else f'tokens ({given})'}" in said
    assert "unroll prepare" in said
    assert not Path("run").exists()
    assert not list(Path().glob("outputs/working/*"))


def test_ctrl_c_leaves_nothing_and_marks_the_run(small: Small, project: Path, store: str) -> None:
    import mlflow

    config = small("grammar", "lstm", "training.tokens=50000000", "tracking=mlflow", f"tracking.uri={store}",
                   "training.validations=5000")  # fmt: skip
    Path("run.yaml").write_text(config.dump(), encoding="utf-8")
    command = [sys.executable, "-W", "ignore", "-m", "unroll.cli", "train", "--config", "run.yaml", "--out", "runs/a"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = ""
        while "val/loss" not in line:  # the first validation is over: training goes on
            line = process.stderr.readline()
            assert line, "training ended before it could be interrupted"
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        process.stderr.read()
    assert process.returncode == 130
    assert not Path("runs").exists() or not list(Path("runs").iterdir())
    mlflow.set_tracking_uri(store)
    runs = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert [run.info.status for run in runs] == ["KILLED"]
