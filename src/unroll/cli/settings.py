"""Settings of a run from the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from unroll.errors import BadInput

if TYPE_CHECKING:
    from unroll.config import Config


def composed(words: Sequence[str]) -> Config:
    """Compose the settings of a run.

    Args:
        words: settings of the command line.

    Raises:
        BadInput: a setting is invalid; for a budget in epochs, with the tokens of an epoch if the data are prepared.
    """
    from unroll import config

    try:
        return config.compose(words)
    except config.InEpochs as error:
        raise BadInput(f"{error}{_epoch(words)}") from None


def _epoch(words: Sequence[str]) -> str:
    """A sentence with the number of tokens in an epoch of the corpus; empty if it is not known."""
    from unroll import config, preparation

    try:
        run = config.compose([word for word in words if not config.is_in_epochs(word.partition("=")[0])])
    except BadInput:
        return ""
    tokens = preparation.tokens_of_epoch(run)
    return f" An epoch of data={run.data.name} has about {tokens:,} tokens: training.tokens={tokens}." if tokens else ""
