"""The report's part on a study: every trial drawn, and whether there is a cliff where k falls short."""

from __future__ import annotations

import csv
import json
import math
import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browsing import browsed
from fuzzing import FIGURES as EXAMPLES
from fuzzing import SLOW, altered, damaged, fuzz, refusal
from hypothesis import strategies as st
from processes import some_slow

from unroll.analysis import comparison
from unroll.analysis.report import write_report
from unroll.analysis.study import draw_study, study_part, write_study_page
from unroll.analysis.styles import assign_styles
from unroll.analysis.trials import TRUNCATION, StudyResults, load_study
from unroll.analysis.truncation import Fall, falls, sentences
from unroll.analysis.verdict import expected_best
from unroll.errors import BadInput

ARCHS = ["lstm", "gru"]
KS = [6, 12, 18, 24, 36, 48]
DISTANCES = (8, 12, 18, 26, 36)
SPACE: dict[str, dict[str, Any]] = {
    "arch": {"choices": ARCHS},
    TRUNCATION: {"choices": KS},
    "training.optimizer.learning_rate": {"low": 0.003, "high": 0.03, "log": True},
    "arch.encoder.dropout": {"low": 0.0, "high": 0.4, "step": 0.1, "when": {"arch": ["lstm"]}},
}
FIGURES = {"history", "importances", "map", "front-parameters", "front-time", "expected-best", "reach"}

STATES = ("COMPLETE", "PRUNED", "TOO_COSTLY", "FAIL")

Row = dict[str, Any]


def row(number: int, arch: str, k: int | None, value: float, state: str = "COMPLETE", **others: Any) -> Row:
    """A trial as it stands in ``trials.csv``."""
    accuracies = {f"val/accuracy/{distance}": 0.5 for distance in DISTANCES} if state == "COMPLETE" else {}
    return {"trial": number, "state": state, "arch": arch, TRUNCATION: k, "training.optimizer.learning_rate": 0.01,
            "arch.encoder.dropout": 0.1 if arch == "lstm" else None, "value": value, "tokens_per_second": 9000 + number,
            "tokens": 100_000 if state == "COMPLETE" else 40_000 if state == "PRUNED" else 0,
            "parameters": 1000 + (arch == "gru"), **accuracies, "hidden_size": 64 + number,
            "front_parameters": 0, "front_time": 0,
            **others}  # fmt: skip


