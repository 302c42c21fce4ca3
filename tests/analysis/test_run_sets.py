"""Run sets of a verdict: what may be named, what may be compared, and what the verdict reports."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from unroll.analysis.run_sets import read_run_set
from unroll.analysis.verdict import Judgement, Sample, expected_best, judge, sentence
from unroll.analysis.verdict_text import verdict_text
from unroll.cli import main
from unroll.config import decisive
from unroll.errors import BadInput
from unroll.metrics import Metric

ORDER = {"data": "a1", "task": "language_model", "training.batch_size": 4, "training.truncation_length": 12,
         "training.truncation_stride": 12}  # fmt: skip
FACTS = {"vocabulary": "same", "data": {"train": "t", "validation": "v", "test": "e"},
         "evaluation": {"training.evaluation_streams": 4}}  # fmt: skip
LSTM, GRU = [2.0, 2.1, 2.2, 2.05, 1.95], [1.0, 1.1, 1.2, 1.05, 0.95]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def judged_file(name: str = "recall", **changes: Any) -> Path:
    """Figures as ``evaluate`` writes them, test figures ten times those of validation."""
    runs = {
        f"{arch}-{seed}": {
            "arch": arch, "seed": seed, "split": "test", "parameters": 9, "tokens": 9, "order": ORDER,
            "fingerprint": f"{arch}-{seed}", "headline": "perplexity",
            "mode": "min", "test": {"loss": figure, "perplexity": 10 * figure, "accuracy/8": figure / 3},
            "validation": {"loss": figure, "perplexity": figure},
        } | FACTS | changes
        for arch, values in (("lstm", LSTM), ("gru", GRU)) for seed, figure in enumerate(values)
    }  # fmt: skip
    path = Path(f"{name}.json")
    path.write_text(json.dumps(runs), encoding="utf-8")
    return path


def run(folder: str, seed: int, loss: float, arch: str = "lstm", order: dict[str, Any] = ORDER, **changes: Any) -> Path:
    """What of a run's folder is read: settings and figures."""
    path = Path(folder)
    path.mkdir(parents=True)
    config = {"format": 1, "experiment": "recall", "seed": seed, "arch": {"name": arch, "layers": 1},
              "data": {"name": "recall"}, "task": {"name": "language_model"},
              "training": {"tokens": 9, "devices": seed + 1}, "tracking": {"name": "none"}} | changes  # fmt: skip
    tokens = config["training"]["tokens"]
    (path / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    facts = {"format": 1, **FACTS, "order": order, "tokens": tokens, "parameters": 1_234 + len(arch),
             "best": {"loss": loss, "perplexity": math.exp(loss)}}  # fmt: skip
    (path / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    return path


def runs(folder: str, values: list[float], arch: str, order: dict[str, Any] = ORDER, **changes: Any) -> None:
    for seed, value in enumerate(values):
        run(f"{folder}/{arch}-{seed}", seed, value, arch, order, **changes)


def verdict(a: str, b: str, **options: Any) -> str:
    return verdict_text(
        a, b, **({"metric": None, "margin": None, "test": "welch", "costs": None, "decisive": decisive} | options)
    )


PERPLEXITY = Metric("perplexity", "ratio", lower=True)


def judged(a: list[float], b: list[float], metric: Metric = PERPLEXITY, **options: Any) -> Judgement:
    return judge(Sample(a), Sample(b), metric, **options)


def refused(a: str, b: str, **options: Any) -> str:
    with pytest.raises(BadInput) as caught:
        verdict(a, b, **options)
    return str(caught.value)


def table_of(text: str) -> dict[str, str]:
    return {row[2:].split("  ")[0]: " ".join(row[2:].split("  ")[1:]).strip() for row in text.splitlines()
            if row.startswith("  ")}  # fmt: skip


def test_figures_of_a_file_are_judged_on_the_test_split() -> None:
    judged_file()
    text = verdict("recall.json:lstm", "recall.json:gru", margin=20.0)
    expected = judged([10 * value for value in LSTM], [10 * value for value in GRU], margin=20.0)
    title, *_, last = text.splitlines()
    assert title == "recall: test perplexity, means with 95 % t intervals"
    assert last == sentence("lstm", "gru", expected, 2)
    assert last.startswith(
        "gru is better than lstm: the perplexity of lstm is 1.95 times (1.74 to 2.18) that of gru (p < "
    )
    assert "yet equivalent within a factor of 20 (p < 0.001)" in last
    assert expected.effect is not None
    logs = [expected_best([math.log(value) for value in side], True) for side in (LSTM, GRU)]
    best = [[max(1.0, math.exp(side[k])) for side in logs] for k in (1, 3)]  # no perplexity is lower
    assert table_of(text) == {
        "perplexity of lstm": "20.58 (19.43 to 21.80) over 5 seeds",
        "perplexity of gru": "10.57 (9.45 to 11.81) over 5 seeds",
        "lstm to gru": "1.95 times (1.74 to 2.18)",
        "effect size": f"g = {expected.effect.size:.2f} ({expected.effect.low:.2f} to {expected.effect.high:.2f}), "
                       "positive where lstm leads",
        "improvement": "P = 0.00 that a run of lstm is ahead of one of gru",
        "p": "< 0.001 (welch)",
        "p of a margin": "< 0.001 that they differ by a factor of 20 or more",
        "seeds needed": "about 5 of each, for a power of 0.8 at this difference",
        "best of 2": f"lstm {best[0][0]:.2f}, gru {best[0][1]:.2f} expected on validation",
        "best of 4": f"lstm {best[1][0]:.2f}, gru {best[1][1]:.2f} expected on validation",
        "parameters": "lstm 9, gru 9",
    }  # fmt: skip


def test_a_metric_whose_differences_mean_the_same_everywhere_is_judged_by_them() -> None:
    judged_file()
    text = verdict("recall.json:lstm", "recall.json:gru", metric="loss", margin=2.0)
    table = table_of(text)
    assert table["loss of lstm"] == "2.06 ± 0.12 over 5 seeds"
    assert table["lstm less gru"] == "1.00 ± 0.14"
    assert table["p of a margin"] == "< 0.001 that they differ by 2 or more"
    assert text.endswith("gru is better than lstm by 1.00 ± 0.14 (p < 0.001), yet equivalent within 2 (p < 0.001).")


def test_another_metric_has_its_own_direction() -> None:
    judged_file()
    assert verdict("recall.json:lstm", "recall.json:gru", metric="accuracy/8").endswith(").")
    last = verdict("recall.json:lstm", "recall.json:gru", metric="accuracy/8").splitlines()[-1]
    assert last.startswith("lstm is better than gru")
    assert "gru is better than lstm" in verdict("recall.json:lstm", "recall.json:gru", metric="loss")
    assert "times the odds (" in verdict("recall.json:lstm", "recall.json:gru", metric="accuracy/8")


@pytest.mark.parametrize("form", ["folder", "pattern"])
def test_runs_are_judged_on_validation_which_is_said(form: str) -> None:
    runs("a", LSTM, "lstm")
    runs("b", GRU, "gru")
    a, b = ("a", "b") if form == "folder" else ("?/lstm-*", "?/gru-*")
    text = verdict(a, b)
    assert text.startswith("recall: validation perplexity, ")
    expected = judged([math.exp(value) for value in LSTM], [math.exp(value) for value in GRU])
    assert text.splitlines()[-1] == sentence("lstm", "gru", expected, 2)


def test_one_run_against_another_states_how_many_a_test_needs() -> None:
    run("a", 0, 1.0)
    run("b", 0, 2.0, "gru")
    text = verdict("a", "b")
    assert text.splitlines()[-1] == (
        "The perplexity of gru is 2.72 times that of lstm; below 3 seeds of each there is no test, and below 5 seeds "
        "of each neither is called better: 4 more seeds of each are needed.")  # fmt: skip
    assert not any(word in text for word in ("p =", "p <", "effect", "needed  "))


def test_two_settings_of_one_architecture_are_distinguished_by_their_names() -> None:
    runs("small", LSTM, "lstm")
    runs("large", GRU, "lstm", training={"tokens": 99})
    assert "large is better than small: " in verdict("small", "large")


def test_pairs_are_those_of_equal_seeds() -> None:
    values = [1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5]
    for place, seed in enumerate((7, 3, 5, 1, 0, 2, 4, 6)):  # names in another order than seeds
        run(f"a/lstm-{place}", seed, values[seed])
        run(f"b/gru-{seed}", seed, values[seed] + 0.1 + 0.01 * (seed % 2), "gru")
    text = verdict("a", "b", metric="loss", test="paired", margin=0.2)
    others = [value + 0.1 + 0.01 * (seed % 2) for seed, value in enumerate(values)]
    expected = judged(values, others, Metric("loss", "difference", lower=True), test="paired", margin=0.2)
    assert text.splitlines()[-1] == sentence("lstm", "gru", expected, 2)
    assert "lstm is better than gru" in text
    assert "No evidence" in verdict("a", "b", metric="loss")
    few = verdict("a/lstm-0", "b/gru-7", test="paired")
    assert few.endswith("; a paired t test needs 8 pairs: 7 more are needed.")
    assert "pairs by seed, but a has seeds 0, 1, 2, 3, 4, 5, 6, 7 and b/gru-0 0" in refused(
        "a", "b/gru-0", test="paired")  # fmt: skip


def test_a_run_on_both_sides_is_refused() -> None:
    for seed in range(3):
        run(f"runs/lstm-{seed}", seed, 1.0 + seed)
    assert "runs/lstm-? and runs/lstm-[12] share the run of seed 1; name it" in refused(
        "runs/lstm-?", "runs/lstm-[12]")  # fmt: skip


def test_sides_of_unlike_sizes_are_reported_as_unequal() -> None:
    runs("a", LSTM, "lstm")
    runs("b", GRU, "gru")
    assert "sizes differ" not in verdict("a", "b")  # 1,238 and 1,237
    for path in Path("b").rglob("run.json"):
        path.write_text(
            json.dumps({**json.loads(path.read_text(encoding="utf-8")), "parameters": 2_000}), encoding="utf-8"
        )
    assert verdict("a", "b").splitlines()[1] == (
        "sizes differ: lstm has 1,238 parameters and gru 2,000 parameters, so they are not compared at equal size"
    )


def test_sides_that_have_read_unlike_numbers_of_tokens_are_reported_as_unequal() -> None:
    runs("a", LSTM, "lstm", training={"tokens": 2_000_000})
    runs("b", GRU, "gru", training={"tokens": 200_000})
    title, second, *_ = verdict("a", "b").splitlines()
    assert title.startswith("recall: validation perplexity")
    assert second == ("budgets differ: lstm has read 2,000,000 tokens and gru 200,000, so they are not "
                      "compared at equal tokens")  # fmt: skip
    assert "  parameters          lstm 1,238, gru 1,237" in verdict("a", "b")
    runs("c", GRU, "gru", training={"tokens": 2_000_900})  # the last step spends a little more
    assert "budgets" not in verdict("a", "c")
    content = json.loads(judged_file().read_text(encoding="utf-8"))
    for name, figures in content.items():
        figures["tokens"] = 500_000 + (name == "gru-0") * 100_000  # 20,000 more on average
    Path("recall.json").write_text(json.dumps(content), encoding="utf-8")
    assert "budgets differ: lstm has read 500,000 tokens and gru 520,000," in verdict(
        "recall.json:lstm", "recall.json:gru")  # fmt: skip


OTHERS = [({"data": "b7"}, "data is a1 in a and b7 in b"),
          ({"training.batch_size": 8}, "training.batch_size is 4 in a and 8 in b"),
          ({"training.truncation_length": 24}, "training.truncation_length is 12 in a and 24 in b"),
          ({"training.truncation_stride": 6}, "training.truncation_stride is 12 in a and 6 in b")]  # fmt: skip


@pytest.mark.parametrize(("changes", "difference"), OTHERS)
def test_runs_that_read_in_another_order_are_not_paired(changes: dict[str, Any], difference: str) -> None:
    runs("a", [1.0 + 0.1 * seed for seed in range(8)], "lstm")
    runs("b", [1.0 + 0.2 * seed for seed in range(8)], "gru", {**ORDER, **changes})
    refusal = f"--test paired pairs runs that read the same data in the same order, but {difference}; choose welch."
    assert refused("a", "b", test="paired") == refusal
    assert "(welch)" in verdict("a", "b")
    judged_file("one", order=ORDER)
    judged_file("recall", order={**ORDER, **changes})
    Path("one").mkdir()
    Path("one.json").rename("one/recall.json")
    assert difference.replace(" a ", " one/recall.json:lstm ").removesuffix(" b") in refused(
        "one/recall.json:lstm", "recall.json:gru", test="paired")  # fmt: skip


def test_what_does_not_change_the_order_does_not_keep_from_pairing() -> None:
    runs("a", [1.0 + 0.1 * seed for seed in range(8)], "lstm")
    runs("b", [1.0 + 0.2 * seed for seed in range(8)], "gru", training={"tokens": 9, "optimizer": "sgd"})
    assert "(paired)" in verdict("a", "b", test="paired")


def test_speeds_are_judged_apart() -> None:
    judged_file()
    Path("costs").mkdir()
    speeds = {"lstm": {"run": "lstm-0", "tokens_per_second": [2000.0, 2010, 1990, 2005, 1995]},
              "gru": {"run": "gru-0", "tokens_per_second": [1000.0, 1010, 990, 1005, 995]}}  # fmt: skip
    Path("costs/recall.json").write_text(json.dumps(speeds), encoding="utf-8")
    text = verdict("recall.json:gru", "recall.json:lstm", costs=Path("costs"))
    assert table_of(text)["tokens/s of lstm"] == "2,000 (1,990 to 2,010) over 5 measurements"
    quality, speed = text.splitlines()[-2:]
    assert quality.startswith("gru is better than lstm")
    assert speed == "lstm is faster than gru: the speed of lstm is 2.00 times (1.98 to 2.02) that of gru (p < 0.001)."
    sides = "recall.json:gru", "recall.json:lstm"
    speeds["gru"]["run"] = "a GRU of another budget"
    Path("costs/recall.json").write_text(json.dumps(speeds), encoding="utf-8")
    assert "costs/recall.json was measured on other runs" in refused(*sides, costs=Path("costs"))
    del speeds["gru"]
    Path("costs/recall.json").write_text(json.dumps(speeds), encoding="utf-8")
    assert "costs/recall.json has no speed for gru" in refused(*sides, costs=Path("costs"))
    assert "none/recall.json does not exist" in refused(*sides, costs=Path("none"))
    run("a", 0, 1.0)
    run("b", 0, 1.1)
    assert "--costs needs sides of the form FILE:ARCH" in refused("a", "b", costs=Path("costs"))


def test_a_side_that_is_nothing_is_named_with_what_there_is() -> None:
    judged_file()
    good = "recall.json:lstm"
    assert "no arch in recall.json named 'lsmt' (did you mean lstm?)" in refused("recall.json:lsmt", good)
    assert "recall.json has gru, lstm; select one of them, such as recall.json:gru" in refused("recall.json", good)
    assert "absent.json does not exist" in refused("absent.json:lstm", good)
    for absent in ("absent", "absent/*", "absent:lstm"):
        assert refused(absent, good).startswith(f"{absent} is not a run and has no runs; name a run,")
    Path("bad.json").write_text("{}", encoding="utf-8")
    assert "was not written by unroll evaluate" in refused("bad.json:lstm", good)
    assert "no metric 'perplexty' (did you mean perplexity?)" in refused(good, "recall.json:gru", metric="perplexty")


def test_runs_of_one_side_differ_in_seeds_alone() -> None:
    good = str(run("good", 0, 1.0))
    run("mixed/a", 0, 1.0)
    run("mixed/b", 1, 1.0, "gru")
    assert "mixed has runs of gru, lstm; select one architecture, such as 'mixed/gru-[0-9]*'" in refused("mixed", good)
    run("twice/a", 3, 1.0)
    run("twice/b", 3, 1.0)
    assert "twice/b is a second run with seed 3" in refused("twice", good)
    run("other/a", 0, 1.0)
    run("other/b", 1, 1.0, training={"tokens": 10, "devices": 1})
    assert "other/b and other/a have different settings" in refused("other", good)
    run("tracked/a", 0, 1.0)
    run("tracked/b", 1, 1.0, tracking={"name": "mlflow"})
    assert read_run_set("tracked", decisive).figures.keys() == {0, 1}


@pytest.mark.parametrize(
    ("name", "content"),
    [("run.json", "{"), ("run.json", "[]"), ("run.json", '{"format": 1, "best": 3}'),
     ("config.yaml", "{format: 1, seed: 1}"), ("config.yaml", "a: [")],
)  # fmt: skip
def test_a_run_that_is_damaged_is_named(name: str, content: str) -> None:
    (run("a", 0, 1.0) / name).write_text(content, encoding="utf-8")
    assert refused("a", "b").startswith("a is damaged")
    (Path("a") / "config.yaml").unlink()
    assert refused("a", "b").startswith("a is damaged")


def test_sides_of_two_questions_are_not_compared() -> None:
    judged_file()
    judged_file("adding")
    judged_file("validated", split="validation")
    Path("other").mkdir()
    judged_file("validated", split="validation").rename("other/recall.json")
    good = "recall.json:lstm"
    assert "is on both sides" in refused(good, good)
    assert "runs of the experiments recall and adding" in refused(good, "adding.json:lstm")
    assert "their split is test and validation" in refused(good, "other/recall.json:lstm")
    run("a", 0, 1.0)
    assert "their split is test and validation" in refused(good, "a")
    run("b", 0, 1.0, experiment="adding")
    assert "runs of the experiments recall and adding" in refused("a", "b")
    facts = {
        "format": 1,
        "vocabulary": "other",
        "order": ORDER,
        "tokens": 9,
        "parameters": 1,
        "best": {"loss": 1.0, "perplexity": 1.0},
    }
    (run("c", 1, 1.0) / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    assert "their vocabularies differ" in refused("a", "c")
    facts = {"format": 1, "vocabulary": "same", "order": ORDER, "tokens": 9, "parameters": 1, "best": {"loss": 1.0}}
    (run("d", 1, 1.0) / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    assert "their metric is perplexity and loss" in refused("a", "d")


@pytest.mark.parametrize(
    ("metric", "margin", "words"),
    [("loss", "0", "above 0, in units of loss"), ("loss", "-1", "above 0"), ("loss", "inf", "above 0"),
     ("loss", "nan", "above 0"), ("perplexity", "0.3", "a factor above 1 for perplexity"),
     ("perplexity", "1", "a factor above 1"), ("accuracy/8", "0.02", "5 % in the odds of accuracy/8"),
     ("accuracy/8", "nan", "a factor above 1")],
)  # fmt: skip
def test_a_margin_is_in_the_unit_of_the_metrics_differences(
    metric: str, margin: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    judged_file()
    assert main(["verdict", "recall.json:lstm", "recall.json:gru", "--metric", metric, f"--margin={margin}"]) == 2
    error = capsys.readouterr().err
    assert "--margin" in error
    assert words in error
    assert len(error.strip().splitlines()) == 1


def test_a_metric_that_no_task_reports_is_refused() -> None:
    judged_file(headline="mine", mode="max", order={}, test={"loss": 1.0, "mine": 2.0})
    assert "'mine'" in refused("recall.json:lstm", "recall.json:gru")
    judged_file(test={"loss": 1.0, "perplexity": 2.0, "yours": 2.0})
    assert "'yours'" in refused("recall.json:lstm", "recall.json:gru", metric="yours")


@pytest.mark.parametrize(
    ("task", "best", "headline", "scale"),
    [("language_model", {"loss": 1.0, "perplexity": 2.7, "loss_known": 1.0, "accuracy/8": 0.5}, "perplexity", "ratio"),
     ("cloze", {"loss": 1.0, "pseudo_perplexity": 2.7, "accuracy": 0.5}, "pseudo_perplexity", "ratio"),
     ("tagger", {"loss": 1.0, "accuracy": 0.5}, "accuracy", "log-odds"),
     ("tagger", {"loss": 1.0, "accuracy": 0.5, "f1": 0.3}, "f1", "difference"),
     ("regressor", {"loss": 1.0}, "loss", "ratio")],
)  # fmt: skip
def test_runs_of_every_task_are_judged_by_its_headline(
    task: str, best: dict[str, float], headline: str, scale: str
) -> None:
    for seed in range(2):
        folder = run(f"a/run-{seed}", seed, 1.0, task={"name": task}, order={**ORDER, "task": task})
        facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        (folder / "run.json").write_text(json.dumps(facts | {"best": best}), encoding="utf-8")
    side = read_run_set("a", decisive)
    assert side.basis.metric == headline
    assert side.metric(headline).scale == scale


# ---- two kinds of outcomes, and what has no randomness

GOOD, BAD = [0.001, 0.002, 0.0012, 0.0009, 0.001], [0.16, 0.17, 0.165, 0.16, 0.17]


def regressors(folder: str, values: list[float], arch: str, solved: str | None) -> None:
    for seed, value in enumerate(values):
        changes = {"task": {"name": "regressor"}, "solved": solved}
        path = run(f"{folder}/{arch}-{seed}", seed, value, arch, {**ORDER, "task": "regressor"}, **changes)
        facts = json.loads((path / "run.json").read_text(encoding="utf-8"))
        (path / "run.json").write_text(json.dumps(facts | {"best": {"loss": value}}), encoding="utf-8")


def test_runs_of_an_experiment_that_declares_a_solution_are_compared_by_counts_on_validation() -> None:
    regressors("a", GOOD, "gru", "loss <= 0.01")
    regressors("b", BAD, "rnn", "loss <= 0.01")
    text = verdict("b", "a")
    assert text.splitlines()[-1] == "gru is better than rnn: solved by 5 of 5 seeds against 0 of 5 (p = 0.002)."
    table = table_of(text)
    assert table["loss of gru"].endswith("over 5 seeds, solved by 5 of 5")
    assert table["p"] == "0.002 (Boschloo's test of counts, since only some runs solve the problem)"
    assert "times" not in text


def evaluated_regressors() -> dict[str, dict[str, Any]]:
    """Figures as ``evaluate`` writes them."""
    return {
        f"{arch}-{seed}": {"arch": arch, "seed": seed, "split": "test", "parameters": 9, "tokens": 9, "order": {},
                           "headline": "loss", "mode": "min", "test": {"loss": value}, "validation": {"loss": 1.0},
                           "task": "regressor", "solved": "loss <= 0.01"} | FACTS
        for arch, values in (("gru", GOOD), ("rnn", BAD)) for seed, value in enumerate(values)
    }  # fmt: skip


def test_figures_of_a_file_carry_the_declaration() -> None:
    Path("adding.json").write_text(json.dumps(evaluated_regressors()), encoding="utf-8")
    assert "solved by 5 of 5 seeds against 0 of 5" in verdict("adding.json:rnn", "adding.json:gru")


def test_sides_of_two_declarations_are_refused() -> None:
    regressors("a", GOOD, "gru", "loss <= 0.01")
    regressors("b", BAD, "rnn", None)
    assert "solved=loss <= 0.01 and solved=null" in refused("a", "b")


@pytest.mark.parametrize(
    ("declaration", "named"),
    [({"solved": "loss <= 0.02"}, "solved=loss <= 0.01 and solved=loss <= 0.02"),
     ({"solved": None}, "solved=loss <= 0.01 and solved=null"),
     ({"judged_by": "mae"}, "their metric is loss and mae")],
)  # fmt: skip
def test_runs_of_one_side_share_what_is_declared_before_training(
    declaration: dict[str, str | None], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    regressors("a", GOOD, "gru", "loss <= 0.01")
    regressors("b", BAD, "rnn", "loss <= 0.01")
    for path in (Path("a/gru-3/config.yaml"), Path("b/rnn-3/config.yaml")):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        path.write_text(yaml.safe_dump(content | declaration), encoding="utf-8")
    message = refused("a", "b")
    assert "a/gru-3 and a/gru-0 have different settings" in message
    assert "may differ only in their seeds" in message
    content = evaluated_regressors()
    for result in content.values():
        result["test"]["mae"] = 0.1
    for name in ("gru-3", "rnn-3"):
        content[name] |= declaration
    Path("adding.json").write_text(json.dumps(content), encoding="utf-8")
    assert named in refused("adding.json:rnn", "adding.json:gru")
    assert main(["compare", "adding.json", "--out", "comparison"]) == 2
    assert named in capsys.readouterr().err
    assert not Path("comparison").exists()


@pytest.mark.parametrize(("version", "remedy"), [(2, "install a newer version"), (None, "unroll upgrade a/lstm-1")])
@pytest.mark.parametrize("name", ["config.yaml", "run.json"])
def test_runs_of_another_format_are_refused(name: str, version: int | None, remedy: str) -> None:
    runs("a", LSTM, "lstm")
    runs("b", GRU, "gru")
    path = Path("a/lstm-1") / name
    content = yaml.safe_load(path.read_text(encoding="utf-8")) | {"format": version}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}), encoding="utf-8")
    message = refused("a", "b")
    assert str(path) in message
    assert remedy in message


def test_an_n_gram_is_a_constant() -> None:
    runs("a", [math.log(value) for value in (154.0, 155.0, 157.0, 158.0, 151.0)], "lstm")
    for seed in range(3):
        path = run(f"b/ngram-{seed}", seed, math.log(200), "ngram")
        facts = json.loads((path / "run.json").read_text(encoding="utf-8"))
        (path / "run.json").write_text(json.dumps(facts | {"deterministic": True}), encoding="utf-8")
    text = verdict("a", "b")
    table = table_of(text)
    assert table["perplexity of ngram"] == "200.0 (deterministic)"
    assert table["p"] == "< 0.001 (one-sample t test, since ngram is deterministic)"
    assert "lstm is better than ngram: the perplexity of ngram is 1.29 times (1.26 to 1.32)" in text
    assert not any(row.startswith("best of") for row in table)
