"""What came of a study: fronts, the best of each arch, and what is trained anew."""

from __future__ import annotations

import csv
import itertools
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from unroll.config import DataConfig, StudySettings, compose, compose_study, load, load_study, resolve
from unroll.data.batch import FieldSpec
from unroll.errors import BadInput
from unroll.experiment import build_task
from unroll.tuning import job as jobs
from unroll.tuning.job import Job, full_name, monitored
from unroll.tuning.results import Result, front, is_written, results_of, write_results
from unroll.tuning.slots import Slot

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_a_point_of_the_front_is_beaten_by_none_in_both() -> None:
    points = [(1.0, 5.0), (2.0, 1.0), (2.0, 2.0), (0.5, 9.0), (3.0, 0.5), (1.0, 6.0)]
    assert front(points) == [0, 1, 3, 4]
    assert front([]) == []
    assert front([(1.0, 1.0), (1.0, 1.0)]) == [0, 1]  # neither beats the other


def test_every_point_off_the_front_is_beaten_by_one_on_it() -> None:
    points = [(float(a * 7 % 11), float(a * 5 % 13)) for a in range(40)]
    on = front(points)
    for index, (quality, cost) in enumerate(points):
        beaten = any(points[i][0] <= quality and points[i][1] <= cost and points[i] != (quality, cost) for i in on)
        assert beaten == (index not in on)


@pytest.mark.parametrize("words", [["experiment=adding"], ["experiment=grammar"], ["experiment=tagging"],
                                   ["experiment=grammar", "task=cloze"], ["experiment=wnut17"]])  # fmt: skip
def test_a_study_judges_by_what_its_task_monitors(words: list[str]) -> None:
    config = compose(words)
    labels = FieldSpec(3, ("O", "B-X", "I-X"), scheme=config.data.option("scheme"), padding_index=-1)
    frames = {"inputs": FieldSpec(2), "target": FieldSpec(1)}
    task = build_task(config, frames if config.task.name == "regressor" else {
        "inputs": FieldSpec(7, unit="words"), "labels": labels})  # fmt: skip
    judged_by = monitored(config)
    metric, maximize = judged_by.name, not judged_by.lower
    assert (f"val/{metric}", "max" if maximize else "min") == (task.monitor, task.mode)


def slot(number: int, arch: str, value: float | None, state: str = "COMPLETE", **notes: Any) -> Slot:
    values = {"arch": arch, "training.truncation_length": 16, "training.optimizer.learning_rate": 0.01}
    known = {"parameters": 100 + number, "tokens_per_second": 1000, **notes}
    return Slot(number, state, values, value, {30_000: 1.0}, known, 2.0)


def job_of(settings: StudySettings) -> Job:
    return Job(settings, "lstm-vs-gru-0123", None, None)


COMPOSED: dict[str, StudySettings] = {}  # settings are frozen, and each study is checked in every corner


def unmatched(**differences: Any) -> StudySettings:
    key = repr(differences)
    if key not in COMPOSED:
        COMPOSED[key] = compose_study("lstm-vs-gru", {"match": None, **differences})
    return COMPOSED[key]


def result_of(job: Job, slots: list[Slot], maximize: bool = False) -> Result:
    best = {arch: next(s for s in slots if s.values["arch"] == arch) for arch in ("lstm", "gru")}
    return Result(job.name, "loss", maximize, slots, best, {"arch": 1.0})


def test_the_best_of_each_is_trained_anew_on_fresh_seeds_and_with_its_own_budget(tmp_path: Path) -> None:
    job = job_of(unmatched(**{"retrain.seeds": [7, 8], "retrain.settings": {"training.tokens": 999_000}}))
    result = result_of(job, [slot(0, "lstm", 0.5), slot(1, "gru", 0.4)])
    write_results(job, result, tmp_path / "out", lambda folder: None)
    for arch, seed in itertools.product(("lstm", "gru"), (7, 8)):
        anew = load(tmp_path / "out" / "retrain" / arch / f"{seed}.yaml")
        assert (anew.arch.name, anew.seed, anew.training.tokens) == (arch, seed, 999_000)
        assert anew.training.truncation_length == 16
        assert anew.name == f"lstm-vs-gru/{arch}-{seed}"
    assert load(tmp_path / "out" / "best-gru.yaml").training.tokens == 300_000


def test_validations_that_are_not_numbers_are_null_in_the_file(tmp_path: Path) -> None:
    job = job_of(unmatched())
    slots = [slot(0, "lstm", 0.5), slot(1, "gru", 0.4), slot(2, "gru", None, "FAIL")]
    slots[2].reports.update({30_000: math.nan, 60_000: math.inf})
    write_results(job, result_of(job, slots), tmp_path / "out", lambda folder: None)
    text = (tmp_path / "out" / "study.json").read_text(encoding="utf-8")
    told = json.loads(text, parse_constant=pytest.fail)
    assert told["reports"]["2"] == {"30000": None, "60000": None}


