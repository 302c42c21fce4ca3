"""The report: one page that needs nothing else, with every question, seed and verdict."""

from __future__ import annotations

import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from browsing import VIEWS, browsed, faults
from processes import crossed

from unroll.analysis import comparison
from unroll.analysis.page import gap, number
from unroll.analysis.report import write_report
from unroll.analysis.samples import measured_groups
from unroll.analysis.styles import assign_styles
from unroll.analysis.written import load_certificate
from unroll.cli import main
from unroll.config import course
from unroll.errors import BadInput

ARCHS = ["lstm", "gru"]
COURSE: dict[str, dict[str, list[Any]]] = {
    "language": {"experiments": ["words"], "archs": ARCHS, "seeds": [0, 1, 2, 3, 4]},
    "tagging": {"experiments": ["tags"], "archs": ARCHS, "seeds": [0, 1, 2, 3, 4]},
    "own": {"experiments": [], "archs": [], "seeds": []},
}
ABOUT = {
    "words": {"question": "Which one tells <words> better?", "data": "a corpus", "grouped_by": ["Distance"]},
    "tags": {"question": "And tags?", "data": "a corpus", "grouped_by": []},
}


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """Figures of two experiments, as training and evaluation leave them."""
    (tmp_path / "metrics").mkdir()
    for name, metric, mode in (("words", "perplexity", "min"), ("tags", "accuracy", "max")):
        runs = {}
        for arch in ARCHS:
            for seed in range(5):
                value = {"words": 10.0, "tags": 0.9}[name] * (1 + 0.005 * seed + 0.05 * (arch == "gru"))
                figures = {"loss": 2.0, metric: value}
                if name == "words":
                    figures |= {"accuracy/8": 0.5 + 0.1 * seed, "accuracy/20": 0.25}
                runs[f"{arch}-{seed}"] = {
                    "arch": arch, "seed": seed, "split": "test", "parameters": 1234, "tokens": 99, "test": figures,
                    "fingerprint": f"{name}/{arch}-{seed}",
                    "validation": {}, "order": {}, "headline": metric, "mode": mode,
                }  # fmt: skip
                folder = tmp_path / "runs" / name / arch / str(seed)
                folder.mkdir(parents=True)
                rows = "".join(f"{t},val/{metric},{value + 1 / t}\n" for t in (100, 200, 300))
                (folder / "history.csv").write_text("tokens,metric,value\n" + rows, encoding="utf-8")
        (tmp_path / "metrics" / f"{name}.json").write_text(json.dumps(runs), encoding="utf-8")
    files = [tmp_path / "metrics" / f"{name}.json" for name in ABOUT]
    comparison.compare_all(files, tmp_path / "costs", tmp_path / "comparison", None)
    return tmp_path


def page(outputs: Path) -> str:
    return write_report(COURSE, ABOUT, outputs, outputs / "report.html").read_text(encoding="utf-8")


def test_the_page_has_each_question_table_figure_verdict_and_command(outputs: Path) -> None:
    html = page(outputs)
    assert "Which one tells &lt;words&gt; better?" in html  # escaped, not markup
    assert html.count("<section") == 2
    assert html.count("<svg") == 3 + 2  # curves and seeds for both, accuracy by distance for one
    assert "gru is better than lstm: " in html
    assert "unroll train experiment=tags arch=gru seed=0" in html
    assert "distance in words" in html


def test_every_seed_is_drawn(outputs: Path) -> None:
    figures = [part.split("</svg>")[0] for part in page(outputs).split("<svg")[1:]]
    scattered = [figure for figure in figures if 'id="seeds-' in figure]
    assert len(scattered) == 2  # a figure of each experiment
    for figure in scattered:
        for arch in ARCHS:
            drawn = figure.split(f'id="seeds-{arch}"')[1].split("</g>")[0]
            assert drawn.count("<use ") == 5


