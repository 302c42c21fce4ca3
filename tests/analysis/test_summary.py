"""``dvc metrics show`` on what ``compare`` has written: a row per experiment and architecture, few columns."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from unroll.cli import main

ROOT = Path(__file__).parents[2]
FEW = 9


def written(experiment: str, figures: dict[str, list[float]], **more: Any) -> Path:
    """What ``evaluate`` writes, with all that stands there beside the figures."""
    path = Path("outputs/metrics") / f"{experiment}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    groups = {f"accuracy/{distance}": 0.5 for distance in range(8)}
    runs = {
        f"{arch}-{seed}": {
            "arch": arch, "seed": seed, "split": "test", "parameters": 1000, "tokens": 5000, "vocabulary": "v",
            "data": dict.fromkeys(("train", "validation", "test"), "d"), "order": {"training.batch_size": 8},
            "evaluation": {"training.evaluation_streams": 8}, "headline": "perplexity", "mode": "min",
            "test": {"perplexity": value, **groups}, "validation": {"perplexity": value, **groups},
            "items": {"perplexity": 9000, **dict.fromkeys(groups, 400)}, "sequences": {}, "task": "language_model",
            "deterministic": False, **more,
        }
        for arch, values in figures.items() for seed, value in enumerate(values)
    }  # fmt: skip
    path.write_text(json.dumps(runs), encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_dvc_shows_a_row_per_experiment_and_architecture_with_few_columns() -> None:
    (Path("conf")).mkdir()
    shutil.copy(ROOT / "conf" / "grid.yaml", "conf")
    shutil.copy(ROOT / "dvc.yaml", ".")
    paths = [written("one", {"lstm": [90.0, 91.0], "gru": [80.0, math.nan]}),
             written("two", {"rnn": [5.0, 6.0, 7.0]}, fingerprint="mine")]  # fmt: skip
    costs = {"rnn": {"run": "mine", "tokens_per_second": [1000.0, 1010.0, 1020.0]}}
    Path("outputs/costs").mkdir()
    Path("outputs/costs/two.json").write_text(json.dumps(costs), encoding="utf-8")
    assert main(["compare", *map(str, paths), "--out", "outputs/comparison", "--summary", "outputs/summary"]) == 0
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    for words in (["init", "-q", "--no-scm"], ["metrics", "show", "--md"]):
        done = subprocess.run(["dvc", *words], env=environment, capture_output=True, text=True, check=True)
    header, _, *rows = (
        [cell.strip() for cell in line.strip("|\n").split("|")] for line in done.stdout.splitlines() if line
    )
    assert [row[0] for row in rows] == [
        f"outputs/summary/{name}.json" for name in ("one/gru", "one/lstm", "two/rnn")]  # fmt: skip
    assert len(header) <= FEW
    lstm = dict(zip(header, rows[1], strict=True))
    assert float(lstm["mean"]) == pytest.approx(math.sqrt(90 * 91), abs=1e-4)
    assert (lstm["metric"], lstm["seeds"]) == ("perplexity", "2")
    speeds = [row[header.index("tokens_per_second")] for row in rows]
    assert speeds == ["-", "-", "1010"]


def test_the_course_names_it_as_metrics_and_the_paper_whose_outputs_may_be_missing_does_not() -> None:
    import yaml

    for path, metrics in ((ROOT / "dvc.yaml", ["outputs/summary"]), (ROOT / "paper" / "dvc.yaml", None)):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert content.get("metrics") == metrics
        assert not any("metrics" in stage for stage in content["stages"].values())


@pytest.mark.parametrize("arch", ["../../up", "a/b", "..", "/tmp/up", "a$b", "<b>", "comparison"])
def test_no_name_of_a_file_of_others_leads_elsewhere(arch: str, tmp_path: Path) -> None:
    path = written("one", {arch: [1.0, 2.0], "gru": [3.0, 4.0]})
    before = {found for found in tmp_path.rglob("*") if found.is_file()}
    path = path.replace(path.with_name("...json"))
    assert main(["compare", str(path), "--out", "outputs/comparison", "--summary", "outputs/summary"]) == 0
    new = {found.relative_to(tmp_path) for found in tmp_path.rglob("*") if found.is_file() and found not in before}
    summary = Path("outputs/summary")
    tables = {Path("outputs/comparison/comparison.csv"), Path("outputs/comparison/comparison.json")}
    files = {found for found in new if summary in found.parents}
    assert len(files) == 2
    assert new - files - {Path("outputs/metrics/...json")} == tables
    assert len(json.loads((tmp_path / "outputs/comparison/comparison.json").read_text(encoding="utf-8"))) == 2
