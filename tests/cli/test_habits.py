"""Habits of those who know Hydra, Lightning and Optuna: one sentence that helps, with exit code 2."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from unroll.cli import main
from unroll.config import GROUPS, habits, keys

Refused = Callable[..., str]
RATE = "did you mean training.optimizer.learning_rate?"
SIZE = "did you mean arch.encoder.hidden_size?"
LOOP = "for seed in 0 1 2; do unroll train … seed=$seed; done"
KNOWN = [*keys(), *GROUPS, "pruner.startup_trials"]


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        *((f"{key}=3", [f"'{key}'", "budgets are in tokens", "training.tokens"])
          for key in ("training.epochs", "epochs", "max_epochs", "trainer.max_epochs", "training.max_steps")),
        *((f"{key}=0.1", [f"'{key}'", RATE])
          for key in ("lr", "training.lr", "learning_rate", "training.learning_rate", "optimizer.lr", "model.lr")),
        ("+training.lr=0.1", ["'training.lr'", RATE]),
        ("++lr=0.1", ["'lr'", RATE]),
        ("~lr", ["'lr'", RATE]),
        *((f"{key}=8", [f"'{key}'", SIZE]) for key in ("model.hidden_size", "hidden_size", "hidden_dim")),
        *((f"{key}=8", [f"'{key}'", "did you mean training.batch_size?"])
          for key in ("batch_size", "data.batch_size", "trainer.batch_size")),
        *((f"{key}=2", [f"'{key}'", "training.devices"])
          for key in ("training.gpus", "gpus", "trainer.devices", "devices", "trainer.accelerator")),
        ("trainer.gradient_clip_val=1", ["did you mean training.clip_norm?"]),
        ("trainer.precision=16", ["did you mean training.precision?"]),
        ("dropout=0.5", ["did you mean arch.encoder.dropout?"]),
        ("embedding_dim=8", ["did you mean arch.inputs.size?"]),
        ("data.num_workers=4", ["no need"]),
        ("model=lstm", ["arch=NAME"]),
        ("dataset=grammar", ["data=NAME"]),
        ("n_trials=3", ["trials", "unroll tune study=NAME"]),
        ("sampler.name=tpe", ["sampler.name"]),
        ("timeout=60", ["no time limit"]),
        ("hydra.run.dir=x", ["'hydra.run.dir'", "--out FOLDER"]),
        ("hydra/launcher=joblib", ["'hydra/launcher'", "Hydra"]),
        ("training/optimizer=sgd", ["did you mean training.optimizer?"]),
        ("seed=0,1,2", ["seed=0,1,2 is several values", LOOP, "seeds: [0, 1, 2]", "unroll course"]),
        ("seed=[0,1,2]", ["several values", LOOP]),
        ("seed=range(3)", ["several values", LOOP]),
        ("seeds=3", ["'seeds'", LOOP]),
        ("arch=lstm,gru", ["arch=lstm,gru is several values", "for arch in lstm gru", "archs: [lstm, gru]", "study"]),
        ("arch=[lstm,gru]", ["several values", "for arch in lstm gru"]),
        ("data=grammar,recall", ["several values", "for data in grammar recall"]),
        ("tagging", ["'tagging' is not a setting", "experiment=tagging"]),
        ("bilstm", ["'bilstm' is not a setting", "arch=bilstm"]),
        ("arch", ["'arch' is not a setting", "arch=NAME"]),
        ("data=conf/data/recall.yaml", ["is a path", "unroll data add conf/data/recall.yaml"]),
        ("help", ["'help' is not a setting"]),
    ],
)  # fmt: skip
def test_a_key_of_another_program_gets_the_sentence_that_helps(
    word: str, parts: list[str], project: Path, refused: Refused
) -> None:
    message = refused("train", "experiment=tagging", word)
    assert [part for part in parts if part not in message] == []
    assert not Path("outputs").exists()


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--arch", "bilstm"], ["--arch", "key=value: arch=bilstm"]),
        (["--arch=bilstm"], ["key=value: arch=bilstm"]),
        (["--experiment", "tagging"], ["key=value: experiment=tagging"]),
        (["--seed", "1"], ["key=value: seed=1"]),
        (["--lr", "0.1"], ["key=value: training.optimizer.learning_rate=0.1"]),
        (["--batch-size", "8"], ["key=value: training.batch_size=8"]),
        (["--training.tokens", "5"], ["key=value: training.tokens=5"]),
        (["--data"], ["key=value: data=…"]),
        (["--epochs", "3"], ["budgets are in tokens"]),
        (["--gpus", "1"], ["training.devices"]),
        (["-m", "seed=0,1,2"], ["-m", LOOP, "unroll course", "unroll tune"]),
        (["--multirun", "seed=0,1,2"], ["--multirun", LOOP]),
        (["--config-name", "x"], ["experiment=NAME"]),
        (["--cfg", "job"], ["unroll config"]),
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_an_option_of_another_program_gets_the_sentence_that_helps(
    is_first: bool, words: list[str], parts: list[str], project: Path, refused: Refused
) -> None:
    own = ["experiment=tagging", "training.tokens=5"]
    message = refused("train", *([*words, *own] if is_first else [*own, *words]))
    assert [part for part in parts if part not in message] == []


@pytest.mark.parametrize("words", [["--nope", "3"], ["--nope=3"], ["-n"]])
def test_any_other_option_is_not_called_a_setting(words: list[str], project: Path, refused: Refused) -> None:
    message = refused("train", "experiment=tagging", *words)
    assert f"unrecognized arguments: {' '.join(words)}; see unroll train --help." in message


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["n_trials=3"], "unroll tune study=NAME trials=20"),
        (["timeout=3"], "no time limit"),
        (["n_jobs=3"], "--workers N"),
        (["workers=3"], "--workers N"),
        (["training.lr=3"], RATE),
        (["training.epochs=3"], "budgets are in tokens"),
        (["seed=0,1,2"], "retrain.seeds"),
        (["seed=[0, 1]"], "retrain.seeds"),
        (["--n-trials", "3"], "unroll tune study=NAME trials=20"),
        (["tagging-rates"], "study=tagging-rates"),
    ],
)
def test_a_habit_of_optuna_gets_the_sentence_that_helps(
    words: list[str], part: str, project: Path, refused: Refused
) -> None:
    assert part in refused("tune", "study=tagging-rates", *words)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["experiment=tagging", "arch=lstm"], "unroll train experiment=tagging"),
        (["help"], "unroll --help"),
        (["help", "train"], "unroll train --help"),
    ],
)
def test_a_command_without_its_verb_names_one(words: list[str], part: str, refused: Refused) -> None:
    assert part in refused(*words)


def test_a_habit_in_a_file_is_named_with_its_line(project: Path, refused: Refused) -> None:
    path = Path("conf/experiment/tagging.yaml")
    text = path.read_text(encoding="utf-8").replace("tokens: 150000", "tokens: 150000, epochs: 3")
    path.write_text(text, encoding="utf-8")
    line = next(number for number, text in enumerate(text.splitlines(), 1) if "epochs" in text)
    message = refused("config", "experiment=tagging")
    assert "budgets are in tokens" in message
    assert f"{path}, line {line}" in message


def test_a_budget_in_epochs_is_given_in_tokens_where_the_corpus_is_prepared(project: Path, refused: Refused) -> None:
    Path("mine.txt").write_text("to be or not\n" * 20, encoding="utf-8")
    path = Path("conf/data/mine.yaml")
    files = dict.fromkeys(("train", "validation"), "mine.txt")
    path.write_text(yaml.safe_dump({"name": "mine", "title": "Mine.", "reader": {"name": "text"}, **files}))
    words = ["data=mine", "task=language_model"]
    assert "An epoch" not in refused("train", *words, "training.epochs=3")
    assert main(["prepare", *words]) == 0
    for verb in ("train", "config", "prepare"):
        message = refused(verb, *words, "training.epochs=3")
        assert "An epoch of data=mine has about 80 tokens: training.tokens=80" in message


def test_every_habit_names_a_setting_or_a_remedy() -> None:
    for habit, remedy in habits.HABITS.items():
        assert remedy in KNOWN or " " in remedy, habit
        assert habit not in KNOWN, habit  # a setting of that name could not be reached
    names = [remedy for remedy in habits.HABITS.values() if " " not in remedy]
    assert len(set(names)) > 10


@pytest.mark.parametrize("verb", ["train", "tune", "config", "evaluate", "compare"])
def test_every_verb_has_its_help(verb: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--help"], ["experiment=tagging", "-h"]):
        with pytest.raises(SystemExit) as caught:
            main([verb, *words])
        assert caught.value.code == 0
        assert f"usage: unroll {verb}" in capsys.readouterr().out


def test_a_name_in_capitals_is_recognised(project: Path, refused: Refused) -> None:
    assert "did you mean lstm?" in refused("config", "experiment=tagging", "arch=LSTM")
