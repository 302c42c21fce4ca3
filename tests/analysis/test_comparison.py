"""Architectures side by side."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from unroll.analysis.comparison import compare, compare_all, digits, load_results
from unroll.analysis.costs import compare_speeds, load_costs
from unroll.analysis.verdict import judge, t_interval, welch
from unroll.errors import BadInput

FIGURES = {"rnn": [3.0, 3.2, 3.1], "lstm": [2.0, 2.1, 2.05], "gru": [2.1, 2.2, 2.0]}


def results(figures: dict[str, list[float]], mode: str, metric: str = "score") -> dict[str, dict[str, Any]]:
    """What ``evaluate`` writes, runs in no order."""
    runs = [(arch, seed, figure) for arch, values in figures.items() for seed, figure in enumerate(values)]
    return {
        f"{arch}-{seed}": {
            "arch": arch, "seed": seed, "split": "test", "parameters": 100 * len(arch), "tokens": 1000 + seed,
            "test": {metric: figure, "other": -figure}, "validation": {metric: 0.0}, "order": {},
            "headline": metric, "mode": mode,
        }
        for arch, seed, figure in reversed(runs)
    }  # fmt: skip


def stored(folder: Path, **experiments: dict[str, dict[str, Any]]) -> list[Path]:
    folder.mkdir(exist_ok=True)
    for name, content in experiments.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return [folder / f"{name}.json" for name in experiments]


@pytest.mark.parametrize(("mode", "order"), [("min", ["lstm", "gru", "rnn"]), ("max", ["rnn", "gru", "lstm"])])
def test_rows_come_best_first_with_their_difference_to_the_best(mode: str, order: list[str]) -> None:
    rows = compare("a", results(FIGURES, mode))
    assert [row["arch"] for row in rows] == order
    best, *others = rows
    assert best["verdict"] is best["difference_to_best"] is best["p_holm"] is None
    for row in rows:
        interval = t_interval(FIGURES[row["arch"]])
        assert (row["mean"], row["half_width"], row["seeds"]) == (interval.mean, interval.half_width, 3)
        assert (row["experiment"], row["metric"], row["split"]) == ("a", "score", "test")
        assert (row["parameters"], row["tokens"]) == (100 * len(row["arch"]), 1001)
    for row in others:
        difference = welch(FIGURES[row["arch"]], FIGURES[order[0]])
        assert (row["difference_to_best"], row["difference_half_width"]) == (difference.mean, difference.half_width)
        assert difference.p is not None
        assert row["p_holm"] >= difference.p
        assert row["verdict"].count(order[0]) == row["verdict"].count(row["arch"]) == 1
        judged = judge(FIGURES[order[0]], FIGURES[row["arch"]], mode == "min", comparisons=3)
        assert judged.effect is not None
        assert row["effect_size"] == judged.effect.size > 0  # of the best over this one
        assert row["probability_of_improvement"] == judged.improvement > 0.5
        assert row["seeds_needed"] == judged.needed
        assert row["p_holm"] < 0.05 or f"{row['seeds_needed']} seeds of each would be needed" in row["verdict"]


def test_p_values_are_corrected_over_all_pairs_of_the_experiment() -> None:
    # the best was chosen by the same figures: over its own two comparisons alone, gru's p would be doubled
    gru, lstm, others = (welch(FIGURES[a], FIGURES[b]).p for a, b in (("gru", "rnn"), ("lstm", "rnn"), ("gru", "lstm")))
    assert gru is not None
    assert lstm is not None
    assert others is not None
    assert gru < lstm < others
    rows = {row["arch"]: row for row in compare("a", results(FIGURES, "max"))}
    assert rows["gru"]["p_holm"] == pytest.approx(3 * gru)
    assert rows["lstm"]["p_holm"] == pytest.approx(max(3 * gru, 2 * lstm))
    assert "rnn is better than gru" in rows["gru"]["verdict"]
    close = {row["arch"]: row for row in compare("a", results(FIGURES, "min"))}["gru"]
    assert close["p_holm"] == pytest.approx(others)  # the largest of three
    assert "No evidence of a difference" in close["verdict"]


def test_one_seed_is_compared_without_a_test() -> None:
    rows = compare("a", results({"lstm": [2.0], "gru": [1.0]}, "min"))
    assert [row["arch"] for row in rows] == ["gru", "lstm"]
    assert all(row["half_width"] is row["p_holm"] is None for row in rows)
    assert "too few seeds" in rows[1]["verdict"]


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("arch", FIGURES)
def test_an_arch_that_diverged_is_never_the_best(arch: str, mode: str) -> None:
    # NaN is neither less nor more than anything: where it stands after a sort is chance.
    rows = compare("a", results(FIGURES | {arch: [2.0, float("nan"), 2.0]}, mode))
    assert rows[0]["arch"] != arch
    assert rows[-1]["arch"] == arch


def test_csv_and_json_hold_the_same_rows_for_every_experiment(tmp_path: Path) -> None:
    metrics = stored(tmp_path / "metrics", a=results(FIGURES, "min"), b=results(FIGURES, "max"))
    text = compare_all(metrics, tmp_path / "cost", tmp_path / "out", None)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["comparison.csv", "comparison.json"]
    rows = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert rows == compare("a", results(FIGURES, "min")) + compare("b", results(FIGURES, "max"))
    with (tmp_path / "out" / "comparison.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert table == [{key: "" if value is None else str(value) for key, value in row.items()} for row in rows]
    for row in rows:
        assert row["arch"] in text
        assert (row["verdict"] or "") in text


def test_speeds_go_beside_the_outs_and_never_into_them(tmp_path: Path) -> None:
    metrics = stored(tmp_path / "metrics", a=results(FIGURES, "min"))
    compare_all(metrics, tmp_path / "cost", tmp_path / "out", None)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    stored(tmp_path / "cost", a=costs(lstm=[1999.6, 2009.6, 1989.6], gru=[1000.0, 1010.0, 990.0]))
    text = compare_all(metrics, tmp_path / "cost", tmp_path / "out", None)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    half = t_interval([990.0, 1000.0, 1010.0]).half_width
    assert half is not None
    assert f"2,000 ± {half:.0f} tokens/s" in text
    apart = welch([0.0, 10, 20], [0.0, 10, 20]).half_width
    faster = f"lstm is faster than gru by 1,000 ± {apart:.0f} tokens/s (p < 0.001)."
    assert faster in text
    with (tmp_path / "cost" / "comparison.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["arch"], row["tokens_per_second"], row["measurements"]) for row in rows] == [
        ("lstm", "2000", "3"), ("gru", "1000", "3")]  # fmt: skip
    assert [row["verdict"] for row in rows] == ["", faster]


def costs(**speeds: list[float]) -> dict[str, dict[str, Any]]:
    """What ``evaluate --costs`` writes."""
    return {arch: {"tokens_per_second": values} for arch, values in speeds.items()}


def test_speeds_too_few_or_alike_are_told_in_their_own_words(tmp_path: Path) -> None:
    (once,) = stored(tmp_path, a=costs(lstm=[2000.0], gru=[1000.0]))
    lstm, gru = compare_speeds("a", load_costs(once))
    assert lstm["half_width"] is lstm["verdict"] is gru["p_holm"] is None
    assert "differ by 1,000 tokens/s; too few measurements for Welch's test" in gru["verdict"]
    near = compare_speeds("a", {"lstm": [10.0, 30.0, 20.0], "gru": [11.0, 28.0, 20.0]})[1]["verdict"]
    assert near.startswith("No evidence of a difference between lstm and gru (0 ± ")
    assert "measurements of each would be needed" in near
    assert compare_speeds("a", {}) == []


@pytest.mark.parametrize("content", [3, [], {"lstm": {"tokens_per_second": 3.0}}, {"lstm": {"tokens_per_second": []}},
                                     {"lstm": {"tokens_per_second": [0.0]}}, {"lstm": 3},
                                     {"lstm": {"tokens_per_second": ["fast"]}},
                                     {"lstm": {"tokens_per_second": [float("nan")]}}])  # fmt: skip
def test_costs_of_another_form_are_named(content: Any, tmp_path: Path) -> None:
    (path,) = stored(tmp_path, a=content)
    with pytest.raises(BadInput, match="remove it, and measure anew") as caught:
        load_costs(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.0, "0.0000"), (0.00012345, "0.000123"), (-0.0099, "-0.00990"), (0.01, "0.0100"), (0.98765, "0.9877"),
     (1.499, "1.4990"), (12.345, "12.35"), (136.42, "136.4")],
)  # fmt: skip
def test_a_figure_is_written_with_the_digits_that_its_size_leaves(value: float, written: str) -> None:
    assert f"{value:.{digits(value)}f}" == written


@pytest.mark.parametrize("content", [b"", b"not json", b"{}", b"[]", b"3", b'"text"', b'{"lstm-0": {"arch": "lstm"}}',
                                     b'{"lstm-0": 3}', b"\xff\xfe"])  # fmt: skip
def test_a_bad_metrics_file_is_named_and_nothing_is_written(content: bytes, tmp_path: Path) -> None:
    good = stored(tmp_path / "metrics", a=results(FIGURES, "min"))
    bad = tmp_path / "bad.json"
    bad.write_bytes(content)
    with pytest.raises(BadInput, match="was not written by unroll evaluate") as caught:
        compare_all([*good, bad], tmp_path / "cost", tmp_path / "out", None)
    assert str(bad) in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "key", ["arch", "seed", "split", "parameters", "tokens", "order", "test", "validation", "headline", "mode"]
)
def test_a_metrics_file_without_a_key_is_named(key: str, tmp_path: Path) -> None:
    content = results(FIGURES, "min")
    del content["gru-1"][key]
    (path,) = stored(tmp_path / "metrics", a=content)
    with pytest.raises(BadInput, match="was not written by unroll evaluate") as caught:
        load_results(path)
    assert str(path) in str(caught.value)


def test_a_missing_metrics_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not exist") as caught:
        load_results(tmp_path / "absent.json")
    assert str(tmp_path / "absent.json") in str(caught.value)


def test_a_folder_of_metrics_is_told_from_a_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        load_results(tmp_path)
    assert str(tmp_path) in str(caught.value)
