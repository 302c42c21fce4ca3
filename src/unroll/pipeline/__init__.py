"""The pipeline from outside: run what is out of date, with progress, and fail loudly when DVC cannot."""

from unroll.pipeline.repro import force, repro, repro_file

__all__ = ["force", "repro", "repro_file"]
