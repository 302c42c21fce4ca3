"""Files as a person has them: labels in the scheme of the file everywhere, and answers in files that have none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from unroll.cli import main

Refused = Callable[..., str]

TINY = ["task=tagger", "tracking=none", "training.tokens=2000", "training.validations=1", "training.batch_size=8",
        "arch.encoder.hidden_size=8", "arch.inputs.size=8", "training.optimizer.learning_rate=0.1"]  # fmt: skip
SEGMENTED = "".join(f"a B\nb M\nc E\n{'d' * (n % 2 + 1)} S\n\n" for n in range(40))


@pytest.fixture(scope="session")
def tiny_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs that were trained for one test, to be copied for the others."""
    return tmp_path_factory.mktemp("tiny")


@pytest.fixture
def train(project: Path, tiny_runs: Path) -> Callable[..., str]:
    """Add a file, train on it, and name the run."""

    def run(name: str, content: str, *words: str) -> str:
        kept = tiny_runs / name
        if not kept.exists():
            Path(name).write_text(content, encoding="utf-8")
            settings = [word for word in words if word.startswith("data.")]
            assert main(["data", "add", name, "--name", "own", *settings]) == 0
            others = [word for word in words if not word.startswith("data.")]
            assert main(["train", "data=own", *others, "--out", "run"]) == 0
            shutil.copytree("run", kept)
        return str(shutil.copytree(kept, project / "here"))

    return run


@pytest.fixture
def segmenter(train: Callable[..., str]) -> str:
    """A run that divides text into words, with a CRF, trained on a single file."""
    return train("words.conll", SEGMENTED, *TINY, "arch=bilstm-crf")