def test_one_seed_has_no_columns_for_spread_and_test(outputs: Path) -> None:
    assert page(outputs).count("<th>95 % interval</th>") == page(outputs).count("<th>p (Holm)</th>") == 2
    path = outputs / "metrics" / "tags.json"
    runs = {name: run for name, run in json.loads(path.read_text(encoding="utf-8")).items() if run["seed"] == 0}
    path.write_text(json.dumps(runs), encoding="utf-8")
    files = [outputs / "metrics" / f"{name}.json" for name in ABOUT]
    comparison.compare_all(files, outputs / "costs", outputs / "comparison", None)
    html = page(outputs)
    assert html.count("<th>95 % interval</th>") == html.count("<th>p (Holm)</th>") == 1
    rows = html.split('id="tags"')[1].split("</table>")[0].split("<tr")[1:]
    assert {row.count("<td") + row.count("<th") for row in rows} == {rows[0].count("<th")}


def test_speeds_stand_in_the_table_and_their_verdicts_beside_those_of_quality(outputs: Path) -> None:
    assert '<ul class="verdicts speed">' not in page(outputs)
    (outputs / "costs").mkdir()
    around = [0.99, 0.995, 1.0, 1.005, 1.01]
    speeds = {arch: {"run": f"tags/{arch}-0", "tokens_per_second": [speed * part for part in around]}
              for arch, speed in (("lstm", 5000), ("gru", 2500))}  # fmt: skip
    (outputs / "costs" / "tags.json").write_text(json.dumps(speeds), encoding="utf-8")
    html = page(outputs)
    assert html.count('<ul class="verdicts speed">') == 1
    section = html.split('id="tags"')[1].split("</section>")[0]
    assert "<td>5,000</td>" in section
    assert (
        "<li>lstm is faster than gru: the speed of lstm is 2.00 times (1.98 to 2.02) that of gru (p &lt; 0.001).</li>"
        in section
    )


def test_speeds_of_other_runs_are_left_out_with_the_reason(outputs: Path) -> None:
    (outputs / "costs").mkdir()
    speeds = {"lstm": {"run": "another", "tokens_per_second": [5000.0] * 5}}
    (outputs / "costs" / "tags.json").write_text(json.dumps(speeds), encoding="utf-8")
    html = page(outputs)
    assert "<td>5,000</td>" not in html
    assert "costs/tags.json was measured on other runs" in html


def test_effect_size_and_probability_stand_beside_p(outputs: Path) -> None:
    rows = json.loads((outputs / "comparison" / "comparison.json").read_text(encoding="utf-8"))
    html = page(outputs)
    assert html.count("<th>g</th><th>P</th><th>p (Holm)</th>") == 2
    for row in rows[1::2]:
        figures = f"<td>{row['effect_size']:.1f}</td><td>{row['probability_of_improvement']:.2f}</td>"
        assert figures in html


def test_the_page_opens_without_network(outputs: Path) -> None:
    html = page(outputs)
    assert not re.findall(r"(?:src|href)=\"(?:https?:)?//", html)
    assert "@import" not in html
    assert "url(http" not in html


def test_the_same_figures_give_the_same_bytes(outputs: Path) -> None:
    first, second = (page(outputs).partition("<p>Written on ")[0] for _ in range(2))
    assert first == second


def test_a_chapter_without_experiments_is_left_out(outputs: Path) -> None:
    assert 'id="own"' not in page(outputs)


MEANINGS = {"batch_size": "in a batch, or alone", "padding": "with more padding", "state_carry": "in windows"}


def finding(check: str, dtype: str, deviation: float) -> dict[str, Any]:
    tolerance = {"float64": 1e-10, "float32": 1e-3}[dtype]
    return {"check": check, "dtype": dtype, "deviation": deviation, "of": "losses", "tolerance": tolerance,
            "passed": deviation <= tolerance}  # fmt: skip


def certified(outputs: Path, deviation: float) -> str:
    """The page with a certificate in which padding deviates so much."""
    checks: list[dict[str, Any]] = [{"check": "state_carry", "not_applicable": "arch=gru <reads> all"}]
    for dtype, usual in (("float64", 2e-16), ("float32", 3e-7)):
        checks += [finding("batch_size", dtype, usual), finding("padding", dtype, deviation)]
    content = {"run": "tags/gru-0", "fingerprint": "f", "rows": 11, "tokens": 1234, "checks": checks,
               "certified": all(check.get("passed", True) for check in checks), "meanings": MEANINGS}  # fmt: skip
    (outputs / "certificates").mkdir(exist_ok=True)
    (outputs / "certificates" / "tags-gru-0.json").write_text(json.dumps(content), encoding="utf-8")
    chapters = {**COURSE, "tagging": {**COURSE["tagging"], "certified": ["gru-0"]}}
    return write_report(chapters, ABOUT, outputs, outputs / "report.html").read_text(encoding="utf-8")


