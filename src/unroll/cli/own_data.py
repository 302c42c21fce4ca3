"""The data of a finished run, prepared again from its own settings."""

from __future__ import annotations

from pathlib import Path


def prepared_of(run: Path) -> Path:
    """Folder with the prepared corpus of a run, in the cache.

    Raises:
        BadInput: the folder is not a run, its settings name a file outside this project, or a file is missing.
    """
    from unroll import config, preparation
    from unroll.experiment import Trained

    data = Trained.load(run).config.data  # refuses what is no run
    config.check_root()
    config.check_files(data, run / "config.yaml", ["data"], None)
    return preparation.prepared(data)