def write(folder: Path, rows: list[Row], probe: str | None = "Distance", **changes: Any) -> Path:
    """A folder as ``unroll tune`` leaves it; without a probe, of a corpus whose reader knows none."""
    folder.mkdir(parents=True, exist_ok=True)
    keys = list(dict.fromkeys(key for row in rows for key in row))
    with (folder / "trials.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, keys, lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows(rows)
    best: dict[str, Row] = {}
    for done in sorted((row for row in rows if row["state"] == "COMPLETE"), key=lambda row: row["value"]):
        values = {key: done[key] for key in SPACE if done.get(key) is not None}
        best.setdefault(done["arch"], {"trial": int(done["trial"]), "value": float(done["value"]), "values": values,
                                       "parameters": int(done["parameters"])})  # fmt: skip
    content = {
        "name": f"{folder.name}-0123456789ab", "question": "Which <one>?", "experiment": "recall", "metric": "loss",
        "mode": "min", "tokens": 100_000, "validations": 5, "match": "parameters", "space": SPACE, "sampler": "tpe",
        "pruner": "median", "best": best, "importances": {TRUNCATION: 0.7, "arch": 0.3}, "reports": {},
        "states": {state: sum(row["state"] == state for row in rows) for state in STATES},
    }  # fmt: skip
    (folder / "study.json").write_text(json.dumps(content | changes), encoding="utf-8")
    task = "tagger" if changes.get("metric") == "f1" else "language_model"
    reader = f"{{name: conllu, probe: {probe}}}" if probe else "{name: text}"
    for arch in best:
        (folder / f"best-{arch}.yaml").write_text(
            f"data: {{reader: {reader}}}\ntask: {{name: {task}}}\n", encoding="utf-8"
        )
    return folder


def search(path: Path) -> Path:
    """A search: eight complete trials, of which two are on a front, two ended early, and one failed."""
    rows = [row(n, ARCHS[n % 2], KS[n % 3], 0.6 - 0.01 * n, front_time=int(n in (0, 7)), front_parameters=int(n == 6))
            for n in range(8)]  # fmt: skip
    rows += [row(n, ARCHS[n % 2], 48, 0.9, "PRUNED") for n in (8, 9)]
    return write(path / "lstm-vs-gru", [*rows, failed(10)])


def failed(number: int) -> Row:
    return row(number, "gru", 6, 0.0, "FAIL") | dict.fromkeys(
        ("value", "tokens_per_second", "parameters", "hidden_size")
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return search(tmp_path)


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return drawn(search(tmp_path_factory.mktemp("figures")))


def drawn(folder: Path) -> dict[str, str]:
    draw_study(folder)
    return {path.stem: path.read_text(encoding="utf-8") for path in folder.glob("*.svg")}


def points(figure: str, group: str) -> int:
    """Points of a group of a figure, as many as it has markers."""
    parts = re.split(rf'id="{re.escape(group)}"', figure)[1:]
    return sum(part.split("\n  </g>\n")[0].split('<g id="')[0].count("<use ") for part in parts)


def test_every_figure_is_drawn_and_the_same_trials_give_the_same_bytes(folder: Path, figures: dict[str, str]) -> None:
    assert figures.keys() == FIGURES
    assert drawn(folder) == figures


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({"importances": {}}, {"importances"}),
        ({"space": {key: part for key, part in SPACE.items() if key != TRUNCATION}}, {"map", "reach"}),
        ({"space": {key: part for key, part in SPACE.items() if key != "arch"}}, {"map"}),
        ({"probe": "Attractors"}, {"reach"}),  # numbers, but no distances
        pytest.param({"probe": "null"}, {"reach"}, marks=pytest.mark.slow),
        pytest.param({"probe": None}, {"reach"}, marks=pytest.mark.slow),
    ],
)
def test_a_figure_that_has_nothing_to_show_is_left_out(folder: Path, change: Row, missing: set[str]) -> None:
    with (folder / "trials.csv").open(encoding="utf-8", newline="") as file:
        rows: list[Row] = list(csv.DictReader(file))
    for trial in rows:
        trial["value"] = float(trial["value"] or 0)
        trial["parameters"] = int(trial["parameters"] or 0)
    assert drawn(write(folder.parent / "other", rows, **change)).keys() == FIGURES - missing


def test_the_expected_best_is_that_of_all_trials_and_not_of_those_that_survived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unroll.analysis import study_plots

    curves: list[list[float]] = []
    monkeypatch.setattr(study_plots, "expected_best", lambda *given: curves.append(expected_best(*given)) or curves[-1])
    survivors, ended = [0.5, 0.4, 0.3], [0.9, 0.8, 0.7, 0.9, 0.45]
    rows = [row(n, "gru", 6, value) for n, value in enumerate(survivors)]
    rows += [row(n, "gru", 6, value, "PRUNED") for n, value in enumerate(ended, start=3)]
    rows += [row(n, "lstm", 6, 0.45 + 0.001 * n) for n in range(8, 16)]
    rows += [failed(16)]  # its loss was no number
    figure = drawn(write(tmp_path / "pruned", rows, importances={}))["expected-best"]
    assert [points(figure, f"best-of-{arch}") for arch in ARCHS] == [8, 9]
    *_, gru, doubted = curves
    assert doubted[0] == pytest.approx(sum([*survivors, *ended, max(ended)]) / 9)
    assert 'id="doubt-of-gru"' in figure
    assert gru[0] == pytest.approx(sum([*survivors, 0.5, 0.5, 0.5, 0.5, 0.45, 0.5]) / 9)
    assert all(alone < best for alone, best in zip(expected_best(survivors, True)[:3], gru, strict=False))


def test_a_group_without_a_word_is_left_out_of_the_figures(tmp_path: Path) -> None:
    empty = {"val/accuracy/8": "nan", "val/accuracy/12": ""}
    rows = [row(n, ARCHS[n % 2], KS[n % 3], 0.6 - 0.01 * n, **(empty if n < 2 else {})) for n in range(8)]
    folder = write(tmp_path / "empty", rows)
    assert "nan" not in drawn(folder)["reach"]
    assert "nan" not in write_study_page(folder, folder / "index.html").read_text(encoding="utf-8").replace("lang", "")
    assert {len(trial.accuracies) for trial in load_study(folder).trials} == {3, 5}


