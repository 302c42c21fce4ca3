"""Identity of a run: its settings on this machine, its data, its code, and its folders."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import cast

from unroll import plugins
from unroll.config import Config
from unroll.data.prepared import open_vocabularies
from unroll.errors import BadInput
from unroll.experiment.trained import is_whole, read_facts
from unroll.experiment.workspace import Workspace, workspace_of
from unroll.outputs import to_json
from unroll.tracking.provenance import code_digest, digest_of, fingerprint
from unroll.training.checkpoint import Identity
from unroll.training.precision import arithmetic, resolved


def finished(config: Config, prepared: Path, out: Path) -> dict[str, float] | None:
    """Figures of the best validation of a run that is already finished and tracked; None otherwise.

    Points that MLflow lacks do not count: ``unroll sync`` sends them.

    Args:
        config: settings of the run.
        prepared: folder with ``fit/``.
        out: folder of the run.
    """
    workspace = workspace_of_run(with_precision(config), prepared, out)
    try:
        facts = read_facts(out)
    except BadInput:  # missing or unusable
        return None
    is_same = facts["fingerprint"] == workspace.mark and is_whole(out, facts)
    is_tracked = is_same and (not workspace.folder.exists() or workspace_of(out) is not None)
    return cast(dict[str, float], facts["best"]) if is_tracked else None


def workspace_of_run(config: Config, prepared: Path, out: Path) -> Workspace:
    """The working folder of a run, identified by the settings, data, code and machine that determine its result."""
    identity = Identity(config.digest(), digest_of([prepared / "fit"]), _code(config), arithmetic())
    return Workspace(config.name, out, fingerprint(identity.settings, identity.data, identity.code), identity)


def _code(config: Config) -> str:
    """SHA-256 of the code that the run depends on: the package and the plug-ins that it uses."""
    own = plugins.digests(config.parts)
    return hashlib.sha256(to_json([code_digest(), own]).encode()).hexdigest() if own else code_digest()


def with_precision(config: Config) -> Config:
    """The settings with precision ``auto`` resolved for this machine."""
    return set_precision(config, resolved(config.training.precision))


def set_precision(config: Config, precision: str) -> Config:
    """The settings with another precision."""
    return config.model_copy(update={"training": config.training.model_copy(update={"precision": precision})})


def adhoc_name(config: Config, prepared: Path) -> str:
    """Folder of a run outside the pipeline: ``<experiment>-<arch>-<seed>-<fingerprint>``.

    Raises:
        BadInput: there is no prepared data.
    """
    open_vocabularies(prepared)  # refuses other folders
    mark = fingerprint(with_precision(config).digest(), digest_of([prepared / "fit"]), _code(config))
    return f"{config.name.replace('/', '-')}-{mark[:12]}"
