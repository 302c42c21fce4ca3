"""Settings of tracking, the only ones that a finished run takes."""

from __future__ import annotations

from collections.abc import Sequence

from unroll.cli.parser import Parser, add_settings
from unroll.errors import BadInput


def add_tracking(parser: Parser) -> None:
    """Have a verb take settings of tracking, which :func:`tracking_words` checks."""
    add_settings(parser, "tracking=NAME or tracking.uri=URI, instead of conf/tracking")


def tracking_words(words: Sequence[str]) -> Sequence[str]:
    """Settings as they were given.

    Raises:
        BadInput: one is not of tracking.
    """
    for word in words:
        if not word.startswith("tracking"):
            raise BadInput(f"{word!r} changes a finished run; settings of tracking may be given here, such as "
                           "tracking=none.")  # fmt: skip
    return words