@pytest.mark.parametrize(
    ("metric", "task", "axis"),
    [("perplexity", "language_model", True), ("loss", "regressor", True), ("loss", "language_model", False)],
)
def test_figures_are_drawn_on_the_scale_of_the_metric(metric: str, task: str, axis: bool, tmp_path: Path) -> None:
    from matplotlib import pyplot as plt

    from unroll.analysis import study_plots

    folder = write(tmp_path / "scaled", [row(n, "gru", 6, 2.0 ** (n - 4)) for n in range(8)], metric=metric)
    (folder / "best-gru.yaml").write_text(
        f"data: {{reader: {{name: text}}}}\ntask: {{name: {task}}}\n", encoding="utf-8"
    )
    figure, axes = plt.subplots()
    study_plots._scale(axes, load_study(folder))
    assert (axes.get_yscale() == "log") == axis
    plt.close(figure)
    curve = study_plots._expected(load_study(folder), [1.0, 4.0])
    assert curve[0] == pytest.approx(2.0 if axis else 2.5)


def test_a_condition_that_does_not_hold_is_no_null(tmp_path: Path) -> None:
    space = {**SPACE, TRUNCATION: {"choices": [12, None], "when": {"arch": "lstm"}},
             "arch.encoder.layers": {"choices": [None, 2], "when": {TRUNCATION: [None]}}}  # fmt: skip
    rows = [row(0, "lstm", 12, 0.5), row(1, "lstm", None, 0.5), row(2, "gru", None, 0.5)]
    found = load_study(write(tmp_path / "when", [{**each, "arch.encoder.layers": None} for each in rows], space=space))
    assert [trial.values.get(TRUNCATION, "none") for trial in found.trials] == [12, None, "none"]
    assert ["arch.encoder.layers" in trial.values for trial in found.trials] == [False, True, False]


@pytest.mark.parametrize("pruned", some_slow([True, False], True))
def test_the_page_says_why_not_all_may_be_laid_to_k(tmp_path: Path, pruned: bool) -> None:
    rows = grid(lambda k, distance: 0.9)
    write(tmp_path / "s", rows + [row(len(rows), "lstm", 6, 0.9, "PRUNED")] * pruned)
    text = page(tmp_path / "s")
    assert "Trials also differ in training.optimizer.learning_rate and in arch.encoder.dropout" in text
    assert ("Trials that were ended early are omitted" in text) == pruned


ENDS: list[tuple[Any, Row, bool]] = [
    (6, {"choices": [6, 12, 24]}, True), (24, {"choices": [24, 12, 6]}, True), (12, {"choices": [6, 12, 24]}, False),
    (32, {"choices": [32, 64]}, False), (24, {"choices": [6, 24, None]}, False), ("a", {"choices": ["a", "b"]}, False),
    (0.0, {"low": 0.0, "high": 0.5}, False), (0.49, {"low": 0.0, "high": 0.5}, True), (3, {"low": 3, "high": 3}, False),
    (0.0031, {"low": 0.003, "high": 0.03, "log": True}, True),
    (0.0042, {"low": 0.003, "high": 0.03, "log": True}, False), (0.0042, {"low": 0.003, "high": 0.03}, True),
]  # fmt: skip


def test_the_page_says_where_the_best_is_at_an_end_of_the_search(tmp_path: Path) -> None:
    values = {f"key-{number}": value for number, (value, _, _) in enumerate(ENDS)}
    space = {"arch": {"choices": ARCHS}, **{f"key-{number}": part for number, (_, part, _) in enumerate(ENDS)}}
    best = {"lstm": {"trial": 0, "value": 0.5, "values": {"arch": "lstm", **values}, "parameters": 9}}
    write(tmp_path / "s", [row(0, "lstm", 6, 0.5) | values], space=space, best=best, importances={})
    ends = [f"key-{number} ({value:.3g})" for number, (value, _, is_end) in enumerate(ENDS) if is_end]
    assert f"The best lstm is at the edge of the search space in {' and in '.join(ends)}; a" in page(tmp_path / "s")


