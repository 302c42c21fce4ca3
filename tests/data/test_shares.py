"""Processes that train together read the same batches, each its rows: none dropped, none doubled."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unroll.data.batch import Batch, FieldSpec
from unroll.data.buckets import Buckets
from unroll.data.loader import Loader, Share
from unroll.data.prepared import Column, Split
from unroll.data.streams import Streams

LENGTHS = [3, 9, 1, 6, 2, 7, 5, 4, 8, 1, 12]


SPEC = {"inputs": FieldSpec(99, unit="words", padding_index=99), "labels": FieldSpec(70, padding_index=-1),
        "target": FieldSpec(1)}  # fmt: skip


def text(length: int) -> Split:
    opens = np.isin(np.arange(length), [0, 5, 20])
    inputs = Column(np.arange(length), np.arange(length + 1))  # each record is one token
    return Split("train", {"inputs": inputs, "document": Column(opens, None)})


def tagged() -> Split:
    values, offsets = np.arange(sum(LENGTHS)), np.cumsum([0, *LENGTHS])
    return Split("train", {"inputs": Column(values, offsets), "labels": Column(values, offsets)})


def numbers() -> Split:
    total = sum(LENGTHS)
    vectors = np.arange(2 * total, dtype=np.float32).reshape(total, 2)
    inputs = Column(vectors, np.cumsum([0, *LENGTHS]))
    return Split("train", {"inputs": inputs, "target": Column(np.arange(11.0), None)})


LOADERS = {
    "streams": lambda share: Streams(text(58), 5, 4, share=share),
    "overlapping windows of documents": lambda share: Streams(text(58), 5, 4, 3, "document", share),
    "one stream": lambda share: Streams(text(58), 1, 7, share=share),
    "buckets": lambda share: Buckets(tagged(), SPEC, ["inputs"], 4, 0, share=share),
    "sorted buckets": lambda share: Buckets(tagged(), SPEC, ["inputs"], 3, None, share=share),
    "buckets in windows": lambda share: Buckets(tagged(), SPEC, ["inputs"], 4, 0, 4, 2, share=share),
    "numbers": lambda share: Buckets(numbers(), SPEC, ["inputs"], 4, 0, share=share),
}


def counted(batch: Batch) -> list[tuple[int, ...]]:
    """Everything that a batch counts: each place with its input, its target and how much is left of its sequence."""
    inputs, found = batch.sequence("inputs").values, []
    (role,) = batch.fields.keys() & {"targets", "labels", "target"}
    for b, t in batch.mask.nonzero().tolist():
        target = batch.single(role)[b] if role == "target" else batch.sequence(role).values[b, t]
        left = 0 if batch.window is None else int(batch.window.left[b])
        fresh = batch.window is not None and batch.window.fresh is not None and bool(batch.window.fresh[b, t])
        found.append((t, *inputs[b, t].flatten().tolist(), int(target), left, fresh))
    return sorted(found)


@pytest.mark.parametrize("world", [2, 3, 4, 7])
@pytest.mark.parametrize("name", LOADERS)
def test_together_the_shares_are_the_whole_in_every_batch_and_epoch(name: str, world: int) -> None:
    whole: Loader = LOADERS[name](Share())
    shares: list[Loader] = [LOADERS[name](Share(rank, world)) for rank in range(world)]
    for _ in range(2):
        assert {len(share) for share in shares} == {len(whole)}
        for one, *parts in zip(whole, *shares, strict=True):
            assert sorted(place for part in parts for place in counted(part)) == counted(one)
            assert {part.tokens for part in parts} == {one.tokens} == {int(one.mask.sum())}
            assert {part.mask.shape[1] for part in parts} == {one.mask.shape[1]}
            assert {part.window and part.window[:2] for part in parts} == {one.window and one.window[:2]}


@pytest.mark.parametrize("name", LOADERS)
def test_a_share_without_rows_has_one_that_counts_nothing(name: str) -> None:
    for batch in LOADERS[name](Share(6, 7)):
        assert len(batch.mask) == 1
        assert not batch.mask.any()
        inputs, lengths = batch.sequence("inputs")
        assert lengths.tolist() == [1]
        assert torch.isfinite(inputs.float()).all()
        if batch.window is not None:
            assert batch.window.rows == 0
