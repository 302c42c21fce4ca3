"""``unroll predict``: labels and numbers, and the folders that are refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from unroll.cli import main
from unroll.config import Config

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
    assert "no run" in refused("predict", "conf", "the dog")
    assert "no run" in refused("predict", "missing", "the dog")
    assert "no runs" in refused("evaluate", "missing", "--prepared", "p")


def test_a_vocabulary_from_another_run_is_refused(tagger: Path, language_model: Path, refused: Refused) -> None:
    shutil.copy(language_model / "vocabulary.json", tagger / "vocabulary.json")
    assert "another run" in refused("predict", str(tagger), "the dog")


@pytest.mark.parametrize("damage", [b"", b"not a tensor file", None])
def test_damaged_weights_are_refused(tagger: Path, damage: bytes | None, refused: Refused) -> None:
    path = tagger / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-10] if damage is None else damage)
    assert "damaged" in refused("predict", str(tagger), "the dog")
