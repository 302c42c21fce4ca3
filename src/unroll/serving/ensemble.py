"""Several runs whose predictions are combined."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unroll.config.decoders import RecurrentDecoderConfig
from unroll.errors import BadInput
from unroll.experiment import Trained


def ensemble(folders: Sequence[Path]) -> list[Trained]:
    """Load the runs of an ensemble, or a single run.

    The log-probability of a symbol is the mean of those of the runs, see
    :func:`unroll.networks.search.search`. The first run decides how a text is read, how wide the beam is, and how long
    answers may be.

    Args:
        folders: of the runs, at least one.

    Raises:
        BadInput: a folder is not a run; or there are several, and their predictions cannot be combined.
    """
    runs = [Trained.load(folder) for folder in folders]
    for folder, run in zip(folders, runs, strict=True):
        if len(runs) > 1:
            _refuse_other_task(folder, run)
            _refuse_other_symbols((folders[0], folder), (runs[0], run))
    return runs


def _refuse_other_task(folder: Path, run: Trained) -> None:
    description = run.config.task.description
    if "decoder" not in description.blocks:
        raise BadInput(f"{folder} is a run of task={description.name}, which does not search for answers and has no "
                       "ensembles; leave out --with.")  # fmt: skip


def _refuse_other_symbols(folders: tuple[Path, Path], runs: tuple[Trained, Trained]) -> None:
    """Refuse two runs that do not read and predict the same symbols."""
    names = " and ".join(map(str, folders))
    description = runs[0].config.task.description
    for role in (description.source, description.predicts):
        one, other = (run.vocabulary.symbols(str(role)) for run in runs)
        if one != other:
            raise BadInput(f"{names} have different vocabularies of the {role} ({len(one.symbols):,} and "
                           f"{len(other.symbols):,} symbols); give runs that were trained on the same corpus, read in "
                           "the same way.")  # fmt: skip
    if _copies(runs[0]) != _copies(runs[1]):
        raise BadInput(f"{names} do not both copy symbols of the source, so that they predict different symbols; give "
                       "runs with one setting of arch.decoder.copying.")  # fmt: skip


def _copies(run: Trained) -> bool:
    decoder = run.config.arch.decoder
    return isinstance(decoder, RecurrentDecoderConfig) and decoder.copying
