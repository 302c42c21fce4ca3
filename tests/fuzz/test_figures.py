"""Figures and their declarations are compared, or refused in one sentence, and no output is half-written."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from fuzzing import FIGURES, SLOW, altered, command_ends_well, damaged, fuzz
from hypothesis import strategies as st

VERDICT = ["verdict", "metrics/tiny.json:bilstm", "metrics/tiny.json:lstm"]
COMPARE = ["compare", "metrics/tiny.json", "--out", "comparison", "--summary", "summary"]


def _several(content: dict[str, Any]) -> dict[str, Any]:
    """Figures of three seeds of two architectures, made from those of one run."""
    (one,) = content.values()
    made = {}
    for arch in ("bilstm", "lstm"):
        for seed in range(3):
            run = copy.deepcopy(one) | {"arch": arch, "seed": seed}
            run["test"] = {name: value + seed / 100 for name, value in run["test"].items()}
            made[f"{arch}-{seed}"] = run
    return made


@pytest.mark.parametrize(("command", "part"), [(VERDICT, 5), (COMPARE, 10)], ids=["verdict", "compare"])
@pytest.mark.parametrize("tier", SLOW)
def test_figures_are_compared_or_refused(tier: str, command: list[str], part: int, home: Path) -> None:
    path = Path("metrics/tiny.json")
    content = _several(json.loads(path.read_bytes()))
    path.write_text(json.dumps(content), encoding="utf-8")
    assert command_ends_well(command) == 0

    def check(drawn: bytes) -> None:
        path.write_bytes(drawn)
        command_ends_well(command)

    values = altered(content).map(lambda made: json.dumps(made).encode())
    fuzz(tier, FIGURES * 4 // part, st.one_of(damaged(path.read_bytes()), values), check)


@pytest.mark.parametrize("name", ["costs/tiny.json", "targets.yaml"])
@pytest.mark.parametrize("tier", SLOW)
def test_speeds_and_targets_are_read_or_refused(tier: str, name: str, home: Path) -> None:
    Path("targets.yaml").write_text(yaml.safe_dump(TARGETS), encoding="utf-8")
    path, command = Path(name), ["compare", "metrics/tiny.json", "--out", "comparison", "--costs", "costs",
                                 "--targets", "targets.yaml"]  # fmt: skip
    content = yaml.safe_load(path.read_bytes())
    assert command_ends_well(command) == 0

    def check(drawn: bytes) -> None:
        path.write_bytes(drawn)
        command_ends_well(command)

    values = altered(content).map(lambda made: json.dumps(made).encode())
    fuzz(tier, FIGURES // 10, st.one_of(damaged(path.read_bytes()), values), check)


TARGETS = [{"experiment": "tiny", "metric": "accuracy", "at_least": 0.5, "source": "x"}]
