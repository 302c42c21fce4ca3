"""Where a result comes from: settings, data, code and environment, as digests and text."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("torch", "lightning", "torchmetrics", "numpy", "mlflow", "dvc", "hydra-core", "pydantic")
# what a trained model depends on
CODE = ("cells", "networks", "data", "tasks", "training", "experiment", "history.py", "interruption.py", "launching.py")
SHORT = 12  # digits of a digest that people read


def digest_of(paths: Sequence[Path]) -> str:
    """SHA-256 over the names and bytes of files and folders; caches of Python are passed over."""
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
        beside: further parts of the package, for what depends on more.
    """
    package = Path(__file__).parent.parent
    return digest_of([package / name for name in (*CODE, *beside)])


def fingerprint(settings: str, data: str, code: str) -> str:
    """What a run is: the same fingerprint, the same result on the same machine."""
    return hashlib.sha256(f"{settings}\n{data}\n{code}".encode()).hexdigest()


def git_state() -> dict[str, str]:
    """Commit and whether files differ from it, outputs aside; nothing outside a repository."""
    commit = _git("rev-parse", "HEAD")
    if not commit:
        return {}
    changed = _git("status", "--porcelain", "--", ".", ":!dvc.lock", ":!paper/dvc.lock", ":!outputs")
    return {"mlflow.source.git.commit": commit, "git.dirty": str(bool(changed)).lower()}


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def environment() -> dict[str, str]:
    """Versions that a result may depend on."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
