"""DVC as a program: what is out of date, and the sentence to print when DVC cannot say so."""

from __future__ import annotations

import configparser
import contextlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unroll.errors import BadInput
from unroll.locks import held

Status = dict[str, list[Any]]  # of each stage that is out of date, what has changed, as dvc status --json writes it
FOLDER = Path(".dvc")
# the lock of the project, and that of the files which another stage reads or writes
BUSY = re.compile(r"^ERROR: .*(Unable to acquire lock|is busy, it is being blocked by)", re.M)
BLOCKER = re.compile(r"\(PID (\d+)\): (.*)")
MARK = re.compile(rb"^(<{7}|>{7}|\|{7})( |$)")
REMEDIES = {  # of files that DVC writes, by their names
    "dvc.lock": "Restore it (git checkout dvc.lock), or delete it: every stage then runs again",
    "rwlock": "Delete .dvc/tmp/rwlock when no DVC command is running",
}
RETRY = 1.0  # seconds between two looks at a lock


def check() -> None:
    """Refuse to start without DVC, outside a project, or with a merge that is not finished.

    Raises:
        ModuleNotFoundError: DVC is not installed.
        BadInput: there is no ``.dvc`` here, or a file has conflict marks.
    """
    if importlib.util.find_spec("dvc") is None:
        raise ModuleNotFoundError("No module named 'dvc'", name="dvc")
    if not (FOLDER / "config").is_file():
        raise BadInput(f"There is no {FOLDER}/config here; change to the root of the project, or restore that file.")
    files = [Path("dvc.yaml"), Path("dvc.lock"), FOLDER / "config", FOLDER / "config.local", *Path().glob("*.dvc")]
    files += [*sorted(Path("conf").rglob("*.yaml")), *Path("paper").glob("dvc.*")]
    for path in files:
        if path.is_file():
            _refuse_conflict(path)


def _refuse_conflict(path: Path) -> None:
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if MARK.match(line):
            raise BadInput(
                f"{path}, line {number}: this is the mark of a merge conflict; resolve the conflict, for example by "
                f"git checkout --ours {path}, and run the command again."
            )


def follow_git() -> None:
    """Have DVC do without git where there is none, and use it where there is one again.

    A source archive or a container has no ``.git``. DVC then works only with ``core.no_scm``, which is written to
    ``.dvc/config.local``, the file that is not committed.

    Raises:
        BadInput: ``.dvc/config.local`` cannot be read.
    """
    here = Path.cwd()
    with_git = any((folder / ".git").exists() for folder in (here, *here.parents))
    local = FOLDER / "config.local"
    if with_git != _without_git(local):
        return
    words = ["--unset", "core.no_scm"] if with_git else ["core.no_scm", "true"]
    done = run("config", "--local", *words)
    if done.returncode != 0:
        raise BadInput(failure("change .dvc/config.local", done.stderr))
    said = "There is a .git here again: DVC uses it" if with_git else "There is no .git here: DVC works without it"
    print(f"unroll: {said} (core.no_scm in {local}).", file=sys.stderr)


def _without_git(path: Path) -> bool:
    """Whether this file says that DVC is to work without git."""
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read(path, encoding="utf-8")
        return parser.getboolean("core", "no_scm", fallback=False)
    except (configparser.Error, ValueError) as error:
        raise BadInput(f"{path} cannot be read ({_line(str(error))}); correct it, or delete it.") from None


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Wait for another ``unroll repro`` in this folder, and keep further ones waiting."""
    (FOLDER / "tmp").mkdir(exist_ok=True)
    lock = FOLDER / "tmp" / "unroll-repro"
    with held(lock, wait=False) as free:
        if free:
            yield
            return
    print("unroll: another unroll repro is running here; this one waits for it to end.", file=sys.stderr)
    with held(lock):
        yield


def status(*words: str) -> Status:
    """What is out of date, as far as DVC can see before the first stage has run; waits for a locked project.

    Args:
        words: files of stages, and options of dvc status.

    Raises:
        BadInput: DVC cannot say.
    """
    waiting = False
    while (done := run("status", "--json", *words)).returncode != 0:
        if not BUSY.search(done.stderr):
            raise BadInput(failure("find out what is out of date", done.stderr))
        if not waiting:
            print(f"unroll: {blocked(done.stderr)}", file=sys.stderr)
        waiting = True
        time.sleep(RETRY)
    try:
        found: Status = json.loads(done.stdout)
    except ValueError:
        raise BadInput(failure("say as JSON what is out of date", done.stdout)) from None
    return found


def blocked(said: str) -> str:
    """The sentence about a lock that another process holds.

    Raises:
        BadInput: the process that is said to hold it is not DVC, so that waiting would never end.
    """
    blocker = BLOCKER.search(said)
    if blocker is None:
        return "another DVC command is running here; this one waits for it to end."
    process, command = blocker.groups()
    with contextlib.suppress(OSError):  # the process has just ended, or this is not Linux
        if b"dvc" not in Path(f"/proc/{process}/cmdline").read_bytes():
            raise BadInput(f"{FOLDER}/tmp/rwlock says that process {process} ({command}) is at work here, but that "
                           f"process is not DVC; delete {FOLDER}/tmp/rwlock and run the command again.")  # fmt: skip
    return f"another DVC command is running here (process {process}: {command}); this one waits for it to end."


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a short DVC command and keep what it prints."""
    return subprocess.run(
        command(*words), capture_output=True, text=True, errors="replace", check=False, env=environment()
    )


def command(*words: str) -> list[str]:
    """The words that start this environment's DVC."""
    return [sys.executable, "-m", "dvc", *words]


def environment() -> dict[str, str]:
    """Variables in which stages find the ``unroll`` and ``python`` that belong to this process."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1"}


def failure(what: str, stderr: str) -> str:
    """The sentence about a DVC command that failed."""
    reason = _line(stderr.replace("ERROR:", "")) or "it printed no reason"
    remedy = next((known for name, known in REMEDIES.items() if name in reason), "Correct that")
    return f"DVC cannot {what}: {reason.rstrip('.')}. {remedy}, and run the command again."


def _line(text: str, most: int = 400) -> str:
    """A text on one line, without the advertisement at its end."""
    words = " ".join(text.split("Having any troubles?")[0].split())
    return words if len(words) <= most else words[:most] + " …"
