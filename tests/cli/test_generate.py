"""``unroll generate``: continuations, and the numbers that are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from unroll.cli import main

Refused = Callable[..., str]
TypeIn = Callable[[bytes], None]


def test_generate_continues_a_text_and_repeats_itself_by_seed(
    language_model: Path, capsys: pytest.CaptureFixture[str], type_in: TypeIn
) -> None:
    texts = []
    for seed in ("1", "1", "2"):
        assert main(["generate", str(language_model), "--prompt", "the dog", "--seed", seed, "--length", "30"]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0].startswith("the dog ")
    assert texts[0] == texts[1] != texts[2]
    type_in(b"the cat\nthe old\n")
    assert main(["generate", str(language_model), "--temperature", "0", "--length", "3", "--json"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["prompt"] for answer in answers] == ["the cat", "the old"]
    assert all(answer["mean_log_probability"] < 0 for answer in answers)


def test_each_verb_refuses_the_other_kind_of_model(tagger: Path, refused: Refused) -> None:
    assert "use unroll predict" in refused("generate", str(tagger), "--prompt", "the")
