"""``unroll generate``: continuations, and the numbers that are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from unroll.cli import main
from unroll.serving.model import RunModel

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


def test_prompts_together_are_continued_as_one_by_one(
    language_model: Path, capsys: pytest.CaptureFixture[str], type_in: TypeIn
) -> None:
    def printed(*words: str) -> list[str]:
        assert main(["generate", str(language_model), *words, "--length", "12", "--json"]) == 0
        return capsys.readouterr().out.splitlines()

    prompts = ["the cat", "", "the old dog sees", "it"]
    for options in ([], ["--temperature", "0.5", "--top-k", "3"], ["--top-p", "0.6"]):
        type_in("".join(f"{prompt}\n" for prompt in prompts).encode())
        together = printed("--seed", "4", *options)
        alone = [printed("--seed", str(4 + n), "--prompt", text, *options)[0] for n, text in enumerate(prompts)]
        for line, other in zip(together, alone, strict=True):
            one, two = json.loads(line), json.loads(other)
            assert one["mean_log_probability"] == pytest.approx(two.pop("mean_log_probability"), abs=1e-5)
            assert {key: one[key] for key in two} == two


def test_the_likeliest_token_alone_is_drawn_if_no_other_is_left(
    language_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = set()
    for option in (["--temperature", "0"], ["--top-k", "1"], ["--top-p", "0.001"]):
        assert main(["generate", str(language_model), "--prompt", "the", "--length", "20", *option]) == 0
        texts.add(capsys.readouterr().out)
    assert len(texts) == 1


def test_a_served_model_takes_the_same_settings(language_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = RunModel(language_model)
    for settings in ({"top_k": 2}, {"top_p": 0.4, "seed": 3}, {"temperature": 0.5, "top_k": 4}):
        words = [word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", str(value))]
        assert main(["generate", str(language_model), "--prompt", "the", "--length", "9", "--json", *words]) == 0
        assert model.predict(["the"], {"length": 9, **settings}) == [capsys.readouterr().out.removesuffix("\n")]
