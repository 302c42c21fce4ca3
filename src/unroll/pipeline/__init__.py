"""The pipeline: run the stages that are out of date, with progress, report failures of DVC, and show the graph."""

from unroll.pipeline.graph import graph
from unroll.pipeline.repro import force, repro, repro_file

__all__ = ["force", "graph", "repro", "repro_file"]
