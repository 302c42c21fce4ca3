"""Words that occur once are read as unknown in training: drawn from seed, epoch and position, and from nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from unroll.data.batch import FieldSpec
from unroll.data.buckets import Buckets
from unroll.data.loader import ALL, Share
from unroll.data.prepared import Column, SpellingColumn, Split
from unroll.data.rare import draws

ONCE, TWICE, UNKNOWN, PADDING = 600, 200, 1, 0
SPEC = {"inputs": FieldSpec(3 + TWICE + ONCE + 50, unit="words"), "labels": FieldSpec(2000, padding_index=-1),
        "spelling": FieldSpec(2000)}  # fmt: skip


def corpus() -> Split:
    """200 words that occur twice, 600 that occur once, and 50 of a file of vectors; a label numbers each place."""
    draw = np.random.default_rng(0)
    words = np.concatenate([np.repeat(np.arange(TWICE), 2), np.arange(TWICE, TWICE + ONCE)]) + 3
    words = draw.permutation(words).astype(np.int32)
    cuts = np.sort(draw.choice(np.arange(1, len(words)), 120, replace=False))
    offsets = np.concatenate([[0], cuts, [len(words)]])
    places = np.arange(len(words), dtype=np.int32)
    spelling = SpellingColumn(places, offsets, np.arange(len(words) + 1), words)  # each form is one character
    return Split("train", {"inputs": Column(words, offsets), "labels": Column(places, offsets), "spelling": spelling})


CORPUS = corpus()
WORDS = CORPUS["inputs"].values


def loader(
    batch_size: int = 8, seed: int | None = 3, rate: float = 0.5, window: int | None = None, stride: int | None = None,
    share: Share = ALL, batch_tokens: int | None = None, split: Split = CORPUS,
) -> Buckets:  # fmt: skip
    return Buckets(split, SPEC, ["inputs"], batch_size, seed, window, stride, share, batch_tokens, {"inputs": rate})


def read(buckets: Buckets, epochs: int = 1) -> list[dict[int, int]]:
    """Word at each place of the split as it is read, epoch by epoch."""
    found = []
    for _ in range(epochs):
        words: dict[int, int] = {}
        for batch in buckets:
            inputs, places = batch.sequence("inputs").values, batch.sequence("labels").values
            real = places >= 0
            assert (inputs[~real] == PADDING).all()
            for place, word in zip(places[real].tolist(), inputs[real].tolist(), strict=True):
                assert words.setdefault(place, word) == word  # in overlapping windows, too
        found.append(words)
    return found


def replaced(words: dict[int, int]) -> set[int]:
    return {place for place, word in words.items() if word != WORDS[place]}


def test_only_words_that_occur_once_are_replaced_and_at_the_rate() -> None:
    for rate in (0.25, 0.5):
        (words,) = read(loader(rate=rate))
        assert len(words) == len(WORDS)
        lost = replaced(words)
        assert {words[place] for place in lost} == {UNKNOWN}
        assert all(WORDS[place] >= 3 + TWICE for place in lost)
        assert abs(len(lost) / ONCE - rate) < 4 * (rate * (1 - rate) / ONCE) ** 0.5


def test_neither_a_rate_of_zero_nor_an_evaluation_replaces() -> None:
    assert not replaced(read(loader(rate=0.0))[0])
    assert not replaced(read(loader(seed=None))[0])


def test_labels_and_spelling_are_those_of_the_word() -> None:
    lost = 0
    for batch in loader():
        inputs, places, spelling = batch.sequence("inputs").values, batch.sequence("labels").values, batch.spelling
        assert spelling is not None
        for row, step in (places >= 0).nonzero().tolist():
            form = int(spelling.forms[row, step])
            assert spelling.characters[form, 0] == WORDS[places[row, step]]
            lost += int(inputs[row, step]) == UNKNOWN
    assert lost > ONCE / 4


@pytest.mark.parametrize("how", [
    {"batch_size": 1}, {"batch_size": 31}, {"batch_tokens": 20}, {"window": 3}, {"window": 4, "stride": 2},
    {"split": CORPUS.without("spelling")},
])  # fmt: skip
def test_batches_and_windows_of_any_size_draw_the_same(how: dict[str, int]) -> None:
    expected = read(loader(), epochs=2)
    assert read(loader(**how), epochs=2) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("world", [2, 3])
def test_processes_draw_what_one_draws(world: int) -> None:
    (expected,) = read(loader(batch_size=7))
    parts = [read(loader(batch_size=7, share=Share(rank, world)))[0] for rank in range(world)]
    assert {place: word for part in parts for place, word in part.items()} == expected


def test_the_epoch_and_the_seed_change_the_draw_and_resuming_does_not() -> None:
    whole = loader()
    first, second = read(whole, epochs=2)
    assert len(replaced(first) ^ replaced(second)) > ONCE / 4
    assert len(replaced(first) ^ replaced(read(loader(seed=4))[0])) > ONCE / 4
    resumed = loader()
    resumed.load_state_dict({"epoch": 1, "position": 0})
    assert read(resumed) == [second]
    resumed.load_state_dict({"epoch": 0, "position": 5})
    left = [batch.sequence("inputs").values for batch in loader()][5:]
    again = [batch.sequence("inputs").values for batch in resumed]
    assert len(left) == len(again) > 5
    assert all(map(torch.equal, left, again))


def test_a_word_that_occurs_once_is_rare_wherever_it_is_in_the_vocabulary() -> None:
    """Other tools may number words in another order."""
    order = np.random.default_rng(1).permutation(TWICE + ONCE)
    words = Column(order[WORDS - 3].astype(np.int32) + 3, CORPUS["inputs"].offsets)
    (found,) = read(loader(split=replace(CORPUS, fields={**CORPUS.fields, "inputs": words})))
    lost = {place for place, word in found.items() if word == UNKNOWN}
    assert lost == replaced(read(loader())[0])


def test_draws_are_uniform_and_independent_of_each_other() -> None:
    places = np.arange(100_000)
    found = draws(0, 0, places)
    assert ((found >= 0) & (found < 1)).all()
    assert np.abs(np.histogram(found, 10)[0] - 10_000).max() < 400  # 4 standard deviations
    for other in (draws(0, 1, places), draws(1, 0, places), draws(0, 0, places + 1)):
        assert abs(np.corrcoef(found, other)[0, 1]) < 0.0127  # 4 standard deviations
    assert draws(0, 0, places[500:510]).tolist() == found[500:510].tolist()
