"""The interface to DVC: status of the stages, locks, and error messages."""

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

from unroll.config.file import with_sections
from unroll.errors import BadInput
from unroll.locks import held
from unroll.terminal import say

Status = dict[str, list[Any]]  # stages that are out of date, with their changes, as in dvc status --json
FOLDER = Path(".dvc")
# the lock of the project, and the lock of files in use by another stage
BUSY = re.compile(r"^ERROR: .*(Unable to acquire lock|is busy, it is being blocked by)", re.M)
BLOCKER = re.compile(r"\(PID (\d+)\): (.*)")
MARK = re.compile(rb"^(<{7}|>{7}|\|{7})( |$)")
REMEDIES = {  # for damaged files of DVC, by name
    "dvc.lock": "Restore it (git checkout dvc.lock), or delete it: every stage then runs again",
    "rwlock": "Delete .dvc/tmp/rwlock when no DVC command is running",
}
RETRY = 1.0  # seconds between attempts to get a lock


def check() -> None:
    """Refuse to start without DVC, outside a project, without stages, or during an unfinished merge.

    Raises:
        ModuleNotFoundError: DVC is not installed.
        BadInput: there is no ``.dvc`` here, a file has conflict marks, or ``dvc.yaml`` has no stages.
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
    refuse_no_stages(Path("dvc.yaml"))


def refuse_no_stages(path: Path) -> None:
    """Refuse a file without stages, in whose place DVC would take those of every other file, such as the paper tables.

    Raises:
        BadInput: the file is missing, or has no stages.
    """
    if not with_sections(path, {"stages": dict})["stages"]:
        raise BadInput(f"{path} has no stages; restore the file, for example by git checkout {path}.")


def _refuse_conflict(path: Path) -> None:
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if MARK.match(line):
            raise BadInput(
                f"{path}, line {number}: this is a merge conflict marker; resolve the conflict, for example with "
                f"git checkout --ours {path}, and run the command again."
            )


def follow_git() -> None:
    """Set ``core.no_scm`` in ``.dvc/config.local`` if there is no git repository, and unset it if there is one.

    A source archive or a container has no ``.git``; DVC then works only with ``core.no_scm``. ``.dvc/config.local`` is
    not committed.

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
    say(f"unroll: {said} (core.no_scm in {local}).")


def _without_git(path: Path) -> bool:
    """Whether a DVC config file sets ``core.no_scm``."""
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read(path, encoding="utf-8")
        return parser.getboolean("core", "no_scm", fallback=False)
    except (configparser.Error, ValueError) as error:
        raise BadInput(f"{path} cannot be read ({_line(str(error))}); fix it, or delete it.") from None


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Hold a lock so that only one ``unroll repro`` runs in this folder at a time."""
    (FOLDER / "tmp").mkdir(exist_ok=True)
    lock = FOLDER / "tmp" / "unroll-repro"
    with held(lock, wait=False) as free:
        if free:
            yield
            return
    say("unroll: another unroll repro is running here; this one waits for it to end.")
    with held(lock):
        yield


def status(*words: str) -> Status:
    """The stages that are out of date before any of them runs. Waits if the project is locked.

    Args:
        words: files of stages, and options of ``dvc status``.

    Raises:
        BadInput: DVC failed.
    """
    waiting = False
    while (done := run("status", "--json", *words)).returncode != 0:
        if not BUSY.search(done.stderr):
            raise BadInput(failure("find out what is out of date", done.stderr))
        if not waiting:
            say(f"unroll: {blocked(done.stderr)}")
        waiting = True
        time.sleep(RETRY)
    try:
        found: Status = json.loads(done.stdout)
    except ValueError:
        raise BadInput(failure("say as JSON what is out of date", done.stdout)) from None
    return found


def blocked(said: str) -> str:
    """The message about a lock held by another process.

    Raises:
        BadInput: the process named in the lock is not DVC, so waiting would never end.
    """
    blocker = BLOCKER.search(said)
    if blocker is None:
        return "another DVC command is running here; this one waits for it to end."
    process, command = blocker.groups()
    with contextlib.suppress(OSError):  # the process has just ended, or this is not Linux
        if b"dvc" not in Path(f"/proc/{process}/cmdline").read_bytes():
            raise BadInput(f"{FOLDER}/tmp/rwlock names process {process} ({command}) as the owner of a lock, but that "
                           f"process is not DVC; delete {FOLDER}/tmp/rwlock and run the command again.")  # fmt: skip
    return f"another DVC command is running here (process {process}: {command}); this one waits for it to end."


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a short DVC command and capture its output."""
    return subprocess.run(
        command(*words), capture_output=True, text=True, errors="replace", check=False, env=environment()
    )


def command(*words: str) -> list[str]:
    """The command line of this environment's DVC."""
    return [sys.executable, "-m", "dvc", *words]


def environment(**more: str) -> dict[str, str]:
    """Environment variables with which stages find this environment's ``unroll`` and ``python``, and further ones."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1", **more}


def failure(what: str, stderr: str) -> str:
    """The message about a DVC command that failed."""
    reason = _line(stderr.replace("ERROR:", "")) or "it printed no reason"
    remedy = next((known for name, known in REMEDIES.items() if name in reason), "Fix this")
    return f"DVC cannot {what}: {reason.rstrip('.')}. {remedy}, and run the command again."


def _line(text: str, most: int = 400) -> str:
    """A text on one line, without DVC's advice at its end."""
    words = " ".join(text.split("Having any troubles?")[0].split())
    return words if len(words) <= most else words[:most] + " …"
