"""``unroll predict``: labels and numbers, and the folders that are refused."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from unroll.cli import main
from unroll.config import Config
from unroll.data.readers.columns import Columns

Refused = Callable[..., str]
Small = Callable[..., Config]
TrainedTo = Callable[[Config, Path], Path]
TypeIn = Callable[[bytes], None]


def test_a_run_of_an_older_version_is_to_be_upgraded(tagger: Path, refused: Refused) -> None:
    path = tagger / "vocabulary.json"
    path.write_text(json.dumps({"unit": "words", "tokens": ["[PAD]", "[UNK]", "[EOS]"]}), encoding="utf-8")
    settings = tagger / "config.yaml"
    settings.write_text(settings.read_text(encoding="utf-8").replace("  roles: {}\n", "  unit: words\n"))
    message = refused("predict", str(tagger), "the dog")
    assert "vocabulary.json" in message
    assert f"unroll upgrade {tagger}" in message


def test_predict_prints_tags_from_argument_input_and_file(
    tagger: Path, capsys: pytest.CaptureFixture[str], type_in: TypeIn
) -> None:
    assert main(["predict", str(tagger), "the dog barks"]) == 0
    assert capsys.readouterr().out == "the/DET dog/NOUN barks/VERB\n"
    assert main(["predict", str(tagger), "--json", "the dog barks"]) == 0
    assert json.loads(capsys.readouterr().out)["labels"] == ["DET", "NOUN", "VERB"]
    type_in(b"the dog barks\n\nthe old cat sees it\n")
    assert main(["predict", str(tagger)]) == 0
    assert capsys.readouterr().out == "the/DET dog/NOUN barks/VERB\n\nthe/DET old/ADJ cat/NOUN sees/VERB it/PRON\n"
    Path("lines.txt").write_text("the dog barks\n", encoding="utf-8")
    assert main(["predict", str(tagger), "--file", "lines.txt", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"tokens": ["the", "dog", "barks"], "labels": ["DET", "NOUN", "VERB"]}


def test_predict_prints_a_number_for_a_series(
    trained: TrainedTo, refused: Refused, small: Small, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trained(small("adding", "rnn"), project / "run")
    assert main(["predict", str(run), "0.2,1 0.3,1"]) == 0
    float(capsys.readouterr().out)
    assert "steps of 2 numbers" in refused("predict", str(run), "0.2 0.3")


def test_a_language_model_points_to_generate(language_model: Path, refused: Refused) -> None:
    assert "use unroll generate" in refused("predict", str(language_model), "the dog")


def test_a_folder_that_is_no_run_is_refused(project: Path, refused: Refused) -> None:
    assert "not a run" in refused("predict", "conf", "the dog")
    assert "not a run" in refused("predict", "missing", "the dog")
    assert "no runs" in refused("evaluate", "missing", "--prepared", "p")


def test_a_vocabulary_from_another_run_is_refused(tagger: Path, language_model: Path, refused: Refused) -> None:
    shutil.copy(language_model / "vocabulary.json", tagger / "vocabulary.json")
    assert "another run" in refused("predict", str(tagger), "the dog")


@pytest.mark.parametrize("damage", [b"", b"not a tensor file", None])
def test_damaged_weights_are_refused(tagger: Path, damage: bytes | None, refused: Refused) -> None:
    path = tagger / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-10] if damage is None else damage)
    assert "damaged" in refused("predict", str(tagger), "the dog")


WORD = b"%d\t%s\t_\t%s\t_\tCase=Nom\t2\tdet\t_\tNote= x \r\n"


def conllu(tags: bytes) -> bytes:
    """A file with all that CoNLL-U has: a mark, comments, a range, an empty node, no last line end."""
    words = [WORD % row for row in zip([1, 2, 3, 1], [b"the", b"dog", b"barks", b"it"], tags.split(), strict=True)]
    nodes = b"2-3\tdog barks\t_\t_\t_\t_\t_\t_\t_\t_\r\n", b"3.1\tnone\t_\tX\t_\t_\t_\t_\t_\t_\r\n"
    first = b"# newdoc\r\n#\t1\t\t\r\n" + words[0] + nodes[0] + words[1] + words[2] + nodes[1] + b"\r\n\r\n"
    return b"\xef\xbb\xbf" + first + b"# text = \xc3\xa9\n" + words[3].rstrip()


def test_conllu_comes_back_with_the_tags_filled_in_and_all_else_byte_for_byte(
    tagger: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    Path("in.conllu").write_bytes(conllu(b"_ _ X _"))
    assert main(["predict", str(tagger), "--file", "in.conllu"]) == 0
    assert capfdbinary.readouterr().out == conllu(b"DET NOUN VERB PRON")
    Path("first.conllu").write_bytes(b"\xef\xbb\xbf" + WORD % (1, b"the", b"_"))
    assert main(["predict", str(tagger), "--file", "first.conllu"]) == 0
    assert capfdbinary.readouterr().out == b"\xef\xbb\xbf" + WORD % (1, b"the", b"DET")
    assert main(["predict", str(tagger), "--file", "in.conllu", "--json"]) == 0
    answers = [json.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
    assert [answer["labels"] for answer in answers] == [["DET", "NOUN", "VERB"], ["PRON"]]


COLUMNS = """\
-DOCSTART-\t-X-\tO

