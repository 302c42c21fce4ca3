"""Networks in blocks: what a run does not use is absent or refused; each key has one spelling, files an order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from unroll.cli import main
from unroll.config import Config, compose, compose_study
from unroll.config.blocks import BLOCKS, EncoderConfig
from unroll.config.explanation import keys
from unroll.config.fitting import PARTS
from unroll.config.messages import RENAMED
from unroll.errors import BadInput
from unroll.tasks.registry import descriptions

ROOT = Path(__file__).parent.parent
CONF, SOURCE = ROOT / "conf", ROOT / "src" / "unroll"
ARCHS = sorted(path.stem for path in (CONF / "arch").glob("*.yaml"))
TASKS = {  # each task with an experiment that it fits
    "language_model": ["experiment=recall"],
    "cloze": ["experiment=grammar", "task=cloze", "training.truncation_length=null"],
    "tagger": ["experiment=tagging"],
    "regressor": ["experiment=adding"],
    "transducer": ["data=numbers", "task=transducer"],
}
Refused = Callable[..., str]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """The one line that a refused command prints."""

    def message(*words: str) -> str:
        capsys.readouterr()
        assert main(list(words)) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    return message


def arch_of(*words: str, conf: Path = CONF) -> dict[str, Any]:
    """The resolved architecture of a run."""
    content: dict[str, Any] = compose(words, conf).model_dump(mode="json")["arch"]
    return content


def edited(path: str, old: str, new: str) -> int:
    """Replace a text in a file; the number of the first line that has the new one."""
    text = Path(path).read_text(encoding="utf-8")
    assert old in text
    text = text.replace(old, new, 1)
    Path(path).write_text(text, encoding="utf-8")
    return text[: text.index(new)].count("\n") + 1


# ---- which blocks a run has


@pytest.mark.parametrize("block", BLOCKS)
def test_every_kind_is_named_as_its_section_says(block: str) -> None:
    for name, kind in BLOCKS[block].kinds().items():
        assert get_args(kind.model_fields["name"].annotation) == (name,)


def fits() -> Iterator[tuple[str, Config]]:
    """Every task with every architecture that fits."""
    for task, words in TASKS.items():
        for arch in ARCHS:
            try:
                yield task, compose([*words, f"arch={arch}"], CONF)
            except BadInput:
                continue


def test_resolved_settings_have_the_blocks_that_the_run_uses_and_no_others() -> None:
    assert set(TASKS) == set(descriptions())
    seen = set()
    for task, run in fits():
        content, used = yaml.safe_load(run.dump())["arch"], run.task.description.blocks
        assert ("output" in content) == ("labels" in used), run.dump()
        assert ("readout" in content["encoder"]) == ("readout" in used and content["encoder"]["name"] == "recurrent")
        assert ("inputs" in content) == (not run.arch.encoder.counts)
        assert ("decoder" in content) == ("decoder" in used)
        frames = run.role_fields[run.task.description.source].kind == "frames"
        assert frames == (content.get("inputs") == {"name": "frames"})
        assert ("characters" in content.get("inputs", {})) == ("chars" in run.arch.name)
        assert Config.model_validate(yaml.safe_load(run.dump())) == run
        seen.add((task, content["encoder"]["name"]))
    assert {kind for _, kind in seen} == set(EncoderConfig.kinds())
    assert {task for task, _ in seen} == set(TASKS)


def test_every_part_belongs_to_a_task_and_to_no_other() -> None:
    for block in PARTS.values():
        assert 0 < sum(block in task.blocks for task in descriptions().values()) < len(TASKS)


@pytest.mark.parametrize(
    ("words", "inputs"),
    [
        ([], {"name": "embedding", "size": 64, "scale": 1.0}),
        (["arch.inputs.name=one_hot"], {"name": "one_hot"}),
        (["arch.inputs={name: one_hot}"], {"name": "one_hot"}),
        (["arch.inputs.name=vectors", "data.vectors=v.txt"], {"name": "vectors", "frozen": False}),
        (["arch.inputs={name: vectors, frozen: true}", "data.vectors=v.txt"], {"name": "vectors", "frozen": True}),
    ],
)
def test_defaults_of_other_kinds_are_left_out(words: list[str], inputs: dict[str, Any]) -> None:
    assert arch_of("experiment=tagging", *words)["inputs"] == inputs


def test_blocks_are_combined_freely() -> None:
    arch = arch_of("experiment=tagging", "arch=cnn", "arch.output.name=crf",
                   "arch.inputs.characters={name: cnn, embedding_size: 3, size: 4}")  # fmt: skip
    assert (arch["encoder"]["name"], arch["output"]) == ("convolutional", {"name": "crf"})
    assert arch["inputs"]["characters"] == {"name": "cnn", "embedding_size": 3, "size": 4}


# ---- what is refused


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["experiment=tagging", "arch.encoder.readout=mean"], ["arch.encoder.readout=mean", "only on task=regressor"]),
        (["experiment=recall", "arch.output.name=softmax"], ["arch.output.name=softmax", "only on task=tagger"]),
        (["experiment=recall", "arch.inputs.characters={name: cnn, embedding_size: 3, size: 4}"],
         ["arch.inputs.characters.name=cnn", "only on task=tagger", "remove it"]),
        (["experiment=recall", "arch=ngram", "arch.inputs.name=one_hot"], ["arch.inputs.name=one_hot", "arch=ngram"]),
        (["experiment=recall", "arch=ngram", "arch.encoder.layers=2"], ["'layers'", "it has order"]),
        (["experiment=adding", "arch.inputs.size=4"], ["arch.inputs.name=frames has no option 'size'", "remove it"]),
        (["experiment=adding", "arch.inputs.name=embedding"], ["arch.inputs.name=embedding", "choose frames"]),
        (["experiment=tagging", "arch.inputs.name=frames"], ["arch.inputs.name=frames", "embedding, one_hot or"]),
        (["experiment=tagging", "arch.inputs.name=one_hot", "arch.inputs.size=4"], ["one_hot has no option 'size'"]),
        (["experiment=tagging", "arch.inputs={name: one_hot, scale: 1.0}"], ["one_hot has no option 'scale'"]),
        (["experiment=tagging", "arch.inputs.frozen=true"], ["arch.inputs.name=embedding has no option 'frozen'"]),
        (["experiment=tagging", "arch.inputs.name=onehot"], ["arch.inputs.name=onehot", "did you mean one_hot?"]),
        (["experiment=tagging", "arch.inputs.name=vectors"], ["arch.inputs.name=vectors", "needs data.vectors"]),
        (["experiment=recall", "arch.inputs.name=one_hot"], ["arch.inputs.name=one_hot", "task.tied=false"]),
        (["experiment=tagging", "arch=cnn", "arch.encoder.layer_norm=true"], ["convolutional has no option"]),
        (["experiment=tagging", "arch=cnn", "arch.output={name: feedback, embedding_size: 3, beam: 1}"],
         ["arch.output.name=feedback", "choose softmax or crf"]),
        (["experiment=tagging", "arch.output.name=crv"], ["arch.output.name=crv", "did you mean crf?"]),
        (["experiment=tagging", "arch.output.beam=2"], ["arch.output.name=softmax has no option 'beam'"]),
        (["experiment=tagging", "arch.encoder=lstm"], ["arch.encoder=lstm", "{key: value}"]),
        (["experiment=tagging", "arch.reader.name=recurrent"], ["There is no setting 'arch.reader.name'"]),
        (["experiment=tagging", "arch=seq2seq"], ["arch.decoder.name=recurrent", "only on task=transducer"]),
        (["experiment=tagging", "arch.decoder={name: recurrent, cell: gru, cell_arguments: {}}"],
         ["arch.decoder.name=recurrent", "only on task=transducer"]),
        (["data=numbers", "task=transducer", "arch=lstm"], ["arch.decoder.name is missing", "such as bahdanau"]),
    ],
)  # fmt: skip
def test_what_has_no_effect_on_the_run_is_refused_on_the_command_line(
    words: list[str], parts: list[str], project: Path, refused: Refused
) -> None:
    message = refused("config", *words)
    assert [part for part in parts if part not in message] == []


def test_a_file_of_an_architecture_that_does_not_fit_the_task_is_named_with_the_line(
    project: Path, refused: Refused
) -> None:
    line = edited("conf/arch/lstm.yaml", "encoder:", "output: {name: crf}\nencoder:")
    message = refused("config", "experiment=recall", "arch=lstm")
    assert "arch.output.name=crf has no effect" in message
    assert f"conf/arch/lstm.yaml, line {line}" in message
    line = edited("conf/arch/cnn.yaml", "kernel_width: 5", "kernel_width: 5, layer_norm: true")
    message = refused("config", "experiment=tagging", "arch=cnn")
    assert "arch.encoder.name=convolutional has no option 'layer_norm'" in message
    assert f"conf/arch/cnn.yaml, line {line}" in message
    message = refused("config", "experiment=adding", "arch=bilstm-chars")
    assert "'characters'" in message
    assert "conf/arch/bilstm-chars.yaml, line 3" in message


def test_a_setting_for_one_architecture_that_its_task_does_not_use_is_named_with_the_line(
    project: Path, refused: Refused
) -> None:
    path = Path("conf/experiment/tagging.yaml")
    text = path.read_text(encoding="utf-8") + "archs: {lstm: {arch: {encoder: {readout: mean}}}}\n"
    path.write_text(text, encoding="utf-8")
    message = refused("config", "experiment=tagging", "arch=lstm")
    assert "arch.encoder.readout=mean has no effect" in message
    assert f"{path}, line {text.count(chr(10))}" in message
    assert main(["config", "experiment=tagging", "arch=gru"]) == 0


def test_what_an_experiment_sets_for_all_architectures_need_not_apply_to_each(project: Path) -> None:
    edited("conf/experiment/tagging.yaml", "arch: {encoder: {hidden_size: 64}}",
           "arch: {inputs: {scale: 0.5}, encoder: {hidden_size: 64, layer_norm: true, readout: max}}")  # fmt: skip
    assert arch_of("experiment=tagging", "arch=lstm", conf=Path("conf"))["encoder"]["layer_norm"] is True
    assert "layer_norm" not in arch_of("experiment=tagging", "arch=cnn", conf=Path("conf"))["encoder"]
    assert arch_of("experiment=tagging", "arch.inputs.name=one_hot", conf=Path("conf"))["inputs"] == {"name": "one_hot"}


@pytest.mark.parametrize("part", ["inputs", "output", "encoder.readout"])
def test_a_part_that_is_missing_from_resolved_settings_is_named(part: str, project: Path, refused: Refused) -> None:
    content = compose(["experiment=adding" if part == "encoder.readout" else "experiment=tagging"]).model_dump()
    block, _, key = f"arch.{part}".rpartition(".")
    section = content
    for name in block.split("."):
        section = section[name]
    del section[key]
    Path("run.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    message = refused("train", "--config", "run.yaml")
    assert f"arch.{part} is missing" in message or f"arch.{part}.name is missing" in message
    assert "run.yaml" in message


def test_the_file_of_an_architecture_the_experiment_and_the_command_line_have_precedence_in_this_order(
    project: Path,
) -> None:
    def layers(*words: str) -> int:
        found: int = arch_of("experiment=tagging", "arch=gru", *words, conf=Path("conf"))["encoder"]["layers"]
        return found

    assert layers() == 1
    edited("conf/arch/gru.yaml", "  name: recurrent", "  name: recurrent\n  layers: 2")
    assert layers() == 2
    edited("conf/experiment/tagging.yaml", "{hidden_size: 64}", "{hidden_size: 64, layers: 3}")
    assert layers() == 3
    edited("conf/experiment/tagging.yaml", "arch: {", "archs: {gru: {arch: {encoder: {layers: 4}}}}\narch: {")
    assert layers() == 4
    assert layers("arch.encoder.layers=5") == 5


# ---- former names

FORMER = {
    "recurrent.hidden_size": "arch.encoder.hidden_size", "recurrent.readout": "arch.encoder.readout",
    "recurrent.embedding_size": "arch.inputs.size", "recurrent.embedding_scale": "arch.inputs.scale",
    "recurrent.inputs": "arch.inputs.name", "arch.hidden_size": "arch.encoder.hidden_size",
    "arch.embedding_size": "arch.inputs.size", "arch.network": "arch.encoder.name", "arch.cell": "arch.encoder.cell",
    "arch.cell_arguments.forget_bias": "arch.encoder.cell_arguments.forget_bias",
    "arch.bidirectional": "arch.encoder.bidirectional", "arch.order": "arch.encoder.order",
    "arch.characters": "arch.inputs.characters", "arch.characters.size": "arch.inputs.characters.size",
}  # fmt: skip


def test_every_present_name_of_a_former_key_is_a_setting_and_no_former_one_is() -> None:
    known = set(keys())
    sections = {name.rpartition(".")[0] for name in known}
    assert set(RENAMED.values()) <= known | sections | {"arch.encoder.cell_arguments"}
    assert not set(RENAMED) & known


@pytest.mark.parametrize("key", FORMER)
def test_a_former_key_on_the_command_line_gets_its_present_name(key: str, project: Path, refused: Refused) -> None:
    message = refused("train", "experiment=tagging", f"{key}=3")
    assert f"'{key}' was renamed to {FORMER[key]};" in message


IN_FILES = [("experiment/tagging", key) for key in FORMER]
IN_FILES += [("arch/lstm", key) for key in FORMER if key.startswith("arch.")]


@pytest.mark.parametrize(("file", "key"), IN_FILES)
def test_a_former_key_in_a_file_gets_its_present_name_and_the_line(
    file: str, key: str, project: Path, refused: Refused
) -> None:
    section, _, inner = key.partition(".")
    first, *rest = inner.split(".")
    value: Any = 3
    for name in reversed(rest):
        value = {name: value}
    content = {section: {first: value}} if file == "experiment/tagging" else {first: value}
    path = Path(f"conf/{file}.yaml")
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("arch:")]
    text = "\n".join([*lines, *yaml.safe_dump(content, default_flow_style=True, width=200).splitlines()])
    path.write_text(text.replace("\n{", "\n", 1).rstrip("}\n") + "}" * (len(rest) + (section in content)) + "\n")
    message = refused("train", "experiment=tagging", "arch=lstm")
    assert f"'{key}' was renamed to {FORMER[key]}" in message
    assert f"{path}, line {len(lines) + 1}" in message


@pytest.mark.parametrize("place", ["settings", "space", "retrain"])
def test_a_former_key_in_a_study_gets_its_present_name_and_the_line(
    place: str, project: Path, refused: Refused
) -> None:
    lines = ["question: Which?", "experiment: tagging", "sampler: {name: grid}", "space:", "  arch: [lstm, gru]"]
    lines += {"settings": ["settings:", "  recurrent.hidden_size: 8"], "space": ["  recurrent.hidden_size: [8, 9]"],
              "retrain": ["retrain:", "  settings:", "    recurrent.hidden_size: 8"]}[place]  # fmt: skip
    Path("conf/study/mine.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    message = refused("tune", "study=mine")
    assert "'recurrent.hidden_size' was renamed to arch.encoder.hidden_size" in message
    assert f"conf/study/mine.yaml, line {len(lines)}" in message


def test_a_resolved_file_with_former_keys_gets_their_present_names(project: Path, refused: Refused) -> None:
    content = compose(["experiment=tagging"]).model_dump(mode="json")
    content["arch"] = {"name": "lstm", "network": "recurrent", "cell": "lstm"}
    Path("run.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    message = refused("train", "--config", "run.yaml")
    assert "'arch.network' was renamed to arch.encoder.name (run.yaml, line " in message


# ---- studies


def study(space: str, settings: str = "{}", experiment: str = "recall") -> None:
    """Write a grid in ``conf/study/mine.yaml``."""
    Path("conf/study/mine.yaml").write_text(
        f"question: Which?\nexperiment: {experiment}\nsampler: {{name: grid}}\nsettings: {settings}\nspace: {space}\n",
        encoding="utf-8",
    )


def test_settings_of_a_study_apply_to_the_archs_that_have_them(project: Path) -> None:
    study("{arch: [lstm, feedforward, ngram]}", "{arch.encoder.layers: 2, arch.inputs.size: 7}")
    runs = {arch: compose_study("mine").run({"arch": arch}).arch for arch in ("lstm", "feedforward", "ngram")}
    assert "layers" not in runs["feedforward"].encoder.model_dump()
    assert runs["lstm"].encoder.model_dump()["layers"] == 2
    assert runs["feedforward"].model_dump()["inputs"]["size"] == 7
    assert runs["ngram"].inputs is None


@pytest.mark.parametrize(
    ("space", "settings", "parts"),
    [
        ("{arch: [lstm, gru]}", "{arch.encoder.readout: max}", ["arch.encoder.readout has no effect on any trial"]),
        ("{seed: [0, 1]}", "{arch.encoder.readout: max}", ["arch.encoder.readout=max has no effect"]),
        ("{arch: [lstm, feedforward], arch.encoder.layers: [1, 2]}", "{}", ["feedforward has no option 'layers'"]),
        ("{arch: [lstm, bilstm-chars]}", "{}", ["arch=bilstm-chars reads the token"]),
        ("{arch.inputs.name: [embedding, frames]}", "{}", ["arch.inputs.name=frames", "choose embedding"]),
    ],
)
def test_what_has_no_effect_on_a_trial_is_refused_before_the_first(
    space: str, settings: str, parts: list[str], project: Path, refused: Refused
) -> None:
    study(space, settings)
    message = refused("tune", "study=mine", "tracking=none")
    assert [part for part in parts if part not in message] == []


def test_kinds_of_a_block_can_be_searched(project: Path) -> None:
    study("{arch.inputs.name: [embedding, one_hot], arch.inputs.size: {choices: [3, 5], when: {arch.inputs.name: "
          "embedding}}}", experiment="tagging")  # fmt: skip
    found = compose_study("mine")
    assert found.run({"arch.inputs.name": "one_hot"}).arch.model_dump()["inputs"] == {"name": "one_hot"}
    embedded = found.run({"arch.inputs.name": "embedding", "arch.inputs.size": 5}).arch.model_dump()["inputs"]
    assert embedded == {"name": "embedding", "size": 5, "scale": 1.0}


# ---- counting


def test_only_the_definition_and_the_builder_of_the_counting_network_name_it() -> None:
    allowed = {"config/blocks.py", "experiment/building.py", "networks/ngram.py"}
    naming = {str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*.py")
              if any(name in path.read_text(encoding="utf-8") for name in ("NgramConfig", "KneserNey"))}  # fmt: skip
    assert naming == allowed
