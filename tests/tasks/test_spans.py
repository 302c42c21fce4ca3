"""Precision, recall and F1 of spans against the package that the literature counts with."""

from __future__ import annotations

import random
import time
from itertools import product
from typing import Any

import pytest
import torch
from seqeval.metrics import f1_score, precision_score, recall_score
from torch import Tensor

from unroll.errors import BadInput
from unroll.tasks.tagger.spans import SpanF1

LABELS = ["B-LOC", "I-PER", "O", "B-creative-work", "B-PER", "I-LOC", "I-creative-work"]
OUTSIDE = LABELS.index("O")
GARBAGE = LABELS.index("B-PER")


def padded(sequences: list[list[int]], filler: int) -> Tensor:
    width = max(map(len, sequences)) + 2
    return torch.tensor([sequence + [filler] * (width - len(sequence)) for sequence in sequences])


def counted(
    metric: SpanF1, predicted: list[list[int]], targets: list[list[int]], batch_size: int = 1000
) -> dict[str, float]:
    """Figures of sequences read in batches, with a span in the padding of what is predicted."""
    metric.reset()
    for start in range(0, len(targets), batch_size):
        told, true = predicted[start : start + batch_size], targets[start : start + batch_size]
        metric.update(padded(told, GARBAGE), padded(true, -1), torch.tensor([len(row) for row in true]))
    return {name: float(value) for name, value in metric.compute().items()}


def counts_of(metric: SpanF1) -> tuple[int, int, int]:
    return int(metric.found), int(metric.predicted), int(metric.gold)


def by_seqeval(predicted: list[list[int]], targets: list[list[int]]) -> dict[str, float]:
    told, true = ([[LABELS[n] for n in row] for row in rows] for rows in (predicted, targets))
    options: dict[str, Any] = {"average": "micro", "zero_division": 0}
    figures = {"precision": precision_score, "recall": recall_score, "f1": f1_score}
    return {name: float(score(true, told, **options)) for name, score in figures.items()}


def drawn(count: int, seed: int) -> tuple[list[list[int]], list[list[int]]]:
    """Random labels, as often invalid as not, and predictions that are mostly right."""
    draw = random.Random(seed)
    targets = [[draw.randrange(len(LABELS)) for _ in range(draw.randint(1, 12))] for _ in range(count)]
    share = draw.choice([0.0, 0.1, 0.5, 1.0])
    wrong = [[draw.randrange(len(LABELS)) if draw.random() < share else label for label in row] for row in targets]
    return wrong, targets


def test_thousands_of_random_sequences_give_the_figures_of_seqeval() -> None:
    metric, different = SpanF1(LABELS), set()
    for seed in range(300):
        predicted, targets = drawn(20, seed)
        figures = counted(metric, predicted, targets)
        assert figures == pytest.approx(by_seqeval(predicted, targets), abs=1e-12)
        different.add(round(figures["f1"], 3))
    assert len(different) > 50  # the comparison is not one of zeros and ones


def test_every_sequence_of_three_labels_gives_the_spans_of_seqeval() -> None:
    metric, everything = SpanF1(LABELS), [list(row) for row in product(range(len(LABELS)), repeat=3)]
    turned = everything[1:] + everything[:1]
    for predicted, targets in zip(everything, turned, strict=True):
        metric.reset()
        metric.update(torch.tensor([predicted]), torch.tensor([targets]), torch.tensor([3]))
        figures = {name: float(value) for name, value in metric.compute().items()}
        assert figures == pytest.approx(by_seqeval([predicted], [targets]), abs=1e-12)


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_batches_of_any_size_give_the_same_counts(batch_size: int) -> None:
    predicted, targets = drawn(200, 3)
    metric = SpanF1(LABELS)
    whole = counted(metric, predicted, targets)
    counts = counts_of(metric)
    assert counted(metric, predicted, targets, batch_size) == whole
    assert counts_of(metric) == counts
    assert all(count > 0 for count in counts)


def test_ranks_add_up_to_one_process() -> None:
    predicted, targets = drawn(100, 4)
    ranks, alone = [SpanF1(LABELS), SpanF1(LABELS)], SpanF1(LABELS)
    counted(ranks[0], predicted[:30], targets[:30])
    counted(ranks[1], predicted[30:], targets[30:])
    counted(alone, predicted, targets)
    ranks[0].merge_state(ranks[1])  # by the reduction that each state has for ranks
    assert counts_of(ranks[0]) == counts_of(alone)