def test_the_page_says_in_what_the_best_differ(folder: Path) -> None:
    stated = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    stated["best"]["gru"]["values"][TRUNCATION] = 48
    (folder / "study.json").write_text(json.dumps(stated), encoding="utf-8")
    found = study_part(load_study(folder), assign_styles([ARCHS]))["found"]
    assert f"differ in {TRUNCATION} (gru 48, lstm 6)" in found


@pytest.mark.parametrize("count", some_slow([1, 2], 1))
def test_a_study_of_a_trial_or_two_can_be_drawn(tmp_path: Path, count: int) -> None:
    rows = [row(n, "lstm", 6, 0.5 + n, front_time=1, front_parameters=1) for n in range(count)]
    rest = {"importances", "expected-best"} if count == 1 else {"importances"}
    assert drawn(write(tmp_path / "small", rows, importances={})).keys() == FIGURES - rest
    assert "too few runs to test for a cliff" in page(tmp_path / "small")


def test_where_more_is_better_the_best_is_the_greatest(tmp_path: Path) -> None:
    rows = [row(n, "lstm", 6, value, front_time=1) for n, value in enumerate((0.25, 0.75, 0.5))]
    path = write(tmp_path / "f1", rows, metric="f1", mode="max", importances={})
    assert re.findall(r"<text[^>]*>(0\.\d\d\d)</text>", drawn(path)["map"]) == ["0.750"]


def test_every_trial_is_a_point_of_the_history_unless_it_failed(figures: dict[str, str]) -> None:
    history = figures["history"]
    assert [points(history, f"{state}-{arch}") for state in ("complete", "pruned") for arch in ARCHS] == [4, 4, 1, 1]


def test_pruned_trials_are_hollow_and_complete_ones_filled(figures: dict[str, str]) -> None:
    history = figures["history"]
    colour = re.search(r"stroke: (#\w+)", history.split('id="complete-lstm"')[1])
    assert colour
    for group, is_filled in (("complete-lstm", True), ("pruned-lstm", False)):
        assert (f"fill: {colour[1]}" in history.split(f'id="{group}"')[1].split("</g>")[0]) == is_filled


@pytest.mark.parametrize("cost", ["parameters", "time"])
def test_every_complete_trial_is_a_point_against_its_cost(figures: dict[str, str], cost: str) -> None:
    figure = figures[f"front-{cost}"]
    assert [points(figure, f"trials-{arch}") for arch in ARCHS] == [4, 4]
    assert 'id="front"' in figure


def test_the_expected_best_has_a_point_for_every_number_of_trials(figures: dict[str, str]) -> None:
    assert [points(figures["expected-best"], f"best-of-{arch}") for arch in ARCHS] == [5, 6]


def test_a_cell_of_the_map_has_its_best_and_its_number_of_trials(figures: dict[str, str]) -> None:
    figure = figures["map"]
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", figure)
    # lstm has trials 0, 2, 4 and 6: k is 6, 18, 12 and 6 again, with the best figure of all
    assert texts.count("0.540") == 1
    assert texts.count("2 trials") == 2
    assert texts.count("1 trial") == 4
    assert texts.count("–") == 2 * 3


def grid(accuracy: Callable[[float, int], float], noise: float = 0.05, seeds: int = 5, seed: int = 0) -> list[Row]:
    """All archs, ks and seeds, with an accuracy by k and distance."""
    draw = random.Random(seed)
    rows = []
    for arch in ARCHS:
        for k in KS:
            for _ in range(seeds):
                means = {distance: accuracy(k, distance) for distance in DISTANCES}
                noisy = {f"val/accuracy/{d}": mean + draw.gauss(0, noise) for d, mean in means.items()}
                rows.append(row(len(rows), arch, k, 0.5 + 0.1 * draw.random(), front_time=1, **noisy))
    return rows


def cliff(k: float, distance: int) -> float:
    return 0.9 if k >= distance else 0.2


def slope(k: float, distance: int) -> float:
    return 0.2 + 0.6 * (math.log(k) - math.log(6)) / math.log(8)


def flat(k: float, distance: int) -> float:
    return 0.9 - distance / 100


def elsewhere(k: float, distance: int) -> float:
    return 0.9 if k > 30 else 0.2


