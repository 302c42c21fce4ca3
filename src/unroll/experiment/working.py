"""Where a run lives until it is finished: its history, its checkpoints, and what was tracked of it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from unroll.errors import BadInput
from unroll.experiment.trained import read_facts
from unroll.history import HISTORY
from unroll.locks import held
from unroll.outputs import move, read_json, write_text
from unroll.tracking.tracker import MEMORY
from unroll.training.checkpoint import LAST, PREVIOUS, Identity, acceptable, described

WORKING = Path("outputs/working")  # outside of what DVC looks after, which deletes the outputs of a killed stage
OWNER = "identity.json"


class Busy(BadInput):
    """Another process trains this run."""


class Owner(NamedTuple):
    """Whose working folder it is.

    Args:
        out: the folder that the run is to be, from the root of the project where it is in it.
        mark: its fingerprint.
        finished: whether only MLflow lacks something of it.
        identity: what the run is.
    """

    out: str
    mark: str
    finished: bool
    identity: Identity


class Working:
    """Folder of one run, found again by the same command: by name, place of the output, settings, data and code.

    Args:
        name: of the run.
        out: the folder that the run will be.
        mark: its fingerprint.
        identity: what the run is.
    """

    def __init__(self, name: str, out: Path, mark: str, identity: Identity) -> None:
        self.out, self.mark, self.identity = _place_of(out), mark, identity
        place = hashlib.sha256(_place_of(out.parent).encode()).hexdigest()[:8]
        self.stem = f"{name.replace('/', '-')}-{place}"
        self.folder = WORKING / f"{self.stem}-{mark[:16]}"
        self.before: dict[str, str] = {}  # what the run went on from: code, a version or a processor that was another

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder, and keep other processes from it.

        Raises:
            Busy: another process is at it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder) as free:
            if not free:
                raise Busy(f"Another process is training this run (it holds {self.folder}); wait for it.")
            self._write(finished=False)
            yield

    def adopt(self, accept_code_change: bool) -> None:
        """Look for a checkpoint of this run by other code, settings or data; report it, or move it here.

        The checkpoints are moved last: killed in between, the same command finds and moves the rest.

        Args:
            accept_code_change: whether to go on from one of other code.
        """
        if has_checkpoint(self.folder):
            return
        for folder in WORKING.glob(f"{self.stem}-*"):
            if has_checkpoint(folder) and _owner(folder) is None:
                print(f"unroll: {folder} is not used: its {OWNER} is damaged, or of another version of unroll; delete "
                      "the folder.", file=sys.stderr)  # fmt: skip
        others = [(folder, owner.identity) for folder, owner in self._others() if has_checkpoint(folder)]
        for other, found in sorted(others, key=lambda pair: _age(pair[0])):
            differences = found.differences(self.identity)
            with locked(other) as free:
                if not free:  # it is being trained
                    continue
                if accept_code_change and acceptable(differences):
                    for name in (MEMORY, HISTORY, LAST, PREVIOUS):
                        if (other / name).exists():
                            move(other / name, self.folder / name)
                    shutil.rmtree(other)
                    return
            print(f"unroll: {other} is not used, and the run begins again: its checkpoint is of other "
                  f"{described(differences, self.identity)}.", file=sys.stderr)  # fmt: skip

    def tidy(self, finished: bool, sent: bool) -> None:
        """Delete what is needed no more: of a finished run all but what MLflow has not taken.

        What is left of the same output by other settings, data or code goes too, unless it is being trained, or is a
        finished run of which MLflow lacks something.
        """
        if not finished:
            if not has_checkpoint(self.folder) and not (self.folder / MEMORY).exists():  # nothing to go on from
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
        """Folders of the same output, or of the same settings and data with other code."""
        for folder in sorted(WORKING.glob(f"{self.stem}-*")):
            owner = _owner(folder)
            if folder == self.folder or owner is None:
                continue
            if owner.out == self.out or acceptable(owner.identity.differences(self.identity)):
                yield folder, owner


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Keep other processes from a working folder, if none is at it; a lock goes with its process, however it ends."""
    with held(folder / "lock", wait=False) as free:
        yield free


def has_checkpoint(folder: Path) -> bool:
    """Whether there is one, be it the last or the one before it."""
    return any((folder / name).exists() for name in (LAST, PREVIOUS))


def working_of(run: Path) -> Path | None:
    """The working folder of a finished run that MLflow has not all of; None if there is none.

    Args:
        run: its folder, or the working folder itself, of a run that is not finished too.

    Raises:
        BadInput: the folder is no run, or one of another version.
    """
    if (run / OWNER).exists():
        if _owner(run) is None:
            raise BadInput(f"{run / OWNER} is damaged, or of another version of unroll; start the command again that "
                           "trained this run.")  # fmt: skip
        return run
    mark = read_facts(run)["fingerprint"]
    for folder in sorted(WORKING.glob("*")):
        owner = _owner(folder)
        if owner and owner.finished and owner.out == _place_of(run) and owner.mark == mark:
            return folder
    return None


def _owner(folder: Path) -> Owner | None:
    """Whose folder it is; None if nothing says so that can be read."""
    try:
        content = read_json(folder / OWNER, "")
        identity = Identity.read(content)
        return Owner(_place_of(Path(content["out"])), str(content["mark"]), content["finished"] is True, identity)
    except (BadInput, ValueError, KeyError, TypeError):
        return None


def _place_of(folder: Path) -> str:
    """A folder from the root of the project, which may be moved or copied; outside of it, its whole path."""
    whole, root = folder.resolve(), Path.cwd()
    return (whole.relative_to(root) if whole.is_relative_to(root) else whole).as_posix()


def _age(folder: Path) -> float:
    """Smaller for a folder whose checkpoint is newer."""
    times = [0.0]
    for name in (LAST, PREVIOUS):
        with contextlib.suppress(FileNotFoundError):  # the process that trains there replaces them
            times.append((folder / name).stat().st_mtime)
    return -max(times)