@pytest.mark.parametrize(("told", "true"), [("O O", "O O"), ("B-PER O", "O O"), ("O O", "B-PER O"), ("B-PER", "B-LOC")])
def test_what_divides_by_nothing_is_zero(told: str, true: str) -> None:
    assert figures_of(LABELS, told, true)[0] == {"precision": 0.0, "recall": 0.0, "f1": 0.0}


def test_the_figures_are_those_of_the_formula() -> None:
    # two of three predicted are right, two of four are found
    told = "B-PER I-PER O B-LOC O B-PER O O"
    true = "B-PER I-PER O B-LOC O B-LOC O B-PER"
    figures, counts = figures_of(LABELS, told, true)
    assert counts == (2, 3, 4)
    assert figures == pytest.approx({"precision": 2 / 3, "recall": 2 / 4, "f1": 4 / 7})


def figures_of(labels: list[str], told: str, true: str) -> tuple[dict[str, float], tuple[int, int, int]]:
    """Figures, and (found, predicted, gold), of one sequence; ``?`` is a label that training never had."""
    metric = SpanF1(labels)
    rows = [[labels.index(name) if name != "?" else -1 for name in text.split()] for text in (told, true)]
    metric.update(torch.tensor([rows[0]]), torch.tensor([rows[1]]), torch.tensor([len(rows[1])]))
    return {name: float(value) for name, value in metric.compute().items()}, counts_of(metric)


FULL = ["O", "B-PER", "I-PER"]
NO_INSIDE = ["O", "B-PER"]  # training had persons of one word only
NO_BEGIN = ["O", "I-PER"]  # training was labelled in another scheme


@pytest.mark.parametrize(
    ("labels", "told", "true", "counts"),
    [
        (FULL, "O O", "? O", (0, 0, 1)),  # a span of a type that nobody can tell
        (FULL, "O O", "O ?", (0, 0, 1)),
        (FULL, "B-PER O", "? O", (0, 1, 1)),  # and no known one is right in its place
        (FULL, "O O", "? ?", (0, 0, 1)),  # side by side they are one
        (FULL, "O O O", "? O ?", (0, 0, 2)),
        (FULL, "B-PER O", "B-PER ?", (1, 1, 2)),  # I-PER is known, so it hides another type
        (FULL, "O B-PER", "? B-PER", (1, 1, 2)),
        (FULL, "O I-PER", "? I-PER", (1, 1, 2)),  # B-PER is known, so it hides another type
        (NO_INSIDE, "B-PER O", "B-PER ?", (0, 1, 1)),  # it may well be I-PER: half of a span is not found
        (NO_INSIDE, "B-PER B-PER", "B-PER ?", (0, 2, 1)),
        (NO_INSIDE, "O B-PER", "? B-PER", (1, 1, 2)),
        (NO_BEGIN, "O I-PER", "? I-PER", (0, 1, 1)),
        (NO_BEGIN, "I-PER I-PER", "? I-PER", (0, 1, 1)),
    ],
)
def test_a_label_that_training_never_had_is_a_span_that_is_never_found(
    labels: list[str], told: str, true: str, counts: tuple[int, int, int]
) -> None:
    assert figures_of(labels, told, true)[1] == counts


def test_a_hundred_thousand_tokens_are_counted_within_a_second() -> None:
    draw = torch.Generator().manual_seed(0)
    labels = torch.randint(0, len(LABELS), (2, 4000, 25), generator=draw)
    metric, lengths = SpanF1(LABELS), torch.full((32,), 25)
    start = time.process_time()
    for told, true in zip(labels[0].split(32), labels[1].split(32), strict=True):
        metric.update(told, true, lengths)
    assert time.process_time() - start < 1.0
    assert int(metric.gold) > 10_000


@pytest.mark.parametrize("label", ["PER", "S-PER", "B-", "S", "o", ""])
def test_a_label_of_another_scheme_is_an_error_that_names_it(label: str) -> None:
    with pytest.raises(BadInput, match=f"'{label}' is not a BIO label"):
        SpanF1([*LABELS, label])


@pytest.mark.parametrize(
    ("labels", "told", "true", "counts"),
    [
        (["B", "I"], "B I B B", "B I B I", (1, 3, 2)),  # word segmentation, where nothing is outside
        (["B"], "B B B", "B ? B", (1, 3, 2)),
        (["B-X", "I-X"], "B-X I-X", "B-X I-X", (1, 1, 1)),
        (["B", "I", "O"], "O B I O B", "B I I O B", (1, 2, 2)),
    ],
)
def test_spans_may_have_no_type_and_no_outside(
    labels: list[str], told: str, true: str, counts: tuple[int, int, int]
) -> None:
    assert figures_of(labels, told, true)[1] == counts
