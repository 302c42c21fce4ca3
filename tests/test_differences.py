"""Settings of one architecture in the file of an experiment: the right one gets them, and wrong ones are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from unroll.cli import main
from unroll.config import compose_study, load, load_study

IRNN = "irnn: {training: {clip_norm: 0.1, optimizer: {learning_rate: 1.0e-3}}, arch: {encoder: {hidden_size: 48}}}"
FILE = "conf/experiment/own.yaml"


def experiment(archs: str) -> None:
    """Write an experiment on the adding problem, with this below ``archs`` in line 7."""
    Path(FILE).write_text(
        "# @package _global_\ndefaults: [{override /data: adding}, {override /task: regressor}]\n"
        'question: "Which?"\narch: {encoder: {hidden_size: 64}}\n'
        f"training: {{tokens: 50000, optimizer: {{learning_rate: 2.0e-2}}}}\narchs:\n  {archs}\n",
        encoding="utf-8",
    )


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    """Settings that ``unroll config`` prints."""
    assert main(["config", "experiment=own", *words]) == 0
    content: dict[str, Any] = yaml.safe_load(capsys.readouterr().out)
    return content


def decided(content: dict[str, Any]) -> tuple[float, float, int]:
    training = content["training"]
    return training["optimizer"]["learning_rate"], training["clip_norm"], content["arch"]["encoder"]["hidden_size"]


def test_only_the_architecture_that_is_chosen_gets_its_settings(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment(IRNN)
    assert decided(shown(capsys, "arch=irnn")) == (1e-3, 0.1, 48)
    assert decided(shown(capsys, "arch=lstm")) == decided(shown(capsys)) == (2e-2, 1.0, 64)


def test_an_experiment_whose_own_default_it_is_gets_them_too(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    experiment(IRNN)
    path = Path(FILE)
    path.write_text(path.read_text().replace("defaults: [", "defaults: [{override /arch: irnn}, "), encoding="utf-8")
    assert decided(shown(capsys)) == (1e-3, 0.1, 48)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["training.clip_norm=3.0"], (1e-3, 3.0, 48)),
        (["training.optimizer.learning_rate=0.5", "arch.encoder.hidden_size=8"], (0.5, 0.1, 8)),
        (["training.optimizer={learning_rate: 0.5}"], (0.5, 0.1, 48)),
        (["training.optimizer={weight_decay: 0.1}"], (1e-3, 0.1, 48)),
        (["training=default"], (1e-3, 0.1, 48)),
    ],
)
def test_the_command_line_has_the_last_word(
    words: list[str], expected: tuple[float, float, int], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment(IRNN)
    assert decided(shown(capsys, *words, "arch=irnn")) == expected


def test_arguments_of_its_cell_may_differ(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    experiment("irnn: {arch: {encoder: {cell_arguments: {scale: 0.5}}}}")
    assert shown(capsys, "arch=irnn")["arch"]["encoder"]["cell_arguments"] == {"scale": 0.5}
    words = ["arch=irnn", "arch.encoder.cell_arguments.scale=0.25"]
    assert shown(capsys, *words)["arch"]["encoder"]["cell_arguments"] == {"scale": 0.25}


@pytest.mark.parametrize(
    ("archs", "words"),
    [
        ("irn: {training: {clip_norm: 1.0}}", ["'irn'", "did you mean irnn?", "choose one of bahdanau"]),
        ("3: {training: {clip_norm: 1.0}}", ["'3'", "choose one of"]),
        ("irnn: {training: {clip_nrm: 1.0}}", ["'training.clip_nrm'", "did you mean training.clip_norm?"]),
        ("irnn: {trainin: {clip_norm: 1.0}}", ["'trainin.clip_norm'", "did you mean training.clip_norm?"]),
        (
            "irnn: {arch: {encoder: {hidden_sise: 8}}}",
            ["encoder.hidden_sise'", "did you mean arch.encoder.hidden_size?"],
        ),
        ("irnn: {recurrent: {hidden_size: 8}}", ["'recurrent.hidden_size' was renamed to arch.encoder.hidden_size"]),
        ("irnn: {recurrent: {embedding_size: 8}}", ["'recurrent.embedding_size' was renamed to arch.inputs.size"]),
        ("irnn: {arch: {cell_arguments: {scale: 1.0}}}", ["was renamed to arch.encoder.cell_arguments.scale"]),
        (
            "irnn: {arch: {encoder: {cell_arguments: {scal: 1.0}}}}",
            ["cell_arguments.scal'", "did you mean arch.encoder.cell_arguments."],
        ),
        ("irnn: {training: {optimizer: {learning_rate: -1}}}", ["learning_rate=-1", "greater than 0"]),
        ("irnn: {training: {optimizer: {learning_rate: fast}}}", ["learning_rate=fast", "expected a number"]),
        ("irnn: {training: {schedule: linaer}}", ["training.schedule=linaer", "'linear'"]),
        ("irnn: {arch: {encoder: {hidden_size: true}}}", ["hidden_size=true", "expected a number or text"]),
        ("irnn: {arch: {encoder: {layers: 1.5}}}", ["arch.encoder.layers=1.5"]),
        ("irnn: {training: {tokens: 5}}", ["training.tokens must be the same", "equal budget"]),
        ("irnn: {training: {patience: 2}}", ["training.patience must be the same", "equal budget"]),
        ("irnn: {training: {validations: 90}}", ["training.validations must be the same"]),
        ("irnn: {training: {evaluation_streams: 9}}", ["training.evaluation_streams must be the same", "measured"]),
        ("irnn: {data: {train: mine}}", ["data.train must be the same", "the same data"]),
        ("irnn: {data: grammar}", ["data must be the same", "the same data"]),
        ("irnn: {task: {name: tagger}}", ["task.name must be the same"]),
        ("irnn: {seed: 3}", ["seed must be the same", "the same seeds"]),
        ("irnn: {question: why}", ["question must be the same"]),
        ("irnn: {solved: loss <= 1}", ["solved must be the same"]),
        ("irnn: {tracking: {name: none}}", ["tracking.name must be the same"]),
        ("irnn: {arch: {encoder: {cell: lstm}}}", ["arch.encoder.cell makes another architecture", "conf/arch"]),
        ("irnn: {arch: {output: {name: crf}}}", ["arch.output.name makes another architecture", "conf/arch"]),
        ("irnn: {arch: {inputs: {characters: null}}}", ["arch.inputs.characters makes another architecture"]),
        ("cnn: {arch: {encoder: {layer_norm: true}}}", ["arch.encoder.layer_norm has no effect on arch=cnn"]),
        ("ngram: {training: {clip_norm: 1.0}}", ["training.clip_norm has no effect on arch=ngram"]),
        ("irnn: {training: 3}", ["training has no settings"]),
        ("irnn: {training: {optimizer: {}}}", ["training.optimizer has no settings"]),
        ("irnn: 3", ["archs.irnn has no settings"]),
        ("irnn:", ["archs.irnn has no settings"]),
        ("irnn: {}", ["archs.irnn has no settings"]),
        ("irnn: {training: {clip_norm: 1.0, clip_norm: 2.0}}", ["clip_norm is given twice"]),
    ],
)
def test_a_mistake_is_named_with_its_line_though_another_architecture_is_chosen(
    archs: str, words: list[str], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment(archs)
    assert main(["config", "experiment=own", "arch=gru"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert [word for word in [f"{FILE}, line 7", *words] if word not in error] == []


@pytest.mark.parametrize("pair", ["clip_norm: -1", "clip_value: 1.0", "truncation_stride: 4"])
def test_a_value_that_does_not_go_with_others_is_named_with_its_line(
    pair: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment(f"irnn: {{training: {{{pair}}}}}")
    assert main(["config", "experiment=own", "arch=irnn"]) == 2
    error = capsys.readouterr().err
    assert [word for word in [f"{FILE}, line 7", f"training.{pair.partition(':')[0]}"] if word not in error] == []
    assert main(["config", "experiment=own", "arch=lstm"]) == 0


@pytest.mark.parametrize("content", ["3", "[irnn]", ""])
def test_a_section_that_holds_no_architectures_is_refused(
    content: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment(content)
    assert main(["config", "experiment=own"]) == 2
    assert f"{FILE}, line 6: archs has no settings" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "a: [", "- a"])
def test_a_file_of_another_architecture_that_cannot_be_read_is_named(
    content: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("conf/arch/mine.yaml").write_text(content, encoding="utf-8")
    experiment("mine: {training: {clip_norm: 0.1}}")
    assert main(["config", "experiment=own", "arch=lstm"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "conf/arch/mine.yaml" in line


def test_it_is_no_setting_of_the_command_line(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    experiment(IRNN)
    assert main(["config", "experiment=own", "arch=irnn", "archs.irnn.training.clip_norm=3"]) == 2
    assert "did you mean training.clip_norm?" in capsys.readouterr().err


def test_a_course_resolves_them_for_every_seed(project: Path) -> None:
    experiment(IRNN)
    Path("course.yaml").write_text("own: {experiments: [own], archs: [gru, irnn], seeds: [0, 4]}", encoding="utf-8")
    assert main(["config", "--course", "course.yaml", "--out", "configs"]) == 0
    for seed in (0, 4):
        run = load(Path(f"configs/own/irnn/{seed}.yaml"))
        assert (run.training.clip_norm, run.training.optimizer.learning_rate, run.seed) == (0.1, 1e-3, seed)
        assert load(Path(f"configs/own/gru/{seed}.yaml")).training.clip_norm == 1.0


def test_a_study_begins_with_them_and_what_it_sets_or_searches_wins(project: Path) -> None:
    experiment(IRNN)
    Path("conf/study/rates.yaml").write_text(
        "question: Which rate?\nexperiment: own\nsettings: {arch.encoder.hidden_size: 16}\ntrials: 4\n"
        "balanced: arch\nspace: {arch: [irnn, gru], training.optimizer.learning_rate: [0.1, 0.2]}\n",
        encoding="utf-8",
    )
    study = compose_study("rates")
    Path("study.yaml").write_text(study.dump(), encoding="utf-8")
    for settings in (study, load_study(Path("study.yaml"))):
        for arch, clip in (("irnn", 0.1), ("gru", 1.0)):
            run = settings.run({"arch": arch, "training.optimizer.learning_rate": 0.2})
            assert decided(run.model_dump()) == (0.2, clip, 16)


def test_it_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "--explain"]) == 0
    assert "archs.NAME.KEY" in capsys.readouterr().out