# id = 1
the\t1\t{}
# \t1\t {} \r
barks\t1\t{}

\t
x\t\t{}"""
BLANKS = " the  1 {} \n dog 2   {}\n\n-DOCSTART- -X- O\nbarks 3 {}\n\n"


@pytest.mark.parametrize(("content", "count"), [(COLUMNS, 4), (BLANKS, 3)], ids=["tabs", "blanks"])
def test_columns_come_back_with_the_labels_filled_in_and_all_else_byte_for_byte(
    content: str, count: int, project: Path
) -> None:
    reader, path = Columns(token_column=0, label_column=-1), Path("in.conll")
    before, after = (content.format(*[f"{name}{n}" for n in range(count)]) for name in ("O", "B-new"))
    path.write_bytes(before.encode())
    assert [label for record in reader.read(path) for label in record["labels"]] == [f"O{n}" for n in range(count)]
    values = iter([f"B-new{n}" for n in range(count)])
    assert b"".join(reader.fill(path, values)) == after.encode()
    assert list(values) == []


def test_a_column_of_labels_may_be_any_column_even_an_empty_one(project: Path) -> None:
    Path("in.tsv").write_bytes(b"O\tthe\t\r\n\tdog\t\n  \tbarks\t")
    reader = Columns(token_column=1, label_column=0)
    assert b"".join(reader.fill(Path("in.tsv"), iter("ABC"))) == b"A\tthe\t\r\nB\tdog\t\nC  \tbarks\t"


def test_series_come_back_with_the_number_filled_in(
    trained: TrainedTo, small: Small, project: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    run = str(trained(small("adding", "rnn"), project / "run"))
    Path("in.series").write_bytes(b"0.5\t0.2,1  0.3,1\r\n\n9\t0.4,1 0.5,1")
    capfdbinary.readouterr()
    assert main(["predict", run, "--file", "in.series"]) == 0
    filled = capfdbinary.readouterr().out
    assert main(["predict", run, "--file", "in.series", "--json"]) == 0
    numbers = [json.loads(line)["prediction"] for line in capfdbinary.readouterr().out.splitlines()]
    assert filled == b"%r\t0.2,1  0.3,1\r\n\n%r\t0.4,1 0.5,1" % tuple(numbers)


def test_evaluate_gives_the_figures_of_unroll_evaluate(tagger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(tagger)]) == 0  # it prepares the data itself
    figures = capsys.readouterr().out.split("test  ")[1]
    assert "accuracy" in figures
    for options in ([], ["--json"]):
        assert main(["predict", str(tagger), "--file", "data/small/test.conllu", "--evaluate", *options]) == 0
        printed = capsys.readouterr()
        assert printed.err == figures
    assert len(printed.out.splitlines()) == 20


def test_what_has_no_answers_is_not_evaluated(tagger: Path, refused: Refused, type_in: TypeIn) -> None:
    assert "Plain lines have no labels" in refused("predict", str(tagger), "the dog", "--evaluate")
    Path("lines.txt").write_text("the dog\n", encoding="utf-8")
    assert "in the format conllu" in refused("predict", str(tagger), "--file", "lines.txt", "--evaluate")
    Path("in.conllu").write_bytes(conllu(b"_ _ _ _"))
    assert "has no labels" in refused("predict", str(tagger), "--file", "in.conllu", "--evaluate")


def test_a_file_of_another_format_is_refused(
    tagger: Path, refused: Refused, trained: TrainedTo, small: Small, project: Path
) -> None:
    for name in ("in.series", "in.tsv"):
        Path(name).write_text("the\tdog\n", encoding="utf-8")
        message = refused("predict", str(tagger), "--file", name)
        assert f"{name} is named as a file of the format" in message
        assert "this run reads conllu (.conllu); convert it, or give plain lines in a .txt file." in message
    Path("in.other").write_text("the\tdog\n", encoding="utf-8")
    assert "in.other, line 1: 2 columns, but CoNLL-U has ten" in refused("predict", str(tagger), "--file", "in.other")
    Path("late.conllu").write_bytes(conllu(b"_ _ X _") + b"\n\n# text\n\t")
    assert "late.conllu, line 14: 2 columns" in refused("predict", str(tagger), "--file", "late.conllu")
    assert "missing.conllu does not exist" in refused("predict", str(tagger), "--file", "missing.conllu")
    Path("folder.conllu").mkdir()
    assert "is a folder" in refused("predict", str(tagger), "--file", "folder.conllu")
    run = trained(small("adding", "rnn"), project / "run")
    Path("in.series").write_text("0.5\t0.2 0.3\n", encoding="utf-8")
    assert "line 1 has steps of 1 numbers" in refused("predict", str(run), "--file", "in.series")


def test_a_pipe_cannot_give_its_format_back(tagger: Path, refused: Refused) -> None:
    os.mkfifo("pipe")
    assert "is read twice" in refused("predict", str(tagger), "--file", "pipe")


def test_unknown_symbols_are_counted(tagger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(tagger), "the nobody barks"]) == 0
    assert capsys.readouterr().err == (
        "unroll: 33.3% of the words (1 of 3) are not in the vocabulary of the run and were read as unknown.\n"
    )
    assert main(["predict", str(tagger), "the dog barks"]) == 0
    assert capsys.readouterr().err == ""  # neither progress, which is for a terminal
