"""This project's own tracker, whatever tracker the settings of a run name.

A run may come from someone else, whose tracker would receive this project's figures and password.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unroll.config.compose import check_section
from unroll.config.experiments import CONF, project_defaults
from unroll.config.file import Pairs, read
from unroll.config.schema import Config, TrackingConfig
from unroll.config.section import Settings, plain
from unroll.config.words import pairs_of
from unroll.credentials import in_settings, public
from unroll.errors import no_such
from unroll.terminal import say

NOTHING = {"name": "none", "uri": None, "system_metrics": False, "log_model": False}


def tracking_here(run: Config, origin: Path, words: Sequence[str]) -> TrackingConfig:
    """The tracker of a run loaded from a file: this project's, or none if the file has none.

    What is logged in addition to the figures is taken from the file.

    Args:
        run: settings of the run.
        origin: their file, for messages.
        words: tracking settings from the command line, which take precedence.

    Raises:
        BadInput: a setting in ``conf/`` or on the command line is invalid.
    """
    typed = pairs_of(words, "tracking=none")
    if run.tracking.name == "none" and not typed:
        return run.tracking
    here = _project_tracking(run.experiment, typed)
    kept = {key: getattr(run.tracking, key) for key in ("system_metrics", "log_model")
            if f"tracking.{key}" not in dict(typed)}  # fmt: skip
    chosen = check_section(TrackingConfig, here | kept, " ".join(words) or str(CONF / "tracking"))
    if not typed and run.tracking.uri and is_same_store(run.tracking.uri, chosen.uri):
        return run.tracking
    if not typed:
        report_other_store(origin, "tracker", run.tracking.uri, chosen.uri)
    return chosen


def project_tracker(experiment: str) -> str | None:
    """URI of this project's tracker for an experiment; None if tracking is off."""
    uri: str | None = _project_tracking(experiment, [])["uri"]
    return uri


def study_file(name: str) -> Settings:
    """Settings in the file of a study in ``conf/``; empty if it has no file."""
    path = CONF / "study" / f"{name}.yaml"
    return read(path) if path.is_file() else {}


def is_same_store(one: str, two: str | None) -> bool:
    """Whether two URIs name the same store; a path of SQLite can be written in several ways."""
    return two is not None and _place(one) == _place(two)


def report_other_store(origin: Path, kind: str, named: str | None, used: str | None) -> None:
    """Report on stderr that the store named in a file is not used."""
    if named and not is_same_store(named, used):
        say(f"unroll: {origin} names another {kind}, {plain(named)}; this project's is used: {used or 'none'}.")


def _project_tracking(experiment: str, typed: Pairs) -> Settings:
    """Tracking settings from ``conf/`` and the command line; outside a project, from the command line only."""
    from omegaconf import OmegaConf

    if not (CONF / "config.yaml").is_file():
        uri = dict(typed).get("tracking.uri")
        return NOTHING | {"name": "mlflow" if uri else "none", "uri": uri}
    pairs = [*_defaults(project_defaults()), *_layers(experiment), *typed]
    choice = str(dict(pairs).get("tracking"))
    files = sorted(path.stem for path in (CONF / "tracking").glob("*.yaml"))
    if choice not in files:
        raise no_such("tracking", choice, files)
    dotted = {key.partition(".")[2]: value for key, value in pairs if key != "tracking"}
    content = {**read(CONF / "tracking" / f"{choice}.yaml"), **dotted}
    made: Settings = in_settings(OmegaConf.to_container(OmegaConf.create(content), resolve=True), public)
    return made


def _layers(experiment: str) -> Pairs:
    """Tracking settings in the file of an experiment, or of a study and its experiment."""
    study = study_file(experiment)
    path = CONF / "experiment" / f"{study.get('experiment') or experiment}.yaml"
    content = read(path) if path.is_file() else {}
    section = {f"tracking.{key}": value for key, value in (content.get("tracking") or {}).items()}
    of_trials = study.get("settings") or {}
    own = {key: value for key, value in of_trials.items() if key.partition(".")[0] == "tracking"}
    return [*_defaults(content), *section.items(), *own.items()]


def _defaults(content: Settings) -> Pairs:
    """The choice of a tracker in Hydra's list of defaults."""
    entries = [entry for entry in content.get("defaults") or () if isinstance(entry, dict)]
    return [("tracking", value) for entry in entries for key, value in entry.items()
            if key.removeprefix("override ").removeprefix("/") == "tracking"]  # fmt: skip


def _place(uri: str) -> str:
    file = uri.removeprefix("sqlite:///")
    return uri if file == uri else str(Path(file).resolve())
