"""The tagger: losses and figures over real tokens, spelled words read once in an evaluation, sentences told alike."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from cells.test_cells import EXACT, randomized
from torch import Tensor, nn

from unroll import experiment, preparation
from unroll.cells import LSTMCell
from unroll.config import Config
from unroll.data.batch import Batch, FieldSpec, Padded, Probed
from unroll.data.buckets import Buckets
from unroll.data.prepared import Split
from unroll.data.vocabularies import Vocabularies
from unroll.experiment.prepared_data import PreparedData
from unroll.networks.convolutional import ConvolutionalEncoder
from unroll.networks.embedding import WordEmbedding, embed
from unroll.networks.encoder import SequenceEncoder
from unroll.networks.labels import CRFOutput, FeedbackOutput, LabelOutput, SoftmaxOutput
from unroll.networks.recurrent import Recurrent
from unroll.serving import Predictor
from unroll.tasks.answer import Labelled
from unroll.tasks.tagger.answers import TaggerNetwork
from unroll.tasks.tagger.description import TaggerOptions
from unroll.tasks.tagger.module import Tagger
from unroll.tasks.tagger.spans import SpanF1

VOCABULARY, WIDTH, HIDDEN = 9, 3, 4
LABELS = ("O", "B-X", "I-X")
GROUP_NAMES = ("near", "far")
SPEC = {
    "inputs": FieldSpec(VOCABULARY, unit="words"), "labels": FieldSpec(len(LABELS), LABELS, padding_index=-1),
    "probe": FieldSpec(len(GROUP_NAMES), GROUP_NAMES),
}  # fmt: skip
SPANS = {**SPEC, "labels": replace(SPEC["labels"], scheme="bio")}
TOKENS = [[1, 2, 3, 4], [5], [6, 7, 8, 1, 2, 3], [4, 5, 6]]
TARGETS = [[0, 1, 2, 0], [1], [0, -1, 1, 2, 2, 0], [0, 0, -1]]  # two that training never had
LENGTHS = [len(tokens) for tokens in TOKENS]
GROUPS = [[0, -1, 1, -1], [-1], [-1, 0, 0, -1, 1, 1], [-1, -1, 1]]

Outputs = dict[str, Callable[[], LabelOutput]]
OUTPUTS: Outputs = {
    "softmax": lambda: SoftmaxOutput(HIDDEN, len(LABELS)),
    "crf": lambda: CRFOutput(HIDDEN, LABELS, "bio"),
    "feedback": lambda: FeedbackOutput(HIDDEN, len(LABELS), 2, LSTMCell, HIDDEN, 2),
}
each_output = pytest.mark.parametrize("output", OUTPUTS)
each_encoder = pytest.mark.parametrize("encoder", ["recurrent", "convolutional"])


def build(output: str, encoder: str = "recurrent", spec: dict[str, FieldSpec] = SPEC) -> Tagger:
    torch.manual_seed(3)
    words = embed(VOCABULARY, WIDTH, 0, 1.0)
    recurrent = Recurrent(LSTMCell, WIDTH, HIDDEN, 1, False)
    encoders: dict[str, SequenceEncoder | ConvolutionalEncoder] = {
        "recurrent": SequenceEncoder(words, recurrent, nn.Identity(), "final"),
        "convolutional": ConvolutionalEncoder(words, WIDTH, HIDDEN, 2, 3, 0.0),
    }
    network = TaggerNetwork(encoders[encoder], OUTPUTS[output](), spec)
    task = Tagger(network, TaggerOptions(unknown_rate=0.0), None, 0)
    randomized(task.double())
    with torch.no_grad():
        task.network.output.linear.weight *= 10  # so that no label is the likeliest of all words
    return task


def batch_of(which: list[int], total: int, garbage: int = 0) -> Batch:
    """Sequences side by side, with the token ``garbage`` behind them up to ``total`` steps."""

    def rows(values: list[list[int]], filler: int) -> Tensor:
        return torch.tensor([values[b] + [filler] * (total - LENGTHS[b]) for b in which])

    lengths = torch.tensor([LENGTHS[b] for b in which])
    mask = torch.arange(total) < lengths[:, None]
    groups = rows(GROUPS, -1)
    fields = {
        "inputs": Padded(rows(TOKENS, garbage), lengths), "labels": Padded(rows(TARGETS, -1), lengths),
        "probe": Probed(groups, torch.full_like(groups, -1)),
    }  # fmt: skip
    return Batch(fields, mask, None, int(mask.sum()))


EVERYONE = list(range(len(TOKENS)))
ALONE = [batch_of([b], LENGTHS[b]) for b in EVERYONE]


def weight_of(batch: Batch, output: str) -> int:
    """Tokens that the mean of a loss counts."""
    return int((batch.mask if output == "crf" else batch.sequence("labels").values >= 0).sum())


@each_output
@each_encoder
@pytest.mark.parametrize("garbage", [0, 7])
def test_the_loss_of_a_step_is_the_mean_over_real_tokens_forward_and_backward(
    output: str, encoder: str, garbage: int
) -> None:
    task = build(output, encoder)
    weights, total = list(task.parameters()), sum(weight_of(batch, output) for batch in ALONE)

    def step(batch: Batch) -> tuple[Tensor, tuple[Tensor, ...]]:
        loss = task.training_step(batch, 0) * task.nominal / task.take_sums()[1]
        return loss, torch.autograd.grad(loss, weights)

    alone = [(weight_of(batch, output), *step(batch)) for batch in ALONE]
    for width in (max(LENGTHS), 9):
        loss, gradients = step(batch_of(EVERYONE, width, garbage))
        torch.testing.assert_close(loss, sum(n * own for n, own, _ in alone) / total, **EXACT)
        for k, gradient in enumerate(gradients):
            torch.testing.assert_close(gradient, sum(n * own[k] for n, _, own in alone) / total, **EXACT)


def test_every_real_token_is_counted_for_the_budget() -> None:
    task = build("softmax")
    task.training_step(batch_of(EVERYONE, 9), 0)
    assert task.tokens_seen == sum(LENGTHS)


@each_output
@each_encoder
@pytest.mark.parametrize("garbage", [0, 7])
def test_figures_are_those_of_each_sequence_alone(output: str, encoder: str, garbage: int) -> None:
    task = build(output, encoder)
    expected = experiment.evaluate_task(task, ALONE)
    for width in (max(LENGTHS), 9):
        assert experiment.evaluate_task(task, [batch_of(EVERYONE, width, garbage)]) == pytest.approx(
            expected, abs=1e-10
        )


@each_output
def test_a_label_that_training_never_had_is_always_wrong_and_has_no_loss(output: str) -> None:
    task, batch = build(output), batch_of(EVERYONE, 7)
    figures = experiment.evaluate_task(task, [batch])
    inputs, lengths = batch.sequence("inputs")
    told = task.network.output.best(task.network.encoder.outputs(inputs, lengths), lengths).tolist()
    right = [[a == b for a, b in zip(row, labels, strict=False)] for row, labels in zip(told, TARGETS, strict=True)]
    assert sum(map(sum, right)) > 0
    assert not any(
        hit for row, labels in zip(right, TARGETS, strict=True) for hit, label in zip(row, labels, strict=True)
        if label < 0
    )  # fmt: skip
    assert figures["accuracy"] == pytest.approx(sum(map(sum, right)) / sum(LENGTHS))
    for number, name in enumerate(GROUP_NAMES):
        hits = [right[b][t] for b in EVERYONE for t in range(LENGTHS[b]) if GROUPS[b][t] == number]
        assert figures[f"accuracy/{name}"] == pytest.approx(sum(hits) / len(hits))
    losses, mask, *_ = task.scores(batch, evaluating=True)
    assert weight_of(batch, output) == int(mask.sum())
    assert figures["loss"] == pytest.approx(losses[mask].mean().item(), abs=1e-12)


@each_output
def test_spans_are_the_headline_and_the_monitor_where_the_data_has_a_scheme_and_nowhere_else(output: str) -> None:
    plain, spans = build(output), build(output, spec=SPANS)
    assert (plain.monitor, plain.headline, plain.mode) == ("val/accuracy", "accuracy", "max")
    assert (spans.monitor, spans.headline, spans.mode) == ("val/f1", "f1", "max")
    figures = experiment.evaluate_task(plain, ALONE)
    assert not {"precision", "recall", "f1"} & figures.keys()
    experiment.evaluate_task(spans, ALONE[:1])  # what was counted once is forgotten
    measured = experiment.evaluate_task(spans, [batch_of(EVERYONE, 9)])
    metric = SpanF1(LABELS)
    for batch in ALONE:
        inputs, lengths = batch.sequence("inputs")
        features = spans.network.encoder.outputs(inputs, lengths)
        metric.update(spans.network.output.best(features, lengths), batch.sequence("labels").values, lengths)
    assert metric.predicted > 0
    expected = {name: float(value) for name, value in metric.compute().items()}
    assert {name: measured[name] for name in expected} == expected
    assert measured["accuracy"] == figures["accuracy"]


# ---- words spelled


def sentences(count: int, letters: str, seed: int) -> str:
    """Random words with random labels; the last word of a file is longer than what is read of it."""
    choose, lines = random.Random(seed), []
    for _ in range(count):
        for number in range(1, choose.randint(2, 8)):
            word = "".join(choose.choices(letters, k=choose.randint(1, 7)))
            lines.append(f"{number}\t{word}\t_\t{choose.choice(['A', 'B', 'C'])}\t_\t_\t_\t_\t_\t_")
        lines.append("")
    return "\n".join([*lines, f"1\t{letters * 20}\t_\tA\t_\t_\t_\t_\t_\t_", "", ""])


SPELLED = [
    ("bilstm-chars", []),
    ("bilstm-chars-crf", []),
    ("bilstm-bichars-crf", []),
    ("bilstm-chars", ["arch.output.name=feedback", "+arch.output.embedding_size=3", "+arch.output.beam=2"]),
]
each_spelled = pytest.mark.parametrize(
    ("arch", "overrides"), SPELLED, ids=["cnn", "cnn-crf", "bilstm-crf", "cnn-feedback"]
)
Spelled = tuple[Config, Tagger, Vocabularies, Split]
Make = Callable[[str, list[str]], Spelled]


@pytest.fixture
def spelled(small: Callable[..., Config], project: Path) -> Make:
    """A tagger that spells, and a split most of whose words, and one of whose letters, training never had."""
    for name, count, letters, seed in (("train", 30, "abcde", 1), ("validation", 50, "abcdez", 2)):
        (project / "data" / "small" / f"{name}.conllu").write_text(sentences(count, letters, seed), encoding="utf-8")

    def make(arch: str, overrides: list[str]) -> Spelled:
        config = small("tagging", arch, "data.reader.probe=null", "data.min_count=2", *overrides)
        data = PreparedData(config, preparation.prepared(config.data))
        torch.manual_seed(3)
        task = experiment.build_task(config, data.spec)
        assert isinstance(task, Tagger)
        randomized(task.double()).eval()
        assert isinstance(task.network.encoder.inputs, WordEmbedding)
        with torch.no_grad():  # what fills a word is never learned
            task.network.encoder.inputs.characters.embedding.weight[data.spec["spelling"].padding_index] = 0
            task.network.output.linear.weight *= 20  # so that no label is the likeliest of all words
        return config, task, data.vocabulary, data.split("validation")

    return make


def table_sizes(batches: list[Batch]) -> set[int]:
    """Of how many forms each batch has the characters."""
    return {len(batch.spelling.characters) for batch in batches if batch.spelling is not None}


def calls_of(task: Tagger) -> list[int]:
    """Numbers of the forms that the network over characters reads, call by call."""
    calls: list[int] = []
    assert isinstance(task.network.encoder.inputs, WordEmbedding)
    task.network.encoder.inputs.characters.register_forward_pre_hook(lambda _, given: calls.append(len(given[0])))
    return calls


@each_spelled
def test_the_splits_table_batch_by_batch_and_training_give_the_same_figures(
    arch: str, overrides: list[str], spelled: Make
) -> None:
    config, task, vocabulary, split = spelled(arch, overrides)
    whole = list(experiment.evaluation_loader(config, vocabulary.spec, split))
    apart = list(Buckets(split, vocabulary.spec, ("inputs",), 5, seed=0))  # as in training: the batch's own forms
    assert len(table_sizes(whole)) == 1 < len(table_sizes(apart))
    expected = experiment.evaluate_task(task, whole)
    assert experiment.evaluate_task(task, apart) == pytest.approx(expected, abs=1e-10)
    total = torch.zeros((), dtype=torch.float64)
    with torch.no_grad():
        for batch in whole:
            trained, evaluated = task.scores(batch, evaluating=False), task.scores(batch, evaluating=True)
            torch.testing.assert_close(trained.losses, evaluated.losses, **EXACT)
            total += (trained.losses * trained.mask).sum()
    assert float(total) / split["inputs"].steps == pytest.approx(expected["loss"], abs=1e-10)


@each_spelled
def test_an_evaluation_spells_each_form_once_and_forgets_it_when_it_ends(
    arch: str, overrides: list[str], spelled: Make
) -> None:
    config, task, vocabulary, split = spelled(arch, overrides)
    batches = list(experiment.evaluation_loader(config, vocabulary.spec, split))
    assert split.spelling is not None
    forms, calls = len(split.spelling.form_offsets) - 1, calls_of(task)
    first = experiment.evaluate_task(task, batches)
    assert sum(calls) == forms
    assert experiment.evaluate_task(task, batches) == first
    assert sum(calls) == 2 * forms
    assert isinstance(task.network.encoder.inputs, WordEmbedding)
    figures = [first]
    for broken_off in (False, True):
        if broken_off:
            task.validation_step(batches[0], 0)
        with torch.no_grad():
            task.network.encoder.inputs.characters.embedding.weight[1:] += 1.0
        fresh = spelled(arch, overrides)[1]
        fresh.load_state_dict(task.state_dict())
        figures.append(experiment.evaluate_task(task, batches))
        assert figures[-1] == experiment.evaluate_task(fresh, batches)
    assert len({figure["loss"] for figure in figures}) == 3


def test_the_table_is_one_table_however_often_it_was_copied(spelled: Make) -> None:
    """On another device than the loader's, every batch has a copy of its own."""
    config, task, vocabulary, split = spelled(*SPELLED[0])
    loader = experiment.evaluation_loader(config, vocabulary.spec, split)
    expected, calls = experiment.evaluate_task(task, loader), calls_of(task)

    def copied(batches: Iterable[Batch]) -> Iterable[Batch]:
        for batch in batches:
            yield batch.map(Tensor.clone)

    assert experiment.evaluate_task(task, copied(loader)) == expected
    assert split.spelling is not None
    assert sum(calls) == len(split.spelling.form_offsets) - 1