def study(path: Path, rows: list[Row], **changes: Any) -> StudyResults:
    return load_study(write(path, rows, **changes))


def kinds(found: list[Fall], arch: str) -> dict[int, str]:
    return {fall.distance: fall.kind for fall in found if fall.arch == arch}


def test_every_seed_of_every_arch_and_k_is_a_point_over_every_distance(tmp_path: Path) -> None:
    figure = drawn(write(tmp_path / "reach", grid(cliff)))["reach"]
    for distance in DISTANCES:
        for arch in ARCHS:
            assert [points(figure, f"{distance}-{arch}-{k}") for k in KS] == [5] * len(KS)


def test_a_cliff_is_reported_with_its_size_over_every_distance(tmp_path: Path) -> None:
    found = study(tmp_path / "reach", grid(cliff))
    assert kinds(falls(found), "lstm") == dict.fromkeys(DISTANCES, "cliff")
    first, second = sentences(found)
    assert re.fullmatch(
        r"lstm: a cliff: accuracy drops in one step where k falls below the distance, "
        r"by 0\.\d\d ± 0\.\d\d over 8 words "
        r"\(p < 0\.001; 0\.\d\d with larger k\), 0\.\d\d ± 0\.\d\d over 12 \(p < 0\.001; 0\.\d\d with larger k\), .* "
        r"and 0\.\d\d ± 0\.\d\d over 36 \(p < 0\.001; 0\.\d\d with larger k\)\.",
        first,
    )
    assert second.startswith("gru: a cliff: ")


def test_an_even_slope_is_no_cliff(tmp_path: Path) -> None:
    found = study(tmp_path / "reach", grid(slope))
    assert set(kinds(falls(found), "gru").values()) == {"slope"}
    assert re.match(r"gru: no evidence of a cliff: accuracy falls as k shrinks, but no single step of k clearly "
                    r"makes up more than half of the fall: 0\.\d\d ± 0\.\d\d over 8 ", sentences(found)[1])  # fmt: skip


def test_without_a_fall_there_is_no_cliff(tmp_path: Path) -> None:
    found = study(tmp_path / "reach", grid(flat))
    assert set(kinds(falls(found), "lstm").values()) == {"none"}
    assert sentences(found)[0].startswith(
        "lstm: no evidence of a cliff: accuracy with k below the distance is not clearly lower"
    )


@pytest.mark.slow
def test_a_fall_at_one_k_whatever_the_distance_is_reported_as_that(tmp_path: Path) -> None:
    found = study(tmp_path / "reach", grid(elsewhere))
    assert kinds(falls(found), "lstm") == dict.fromkeys((8, 12, 18), "elsewhere") | dict.fromkeys((26, 36), "cliff")
    assert "accuracy drops in one step, but at another k, by 0." in sentences(found)[0]
    assert "between k = 24 and 36)" in sentences(found)[0]


def test_a_fall_at_one_k_below_every_greater_distance_is_none_at_the_distance(tmp_path: Path) -> None:
    found = study(tmp_path / "reach", grid(lambda k, distance: 0.9 if k > 20 else 0.2))
    assert kinds(falls(found), "lstm") == dict.fromkeys(DISTANCES, "elsewhere")
    assert sentences(found)[0].startswith(
        "lstm: a cliff, but not at the distance: accuracy drops in one step, but at another k, by 0."
    )


def test_a_rise_is_reported_as_that(tmp_path: Path) -> None:
    found = study(tmp_path / "reach", grid(lambda k, distance: 1 - cliff(k, distance)))
    assert set(kinds(falls(found), "lstm").values()) == {"rise"}
    assert "no evidence of a cliff: accuracy is higher with k below the distance, by 0." in sentences(found)[0]


def test_runs_that_do_not_vary_need_no_test(tmp_path: Path) -> None:
    found = study(tmp_path / "reach", grid(cliff, noise=0.0))
    assert (
        "a cliff: accuracy drops in one step where k falls below the distance, by 0.70 ± 0.00 over 8 words (on every"
        in sentences(found)[0]
    )
    assert set(kinds(falls(study(tmp_path / "flat", grid(flat, noise=0.0))), "lstm").values()) == {"none"}


