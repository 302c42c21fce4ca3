"""Disk space: find files that are not needed, show their sizes, and delete them after confirmation."""

from unroll.disk.clean import KINDS, clean, overview

__all__ = ["KINDS", "clean", "overview"]
