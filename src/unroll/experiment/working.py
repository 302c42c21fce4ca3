"""Where a run lives until it is finished: its history, its checkpoints, and what was tracked of it."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from unroll.errors import BadInput
from unroll.outputs import write_text
from unroll.tracking.tracker import MEMORY
from unroll.training.checkpoint import LAST, Identity

WORKING = Path("outputs/working")  # outside of what DVC looks after, which deletes the outputs of a killed stage
OWNER = "identity.json"


class Working:
    """Folder of one run, found again by the same command: by name, place of the output, settings, data and code.

    Args:
        name: of the run.
        out: the folder that the run will be.
        mark: its fingerprint.
        identity: what the run is.
    """

    def __init__(self, name: str, out: Path, mark: str, identity: Identity) -> None:
        self.out, self.identity = str(out.resolve()), identity
        place = hashlib.sha256(str(out.resolve().parent).encode()).hexdigest()[:8]
        self.stem = f"{name.replace('/', '-')}-{place}"
        self.folder = WORKING / f"{self.stem}-{mark[:16]}"

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder, and keep other processes from it.

        Raises:
            BadInput: another process is at it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        write_text(self.folder / OWNER, json.dumps({"out": self.out, **asdict(self.identity)}, indent=1) + "\n")
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # goes with the process, however it ends
            except BlockingIOError:
                raise BadInput(f"Another process is training this run (it holds {self.folder}); wait for it.") from None
            yield

    def adopt(self, accept_code_change: bool) -> str | None:
        """Look for a checkpoint of this run by other code, settings or data; tell of it, or go on from it.

        Args:
            accept_code_change: whether to go on from one of other code.

        Returns:
            The digest of the code that is gone on from; None if there is nothing of the kind.
        """
        if (self.folder / LAST).exists():
            return None
        for other in self._others():
            found = _identity(other)
            differences = found.differences(self.identity)
            if not (other / LAST).exists() or not differences:
                continue
            if accept_code_change and set(differences) <= {"code", "torch"}:
                shutil.rmtree(self.folder, ignore_errors=True)
                other.replace(self.folder)
                return found.code
            hint = "; to go on from it all the same, use --accept-code-change" if differences == ["code"] else ""
            print(f"unroll: {other} has a checkpoint of other {' and '.join(differences)}, so the run begins "
                  f"anew{hint}.", file=sys.stderr)  # fmt: skip
        return None

    def tidy(self, finished: bool, sent: bool) -> None:
        """Delete what is needed no more: of a finished run all but what MLflow has not taken.

        What is left of the same run by other settings, data or code goes too.
        """
        if not finished:
            if not any((self.folder / name).exists() for name in (LAST, MEMORY)):  # nothing to go on from
                shutil.rmtree(self.folder, ignore_errors=True)
            return
        for folder in self._others():
            shutil.rmtree(folder)
        if sent:
            shutil.rmtree(self.folder)
            return
        for path in self.folder.glob("*.ckpt"):
            path.unlink()

    def _others(self) -> list[Path]:
        """Folders of the same output, or of the same settings and data with other code."""
        found = []
        for other in sorted(WORKING.glob(f"{self.stem}-*")):
            if other != self.folder and (other / OWNER).exists():
                same_out = _content(other)["out"] == self.out
                if same_out or set(_identity(other).differences(self.identity)) <= {"code", "torch"}:
                    found.append(other)
        return found


def working_of(run: Path) -> Path | None:
    """The working folder of a run that MLflow has not all of; None if there is none.

    Args:
        run: its folder, or the working folder itself.
    """
    if (run / OWNER).exists() and "out" in _content(run):
        return run
    for folder in sorted(WORKING.glob("*")):
        if (folder / OWNER).exists() and _content(folder)["out"] == str(run.resolve()):
            return folder
    return None


def _content(folder: Path) -> dict[str, str]:
    content: dict[str, str] = json.loads((folder / OWNER).read_text(encoding="utf-8"))
    return content


def _identity(folder: Path) -> Identity:
    return Identity(**{name: value for name, value in _content(folder).items() if name != "out"})