def test_labels_are_printed_in_the_scheme_of_the_file(segmenter: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["predict", segmenter, "a b c d"]) == 0
    assert capsys.readouterr().out == "a/B b/M c/E d/S\n"
    Path("in.conll").write_text("a _\nb _\nc _\nd _\n", encoding="utf-8")
    assert main(["predict", segmenter, "--file", "in.conll", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["labels"] == ["B", "M", "E", "S"]
    assert main(["predict", segmenter, "--file", "in.conll"]) == 0
    assert capsys.readouterr().out == "a B\nb M\nc E\nd S\n"


def test_word_segmentation_is_scored_by_spans(segmenter: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("in.conll").write_text("a B\nb M\nc E\nd S\n\na B\nb E\nc S\nd S\n", encoding="utf-8")
    capsys.readouterr()
    assert main(["predict", segmenter, "--file", "in.conll", "--evaluate"]) == 0
    figures = capsys.readouterr().err
    assert "f1 0.6" in figures  # 2 of 4 predicted, of 5
    assert "warning" not in figures.lower()


@pytest.mark.parametrize(("content", "filled"), [
    ("a\nb\nc\nd\n", "a\tB\nb\tM\nc\tE\nd\tS\n"),
    ("a\r\nb \nc\n\na\nb\nc", "a\tB\r\nb \tM\nc\tE\n\na\tB\nb\tM\nc\tE"),
    ("a\t\nb\t_\nc\t\n", "a\tB\nb\tM\nc\tE\n"),
    ("", ""),
], ids=["one word per line", "line ends", "empty labels", "nothing"])  # fmt: skip
def test_labels_are_filled_into_a_file_that_has_none(
    content: str, filled: str, segmenter: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    Path("in.conll").write_bytes(content.encode())
    capfdbinary.readouterr()
    assert main(["predict", segmenter, "--file", "in.conll"]) == 0
    assert capfdbinary.readouterr().out == filled.encode()


def test_labels_are_added_behind_the_last_column_and_to_the_header(
    train: Callable[..., str], capsys: pytest.CaptureFixture[str], refused: Refused
) -> None:
    rows = "".join(f"{n}\t{word}\tX\t{tag}\n" for n, (word, tag) in enumerate([("the", "DET"), ("dog", "NOUN")], 1))
    columns = ["data.reader.token_column=1", "data.reader.label_column=3"]
    run = train("four.tsv", "ID\tFORM\tLEMMA\tUPOS\n" + (rows + "\n") * 40, *TINY, "arch=lstm", *columns)
    capsys.readouterr()
    Path("in.tsv").write_text("ID\tFORM\tLEMMA\n1\tthe\tX\n2\tdog\tX\n", encoding="utf-8")
    assert main(["predict", run, "--file", "in.tsv"]) == 0
    assert capsys.readouterr().out == "ID\tFORM\tLEMMA\tUPOS\n1\tthe\tX\tDET\n2\tdog\tX\tNOUN\n"
    Path("in.tsv").write_text("the\ndog\n", encoding="utf-8")
    assert "in.tsv, line 1: 1 column, but" in (message := refused("predict", run, "--file", "in.tsv"))
    assert "with _ for what is not given" in message
    Path("in.tsv").write_text("1\tthe\t_\t_\n2\tdog\t_\t_\n", encoding="utf-8")
    assert main(["predict", run, "--file", "in.tsv"]) == 0
    Path("in.tsv").write_text("1\tthe\t_\tthe\n2\tdog\t_\tdog\n", encoding="utf-8")
    message = refused("predict", run, "--file", "in.tsv")
    assert "'dog' and 'the' in place of labels (data.reader.label_column=3)" in message
    assert "put _" in message


def test_a_number_is_put_before_the_steps_of_a_series(
    train: Callable[..., str], capsys: pytest.CaptureFixture[str], refused: Refused
) -> None:
    words = [word for word in TINY if "inputs" not in word and "task" not in word]
    run = train("a.series", "".join(f"{n / 60}\t{n / 60},1 0,1\n" for n in range(60)), *words, "task=regressor",
                "arch=lstm")  # fmt: skip
    Path("in.series").write_text("0.5,1 0,1\n\n_\t0.5,1 0,1\n\t0.5,1 0,1\n", encoding="utf-8")
    capsys.readouterr()
    assert main(["predict", run, "--file", "in.series"]) == 0
    (number, *_), *others = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert others == [[""], [number, "0.5,1 0,1"], [number, "0.5,1 0,1"]]
    float(number)
    assert "leave out --evaluate" in refused("predict", run, "--file", "in.series", "--evaluate")
    Path("in.series").write_text("0.5,1 x\n", encoding="utf-8")
    assert "in.series, line 1" in refused("predict", run, "--file", "in.series")


WRITER = ["task=transducer", "arch=seq2seq", "training.tokens=3000", "training.optimizer.learning_rate=0.05",
          "training.batch_size=8", "tracking=none",
          "arch.encoder.hidden_size=8", "arch.decoder.hidden_size=8", "arch.inputs.size=8"]  # fmt: skip


def test_targets_are_filled_into_a_table_that_has_none(
    train: Callable[..., str], capsys: pytest.CaptureFixture[str], refused: Refused
) -> None:
    rows = "".join(f"a{n % 7} b\tx y{n % 7}\n" for n in range(60))
    run = train("pairs.tsv", f"source\ttarget\n{rows}", *WRITER, "data.reader.name=pairs")
    capsys.readouterr()
    Path("in.txt").write_text("a1 b\n", encoding="utf-8")
    assert main(["predict", run, "--file", "in.txt"]) == 0
    answer = capsys.readouterr().out.strip()
    Path("in.tsv").write_text("source\na1 b\na1 b\t\n\na1 b\t_\n", encoding="utf-8")
    assert main(["predict", run, "--file", "in.tsv"]) == 0
    assert capsys.readouterr().out == f"source\ttarget\na1 b\t{answer}\na1 b\t{answer}\n\na1 b\t{answer}\n"
    assert "leave out --evaluate" in refused("predict", run, "--file", "in.tsv", "--evaluate")


def test_targets_are_written_for_sources_without_their_other_file(
    project: Path, capsys: pytest.CaptureFixture[str], refused: Refused
) -> None:
    Path("own").mkdir()
    for split in ("train", "dev"):
        Path("own", f"{split}.src").write_text("".join(f"a{n % 7} b\n" for n in range(40)), encoding="utf-8")
        Path("own", f"{split}.tgt").write_text("".join(f"x y{n % 7}\n" for n in range(40)), encoding="utf-8")
    assert main(["data", "add", "own", "data.reader.name=aligned"]) == 0
    assert main(["train", "data=own", *WRITER, "--out", "run"]) == 0
    Path("in.src").write_text("a1 b\n\na1 b\n", encoding="utf-8")
    capsys.readouterr()
    assert main(["predict", "run", "--file", "in.src"]) == 0
    first, empty, last = capsys.readouterr().out.splitlines()
    assert (first, empty) == (last, "")
    assert first
    assert "leave out --evaluate" in refused("predict", "run", "--file", "in.src", "--evaluate")


def test_another_column_in_place_of_spans_is_refused(segmenter: str, refused: Refused) -> None:
    Path("in.conll").write_text("a DET\nb NOUN\n", encoding="utf-8")
    message = refused("predict", segmenter, "--file", "in.conll")
    assert "in.conll, line 1: 'DET'" in message
    assert "put _ into column -1, or add it" in message


@pytest.mark.parametrize("content", ["", "\n\n", "a\nb\n"])
def test_a_file_without_answers_is_not_evaluated(content: str, segmenter: str, refused: Refused) -> None:
    Path("empty.conll").write_text(content, encoding="utf-8")
    assert "leave out --evaluate" in refused("predict", segmenter, "--file", "empty.conll", "--evaluate")