def test_a_certificate_stands_in_its_chapter(outputs: Path) -> None:
    html = certified(outputs, 0.0)
    part = html.split('id="certificate-tags-gru-0"')[1].split("</section>")[0]
    assert html.index('id="tags"') < html.index('id="certificate-tags-gru-0"')
    assert "certificate · tags/gru-0 · 1,234 tokens" in part
    assert "float64 (at most 1e-10)" in part
    assert "float32 (at most 0.001)" in part
    rows = {row.split("</td>")[0].split(">")[-1]: row for row in part.split("<tr>")[2:]}
    assert "<td>2.0e-16</td><td>3.0e-07</td>" in rows["batch size"]
    assert "<td>0</td><td>0</td>" in rows["padding"]
    assert "holds" in rows["padding"]
    assert "<td>–</td><td>–</td>" in rows["state carry"]
    assert "holds" not in rows["state carry"]
    assert "state carry: not applicable, since arch=gru &lt;reads&gt; all." in part
    assert "FAIL" not in part
    assert "<details><summary>Checks" in part
    assert "certificate" not in html.split("</style>")[1].split('id="tagging"')[0]


def test_a_certificate_that_failed_is_reported_plainly(outputs: Path) -> None:
    part = certified(outputs, 1e-5).split('id="certificate-tags-gru-0"')[1].split("</section>")[0]
    assert "This run is NOT certified. It fails: padding." in part
    assert "FAILS in float64<" in part
    assert "<details open>" in part  # one that holds is folded
    assert "do not depend" not in part


def test_a_certificate_that_is_missing_is_bad_input(outputs: Path) -> None:
    chapters = {**COURSE, "tagging": {**COURSE["tagging"], "certified": ["lstm-0"]}}
    with pytest.raises(BadInput, match=r"tags-lstm-0\.json does not exist; run unroll certify"):
        write_report(chapters, ABOUT, outputs, outputs / "report.html")


@pytest.mark.browser
def test_the_page_renders_in_a_browser(outputs: Path) -> None:
    page(outputs)
    picture = outputs / "page.png"
    browsed(outputs / "report.html", f"--screenshot={picture}")
    assert picture.stat().st_size > 50_000  # an empty page is a few kB


@pytest.mark.browser
@pytest.mark.parametrize("view", VIEWS)
def test_every_view_of_the_page_is_readable_whole_and_named(view: str, outputs: Path) -> None:
    certified(outputs, 1e-5)
    assert faults(outputs / "report.html", view) == []


@pytest.mark.browser
@pytest.mark.parametrize(("damage", "fault"), [
    (("--soft: #5d5a52", "--soft: #aaa69c"), "contrast"), (('role="img" ', ""), "a figure without a name"),
    (("<h1>", "<h1 style='width:1400px'>"), "cut at"),
    (("words: test perplexity, every seed", "words: validation perplexity"), "two figures of one name"),
])  # fmt: skip
def test_a_page_with_a_fault_does_not_pass(damage: tuple[str, str], fault: str, outputs: Path) -> None:
    html = page(outputs)
    assert damage[0] in html
    (outputs / "report.html").write_text(html.replace(*damage), encoding="utf-8")
    assert any(found.startswith(fault) for found in faults(outputs / "report.html", "light"))


def test_architectures_of_a_chapter_differ_in_colour_marker_and_dash() -> None:
    chapters = [grid["archs"] for grid in course(Path(__file__).parent.parent.parent / "conf" / "course.yaml").values()]
    styles = assign_styles(chapters)
    for chapter in chapters:
        drawn = [styles[arch] for arch in chapter]
        for part in ("colour", "dark", "marker", "glyph", "dash"):
            assert len({getattr(style, part) for style in drawn}) == len(drawn)


def test_more_architectures_than_styles_are_drawn_all_the_same() -> None:
    assert len(assign_styles([[str(number) for number in range(20)]])) == 20


