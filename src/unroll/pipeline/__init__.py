"""The pipeline: run the stages that are out of date, with progress, and report failures of DVC."""

from unroll.pipeline.repro import force, repro, repro_file

__all__ = ["force", "repro", "repro_file"]
