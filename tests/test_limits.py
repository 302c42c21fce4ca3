"""What no machine can do ends in one sentence."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from unroll.cells import LSTMCell
from unroll.cli import main
from unroll.config import Config
from unroll.errors import BadInput, is_lack_of_memory, lack_of_memory
from unroll.launching import launch
from unroll.networks.probe import failures
from unroll.networks.scan import scan

Small = Callable[..., Config]


def words(small: Small) -> list[str]:
    small("tagging", "lstm")  # makes its data
    files = [f"data.{split}=data/small/{split}.conllu" for split in ("train", "validation", "test")]
    return ["train", "experiment=tagging", "arch=lstm", *files, "data.generator=null", "tracking=none",
            "training.tokens=300", "training.validations=1"]  # fmt: skip


@pytest.mark.parametrize("setting", ["training.threads=1000000", "recurrent.hidden_size=1000000000",
                                     "training.batch_size=1000000000000", "recurrent.layers=1000000000",
                                     "training.tokens=1000000000000000000000", "training.devices=1000000",
                                     "recurrent.embedding_size=1000000000000"])  # fmt: skip
def test_an_absurd_size_is_refused_by_its_name(setting: str, small: Small, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words(small), setting]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert setting.partition("=")[0].rpartition(".")[2] in line


def test_more_processes_than_a_machine_can_run_are_refused() -> None:
    with pytest.raises(BadInput, match=r"training\.devices=1000"):
        launch(1000, [])


@pytest.mark.parametrize("error", [
    MemoryError(), MemoryError("Unable to allocate 3.00 TiB"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 64000000000 bytes."),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("Storage size calculation overflowed with sizes=[1]"),
])  # fmt: skip
def test_a_lack_of_memory_is_one_sentence(
    error: Exception, small: Small, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lacking(*_: object) -> None:
        raise error

    monkeypatch.setattr("unroll.experiment.training.build_task", lacking)
    assert main(words(small)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"unroll: {lack_of_memory(error)}"
    assert "recurrent.hidden_size" in line


def test_a_cell_is_not_to_blame_for_a_lack_of_memory() -> None:
    with pytest.raises(RuntimeError, match="allocate"), failures(LSTMCell, 1, 1):
        raise RuntimeError("can't allocate memory: you tried to allocate 64000000000 bytes.")


@pytest.mark.parametrize("reason", ["mat1 and mat2 shapes cannot be multiplied",
                                    "value cannot be converted to type int8_t without overflow"])  # fmt: skip
def test_other_errors_are_not_taken_for_a_lack_of_memory(reason: str) -> None:
    assert not is_lack_of_memory(RuntimeError(reason))


def test_a_batch_without_sequences_is_refused() -> None:
    cell = LSTMCell(2, 3)
    with pytest.raises(BadInput, match="no sequences"):
        scan(cell, torch.zeros(0, 4, 2), torch.zeros(0, dtype=torch.long), cell.initial_state(0))
