"""What figures are measured on: the records and their targets, however a network reads its input."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from unroll.config import Config
from unroll.data.vocabularies import Vocabularies
from unroll.experiment.prepared_data import PreparedData
from unroll.outputs import to_json
from unroll.tracking.provenance import SHORT, digest_of


def measured_on(config: Config, data: PreparedData, splits: Mapping[str, Path]) -> dict[str, str]:
    """Digests of the targets' vocabulary and, for each split, of records and targets.

    They do not depend on the vocabulary of the input. Two taggers that read words with other values of
    ``data.min_count``, ``data.lowercase``, ``data.normalize`` or ``data.vectors`` predict the same labels of the same
    words, so their figures are comparable. Words are identified by their spelling.

    Args:
        config: settings of a run.
        data: its prepared data.
        splits: folder of each split.

    Returns:
        ``vocabulary`` and the name of each split, with its digest. Empty if the targets of the task are the symbols
        that it reads: its figures depend on their vocabulary.
    """
    task = config.task.description
    if task.predicts_inputs:
        return {}
    hidden = {name for name, part in data.vocabularies.items()
              if part.kind == "symbols" and name != data.roles.get(task.predicts)}  # fmt: skip
    targets = {name: part for name, part in data.vocabularies.items() if name not in hidden and name != "spelling"}
    digests = {name: _digest(folder, hidden) for name, folder in splits.items()}
    return {"vocabulary": Vocabularies(targets).digest[:SHORT], **digests}


def _digest(split: Path, hidden: set[str]) -> str:
    """Digest of a split without the arrays that number the symbols of the input."""
    names = sorted(path.relative_to(split).as_posix() for path in split.glob("*/*.npy") if path.stem != "contrasts")
    kept = [name for name in names if name not in {f"{field}/values.npy" for field in hidden}]
    return hashlib.sha256(to_json({name: digest_of([split / name]) for name in kept}).encode()).hexdigest()[:SHORT]
