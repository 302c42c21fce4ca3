"""Settings: composed by Hydra from ``conf/``, checked by pydantic, resolved to one plain YAML per run.

Defaults are defined in YAML only. Each field has a description, which ``unroll config --explain`` prints.
"""

from unroll.config.compose import (
    check,
    check_root,
    complete_data,
    compose,
    corpora,
    dump_data,
    load,
    load_data,
)
from unroll.config.corpus import DataConfig
from unroll.config.course import about, course, grid, resolve
from unroll.config.experiments import CONF, asked
from unroll.config.explanation import keys, sections
from unroll.config.file import read
from unroll.config.habits import InEpochs, is_in_epochs, option
from unroll.config.hydra import literal
from unroll.config.messages import GROUPS
from unroll.config.overrides import setting_of
from unroll.config.places import check_files, load_data_here, load_here, load_study_here
from unroll.config.reference import explain
from unroll.config.schema import Config, TrackingConfig, decisive
from unroll.config.stages import grid_file, refuse_stale, stages, write_grid
from unroll.config.studies import StudySettings, compose_study, compose_study_from, load_study, studies
from unroll.config.study import StudyConfig
from unroll.config.trackers import is_same_store, project_tracker, tracking_here

__all__ = [
    "CONF",
    "GROUPS",
    "Config",
    "DataConfig",
    "InEpochs",
    "StudyConfig",
    "StudySettings",
    "TrackingConfig",
    "about",
    "asked",
    "check",
    "check_files",
    "check_root",
    "complete_data",
    "compose",
    "compose_study",
    "compose_study_from",
    "corpora",
    "course",
    "decisive",
    "dump_data",
    "explain",
    "grid",
    "grid_file",
    "is_in_epochs",
    "is_same_store",
    "keys",
    "literal",
    "load",
    "load_data",
    "load_data_here",
    "load_here",
    "load_study",
    "load_study_here",
    "option",
    "project_tracker",
    "read",
    "refuse_stale",
    "resolve",
    "sections",
    "setting_of",
    "stages",
    "studies",
    "tracking_here",
    "write_grid",
]  # fmt: skip
