"""Provenance of a result: digests of settings, data and code, and the environment."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import re
import shlex
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from unroll.terminal import say

PACKAGES = ("torch", "lightning", "torchmetrics", "numpy", "mlflow", "dvc", "hydra-core", "pydantic")
# what a trained model depends on
CODE = ("cells", "networks", "data", "tasks", "training", "experiment", "history.py", "interruption.py", "launching.py")
SHORT = 12  # digits of an abbreviated digest


def digest_of(paths: Sequence[Path]) -> str:
    """SHA-256 of the names and contents of files and folders, ignoring ``__pycache__``."""
    total = hashlib.sha256()
    for path in paths:
        files = sorted(part for part in path.rglob("*") if part.is_file()) if path.is_dir() else [path]
        for file in files:
            if "__pycache__" not in file.parts:
                total.update(file.relative_to(path.parent).as_posix().encode())
                with file.open("rb") as stream:
                    total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()


def short_digest(path: Path) -> str:
    """The first digits of :func:`digest_of` of one file or folder."""
    return digest_of([path])[:SHORT]


def code_digest(*beside: str) -> str:
    """SHA-256 of the code that a trained model depends on.

    Args:
        beside: further parts of the package to include.
    """
    package = Path(__file__).parent.parent
    return digest_of([package / name for name in (*CODE, *beside)])


def fingerprint(settings: str, data: str, code: str) -> str:
    """Fingerprint of a run: runs with the same fingerprint have the same result on the same machine."""
    return hashlib.sha256(f"{settings}\n{data}\n{code}".encode()).hexdigest()


def git_state() -> dict[str, str]:
    """Commit, and whether files other than outputs differ from it; empty outside a repository."""
    commit = _git("rev-parse", "--verify", "--quiet", "HEAD")
    if not commit:
        return {}
    changed = _git("status", "--porcelain", "--", ".", ":!dvc.lock", ":!paper/dvc.lock", ":!outputs")
    return {"mlflow.source.git.commit": commit, "git.dirty": str(bool(changed)).lower()}


def _git(*arguments: str) -> str:
    """Output of a git command; empty if git is not installed or there is no repository."""
    try:
        done = subprocess.run(
            ["git", *arguments], capture_output=True, text=True, timeout=10, env={**os.environ, "LC_ALL": "C"}
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    if done.returncode and done.stderr and "not a git repository" not in done.stderr:
        _report(done.stderr)
    return "" if done.returncode else done.stdout.strip()


@functools.cache  # once per process
def _report(error: str) -> None:
    """Report that runs are logged without a commit, since git cannot read the repository."""
    if "dubious ownership" in error:
        folder = shlex.quote(error.partition("repository at '")[2].partition("'")[0] or str(Path.cwd()))
        reason = ("git refuses this repository, which belongs to another user; if you trust it, run: "
                  f"git config --global --add safe.directory {folder}")  # fmt: skip
    else:
        reason = f"git cannot read this repository ({error.strip().splitlines()[0]})"
    say(f"unroll: runs are logged without a commit: {reason}")


def environment() -> dict[str, str]:
    """Versions of software that a result may depend on."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def machine() -> str:
    """The system, the processor and the number of its cores."""
    try:
        listed = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        models = re.findall(r"^model name\s*: (.+)$", listed, re.MULTILINE)
    except OSError:
        models = []
    model = models[0] if models else platform.processor() or platform.machine()
    cores = os.cpu_count() or 1
    return f"{platform.system()}, {model}, {cores} core{'s' * (cores > 1)}"
