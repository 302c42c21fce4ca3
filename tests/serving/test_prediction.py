"""Prediction is the training path: equal to evaluation and to single records, in any batch, in the order of input."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from cells.test_cells import randomized

from unroll import experiment, preparation
from unroll.config import Config
from unroll.data.batch import Batch
from unroll.data.buckets import Buckets
from unroll.data.unknown import Unknown
from unroll.errors import BadInput
from unroll.experiment import Trained, loading
from unroll.experiment.prepared_data import PreparedData
from unroll.serving import Predictor, prediction
from unroll.tasks.answer import Empty, Labelled
from unroll.tasks.base import Scores

FILE = Path("data/small/test.conllu")
Small = Callable[..., Config]
TAGGERS = [
    ("bilstm", []),
    ("lstm", []),
    ("cnn", []),
    ("bilstm-chars-crf", []),
    ("bilstm-bichars-crf", []),
    ("bilstm-chars", ["arch.output.name=feedback", "+arch.output.embedding_size=3", "+arch.output.beam=3"]),
]
NAMES = ["bilstm", "lstm", "cnn", "chars-crf", "bichars-crf", "feedback"]


def sentence(draw: random.Random) -> str:
    rows = []
    for number in range(draw.randint(1, 9)):
        word = "".join(draw.choices("abcde", k=draw.randint(1, 3)))
        rows.append(f"{number + 1}\t{word}\t_\t{draw.choice('XYZ')}\t_\t_\t_\t_\t_\t_\n")
    return "".join(rows) + "\n"


@pytest.fixture
def made(small: Small, project: Path) -> Callable[..., Trained]:
    """A run with random weights, on sentences of many lengths."""
    draw = random.Random(5)
    for split in ("train", "validation", "test"):
        content = "".join(sentence(draw) for _ in range(40))
        (project / "data" / "small" / f"{split}.conllu").write_text(content, encoding="utf-8")

    def make(experiment_name: str, arch: str, *overrides: str) -> Trained:
        probe = [] if experiment_name == "adding" else ["data.reader.probe=null", "data.reader.contrast=null"]
        config = small(experiment_name, arch, *probe, *overrides)
        data = PreparedData(config, preparation.prepared(config.data))
        torch.manual_seed(3)
        network = randomized(experiment.build_network(config, data.spec).double()).eval()
        with torch.no_grad():
            for name, weight in network.named_parameters():
                if "output.linear" in name or "decoder" in name:  # so that no label is the likeliest of all words
                    weight *= 20
                if "characters.embedding" in name:  # what fills a word is never learned
                    weight[0] = 0
        return Trained(config, data.vocabularies, data.vocabulary, network)

    return make


def with_training(run: Trained, **settings: int) -> Trained:
    config = run.config.model_copy(update={"training": run.config.training.model_copy(update=settings)})
    return Trained(config, run.vocabularies, run.vocabulary, run.network)


def evaluated(run: Trained) -> list[torch.Tensor]:
    """What an evaluation of the test split predicts of each record, in the order of the file."""
    data = PreparedData(run.config, preparation.prepared(run.config.data))
    split = data.split("test")
    loader = loading.evaluation_loader(run.config, data.spec, split)
    assert isinstance(loader, Buckets)
    found: dict[int, torch.Tensor] = {}
    heard: list[Scores] = []
    judge = run.task.judge
    run.task.judge = lambda batch: heard.append(judge(batch)) or heard[-1]  # type: ignore[method-assign, func-returns-value]
    experiment.evaluate_task(run.task, loader)
    run.task.judge = judge  # type: ignore[method-assign]
    for number, scores in enumerate(heard):
        assert scores.predicted is not None
        found |= dict(zip(loader.rows(number).tolist(), scores.predicted, strict=True))
    return [found[row] for row in range(split.count)]


def sentences_of(path: Path) -> list[str]:
    blocks = path.read_text(encoding="utf-8").strip().split("\n\n")
    return [" ".join(row.split("\t")[1] for row in block.splitlines()) for block in blocks]


@pytest.mark.parametrize(("arch", "overrides"), TAGGERS, ids=NAMES)
def test_labels_are_those_of_an_evaluation_and_of_single_sentences_whatever_the_batch(
    arch: str, overrides: list[str], made: Callable[..., Trained], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = made("tagging", arch, *overrides)
    names = run.network.spec["labels"].names
    lines = sentences_of(FILE)
    tokens = [line.split() for line in lines]
    labels = [[names[n] for n in row[: len(words)].tolist()] for row, words in zip(evaluated(run), tokens, strict=True)]
    expected = [Labelled(*pair) for pair in zip(tokens, labels, strict=True)]
    assert len({label for answer in expected for label in answer.labels}) > 1
    assert list(Predictor(run).file(FILE)) == expected
    assert [next(Predictor(run).lines([line])) for line in lines] == expected
    for size in (1, 3, 64):
        assert list(Predictor(with_training(run, batch_size=size)).lines(lines)) == expected
    monkeypatch.setattr(prediction, "POOL", 2)
    monkeypatch.setattr(loading, "MOST_STEPS", 7)  # most sentences are longer than a batch may be
    assert list(Predictor(run).lines(lines)) == expected


@pytest.mark.parametrize("end", ["true", "false"])
@pytest.mark.parametrize("arch", ["bilstm", "lstm"])
def test_a_cloze_predicts_as_in_an_evaluation_which_reads_the_end_of_a_sentence(
    arch: str, end: str, made: Callable[..., Trained]
) -> None:
    run = made("grammar", arch, "task=cloze", f"data.sentence_end={end}")
    lines, symbols = sentences_of(FILE), run.vocabulary.symbols("inputs").symbols
    answers = list(Predictor(run).lines(lines))
    assert list(Predictor(run).file(FILE)) == answers
    assert [next(Predictor(run).lines([line])) for line in lines] == answers
    same = 0
    for answer, row in zip(answers, evaluated(run), strict=True):
        assert isinstance(answer, Labelled)
        for label, number in zip(answer.labels, row.tolist(), strict=False):
            if number >= 2:  # an evaluation may find padding or the unknown word the likeliest
                assert label == symbols[number]
                same += 1
    assert same > 50
    assert len({label for answer in answers for label in answer.values()}) > 1


def test_a_cloze_of_characters_reads_the_line_break_as_training_does(
    small: Small, made: Callable[..., Trained]
) -> None:
    words = [f"data.{split}=data/small/{split}.txt" for split in ("train", "validation", "test")]
    run = made("grammar", "bilstm", "task=cloze", "data.reader={name: text, unit: characters}",
               "data.sentence_end=false", *words)  # fmt: skip
    text = Path("data/small/test.txt").read_text(encoding="utf-8")
    assert list(Predictor(run).lines([""])) == [Labelled([], [])]
    answers = list(Predictor(run, evaluates=True).lines(text.splitlines()))
    assert "".join("".join(answer.tokens) + "\n" for answer in answers if isinstance(answer, Labelled)) == text
    assert_same_figures(run, text.splitlines())


def assert_same_figures(run: Trained, lines: list[str]) -> None:
    """The figures of predicted lines are those of an evaluation of the test split."""
    predictor = Predictor(run, evaluates=True)
    list(predictor.lines(lines))
    split = PreparedData(run.config, preparation.prepared(run.config.data)).split("test")
    expected = experiment.evaluate_task(run.task, loading.evaluation_loader(run.config, run.task.spec, split))
    list(predictor.lines(lines))
    assert predictor.figures()[0] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("arch", ["rnn", "cnn"])
def test_numbers_are_those_of_an_evaluation_and_of_single_series_whatever_the_batch(
    arch: str, made: Callable[..., Trained]
) -> None:
    run = made("adding", arch)
    path = Path("data/small/test.series")
    lines = [line.partition("\t")[2] for line in path.read_text(encoding="utf-8").splitlines()]
    expected = [float(value) for value in evaluated(run)]
    assert len(set(expected)) > 1

    def found(answers: Iterator[object]) -> list[float]:
        return [answer.prediction for answer in answers]  # type: ignore[attr-defined]

    assert found(Predictor(run).file(path)) == pytest.approx(expected, rel=1e-9)
    assert [found(Predictor(run).lines([line]))[0] for line in lines] == pytest.approx(expected, rel=1e-9)
    assert found(Predictor(with_training(run, batch_size=7)).lines(lines)) == pytest.approx(expected, rel=1e-9)


def test_an_empty_line_has_an_empty_answer(made: Callable[..., Trained]) -> None:
    tagger = made("tagging", "bilstm")
    answers = list(Predictor(tagger).lines(["", "a b", "  "]))
    assert (answers[0], answers[2]) == (Labelled([], []), Labelled([], []))
    assert len(answers[1].values()) == 2
    assert list(Predictor(tagger).lines([])) == []
    answers = list(Predictor(made("adding", "rnn")).lines(["", "0.5,1 0.25,0", ""]))
    assert (answers[0], answers[2]) == (Empty(), Empty())
    assert (str(answers[0]), answers[0].content()) == ("", {})


@pytest.mark.parametrize("line", ["0.5", "0.5,1,2", "a,b", "0.5,1 0.5"])
def test_a_line_that_is_not_a_series_is_refused(line: str, made: Callable[..., Trained]) -> None:
    with pytest.raises(BadInput, match="is no series; write steps of 2 numbers"):
        list(Predictor(made("adding", "rnn")).lines([line]))


def test_records_are_read_a_chunk_at_a_time(made: Callable[..., Trained], monkeypatch: pytest.MonkeyPatch) -> None:
    run, read, seen = made("tagging", "bilstm"), [], []

    def lines() -> Iterator[str]:
        read.clear()
        for number in range(100):
            read.append(number)
            yield "a b c"

    monkeypatch.setattr(prediction, "POOL", 2)
    answers = Predictor(run, progress=lambda found: seen.append(found.records)).lines(lines())
    next(answers)
    assert len(read) == 2 * run.config.training.batch_size
    assert len(list(answers)) == 99
    assert seen[-1] == 100
    monkeypatch.setattr(prediction, "POOL", 256)
    monkeypatch.setattr(prediction, "CHUNK_STEPS", 9)  # three lines
    next(Predictor(run).lines(lines()))
    assert len(read) == 3


def test_a_long_record_has_no_other_padded(made: Callable[..., Trained], monkeypatch: pytest.MonkeyPatch) -> None:
    run, shapes = made("tagging", "bilstm"), []
    predict = run.network.predict

    def listening(batch: Batch) -> torch.Tensor:
        shapes.append(tuple(batch.mask.shape))
        return predict(batch)

    monkeypatch.setattr(loading, "MOST_STEPS", 100)
    monkeypatch.setattr(run.network, "predict", listening)
    (short, long, last) = Predictor(run).lines(["a b", "a " * 500, "b"])
    assert shapes == [(2, 2), (1, 500)]
    assert [len(answer.values()) for answer in (short, long, last)] == [2, 500, 1]


def test_each_form_is_spelled_once_and_what_is_unknown_is_counted(
    made: Callable[..., Trained], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, forms = made("tagging", "bilstm-chars-crf"), []
    spelling = run.network.encoder.inputs  # type: ignore[union-attr]
    features = spelling.features  # type: ignore[union-attr]
    monkeypatch.setattr(spelling, "features", lambda *given: forms.append(len(given[1])) or features(*given))
    predictor = Predictor(run)
    list(predictor.lines(["a b nobody", "nobody a"] * 10))
    assert forms == [3]
    known = run.vocabulary.symbols("inputs").index
    missing = 10 * sum(word not in known for word in ["a", "b", "nobody", "nobody", "a"])
    assert predictor.seen.records == 20
    assert predictor.seen.unknown == {"inputs": Unknown("words", 50, missing)}


def test_a_task_that_has_no_such_call_says_so(made: Callable[..., Trained]) -> None:
    run = made("grammar", "lstm")
    with pytest.raises(BadInput, match="use unroll generate"):
        Predictor(run)


def test_a_name_says_whether_a_file_has_plain_lines(made: Callable[..., Trained]) -> None:
    run = made("tagging", "bilstm")
    names = {"a.conllu": False, "a.txt": True, "a": False, "a.other": False}
    assert {name: Predictor(run).asking.is_plain(Path(name)) for name in names} == names
    data = run.config.data.model_copy(update={"train": "data/small/train.txt"})  # CoNLL-U in a file named as text
    run.config = run.config.model_copy(update={"data": data})
    assert not Predictor(run).asking.is_plain(Path("a.txt"))
    for name in ("a.tsv", "a.iob2"):
        with pytest.raises(BadInput, match=rf"{name} is named as a file of the format columns, .* conllu \(\.conllu\)"):
            Predictor(run).asking.is_plain(Path(name))
