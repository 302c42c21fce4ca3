"""A run that was killed, wherever it was, and started again ends as one that never stopped."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.plugins.precision import MixedPrecision
from processes import crossed

from unroll import experiment, preparation
from unroll.config import Config
from unroll.errors import BadInput
from unroll.experiment.workspace import Workspace, has_checkpoint, locked
from unroll.outputs import move
from unroll.tasks.base import Task
from unroll.tracking.provenance import code_digest, digest_of, fingerprint
from unroll.training import checkpoint
from unroll.training.callbacks import Clock
from unroll.training.checkpoint import LAST, PREVIOUS, Resume
from unroll.training.precision import arithmetic

Small = Callable[..., Config]
OFTEN = ("training.checkpoint_seconds=1e-6", "training.validations=3", "training.tokens=1000")
RUNS: dict[str, tuple[str, ...]] = {
    "LSTM with dropout": ("grammar", "lstm", "arch.encoder.dropout=0.3"),
    "GRU, overlapping windows": ("grammar", "gru", "training.truncation_stride=3"),
    "state never forgotten": ("grammar", "peephole", "training.state_reset=never"),
    "accumulation": ("grammar", "lstm", "training.accumulate=2"),
    "bf16": ("grammar", "lstm", "training.precision=bf16-mixed"),
    "bucketed sequences": ("tagging", "bilstm-chars-crf", "arch.encoder.dropout=0.3", "arch.encoder.variational=true"),
    "sequences in windows": ("tagging", "lstm", "training.truncation_length=2", "arch.encoder.weight_dropout=0.2"),
    "scheduled sampling": ("pairs", "bahdanau", "task.own_inputs=0.5", "arch.decoder.dropout=0.3"),
    "early stopping": ("adding", "irnn", "training.patience=1"),
    "momentum": ("adding", "lstm", "training.optimizer.name=sgd", "training.optimizer.momentum=0.9"),
}


class Killed(BaseException):
    """Stands for SIGKILL: nothing of a run may notice it."""


def results(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def train(config: Config, out: Path) -> dict[str, bytes]:
    experiment.train(config, preparation.prepared(config.data), out)
    return results(out)


def kill(config: Config, out: Path, monkeypatch: pytest.MonkeyPatch, place: type, method: str, call: int) -> None:
    """Train until the ``call``-th call of a method, and end there."""
    original, calls = getattr(place, method), iter(range(10_000))

    def counted(*arguments: Any, **named: Any) -> Any:
        if next(calls) == call:
            raise Killed
        return original(*arguments, **named)

    with monkeypatch.context() as patched:
        patched.setattr(place, method, counted)
        with pytest.raises(Killed):
            experiment.train(config, preparation.prepared(config.data), out)
    assert not out.exists()


PLACES = {  # a class, its method, and how many calls of it are let through
    "before the first checkpoint": (Task, "training_step", 1),
    "in an epoch": (Task, "training_step", 11),
    "late": (Task, "training_step", 27),
    "in a validation": (Task, "validation_step", 5),
    "before a validation": (Task, "on_validation_epoch_start", 1),
    "after a validation": (Task, "on_validation_epoch_end", 1),
    "before the optimizer moves": (torch.optim.Optimizer, "zero_grad", 9),
}


@pytest.mark.parametrize(("name", "place"), crossed(RUNS, PLACES))
def test_wherever_it_was_killed_a_run_ends_as_one_that_never_stopped(
    name: str, place: str, small: Small, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small(*RUNS[name], *OFTEN)
    with monkeypatch.context() as patched:
        counted = count_steps(patched)
        expected = train(config, project / "whole")
        expected_steps = len(counted)
    kill(config, project / "killed", monkeypatch, *PLACES[place])
    steps = count_steps(monkeypatch)
    assert train(config, project / "killed") == expected
    if place != "before the first checkpoint":
        assert 0 < len(steps) < expected_steps  # it did go on, and did not begin anew
    assert not list((project / "outputs" / "working").iterdir())


def count_steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Gets an element for every training step from now on."""
    step: Any = Task.training_step
    steps: list[int] = []

    def counted(self: Task, batch: Any, index: int) -> Any:
        steps.append(index)
        return step(self, batch, index)

    monkeypatch.setattr(Task, "training_step", counted)
    return steps


