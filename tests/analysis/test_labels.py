"""Any name, and any figure that is not a number, stands on the page as it is: through the commands."""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from processes import crossed

from unroll import config
from unroll.cli import main

NAMES = ["a$x$b", "_hidden", "x^2", "back\\slash", "R&D", "<b>", "$\\frac{", "50 %", '"quoted"', "é語"]
Page = Callable[..., str]


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Page:
    """``compare`` and ``report`` on figures of some architectures: the page as text."""
    monkeypatch.chdir(tmp_path)

    def write(
        archs: list[str], values: dict[str, list[float | None]], curve: list[str] | None = None, **run: Any
    ) -> str:
        about = {"question": "Which?", "data": f"corpus {NAMES[0]}", "grouped_by": [NAMES[0]]}
        monkeypatch.setattr(config, "course", lambda _: {"own": {"experiments": ["words"], "archs": archs}})
        monkeypatch.setattr(config, "about", lambda _: {"words": about})
        runs = {}
        for number, arch in enumerate(archs):
            for seed, value in enumerate(values["perplexity"]):
                test = {name: None if figures[seed] is None else figures[seed] + number / 100
                        for name, figures in values.items()}  # fmt: skip
                runs[f"{number}-{seed}"] = {
                    "arch": arch, "seed": seed, "split": "test", "parameters": 9, "tokens": 9, "order": {},
                    "test": test, "validation": {"perplexity": value}, "headline": "perplexity", "mode": "min",
                    "task": "language_model", "deterministic": False, "solved": None,
                } | run  # fmt: skip
                folder = Path(f"outputs/runs/words/{arch}/{seed}")
                folder.mkdir(parents=True, exist_ok=True)
                rows = "".join(
                    f"{9 * step},val/perplexity,{text}\n" for step, text in enumerate(curve or ["3", "2"], 1)
                )
                (folder / "history.csv").write_text("tokens,metric,value\n" + rows, encoding="utf-8")
        Path("outputs/metrics").mkdir(parents=True, exist_ok=True)
        Path("outputs/metrics/words.json").write_text(json.dumps(runs), encoding="utf-8")
        assert main(["compare", "outputs/metrics/words.json", "--out", "outputs/comparison"]) == 0
        assert main(["report"]) == 0
        assert capsys.readouterr().err == ""
        return Path("outputs/report/index.html").read_text(encoding="utf-8")

    return write


def texts(written: str) -> list[list[str]]:
    """What stands in each figure of a page."""
    figures = [part.split("</svg>")[0] for part in written.split("<svg")[1:]]
    return [[html.unescape(text) for text in re.findall(r"<text[^>]*>([^<]*)</text>", figure)] for figure in figures]


def test_a_label_is_drawn_as_it_is_written(page: Page) -> None:
    archs, groups = NAMES, {f"accuracy/{name}": [0.5, 0.6, 0.7] for name in NAMES}
    written = page(archs, {"perplexity": [2.0, 2.1, 2.2], **groups})
    curves, seeds, by_group = texts(written)
    for name in NAMES:
        assert name in curves  # its legend
        assert name in seeds  # its tick
        assert by_group.count(name) >= 2  # a group and an architecture
        assert html.escape(name, quote=False) in written.replace("&#34;", '"')
    assert "accuracy by a$x$b" in by_group
    assert "<b>" not in written.split("</style>", 1)[1]


LOST = [math.nan, None, math.inf]


@pytest.mark.parametrize(("curve", "value"), crossed([["nan", "nan"], ["3", "inf"], ["nan"], ["3", "2"]], LOST))
def test_a_seed_without_a_figure_is_named_and_the_others_are_drawn(
    value: float | None, curve: list[str], page: Page
) -> None:
    written = page(["lstm", "gru"], {"perplexity": [2.0, value, 2.2], "accuracy/8": [0.5, value, 0.5],
                                     "accuracy/9": [value, value, value]}, curve)  # fmt: skip
    assert "(1 of 3 not a number)" in texts(written)[1]
    body = re.sub(r"<svg.*?</svg>", "", written.split("</style>", 1)[1], flags=re.DOTALL)
    assert not re.search(r">[^<]*\b(nan|inf)\b", body)
    assert re.search(r"A run of (lstm|gru) (or \w+ )?diverged", body)


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_a_figure_that_has_no_place_on_its_scale_is_drawn_on_a_linear_axis_which_is_said(
    value: float, page: Page
) -> None:
    curves, seeds = texts(page(["lstm", "gru"], {"perplexity": [2.0, value, 2.2]}, ["3", str(value)]))
    for figure in (curves, seeds):
        assert any(text.startswith("linear axis:") for text in figure)
    curves, seeds = texts(page(["lstm", "gru"], {"perplexity": [2.0, 1.5, 2.2]}))
    assert not any("linear axis" in text for text in curves + seeds)


def test_three_seeds_set_no_architecture_off(page: Page) -> None:
    few = page(["b", "a"], {"perplexity": [2.0, 2.0001, 2.0002]})
    main_part = few.split("<main>")[1]
    assert 'class="best"' not in main_part
    # twice that no architecture is, and what P is
    assert {*re.findall(r"\w+ \w+ better", main_part)} == {"is called better", "row is better"}
    assert "best" not in main_part
    enough = page(["b", "a"], {"perplexity": [2.0, 2.0001, 2.0002, 2.0001, 2.0003]}).split("<main>")[1]
    assert enough.count('class="best"') == 1
    assert "b is better than a" in enough
