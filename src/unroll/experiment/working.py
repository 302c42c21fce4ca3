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
from typing import Any

from unroll.errors import BadInput
from unroll.history import HISTORY
from unroll.locks import held
from unroll.outputs import write_text
from unroll.tracking.tracker import MEMORY
from unroll.training.checkpoint import LAST, PREVIOUS, Identity

WORKING = Path("outputs/working")  # outside of what DVC looks after, which deletes the outputs of a killed stage
OWNER = "identity.json"
ACCEPTABLE = {"code", "torch"}  # what may differ where a change of code is accepted


class Busy(BadInput):
    """Another process trains this run."""


class Working:
    """Folder of one run, found again by the same command: by name, place of the output, settings, data and code.

    Args:
        name: of the run.
        out: the folder that the run will be.
        mark: its fingerprint.
        identity: what the run is.
    """

    def __init__(self, name: str, out: Path, mark: str, identity: Identity) -> None:
        self.out, self.mark, self.identity = str(out.resolve()), mark, identity
        place = hashlib.sha256(str(out.resolve().parent).encode()).hexdigest()[:8]
        self.stem = f"{name.replace('/', '-')}-{place}"
        self.folder = WORKING / f"{self.stem}-{mark[:16]}"
        self.before: dict[str, str] = {}  # what the run went on from: code or torch that was another

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
            self.before = _owner(self.folder).get("before", {})
            self._write(finished=False)
            yield

    def adopt(self, accept_code_change: bool) -> None:
        """Look for a checkpoint of this run by other code, settings or data; tell of it, or go on from it.

        Args:
            accept_code_change: whether to go on from one of other code.
        """
        if has_checkpoint(self.folder):
            return
        for other in sorted(filter(has_checkpoint, self._others()), key=_age):
            found = _identity(other)
            differences = found.differences(self.identity)
            with locked(other) as free:
                if not free:  # it is being trained
                    continue
                if accept_code_change and set(differences) <= ACCEPTABLE:
                    for name in (LAST, PREVIOUS, HISTORY, MEMORY):
                        if (other / name).exists():
                            (other / name).replace(self.folder / name)
                    self.went_on_from({name: getattr(found, name) for name in differences})
                    shutil.rmtree(other)
                    return
            hint = "; to go on from it all the same, use --accept-code-change" * (set(differences) <= ACCEPTABLE)
            print(f"unroll: {other} has a checkpoint of other {' and '.join(differences)}, so the run begins "
                  f"anew{hint}.", file=sys.stderr)  # fmt: skip

    def went_on_from(self, before: dict[str, str]) -> None:
        """Note code or torch of a checkpoint that were others; what the run began with stays noted."""
        if before:
            self.before = before | self.before
            self._write(finished=False)

    def tidy(self, finished: bool, sent: bool) -> None:
        """Delete what is needed no more: of a finished run all but what MLflow has not taken.

        What is left of the same output by other settings, data or code goes too, unless it is being trained, or is a
        finished run of which MLflow lacks something.
        """
        if not finished:
            if not has_checkpoint(self.folder) and not (self.folder / MEMORY).exists():  # nothing to go on from
                shutil.rmtree(self.folder)
            return
        for other in self._others():
            with locked(other) as free:
                if free and _owner(other)["out"] == self.out and not _owner(other)["finished"]:
                    shutil.rmtree(other)
        if sent:
            shutil.rmtree(self.folder)
            return
        self._write(finished=True)
        for path in self.folder.glob("*.ckpt*"):
            path.unlink()

    def _write(self, finished: bool) -> None:
        content = {"out": self.out, "mark": self.mark, "finished": finished, "before": self.before}
        write_text(self.folder / OWNER, json.dumps(content | asdict(self.identity), indent=1) + "\n")

    def _others(self) -> list[Path]:
        """Folders of the same output, or of the same settings and data with other code."""
        found = []
        for other in sorted(WORKING.glob(f"{self.stem}-*")):
            if other != self.folder and (other / OWNER).exists():
                same_out = _owner(other)["out"] == self.out
                if same_out or set(_identity(other).differences(self.identity)) <= ACCEPTABLE:
                    found.append(other)
        return found


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
    """
    if "mark" in _owner(run):
        return run
    mark = json.loads((run / "run.json").read_text(encoding="utf-8"))["fingerprint"]
    for folder in sorted(WORKING.glob("*")):
        owner = _owner(folder)
        if owner.get("finished") and owner["out"] == str(run.resolve()) and owner["mark"] == mark:
            return folder
    return None


def _owner(folder: Path) -> dict[str, Any]:
    path = folder / OWNER
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return content


def _identity(folder: Path) -> Identity:
    owner = _owner(folder)
    return Identity(owner["settings"], owner["data"], owner["code"], owner["torch"])


def _age(folder: Path) -> float:
    """Smaller for a folder whose checkpoint is newer."""
    return -max(path.stat().st_mtime for path in folder.glob("*.ckpt"))
