"""What may be deleted to free disk space: found, measured, shown, and deleted when a person agrees."""

from unroll.disk.clean import KINDS, clean, overview

__all__ = ["KINDS", "clean", "overview"]
