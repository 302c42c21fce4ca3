"""Corpora of one's own, from the files to the figures: what cannot be understood is refused with file, line, remedy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from unroll.cli import main

Refused = Callable[..., str]

WORDS = (("the", "DET"), ("dog", "NOUN"), ("barks", "VERB"), (".", "PUNCT"))
SMALL = ["experiment=tagging", "arch=lstm", "judged_by=null", "tracking=none", "training.tokens=400",
         "training.batch_size=4", "training.validations=1", "arch.encoder.hidden_size=4", "arch.inputs.size=4",
         "~data.reader.probe", "data=own"]  # fmt: skip


def conllu(sentences: int, tag: str | None = None) -> str:
    """Sentences in CoNLL-U, all with one tag if it is given."""
    rows = [f"{n}\t{form}\t_\t{tag or own}\t_\t_\t_\t_\t_\t_\n" for n, (form, own) in enumerate(WORDS, start=1)]
    return ("".join(rows) + "\n") * sentences


def written(name: str, **contents: str | bytes) -> str:
    """A folder with a file of each split, whose names end alike."""
    for split, content in contents.items():
        path = Path("own", f"{split}{name}")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return "own"


def test_labels_that_are_withheld_from_the_test_split_give_no_figures(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = written(".conllu", train=conllu(20), dev=conllu(5), test=conllu(5, "_"))
    assert main(["data", "add", folder]) == 0
    added = capsys.readouterr()
    assert "no label of the test split (own/test.conllu) is given" in added.err
    assert main(["prepare", *SMALL]) == 0
    assert "no label of the test split (data/own/test.conllu) is given" in capsys.readouterr().err
    assert main(["train", *SMALL, "--out", "run"]) == 0
    capsys.readouterr()
    assert main(["evaluate", "run", "--out", "figures.json"]) == 0
    printed = capsys.readouterr()
    assert "no value of labels in the test split of data=own is given" in printed.err
    assert "nan" not in (printed.out + Path("figures.json").read_text(encoding="utf-8")).lower()
    (entry,) = json.loads(Path("figures.json").read_text(encoding="utf-8")).values()
    assert entry["split"] == "validation"
    assert entry["test"]["accuracy"] is not None


def test_labels_that_are_missing_here_and_there_are_left_out_of_the_figures_of_test_only(
    project: Path, refused: Refused, capsys: pytest.CaptureFixture[str]
) -> None:
    gap = conllu(1).replace("\tNOUN\t", "\t_\t")
    written(".conllu", train=conllu(20), dev=conllu(5), test=conllu(5) + gap)
    assert main(["data", "add", "own"]) == 0
    assert main(["train", *SMALL, "--out", "run"]) == 0
    assert main(["evaluate", "run", "--out", "figures.json"]) == 0
    (entry,) = json.loads(Path("figures.json").read_text(encoding="utf-8")).values()
    assert entry["items"]["accuracy"] == entry["items"]["loss"] == 23  # of 24
    for split in ("train", "dev"):
        path = Path("data/own", f"{split}.conllu")
        path.write_text(conllu(20) + gap, encoding="utf-8")
        message = refused("train", *SMALL, "--out", "other")
        assert f"{path}, line 102" in message
        assert "give it" in message
        path.write_text(conllu(20), encoding="utf-8")
    assert main(["prepare", "experiment=grammar", "data=own", "~data.reader.probe", "~data.reader.contrast"]) == 0