def predictor_of(config: Config, task: Tagger) -> Predictor:
    data = PreparedData(config, preparation.prepared(config.data))
    return Predictor(experiment.Trained(config, data.vocabularies, data.vocabulary, task.network))


def listened(task: Tagger, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Tensor, Tensor]]:
    """Features and labels of each sentence that is told from now on."""
    heard: list[tuple[Tensor, Tensor]] = []
    best = task.network.output.best

    def listening(features: Tensor, lengths: Tensor) -> Tensor:
        told = best(features, lengths)
        heard.extend((row[:n], labels[:n]) for row, labels, n in zip(features, told, lengths.tolist(), strict=True))
        return told

    monkeypatch.setattr(task.network.output, "best", listening)
    return heard


@each_spelled
def test_a_sentence_typed_is_told_as_it_is_in_an_evaluation_words_never_seen_included(
    arch: str, overrides: list[str], spelled: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, task, vocabulary, split = spelled(arch, overrides)
    predictor = predictor_of(config, task)
    text = (Path("data") / "small" / "validation.conllu").read_text(encoding="utf-8")
    lines = [" ".join(row.split("\t")[1] for row in block.splitlines()) for block in text.strip().split("\n\n")]
    lines.sort(key=lambda line: len(line.split()))  # as an evaluation reads them
    words = {word for line in lines for word in line.split()}
    assert sum(word not in vocabulary.symbols("inputs").index for word in words) > 100
    heard = listened(task, monkeypatch)
    experiment.evaluate_task(task, experiment.evaluation_loader(config, vocabulary.spec, split))
    evaluated, heard[:] = heard[:], []
    answers, labels = list(predictor.lines([*lines, ""])), vocabulary.spec["labels"].names
    assert answers.pop() == Labelled([], [])
    for line, answer, typed, expected in zip(lines, answers, heard, evaluated, strict=True):
        torch.testing.assert_close(typed[0], expected[0], **EXACT)
        assert answer == Labelled(line.split(), [labels[n] for n in expected[1].tolist()])
    assert len({label for answer in answers for label in answer.values()}) > 1


@each_spelled
def test_words_never_seen_are_told_apart_by_their_letters(
    arch: str, overrides: list[str], spelled: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, task, vocabulary, _ = spelled(arch, overrides)
    unseen = ["abcdabcdabcd", "dcbadcbadcba", "abcdabcdabcd"]
    assert not set(unseen) & vocabulary.symbols("inputs").index.keys()
    heard = listened(task, monkeypatch)
    list(predictor_of(config, task).lines(unseen))
    one, two, three = (features for features, _ in heard)
    assert torch.equal(one, three)
    assert (one - two).abs().max() > 1e-6
