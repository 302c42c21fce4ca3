"""``unroll prepare``: what is missing is named, and nothing is left half-written."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from unroll.cli import main
from unroll.config import Config

Refused = Callable[..., str]
Small = Callable[..., Config]


def test_a_public_corpus_that_is_not_here_names_the_command(project: Path, refused: Refused) -> None:
    message = refused(
        "prepare", "experiment=grammar", "data=brown", "~data.reader.probe", "~data.reader.contrast", "judged_by=null"
    )
    assert "unroll data fetch brown" in message


def test_a_full_disk_leaves_nothing_half_written(small: Small, project: Path) -> None:
    """A real failure of write(2): the process may write files of 300 bytes at the most."""
    config = small("tagging", "lstm")
    Path("run.yaml").write_text(config.dump(), encoding="utf-8")
    code = (
        "import resource, sys; from unroll.cli import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))\n"
        "sys.exit(main(['prepare', '--data', 'data.yaml', '--out', 'prepared']))"
    )
    from unroll.config import dump_data

    Path("data.yaml").write_text(dump_data(config.data), encoding="utf-8")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "could not be written" in done.stderr
    assert not [path for path in project.iterdir() if "prepared" in path.name]


def rewrite(config: Config, old: str, new: str, *splits: str) -> None:
    """Change the files of some splits."""
    for split in splits:
        path = Path(getattr(config.data, split))
        path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")


def saved(config: Config) -> str:
    """The settings in a file."""
    Path("run.yaml").write_text(config.dump(), encoding="utf-8")
    return "run.yaml"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["data.reader.probe=Contxt"], ["probe=Contxt", "(did you mean Context?)", "Attractors, Context, Contrast"]),
        (["data.reader.contrast=Nope"], ["contrast=Nope", "no token with Attractors", "Contrast"]),
        (["data.reader.probe=Context", "data.reader.contrast=Number"], ["contrast=Number", "no token with Context"]),
    ],
)
def test_a_key_that_no_token_has_is_refused_with_those_that_there_are(
    settings: list[str], said: list[str], small: Small, refused: Refused
) -> None:
    message = refused("train", "--config", saved(small("grammar", "lstm", *settings)))
    for part in (*said, *(f"data/small/{split}.conllu" for split in ("train", "validation", "test"))):
        assert part in message


def test_a_key_where_no_token_has_any_is_refused(small: Small, refused: Refused) -> None:
    config = small("tagging", "lstm")
    for misc in ("Context=left|Attractors=0|Contrast=sees|Distance=8", "Context=right",
                 "Attractors=1|Contrast=barks|Distance=10"):  # fmt: skip
        rewrite(config, misc, "_", "train", "validation", "test")
    assert "there are no other keys" in refused("train", "--config", saved(config))


def test_a_contrast_without_a_probe_is_refused(project: Path, refused: Refused) -> None:
    message = refused("prepare", "experiment=grammar", "~data.reader.probe")
    assert "~data.reader.contrast" in message


def test_a_key_of_train_alone_is_measured_where_it_is_and_the_others_are_named(
    small: Small, capsys: pytest.CaptureFixture[str]
) -> None:
    config = small("tagging", "lstm")
    rewrite(config, "Context=", "Other=", "validation", "test")
    assert main(["train", "--config", saved(config), "--out", "run"]) == 0
    said = capsys.readouterr()
    for split in ("validation", "test"):
        assert f"the {split} split (data/small/{split}.conllu) has no probed steps" in said.err
    assert "accuracy/left: nothing to score" in said.out


def test_a_key_of_validation_alone_is_measured(small: Small, capsys: pytest.CaptureFixture[str]) -> None:
    config = small("tagging", "lstm")
    rewrite(config, "Context=", "Other=", "train")
    assert main(["train", "--config", saved(config), "--out", "run"]) == 0
    said = capsys.readouterr()
    assert "has no probed steps" not in said.err
    assert "accuracy/left 0." in said.out or "accuracy/left 1." in said.out


def test_a_key_of_the_test_split_alone_is_refused(small: Small, refused: Refused) -> None:
    config = small("tagging", "lstm")
    rewrite(config, "Context=", "Other=", "train", "validation")
    assert "neither train nor validation has probed steps" in refused("train", "--config", saved(config))


def test_groups_of_the_test_split_alone_are_named(small: Small, capsys: pytest.CaptureFixture[str]) -> None:
    config = small("tagging", "lstm")
    rewrite(config, "Context=right", "Context=above", "test")
    assert main(["train", "--config", saved(config), "--out", "run"]) == 0
    assert "the groups above occur only in the test split (data/small/test.conllu)" in capsys.readouterr().err


@pytest.mark.slow
def test_a_file_of_conf_is_refused_with_a_command_that_prepares_it(project: Path, refused: Refused) -> None:
    message = refused("prepare", "--data", "conf/data/grammar.yaml")
    assert "unroll prepare experiment=EXPERIMENT data=grammar --out FOLDER" in message
    assert main(["prepare", "experiment=tagging", "data=grammar", "--out", "prepared"]) == 0  # the remedy
    assert main(["config", "--course", "conf/course.yaml"]) == 0
    assert main(["prepare", "--data", "outputs/configs/tagging/data.yaml", "--out", "again"]) == 0  # the other one
    assert "data=NAME" in refused("prepare", "--data", "conf/experiment/grammar.yaml")
    assert "experiment=grammar arch=lstm" in refused("train", "--config", "conf/experiment/grammar.yaml")


CONTENTS = {"train": "to be or not to be", "validation": "to be seen\nor heard", "test": "not to see\n"}
READERS = {  # settings, and the unknown among all in validation and test
    "words with labels": (["experiment=tagging", "~data.reader.probe", "judged_by=null"], "words", (2, 5), (1, 3)),
    "words of a text": (["data.reader={name: text, unit: words}", "data.sentence_end=true"], "words", (2, 5), (1, 3)),
    "characters": (["data.reader={name: text, unit: characters}"], "characters", (4, 20), (1, 11)),
}


@pytest.mark.parametrize("name", READERS)
def test_the_share_of_unknown_words_is_reported_however_often_it_is_asked(
    name: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, unit, *expected = READERS[name]
    words = ["prepare", *settings, "data.generator=null"]
    if "experiment=tagging" not in settings:
        words += ["experiment=tinyshakespeare", "data.split=null", "data.min_count=1"]
    for split, content in CONTENTS.items():
        path = Path(f"{split}.txt")
        lines = [[f"{n}\t{word}" + "\t_" * 8 for n, word in enumerate(line.split(), 1)] for line in content.split("\n")]
        table = "\n\n".join("\n".join(line) for line in lines) + "\n\n"
        path.write_text(table if "experiment=tagging" in settings else content, encoding="utf-8")
        words.append(f"data.{split}={path}")
    shares = [f"{unknown / total:.1%} of the {unit} ({unknown} of {total})" for unknown, total in expected]
    for _ in range(2):  # the second time from the cache
        assert main(words) == 0
        said = capsys.readouterr()
        assert said.err == f"unroll: {shares[0]} of validation and {shares[1]} of test are not in the vocabulary.\n"
    for part, (unknown, total) in zip(("fit", "test"), expected, strict=True):
        spec = json.loads((Path(said.out.strip()) / part / "spec.json").read_text(encoding="utf-8"))
        assert list(spec["unknown"].values()) == [{"unit": unit, "symbols": total, "unknown": unknown}]