@pytest.mark.parametrize("lost", ["study.json", "trials.csv", "best-gru.yaml", "retrain/lstm/7.yaml"])
def test_a_study_that_has_lost_a_file_is_written_again(lost: str, tmp_path: Path) -> None:
    job = job_of(unmatched(**{"retrain.seeds": [7]}))
    result = result_of(job, [slot(0, "lstm", 0.5), slot(1, "gru", 0.4)])
    write_results(job, result, tmp_path / "out", lambda folder: None)
    (tmp_path / "out" / lost).unlink()
    assert not is_written(job, tmp_path / "out")
    write_results(job, result, tmp_path / "out", lambda folder: None)
    assert (tmp_path / "out" / lost).exists()


@pytest.mark.parametrize("maximize", [False, True])
def test_fronts_are_marked_by_the_direction_of_the_figure(maximize: bool, tmp_path: Path) -> None:
    job = job_of(unmatched())
    slots = [slot(0, "lstm", 0.5), slot(1, "gru", 0.4), slot(2, "gru", 0.9, "PRUNED"), slot(3, "gru", None, "FAIL")]
    write_results(job, result_of(job, slots, maximize), tmp_path / "out", lambda folder: None)
    with (tmp_path / "out" / "trials.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    # the first one has fewer parameters, so it is beaten by none; the other one is on the front if it is better
    assert [row["front_parameters"] for row in rows] == ["1", "0" if maximize else "1", "0", "0"]


def test_the_columns_of_the_table_are_in_the_order_of_the_space(tmp_path: Path) -> None:
    space = {"arch": ["lstm", "gru"], "arch.encoder.dropout": {"choices": [0.0, 0.2], "when": {"arch": "gru"}},
             "training.truncation_length": [16, 32]}  # fmt: skip
    job = job_of(unmatched(space=space))
    slots = [slot(0, "lstm", 0.5), slot(1, "gru", 0.4)]
    slots[1].values["arch.encoder.dropout"] = 0.2  # which the first one has not
    write_results(job, result_of(job, slots), tmp_path / "out", lambda folder: None)
    header = (tmp_path / "out" / "trials.csv").read_text(encoding="utf-8").splitlines()[0].split(",")
    assert header[:5] == ["trial", "state", *space]


def test_trials_that_cost_too_much_are_told_apart_from_pruned_and_failed_ones(tmp_path: Path) -> None:
    job = job_of(unmatched())
    slots = [slot(0, "lstm", 0.5), slot(1, "gru", 0.4), slot(2, "gru", 0.9, "PRUNED"),
             slot(3, "gru", None, "TOO_COSTLY", excess="9 parameters, 8 allowed"),
             slot(4, "gru", None, "FAIL", error="no memory")]  # fmt: skip
    result = result_of(job, slots)
    assert result.summary().startswith("lstm-vs-gru-0123, trials: 2 complete, 1 pruned, 1 too costly, 1 failed\n")
    counts = {"trials/complete": 2.0, "trials/pruned": 1.0, "trials/too_costly": 1.0, "trials/fail": 1.0}
    assert {name: count for name, count in result.figures().items() if name.startswith("trials/")} == counts
    write_results(job, result, tmp_path / "out", lambda folder: None)
    with (tmp_path / "out" / "trials.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["excess"] for row in rows] == ["", "", "", "9 parameters, 8 allowed", ""]
    assert [row["error"] for row in rows] == ["", "", "", "", "no memory"]
    told = json.loads((tmp_path / "out" / "study.json").read_text(encoding="utf-8"))
    assert told["states"] == {"COMPLETE": 2, "PRUNED": 1, "TOO_COSTLY": 1, "FAIL": 1}


def test_what_each_arch_was_given_is_reported(tmp_path: Path) -> None:
    job = job_of(unmatched())
    slots = [slot(0, "lstm", 0.5, tokens=150_000), slot(1, "lstm", 0.9, "PRUNED", tokens=60_000),
             slot(2, "gru", 0.4, tokens=150_000), slot(3, "gru", None, "FAIL")]  # fmt: skip
    result = result_of(job, slots)
    given = [" ".join(line.split()) for line in result.summary().splitlines()[1:3]]
    # the failed trial noted nothing, and was at its validation of 30,000 tokens
    assert given == [
        "lstm trials: 2, complete: 1, 210,000 tokens read",
        "gru trials: 2, complete: 1, 180,000 tokens read",
    ]
    write_results(job, result, tmp_path / "out", lambda folder: None)
    with (tmp_path / "out" / "trials.csv").open(encoding="utf-8") as file:
        assert [row["tokens"] for row in csv.DictReader(file)] == ["150000", "60000", "150000", "30000"]


def test_where_no_trial_is_complete_the_last_reason_is_told() -> None:
    class Untrained:
        def slots(self) -> list[Slot]:
            return [slot(0, "gru", None, "TOO_COSTLY", excess="9 parameters, 8 allowed")]

        def importances(self) -> dict[str, float]:
            return {}

    result = results_of(job_of(unmatched()), Untrained())  # type: ignore[arg-type]
    assert not result.best
    assert result.lack() == "No trial of lstm-vs-gru-0123 is complete; the last one: 9 parameters, 8 allowed"


def test_what_is_written_is_written_anew_for_other_seeds_only(tmp_path: Path) -> None:
    job = job_of(unmatched())
    result = result_of(job, [slot(0, "lstm", 0.5), slot(1, "gru", 0.4)])
    assert not is_written(job, tmp_path / "out")
    write_results(job, result, tmp_path / "out", lambda folder: None)
    assert is_written(job, tmp_path / "out")
    assert not is_written(job_of(unmatched(**{"retrain.seeds": [1]})), tmp_path / "out")
    assert json.loads((tmp_path / "out" / "study.json").read_text(encoding="utf-8"))["states"]["COMPLETE"] == 2


def test_a_resolved_study_is_read_again_and_makes_the_same_runs(tmp_path: Path) -> None:
    for name in ("lstm-vs-gru", "reach", "tinyshakespeare-lstm-vs-gru", "brown-lstm-vs-gru"):
        settings = compose_study(name)
        (tmp_path / "study.yaml").write_text(settings.dump(), encoding="utf-8")
        again = load_study(tmp_path / "study.yaml")
        assert again == settings
        assert again.digest("data", "code") == settings.digest("data", "code")
        assert yaml.safe_load(again.first().dump()) == yaml.safe_load(settings.first().dump())


def test_the_name_of_a_study_depends_on_all_that_decides_its_trials_and_on_nothing_else() -> None:
    same: list[dict[str, Any]] = [
        {},
        {"storage": "sqlite:///x.db"},
        {"heartbeat": 1},
        {"retrain.seeds": [1]},
        {"tracking": "none"},
    ]
    other: list[dict[str, Any]] = [
        {"trials": 4},
        {"training.tokens": 1000},
        {"sampler.name": "random"},
        {"match": None},
    ]
    digests = {compose_study("lstm-vs-gru", given).digest("d", "c") for given in same}
    assert len(digests) == 1
    digests |= {compose_study("lstm-vs-gru", given).digest("d", "c") for given in other}
    digests |= {compose_study("lstm-vs-gru").digest(data, code) for data, code in (("e", "c"), ("d", "e"))}
    assert len(digests) == 1 + len(other) + 2


def test_the_name_of_a_study_that_searches_its_data_depends_on_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = unmatched()
    space = {**settings.study.space, "data.min_count": settings.study.space["training.truncation_length"]}
    searching = replace(settings, study=settings.study.model_copy(update={"space": space}))

    def prepared(data: DataConfig) -> Path:
        return tmp_path / str(data.min_count)

    monkeypatch.setattr(jobs.preparation, "prepared", prepared)
    for count in (1, 12, 24, 48, 96):
        (tmp_path / str(count) / "fit").mkdir(parents=True)
        (tmp_path / str(count) / "fit" / "tokens").write_text(str(count), encoding="utf-8")
    name = full_name(Job(searching, "", None, None))
    (tmp_path / "96" / "fit" / "tokens").write_text("others", encoding="utf-8")  # not the first of its corpora
    assert full_name(Job(searching, "", None, None)) != name


def test_a_study_is_named_by_its_file_alone() -> None:
    with pytest.raises(BadInput, match="no setting 'name'"):
        compose_study("lstm-vs-gru", {"name": "other"})


@pytest.mark.parametrize(("archs", "seeds", "told"), [("[lstm]", "[10, 11, 12, 13, 14]", "archs"),
                                                      ("[lstm, gru]", "[0]", r"retrain\.seeds")])  # fmt: skip
def test_a_chapter_that_trains_anew_what_its_study_does_not_write_is_refused(
    archs: str, seeds: str, told: str, tmp_path: Path
) -> None:
    path = tmp_path / "course.yaml"
    path.write_text(f"tuning: {{experiments: [lstm-vs-gru], archs: {archs}, seeds: {seeds}}}", encoding="utf-8")
    with pytest.raises(BadInput, match=f"chapter 'tuning'.*{told}.*use the same in both"):
        resolve(path, tmp_path / "configs")
    assert not (tmp_path / "configs").exists()