def test_too_few_runs_tell_nothing(tmp_path: Path) -> None:
    rows = [trial for trial in grid(cliff, seeds=1) if trial[TRUNCATION] in (6, 48)]
    stated = sentences(study(tmp_path / "reach", rows))
    assert [sentence.split(": ")[1] for sentence in stated] == ["too few runs to test for a cliff"] * 2
    rows = [trial for trial in grid(cliff, seeds=3) if trial[TRUNCATION] < 30]
    found = study(tmp_path / "reach", rows)
    assert kinds(falls(found), "lstm")[36] == "untested"
    assert sentences(found)[0].endswith("; too few runs to test 26 and 36 words.")


@pytest.mark.slow
@pytest.mark.parametrize("accuracy", [flat, slope])
def test_luck_is_seldom_reported_as_a_cliff(tmp_path: Path, accuracy: Callable[[float, int], float]) -> None:
    wrong = 0
    for seed in range(20):
        found = falls(study(tmp_path / "reach", grid(accuracy, noise=0.1, seeds=3, seed=seed)))
        wrong += any(fall.kind in ("cliff", "elsewhere") for fall in found)
    assert wrong <= 2  # 5 in a hundred, of studies with any at all


def test_all_steps_fall_short_of_no_distance(tmp_path: Path) -> None:
    space = {**SPACE, TRUNCATION: {"choices": [None, 24, 6, 12]}}
    rows = [{**trial, TRUNCATION: None if trial[TRUNCATION] > 24 else trial[TRUNCATION]}
            for trial in grid(cliff) if trial[TRUNCATION] != 18]  # fmt: skip
    found = study(tmp_path / "reach", rows, space=space)
    assert found.choices(TRUNCATION) == [6, 12, 24, None]
    assert kinds(falls(found), "lstm") == dict.fromkeys(DISTANCES, "cliff")
    assert ">all</text>" in drawn(tmp_path / "reach")["reach"]


def test_values_are_read_as_they_were_tried(tmp_path: Path) -> None:
    space = {"arch": {"choices": ARCHS}, "tied": {"choices": [True, False]}, "hidden": {"choices": [None, 3]},
             "rate": {"low": 0.1, "high": 1.0}, "gate": {"choices": [1, 2], "when": {"arch": "lstm"}}}  # fmt: skip
    rows = [row(0, "lstm", 6, 1.0, tied=True, hidden=None, rate=0.25, gate=2),
            row(1, "gru", 6, 1.0, tied=False, hidden=3, rate=0.5, gate=None)]  # fmt: skip
    first, second = study(tmp_path / "values", rows, space=space).trials
    assert first.values == {"arch": "lstm", "tied": True, "hidden": None, "rate": 0.25, "gate": 2}
    assert second.values == {"arch": "gru", "tied": False, "hidden": 3, "rate": 0.5}


def page(folder: Path) -> str:
    return write_study_page(folder, folder / "page.html").read_text(encoding="utf-8")


def test_a_page_of_its_own_has_question_space_budget_figures_and_sentences(folder: Path) -> None:
    html = page(folder)
    assert "Which &lt;one&gt;?" in html
    assert "11 trials of at most 100,000 tokens and 5 validations each, chosen by a tree-structured Parzen" in html
    assert ": 8 complete, 2 ended early by the median, 1 failed. Hidden sizes are chosen so that every" in html
    assert '<td>training.optimizer.learning_rate</td><td class="words">0.003 to 0.03, log scale</td>' in html
    # gru, which is not searched for dropout, is the better one
    assert '<td class="words">0 to 0.4 in steps of 0.1 (where arch=lstm)</td><td></td><td>0.1</td>' in html
    assert '<td>hidden size, matched</td><td class="words"></td><td>71</td><td>70</td>' in html
    assert html.count("<svg") == len(FIGURES)
    assert "<li>lstm: " in html
    assert "Trials also differ in training.optimizer.learning_rate and in arch.encoder.dropout" in html
    assert html.count("<section") == 1


def test_the_page_says_what_each_architecture_was_given(folder: Path, tmp_path: Path) -> None:
    page = write_study_page(folder, tmp_path / "index.html").read_text(encoding="utf-8")
    text = re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", page))
    # of eight complete trials, two that were ended at 40,000 tokens and one that failed
    assert "architecture trials complete tokens read ● lstm 5 4 440,000 ■ gru 6 4 440,000" in text
    assert "trials of at most 100,000 tokens" in text
    assert "Every trial has the same token budget. The totals differ because some trials end early." in text


