"""Error reporting: one sentence on standard error, and an exit status."""

from __future__ import annotations

import re
import sys
from types import TracebackType

from unroll.credentials import without_secrets
from unroll.errors import (
    BadInput,
    Interrupted,
    NotCertified,
    ProcessLost,
    StageFailed,
    is_lack_of_memory,
    lack_of_memory,
)
from unroll.launching import place
from unroll.plugins import place_of
from unroll.terminal import printable, say

LONGEST = 1000  # characters of a word in a message
NOTHING_LOST = "interrupted; nothing was left half-written."


def report(error: BaseException) -> int | None:
    """Print the message of an error.

    Args:
        error: exception that ended the command.

    Returns:
        The exit status; None, with nothing printed, for a bug in the program.
    """
    match error:
        case BadInput():
            return _end(2, str(error), once=True)
        case Interrupted():
            return _end(128 + error.number, error.sentence or NOTHING_LOST, once=True)
        case KeyboardInterrupt():
            return _end(130, NOTHING_LOST, once=True)
        case ProcessLost() | NotCertified() | StageFailed():
            return _end(1, str(error))
        case ModuleNotFoundError():
            return _end(2, f"this requires the package {error.name}: pip install -e '.[all]'")
        case OSError():
            return _end(2, f"{error.filename or 'a file'}: {error.strerror or error}; fix that and try again.")
        case _ if is_lack_of_memory(error):
            return _end(2, str(lack_of_memory(error)))
        case Exception() if (place_in_own_code := place_of(error)) is not None:
            reason = " ".join(str(error).split())[:300].rstrip(".")
            return _end(2, f"{place_in_own_code}: {type(error).__name__}: {reason}; correct the line.", once=True)
    return None


def _end(status: int, sentence: str, once: bool = False) -> int:
    """Print a sentence without passwords; with ``once``, from one process per machine only."""
    if not once or place().local_rank == 0:
        say(f"unroll: {_shortened(printable(without_secrets(sentence)))}")
    return status


def _shortened(sentence: str) -> str:
    """A sentence without the middles of words that no terminal shows as a whole; they are longer than most paths."""
    return re.sub(rf"\S{{{LONGEST},}}", lambda word: f"{word[0][:100]}…{word[0][-100:]}", sentence)


def show_unexpected(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print the traceback of an unexpected exception, without passwords."""
    import traceback

    print(without_secrets("".join(traceback.format_exception(kind, error, trace))), end="", file=sys.stderr)
