"""Folders of unfinished runs, with history, checkpoints, and the state of tracking."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from unroll.errors import BadInput
from unroll.experiment.trained import read_facts
from unroll.history import HISTORY
from unroll.locks import held
from unroll.outputs import move, read_json, write_text
from unroll.terminal import say
from unroll.tracking.tracker import MEMORY
from unroll.training.checkpoint import LAST, PREVIOUS, Identity, acceptable, described

WORKSPACES = Path("outputs/working")  # outside the outputs of DVC, which deletes those of killed stages
OWNER = "identity.json"


class Busy(BadInput):
    """Another process is training this run."""


class Owner(NamedTuple):
    """The run of a working folder.

    Args:
        out: folder of the finished run, relative to the root of the project if it is inside.
        mark: fingerprint of the run.
        finished: whether the run is finished and only points for MLflow remain.
        identity: identity of the run.
    """

    out: str
    mark: str
    finished: bool
    identity: Identity


class Workspace:
    """Working folder of a run, identified by name, output, settings, data and code.

    Args:
        name: name of the run.
        out: folder of the finished run.
        mark: fingerprint of the run.
        identity: identity of the run.
    """

    def __init__(self, name: str, out: Path, mark: str, identity: Identity) -> None:
        self.out = _place_of(out)
        self.mark = mark
        self.identity = identity
        place = hashlib.sha256(_place_of(out.parent).encode()).hexdigest()[:8]
        self.stem = f"{name.replace('/', '-')}-{place}"
        self.folder = WORKSPACES / f"{self.stem}-{mark[:16]}"
        self.before: dict[str, str] = {}  # other code, versions or processor that the run was resumed from

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Create and lock the folder.

        Raises:
            Busy: another process holds it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder) as free:
            if not free:
                raise Busy(f"Another process is training this run (it holds {self.folder}); wait for it.")
            self._write(finished=False)
            yield

    def adopt(self, accept_code_change: bool) -> None:
        """Find checkpoints of this run with other code, settings or data, and report or move them.

        Checkpoints are moved last, so that the same command can complete an interrupted move.

        Args:
            accept_code_change: whether to resume from a checkpoint of other code.
        """
        if has_checkpoint(self.folder):
            return
        for folder in WORKSPACES.glob(f"{self.stem}-*"):
            if has_checkpoint(folder) and _owner(folder) is None:
                say(f"unroll: {folder} is not used: its {OWNER} is damaged, or from another version of unroll; "
                    "delete the folder.")  # fmt: skip
        others = [(folder, owner.identity) for folder, owner in self._others() if has_checkpoint(folder)]
        for other, found in sorted(others, key=lambda pair: _age(pair[0])):
            differences = found.differences(self.identity)
            with locked(other) as free:
                if not free:  # another process is training it
                    continue
                if accept_code_change and acceptable(differences):
                    for name in (MEMORY, HISTORY, LAST, PREVIOUS):
                        if (other / name).exists():
                            move(other / name, self.folder / name)
                    shutil.rmtree(other)
                    return
            say(f"unroll: {other} is not used, and the run begins again: its checkpoint is of other "
                f"{described(differences, self.identity)}.")  # fmt: skip

    def tidy(self, finished: bool, sent: bool) -> None:
        """Delete what is no longer needed; points not yet sent to MLflow are kept.

        Folders of the same output with other settings, data or code are deleted too, unless they are being trained or
        have unsent points of a finished run.
        """
        if not finished:
            if not has_checkpoint(self.folder) and not (self.folder / MEMORY).exists():  # nothing to resume from
                shutil.rmtree(self.folder)
            return
        for other, owner in self._others():
            with locked(other) as free:
                if free and owner.out == self.out and not owner.finished:
                    shutil.rmtree(other)
        if sent:
            shutil.rmtree(self.folder)
            return
        self._write(finished=True)
        for path in self.folder.glob("*.ckpt*"):
            path.unlink()

    def _write(self, finished: bool) -> None:
        content = {"out": self.out, "mark": self.mark, "finished": finished}
        write_text(self.folder / OWNER, json.dumps(content | asdict(self.identity), indent=1) + "\n")

    def _others(self) -> Iterator[tuple[Path, Owner]]:
        """Working folders of the same output, or of the same settings and data with other code."""
        for folder in sorted(WORKSPACES.glob(f"{self.stem}-*")):
            owner = _owner(folder)
            if folder == self.folder or owner is None:
                continue
            if owner.out == self.out or acceptable(owner.identity.differences(self.identity)):
                yield folder, owner


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Lock a working folder; yields whether it was free. The lock ends with the process."""
    with held(folder / "lock", wait=False) as free:
        yield free


def has_checkpoint(folder: Path) -> bool:
    """Whether a folder has a checkpoint, the last or the previous one."""
    return any((folder / name).exists() for name in (LAST, PREVIOUS))


def workspace_of(run: Path) -> Path | None:
    """The working folder of a finished run with unsent points; None if there is none.

    Args:
        run: folder of the run, or the working folder itself, also of an unfinished run.

    Raises:
        BadInput: the folder is not a run, or is from another version.
    """
    if (run / OWNER).exists():
        if _owner(run) is None:
            raise BadInput(f"{run / OWNER} is damaged, or from another version of unroll; run the command that "
                           "trained this run again.")  # fmt: skip
        return run
    mark = read_facts(run)["fingerprint"]
    for folder in sorted(WORKSPACES.glob("*")):
        owner = _owner(folder)
        if owner and owner.finished and owner.out == _place_of(run) and owner.mark == mark:
            return folder
    return None


def _owner(folder: Path) -> Owner | None:
    """The run of a working folder; None if its file is missing or damaged."""
    try:
        content = read_json(folder / OWNER, "")
        identity = Identity.read(content)
        return Owner(_place_of(Path(content["out"])), str(content["mark"]), content["finished"] is True, identity)
    except (BadInput, ValueError, KeyError, TypeError):
        return None


def _place_of(folder: Path) -> str:
    """Path of a folder relative to the root of the project, which may be moved; otherwise its absolute path."""
    whole, root = folder.resolve(), Path.cwd()
    return (whole.relative_to(root) if whole.is_relative_to(root) else whole).as_posix()


def _age(folder: Path) -> float:
    """Sort key of a folder, smaller for newer checkpoints."""
    times = [0.0]
    for name in (LAST, PREVIOUS):
        with contextlib.suppress(FileNotFoundError):  # a training process may replace them
            times.append((folder / name).stat().st_mtime)
    return -max(times)
