"""The space of a study: which values go together, in which order, and the runs that they make."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from processes import crossed
from studying import RATE, TINY, write_study

from unroll.cli import main
from unroll.config import compose_study, load_study
from unroll.data.batch import FieldSpec
from unroll.errors import BadInput
from unroll.tuning import space as module
from unroll.tuning.cost import flops, parameters
from unroll.tuning.space import Space

SPEC = {"inputs": FieldSpec(2), "target": FieldSpec(1)}
MEASURES = {"parameters": parameters, "flops": flops}


def space_of(**differences: Any) -> Space:
    return Space(write_study(**differences), lambda config: SPEC, lambda config: 50)


@pytest.fixture(autouse=True)
def _in_a_project(project: Path) -> None:
    pass


CONDITIONAL = {
    "arch.encoder.dropout": {"choices": [0.0, 0.5], "when": {"arch": ["lstm", "gru"]}},
    "training.warmup": {"low": 0.0, "high": 0.5, "when": {"arch.encoder.dropout": 0.5}},
    "arch": ["rnn", "lstm", "gru"],
}


class Choosing:
    """A trial that chooses what it is told to, and remembers what it was asked for."""

    def __init__(self, **chosen: Any) -> None:
        self.chosen, self.asked = chosen, []

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        self.asked.append(name)
        return self.chosen.get(name, choices[0])

    def suggest_int(self, name: str, low: int, high: int, *, step: int, log: bool) -> int:
        self.asked.append((name, low, high, step, log))
        return low

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None, log: bool) -> float:
        self.asked.append((name, low, high, step, log))
        return low


@pytest.mark.parametrize(
    ("chosen", "asked"),
    [
        ({"arch": "rnn"}, ["arch"]),
        ({"arch": "gru"}, ["arch", "arch.encoder.dropout"]),
        ({"arch": "gru", "arch.encoder.dropout": 0.5},
         ["arch", "arch.encoder.dropout", ("training.warmup", 0.0, 0.5, None, False)]),
    ],
)  # fmt: skip
def test_a_key_is_asked_for_where_its_condition_holds_and_after_it(chosen: dict[str, Any], asked: list[Any]) -> None:
    trial = Choosing(**chosen)
    values = space_of(space=CONDITIONAL).suggested(trial)
    assert trial.asked == asked
    assert values.items() >= chosen.items()


def test_whole_numbers_are_asked_for_as_such() -> None:
    trial = Choosing()
    whole = {"arch.encoder.layers": {"low": 1, "high": 3}, "training.batch_size": {"low": 4, "high": 64, "log": True},
             "seed": {"low": 0, "high": 9, "step": 3},
             "arch.encoder.dropout": {"low": 0, "high": 0.4, "step": 0.1}}  # fmt: skip
    settings = {key: value for key, value in TINY["settings"].items() if key != "training.batch_size"}
    space_of(space=whole, settings=settings).suggested(trial)
    assert trial.asked == [("arch.encoder.layers", 1, 3, 1, False), ("training.batch_size", 4, 64, 1, True),
                           ("seed", 0, 9, 3, False), ("arch.encoder.dropout", 0, 0.4, 0.1, False)]  # fmt: skip


def test_the_corners_are_every_choice_with_every_end() -> None:
    corners = list(space_of(space=CONDITIONAL).corners())
    assert len(corners) == 1 + 2 * (1 + 2)
    assert {"arch": "rnn"} in corners
    assert {"arch": "gru", "arch.encoder.dropout": 0.5, "training.warmup": 0.5} in corners
    assert {"arch": "lstm", "arch.encoder.dropout": 0.0} in corners


def test_of_many_corners_those_of_every_two_keys_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MANY", 3)
    keys = {"arch": ["lstm", "gru"], "arch.encoder.layers": [1, 2], "seed": [0, 1]}
    corners = list(space_of(space=keys).corners())
    for first, second in itertools.combinations(keys, 2):
        seen = {(corner[first], corner[second]) for corner in corners}
        assert seen == set(itertools.product(keys[first], keys[second]))
    assert {"arch": "gru", "arch.encoder.layers": 2, "seed": 1} not in corners


def test_a_grid_has_every_point_once() -> None:
    grid = {"arch": ["lstm", "gru"], "arch.encoder.dropout": {"low": 0.0, "high": 0.3, "step": 0.1},
            "arch.encoder.layers": {"low": 1, "high": 5, "step": 2, "when": {"arch": "gru"}}}  # fmt: skip
    slots = space_of(space=grid, sampler={"name": "grid"}, trials=None).slots()
    assert len(slots) == 4 + 4 * 3
    assert len({str(slot) for slot in slots}) == len(slots)
    assert {slot["arch.encoder.layers"] for slot in slots if slot["arch"] == "gru"} == {1, 3, 5}
    assert all("arch.encoder.layers" not in slot for slot in slots if slot["arch"] == "lstm")
    dropouts = sorted({slot["arch.encoder.dropout"] for slot in slots})
    assert dropouts == [0.0, 0.1, 0.2, 0.3]


def test_a_balanced_key_gets_as_many_trials_for_every_choice() -> None:
    slots = space_of(space={"arch": ["rnn", "lstm", "gru"], "seed": [0, 1]}, trials=12, balanced="arch").slots()
    assert Counter(slot["arch"] for slot in slots) == {"rnn": 4, "lstm": 4, "gru": 4}
    assert all(list(slot) == ["arch"] for slot in slots)


@pytest.mark.parametrize("quantity", ["parameters", "flops"])
def test_matched_archs_cost_what_the_first_one_does(quantity: str) -> None:
    space = space_of(space={"arch": ["lstm", "gru", "rnn", "peephole"], "training.optimizer.learning_rate": RATE},
                     match=quantity, settings={**TINY["settings"], "arch.encoder.hidden_size": 32})  # fmt: skip
    cost = {arch: MEASURES[quantity](space.run({"arch": arch, "training.optimizer.learning_rate": 0.01}), SPEC)
            for arch in ("lstm", "gru", "rnn", "peephole")}  # fmt: skip
    assert (
        space.run({"arch": "lstm", "training.optimizer.learning_rate": 0.01}).arch.encoder.model_dump()["hidden_size"]
        == 32
    )
    assert all(abs(found / cost["lstm"] - 1) < 0.03 for found in cost.values())


@pytest.mark.parametrize("quantity", ["parameters", "flops"])
def test_archs_that_are_trained_retrained_are_matched_to_the_first_one_as_it_is_trained_retrained(
    quantity: str,
) -> None:
    space = space_of(space={"arch": ["lstm", "gru", "rnn"]}, match=quantity,
                     settings={**TINY["settings"], "arch.encoder.hidden_size": 32},
                     retrain={"settings": {"arch.encoder.layers": 3}})  # fmt: skip
    cost = {
        arch: MEASURES[quantity](space.run({"arch": arch}, retrained=True), SPEC) for arch in ("lstm", "gru", "rnn")
    }
    assert cost["lstm"] > 3 * MEASURES[quantity](space.run({"arch": "lstm"}), SPEC)
    assert all(abs(found / cost["lstm"] - 1) < 0.03 for found in cost.values())


def test_a_space_whose_every_corner_costs_too_much_is_refused() -> None:
    with pytest.raises(BadInput, match=r"study=tiny has no corner within its constraints .*parameters, 10 allowed"):
        space_of(constraints={"parameters": 10}).check()
    space_of(constraints={"parameters": 10_000}).check()


def test_a_corner_that_is_impossible_is_named() -> None:
    with pytest.raises(BadInput, match=r"study=tiny cannot try arch\.encoder\.dropout=1\.5: .*less than 1"):
        space_of(space={"arch.encoder.dropout": [0.1, 1.5]}).check()


def test_a_corner_that_cannot_be_trained_retrained_is_named_before_the_first_trial() -> None:
    space = {"arch.encoder.layers": [1, 2], "arch.encoder.dropout": [0.0]}
    retrained = {"seeds": [1], "settings": {"arch.encoder.dropout": 1.5}}
    for seeds in ([1], []):  # settings that wait for seeds are checked too
        with pytest.raises(
            BadInput, match=r"cannot train arch\.encoder\.layers=1 arch\.encoder\.dropout=0\.0 again: .*than 1"
        ):
            space_of(space=space, retrain={**retrained, "seeds": seeds}).check()


def test_a_corner_that_costs_too_much_to_be_the_best_is_not_trained_retrained() -> None:
    space = {"arch.encoder.hidden_size": {"choices": [4, 64]}, "arch": ["lstm"], "arch.encoder.dropout": [0.0]}
    settings = {key: value for key, value in TINY["settings"].items() if key != "arch.encoder.hidden_size"}
    asked: list[int] = []
    found = space_of(space=space, settings=settings, retrain={"seeds": [1]}, constraints={"parameters": 1_000})
    run = found.run
    found.run = lambda values, retrained=False: (
        (retrained and asked.append(values["arch.encoder.hidden_size"])) or run(values, retrained)
    )
    found.check()
    assert asked == [4]


@pytest.mark.parametrize(
    ("given", "seed"),
    [
        ({}, 0),  # that of conf/config.yaml
        ({"settings": {**TINY["settings"], "seed": 7}}, 7),
        ({"space": {"seed": [3, 5]}}, 5),
        ({"space": {"seed": {"low": 3, "high": 9, "step": 3}}}, 6),
    ],
)
def test_a_seed_that_trials_have_is_none_to_train_retrained_on(given: dict[str, Any], seed: int) -> None:
    study = write_study(**given, retrain={"seeds": [seed + 10]})
    text = study.dump().replace(f"- {seed + 10}", f"- {seed}")
    Path("study.yaml").write_text(text, encoding="utf-8")
    for read in (lambda: write_study(**given, retrain={"seeds": [11, seed]}), lambda: load_study(Path("study.yaml"))):
        with pytest.raises(BadInput, match=rf"yaml: retrain\.seeds has {seed}, a seed of the trials; choose seeds"):
            read()


# what the next token is measured on depends on every one of these, and of a tagger's labels on all but the first four
CORPUS = {
    "data.min_count": [1, 5000], "data.lowercase": [True, False], "data.normalize": [True, False],
    "data.vectors": [None, "glove.txt"], "data.sentence_end": [True, False], "data.roles.inputs": ["tokens", "frames"],
    "data.train": ["a.conllu", "b.conllu"], "data.validation": ["a.conllu", "b.conllu"], "data.test": ["a.conllu", "b"],
    "data.split": [None], "data.split.train": [0.8, 0.9], "data.name": ["a", "b"],
    "data.reader": ["conllu", "columns"], "data.reader.name": ["conllu", "columns"], "data.roles": ["tokens", "frames"],
    "data.reader.token_column": [0, 1], "data.reader.label_column": [1, 2], "data.reader.scheme": [None, "bio"],
    "data.reader.unit": ["words", "characters"], "data.reader.probe": [None, "X"], "data.reader.contrast": [None, "X"],
    "data.generator": [None, "recall"], "data.title": ["a", "b"],
}  # fmt: skip


@pytest.mark.parametrize(("key", "experiment"), crossed(CORPUS, ["grammar", "recall", "cloze", "tagging"]))
def test_what_changes_what_the_figure_is_measured_on_cannot_be_searched(
    key: str, experiment: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = Path("conf/experiment/grammar.yaml").read_text(encoding="utf-8")
    probe = "reader: {probe: Attractors, contrast: Contrast}"
    cloze = text.replace("/task: language_model", "/task: cloze").replace(probe, "").replace("judged_by:", "# judged:")
    Path("conf/experiment/cloze.yaml").write_text(cloze, encoding="utf-8")
    study = {**TINY, "experiment": experiment, "space": {key: CORPUS[key]}}
    study["settings"] = {"training.tokens": 800, "judged_by": None}
    Path("conf/study/tiny.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    if experiment == "tagging" and key in list(CORPUS)[:4]:
        assert compose_study("tiny").study.space.keys() == {key}
        return
    assert main(["tune", "study=tiny"]) == 2
    found = capsys.readouterr().err
    assert f"{key} cannot be searched" in found
    assert "conf/study/tiny.yaml" in found
    assert found.count("\n") == 1
    assert not Path("studies").exists()


UNBALANCED = {key: value for key, value in TINY.items() if key != "balanced"}


@pytest.mark.parametrize(
    ("given", "balanced"),
    [
        ({}, "arch"),
        ({"balanced": None}, None),
        ({"space": {"training.optimizer.learning_rate": RATE}}, None),
        ({"space": {"arch": ["rnn", "gru"]}, "sampler": {"name": "grid"}, "trials": None}, None),
        ({"space": {"arch": ["rnn", "gru"], "seed": [0, 1]}, "balanced": "seed"}, "seed"),
    ],
)
def test_archs_get_the_same_number_of_trials_unless_the_study_says_otherwise(
    given: dict[str, Any], balanced: str | None
) -> None:
    Path("conf/study/tiny.yaml").write_text(yaml.safe_dump({**UNBALANCED, **given}), encoding="utf-8")
    assert compose_study("tiny").study.balanced == balanced


def test_the_command_line_can_end_the_balance(capsys: pytest.CaptureFixture[str]) -> None:
    Path("conf/study/tiny.yaml").write_text(yaml.safe_dump(UNBALANCED), encoding="utf-8")
    assert compose_study("tiny", {"balanced": None}).study.balanced is None
    grid = {"sampler.name": "grid", "trials": None, "space": {"arch": ["rnn", "gru"]}}
    assert compose_study("tiny", grid).study.balanced is None
    assert main(["tune", "study=tiny", "pruner.name=hyperband"]) == 2
    assert "set balanced to null" in capsys.readouterr().err


RANGE = {"low": 0.0, "high": 0.5}
MISTAKES: list[tuple[dict[str, Any], list[str]]] = [
    ({"space": {}}, ["space is empty", "add a key and its choices"]),
    ({"space": ["arch"]}, ['space=["arch"]', "such as space.arch"]),
    ({"space": {"training.lerning_rate": RATE}}, ["'training.lerning_rate'", "did you mean"]),
    ({"space": {"arch": []}}, ["space.arch=[]", "at least 1"]),
    ({"space": {"arch": ["lstm", "lstm"]}}, ["space.arch", "twice"]),
    ({"space": {"arch": ["lstm", "lstmm"]}}, ["'lstmm'", "did you mean lstm"]),
    ({"space": {"training.warmup": {"low": 2, "high": 1}}}, ["space.training.warmup", "low=2 is above high=1"]),
    ({"space": {"training.warmup": {"low": 0, "high": 1, "log": True}}}, ["space.training.warmup", "positive low"]),
    ({"space": {"training.warmup": {"low": 0.1, "high": 1, "log": True, "step": 0.1}}}, ["step cannot be combined"]),
    ({"space": {"arch.encoder.layers": {"low": 1, "high": 10, "step": 4}}}, ["high=10 is not low=1 plus a multiple"]),
    ({"space": {"training.warmup": {"low": 0, "high": 1, "stp": 1}}}, ["space.training.warmup.stp"]),
    ({"space": {"training.warmup": {"low": 0}}}, ["space.training.warmup.high is missing"]),
    ({"space": {"training.tokens": [1, 2]}}, ["training.tokens cannot be searched", "equal budget"]),
    ({"space": {"training.state_reset": ["epoch", "document"]}}, ["training.state_reset cannot be searched", "figure"]),
    ({"space": {"training.patience": [1, 2]}}, ["training.patience cannot be searched", "equal budget"]),
    ({"space": {"tracking": ["none", "mlflow"]}, "settings": {}}, ["tracking cannot be searched"]),
    ({"space": {"arch.encoder.hidden_size": [1, 2]}}, ["arch.encoder.hidden_size is in both space and settings"]),
    ({"space": {"seed": {"choices": [0], "when": {"arhc": "gru"}}, "arch": ["gru"]}}, ["arhc", "did you mean arch"]),
    ({"space": {"seed": {"choices": [0], "when": {"arch": "gru"}}, "arch": ["lstm"]}}, ["arch=gru", "of its choices"]),
    ({"space": {"seed": {"choices": [0], "when": {"training.warmup": 0}}, "training.warmup": RANGE}},
     ["needs choices"]),
    ({"space": {"seed": {"choices": [0], "when": {"arch": "gru"}}, "arch": {"choices": ["gru"], "when": {"seed": 0}}}},
     ["the conditions of arch and seed form a cycle"]),
    ({"space": {"arch": {"choices": ["lstm"], "when": {"seed": 0}}, "seed": [0, 1]}},
     ["arch has a condition", "remove its when"]),
    ({"match": "parameters", "space": {"seed": [0, 1]}}, ["match=parameters needs several", "space.arch", "null"]),
    ({"space": {"arch": RANGE}}, ["arch selects one of several files", "needs choices"]),
    ({"settings": None}, ["settings=null: expected a section"]),
    ({"trials": 0}, ["trials must be a number from 1 to 10,000"]),
    ({"trials": None}, ["trials must be a number from 1 to 10,000"]),
    ({"trials": 3, "balanced": "arch"}, ["trials=3 cannot be divided evenly among the 2 choices of arch"]),
    ({"balanced": "seed"}, ["balanced=seed must be a key of the space"]),
    ({"balanced": "arch", "pruner": {"name": "hyperband"}}, ["pruner=hyperband", "balanced=arch"]),
    ({"sampler": {"name": "grid"}}, ["sampler=grid needs choices or ranges with a step"]),
    ({"sampler": {"name": "grid"}, "space": {"seed": [0, 1]}}, ["sampler=grid tries each point once", "trials"]),
    ({"sampler": "cma"}, ["sampler=cma: expected a section", "such as sampler.name"]),
    ({"space": None}, ["space=null: expected a section", "such as space.arch"]),
    ({"sampler": {"name": "tpee"}}, ["sampler.name=tpee", "'tpe', 'random', 'grid', 'gp' or 'qmc'"]),
    ({"pruner": {"name": "medan"}}, ["pruner.name=medan", "'median', 'hyperband' or 'none'"]),
    ({"match": "size"}, ["match=size", "'parameters' or 'flops'"]),
    ({"constraints": {"params": 3}}, ["constraints.params", "did you mean constraints.parameters"]),
    ({"retrain": {"seeds": [7, 8, 7]}}, ["retrain.seeds=[7, 8, 7] contains a seed twice"]),
    ({"retrain": {"seeds": [0]}}, ["retrain.seeds has 0, a seed of the trials"]),
    ({"retrain": {"seeds": [-1]}}, ["retrain.seeds.0=-1", "greater than or equal to 0"]),
    ({"retrain": {"settings": {"seed": 1}}}, ["retrain.settings has seed", "retrain.seeds"]),
    ({"heartbeat": 5, "grace": 4}, ["grace=4 must be longer than heartbeat=5"]),
    ({"experiment": "addin"}, ["'addin'", "did you mean adding"]),
    ({"tials": 3}, ["'tials'", "did you mean trials"]),
    ({"settings": {"training.tokns": 3}}, ["'training.tokns'", "did you mean training.tokens"]),
    ({"storage": "mysql://user:secret@host/db"}, ["storage=mysql://user@host/db", "sqlite:///FILE", "postgresql+psycopg://"]),
    ({"storage": "sqlite://"}, ["storage=sqlite://", "sqlite:///FILE"]),
    ({"storage": "postgresql://host/db"}, ["storage=postgresql://host/db", "postgresql+psycopg://"]),
    ({"space": {"arch.inputs.characters.size": [8, 9]}}, ["arch.inputs.characters.size", "characters is None"]),
    ({"storage": "sqlite:///:memory:"}, ["storage=sqlite:///:memory:", "sqlite:///FILE"]),
    ({"space": {"seed": {"choices": [0], "when": {"arch": []}}, "arch": ["gru"]}}, ["on arch has no values"]),
    ({"space": {"seed": [1, 1.0]}}, ["space.seed", "a value occurs twice"]),
    ({"space": {"training": {"optimizer": {"name": ["sgd"]}}}}, ["neither choices nor low", "training.optimizer"]),
    ({"space": {"data": ["grammar", "recall"]}}, ["data cannot be searched", "compared"]),
    ({"space": {"task.name": ["tagger", "regressor"]}}, ["task.name cannot be searched", "compared"]),
    ({"space": {"arch.name": ["a", "b"]}}, ["arch.name cannot be searched", "search arch"]),
    ({"space": {"training.evaluation_streams": [8, 2000]}}, ["training.evaluation_streams cannot be searched"]),
    ({"space": {"data.sentence_end": [True, False]}}, ["data.sentence_end cannot be searched", "is measured"]),
    ({"space": {"seed": {"low": 0, "high": 99_999, "step": 1}}, "sampler": {"name": "grid"}, "trials": None,
      "balanced": None, "match": None}, ["study=tiny has a grid of more than 10,000 points"]),
    ({"trials": 1_000_000_000}, ["trials must be a number from 1 to 10,000"]),
    ({"constraints": {"parameters": -5}}, ["constraints.parameters=-5", "greater than or equal to 1"]),
    ({"name": "other"}, ["name=other", "named after its file"]),
    ({"arch": "lstm"}, ["arch is a setting of trials", "under settings, or under space"]),
    ({"settings": {"trials": 5}}, ["trials is a setting of the study itself"]),
    ({"settings": {"training": {"tokens": 5}}}, ["settings.training is a section", "training.tokens"]),
]  # fmt: skip


@pytest.mark.parametrize(("differences", "words"), MISTAKES, ids=[words[0] for _, words in MISTAKES])
def test_a_mistake_in_a_study_ends_in_one_sentence_and_status_2(
    differences: dict[str, Any], words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("conf/study/tiny.yaml").write_text(yaml.safe_dump({**TINY, **differences}), encoding="utf-8")
    monkeypatch.setattr("unroll.preparation.prepared", lambda data: Path("conf"))
    monkeypatch.setattr("unroll.tuning.job.digest_of", lambda paths: "")
    assert main(["tune", "study=tiny"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("unroll: ")
    assert told.count("\n") == 1
    assert [word for word in words if word.lower() not in told.lower()] == []
    assert "secret" not in told
    assert not Path("outputs").exists()
    assert not Path("studies").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["trials=3"], "Which study? Add study=NAME, one of"),
        (["study=tny"], "There is no study 'tny'"),
        (["study=tiny", "trials=x"], "trials=x: expected a whole number ("),
        (["study=tiny", "space.arch=lstm"], "unroll: space.arch=lstm is a single value; write choices, such as [1, 2]"),
        (["study=tiny", "space.seed={low: a, high: 3}"], "space.seed.low=a: expected a number ("),
        (["study=tiny", "space.arch=[lstm, [3]]"], "space.arch.1=[3]: expected text or a number or true or false ("),
        (["study=tiny", "space.seed={choices: [1], when: 3}"], "space.seed.when=3: expected {key: value} ("),
        (["study=tiny", "pruner.name=null"], "pruner.name=null: it must be 'median', 'hyperband' or 'none' ("),
        (["study=tiny", "pruner.warmup=2"], "pruner.warmup=2: it must be less than 1 ("),
        (["study=tiny", "--prepared", "nope"], "nope/fit/vocabulary.json is missing, so this is not a prepared corpus"),
        (["study=tiny", "--prepared", "README.md"], "README.md/fit/vocabulary.json is missing, so this is not"),
        (["study=tiny", "trials.x=3"], "There is no setting 'trials.x' of a study"),
        (["study=tiny", "training.tokns=3"], "did you mean training.tokens"),
        (["study=tiny", "--workers", "0"], "--workers: 0 is not a whole number from 1 to "),
        (["study=tiny", "--workers", "9999"], "--workers: 9999 is not a whole number from 1 to "),
        (["study=tiny", "--config", "conf/study/tiny.yaml"], "Give --config FILE or settings, not both"),
        (["--config", "conf/study/tiny.yaml"], "conf/study/tiny.yaml is not a resolved study"),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_a_mistake_on_the_command_line_of_a_study_is_told(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_study()
    assert main(["tune", *words]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_a_database_that_cannot_be_reached_is_told_without_its_password(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unroll.preparation.prepared", lambda data: Path("conf"))
    monkeypatch.setattr("unroll.tuning.job.digest_of", lambda paths: "")
    monkeypatch.setattr("unroll.tuning.space.Space.check", lambda self: None)
    write_study(storage="postgresql+psycopg://user:secret@127.0.0.1:9/db")
    assert main(["tune", "study=tiny"]) == 2
    told = capsys.readouterr().err
    assert "postgresql+psycopg://user@127.0.0.1:9/db" in told
    assert told.count("\n") == 1
    assert "secret" not in told


def test_a_mistake_in_a_file_is_told_with_settings_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    Path("conf/study/tiny.yaml").write_text(yaml.safe_dump({**TINY, "settings": None}), encoding="utf-8")
    assert main(["tune", "study=tiny", "training.tokens=800"]) == 2
    assert capsys.readouterr().err == ("unroll: settings=null: expected a section with settings such as settings.seed "
                                       "(conf/study/tiny.yaml).\n")  # fmt: skip


def test_a_resolved_study_reads_back_equal_and_tells_what_it_lacks() -> None:
    study = write_study()
    Path("study.yaml").write_text(study.dump(), encoding="utf-8")
    assert load_study(Path("study.yaml")) == study
    content = yaml.safe_load(study.dump())
    content["study"]["space"]["arch"]["choices"].append("rnn")
    Path("study.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(BadInput, match=r"There are no settings of arch=rnn.*study\.yaml arch=rnn.*again"):
        load_study(Path("study.yaml")).run({"arch": "rnn"})


def test_the_digest_tells_what_decides_the_result_and_nothing_else() -> None:
    def digest(**differences: Any) -> str:
        return write_study(**differences).digest("data", "code")

    same = [{"question": "Why?"}, {"storage": "sqlite:///studies/other.db"}, {"heartbeat": 2}, {"retries": 1},
            {"settings": {**TINY["settings"], "tracking": "mlflow"}}]  # fmt: skip
    other = [{"trials": 5}, {"seed": 1}, {"sampler": {"name": "random"}}, {"pruner": {"name": "median"}},
             {"settings": {**TINY["settings"], "training.tokens": 900}},
             {"space": {**TINY["space"], "arch": ["gru", "lstm"]}}]  # fmt: skip
    assert {digest(**differences) for differences in same} == {digest()}
    assert len({digest(), *(digest(**differences) for differences in other)}) == 1 + len(other)
    study = compose_study("tiny")
    assert study.digest("data", "code") != study.digest("other", "code") != study.digest("other", "newer")


def test_a_study_from_before_a_setting_was_added_keeps_its_meaning(project: Path) -> None:
    for name, rate in {"tagging-rates": 0.0, "recall-rates": None}.items():
        content = yaml.safe_load(compose_study(name).dump())
        for base in content["bases"].values():
            base["task"].pop("unknown_rate", None)
        Path("study.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        first = load_study(Path("study.yaml")).first()
        assert getattr(first.task, "unknown_rate", None) == rate
