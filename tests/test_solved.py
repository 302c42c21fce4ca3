"""What an experiment declares to be a solution: written in YAML, checked at the command line, kept by its runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from unroll import experiment, preparation
from unroll.cli import main
from unroll.config import Config, compose, load
from unroll.config.studies import compose_study
from unroll.errors import BadInput
from unroll.tasks.registry import description_of

Small = Callable[..., Config]


def declared(project: Path, text: object, name: str = "adding") -> Path:
    path = project / "conf" / "experiment" / f"{name}.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text("# @package _global_\n" + yaml.safe_dump(content | {"solved": text}), encoding="utf-8")
    return path


@pytest.mark.parametrize("text", ["loss <= 0.02", "loss ≤ 0.02", " loss<=2e-2 "])
def test_a_declaration_is_read_shown_and_saved(text: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    declared(project, text)
    run = compose(["experiment=adding"])
    found = description_of("regressor").solved(str(run.solved))
    assert (found.metric.name, found.bound) == ("loss", 0.02)
    assert [found.is_met(value) for value in (0.01, 0.02, 0.03, float("nan"), float("inf"))] == [True] * 2 + [False] * 3
    assert main(["config", "experiment=adding"]) == 0
    shown = capsys.readouterr().out
    assert yaml.safe_load(shown)["solved"] == run.solved
    (project / "saved.yaml").write_text(run.dump(), encoding="utf-8")
    assert load(project / "saved.yaml") == run


def test_where_more_is_better_a_solution_is_at_least_the_bound() -> None:
    found = description_of("tagger").solved("accuracy/8 >= 0.95")
    assert [found.is_met(value) for value in (0.94, 0.95, 1.0)] == [False, True, True]
    assert str(found) == "accuracy/8 ≥ 0.95"


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [("adding", "loss < 0.02", "loss <= 0.5"), ("adding", "0.02", "METRIC"), ("adding", "loss <= small", "METRIC"),
     ("adding", "loss <= nan", "METRIC"), ("adding", "loss <= inf", "METRIC"), ("adding", "", "METRIC"),
     ("adding", "los <= 0.02", "did you mean loss?"), ("adding", "loss >= 0.02", "write <="),
     ("adding", "loss <= 0", "above 0"), ("adding", "loss <= -1", "above 0"),
     ("grammar", "perplexity <= 0.5", "at least 1"), ("grammar", "perplexity_known <= 0", "at least 1"),
     ("grammar", "perplexity < 2", "perplexity <= 1.5"), ("grammar", "loss <= -0.1", "at least 0"),
     ("grammar", "loss_known <= -1", "at least 0"), ("grammar", "accuracy/3 >= 1.5", "between 0 and 1"),
     ("tagging", "accuracy >= 0", "not every figure meets"), ("tagging", "accuracy >= -0.2", "between 0 and 1"),
     ("tagging", "loss <= -1", "at least 0"),
     ("adding", "accuracy >= 0.9", "choose one of loss"), ("adding", 0.02, "text"),
     ("adding", True, "solved"), ("tagging", "accuracy >= 95", "between 0 and 1"), ("tagging", "accuracy <= 0.1", ">="),
     ("tagging", "f1 >= 0.9", "data.reader.scheme"), ("tagging", "f1 >= 90", "between 0 and 1"),
     ("grammar", "accuracy >= 0.9", "did you mean"),
     ("grammar", "bits_per_character <= 2", "data.reader={name: text, unit: characters}")],
)  # fmt: skip
def test_a_bad_declaration_ends_in_one_sentence(
    name: str, text: object, told: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    declared(project, text, name)
    assert main(["config", f"experiment={name}"]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert len(error.strip().splitlines()) == 1
    assert f"experiment={name}" in error


def test_a_metric_of_a_group_needs_groups(project: Path) -> None:
    assert compose(["experiment=grammar", 'solved="accuracy/3 >= 0.9"']).solved
    with pytest.raises(BadInput, match=r"data\.reader\.probe"):
        compose(["experiment=grammar", 'solved="accuracy/3 >= 0.9"', "data.reader={name: conllu}"])


def test_what_a_run_learns_does_not_depend_on_it_and_older_settings_load_without_it(project: Path) -> None:
    plain, other = (compose(["experiment=adding", f"solved={text}"]) for text in ("null", '"loss <= 0.5"'))
    assert plain.solved is None
    assert plain.digest() == other.digest()
    older = {key: value for key, value in plain.model_dump(mode="json").items() if key != "solved"}
    (project / "older.yaml").write_text(yaml.safe_dump(older), encoding="utf-8")
    assert load(project / "older.yaml") == plain


def test_nor_does_what_a_study_finds(project: Path) -> None:
    plain = compose_study("reach")
    other = replace(plain, bases={key: base | {"solved": "loss <= 1"} for key, base in plain.bases.items()})
    assert other.first().solved == "loss <= 1"
    assert other.digest("data", "code") == plain.digest("data", "code")


def test_evaluate_writes_what_the_runs_declared_and_refuses_two_declarations(small: Small, project: Path) -> None:
    runs = [small("adding", "gru", f"seed={seed}", "training.tokens=100", f'solved="loss <= {bound}"')
            for seed, bound in ((0, 0.5), (1, 0.5), (2, 0.6))]  # fmt: skip
    prepared = preparation.prepared(runs[0].data)
    folders = [project / "runs" / f"gru-{run.seed}" for run in runs]
    for run, folder in zip(runs, folders, strict=True):
        experiment.train(run, prepared, folder)
    out = project / "adding.json"
    experiment.evaluate(folders[:2], prepared, out, None)
    for result in json.loads(out.read_text()).values():
        assert (result["solved"], result["task"], result["deterministic"]) == ("loss <= 0.5", "regressor", False)
    with pytest.raises(BadInput, match=r"gru-2 .*loss <= 0\.6.*loss <= 0\.5"):
        experiment.evaluate(folders, prepared, None, None)


def test_evaluate_says_which_network_has_no_randomness(small: Small, project: Path) -> None:
    run = small("grammar", "ngram")
    prepared = preparation.prepared(run.data)
    experiment.train(run, prepared, project / "ngram-0")
    assert experiment.evaluate([project / "ngram-0"], prepared, None, None)["ngram-0"]["deterministic"]


def test_a_group_that_the_data_does_not_have_is_refused_before_training(
    small: Small, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = small("grammar", "rnn", 'solved="accuracy/99 >= 0.9"')
    (project / "run.yaml").write_text(config.dump(), encoding="utf-8")
    assert main(["train", "--config", "run.yaml", "--out", "run"]) == 2
    error = capsys.readouterr().err
    assert "no group" in error
    assert "'99'" in error
    assert "accuracy/99 >= 0.9" in error
    assert len(error.strip().splitlines()) == 1
    assert not (project / "run").exists()
    assert main(["train", "--config", "run.yaml", "--out", "run"]) == 2  # nothing was left to go on with


def test_the_figure_that_answers_the_question_is_declared_too(
    small: Small, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, other = (compose(["experiment=recall", f"judged_by={name}"]) for name in ("null", "accuracy/12"))
    assert (plain.judged_by, other.judged_by) == (None, "accuracy/12")
    assert plain.digest() == other.digest()
    for name, message in (("accurcy/12", "choose one of"), ("f1", "choose one of")):
        assert main(["config", "experiment=recall", f"judged_by={name}"]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert "judged_by" in error
    assert main(["config", "experiment=recall", "judged_by=accuracy/8", "data.reader={name: text}"]) == 2
    assert "data.reader.probe" in capsys.readouterr().err
    config = small("grammar", "rnn", "judged_by=accuracy/99")
    (project / "run.yaml").write_text(config.dump(), encoding="utf-8")
    assert main(["train", "--config", str(project / "run.yaml"), "--out", str(project / "run")]) == 2
    assert "judged_by='accuracy/99'" in capsys.readouterr().err


def test_evaluate_writes_it_and_a_verdict_on_runs_goes_by_it(
    small: Small, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [small("grammar", arch, f"seed={seed}", "training.tokens=100", "judged_by=loss")
            for arch in ("gru", "rnn") for seed in (0, 1)]  # fmt: skip
    prepared = preparation.prepared(runs[0].data)
    folders = [project / "runs" / f"{run.arch.name}-{run.seed}" for run in runs]
    for run, folder in zip(runs, folders, strict=True):
        experiment.train(run, prepared, folder)
    written = experiment.evaluate(folders, prepared, None, None)
    assert {result["judged_by"] for result in written.values()} == {"loss"}
    assert main(["verdict", str(project / "runs" / "gru-*"), str(project / "runs" / "rnn-*")]) == 0
    assert "validation loss" in capsys.readouterr().out


def test_with_other_data_an_experiment_is_judged_by_the_headline_of_its_task(small: Small, project: Path) -> None:
    assert compose(["experiment=tagging"]).judged_by == "accuracy/right"
    assert compose(["experiment=tagging", "~data.reader.probe"]).judged_by is None
    assert (
        compose(["experiment=grammar", "data=brown", "~data.reader.probe", "~data.reader.contrast"]).judged_by is None
    )
    assert compose(["experiment=grammar", "task=cloze"]).judged_by == "accuracy/2"
    with pytest.raises(BadInput, match=r"judged_by='accuracy/right' needs data\.reader\.probe"):
        compose(["experiment=tagging", "~data.reader.probe", "judged_by=accuracy/right"])
