"""Figures of texts: those of sacrebleu, jiwer and rouge-score, whatever the batches and processes were."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable, Sequence
from itertools import zip_longest

import jiwer
import pytest
import torch
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF
from torchmetrics import Metric

from unroll.tasks.texts import ROUGE, Bleu, Chrf, ErrorRate, ExactMatch, Rouge, distance, matches

METRICS: dict[str, Callable[[], Metric]] = {
    "bleu": Bleu, "bleu-lc": lambda: Bleu(lowercase=True), "chrf": Chrf, "chrf-lc": lambda: Chrf(lowercase=True),
    "exact": ExactMatch, "words": ErrorRate, "characters": lambda: ErrorRate("characters"), "rouge": Rouge,
}  # fmt: skip
WORDS = 'the A cat "sat" on , Mat. Über 3.5 well-known don\'t « Zürich in 2009 !'.split()  # noqa: SIM905  # as a text


def corpus(several: bool, texts: int = 60) -> tuple[list[str], list[list[str]]]:
    """Texts that are like their right answers, one or up to three each."""
    draw = random.Random(7)
    hypotheses, references = [], []
    for _ in range(texts):
        answers = [[draw.choice(WORDS) for _ in range(draw.randint(1, 14))] for _ in range(draw.randint(1, 3))]
        hypothesis = [word if draw.random() < 0.85 else draw.choice(WORDS) for word in draw.choice(answers)]
        hypotheses.append(" ".join(hypothesis[: draw.randint(0, 14) or None]))
        references.append([" ".join(answer) for answer in (answers if several else answers[:1])])
    return hypotheses, references


def streams(references: list[list[str]]) -> list[list[str | None]]:
    """Right answers as sacrebleu takes them: the first ones, the second ones, and so on."""
    return [list(stream) for stream in zip_longest(*references)]


def scored(metric: Metric, texts: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    metric.update(texts, references)
    found: torch.Tensor = metric.compute()
    return found.flatten().tolist()


several = pytest.mark.parametrize("several", [False, True], ids=["one answer", "several"])


@several
@pytest.mark.parametrize("lowercase", [False, True])
def test_bleu_is_that_of_sacrebleu(lowercase: bool, several: bool) -> None:
    texts, references = corpus(several)
    judge = BLEU(tokenize="13a", lowercase=lowercase, smooth_method="none")
    expected = judge.corpus_score(texts, streams(references)).score
    assert scored(Bleu(lowercase), texts, references) == [pytest.approx(expected, rel=1e-12)]
    assert 5 < expected < 95


def test_of_two_equally_close_answers_bleu_takes_the_shorter() -> None:
    texts, references = ["a b c d"], [["a b c d e", "a b c"]]
    expected = BLEU(smooth_method="none").corpus_score(texts, streams(references)).score
    assert scored(Bleu(), texts, references) == [pytest.approx(expected, rel=1e-12)]
    assert expected == pytest.approx(100)  # not exp(-1/4)


@several
@pytest.mark.parametrize("lowercase", [False, True])
def test_chrf_is_that_of_sacrebleu(lowercase: bool, several: bool) -> None:
    texts, references = corpus(several)
    expected = CHRF(lowercase=lowercase).corpus_score(texts, streams(references)).score
    assert scored(Chrf(lowercase), texts, references) == [pytest.approx(expected, rel=1e-12)]
    assert scored(Chrf(), ["abc", ""], [[""], ["x"]]) == [CHRF().corpus_score(["abc", ""], [["", "x"]]).score] == [0]


def test_a_signature_has_what_that_of_sacrebleu_has() -> None:
    for ours, judge in ((Bleu(), BLEU(smooth_method="none")), (Chrf(True), CHRF(lowercase=True))):
        judge.corpus_score(["a"], [["a"]])
        theirs = str(judge.get_signature()).split("|")
        assert ours.signature.split("|version")[0].split("|") == theirs[1:-1]  # without number of answers and version
    assert "|version:torchmetrics-1." in Bleu().signature


@pytest.mark.parametrize(("unit", "judge"), [("words", jiwer.wer), ("characters", jiwer.cer)])
def test_error_rates_are_those_of_jiwer(unit: str, judge: Callable[[list[str], list[str]], float]) -> None:
    texts, references = corpus(several=False)
    expected = judge([answer for (answer,) in references], texts)
    assert scored(ErrorRate(unit), texts, references) == [pytest.approx(expected, rel=1e-12)]


def test_of_several_answers_an_error_rate_takes_the_closest_and_then_the_longest() -> None:
    # one edit from "a b" and from "a b c d", two from the others
    assert scored(ErrorRate(), ["a b c"], [["x b", "a b", "a b c d", "a"]]) == [1 / 4]
    assert scored(ErrorRate(), ["AH B", "K"], [["AH B", "B"], ["K AE T", "K AE"]]) == [1 / 4]


@pytest.mark.parametrize(("first", "second", "edits"), [
    ("", "", 0), ("", "abc", 3), ("abc", "", 3), ("kitten", "sitting", 3), ("ab", "ba", 2), ("abc", "abc", 0),
])  # fmt: skip
def test_the_distance_is_the_fewest_edits(first: str, second: str, edits: int) -> None:
    assert distance(first, second) == edits


@several
def test_rouge_is_that_of_the_scorer_of_google_research(several: bool) -> None:
    texts, references = corpus(several)
    scorer = RougeScorer(list(ROUGE))
    each = [scorer.score_multi(answers, text) for text, answers in zip(texts, references, strict=True)]
    expected = [sum(found[key].fmeasure for found in each) / len(each) for key in ROUGE]
    assert scored(Rouge(), texts, references) == pytest.approx(expected, rel=1e-6)


def test_a_text_that_equals_one_of_its_answers_is_right() -> None:
    texts, references = ["a b", "c", "D", ""], [["x", "a b"], ["c"], ["d"], ["e"]]
    assert matches(texts, references).tolist() == [True, True, False, False]
    metric = ExactMatch()
    assert scored(metric, texts, references) == [0.5]
    assert metric.items == 4


@pytest.mark.parametrize("name", METRICS)
def test_two_shards_and_any_batches_give_the_figure_of_one(name: str) -> None:
    texts, references = corpus(several=True)
    expected = scored(METRICS[name](), texts, references)
    first, second = METRICS[name](), METRICS[name]()
    for begin in range(0, len(texts), 7):
        shard = first if begin % 2 else second
        shard.update(texts[begin : begin + 7], references[begin : begin + 7])
    first.merge_state(second)
    assert first.compute().flatten().tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", METRICS)
def test_a_figure_goes_on_from_a_checkpoint(name: str) -> None:
    texts, references = corpus(several=True)
    expected = scored(METRICS[name](), texts, references)
    before = METRICS[name]()
    before.persistent(True)
    before.update(texts[:25], references[:25])
    after = METRICS[name]()
    after.persistent(True)
    after.load_state_dict(copy.deepcopy(before.state_dict()))
    after.update(texts[25:], references[25:])
    assert after.compute().flatten().tolist() == expected


@pytest.mark.parametrize("name", ["exact", "words", "rouge"])
@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric")
def test_a_figure_of_nothing_is_not_a_number(name: str) -> None:
    assert all(math.isnan(value) for value in METRICS[name]().compute().flatten().tolist())