def test_trials_that_cost_too_much_are_not_reported_as_ended_by_the_median(tmp_path: Path) -> None:
    empty = dict.fromkeys(("value", "tokens_per_second", "parameters", "hidden_size"))
    rows = [row(0, "lstm", 6, 0.5), row(1, "gru", 6, 0.6), row(2, "gru", 6, 0.9, "PRUNED"),
            *(row(n, "gru", 6, 0.0, "TOO_COSTLY") | empty for n in (3, 4))]  # fmt: skip
    html = page(write(tmp_path / "constrained", rows))
    assert "5 trials of" in html
    assert "2 complete, 1 ended early by the median, 2 not trained, because they exceed a cost limit." in html


def test_the_page_opens_without_network_and_is_the_same_each_time(folder: Path) -> None:
    html = page(folder)
    assert not re.findall(r"(?:src|href)=\"(?:https?:)?//|@import|url\(http", html)
    assert page(folder) == html


@pytest.mark.browser
def test_a_browser_draws_every_figure_of_the_page_without_an_error(folder: Path) -> None:
    page(folder)
    path = folder / "page.html"
    measure = """<script>
        const sizes = part => [part.getBoundingClientRect().width, part.getBoundingClientRect().height];
        const marks = figure => [...figure.querySelectorAll("path, use")].filter(mark => sizes(mark)[0]);
        const measured = figure => ({frame: sizes(figure), marks: marks(figure).length});
        document.title = JSON.stringify([...document.querySelectorAll(".figures svg")].map(measured));
    </script></body>"""
    path.write_text(path.read_text(encoding="utf-8").replace("</body>", measure), encoding="utf-8")
    done = browsed(path, "--dump-dom")
    assert "CONSOLE" not in done.stderr
    (measured,) = re.findall(r"<title>(\[.*?\])</title>", done.stdout)
    assert len(json.loads(measured)) == len(FIGURES)
    for figure in json.loads(measured):
        assert all(100 < size < 1200 for size in figure["frame"])
        assert figure["marks"] >= 2  # the bars of importances, the fewest of all


def test_every_figure_has_a_name_for_those_who_do_not_see_it(figures: dict[str, str]) -> None:
    for figure in figures.values():
        assert re.search(r"<svg[^>]*>\s*<title>[^<]+</title>", figure)


def reported(tmp_path: Path, folder: Path) -> str:
    """A report whose only chapter is the study, with its best trained anew."""
    outputs = tmp_path / "outputs"
    runs = {}
    for arch in ("gru", "lstm"):
        for seed in (10, 11):
            figures = {"loss": 0.5 + 0.01 * seed + 0.05 * (arch == "gru")}
            runs[f"{arch}-{seed}"] = {"arch": arch, "seed": seed, "split": "test", "parameters": 1, "tokens": 9,
                                      "test": figures, "validation": {}, "order": {}, "headline": "loss",
                                      "mode": "min"}  # fmt: skip
            run = outputs / "runs" / "lstm-vs-gru" / arch / str(seed)
            run.mkdir(parents=True)
            (run / "history.csv").write_text("tokens,metric,value\n1,val/loss,2\n2,val/loss,1\n", encoding="utf-8")
    metrics = outputs / "metrics" / "lstm-vs-gru.json"
    metrics.parent.mkdir()
    metrics.write_text(json.dumps(runs), encoding="utf-8")
    comparison.compare_all([metrics], outputs / "costs", outputs / "comparison", None)
    (outputs / "studies").mkdir()
    folder.rename(outputs / "studies" / "lstm-vs-gru")
    chapters: dict[str, dict[str, list[Any]]] = {
        "memory": {"experiments": [], "archs": ["rnn", "lstm", "gru"], "seeds": [0]},
        "studies": {"experiments": ["lstm-vs-gru"], "archs": ARCHS, "seeds": [10, 11]},
    }
    about = {"lstm-vs-gru": {"question": "Another?", "data": "a corpus", "grouped_by": ["Distance"]}}
    return write_report(chapters, about, outputs, tmp_path / "report.html").read_text(encoding="utf-8")


