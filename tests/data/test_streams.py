"""Windows of parallel streams: nothing is lost, nothing is read twice, and streams run on from window to window."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from unroll.data.prepared import Column, ProbeColumn, Split
from unroll.data.streams import Streams
from unroll.errors import BadInput

CASES = [
    (length, streams, k)
    for length, streams, k in product((2, 3, 8, 9, 10, 41, 64), (1, 2, 3, 7, 8), (1, 2, 5, 40, 100))
    if length > streams
]


def split(length: int, probed: bool = False) -> Split:
    """Tokens that are their own positions; where probed, every third is, in a group that tells its position."""
    tokens = np.arange(length, dtype=np.int32)
    offsets = np.array([0, length])
    fields: dict[str, Column] = {"inputs": Column(tokens, offsets)}
    if probed:
        groups, contrasts = (np.where(tokens % 3 == 0, tokens + shift, -1) for shift in (0, 1000))
        fields["probe"] = ProbeColumn(groups, offsets, contrasts)
    return Split("train", fields)


@pytest.mark.parametrize(("length", "streams", "k"), CASES)
def test_every_token_but_the_first_is_a_target_exactly_once(length: int, streams: int, k: int) -> None:
    loader = Streams(split(length), streams, k)
    windows = list(loader)
    targets = torch.cat([window.sequence("targets").values[window.mask] for window in windows])
    inputs = torch.cat([window.sequence("inputs").values[window.mask] for window in windows])
    assert sorted(targets.tolist()) == list(range(1, length))
    assert torch.equal(inputs + 1, targets)  # the input of a step is the token before its target
    assert len(windows) == len(loader)
    assert loader.tokens == length - 1
    assert all(window.sequence("inputs").values.shape == (streams, k) for window in windows[:-1])
    assert all(
        window.sequence("inputs").values.shape == window.sequence("targets").values.shape == window.mask.shape
        for window in windows
    )


@pytest.mark.parametrize(("length", "streams", "k"), CASES)
def test_every_stream_runs_on_from_window_to_window(length: int, streams: int, k: int) -> None:
    windows = list(Streams(split(length), streams, k))
    joined = [
        torch.cat([window.sequence("inputs").values[b][window.mask[b]] for window in windows]) for b in range(streams)
    ]
    begin = 0
    for stream in joined:  # each stream is contiguous and begins where the one before it ended
        assert stream.tolist() == list(range(begin, begin + len(stream)))
        begin += len(stream)
    sizes = [len(stream) for stream in joined]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(("length", "streams", "k"), CASES)
def test_only_the_end_of_the_last_window_is_masked(length: int, streams: int, k: int) -> None:
    windows = list(Streams(split(length), streams, k))
    assert all(window.mask.all() for window in windows[:-1])
    last = windows[-1]
    assert last.mask[:, :-1].all()  # streams differ by one token at most
    assert last.mask.any()
    for window in windows:  # a network needs one step at least, even where none is real
        assert torch.equal(window.sequence("inputs").lengths, window.mask.sum(1).clamp(min=1))


def test_only_the_first_window_begins_the_streams() -> None:
    assert [window.window.first for window in Streams(split(41), 4, 3)] == [True, False, False, False]


def test_a_second_epoch_reads_the_same_windows() -> None:
    loader = Streams(split(41), 4, 3)
    for first, second in zip(loader, loader, strict=True):
        assert torch.equal(first.sequence("inputs").values, second.sequence("inputs").values)


@pytest.mark.parametrize(("length", "streams", "k"), [(41, 1, 40), (41, 4, 3), (64, 2, 5), (41, 7, 100), (10, 8, 1)])
def test_each_probe_stands_where_its_token_is_the_target_and_nowhere_else(length: int, streams: int, k: int) -> None:
    counted: list[int] = []
    for window in Streams(split(length, probed=True), streams, k):
        assert window.probe is not None
        groups, contrasts = window.probe
        probed = groups >= 0
        # A masked step with a group would count its probe a second time: the task knows of groups alone.
        assert not (probed & ~window.mask).any()
        assert torch.equal(groups[probed], window.sequence("targets").values[probed])
        assert torch.equal(contrasts[probed], window.sequence("targets").values[probed] + 1000)
        assert (contrasts[~probed] == -1).all()
        counted += groups[probed].tolist()
    assert sorted(counted) == list(range(3, length, 3))


def test_a_corpus_without_probes_gives_none() -> None:
    assert next(iter(Streams(split(10), 2, 3))).probe is None


@pytest.mark.parametrize(("length", "streams"), [(1, 1), (4, 4), (5, 20)])
def test_too_few_tokens_for_the_streams_is_one_sentence(length: int, streams: int) -> None:
    with pytest.raises(BadInput, match=rf"train split has {length} tokens, too few for {streams} streams"):
        Streams(split(length), streams, 3)
