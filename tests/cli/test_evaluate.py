"""``unroll evaluate``: the data that it refuses, and how costs are measured."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from unroll import experiment, preparation
from unroll.cli import main
from unroll.config import Config

Refused = Callable[..., str]
Small = Callable[..., Config]
TrainedTo = Callable[[Config, Path], Path]


def test_evaluate_refuses_data_with_another_vocabulary(tagger: Path, small: Small, refused: Refused) -> None:
    other = preparation.prepared(small("grammar", "lstm").data)
    assert "vocabulary from another run" in refused("evaluate", str(tagger), "--prepared", str(other))
    assert not Path("outputs/metrics").exists()


def test_evaluate_refuses_data_that_lacks_the_test_split(tagger: Path, small: Small, refused: Refused) -> None:
    prepared = preparation.prepared(small("tagging", "bilstm").data)
    shutil.rmtree(prepared / "test" / "test")  # judged all the same, it would be on validation
    assert "has no test split" in refused("evaluate", str(tagger), "--prepared", str(prepared))


def test_costs_are_measured_several_times_each_in_turn(
    trained: TrainedTo, tagger: Path, small: Small, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unroll.experiment import evaluation

    trained(small("tagging", "lstm"), tagger.parent / "lstm-0")
    order: list[str] = []
    throughput = evaluation.throughput

    def told(run: experiment.Trained, split: object) -> Iterator[float]:
        for speed in throughput(run, split):
            order.append(run.config.arch.name)
            yield speed

    monkeypatch.setattr(evaluation, "throughput", told)
    monkeypatch.setattr(evaluation, "SECONDS", 0.001)
    prepared = preparation.prepared(small("tagging", "bilstm").data)
    options = ["--prepared", str(prepared), "--out", "t.json", "--costs", "costs"]
    assert main(["evaluate", str(tagger.parent), *options]) == 0
    costs = json.loads(Path("costs/t.json").read_text(encoding="utf-8"))
    figures = json.loads(Path("t.json").read_text(encoding="utf-8"))
    assert {arch: cost["run"] for arch, cost in costs.items()} == {
        arch: figures[f"{arch}-0"]["fingerprint"] for arch in ("bilstm", "lstm")
    }
    assert all(len(cost["tokens_per_second"]) == evaluation.ROUNDS >= 5 for cost in costs.values())
    assert all(speed > 0 for cost in costs.values() for speed in cost["tokens_per_second"])
    assert order == ["bilstm", "lstm"] * evaluation.ROUNDS


def test_runs_are_found_in_the_folders_of_their_architectures_and_listed_by_name(
    small: Small, trained: TrainedTo, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arch, seed in (("rnn", 0), ("rnn", 10), ("gru", 0)):
        config = small("tagging", arch, "training.tokens=200", f"seed={seed}")
        trained(config, project / "runs" / arch / str(seed))
    trained(small("tagging", "lstm", "training.tokens=200"), project / "runs" / "mine")
    prepared = preparation.prepared(config.data)
    capsys.readouterr()
    options = ["--prepared", str(prepared), "--out", "m/tags.json", "--curves", "curves"]
    assert main(["evaluate", "runs", *options]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names == list(json.loads(Path("m/tags.json").read_text(encoding="utf-8")))
    assert sorted(names) == ["gru-0", "lstm-0", "rnn-0", "rnn-10"]
    curves = Path("curves/tags.csv").read_text(encoding="utf-8").splitlines()
    assert {tuple(line.split(",")[2:]) for line in curves[1:]} == {
        (arch, seed, "val/accuracy") for arch, seed in (name.split("-") for name in names)
    }


def test_curves_of_a_damaged_history_are_refused(tagger: Path, small: Small, refused: Refused) -> None:
    prepared = preparation.prepared(small("tagging", "bilstm").data)
    (tagger / "history.csv").write_text("tokens,metric,value\n1,val/accuracy,1.0\n", encoding="utf-8")
    options = ["--prepared", str(prepared), "--out", "t.json", "--curves", "curves"]
    assert "history.csv is damaged" in refused("evaluate", str(tagger), *options)


@pytest.mark.parametrize("is_known", [True, False])
def test_figures_on_known_words_are_left_out_where_all_words_are_known(
    is_known: bool, small: Small, capsys: pytest.CaptureFixture[str]
) -> None:
    config = small("grammar", "ngram", *([] if is_known else ["data.test=data/small/other.conllu"]))
    text = Path("data/small/test.conllu").read_text(encoding="utf-8")
    Path("data/small/other.conllu").write_text(text.replace("\tdog\t", "\thound\t"), encoding="utf-8")
    experiment.train(config, preparation.prepared(config.data), Path("run"))
    assert main(["evaluate", "run", "tracking=none", "--out", "metrics.json"]) == 0
    printed = capsys.readouterr().out
    assert "perplexity " in printed
    assert ("perplexity_known" in printed) == ("loss_known" in printed) == (not is_known)
    figures = json.loads(Path("metrics.json").read_text(encoding="utf-8"))["ngram-0"]["test"]
    assert (figures["loss_known"] == figures["loss"]) == is_known  # the file has both