def test_in_the_report_the_study_comes_before_what_was_trained_anew(tmp_path: Path, folder: Path) -> None:
    html = reported(tmp_path, folder)
    assert "Which &lt;one&gt;?" in html
    order = ["Which &lt;one&gt;?", "11 trials of", "importance of each key", "<li>lstm: ", "architecture, retrained",
             "test loss, every seed", "<th>seeds</th>", "Reproduce"]  # fmt: skip
    assert [html.index(part) for part in order] == sorted(html.index(part) for part in order)
    assert html.count("<svg") == len(FIGURES) + 2


def test_the_commands_of_a_study_begin_with_it(tmp_path: Path, folder: Path) -> None:
    commands = reported(tmp_path, folder).split("<pre>")[1]
    outputs = tmp_path / "outputs"
    assert f"unroll tune --config {outputs}/configs/lstm-vs-gru/study.yaml --prepared {outputs}/prepared/l" in commands
    assert f"unroll train --config {outputs}/studies/lstm-vs-gru/retrain/$arch" in commands
    assert "experiment=" not in commands  # its name is none of an experiment


def test_an_architecture_has_one_style_in_the_report(tmp_path: Path, folder: Path) -> None:
    html = reported(tmp_path, folder)
    history = html.split('id="complete-lstm"')[1].split("<use ")[0]
    keys = set(re.findall(r'color:(var\(--style-\d\))" aria-hidden="true">(.)</span>(?:best )?lstm', html))
    assert len(keys) == 1
    assert keys.pop()[0] in history


@pytest.mark.parametrize("name", ["study.json", "trials.csv", "best-gru.yaml"])
def test_a_file_that_is_missing_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(BadInput, match=rf"{re.escape(str(folder))}.*{name} does not exist; run unroll tune"):
        write_study_page(folder, folder / "page.html")


@pytest.mark.parametrize(
    ("name", "content"),
    [("study.json", "{"), ("study.json", "[]"), ("study.json", "{}"), ("trials.csv", "trial\n0\n"),
     ("trials.csv", "trial,state,arch,value\n0,COMPLETE,rnn,1\n"), ("best-gru.yaml", "a: [")],
)  # fmt: skip
def test_a_folder_of_something_else_is_bad_input(folder: Path, name: str, content: str) -> None:
    (folder / name).write_text(content, encoding="utf-8")
    with pytest.raises(BadInput, match=r"lstm-vs-gru was not written by unroll tune, or is damaged"):
        draw_study(folder)
    assert not list(folder.glob("*.svg"))


def test_what_tune_imports_of_this_does_not_draw_yet() -> None:
    code = (
        "import sys, unroll.analysis.study; "
        "sys.exit(any(name in sys.modules for name in ('matplotlib', 'jinja2', 'scipy', 'statsmodels', 'torch')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("keys", [
    ("space", "arch", "choices"), ("space", TRUNCATION), ("states", "COMPLETE"), ("best", "gru", "values"),
    ("best", "gru", "trial"), ("importances",), ("sampler",), ("tokens",),
], ids=".".join)  # fmt: skip
def test_a_study_of_other_content_is_bad_input(keys: tuple[str, ...], folder: Path, tmp_path: Path) -> None:
    path = folder / "study.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    section = content
    for key in keys[:-1]:
        section = section[key]
    section[keys[-1]] = ["x", None]
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(BadInput, match="lstm-vs-gru was not written by unroll tune, or is damaged"):
        write_study_page(folder, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize("tier", SLOW)
@pytest.mark.parametrize("name", ["study.json", "trials.csv", "best-lstm.yaml"])
def test_a_study_is_drawn_or_refused(tier: str, name: str, folder: Path, tmp_path: Path) -> None:
    path = folder / name
    content = path.read_bytes()
    drawn: st.SearchStrategy[bytes] = damaged(content)
    if name == "study.json":
        drawn = st.one_of(drawn, altered(json.loads(content)).map(lambda made: json.dumps(made).encode()))

    def check(made: bytes) -> None:
        path.write_bytes(made)
        refusal(lambda: write_study_page(folder, tmp_path / "page.html"))

    fuzz(tier, EXAMPLES // 60, drawn, check)  # a page takes a second
