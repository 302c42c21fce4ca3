"""What no machine can do ends in one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from unroll.cells import LSTMCell
from unroll.cli import main
from unroll.config import Config, compose
from unroll.data.batch import FieldSpec
from unroll.errors import BadInput, is_lack_of_memory, lack_of_memory
from unroll.experiment import building
from unroll.experiment.memory import memory, refuse_too_large
from unroll.launching import launch
from unroll.networks.probe import failures
from unroll.networks.scan import scan

CONF = Path(__file__).parent.parent / "conf"
Small = Callable[..., Config]


def words(small: Small) -> list[str]:
    small("tagging", "lstm")  # makes its data
    files = [f"data.{split}=data/small/{split}.conllu" for split in ("train", "validation", "test")]
    return ["train", "experiment=tagging", "arch=lstm", *files, "data.generator=null", "tracking=none",
            "training.tokens=300", "training.validations=1"]  # fmt: skip


@pytest.mark.parametrize("setting", ["training.threads=1000000", "arch.encoder.hidden_size=1000000000",
                                     "training.batch_size=1000000000000", "arch.encoder.layers=1000000000",
                                     "training.tokens=1000000000000000000000", "training.devices=1000000",
                                     "arch.inputs.size=1000000000000"])  # fmt: skip
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

    monkeypatch.setattr("unroll.experiment.training.build_network", lacking)
    assert main(words(small)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"unroll: {lack_of_memory(error)}"
    assert "arch.encoder.hidden_size" in line


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


@pytest.mark.parametrize("verb", ["train", "evaluate", "certify"])
def test_threads_far_beyond_the_cores_of_the_machine_are_refused(
    verb: str, small: Small, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [*words(small), "training.threads=32"]
    monkeypatch.setattr("unroll.training.threads.os.cpu_count", lambda: 2)
    assert main(["prepare", *given[1:], "--out", "prepared"]) == 0
    assert main([*given, "--out", "run"]) == 0
    monkeypatch.setattr("unroll.training.threads.os.cpu_count", lambda: 1)
    capsys.readouterr()
    command = [*given, "--out", "again"] if verb == "train" else [verb, "run", "--prepared", "prepared"]
    assert main(command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "training.threads=32" in line
    assert "at most 16" in line
    assert not Path("again").exists()


@pytest.mark.parametrize(("settings", "bytes_each"), [
    ((), 16), (("training.precision=64",), 32),
    pytest.param(("training.optimizer.name=sgd",), 8, marks=pytest.mark.slow),
    pytest.param(("training.optimizer.name=sgd", "training.optimizer.momentum=0.9"), 12, marks=pytest.mark.slow),
])  # fmt: skip
def test_a_network_larger_than_memory_is_refused_before_it_is_made(
    settings: tuple[str, ...], bytes_each: int, small: Small, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    given = [*words(small), *settings]
    assert main([*given, "--out", "run"]) == 0
    needed = bytes_each * json.loads(Path("run/run.json").read_text(encoding="utf-8"))["parameters"]
    monkeypatch.setattr("unroll.experiment.memory.memory", lambda: needed)
    assert main([*given, "--out", "fits"]) == 0
    monkeypatch.setattr("unroll.experiment.memory.memory", lambda: needed - 1)
    build = building.embed

    def embed(*sizes: Any) -> Any:
        assert torch.get_default_device().type == "meta"
        return build(*sizes)

    monkeypatch.setattr(building, "embed", embed)
    capsys.readouterr()
    assert main([*given, "--out", "again"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "arch=lstm" in line
    assert "GB of memory" in line
    assert "arch.encoder.hidden_size" in line
    assert not Path("again").exists()
    assert not list(Path("outputs/working").iterdir())


@pytest.mark.parametrize("settings", [
    ["arch=bilstm-crf"],
    ["arch=lstm", "data.reader.probe=null", "judged_by=null", "data.vectors=glove.txt", "arch.inputs.name=vectors"],
], ids=str)  # fmt: skip
def test_labels_of_spans_and_pretrained_vectors_do_not_hide_the_size_of_a_network(
    settings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unroll.experiment.memory.memory", lambda: 1000)
    names = ("O", "B-X", "I-X")
    spec = {"inputs": FieldSpec(11, unit="words", vector_size=5), "spelling": FieldSpec(9),
            "labels": FieldSpec(3, names, scheme="bio", padding_index=-1)}  # fmt: skip
    with pytest.raises(BadInput, match="GB of memory"):
        refuse_too_large(compose(["experiment=tagging", *settings], CONF), spec, trains=True)


@pytest.mark.parametrize("command", [["predict", "run", "the dog"], ["evaluate", "run", "--prepared", "prepared"],
                                     ["certify", "run", "--prepared", "prepared"]])  # fmt: skip
def test_a_run_larger_than_memory_is_not_loaded(
    command: list[str], small: Small, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = words(small)
    assert main(["prepare", *given[1:], "--out", "prepared"]) == 0
    assert main([*given, "--prepared", "prepared", "--out", "run"]) == 0
    monkeypatch.setattr("unroll.experiment.memory.memory", lambda: 1000)
    capsys.readouterr()
    assert main(command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "GB of memory" in line


@pytest.mark.parametrize(("groups", "files", "limit"), [
    ("0::/a/b\n", {"a/b/memory.max": "max\n", "a/memory.max": "5000\n", "memory.max": "7000\n"}, 5000),
    ("0::/\n", {"memory.max": "6000\n"}, 6000), ("0::/a\n", {"a/memory.max": "max\n"}, None), ("", {}, None),
    ("4:cpu,memory:/a\n0::/\n", {"memory/a/memory.limit_in_bytes": "4000\n"}, 4000),
    ("4:cpu:/a\n", {"memory/a/memory.limit_in_bytes": "4000\n"}, None),
])  # fmt: skip
def test_the_limit_of_a_control_group_counts_where_it_is_lower(
    groups: str, files: dict[str, str], limit: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content, encoding="ascii")
    (tmp_path / "cgroup").write_text(groups, encoding="ascii")
    monkeypatch.setattr("unroll.experiment.memory.GROUPS", tmp_path / "absent")
    monkeypatch.setattr("unroll.experiment.memory.FILES", tmp_path)
    whole = memory()
    monkeypatch.setattr("unroll.experiment.memory.GROUPS", tmp_path / "cgroup")
    assert memory() == (limit or whole)
    assert whole > 10**8
