"""Settings: composed, checked before anything starts, told in words."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from unroll import cells, config
from unroll.cli import main
from unroll.config import Config, compose
from unroll.config.blocks import RecurrentConfig
from unroll.config.course import Chapter
from unroll.config.searchable import refusal
from unroll.errors import BadInput
from unroll.plugins import VARIABLE, parts

CONF = Path(__file__).parent.parent / "conf"
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
ARCHS = sorted(path.stem for path in (CONF / "arch").glob("*.yaml"))


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_composes_with_the_default_arch(experiment: str) -> None:
    assert compose([f"experiment={experiment}"], CONF).experiment == experiment


@pytest.mark.parametrize("arch", ARCHS)
def test_every_arch_composes_with_some_experiment_under_its_own_name(arch: str) -> None:
    composed = []
    for words in (["experiment=grammar"], ["experiment=tagging"], ["data=numbers", "task=transducer"]):
        try:
            composed.append(compose([*words, f"arch={arch}"], CONF))
        except BadInput:
            continue
    assert composed
    assert {run.arch.name for run in composed} == {arch}


@pytest.mark.parametrize("group", ["data", "task", "training", "tracking"])
def test_every_file_of_a_group_composes(group: str) -> None:
    fits = {"adding": "adding", "regressor": "adding", "tagger": "tagging", "language_model": "grammar"}
    plain = {"tinyshakespeare", "brown"}
    known = config.corpora(CONF)
    pairs = {name for name in known if known[name].reader.name in ("aligned", "pairs", "dictionary")}
    for path in sorted((CONF / group).glob("*.yaml")):
        if path.stem == "glove-6b-50d-subset":  # no corpus
            continue
        if path.stem in (*pairs, "transducer"):
            data = path.stem if path.stem in pairs else "numbers"
            assert compose([f"data={data}", "task=transducer", "arch=bahdanau"], CONF)
            continue
        experiment = fits.get(path.stem, "grammar" if path.stem in plain or group != "data" else "tagging")
        options = {"grammar": ["probe", "contrast"], "tagging": ["probe"]} if group == "data" else {}
        names = options.get(experiment, [])
        extra = [*(f"~data.reader.{option}" for option in names), *(["judged_by=null"] if names else [])]
        assert compose([f"experiment={experiment}", f"{group}={path.stem}", *extra], CONF)


@pytest.mark.parametrize("course", [CONF / "course.yaml", CONF.parent / "paper" / "course.yaml"], ids=str)
def test_every_run_of_a_course_composes(course: Path) -> None:
    last = {(experiment, arch): seed for experiment, arch, seed in config.grid(config.course(course))}
    for (experiment, arch), seed in last.items():
        if experiment in config.studies(CONF):
            continue
        run = compose([f"experiment={experiment}", f"arch={arch}", f"seed={seed}"], CONF)
        assert run.name == f"{experiment}/{arch}-{seed}"


def test_the_command_line_overrides_the_experiment() -> None:
    run = compose(["experiment=tagging", "arch=bilstm", "seed=7", "training.tokens=200000"], CONF)
    assert (run.seed, run.training.tokens, run.arch.name) == (7, 200_000, "bilstm")


@pytest.mark.parametrize(("arch", "argument"), [("lstm", "forget_bias=2.0"), ("rnn", "nonlinearity=relu")])
def test_the_command_line_gives_arguments_to_a_cell(arch: str, argument: str) -> None:
    run = compose(["experiment=adding", f"arch={arch}", f"arch.encoder.cell_arguments.{argument}"], CONF)
    assert isinstance(run.arch.encoder, RecurrentConfig)
    assert "{}={}".format(*next(iter(run.arch.encoder.cell_arguments.items()))) == argument


def test_the_cells_to_choose_from_are_those_that_there_are() -> None:
    files = {path.stem for path in Path(cells.__file__).parent.glob("*.py")} - {"__init__", "base", "initializers"}
    assert set(parts("cells")) == files
    assert {cells.cell_named(name).__module__ for name in parts("cells")} == {f"unroll.cells.{name}" for name in files}


def test_resolved_settings_read_back_equal(tmp_path: Path) -> None:
    run = compose(["experiment=grammar", "arch=gru"], CONF)
    (tmp_path / "run.yaml").write_text(run.dump(), encoding="utf-8")
    assert config.load(tmp_path / "run.yaml") == run


def test_the_digest_tells_settings_apart_but_not_trackers() -> None:
    digests = [compose(["experiment=grammar", *more], CONF).digest() for more in ([], ["tracking=none"], ["seed=1"])]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["experiment=taging"], ["taging", "did you mean tagging", "adding"]),
        ([], ["experiment=NAME", "tagging"]),
        (["experiment=tagging", "arch=lstmm"], ["lstmm", "did you mean lstm", "bigru"]),
        (["experiment=tagging", "trainin.tokens=5"], ["trainin.tokens", "did you mean training.tokens"]),
        (["experiment=tagging", "training.tokns=5"], ["training.tokns", "did you mean training.tokens"]),
        (["experiment=tagging", "seed=-1"], ["seed=-1", "greater than or equal to 0"]),
        (["experiment=tagging", "training.tokens=0"], ["training.tokens=0"]),
        (["experiment=tagging", "training.clip_norm=-2"], ["training.clip_norm", "positive"]),
        (["experiment=tagging", "training.optimizer.name=adm"], ["'adamw' or 'sgd'"]),
        (["experiment=tagging", "training.precision=16"], ["'32', 'bf16-mixed', '16-mixed', '64' or 'auto'"]),
        (["experiment=tagging", "arch.encoder.cell=lstmm"], ["cell=lstmm", "coupled_lstm, gru, irnn, lstm, peep"]),
        (["experiment=tagging", "arch.encoder.dropout=1"], ["arch.encoder.dropout=1", "less than 1"]),
        (["experiment=recall", "arch=bilstm"], ["bilstm", "unidirectional arch"]),
        (["experiment=adding", "arch=ngram"], ["ngram", "task=regressor"]),
        (["experiment=tagging", "data=adding", "~data.reader.probe"], ["tagger", "adding"]),
        (["experiment=tagging", "data=tinyshakespeare", "~data.reader.probe"], ["tagger", "labels"]),
        (["experiment=tagging", "data.sentence_end=true"], ["data.sentence_end"]),
        (["experiment=tagging", "arch"], ["'arch'", "key=value"]),
        (["experiment=tagging", "data.split={train: 0.9, validation: 0.1}"], ["data.validation and data.split"]),
        (["experiment=tagging", "arch.encoder.hidden_sise=64"], ["did you mean arch.encoder.hidden_size"]),
        (["experiment=tagging", "recurrent.hidden_sise=64"], ["did you mean arch.encoder.hidden_size"]),
        (["experiment=tagging", "training.clip_norm=nan"], ["training.clip_norm", "finite"]),
        (["experiment=tagging", "seed=true"], ["seed=true", "expected a number or text"]),
        (["experiment=adding", "data.sentence_end=true"], ["data.sentence_end", "data.reader.name=series"]),
        (["experiment=tagging", "data.reader.name=brown"], ["=brown has no option 'probe'", "~data.reader.probe"]),
        (["experiment=brown", "data.reader.probe=Distance"], ["data.reader.name=brown", "'probe'"]),
        (["experiment=tagging", "data.reader.scheme=bio"], ["data.reader.name=conllu", "'scheme'"]),
        (["experiment=tagging", "data.reader={name: columns, sceme: bio}"], ["'sceme'", "did you mean scheme"]),
        (["experiment=tagging", "data.reader={name: conlu}"], ["conlu", "did you mean conllu"]),
        (["experiment=tagging", "data.probe=null"], ["'data.probe'", "data.reader.probe; ~data.reader.probe"]),
        (["experiment=adding", "~data.reader.name"], ["data.reader={}", "has no name", "series"]),
        (["experiment=tagging", "data.roles.labls=labels"], ["'labls'", "did you mean labels"]),
        (["experiment=tagging", "data.roles.labels=tokens"], ["data.roles.labels=tokens", "data.roles.labels=labels"]),
        (["experiment=tagging", "question=why"], ["'question'", "unroll config --explain"]),
        (["experiment=tagging", "training.optimizer.momentum=0.9"], ["momentum", "sgd"]),
        (["experiment=tagging", "tracking.uri=null"], ["tracking.uri", "tracking=none"]),
        (["experiment=grammar", "data=glove-6b-50d-subset", "data.reader={name: vectors}"],
         ["is not a corpus", "data.vectors="]),
        (["experiment=tagging", "arch.inputs.name=vectors"], ["arch.inputs.name=vectors", "needs data.vectors"]),
        (["experiment=adding", "arch=lstm", "arch.encoder.cell_arguments.forgt_bias=2"],
         ["arch.encoder.cell=lstm has no argument 'forgt_bias'", "it accepts forget_bias"]),
    ],
)  # fmt: skip
def test_a_mistake_ends_in_one_sentence_with_the_remedy(overrides: list[str], words: list[str]) -> None:
    with pytest.raises(BadInput) as caught:
        compose(overrides, CONF)
    message = str(caught.value)
    assert "\n" not in message
    assert [word for word in words if word not in message] == []


def test_an_unknown_key_in_a_file_names_the_nearest(tmp_path: Path) -> None:
    content = yaml.safe_load(compose(["experiment=tagging"], CONF).dump())
    content["training"]["batch_sise"] = content["training"].pop("batch_size")
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(BadInput, match=r"training\.batch_sise.*did you mean training\.batch_size"):
        config.load(path)


@pytest.mark.parametrize("content", ["a: [", "- 1", "\xff"])
def test_a_file_that_holds_no_settings_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(BadInput, match=r"run\.yaml"):
        config.load(path)


def test_every_field_has_its_sentence_and_is_explained() -> None:
    told = config.explain()
    for name, model in config.sections(Config, ""):
        for key, field in model.model_fields.items():
            assert field.description is not None, f"{name}.{key}"
            assert field.description.endswith(".")
            if "Config" not in str(field.annotation):
                assert field.description in told


def test_settings_cannot_be_changed_once_checked() -> None:
    run = compose(["experiment=tagging"], CONF)
    with pytest.raises(ValueError, match="frozen"):
        run.seed = 3  # type: ignore[misc]


def test_a_course_of_another_shape_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "course.yaml"
    path.write_text("memory: {experiments: [adding]}\n", encoding="utf-8")
    with pytest.raises(BadInput, match=r"memory.*experiments, archs and seeds"):
        config.course(path)


def test_a_course_whose_lists_are_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "course.yaml"
    path.write_text("memory: {experiments: [adding], archs: [lstm], seeds: 3, certified: []}", encoding="utf-8")
    with pytest.raises(BadInput, match=r"memory.*as lists"):
        config.course(path)


@pytest.mark.parametrize(("experiment", "grouped_by"), [
    ("grammar", ("Attractors",)), ("adding", ()), ("lstm-vs-gru", ("Distance",)), ("numbers", ("number of digits",)),
    ("phrases", ("length in words", "place of the date")),
])  # fmt: skip
def test_a_report_knows_what_the_groups_of_a_corpus_are(
    experiment: str, grouped_by: tuple[str, ...], project: Path
) -> None:
    archs = ["luong"] if experiment in ("numbers", "phrases") else ["lstm"]
    chapter = Chapter(experiments=[experiment], archs=archs, seeds=[0], certified=[])
    assert config.about({"own": chapter})[experiment]["grouped_by"] == grouped_by


def test_only_runs_of_its_chapter_are_certified(tmp_path: Path) -> None:
    path, grid = tmp_path / "course.yaml", "experiments: [adding], archs: [lstm, gru], seeds: [0]"
    path.write_text(f"memory: {{{grid}, certified: [lstm-0, gru-1]}}", encoding="utf-8")
    with pytest.raises(
        BadInput, match=r"no run in chapter memory to certify, 'gru-1' \(did you mean gru-0\?\); choose"
    ):
        config.course(path)


def test_a_file_of_a_group_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    shutil.copytree(CONF, tmp_path / "conf")
    path = tmp_path / "conf" / "experiment" / "tagging.yaml"
    path.write_bytes(path.read_bytes() + "# café\n".encode("latin-1"))
    with pytest.raises(BadInput, match=r"tagging\.yaml is not valid YAML"):
        compose(["experiment=tagging"], tmp_path / "conf")


def test_a_misspelt_key_that_architectures_share_is_refused_in_a_file_too(tmp_path: Path) -> None:
    shutil.copytree(CONF, tmp_path / "conf")
    path = tmp_path / "conf" / "experiment" / "tagging.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("hidden_size", "hidden_sise"), encoding="utf-8")
    with pytest.raises(BadInput, match=r"'hidden_sise' \(did you mean hidden_size\?\).*tagging\.yaml, line 9"):
        compose(["experiment=tagging"], tmp_path / "conf")


@pytest.mark.parametrize("line", ["", "question: 3\n"])
def test_an_experiment_that_asks_nothing_is_refused(tmp_path: Path, line: str) -> None:
    shutil.copytree(CONF, tmp_path / "conf")
    path = tmp_path / "conf" / "experiment" / "tagging.yaml"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(text for text in lines if not text.startswith("question")) + line, encoding="utf-8")
    with pytest.raises(BadInput, match=r"tagging\.yaml has no question; add a line"):
        compose(["experiment=tagging"], tmp_path / "conf")


def test_precision_may_be_written_as_the_number_it_looks_like() -> None:
    assert compose(["experiment=tagging", "training.precision=32"], CONF).training.precision == "32"


def test_an_experiment_without_its_first_line_is_told_so(tmp_path: Path) -> None:
    conf = shutil.copytree(CONF, tmp_path / "conf")
    path = conf / "experiment" / "tagging.yaml"
    path.write_text("# my question\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(BadInput, match=r"tagging\.yaml, line 1: must be # @package _global_"):
        compose(["experiment=tagging"], conf)


def test_a_cell_that_is_no_python_is_told_with_file_and_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "unparsable.py").write_text("class LSTMCell(:\n", encoding="utf-8")
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    conf = shutil.copytree(CONF, tmp_path / "conf")
    text = (conf / "arch" / "lstm.yaml").read_text(encoding="utf-8")
    (conf / "arch" / "lstm.yaml").write_text(text.replace("cell: lstm", "cell: unparsable"), encoding="utf-8")
    with pytest.raises(BadInput, match=r"unparsable\.py, line 1: .*correct the cell"):
        compose(["experiment=tagging", "arch=lstm"], conf)


@pytest.mark.parametrize(
    "value", ["sqlite:///~/x.db", "sqlite:///x#y.db", "sqlite:///für/x (1).db", "it's", "a\\'b\\", "a~"]
)
def test_a_text_of_the_command_line_is_taken_as_it_is(
    value: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["config", "experiment=adding", "arch=gru", f"tracking.uri={value}", f"data.title={value}"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["tracking"]["uri"] == value
    assert shown["data"]["title"] == value


def test_a_text_where_a_number_is_due_is_named(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "experiment=adding", "arch=gru", "training.tokens=~5"]) == 2
    assert "training.tokens=~5: expected a whole number" in capsys.readouterr().err


@pytest.mark.parametrize("override", [
    "training.devices=2", "training.checkpoint_seconds=7", "tracking=none", "data.title=Other", "data.licence=MIT",
    "data.citation=Someone", "solved=perplexity <= 2", "judged_by=perplexity",
])  # fmt: skip
def test_a_setting_that_does_not_affect_the_result_leaves_the_digest_and_cannot_be_searched(override: str) -> None:
    plain, key = compose(["experiment=grammar"]), override.partition("=")[0]
    changed = compose(["experiment=grammar", override])
    assert changed != plain
    assert changed.digest() == plain.digest()
    assert refusal(key) == "it does not change the result"


@pytest.mark.parametrize("override", ["training.threads=7", "data.min_count=3", "seed=1", "arch=gru"])
def test_a_setting_that_affects_the_result_changes_the_digest(override: str) -> None:
    assert compose(["experiment=grammar", override]).digest() != compose(["experiment=grammar"]).digest()


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["experiment=tagging"], 1),
        (["experiment=grammar"], 2),
        (["experiment=grammar", "arch=ngram"], 2),
        (["experiment=grammar", "arch=bilstm", "task=cloze", "judged_by=null"], 2),
        (["experiment=tinyshakespeare"], 1),  # characters
        (["experiment=adding"], 1),
        (["experiment=brown"], 4),  # the corpus's own
        (["experiment=ud-english-ewt"], 2),
        (["experiment=grammar", "data.min_count=1"], 1),
        (["experiment=tagging", "data.min_count=3"], 3),
    ],
)
def test_where_words_are_predicted_some_are_left_out_of_the_vocabulary_by_default(words: list[str], count: int) -> None:
    composed = compose(words)
    assert composed.data.min_count == count
    assert composed.data.build_corpus().min_count == count
    assert yaml.safe_load(composed.dump())["data"]["min_count"] == count  # decided once


def test_a_file_of_settings_may_leave_the_minimum_count_to_the_task(project: Path) -> None:
    for experiment, count in {"tagging": 1, "grammar": 2}.items():
        content = compose([f"experiment={experiment}"]).model_dump(mode="json")
        content["data"]["min_count"] = None
        Path("run.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        assert config.load(Path("run.yaml")).data.min_count == count


def test_without_a_task_all_words_are_in_the_vocabulary(project: Path) -> None:
    assert {name: config.corpora()[name].build_corpus().min_count for name in ("grammar", "brown")} == {
        "grammar": 1, "brown": 4,
    }  # fmt: skip


@pytest.mark.parametrize("rate", ["1", "-0.1", "often"])
def test_a_rate_of_unknown_words_outside_of_its_range_is_refused(rate: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert compose(["experiment=tagging", "task.unknown_rate=0"]).model_dump()["task"]["unknown_rate"] == 0
    assert main(["config", "experiment=tagging", f"task.unknown_rate={rate}"]) == 2
    assert f"task.unknown_rate={rate}: " in capsys.readouterr().err
    assert main(["config", "experiment=grammar", "task.unknown_rate=0.5"]) == 2  # a language model has no such setting
    assert "unknown_rate" in capsys.readouterr().err


def test_unknown_words_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "--explain"]) == 0
    shown = capsys.readouterr().out
    assert "  task.unknown_rate (float): Probability in training" in shown
    (line,) = [line for line in shown.splitlines() if line.startswith("  data.min_count (int | null): ")]
    assert "null for 2 if the task predicts words" in line
    assert line.endswith("Default: null.")
