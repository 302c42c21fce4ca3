"""Settings: composed by Hydra from ``conf/``, checked by pydantic, resolved to one plain YAML per run.

Defaults stand in YAML alone; every field has its sentence, which ``unroll config --explain`` prints.
"""

from unroll.config.architectures import NgramConfig
from unroll.config.compose import (
    CONF,
    asked,
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
from unroll.config.explanation import explain, sections
from unroll.config.schema import Config
from unroll.config.studies import StudySettings, compose_study, compose_study_from, load_study, studies
from unroll.config.study import StudyConfig

__all__ = [
    "CONF", "Config", "DataConfig", "NgramConfig", "StudyConfig", "StudySettings", "about", "asked", "check",
    "check_root", "complete_data", "compose", "compose_study",
    "compose_study_from", "corpora", "course", "dump_data", "explain", "grid", "load",
    "load_data", "load_study", "resolve", "sections", "studies",
]  # fmt: skip
