"""The command line: each verb, and one clear sentence with exit code 2 for what a person got wrong."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from unroll import experiment, preparation
from unroll.cli import main
from unroll.config import Config

Small = Callable[..., Config]


def trained(config: Config, out: Path) -> Path:
    experiment.train(config, preparation.prepared(config.data), out)
    return out


@pytest.fixture(scope="module")
def golden_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs that were trained for one test, to be copied for the others."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def tagger(small: Small, project: Path, golden_runs: Path) -> Path:
    config, name = small("tagging", "bilstm", "training.tokens=8000"), "tagging/bilstm-0"
    if not (golden_runs / name).exists():
        trained(config, golden_runs / name)
    return shutil.copytree(golden_runs / name, project / "runs" / name)


@pytest.fixture
def language_model(small: Small, project: Path, golden_runs: Path) -> Path:
    config, name = small("grammar", "lstm"), "grammar/lstm-0"
    if not (golden_runs / name).exists():
        trained(config, golden_runs / name)
    return shutil.copytree(golden_runs / name, project / "runs" / name)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line on standard error of a command that must be refused."""
    assert main(arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("unroll: ")
    return lines[0]


def typed(content: bytes) -> io.TextIOWrapper:
    """What stands for standard input."""
    return io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", errors="surrogateescape")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "the following arguments are required: VERB; see unroll --help."),
        (["trian"], "invalid choice: 'trian' (choose from 'config', "),
        (["verdict", "one"], "the following arguments are required: RUNS_B; see unroll verdict --help."),
        (["verdict", "a-1", "a-2", "b-1"], "unrecognized arguments: b-1; quote a pattern, so that the shell leaves it"),
        (["train", "--nope"], "unrecognized arguments: --nope; see unroll --help."),
    ],
)
def test_a_command_that_is_none_is_refused_in_one_sentence(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.startswith("unroll: ")
    assert error.count("\n") == 1


def test_text_that_is_not_utf_8_is_refused_with_its_place(
    tagger: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", typed(b"the dog\n" * 2000 + b"caf\xe9\n"))
    assert "standard input, line 2001: byte 16003" in refused(capsys, "predict", str(tagger))
    assert "Argument 3 is not UTF-8" in refused(capsys, "predict", str(tagger), "caf\udce9")


@pytest.mark.parametrize("verb", ["config", "repro", "clean", "data", "prepare", "train", "evaluate", "certify",
                                  "compare", "verdict", "report", "predict", "generate", "ui"])  # fmt: skip
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main([verb, "--help"])
    assert done.value.code == 0
    assert f"unroll {verb}" in capsys.readouterr().out


def test_config_shows_and_explains(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "experiment=tagging"]) == 0
    assert "cell: lstm" in capsys.readouterr().out
    assert main(["config", "--explain"]) == 0
    assert "training.tokens (int): Budget" in capsys.readouterr().out


def test_settings_may_stand_on_both_sides_of_an_option(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", "experiment=adding", "--out", "prepared", "data.generator=null", "arch=lstmm"]) == 2
    assert "lstmm" in capsys.readouterr().err
    for rest in (["--sed", "1"], ["extra"]):
        with pytest.raises(SystemExit) as stop:
            main(["train", "experiment=adding", "--out", "a", *rest])
        assert stop.value.code == 2
        assert rest[0] in capsys.readouterr().err


def test_train_writes_a_run_that_its_own_settings_repeat(project: Path, small: Small) -> None:
    config = small("tagging", "gru")
    Path("run.yaml").write_text(config.dump(), encoding="utf-8")
    for out in ("a", "b"):
        assert main(["train", "--config", "run.yaml", "--out", out]) == 0
    assert main(["train", "--config", "a/config.yaml", "--out", "c"]) == 0
    names = sorted(path.name for path in Path("a").iterdir())
    assert names == ["config.yaml", "history.csv", "run.json", "vocabulary.json", "weights.safetensors"]
    for name in names:
        assert Path("a", name).read_bytes() == Path("b", name).read_bytes() == Path("c", name).read_bytes()


def test_predict_prints_tags_from_argument_input_and_file(
    tagger: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["predict", str(tagger), "the dog barks"]) == 0
    assert capsys.readouterr().out == "the/DET dog/NOUN barks/VERB\n"
    monkeypatch.setattr(sys, "stdin", typed(b"the dog barks\n\nthe old cat sees it\n"))
    assert main(["predict", str(tagger)]) == 0
    assert capsys.readouterr().out == "the/DET dog/NOUN barks/VERB\n\nthe/DET old/ADJ cat/NOUN sees/VERB it/PRON\n"
    Path("lines.txt").write_text("the dog barks\n", encoding="utf-8")
    assert main(["predict", str(tagger), "--file", "lines.txt", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"tokens": ["the", "dog", "barks"], "labels": ["DET", "NOUN", "VERB"]}


def test_predict_tells_a_number_for_a_series(small: Small, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = trained(small("adding", "rnn"), project / "run")
    assert main(["predict", str(run), "0.2,1 0.3,1"]) == 0
    float(capsys.readouterr().out)
    assert "steps of 2 numbers" in refused(capsys, "predict", str(run), "0.2 0.3")


def test_generate_continues_a_text_and_repeats_itself_by_seed(
    language_model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = []
    for seed in ("1", "1", "2"):
        assert main(["generate", str(language_model), "--prompt", "the dog", "--seed", seed, "--length", "30"]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0].startswith("the dog ")
    assert texts[0] == texts[1] != texts[2]
    monkeypatch.setattr(sys, "stdin", typed(b"the cat\nthe old\n"))
    assert main(["generate", str(language_model), "--temperature", "0", "--length", "3", "--json"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["prompt"] for answer in answers] == ["the cat", "the old"]
    assert all(answer["mean_log_probability"] < 0 for answer in answers)


def test_each_verb_refuses_the_other_kind_of_model(tagger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "use unroll predict" in refused(capsys, "generate", str(tagger), "--prompt", "the")


def test_a_language_model_points_to_generate(language_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "use unroll generate" in refused(capsys, "predict", str(language_model), "the dog")


@pytest.mark.parametrize("options", [["--temperature", "-1"], ["--length", "0"], ["--seed", "-1"]])
def test_generate_refuses_impossible_numbers(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert options[0] in refused(capsys, "generate", "run", "--prompt", "a", *options)


def test_a_folder_that_is_no_run_is_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no run" in refused(capsys, "predict", "conf", "the dog")
    assert "no run" in refused(capsys, "predict", "missing", "the dog")
    assert "no runs" in refused(capsys, "evaluate", "missing", "--prepared", "p")


def test_a_vocabulary_from_another_run_is_refused(
    tagger: Path, language_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(language_model / "vocabulary.json", tagger / "vocabulary.json")
    assert "another run" in refused(capsys, "predict", str(tagger), "the dog")


def test_evaluate_refuses_data_with_another_vocabulary(
    tagger: Path, small: Small, capsys: pytest.CaptureFixture[str]
) -> None:
    other = preparation.prepared(small("grammar", "lstm").data)
    assert "vocabulary from another run" in refused(capsys, "evaluate", str(tagger), "--prepared", str(other))
    assert not Path("outputs/metrics").exists()


def test_evaluate_refuses_data_that_lacks_the_test_split(
    tagger: Path, small: Small, capsys: pytest.CaptureFixture[str]
) -> None:
    prepared = preparation.prepared(small("tagging", "bilstm").data)
    shutil.rmtree(prepared / "test" / "test")  # judged all the same, it would be on validation
    assert "has no test split" in refused(capsys, "evaluate", str(tagger), "--prepared", str(prepared))


@pytest.mark.parametrize("damage", [b"", b"not a tensor file", None])
def test_damaged_weights_are_refused(tagger: Path, damage: bytes | None, capsys: pytest.CaptureFixture[str]) -> None:
    path = tagger / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-10] if damage is None else damage)
    assert "damaged" in refused(capsys, "predict", str(tagger), "the dog")


def test_bad_data_ends_before_anything_is_written(small: Small, capsys: pytest.CaptureFixture[str]) -> None:
    config = small("tagging", "lstm")
    Path("run.yaml").write_text(config.dump(), encoding="utf-8")
    path = Path(config.data.train)
    good = path.read_text(encoding="utf-8")
    for content, words in {
        good + "1\tthe\tDET\n": "line 201: 3 columns",
        "": "The train split is empty",
        good + "\udcff": "byte 4480 is not UTF-8",
    }.items():
        path.write_bytes(content.encode("utf-8", "surrogateescape"))
        message = refused(capsys, "train", "--config", "run.yaml")
        assert words in message
        assert str(path) in message
    assert not Path("outputs").exists() or not list(Path("outputs").rglob("*.npy"))
    assert not Path("outputs/adhoc").exists()


def test_a_public_corpus_that_is_not_here_names_the_command(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, "prepare", "experiment=grammar", "data=brown", "data.probe=null", "data.contrast=null")
    assert "unroll data fetch brown" in message


def test_data_lists_embedded_public_and_own(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "list"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "embedded" in lines["grammar"]
    assert "public" in lines["brown"]


def test_data_fetch_generates_embedded_corpora(project: Path) -> None:
    assert main(["data", "fetch", "adding"]) == 0
    assert sorted(path.name for path in Path("data/adding").iterdir()) == [
        "test.series", "train.series", "validation.series"]  # fmt: skip


def test_an_embedded_corpus_that_lacks_a_file_is_made_anew(project: Path) -> None:
    assert main(["data", "fetch", "adding"]) == 0
    files = {path: path.read_bytes() for path in Path("data/adding").iterdir()}
    Path("data/adding/validation.series").unlink()
    assert main(["prepare", "experiment=adding"]) == 0
    assert {path: path.read_bytes() for path in Path("data/adding").iterdir()} == files


def test_data_fetch_refuses_unknown_names_and_a_missing_mirror(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no corpus 'browm' (did you mean brown?)" in refused(capsys, "data", "fetch", "browm")
    assert "Which corpus" in refused(capsys, "data", "fetch")
    monkeypatch.setenv("UNROLL_MIRROR", str(project / "nowhere"))
    assert "not a folder" in refused(capsys, "data", "fetch", "tinyshakespeare")
    assert not Path("paper").exists() or not list(Path("paper").rglob("input.txt"))


def test_data_add_makes_a_corpus_of_ones_own(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.txt").write_text("one two three\n" * 50, encoding="utf-8")
    assert main(["data", "add", "mine.txt"]) == 0
    assert main(["prepare", "experiment=grammar", "data=mine", "data.probe=null", "data.contrast=null"]) == 0
    capsys.readouterr()
    message = refused(capsys, "train", "experiment=grammar", "--prepared", "data/mine")
    assert "data/mine/fit/vocabulary.json is missing: that is no prepared corpus" in message
    assert "delete conf/data/mine.yaml and data/mine." in refused(capsys, "data", "add", "mine.txt")
    assert "does not exist" in refused(capsys, "data", "add", "absent.txt")
    Path("mine.xyz").write_text("a", encoding="utf-8")
    assert "format" in refused(capsys, "data", "add", "mine.xyz", "--name", "other")
    Path("folder").mkdir()
    assert "files for train" in refused(capsys, "data", "add", "folder")


def test_data_add_refuses_what_cannot_be_read_and_keeps_nothing(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("torn.conllu").write_text("1\tdog\tNOUN\n\n", encoding="utf-8")
    assert "torn.conllu, line 1" in refused(capsys, "data", "add", "torn.conllu")
    assert not Path("data/torn").exists()
    assert not Path("conf/data/torn.yaml").exists()


def test_nothing_is_begun_outside_a_project(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "run.yaml").write_text(small("tagging", "lstm").dump(), encoding="utf-8")
    monkeypatch.chdir(outside)
    for command in (
        ["train", "--config", "run.yaml"],
        ["train", "experiment=tagging"],
        ["data", "list"],
        ["data", "add", "run.yaml"],
    ):
        assert "change to the root of the project" in refused(capsys, *command)
    assert [path.name for path in outside.iterdir()] == ["run.yaml"]


def test_a_full_disk_leaves_nothing_half_written(small: Small, project: Path) -> None:
    """A real failure of write(2): the process may write files of 300 bytes at the most."""
    config = small("tagging", "lstm")
    Path("run.yaml").write_text(config.dump(), encoding="utf-8")
    code = (
        "import resource, sys; from unroll.cli import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))\n"
        "sys.exit(main(['prepare', '--data', 'data.yaml', '--out', 'prepared']))"
    )
    from unroll.config import dump_data

    Path("data.yaml").write_text(dump_data(config.data), encoding="utf-8")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "could not be written" in done.stderr
    assert not [path for path in project.iterdir() if "prepared" in path.name]


@pytest.mark.parametrize("room", [2_000, pytest.param(20_000, marks=pytest.mark.slow)],
                         ids=["for the settings", "for the history"])  # fmt: skip
def test_a_full_disk_at_the_end_of_a_training_is_one_sentence(room: int, small: Small, project: Path) -> None:
    config = small("tagging", "lstm", "recurrent.hidden_size=64")
    prepared = preparation.prepared(config.data)
    Path("run.yaml").write_text(config.dump(), encoding="utf-8")
    code = (
        "import resource, sys; from unroll.cli import main\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))\n"
        f"sys.exit(main(['train', '--config', 'run.yaml', '--prepared', {str(prepared)!r}, '--out', 'runs/a']))"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "could not be written" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not Path("runs").exists()


def test_a_bad_folder_for_a_run_is_refused_before_training(
    small: Small, project: Path, store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = small("tagging", "lstm", "tracking=mlflow", f"tracking.uri={store}")
    Path("run.yaml").write_text(config.dump(), encoding="utf-8")
    Path("a file").write_text("thesis", encoding="utf-8")
    assert "is a file" in refused(capsys, "train", "--config", "run.yaml", "--out", "a file")
    import mlflow

    mlflow.set_tracking_uri(store)
    assert mlflow.search_runs(search_all_experiments=True, output_format="list") == []


def test_outside_a_project_the_command_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                               capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert "root of the project" in refused(capsys, "train", "experiment=tagging")
    assert "root of the project" in refused(capsys, "config", "--course", "conf/course.yaml")


def test_train_takes_a_file_or_settings_but_not_both(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "not both" in refused(capsys, "train", "experiment=tagging", "--config", "run.yaml")


def test_ui_without_runs_says_how_to_get_some(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no runs yet" in refused(capsys, "ui")
    assert "write the path in full" in refused(capsys, "ui", "--uri", "sqlite:///~/mlflow.db")


def test_compare_and_report_name_what_is_missing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "does not exist" in refused(capsys, "compare", "outputs/metrics/none.json")
    assert "comparison.json" in refused(capsys, "report")
    Path("bad.json").write_text("{}", encoding="utf-8")
    assert "not written by unroll evaluate" in refused(capsys, "compare", "bad.json")


def test_verdict_judges_figures_and_runs(
    tagger: Path, small: Small, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepared = preparation.prepared(small("tagging", "bilstm").data)
    trained(small("tagging", "lstm", "seed=3"), tagger.parent / "lstm-3")
    options = ["--prepared", str(prepared), "--out", "m/tagging.json", "--costs", "costs"]
    assert main(["evaluate", str(tagger.parent), *options]) == 0
    capsys.readouterr()
    sides = ["m/tagging.json:bilstm", "m/tagging.json:lstm"]
    assert main(["verdict", *sides, "--costs", "costs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("tagging: test accuracy")
    assert "4 more seeds of each are needed" in lines[-2]
    assert "the speed of" in lines[-1]
    runs = ["runs/tagging/bi*", "runs/tagging/lstm-3"]
    assert main(["verdict", *runs, "--metric", "loss", "--test", "permutation"]) == 0
    assert capsys.readouterr().out.startswith("tagging: validation loss")
    assert "has runs of bilstm, lstm" in refused(capsys, "verdict", "runs/tagging", sides[0])
    assert "their split is test and validation" in refused(capsys, "verdict", sides[0], runs[1])
    assert "--margin" in refused(capsys, "verdict", *sides, "--margin", "-1")
    assert "has seeds 0 and runs/tagging/lstm-3 3" in refused(capsys, "verdict", *runs, "--test", "paired")
    for wrong in ([], [sides[0]], [*sides, "--test", "bootstrap"], [*sides, "--margin", "much"], [*sides, "x=1"]):
        with pytest.raises(SystemExit) as stop:
            main(["verdict", *wrong])
        assert stop.value.code == 2


def test_costs_are_measured_several_times_each_in_turn(
    tagger: Path, small: Small, project: Path, monkeypatch: pytest.MonkeyPatch
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
    assert list(costs) == ["bilstm", "lstm"]
    assert all(len(cost["tokens_per_second"]) == evaluation.ROUNDS >= 5 for cost in costs.values())
    assert all(speed > 0 for cost in costs.values() for speed in cost["tokens_per_second"])
    assert order == ["bilstm", "lstm"] * evaluation.ROUNDS
