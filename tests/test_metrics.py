"""Scales of metrics: places on them and back, and that every figure that a task reports has one."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from unroll import experiment, preparation
from unroll.analysis.item_level import wilson
from unroll.config import Config
from unroll.errors import BadInput
from unroll.experiment.building import build_task
from unroll.experiment.loading import evaluation_loader
from unroll.experiment.prepared_data import PreparedData
from unroll.metrics import Metric, without_twins
from unroll.tasks.description import Description
from unroll.tasks.registry import descriptions, metric_of

RATIO, DIFFERENCE = Metric("y", "ratio", lower=True), Metric("y", "difference", lower=True)
ODDS = Metric("y", "log-odds", lower=False, top=1)
COUNTED = replace(ODDS, items=50)


CHARACTERS = [f"data.{split}=data/small/{split}.txt" for split in ("train", "validation", "test")] + [
    "data.split=null", "training.evaluation_streams=2"]  # fmt: skip
SPANS = ["data.reader={name: columns, scheme: bio}"] + [
    f"data.{split}=data/small/spans.conll" for split in ("train", "validation", "test")]  # fmt: skip


@pytest.mark.parametrize(
    ("figures", "left"),
    [
        ({"loss": 1.5, "loss_known": 1.5, "perplexity": 4.5, "perplexity_known": 4.5}, ["loss", "perplexity"]),
        ({"loss": 1.5, "loss_known": 1.25}, ["loss", "loss_known"]),  # some tokens are unknown
        ({"val/loss": 1.5, "val/loss_known": 1.5}, ["val/loss"]),
        ({"loss": math.nan, "loss_known": math.nan}, ["loss"]),
        ({"loss": math.inf, "loss_known": math.inf}, ["loss"]),
        ({"loss": 1.5, "loss_known": math.nan}, ["loss", "loss_known"]),
        ({"loss_known": 1.5}, ["loss_known"]),  # a figure without its twin
        ({"precision": 1.0, "recall": 1.0, "f1": 1.0}, ["precision", "recall", "f1"]),  # equal by chance
        ({"accuracy": 0.5, "accuracy/left": 0.5}, ["accuracy", "accuracy/left"]),
    ],
)
def test_a_figure_that_repeats_its_twin_is_left_out(figures: dict[str, float], left: list[str]) -> None:
    assert list(without_twins(figures)) == left


@pytest.mark.parametrize(
    ("name", "arch", "overrides", "reported"),
    [("grammar", "lstm", [], "perplexity_known"),
     ("tinyshakespeare", "gru", CHARACTERS, "bits_per_character"), ("grammar", "bilstm", ["task=cloze"], "accuracy"),
     ("tagging", "rnn", [], "accuracy/left"), ("tagging", "rnn", SPANS, "precision"), ("adding", "gru", [], "loss")],
)  # fmt: skip
def test_every_figure_that_a_task_reports_has_a_scale_and_its_headline_a_direction(
    name: str, arch: str, overrides: list[str], reported: str, small: Callable[..., Config], project: Path
) -> None:
    (project / "data" / "small" / "spans.conll").write_text("Rome B-X\nis O\n\n" * 20, encoding="utf-8")
    config = small(name, arch, *overrides)
    data = PreparedData(config, preparation.prepared(config.data))
    task = build_task(config, data.spec)
    figures = experiment.evaluate_task(task, evaluation_loader(config, data.spec, data.split("validation")))
    assert {reported, task.headline} <= figures.keys()
    items = task.items()
    for figure in figures:
        if metric_of(config.task.name, figure).scale == "log-odds":  # k of n items, and so a whole number of them
            assert items[figure] > 0
            assert figures[figure] * items[figure] == pytest.approx(round(figures[figure] * items[figure]))
    for figure in figures:
        assert metric_of(config.task.name, figure).name == figure
    assert metric_of(config.task.name, task.headline).lower == (task.mode == "min")
    assert task.headline in config.task.description.headlines


@pytest.mark.parametrize("task", descriptions().values(), ids=lambda task: task.name)
def test_what_a_task_is_judged_and_monitored_by_it_reports(task: Description) -> None:
    for name in (*task.headlines, *task.monitors, *task.needs):
        assert task.metric(name).name == name
    assert all(task.need(names[-1]) is None for names in (task.headlines, task.monitors))  # any corpus has the last


def test_the_loss_of_a_regressor_is_a_ratio_and_that_of_a_language_model_is_in_nats() -> None:
    assert metric_of("regressor", "loss").scale == "ratio"
    assert metric_of("language_model", "loss").scale == "difference"


def test_perplexity_and_its_nats_are_the_same_places_and_nats_are_not_logged_again() -> None:
    for kind in ("", "_known"):
        perplexity, loss = (metric_of("language_model", name + kind) for name in ("perplexity", "loss"))
        assert perplexity.onto(math.exp(4.2)) == pytest.approx(loss.onto(4.2))


@pytest.mark.parametrize("metric", [RATIO, DIFFERENCE, ODDS, COUNTED])
@pytest.mark.parametrize("value", [0.02, 0.5, 0.98])
def test_the_way_onto_the_scale_leads_back(metric: Metric, value: float) -> None:
    assert metric.back(metric.onto(value)) == pytest.approx(value)
    assert metric.mean([value, value]) == pytest.approx(value)


def test_a_mean_of_zeros_is_zero() -> None:
    for items in (7, 50, 300, 1_500):
        assert replace(ODDS, items=items).mean([0.0] * 5) == 0.0
        assert wilson(0.0, items)[0] == 0.0


def test_a_mean_is_one_on_the_scale() -> None:
    assert RATIO.mean([1.0, 100.0]) == pytest.approx(10.0)
    assert DIFFERENCE.mean([1.0, 100.0]) == 50.5
    assert ODDS.mean([0.1, 0.9]) == pytest.approx(0.5)
    assert COUNTED.mean([1.0, 1.0]) == 1.0
    assert 0.9 < COUNTED.mean([0.9, 1.0]) < 1.0
    assert COUNTED.onto(0.9) == pytest.approx(math.log(45.5 / 5.5))


@pytest.mark.parametrize("place", [-800.0, -40.0, 0.0, 40.0, 800.0])
def test_no_place_leads_out_of_what_a_metric_can_be(place: float) -> None:
    assert RATIO.back(place) >= 0
    assert 0 <= ODDS.back(place) <= 1
    assert 0 <= COUNTED.back(place) <= 1


def test_what_has_no_place_says_so_and_nothing_is_raised() -> None:
    assert RATIO.onto(0.0) == -math.inf
    assert RATIO.onto(math.inf) == math.inf
    assert math.isinf(ODDS.onto(1.0))
    assert math.isinf(ODDS.onto(0.0))
    assert math.isfinite(COUNTED.onto(1.0))
    for metric, values in ((RATIO, (-1.0, math.nan)), (ODDS, (-0.1, 1.1, math.nan)), (COUNTED, (1.1,))):
        assert all(math.isnan(metric.onto(value)) for value in values)


def test_groups_come_best_first_on_the_scale_and_those_without_a_mean_last() -> None:
    groups = [[1.0, 1.0], [0.001, 1.1], [math.nan, 0.0], [-1.0, 0.5]]
    assert sorted(groups[:3], key=RATIO.rank) == [groups[1], groups[0], groups[2]]
    assert sorted(groups[:2], key=DIFFERENCE.rank) == [groups[1], groups[0]]
    assert max(groups[:2], key=DIFFERENCE.rank) == groups[0]
    assert RATIO.rank(groups[3])[0]


@pytest.mark.parametrize(("task", "name"), [("tagger", "perplexity"), ("regressor", "accuracy"), ("tagger", "f1/near"),
                                            ("parser", "loss"), ("language_model", "losss")])  # fmt: skip
def test_a_metric_that_no_task_reports_is_named(task: str, name: str) -> None:
    with pytest.raises(BadInput, match=task if task == "parser" else name):
        metric_of(task, name)