@pytest.mark.usefixtures("rare_words")
def test_a_resumed_run_reads_the_same_words_as_unknown(
    small: Small, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small("tagging", "bilstm", *OFTEN)
    expected = train(config, project / "whole")
    kill(config, project / "killed", monkeypatch, *PLACES["late"])
    assert train(config, project / "killed") == expected


def test_it_may_be_killed_again_and_again(small: Small, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = small(*RUNS["LSTM with dropout"], *OFTEN)
    expected = train(config, project / "whole")
    for call in (3, 5, 2, 7, 4):
        kill(config, project / "killed", monkeypatch, Task, "training_step", call)
    assert train(config, project / "killed") == expected


def test_the_speed_of_a_resumed_run_counts_no_tokens_from_before(
    killed: tuple[Config, Path, dict[str, bytes]], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clocks: list[Clock] = []
    real = Clock.on_train_end

    def noted(self: Clock, *given: Any) -> None:
        real(self, *given)
        clocks.append(self)

    monkeypatch.setattr(Clock, "on_train_end", noted)
    steps = count_steps(monkeypatch)
    train(killed[0], project / "killed")
    assert 0 < clocks[0].tokens <= len(steps) * 28  # four rows of seven steps


@pytest.fixture(scope="session")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of a run that was killed for one test, to be copied for the others."""
    return tmp_path_factory.mktemp("killed")


@pytest.fixture
def killed(
    small: Small, project: Path, monkeypatch: pytest.MonkeyPatch, golden: Path
) -> tuple[Config, Path, dict[str, bytes]]:
    """A run that was killed in the middle, its working folder, and what it would have come to."""
    config = small(*RUNS["LSTM with dropout"], *OFTEN)
    if not (golden / "outputs").exists():
        train(config, project / "whole")
        kill(config, project / "killed", monkeypatch, Task, "training_step", 20)
        for name in ("whole", "outputs"):
            shutil.copytree(project / name, golden / name)
    shutil.copytree(golden, project, dirs_exist_ok=True)
    (workspace,) = (project / "outputs" / "working").iterdir()
    return config, workspace, results(project / "whole")


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(path, weights_only=True)
    return found


def test_the_last_two_checkpoints_are_kept(killed: tuple[Config, Path, dict[str, bytes]]) -> None:
    _, workspace, _ = killed
    last, previous = read(workspace / LAST), read(workspace / PREVIOUS)
    assert last["global_step"] == previous["global_step"] + 1


@pytest.mark.parametrize("size", [0, 100, -1])
def test_a_truncated_checkpoint_gives_way_to_the_one_before_it(
    size: int, killed: tuple[Config, Path, dict[str, bytes]], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, workspace, expected = killed
    content = (workspace / LAST).read_bytes()
    (workspace / LAST).write_bytes(content[:size])
    assert train(config, project / "killed") == expected
    assert "damaged" in capsys.readouterr().err


def test_killed_while_a_checkpoint_is_written_the_one_before_it_is_there(
    small: Small, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small(*RUNS["LSTM with dropout"], *OFTEN)
    expected = train(config, project / "whole")
    save, calls = Trainer.save_checkpoint, iter(range(10_000))

    def torn(self: Trainer, path: Path, **named: Any) -> None:
        save(self, path, **named)
        if next(calls) == 9:
            path.write_bytes(path.read_bytes()[:1000])
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "save_checkpoint", torn)
        with pytest.raises(Killed):
            train(config, project / "killed")
    (workspace,) = (project / "outputs" / "working").iterdir()
    assert read(workspace / LAST)["global_step"] == 9
    assert train(config, project / "killed") == expected


def test_a_checkpoint_of_another_run_is_not_used(
    killed: tuple[Config, Path, dict[str, bytes]], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, workspace, expected = killed
    for name in (LAST, PREVIOUS):
        content = read(workspace / name)
        content["identity"]["data"] = "0" * 64
        torch.save(content, workspace / name)
    assert train(config, project / "killed") == expected
    assert "of other data" in capsys.readouterr().err


def test_no_checkpoint_is_taken_where_a_validation_is_due_or_gradients_wait(
    small: Small, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small("grammar", "lstm", "training.accumulate=2", *OFTEN)
    taken: list[int] = []
    monkeypatch.setattr(
        Resume, "save", lambda self, trainer: taken.append(trainer.fit_loop.epoch_loop.total_batch_idx + 1)
    )
    train(config, project / "whole")
    assert taken
    assert all(batch % 2 == 0 for batch in taken)


def test_resuming_writes_no_point_twice(killed: tuple[Config, Path, dict[str, bytes]], project: Path) -> None:
    config, _, expected = killed
    rows = train(config, project / "killed")["history.csv"].decode().splitlines()
    assert len(rows) == len({row.rsplit(",", 1)[0] for row in rows})
    assert json.loads(expected["run.json"])["tokens"] >= 1000


def test_what_a_checkpoint_belongs_to_is_compared_part_by_part() -> None:
    one = checkpoint.Identity("s", "d", "c", {"torch": "2.13", "cpu": "AVX512"})
    assert one.differences(one) == {}
    other = checkpoint.Identity("s", "x", "c", {"torch": "2.12", "cpu": "AVX512", "gpu": "H100"})
    assert one.differences(other) == {"data": "d", "torch": "2.13", "gpu": "none"}
    assert other.differences(one) == {"data": "x", "torch": "2.12", "gpu": "H100"}
    assert not checkpoint.acceptable(one.differences(other))
    assert checkpoint.acceptable({"torch": "2.13", "code": "c", "cpu": "AVX2"})


def other_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a file of the package had been changed."""
    monkeypatch.setattr("unroll.experiment.identity.code_digest", lambda: "c" * 64)


def test_after_a_change_of_code_a_run_begins_anew_and_says_so(
    killed: tuple[Config, Path, dict[str, bytes]],
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config, workspace, expected = killed
    other_code(monkeypatch)
    found = train(config, project / "killed")
    said = capsys.readouterr().err
    assert f"{workspace.relative_to(project)} is not used, and the run begins again" in said
    assert "its checkpoint is of other code; to resume" in said
    assert "--accept-code-change" in said
    assert found["weights.safetensors"] == expected["weights.safetensors"]
    assert not list((project / "outputs" / "working").iterdir())  # nothing is left of the other code's


def test_a_change_of_code_can_be_accepted_and_the_run_tells_of_it(
    killed: tuple[Config, Path, dict[str, bytes]], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, _, expected = killed
    before = code_digest()
    other_code(monkeypatch)
    steps = count_steps(monkeypatch)
    experiment.train(config, preparation.prepared(config.data), project / "killed", accept_code_change=True)
    found = results(project / "killed")
    assert steps[0] == 20
    assert found["weights.safetensors"] == expected["weights.safetensors"]
    assert json.loads(found["run.json"])["went_on_from"] == {"code": before}
    assert "went_on_from" not in json.loads(expected["run.json"])


def test_what_a_run_went_on_from_is_told_however_often_it_is_killed(
    killed: tuple[Config, Path, dict[str, bytes]], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, _, _ = killed
    before = code_digest()
    other_code(monkeypatch)
    prepared, step, calls = preparation.prepared(config.data), Task.training_step, iter(range(10_000))

    def counted(self: Task, *arguments: Any) -> Any:
        if next(calls) == 3:
            raise Killed
        return step(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Task, "training_step", counted)
        with pytest.raises(Killed):
            experiment.train(config, prepared, project / "killed", accept_code_change=True)
    assert json.loads(train(config, project / "killed")["run.json"])["went_on_from"] == {"code": before}


def test_another_torch_is_a_change_of_code(
    killed: tuple[Config, Path, dict[str, bytes]],
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config, workspace, expected = killed
    version = str(torch.__version__)
    monkeypatch.setattr(torch, "__version__", "9.9")
    kill(config, project / "killed", monkeypatch, Task, "training_step", 0)
    assert (
        f"of other torch ({version}, now 9.9); to resume from it anyway, use --accept-code-change"
        in capsys.readouterr().err
    )
    assert has_checkpoint(workspace)
    experiment.train(config, preparation.prepared(config.data), project / "killed", accept_code_change=True)
    found = results(project / "killed")
    assert found["weights.safetensors"] == expected["weights.safetensors"]
    assert json.loads(found["run.json"])["went_on_from"] == {"torch": version}


def test_other_settings_of_the_same_output_begin_anew_whatever_is_accepted(
    killed: tuple[Config, Path, dict[str, bytes]], small: Small, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = small(*RUNS["LSTM with dropout"], *OFTEN, "training.clip_norm=0.5")
    experiment.train(config, preparation.prepared(config.data), project / "killed", accept_code_change=True)
    said = capsys.readouterr().err
    assert "the run begins again: its checkpoint is of other settings.\n" in said


def test_a_checkpoint_that_is_just_being_replaced_by_another_process_is_no_obstacle(project: Path) -> None:
    identity = checkpoint.Identity("s", "d", "new", arithmetic())
    run = Workspace("tagging/lstm-0", project / "run", "new", identity)
    other = Workspace("tagging/lstm-0", project / "run", "old", replace(identity, code="old"))
    with other.held():
        (other.folder / PREVIOUS).touch()
        (other.folder / LAST).symlink_to("moved")  # listed, and gone when it is looked at
    run.folder.mkdir()
    run.adopt(accept_code_change=False)
    assert has_checkpoint(other.folder)
    assert not has_checkpoint(run.folder)


def test_a_run_of_other_settings_elsewhere_is_left_alone(
    killed: tuple[Config, Path, dict[str, bytes]], small: Small, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, workspace, expected = killed
    train(small(*RUNS["LSTM with dropout"], *OFTEN, "training.clip_norm=0.5"), project / "other")
    assert "begins again" not in capsys.readouterr().err
    assert (workspace / LAST).exists()
    assert train(config, project / "killed") == expected


def test_two_processes_do_not_train_the_same_run(small: Small, project: Path) -> None:
    config = small("grammar", "lstm")
    prepared = preparation.prepared(config.data)
    parts = (config.digest(), digest_of([prepared / "fit"]), code_digest())
    identity = checkpoint.Identity(*parts, arithmetic())
    held = Workspace(config.name, project / "run", fingerprint(*parts), identity).held()
    with held:
        with pytest.raises(BadInput, match="Another process is training this run"):
            train(config, project / "run")
        assert list(Path("outputs/working").glob("*/identity.json"))  # what the first one works with is still there
    assert train(config, project / "run")


def test_a_run_that_cannot_be_helped_leaves_its_checkpoint(small: Small, project: Path) -> None:
    config = small("grammar", "lstm", *OFTEN, "training.optimizer.name=sgd", "training.optimizer.learning_rate=1e30",
                   "training.clip_norm=null", "training.dropped_steps=3", "training.schedule=constant",
                   "training.warmup=0")  # fmt: skip
    with pytest.raises(BadInput, match="not finite in 4 consecutive steps"):
        train(config, project / "run")
    (workspace,) = (project / "outputs" / "working").iterdir()
    kept = read(workspace / LAST)
    assert all(weight.isfinite().all() for weight in kept["state_dict"].values())
    assert not (project / "run").exists()


def test_a_run_by_other_code_leaves_one_alone_that_is_being_trained(
    killed: tuple[Config, Path, dict[str, bytes]], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, workspace, _ = killed
    other_code(monkeypatch)
    with locked(workspace):
        experiment.train(config, preparation.prepared(config.data), project / "killed", accept_code_change=True)
    assert (workspace / LAST).exists()
    assert "went_on_from" not in json.loads((project / "killed" / "run.json").read_text())


def test_the_previous_checkpoint_is_enough(
    killed: tuple[Config, Path, dict[str, bytes]], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, workspace, expected = killed
    (workspace / LAST).unlink()  # as between the two renames of a save
    kill(config, project / "killed", monkeypatch, Task, "training_step", 0)
    assert (workspace / PREVIOUS).exists()
    steps = count_steps(monkeypatch)
    assert train(config, project / "killed") == expected
    assert steps[0] == 19


def test_a_run_in_fp16_goes_on_with_its_scaler(small: Small, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU, which has the arithmetic of it for some cells, though nobody is to train so."""
    monkeypatch.setattr("unroll.experiment.training.resolved", lambda precision: precision)
    scaler = partial(torch.amp.GradScaler, "cpu", init_scale=2.0**20, growth_interval=5)
    monkeypatch.setattr("unroll.training.trainer.plugin", lambda name: MixedPrecision(name, "cpu", scaler()))
    config = small("grammar", "gru", "training.precision=16-mixed", *OFTEN)
    expected = train(config, project / "whole")
    kill(config, project / "killed", monkeypatch, Task, "training_step", 20)
    (workspace,) = (project / "outputs" / "working").iterdir()
    assert read(workspace / LAST)["MixedPrecision"]["scale"] < 2.0**20  # it has overflowed, and been lowered
    assert train(config, project / "killed") == expected


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04"])
def test_a_foreign_file_is_told_and_passed_over(
    content: bytes, killed: tuple[Config, Path, dict[str, bytes]], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, workspace, expected = killed
    for name in (LAST, PREVIOUS):
        (workspace / name).write_bytes(content)
    assert train(config, project / "killed") == expected
    assert capsys.readouterr().err.count("is not used: it is damaged") == 2


def test_a_byte_that_has_changed_within_a_weight_is_found(
    killed: tuple[Config, Path, dict[str, bytes]], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, workspace, expected = killed
    content = bytearray((workspace / LAST).read_bytes())
    weight = read(workspace / LAST)["state_dict"]["network.network.encoder.inputs.weight"].numpy().tobytes()
    content[content.index(weight[:64])] ^= 1
    (workspace / LAST).write_bytes(content)
    assert train(config, project / "killed") == expected
    assert f"{LAST} is not used: it is damaged" in capsys.readouterr().err


def first_quick(values: Iterable[Any], quick: int = 1) -> list[Any]:
    """Parameters of which the quick tier has the first ones, and the slow one all others."""
    return [pytest.param(value, marks=[] if i < quick else pytest.mark.slow) for i, value in enumerate(values)]


HISTORIES: dict[str, Callable[[bytes], bytes]] = {
    "one row lost": lambda old: b"".join(old.splitlines(keepends=True)[:3] + old.splitlines(keepends=True)[4:]),
    "empty": lambda _: b"",
    "cut": lambda old: old[: len(old) // 2],
    "NUL": lambda old: bytes(len(old)),
    "NUL at its end": lambda old: old[:-400] + bytes(400),
    "no UTF-8": lambda old: b"\xff\xfe" + old,
    "another value": lambda old: old.replace(b"train/loss,", b"train/loss,1"),
    "of another kind": lambda _: b"{}\n",
    "later rows of a run that went on differently": lambda old: old + b"99999,val/loss,0.5,1700000000000\n" * 9,
}


@pytest.mark.parametrize("kind", first_quick(HISTORIES))
def test_a_history_that_was_damaged_is_put_back_from_the_checkpoint(
    kind: str, killed: tuple[Config, Path, dict[str, bytes]], project: Path
) -> None:
    config, workspace, expected = killed
    history = workspace / "history.csv"
    history.write_bytes(HISTORIES[kind](history.read_bytes()))
    assert train(config, project / "killed") == expected


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["history.csv", "identity.json", "lock"])
def test_a_file_that_is_lost_beside_the_checkpoint_costs_nothing(
    lost: str, killed: tuple[Config, Path, dict[str, bytes]], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, workspace, expected = killed
    (workspace / lost).unlink()
    steps = count_steps(monkeypatch)
    assert train(config, project / "killed") == expected
    assert steps[0] == 20


def test_a_run_that_was_killed_goes_on_where_its_project_was_moved_to(
    killed: tuple[Config, Path, dict[str, bytes]], project: Path, tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    config, workspace, expected = killed
    assert json.loads((workspace / "identity.json").read_text(encoding="utf-8"))["out"] == "killed"
    moved = tmp_path_factory.mktemp("other") / "project"
    shutil.move(project, moved)
    monkeypatch.chdir(moved)
    steps = count_steps(monkeypatch)
    assert train(config, Path("killed")) == expected
    assert steps[0] == 20
    assert not list(Path("outputs/working").iterdir())


OWNERS = [bytes(300), b"", b"{", b"[]", b"null", b'{"out": 3}', b'{"out": "x", "mark": "y", "finished": false}',
          b"\xff" * 99, b"[" * 100_000]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "whose"),
    [
        pytest.param(content, whose, marks=[] if content is OWNERS[0] and whose == "another's" else pytest.mark.slow)
        for content in OWNERS
        for whose in ("its own", "another's")
    ],
)
def test_an_identity_that_cannot_be_read_costs_nothing(
    content: bytes, whose: str, killed: tuple[Config, Path, dict[str, bytes]], project: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    config, workspace, expected = killed
    (workspace / "identity.json").write_bytes(content)
    if whose == "another's":
        other_code(monkeypatch)
    found = train(config, project / "killed")
    said = capsys.readouterr().err
    assert found["weights.safetensors"] == expected["weights.safetensors"]
    if whose == "another's":
        assert str(workspace.relative_to(project)) in said
        assert "delete the folder" in said
    assert workspace.exists() == (whose == "another's")


@pytest.mark.parametrize("moves", first_quick([2, 0, 1, 3, 4]))
def test_killed_while_it_takes_over_a_checkpoint_a_run_has_a_whole_history(
    moves: int, killed: tuple[Config, Path, dict[str, bytes]], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, workspace, expected = killed
    (workspace / "tracking.json").write_text("{}")
    before, calls = code_digest(), iter(range(10_000))
    other_code(monkeypatch)

    def killed_at(path: Path, target: Path) -> None:
        if next(calls) == moves:
            raise Killed
        move(path, target)

    def removed(remove: Callable[..., None], path: Path, **rest: Any) -> None:
        if Path(path) == workspace.relative_to(project):
            raise Killed
        remove(path, **rest)

    prepared = preparation.prepared(config.data)
    with monkeypatch.context() as patched:
        patched.setattr("unroll.experiment.workspace.move", killed_at)
        if moves == 4:
            patched.setattr(shutil, "rmtree", partial(removed, shutil.rmtree))
        with pytest.raises(Killed):
            experiment.train(config, prepared, project / "killed", accept_code_change=True)
    steps = count_steps(monkeypatch)
    experiment.train(config, prepared, project / "killed", accept_code_change=True)
    found = results(project / "killed")
    assert steps[0] == 20
    assert found["history.csv"] == expected["history.csv"]
    assert json.loads(found["run.json"])["went_on_from"] == {"code": before}
    assert not list((project / "outputs" / "working").iterdir())


def test_what_a_run_began_with_is_known_after_two_changes_of_code(
    killed: tuple[Config, Path, dict[str, bytes]], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, _, expected = killed
    before, prepared = code_digest(), preparation.prepared(config.data)
    step, calls = Task.training_step, iter(range(10_000))

    def counted(self: Task, *arguments: Any) -> Any:
        if next(calls) == 3:
            raise Killed
        return step(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr("unroll.experiment.identity.code_digest", lambda: "b" * 64)
        patched.setattr(Task, "training_step", counted)
        with pytest.raises(Killed):
            experiment.train(config, prepared, project / "killed", accept_code_change=True)
    other_code(monkeypatch)
    experiment.train(config, prepared, project / "killed", accept_code_change=True)
    found = results(project / "killed")
    assert json.loads(found["run.json"])["went_on_from"] == {"code": before}
    assert found["history.csv"] == expected["history.csv"]


def test_a_run_that_begins_again_does_not_claim_that_it_went_on(
    killed: tuple[Config, Path, dict[str, bytes]], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, _, expected = killed
    other_code(monkeypatch)
    prepared, out = preparation.prepared(config.data), project / "killed"
    with monkeypatch.context() as patched:
        patched.setattr(Task, "training_step", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            experiment.train(config, prepared, out, accept_code_change=True)
    (workspace,) = (project / "outputs" / "working").iterdir()
    for name in (LAST, PREVIOUS):
        (workspace / name).write_bytes(b"")
    found = train(config, out)
    assert "went_on_from" not in json.loads(found["run.json"])
    assert found["weights.safetensors"] == expected["weights.safetensors"]


@pytest.mark.parametrize("part", first_quick(["cpu", "lightning", "numpy", "torchmetrics", "python", "MKL_CBWR"]))
def test_what_else_decides_the_bits_is_part_of_what_a_run_is(
    part: str, killed: tuple[Config, Path, dict[str, bytes]], project: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    config, _, expected = killed
    before = arithmetic()
    monkeypatch.setattr("unroll.experiment.identity.arithmetic", lambda: before | {part: "another"})
    kill(config, project / "killed", monkeypatch, Task, "training_step", 0)
    value = before.get(part, "none")
    said = f"of other {part} ({value}, now another); to resume from it anyway, use --accept-code-change"
    assert said in capsys.readouterr().err
    experiment.train(config, preparation.prepared(config.data), project / "killed", accept_code_change=True)
    found = results(project / "killed")
    assert json.loads(found["run.json"])["went_on_from"] == {part: value}
    assert found["history.csv"] == expected["history.csv"]


@pytest.mark.parametrize(
    "part", first_quick(["state_dict", "optimizer_states", "kept", "loops", "callbacks", "lr_schedulers"])
)
def test_a_checkpoint_that_does_not_fit_is_one_sentence_with_a_remedy_that_works(
    part: str, killed: tuple[Config, Path, dict[str, bytes]], project: Path
) -> None:
    config, workspace, expected = killed
    content = read(workspace / LAST)
    content[part] = {"x": 1}
    torch.save(content, workspace / LAST)
    (workspace / PREVIOUS).unlink()
    with pytest.raises(BadInput, match="does not fit this run") as caught:
        train(config, project / "killed")
    assert f"delete {workspace.relative_to(project)}" in str(caught.value)
    shutil.rmtree(workspace)
    assert train(config, project / "killed") == expected


@pytest.mark.parametrize("field", first_quick(["format", "identity", "before"]))
def test_a_checkpoint_of_another_version_is_not_used(
    field: str, killed: tuple[Config, Path, dict[str, bytes]], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, workspace, expected = killed
    for name in (LAST, PREVIOUS):
        content = read(workspace / name)
        del content[field]
        torch.save(content, workspace / name)
    assert train(config, project / "killed") == expected
    assert capsys.readouterr().err.count("is not used") == 2


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="names of open files are read from /proc")
def test_a_checkpoint_is_on_the_disk_before_it_takes_its_place(
    small: Small, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[str, str]] = []
    replace = Path.replace

    def moved(path: Path, target: Path) -> Path:
        done.append(("move", Path(target).name))
        return replace(path, target)

    name_of = Path("/proc/self/fd")
    monkeypatch.setattr(os, "fsync", lambda file: done.append(("sync", (name_of / str(file)).readlink().name)))
    monkeypatch.setattr(Path, "replace", moved)
    kill(small("grammar", "lstm", *OFTEN), project / "killed", monkeypatch, Task, "training_step", 4)
    (workspace,) = (project / "outputs" / "working").iterdir()
    saves = [number for number, each in enumerate(done) if each == ("sync", f"{LAST}.part")]
    assert len(saves) == 4
    name = workspace.name
    assert done[saves[-1] : saves[-1] + 5] == [
        ("sync", f"{LAST}.part"), ("move", PREVIOUS), ("sync", name), ("move", LAST), ("sync", name),
    ]  # fmt: skip
