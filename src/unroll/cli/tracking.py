"""Tracking settings, the only settings accepted for a finished run."""

from __future__ import annotations

from collections.abc import Sequence

from unroll.cli.parser import Parser, add_settings
from unroll.errors import BadInput


def add_tracking(parser: Parser) -> None:
    """Add tracking settings to the arguments of a verb; :func:`tracking_words` checks them."""
    add_settings(parser, "tracking=NAME or tracking.uri=URI, instead of conf/tracking")


def tracking_words(words: Sequence[str]) -> Sequence[str]:
    """The settings, unchanged.

    Raises:
        BadInput: a setting does not concern tracking.
    """
    for word in words:
        if not word.startswith("tracking"):
            raise BadInput(f"{word!r} would change a finished run; only tracking settings are accepted here, such as "
                           "tracking=none.")  # fmt: skip
    return words
