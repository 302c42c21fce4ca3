"""Finished runs that are kept by fingerprint outside DVC, which deletes the outputs of a stage before it runs again."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict
from pathlib import Path

from unroll.config import Config
from unroll.errors import BadInput
from unroll.experiment.identity import finished
from unroll.experiment.trained import FOLDER, read_facts
from unroll.experiment.workspace import Workspace, workspace_of
from unroll.outputs import read_json, to_json, whole
from unroll.terminal import say
from unroll.tracking.provenance import digest_of
from unroll.training.checkpoint import Identity

KEPT = Path("outputs/kept")
RUN, SEAL = "run", "seal.json"
AGAIN = "UNROLL_AGAIN"  # environment variable: if it is 1, every run is trained again


def keep(workspace: Workspace) -> None:
    """Keep a copy of a finished run, in place of those of the same output with other settings, data or code.

    A run that began with other code is not kept, since this code alone would have led to other numbers.
    """
    if "went_on_from" in read_facts(Path(workspace.out)):
        return
    place = _place(workspace)
    with whole(place, replaces=(SEAL, RUN)) as written:
        shutil.copytree(workspace.out, written / RUN)
        content = {"run": digest_of([written / RUN]), **asdict(workspace.identity)}
        (written / SEAL).write_text(to_json(content), encoding="utf-8")
    for other in KEPT.glob(f"{workspace.stem}-*"):
        if other != place:
            shutil.rmtree(other)


def present(config: Config, prepared: Path, out: Path) -> dict[str, float] | None:
    """Report a finished run that is in its folder. Returns its best validation's figures; None if there is none.

    Args:
        config: settings of the run.
        prepared: folder with ``fit/``.
        out: folder of the run.
    """
    figures = None if os.environ.get(AGAIN) == "1" else finished(config, prepared, out)
    if figures is not None:
        unsent = f" MLflow lacks some of its points; run: unroll sync {out}" if workspace_of(out) else ""
        say(f"{out} is finished, and nothing was trained; to train it again, set {AGAIN}=1.{unsent}")
    return figures


def restore(config: Config, workspace: Workspace) -> dict[str, float] | None:
    """Copy a kept run to its output. Returns its best validation's figures; None if the run must be trained.

    What is not a part of the fingerprint, such as the tracker, is that of the present settings.

    Args:
        config: settings of the run, with the precision of this machine.
        workspace: of the run.
    """
    if os.environ.get(AGAIN) == "1":
        return None
    place = _place(workspace)
    if not place.is_dir():
        return None
    if reason := _refusal(place, workspace):
        say(f"unroll: {place} is not used, and {config.name} is trained: {reason}.")
        return None
    with whole(Path(workspace.out), replaces=FOLDER) as written:
        shutil.copytree(place / RUN, written)
        (written / "config.yaml").write_text(config.dump(), encoding="utf-8")
    best: dict[str, float] = read_facts(Path(workspace.out))["best"]
    return best


def _refusal(place: Path, workspace: Workspace) -> str:
    """Why a kept run cannot be used; empty if it can."""
    try:
        seal = read_json(place / SEAL, "")
        identity = Identity.read(seal)
    except (BadInput, ValueError):
        return f"its {SEAL} is damaged, or of another version of unroll"
    if not (place / RUN).is_dir() or seal.get("run") != digest_of([place / RUN]):
        return "it is damaged"
    if differences := identity.differences(workspace.identity):
        return f"it was trained with other {' and '.join(differences)}"
    return ""


def _place(workspace: Workspace) -> Path:
    return KEPT / workspace.folder.name
