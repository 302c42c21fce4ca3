"""This project's own tracker, whatever tracker the settings of a run name.

A run may have been written by somebody else. Its tracker would be sent figures, and the password of this project's.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unroll.config.compose import CONF, check_section, project_defaults
from unroll.config.file import Pairs, parsed, read
from unroll.config.schema import Config, TrackingConfig
from unroll.credentials import in_settings, public
from unroll.errors import no_such

NOTHING = {"name": "none", "uri": None, "system_metrics": False, "log_model": False}


def tracking_here(run: Config, origin: Path, words: Sequence[str]) -> TrackingConfig:
    """The tracker for a run whose settings come from a file: this project's, or none where the file has none.

    What is logged beside the figures is as the file has it.

    Args:
        run: its settings.
        origin: their file, which a message names.
        words: settings of tracking from the command line, which come first.

    Raises:
        BadInput: a setting of ``conf/`` or of the command line is wrong.
    """
    typed = parsed(words, "tracking=none")
    if run.tracking.name == "none" and not typed:
        return run.tracking
    here = _project_tracking(run.experiment, typed)
    kept = {key: getattr(run.tracking, key) for key in ("system_metrics", "log_model")
            if f"tracking.{key}" not in dict(typed)}  # fmt: skip
    chosen = check_section(TrackingConfig, here | kept, " ".join(words) or str(CONF / "tracking"))
    if not typed and run.tracking.uri and is_same_store(run.tracking.uri, chosen.uri):
        return run.tracking
    if not typed:
        say_of_another(origin, "tracker", run.tracking.uri, chosen.uri)
    return chosen


def project_tracker(experiment: str) -> str | None:
    """URI of this project's tracker for an experiment; None where nothing is tracked."""
    uri: str | None = _project_tracking(experiment, [])["uri"]
    return uri


def study_file(name: str) -> dict[str, Any]:
    """Settings of a study as its file in ``conf/`` has them; nothing if it has no file."""
    path = CONF / "study" / f"{name}.yaml"
    return read(path) if path.is_file() else {}


def is_same_store(one: str, two: str | None) -> bool:
    """Whether two URIs name the same store: a file of SQLite may be written in several ways."""
    return two is not None and _place(one) == _place(two)


def say_of_another(origin: Path, kind: str, named: str | None, used: str | None) -> None:
    """Report that a file names a store which is not used."""
    if named and not is_same_store(named, used):
        print(f"unroll: {origin} names another {kind}, {named}; this project's is used: {used or 'none'}.",
              file=sys.stderr)  # fmt: skip


def _project_tracking(experiment: str, typed: Pairs) -> dict[str, Any]:
    """Tracking as ``conf/`` and the command line have it; outside a project, as the command line alone has it."""
    from omegaconf import OmegaConf

    if not (CONF / "config.yaml").is_file():
        uri = dict(typed).get("tracking.uri")
        return NOTHING | {"name": "mlflow" if uri else "none", "uri": uri}
    pairs = [*_defaults(project_defaults()), *_layers(experiment), *typed]
    choice, files = str(dict(pairs).get("tracking")), sorted(path.stem for path in (CONF / "tracking").glob("*.yaml"))
    if choice not in files:
        raise no_such("tracking", choice, files)
    dotted = {key.partition(".")[2]: value for key, value in pairs if key != "tracking"}
    content = {**read(CONF / "tracking" / f"{choice}.yaml"), **dotted}
    made: dict[str, Any] = in_settings(OmegaConf.to_container(OmegaConf.create(content), resolve=True), public)
    return made


def _layers(experiment: str) -> Pairs:
    """Tracking in the file of an experiment, or in those of a study and its experiment."""
    study = study_file(experiment)
    path = CONF / "experiment" / f"{study.get('experiment', experiment)}.yaml"
    content = read(path) if path.is_file() else {}
    section = {f"tracking.{key}": value for key, value in (content.get("tracking") or {}).items()}
    of_trials = study.get("settings") or {}
    own = {key: value for key, value in of_trials.items() if key.partition(".")[0] == "tracking"}
    return [*_defaults(content), *section.items(), *own.items()]


def _defaults(content: dict[str, Any]) -> Pairs:
    """The choice of a tracker in Hydra's list of defaults."""
    entries = [entry for entry in content.get("defaults") or () if isinstance(entry, dict)]
    return [("tracking", value) for entry in entries for key, value in entry.items()
            if key.removeprefix("override ").removeprefix("/") == "tracking"]  # fmt: skip


def _place(uri: str) -> str:
    file = uri.removeprefix("sqlite:///")
    return uri if file == uri else str(Path(file).resolve())
