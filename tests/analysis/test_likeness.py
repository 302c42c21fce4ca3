"""Only like is compared: by every command, on figures as they are written, and on runs as they are trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from processes import some_slow
from safetensors.torch import load_file
from studying import TINY, write_study
from torch import Tensor

from unroll import experiment, preparation
from unroll.cli import main
from unroll.config import Config

Small = Callable[..., Config]
Plant = Callable[[Path, dict[str, Tensor]], None]
Command = Callable[..., tuple[int, str, str]]

ORDER = {"data": "f1", "task": "language_model"}
HOW = {"training.truncation_length": 12, "training.evaluation_streams": 8, "training.state_reset": "epoch"}
DATA = {"train": "t1", "validation": "v1", "test": "e1"}
VALUES = {"lstm": [2.0, 2.1, 2.2, 2.05, 1.95], "gru": [1.0, 1.1, 1.2, 1.05, 0.95]}


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command in an empty folder: its exit code, and what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        code = main(list(words))
        return code, *capsys.readouterr()

    return run


def figures(**of_gru: Any) -> dict[str, dict[str, Any]]:
    """What ``evaluate`` writes of two architectures, with other facts for one of them."""
    runs: dict[str, dict[str, Any]] = {}
    for arch, values in VALUES.items():
        for seed, value in enumerate(values):
            judged = {"loss": value, "perplexity": 10 * value}
            runs[f"{arch}-{seed}"] = {
                "arch": arch, "seed": seed, "split": "test", "parameters": 1000, "tokens": 5000, "order": ORDER,
                "vocabulary": "w1", "data": DATA, "evaluation": HOW, "test": judged, "validation": judged,
                "headline": "perplexity", "mode": "min",
            } | (of_gru if arch == "gru" else {})  # fmt: skip
    return runs


def write(runs: dict[str, Any], path: str = "outputs/metrics/recall.json") -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps(runs), encoding="utf-8")
    return path


def without(*keys: str) -> dict[str, dict[str, Any]]:
    """What an older version wrote."""
    return {name: {key: value for key, value in run.items() if key not in keys} for name, run in figures().items()}


COURSE = "own: {experiments: [recall], archs: [lstm, gru], seeds: [0, 1, 2, 3, 4]}\n"


def declare(monkeypatch: pytest.MonkeyPatch, name: str, archs: list[str]) -> None:
    """Have the course consist of one experiment."""
    from unroll import config

    about = {name: {"question": "Which?", "data": "a corpus", "grouped_by": []}}
    monkeypatch.setattr(config, "course", lambda _: {"own": {"experiments": [name], "archs": archs}})
    monkeypatch.setattr(config, "about", lambda _: about)


def page(command: Command, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str, str]:
    """The report on ``outputs/metrics/recall.json``, as the command writes it."""
    declare(monkeypatch, "recall", list(VALUES))
    for arch, values in VALUES.items():
        for seed in range(len(values)):
            folder = Path(f"outputs/runs/recall/{arch}/{seed}")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "history.csv").write_text(
                "tokens,metric,value\n9,val/perplexity,3\n18,val/perplexity,2\n", encoding="utf-8"
            )
    return command("report")


UNLIKE = [
    ({"data": {**DATA, "test": "e2"}}, "test data"),
    ({"evaluation": {**HOW, "training.evaluation_streams": 2000}}, "training.evaluation_streams is"),
    ({"evaluation": {**HOW, "training.state_reset": "document"}}, "training.state_reset is"),
    ({"vocabulary": "w2"}, "vocabularies"),
    ({"split": "validation"}, "split"),
    ({"headline": "loss"}, "metric"),
    ({"order": {**ORDER, "task": "cloze"}}, "task is"),
]


@pytest.mark.parametrize(("changes", "told"), UNLIKE)
def test_what_changes_what_a_figure_measures_is_refused_by_every_command(
    changes: dict[str, Any], told: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(figures())
    assert command("compare", "outputs/metrics/recall.json", "--out", "outputs/comparison")[0] == 0
    write(figures(**changes))
    other = write(figures(**changes), "other/recall.json")
    for words in (["compare", other, "--out", "new"], ["verdict", f"{other}:lstm", f"{other}:gru"]):
        code, out, error = command(*words)
        assert (code, out) == (2, "")
        assert told in error
        assert "lstm" in error
        assert "gru" in error
    assert not Path("new").exists()
    code, _, error = page(command, monkeypatch)  # the comparison was written of figures that were alike
    assert code == 2
    assert told in error


def test_two_files_are_held_against_each_other_too(command: Command) -> None:
    a, b = write(figures(), "a/recall.json"), write(figures(data={**DATA, "test": "e2"}), "b/recall.json")
    code, _, error = command("verdict", f"{a}:lstm", f"{b}:gru")
    assert code == 2
    assert "test data differ" in error
    assert command("verdict", f"{a}:lstm", f"{a}:gru")[0] == 0


def test_two_files_of_one_experiment_do_not_replace_each_other(command: Command) -> None:
    a, b = write(figures(), "a/recall.json"), write(figures(data={**DATA, "test": "e2"}), "b/recall.json")
    code, out, error = command("compare", a, b, "--out", "new")
    assert (code, out) == (2, "")
    assert "b/recall.json is a second file for the experiment recall" in error
    assert not Path("new").exists()


def test_seeds_of_one_architecture_on_two_corpora_are_not_averaged(command: Command) -> None:
    runs = figures()
    runs["gru-3"]["data"] = {**DATA, "train": "t2"}
    path = write(runs)
    for words in (["compare", path, "--out", "outputs/comparison"], ["verdict", f"{path}:lstm", f"{path}:gru"]):
        code, _, error = command(*words)
        assert code == 2
        assert "training data differ" in error


UNFAIR = [
    ({"parameters": 2000}, "1,000", "2,000"),
    ({"parameters": 0}, "1,000", "no parameters (it counts)"),
    ({"tokens": 50_000}, "5,000", "50,000"),
    ({"data": {**DATA, "train": "t2"}}, "training data differ", "training split"),
    ({"data": {**DATA, "validation": "v2"}}, "validation data differ", "validation split"),
    ({"evaluation": {**HOW, "training.truncation_length": 24}}, "12 steps in lstm", "24 steps in gru"),
]


@pytest.mark.parametrize(("changes", "one", "other"), UNFAIR)
def test_what_changes_the_fairness_is_stated_by_every_command(
    changes: dict[str, Any], one: str, other: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(figures(**changes))
    for words in (["compare", path, "--out", "outputs/comparison"], ["verdict", f"{path}:lstm", f"{path}:gru"]):
        code, out, _ = command(*words)
        assert code == 0
        line = next(line for line in out.splitlines() if "differ:" in line)
        assert one in line
        assert other in line
    (row,) = [
        row for row in json.loads(Path("outputs/comparison/comparison.json").read_text()) if row["arch"] == "lstm"
    ]
    assert "differ:" in row["caveat"]
    assert page(command, monkeypatch)[0] == 0
    assert row["caveat"] in Path("outputs/report/index.html").read_text(encoding="utf-8")


def test_like_figures_carry_no_caveat(command: Command) -> None:
    path = write(figures(tokens=5001, parameters=1010))  # the last step of a budget, a matched hidden size
    for words in (["compare", path, "--out", "outputs/comparison"], ["verdict", f"{path}:lstm", f"{path}:gru"]):
        out = command(*words)[1]
        assert "differ:" not in out
        assert "not checked" not in out


@pytest.mark.parametrize("keys", [("data",), ("evaluation",), ("data", "evaluation", "vocabulary")])
def test_what_an_older_version_did_not_record_is_said_in_one_sentence(
    keys: tuple[str, ...], command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(without(*keys))
    for words in (["compare", path, "--out", "outputs/comparison"], ["verdict", f"{path}:lstm", f"{path}:gru"]):
        code, out, _ = command(*words)
        assert code == 0
        assert out.count("not checked:") == 1
        assert ("evaluation settings" in out) == ("evaluation" in keys)
        assert ("test data" in out) == ("data" in keys)
    assert page(command, monkeypatch)[0] == 0
    assert Path("outputs/report/index.html").read_text(encoding="utf-8").count("not checked:") == 1


# ---- runs as they are trained


def trained(config: Config, folder: str) -> None:
    experiment.train(config, preparation.prepared(config.data), Path(folder))


def dev_of(project: Path, lines: int) -> str:
    """A validation file of its own."""
    path = project / "data" / "small" / f"dev{lines}.conllu"
    text = (project / "data" / "small" / "train.conllu").read_text(encoding="utf-8")
    path.write_text("\n".join(text.splitlines()[:lines]) + "\n\n", encoding="utf-8")
    return f"data.validation={path.relative_to(project)}"


def test_runs_on_another_dev_split_are_refused_and_their_figures_too(
    small: Small, project: Path, command: Command
) -> None:
    for number, lines in enumerate((30, 60)):
        trained(small("tagging", "rnn", "training.tokens=100", dev_of(project, lines)), f"runs{number}/rnn-0")
    code, out, error = command("verdict", "runs0", "runs1")
    assert (code, out) == (2, "")
    assert "validation data differ" in error
    other = preparation.prepared(small("tagging", "rnn", dev_of(project, 60)).data)
    code, _, error = command("evaluate", "runs0", "--prepared", str(other), "--out", "m.json")
    assert code == 2
    assert "validation split is not that of" in error
    assert not Path("m.json").exists()


def test_weights_read_with_other_evaluation_streams_are_refused(
    small: Small, project: Path, plant: Plant, command: Command
) -> None:
    for streams, seed in ((1, 0), (50, 0)):
        run = small("grammar", "rnn", f"seed={seed}", f"training.evaluation_streams={streams}")
        trained(run, f"runs{streams}/rnn-{seed}")
    plant(Path("runs50/rnn-0"), load_file("runs1/rnn-0/weights.safetensors"))
    code, out, error = command("verdict", "runs1", "runs50")
    assert (code, out) == (2, "")
    assert "training.evaluation_streams is 1 in runs1 and 50 in runs50" in error
    prepared = str(preparation.prepared(small("grammar", "rnn").data))
    files = []
    for streams in (1, 50):
        files.append(f"m{streams}/grammar.json")
        assert command("evaluate", f"runs{streams}", "--prepared", prepared, "--out", files[-1])[0] == 0
    code, _, error = command("verdict", *(f"{file}:rnn" for file in files))
    assert code == 2
    assert "training.evaluation_streams is 1" in error
    trained(small("grammar", "gru", "training.evaluation_streams=50"), "runs1/gru-0")
    code, _, error = command("evaluate", "runs1", "--prepared", prepared, "--out", "mixed.json")
    assert code == 2
    assert "training.evaluation_streams" in error
    assert not Path("mixed.json").exists()


def test_windows_of_evaluation_do_not_change_a_figure(small: Small, project: Path, command: Command) -> None:
    for k in (7, 28):
        trained(small("grammar", "gru", f"training.truncation_length={k}", "training.tokens=300"), f"runs/gru{k}")
    prepared = preparation.prepared(small("grammar", "gru").data)
    found = experiment.evaluate([Path("runs/gru7")], prepared, None, None)["gru-0"]
    text = Path("runs/gru7/config.yaml").read_text(encoding="utf-8")
    Path("runs/gru7/config.yaml").write_text(text.replace("truncation_length: 7", "truncation_length: 28"))
    wider = experiment.evaluate([Path("runs/gru7")], prepared, None, None)["gru-0"]
    assert wider["evaluation"] != found["evaluation"]
    assert wider["test"] == pytest.approx(found["test"], rel=1e-5)


def test_a_run_of_an_older_version_is_known_by_the_files_that_it_was_trained_on(
    small: Small, project: Path, command: Command
) -> None:
    trained(small("tagging", "rnn"), "runs/rnn-0")
    path = Path("runs/rnn-0/run.json")
    facts = json.loads(path.read_text(encoding="utf-8"))
    recorded = facts.pop("data")
    path.write_text(json.dumps(facts), encoding="utf-8")
    prepared = str(preparation.prepared(small("tagging", "rnn").data))
    assert command("evaluate", "runs", "--prepared", prepared, "--out", "m.json")[0] == 0
    written = json.loads(Path("m.json").read_text(encoding="utf-8"))["rnn-0"]["data"]
    assert {split: written[split] for split in recorded} == recorded
    facts["order"]["data"] = "another"
    path.write_text(json.dumps(facts), encoding="utf-8")
    assert command("evaluate", "runs", "--prepared", prepared, "--out", "m.json")[0] == 0
    written = json.loads(Path("m.json").read_text(encoding="utf-8"))["rnn-0"]["data"]
    assert written["train"] is written["validation"] is None
    assert "not checked" in command("compare", "m.json")[1]


# ---- what taggers read may differ: they predict the same labels of the same words


def by_hand(small: Small, command: Command) -> None:
    """Two architectures that read words with 1 and with 30 occurrences or more."""
    for arch, count in READINGS.items():
        trained(small("tagging", arch, "training.tokens=100", f"data.min_count={count}"), f"runs/tagging/{arch}/0")


def by_a_study(small: Small, command: Command) -> None:
    """The same, tuned by a study that searches the setting."""
    small("tagging", "rnn")  # writes the corpus
    files = {f"data.{split}": f"data/small/{split}.conllu" for split in ("train", "validation", "test")}
    settings = TINY["settings"] | files | {"judged_by": None, "training.tokens": 100, "training.validations": 2}
    write_study(
        "reading", experiment="tagging", settings=settings, space={"arch": ["rnn", "gru"], "data.min_count": [1, 30]},
        trials=None, sampler={"name": "grid"},
    )  # fmt: skip
    assert command("tune", "study=reading", "--out", "study")[0] == 0
    for arch, count in READINGS.items():  # whichever was best, the two differ
        best = yaml.safe_load(Path(f"study/best-{arch}.yaml").read_text(encoding="utf-8"))
        best["data"]["min_count"] = count
        Path(f"{arch}.yaml").write_text(yaml.safe_dump(best), encoding="utf-8")
        assert command("train", "--config", f"{arch}.yaml", "--out", f"runs/tagging/{arch}/0")[0] == 0


READINGS = {"rnn": 1, "gru": 30}


@pytest.mark.parametrize("prepare_runs", [by_hand, pytest.param(by_a_study, marks=pytest.mark.slow)])
def test_figures_of_taggers_are_comparable_however_they_read_words(
    prepare_runs: Callable[[Small, Command], None], small: Small, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_runs(small, command)
    code, out, _ = command("verdict", "runs/tagging/rnn/0", "runs/tagging/gru/0")
    assert code == 0
    assert "data differ" not in out
    figures = "outputs/metrics/tagging.json"
    assert command("evaluate", "runs/tagging", "--out", figures, "--costs", "outputs/costs")[0] == 0
    assert command("verdict", f"{figures}:rnn", f"{figures}:gru")[0] == 0
    code, out, error = command("compare", figures, "--out", "outputs/comparison")
    assert (code, error) == (0, "")
    assert "data differ" not in out
    declare(monkeypatch, "tagging", list(READINGS))
    Path("runs").rename("outputs/runs")
    assert command("report")[0] == 0


MORE = "1\tdog\t_\tNOUN" + "\t_" * 6
OTHER = {"words": ("barks", "meows"), "labels": ("VERB", "NOUN"), "records": ("\n\n", f"\n\n{MORE}\n\n")}


@pytest.mark.parametrize("part", some_slow(OTHER, "words", "labels"))
def test_taggers_on_another_test_file_are_refused(part: str, small: Small, project: Path, command: Command) -> None:
    other = project / "data" / "small" / "other.conllu"
    run = small("tagging", "rnn", "training.tokens=100")
    other.write_text((project / run.data.test).read_text(encoding="utf-8").replace(*OTHER[part], 1), encoding="utf-8")
    trained(run, "runs/rnn-0")
    trained(small("tagging", "gru", "training.tokens=100", "data.min_count=30", f"data.test={other}"), "others/gru-0")
    for folder in ("runs", "others"):
        assert command("evaluate", folder, "--out", f"m/{folder}/tagging.json")[0] == 0
    code, _, error = command("verdict", "m/runs/tagging.json:rnn", "m/others/tagging.json:gru")
    assert code == 2
    assert "test data differ" in error


def test_taggers_of_other_labels_and_language_models_of_another_vocabulary_are_refused(
    small: Small, project: Path, command: Command
) -> None:
    extra = project / "data" / "small" / "more.conllu"
    text = (project / small("tagging", "rnn").data.train).read_text(encoding="utf-8")
    extra.write_text(text.replace("DET", "ARTICLE", 1), encoding="utf-8")
    for experiment_name, setting in (("tagging", f"data.train={extra}"), ("grammar", "data.min_count=30")):
        trained(small(experiment_name, "rnn", "training.tokens=100"), f"{experiment_name}/rnn-0")
        trained(small(experiment_name, "gru", "training.tokens=100", setting), f"{experiment_name}/gru-0")
        code, _, error = command("verdict", f"{experiment_name}/rnn-0", f"{experiment_name}/gru-0")
        assert code == 2
        assert "vocabularies differ" in error
