"""Batches that are predicted side by side."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from unroll import experiment, preparation
from unroll.config import Config
from unroll.experiment import Trained, loading
from unroll.serving import Predictor
from unroll.serving.workers import side_by_side


@pytest.fixture
def threads() -> Iterator[None]:
    """Three threads of torch; tests have one each otherwise."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
def test_results_come_in_order_and_the_first_is_finished_before_the_others_begin() -> None:
    begun: list[int] = []
    first = threading.Event()

    def work(number: int) -> tuple[int, int, int]:
        begun.append(number)
        assert number == 0 or first.is_set()
        time.sleep(0.02 * (number % 3))
        if number == 0:
            first.set()
        return number, threading.get_ident(), torch.get_num_threads()

    results = list(side_by_side(work, 12))
    assert [number for number, _, _ in results] == list(range(12))
    assert results[0][1:] == (threading.get_ident(), 3)
    assert {count for _, _, count in results[1:]} == {1}  # whole batches side by side, not parts of an operation
    assert len({thread for _, thread, _ in results[1:]}) == 3
    assert torch.get_num_threads() == 3
    fresh: list[int] = []
    thread = threading.Thread(target=lambda: fresh.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert fresh == [3]


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_one_thread_needs_no_other(count: int) -> None:
    assert torch.get_num_threads() == 1
    assert list(side_by_side(lambda number: (number, threading.get_ident()), count)) == [
        (number, threading.get_ident()) for number in range(count)
    ]


@pytest.mark.usefixtures("threads")
def test_an_error_in_a_batch_ends_the_prediction() -> None:
    def work(number: int) -> int:
        if number == 3:
            raise RuntimeError("the fourth")
        return number

    with pytest.raises(RuntimeError, match="the fourth"):
        list(side_by_side(work, 6))
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize(("name", "arch", "line"), [("tagging", "bilstm-chars-crf", "the old cat"),
                                                    ("adding", "lstm", "0.5,1 0.2,0")])  # fmt: skip
@pytest.mark.usefixtures("threads")
def test_answers_are_those_of_one_thread(
    name: str, arch: str, line: str, small: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small(name, arch)
    experiment.train(config, preparation.prepared(config.data), Path("run"))
    run, lines = Trained.load(Path("run")), [" ".join(line.split()[: 1 + n % 3]) for n in range(40)]
    monkeypatch.setattr(loading, "MOST_STEPS", 7)  # of a batch, of which there are many
    torch.set_num_threads(1)
    expected = list(Predictor(run).lines(lines))
    torch.set_num_threads(3)
    assert list(Predictor(run).lines(lines)) == expected
