"""A figure that is not a number, of a run that diverged or a group without a word, ends in a sentence: no traceback."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from unroll import experiment, preparation, serving
from unroll.cli import main
from unroll.config import Config
from unroll.tasks.language_model.answers import Continuation
from unroll.tasks.regressor.answers import Prediction
from unroll.tasks.tagger.answers import TaggerNetwork

Small = Callable[..., Config]
Plant = Callable[[Path, dict[str, Tensor]], None]


def strict(path: Path) -> Any:
    """JSON as other readers take it, which know no NaN."""
    return json.loads(path.read_text(encoding="utf-8"), parse_constant=lambda name: pytest.fail(f"{name} in {path}"))


def test_a_diverged_run_is_evaluated_to_null_with_a_reason(
    small: Small, project: Path, plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    config = small("grammar", "rnn")
    prepared = preparation.prepared(config.data)
    for seed in range(2):
        run = small("grammar", "rnn", f"seed={seed}")
        experiment.train(run, prepared, project / "runs" / f"rnn-{seed}")
    run = project / "runs" / "rnn-1"
    weights = load_file(run / "weights.safetensors")
    plant(run, {name: torch.full_like(tensor, math.nan) for name, tensor in weights.items()})
    capsys.readouterr()
    assert main(["evaluate", "runs", "--prepared", str(prepared), "--out", "m/grammar.json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "nan" not in lines[0] + lines[1]
    assert "perplexity: the run diverged" in lines[1]
    good, lost = strict(project / "m" / "grammar.json").values()
    assert lost["test"]["loss"] is lost["test"]["perplexity"] is None
    assert lost["not_finite"]["perplexity"] == "the run diverged"
    assert lost["items"] == good["items"]
    assert "not_finite" not in good
    assert main(["compare", "m/grammar.json", "--out", "out"]) == 0
    strict(project / "out" / "comparison.json")


def test_a_run_whose_validation_is_not_finite_is_written_as_json(
    small: Small, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unroll.experiment import training

    evaluate_task = training.evaluate_task
    monkeypatch.setattr(training, "evaluate_task", lambda *given: evaluate_task(*given) | {"loss": math.inf})
    config = small("tagging", "rnn")
    prepared = preparation.prepared(config.data)
    out = project / "run"
    experiment.train(config, prepared, out)
    facts = strict(out / "run.json")
    assert facts["best"]["loss"] is None
    assert facts["not_finite"] == {"loss": "the run diverged"}
    assert facts["items"]["accuracy"] > 0
    found = experiment.finished(config, prepared, out)
    assert found is not None
    assert math.isnan(found["loss"])


@pytest.mark.parametrize("value", ["NaN", "null", "Infinity"])
def test_a_verdict_on_a_diverged_seed_is_the_sentence_about_it(
    value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    runs = {f"{arch}-{seed}": {"arch": arch, "seed": seed, "split": "test", "parameters": 9, "tokens": 9, "order": {},
                               "test": {"perplexity": 2.0 + seed + len(arch)}, "validation": {"perplexity": 2.0 + seed},
                               "headline": "perplexity", "mode": "min", "task": "language_model"}
            for arch in ("lstm", "gru") for seed in range(5)}  # fmt: skip
    text = json.dumps(runs).replace('"perplexity": 10.0', f'"perplexity": {value}')
    assert text.count(value) == 1
    Path("a.json").write_text(text, encoding="utf-8")
    assert main(["verdict", "a.json:lstm", "a.json:gru"]) == 0
    out = capsys.readouterr().out
    assert "A run of lstm diverged (1 of 5 seeds)" in out.splitlines()[-1]
    assert "better" not in out


@pytest.mark.parametrize("verb", ["predict", "generate"])
def test_an_answer_that_is_not_a_number_is_json(
    verb: str, small: Small, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = small("tagging", "rnn")
    experiment.train(config, preparation.prepared(config.data), project / "run")
    monkeypatch.setattr(TaggerNetwork, "answer", lambda *_: Prediction(math.nan))
    monkeypatch.setattr(serving, "generate", lambda *_: [Continuation("the", "dog", -math.inf, "words")])
    capsys.readouterr()
    given = ["the dog"] if verb == "predict" else ["--prompt", "the dog"]
    assert main([verb, "run", *given, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert answer["prediction" if verb == "predict" else "mean_log_probability"] is None


def test_a_certificate_with_a_deviation_that_is_not_a_number_is_json(
    small: Small, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small("tagging", "rnn")
    prepared = preparation.prepared(config.data)
    experiment.train(config, prepared, project / "run")
    monkeypatch.setattr("unroll.certificate.certification.deviation", lambda *_: (math.nan, "losses"))
    assert main(["certify", "run", "--out", "certificate.json"]) == 1
    found = strict(project / "certificate.json")
    assert not found["certified"]
    assert {check["deviation"] for check in found["checks"] if "deviation" in check} == {None}