def test_a_line_has_the_dash_and_the_marker_of_its_architecture(outputs: Path) -> None:
    figure = page(outputs).split("<svg")[1].split("</svg>")[0]
    lines = re.findall(r'style="fill: none; (stroke-dasharray[^"]*; )?stroke: var\(--style-(\d)\)', figure)
    assert {place for _, place in lines} == {"0", "1"}
    assert {bool(dash) for dash, place in lines if place == "1"} == {True}


def test_the_answer_stands_before_the_evidence(outputs: Path) -> None:
    section = page(outputs).split('id="words"')[1].split("</section>")[0]
    answer = section.index("lstm has the best mean test perplexity, 10.10: it is better than gru.")
    assert section.index('class="question"') < answer < section.index("<svg")


def test_symbols_are_explained_under_the_table(outputs: Path) -> None:
    section = page(outputs).split('id="words"')[1].split("</section>")[0]
    explained = section.split("</table>")[1].split("<ul")[0]
    for symbol in ("vs. first: ", "<i>g</i>: ", "<i>P</i>: ", "<i>p</i>: "):
        assert symbol in explained


def test_the_foot_names_date_commit_and_machine(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = {"mlflow.source.git.commit": "0123456789abcdef", "git.dirty": "true"}
    monkeypatch.setattr("unroll.analysis.page.git_state", lambda: state)
    foot = page(outputs).split("<footer>")[1]
    assert re.search(r"Written on 20\d\d-\d\d-\d\d \d\d:\d\d", foot)
    assert "<code>0123456789ab, with changes</code>" in foot
    assert re.search(r", \d+ cores?\.</p>", foot)


def test_a_difference_of_nothing_has_no_sign() -> None:
    assert gap(-0.00001, "difference", 0.99) == "0.0000"


def test_a_figure_that_is_small_beside_others_is_not_written_as_zero() -> None:
    assert number(0.00003, 0.99) == "0.000030"


DAMAGES: dict[str, bytes] = {
    "empty": b"", "NUL": bytes(300), "a list": b"[]", "a list of numbers": b"[3]", "an object": b"{}", "null": b"null",
    "other rows": b'[{"experiment": "words"}]', "nested": b"[" * 100_000, "no UTF-8": b"\xff\xfe\xff",
}  # fmt: skip


@pytest.mark.parametrize(("name", "kind"), crossed(
    ["comparison/comparison.json", "comparison/targets.json", "metrics/tags.json", "runs/tags/gru/3/history.csv"],
    [*DAMAGES, "cut"],
))  # fmt: skip
def test_what_was_damaged_is_one_sentence_that_names_the_file(name: str, kind: str, outputs: Path) -> None:
    path = outputs / name
    facts = outputs / "runs/tags/gru/3/run.json"
    facts.write_text(json.dumps({"history": hashlib.sha256((facts.parent / "history.csv").read_bytes()).hexdigest()}))
    whole = path.read_bytes() if path.exists() else b'[{"result": "PASS"}]'
    path.write_bytes(DAMAGES.get(kind, whole[: len(whole) // 2]))
    with pytest.raises(BadInput) as caught:
        write_report({"tagging": COURSE["tagging"]}, ABOUT, outputs, outputs / "report.html")
    assert str(path) in str(caught.value)
    assert re.search("run unroll compare|outputs/metrics|train the run again", str(caught.value))


PARTS: list[tuple[str, object]] = [
    ("items_low", "x"), ("items_low", 0.5), ("items_high", [1]), ("over_items", 3), ("over_items", "over items"),
    ("low", None), ("high", float("nan")), ("mean", True), ("mean", float("inf")), ("seeds", -1), ("solved", "all"),
    ("verdict", 3), ("caveat", []), ("doubt", {}), ("arch", "another"), ("arch", ["lstm"]),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value"), PARTS, ids=repr)
def test_every_part_of_a_comparison_is_checked(key: str, value: object, outputs: Path) -> None:
    path = outputs / "comparison" / "comparison.json"
    rows = json.loads(path.read_bytes())
    rows[0][key] = value
    path.write_text(json.dumps(rows), encoding="utf-8")
    with pytest.raises(BadInput, match="run unroll compare"):
        write_report(COURSE, ABOUT, outputs, outputs / "report.html")


@pytest.mark.parametrize(("key", "value"), [("run", 3), ("certified", "yes"), ("tokens", None), ("checks", [3]),
                                            ("checks", []), ("checks", [{"check": "padding"}]),
                                            ("meanings", {"order": "x"}), ("meanings", None)])  # fmt: skip
def test_a_certificate_that_was_damaged_is_bad_input(key: str, value: object, outputs: Path) -> None:
    certificate: dict[str, Any] = {
        "run": "tags/lstm-0", "certified": True, "tokens": 10,
        "checks": [{"check": "padding", "dtype": "float64", "tolerance": 1e-10, "deviation": 0.0, "passed": True}],
        "meanings": MEANINGS,
    }  # fmt: skip
    path = outputs / "certificates" / "tags-lstm-0.json"
    path.parent.mkdir()
    path.write_text(json.dumps(certificate | {key: value}))
    grid = {"tagging": COURSE["tagging"] | {"certified": ["lstm-0"]}}
    with pytest.raises(BadInput, match="run unroll certify again") as caught:
        write_report(grid, ABOUT, outputs, outputs / "report.html")
    assert str(path) in str(caught.value)
    path.write_text(json.dumps(certificate))
    assert load_certificate(path) == certificate


def judged_by_probe(outputs: Path) -> list[dict[str, Any]]:
    """Rows of a comparison whose experiment declares that accuracy over 8 words answers its question."""
    path = outputs / "metrics" / "words.json"
    runs = json.loads(path.read_text(encoding="utf-8"))
    for run in runs.values():
        run |= {"judged_by": "accuracy/8", "items": {"accuracy/8": 400, "accuracy/20": 400}}
        run["test"]["accuracy/8"] = 0.99 if run["arch"] == "lstm" else 0.5 + 0.05 * run["seed"]
    path.write_text(json.dumps(runs), encoding="utf-8")
    files = [outputs / "metrics" / f"{name}.json" for name in ABOUT]
    comparison.compare_all(files, outputs / "costs", outputs / "comparison", None)
    rows = json.loads((outputs / "comparison" / "comparison.json").read_text(encoding="utf-8"))
    return [row for row in rows if row["experiment"] == "words"]


def test_a_chapter_is_judged_by_the_figure_that_its_experiment_declares(outputs: Path) -> None:
    rows = judged_by_probe(outputs)
    assert [row["arch"] for row in rows] == ["lstm", "gru"]  # by perplexity it is the other way round
    assert rows[0]["metric"] == "accuracy/8"
    assert rows[0]["scale"] == "log-odds"
    assert rows[1]["verdict"].startswith("lstm is better than gru: accuracy/8 is 0.99")
    assert rows[0]["headline"] == "perplexity"
    assert rows[0]["headline_mean"] == pytest.approx(10.0996, abs=1e-3)
    section = page(outputs).split('id="words"')[1].split("</section>")[0]
    assert "<th>test accuracy/8</th>" in section
    assert "<th>perplexity</th>" in section  # the headline stays in the table
    assert "test accuracy/8, every seed" in section
    assert "Judged by accuracy/8, the accuracy where the distance in words is 8" in section
    other = page(outputs).split('id="tags"')[1].split("</section>")[0]
    assert "Judged by" not in other


def test_runs_that_declare_unlike_figures_are_not_compared(outputs: Path) -> None:
    path = outputs / "metrics" / "words.json"
    runs = json.loads(path.read_text(encoding="utf-8"))
    runs["gru-3"]["judged_by"] = "accuracy/8"
    path.write_text(json.dumps(runs), encoding="utf-8")
    with pytest.raises(BadInput, match="their metric is perplexity and accuracy/8"):
        comparison.compare("words", comparison.load_results(path))


def test_means_over_groups_are_drawn_on_log_odds(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from unroll.analysis import plots

    judged_by_probe(outputs)
    drawn = []
    monkeypatch.setattr(plots, "as_svg", drawn.append)
    results = comparison.load_results(outputs / "metrics" / "words.json")
    groups = measured_groups(next(iter(results.values())))
    plots.by_group(results, assign_styles([["lstm", "gru"]]), groups, "distance")
    (axes,) = drawn[0].axes
    assert axes.get_yscale() == "logit"
    lines = [line.get_ydata()[0] for line in axes.lines if len(line.get_xdata()) == 2]
    counts = [400 * (0.5 + 0.05 * seed) for seed in range(5)]
    mean = sum(math.log((count + 0.5) / (400 - count + 0.5)) for count in counts) / 5
    expected = (401 / (1 + math.exp(-mean)) - 0.5) / 400
    assert any(value == pytest.approx(expected, abs=1e-9) for value in lines)
    assert len(axes.containers) == 4  # an interval of each architecture and group


def test_groups_of_records_are_drawn_in_their_order_and_only_numbers_are_joined(
    outputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As evaluate writes them for a table of pairs: no test item has 2 words."""
    from unroll.analysis import plots

    path = outputs / "metrics" / "words.json"
    runs = json.loads(path.read_text(encoding="utf-8"))
    counts = {"2": 0, "4-6": 40, "10-12": 40, "first": 80, "last": 0}
    for run in runs.values():
        kept = {name: value for name, value in run["test"].items() if not name.startswith("accuracy/")}
        run["test"] = kept | {f"accuracy/{name}": 0.5 if count else None for name, count in counts.items()}
        run |= {"judged_by": "accuracy/10-12", "items": {f"accuracy/{name}": count for name, count in counts.items()}}
    path.write_text(json.dumps(runs), encoding="utf-8")
    files = [outputs / "metrics" / f"{name}.json" for name in ABOUT]
    comparison.compare_all(files, outputs / "costs", outputs / "comparison", None)
    about = ABOUT | {"words": ABOUT["words"] | {"grouped_by": ["length in words", "place of the date"]}}
    html = write_report(COURSE, about, outputs, outputs / "report.html").read_text(encoding="utf-8")
    assert "accuracy by length in words and place of the date" in html  # the name of the figure
    assert ">accuracy by length in words and place of<" in html  # a line of its title
    assert ("Judged by accuracy/10-12, the accuracy where the length in words or the place of the date is 10-12, as "
            "declared") in html  # fmt: skip
    drawn = []
    monkeypatch.setattr(plots, "as_svg", drawn.append)
    results = comparison.load_results(path)
    plots.by_group(results, assign_styles([ARCHS]), measured_groups(next(iter(results.values()))), "length")
    (axes,) = drawn[0].axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["4-6", "10-12", "first"]
    joined = [line for line in axes.lines if line.get_linestyle() not in ("None", "") and len(line.get_xdata()) == 2]
    assert len(joined) == len(ARCHS)
    assert all(0.5 < line.get_xdata()[1] < 1.5 for line in joined)  # from the first group to the second


@pytest.mark.parametrize(
    ("value", "scale", "text"),
    [(0.00147, "log-odds", "odds 680 times smaller"), (0.25, "ratio", "4.00 times smaller"),
     (4.486, "ratio", "4.49 times larger"), (1.0, "log-odds", "same odds"), (1.001, "ratio", "same"),
     (4683.2, "ratio", "4,683 times larger"), (1e-14, "log-odds", "odds 1e+14 times smaller"),
     (0.0, "ratio", "–"), (math.inf, "ratio", "–"), (-0.5, "difference", "-0.5000"), (None, "ratio", "")],
)  # fmt: skip
def test_a_factor_is_written_in_words_and_never_as_a_small_number(value: float, scale: str, text: str) -> None:
    assert gap(value, scale, 0.5) == text


@pytest.mark.parametrize("name", ["comparison/comparison.json", "metrics/tags.json"])
def test_half_a_character_in_a_file_that_was_sent_is_refused(
    name: str, outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    course_file = outputs / "course.yaml"
    course_file.write_text("tagging: {experiments: [tagging], archs: [lstm, gru], seeds: [0]}\n", encoding="utf-8")
    for file in outputs.rglob("*.json"):
        file.write_text(file.read_text(encoding="utf-8").replace('"tags', '"tagging'), encoding="utf-8")
    (outputs / "metrics" / "tags.json").rename(outputs / "metrics" / "tagging.json")
    path = outputs / name.replace("tags", "tagging")
    path.write_text(path.read_text(encoding="utf-8").replace('"test"', '"te\\ud800st"', 1), encoding="utf-8")
    command = ["report", "--course", str(course_file), "--outputs", str(outputs), "--out", str(outputs / "page.html")]
    assert main(command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(path) in line
    assert not (outputs / "page.html").exists()
