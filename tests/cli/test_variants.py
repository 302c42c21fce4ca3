"""Variants: one architecture under several settings, compared under names of their own wherever an arch has one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from documents import readme_block
from studying import write_study

from unroll.cli import main
from unroll.config import Config, compose, course, load, resolve, stages

Refused = Callable[..., str]
ROOT = Path(__file__).parents[2]
SENTENCE = "1\tdog{0}\t_\tNOUN\t_\t_\t_\t_\t_\t_\n2\tbarks\t_\tVERB\t_\t_\t_\t_\t_\t_\n\n"
FILE = Path("conf/experiment/own.yaml")
COURSE = Path("conf/course.yaml")
SIZES = """\
  lstm-4: {arch: {name: lstm, encoder: {hidden_size: 4}}}
  lstm-8: {arch: {name: lstm, encoder: {hidden_size: 8}}, training: {optimizer: {learning_rate: 0.5}}}
"""


def write(variants: str, rest: str = "") -> None:
    """Write an experiment on the adding problem, with this below ``variants`` in line 6."""
    FILE.write_text(
        "# @package _global_\ndefaults: [{override /data: adding}, {override /task: regressor}]\n"
        'question: "Which size?"\n'
        f"training: {{tokens: 600, batch_size: 4, validations: 1, optimizer: {{learning_rate: 2.0e-2}}}}\n"
        f"variants:\n{variants}{rest}",
        encoding="utf-8",
    )


def decided(config: Config) -> tuple[str, int, float]:
    """Name, size and rate."""
    content = config.model_dump()
    return config.arch.name, content["arch"]["encoder"]["hidden_size"], config.training.optimizer.learning_rate


def test_the_name_of_a_variant_stands_where_that_of_an_architecture_does(project: Path) -> None:
    write(SIZES, "archs: {lstm: {training: {clip_norm: 0.25}}}\n")
    found = {name: compose(["experiment=own", f"arch={name}"]) for name in ("lstm", "lstm-4", "lstm-8")}
    assert decided(found["lstm"]) == ("lstm", 128, 2e-2)
    assert decided(found["lstm-4"]) == ("lstm-4", 4, 2e-2)
    assert decided(found["lstm-8"]) == ("lstm-8", 8, 0.5)
    assert found["lstm-8"].name == "own/lstm-8-0"
    # a variant begins with the settings of its architecture, in its file and in the experiment
    assert {config.training.clip_norm for config in found.values()} == {0.25}
    assert {config.model_dump()["arch"]["encoder"]["cell"] for config in found.values()} == {"lstm"}
    words = ["experiment=own", "arch=lstm-8", "arch.encoder.hidden_size=16", "training.clip_norm=3.0"]
    assert decided(compose(words)) == ("lstm-8", 16, 0.5)  # the command line takes precedence
    assert compose(words).training.clip_norm == 3.0


def test_settings_of_one_architecture_alone_are_not_of_its_variants_where_these_set_them(project: Path) -> None:
    write(SIZES, "archs: {lstm: {training: {optimizer: {learning_rate: 0.125}}}}\n")
    assert decided(compose(["experiment=own", "arch=lstm-4"]))[2] == 0.125
    assert decided(compose(["experiment=own", "arch=lstm-8"]))[2] == 0.5


def test_an_experiment_that_builds_on_another_has_its_variants(project: Path) -> None:
    write(SIZES)
    more = "variants: {lstm-4: {arch: {encoder: {hidden_size: 5}}}, gru-4: {arch: {name: gru, encoder: {layers: 2}}}}\n"
    text = f'# @package _global_\ndefaults: [own]\nquestion: "And longer?"\ntraining: {{tokens: 900}}\n{more}'
    Path("conf/experiment/longer.yaml").write_text(text, encoding="utf-8")
    assert decided(compose(["experiment=longer", "arch=lstm-4"]))[:2] == ("lstm-4", 5)
    assert decided(compose(["experiment=longer", "arch=lstm-8"]))[:2] == ("lstm-8", 8)
    assert compose(["experiment=longer", "arch=gru-4"]).model_dump()["arch"]["encoder"]["layers"] == 2


@pytest.mark.parametrize(
    ("variant", "key", "value"),
    [
        ("{arch: {name: cnn, encoder: {kernel_width: 5}}}", "kernel_width", 5),
        ("{arch: {name: lstm, encoder: {cell_arguments: {forget_bias: 2.0}}}}", "cell_arguments", {"forget_bias": 2.0}),
        ("{arch: {name: lstm, encoder: {bidirectional: true}}}", "bidirectional", True),
    ],
)
def test_a_variant_may_differ_in_what_an_architecture_of_that_name_may_not(
    variant: str, key: str, value: Any, project: Path
) -> None:
    write(f"  mine: {variant}\n")
    words = ["task=tagger", "data=grammar"] if "cnn" in variant else []
    assert compose(["experiment=own", "arch=mine", *words]).model_dump()["arch"]["encoder"][key] == value


def test_models_that_count_have_variants(project: Path) -> None:
    write("  bigram: {arch: {name: ngram, encoder: {order: 2}}}\n")
    config = compose(["experiment=own", "arch=bigram", "data=grammar", "task=language_model"])
    assert config.model_dump()["arch"] == {"name": "bigram", "encoder": {"name": "ngram", "order": 2}}


@pytest.mark.parametrize(
    ("variants", "parts"),
    [
        ("  lstm: {arch: {name: lstm}}", ["lstm is the name of an architecture", "such as lstm-64"]),
        ("  LSTM: {arch: {name: lstm}}", ["LSTM is the name of an architecture"]),
        ("  gru: {arch: {name: lstm}}", ["gru is the name of an architecture"]),
        ("  64: {arch: {name: lstm}}", ["YAML does not read 64 as text", "lstm-64"]),
        ("  a/b: {arch: {name: lstm}}", ["a/b cannot name a variant"]),
        ("  .a: {arch: {name: lstm}}", [".a cannot name a variant"]),
        ("  a: {arch: lstm}", ["variants.a does not name its architecture", "arch: {name: lstm, …}"]),
        ("  a: {arch: {encoder: {hidden_size: 8}}}", ["variants.a does not name its architecture"]),
        ("  a: {training: {clip_norm: 1.0}}", ["variants.a does not name its architecture"]),
        ("  a: lstm", ["variants.a does not name its architecture"]),
        ("  a:", ["variants.a does not name its architecture"]),
        ("  a: {arch: {name: lstmm}}", ["There is no arch 'lstmm'", "did you mean lstm?"]),
        ("  a: {arch: {name: [lstm]}}", ["There is no arch"]),
        ("  a: {arch: {name: lstm, encoder: {hidden_sise: 8}}}", ["did you mean arch.encoder.hidden_size?"]),
        ("  a: {arch: {name: lstm}, trainin: {clip_norm: 1.0}}", ["did you mean training.clip_norm?"]),
        ("  a: {arch: {name: lstm}, epochs: 3}", ["'epochs'", "budgets are in tokens"]),
        ("  a: {arch: {name: lstm, encoder: {hidden_size: -1}}}", ["arch.encoder.hidden_size=-1", "greater than"]),
        ("  a: {arch: {name: lstm, encoder: {hidden_size: big}}}", ["hidden_size=big", "a whole number"]),
        ("  a: {arch: {name: lstm, encoder: 3}}", ["arch.encoder has no settings"]),
        ("  a: {arch: {name: lstm, encoder: {cell: gru}}}", ["encoder.cell makes another architecture", "conf/arch"]),
        ("  a: {arch: {name: lstm, encoder: {name: ngram}}}", ["arch.encoder.name makes another architecture"]),
        ("  a: {arch: {name: cnn, encoder: {layer_norm: true}}}", ["encoder.layer_norm has no effect on arch=cnn"]),
        ("  a: {arch: {name: lstm, encoder: {order: 3}}}", ["arch.encoder.order has no effect on arch=lstm"]),
        ("  a: {arch: {name: ngram}, training: {clip_norm: 1.0}}", ["training.clip_norm has no effect on arch=ngram"]),
        *(
            (f"  a: {{arch: {{name: lstm}}, {setting}}}", [f"{key} must be the same", "move it out of variants"])
            for key, setting in (
                ("training.tokens", "training: {tokens: 5}"),
                ("training.validations", "training: {validations: 5}"),
                ("training.evaluation_streams", "training: {evaluation_streams: 5}"),
                ("training.precision", "training: {precision: bf16-mixed}"),
                ("data.train", "data: {train: mine}"),
                ("data", "data: grammar"),
                ("task.name", "task: {name: tagger}"),
                ("seed", "seed: 3"),
                ("solved", "solved: loss <= 1"),
                ("judged_by", "judged_by: loss"),
                ("question", "question: why"),
                ("tracking.name", "tracking: {name: none}"),
            )
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_a_variant_is_refused_with_its_line(
    variants: str, parts: list[str], project: Path, refused: Refused
) -> None:
    write(f"{variants}\n")
    message = refused("config", "experiment=own", "arch=gru")  # whatever is chosen
    assert f"{FILE}, line 6" in message
    assert [part for part in parts if part not in message] == []


@pytest.mark.parametrize("section", ["variants: 3", "variants: [lstm-4]", "variants:"])
def test_a_section_that_is_not_one_is_refused(section: str, project: Path, refused: Refused) -> None:
    FILE.write_text(f'# @package _global_\ndefaults: [adding]\nquestion: "?"\n{section}\n', encoding="utf-8")
    message = refused("config", "experiment=own", "arch=lstm")
    assert f"{FILE}, line 4: variants has no settings" in message
    assert "variants: {lstm-64: {arch: {name: lstm" in message


def test_a_value_that_does_not_fit_is_named_with_the_line_of_the_variant(project: Path, refused: Refused) -> None:
    write("  a: {arch: {name: lstm}, training: {clip_value: 1.0}}\n")
    assert f"{FILE}, line 6" in refused("config", "experiment=own", "arch=a")


def test_a_variant_is_of_its_experiment_only(project: Path, refused: Refused) -> None:
    write(SIZES)
    message = refused("config", "experiment=own", "arch=lstm-5")
    assert "did you mean lstm-4?" in message or "did you mean lstm-8?" in message
    for words in (["experiment=adding"], ["data=adding", "task=regressor"]):
        assert "There is no arch 'lstm-4'" in refused("config", *words, "arch=lstm-4")
    message = refused("config", "experiment=own", "variants.lstm-4.arch.encoder.hidden_size=5")
    assert "There is no setting" in message


def test_settings_of_a_variant_are_not_in_archs(project: Path, refused: Refused) -> None:
    write(SIZES, "archs: {lstm-4: {training: {clip_norm: 0.25}}}\n")
    message = refused("config", "experiment=own", "arch=lstm-4")
    assert f"{FILE}, line 8: There is no arch 'lstm-4'" in message
    assert "Settings of a variant are in variants" in message


def test_variants_in_a_course_are_refused_with_their_place(project: Path, refused: Refused) -> None:
    COURSE.write_text("own:\n  experiments: [own]\n  archs: [a]\n  seeds: [0]\n  variants: {a: {}}\n", encoding="utf-8")
    assert f"{COURSE}, line 5: variants belong in the file of their experiment" in refused("course")


def chapter(**more: Any) -> None:
    """Make variants the archs of a chapter, the only one."""
    own = {"experiments": ["own"], "archs": ["lstm-4", "lstm-8"], "seeds": [0, 1], "certified": ["lstm-8-0"], **more}
    COURSE.write_text(yaml.safe_dump({"own": own}), encoding="utf-8")


def test_a_course_has_stages_and_settings_for_each_variant(project: Path) -> None:
    write(SIZES)
    chapter()
    found = stages(COURSE)
    assert list(found["train"]) == ["own-lstm-4", "own-lstm-8"]
    assert found["evaluate"] == {"own": {"experiment": "own", "archs": "lstm-4 lstm-8"}}
    assert found["certify"] == {"own-lstm-8-0": {"experiment": "own", "arch": "lstm-8", "seed": 0}}
    resolve(COURSE, Path("configs"))
    runs = {str(path.relative_to("configs/own")): load(path) for path in Path("configs/own").glob("*/*.yaml")}
    assert {name: (run.name, decided(run)[1]) for name, run in runs.items()} == {
        "lstm-4/0.yaml": ("own/lstm-4-0", 4), "lstm-4/1.yaml": ("own/lstm-4-1", 4),
        "lstm-8/0.yaml": ("own/lstm-8-0", 8), "lstm-8/1.yaml": ("own/lstm-8-1", 8),
    }  # fmt: skip
    assert len(course(COURSE)["own"]["archs"]) == 2


def test_a_chapter_with_a_variant_that_its_experiment_lacks_is_refused(project: Path, refused: Refused) -> None:
    write(SIZES)
    chapter(archs=["lstm-4", "lstm-16"], certified=[])
    assert main(["course"]) == 0
    assert "There is no arch 'lstm-16'" in refused("config", "--course", str(COURSE))


def test_what_the_docs_show_is_trained_evaluated_and_compared(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs" / "your-own-question.md").read_text(encoding="utf-8")
    for name in ("mine", "mine-sizes"):
        text = readme_block(page, f"conf/experiment/{name}.yaml")
        text = re.sub("(?m)^training:.*", "training: {tokens: 300, validations: 1, batch_size: 4}", text)
        Path(f"conf/experiment/{name}.yaml").write_text(text, encoding="utf-8")
    content = yaml.safe_load(readme_block(page, "one chapter more"))
    assert len(content["sizes"]["seeds"]) == 5
    content["sizes"]["seeds"] = [0, 1]
    COURSE.write_text(yaml.safe_dump(content), encoding="utf-8")
    path = Path("conf/config.yaml")
    path.write_text(path.read_text(encoding="utf-8").replace("- tracking: mlflow", "- tracking: none"))
    Path("mine.conllu").write_text("".join(SENTENCE.format(number) for number in range(30)), encoding="utf-8")
    assert main(["data", "add", "mine.conllu"]) == 0
    assert main(["course"]) == main(["config", "--course", str(COURSE)]) == 0
    configs, prepared = Path("outputs/configs/mine-sizes"), ["--prepared", "prepared"]
    assert main(["prepare", "--data", str(configs / "data.yaml"), "--out", "prepared"]) == 0
    for arch in ("lstm-64", "lstm-128"):
        assert main(["train", "--config", str(configs / arch), *prepared, "--out", f"runs/{arch}"]) == 0
    metrics = ["--out", "metrics/mine-sizes.json", "--archs", "lstm-64", "lstm-128"]
    assert main(["evaluate", "runs", *prepared, *metrics]) == 0
    assert main(["compare", "metrics/mine-sizes.json", "--out", "compared"]) == 0
    rows = json.loads(Path("compared/comparison.json").read_text(encoding="utf-8"))
    assert {row["arch"]: row["seeds"] for row in rows} == {"lstm-64": 2, "lstm-128": 2}
    assert "sizes differ" in rows[1]["caveat"]
    assert "lstm-128" in capsys.readouterr().out
    run = Path("runs/lstm-64/0")
    assert main(["train", "--config", str(run / "config.yaml"), *prepared, "--out", "again"]) == 0
    assert (Path("again") / "weights.safetensors").read_bytes() == (run / "weights.safetensors").read_bytes()
    assert main(["verdict", "metrics/mine-sizes.json:lstm-64", "metrics/mine-sizes.json:lstm-128"]) == 0


def test_a_study_searches_variants(project: Path) -> None:
    write(SIZES)
    settings: dict[str, Any] = {"experiment": "own", "settings": {}, "balanced": "arch", "trials": 2}
    study = write_study(**settings, space={"arch": ["lstm-4", "lstm-8"], "training.clip_norm": [0.1, 1.0]})
    sizes = [decided(study.run({"arch": arch, "training.clip_norm": 0.1}))[:2] for arch in ("lstm-4", "lstm-8")]
    assert sizes == [("lstm-4", 4), ("lstm-8", 8)]


def test_variants_are_explained(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "--explain", "variants"]) == 0
    assert "variants.NAME.arch.name" in capsys.readouterr().out
