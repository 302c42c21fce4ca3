"""How a command ends that did not go well: one sentence on standard error, and an exit status."""

from __future__ import annotations

import sys
from types import TracebackType

from unroll.credentials import without_secrets
from unroll.errors import BadInput, NotCertified, ProcessLost, StageFailed, is_lack_of_memory, lack_of_memory
from unroll.launching import place


def report(error: BaseException) -> int | None:
    """Print the sentence for an error.

    Args:
        error: what ended the command.

    Returns:
        The exit status; None, with nothing printed, if the error is a fault of the program.
    """
    match error:
        case BadInput():
            return _end(2, str(error), once=True)
        case KeyboardInterrupt():
            return _end(130, "interrupted; nothing was left half-written.", once=True)
        case ProcessLost() | NotCertified() | StageFailed():
            return _end(1, str(error))
        case ModuleNotFoundError():
            return _end(2, f"this needs the package {error.name}: pip install -e '.[all]'")
        case OSError():
            return _end(2, f"{error.filename or 'a file'}: {error.strerror or error}; fix that and try again.")
        case _ if is_lack_of_memory(error):
            return _end(2, str(lack_of_memory(error)))
    return None


def _end(status: int, sentence: str, once: bool = False) -> int:
    """Print a sentence without passwords; ``once`` if all processes of a machine have found the same."""
    if not once or place().local_rank == 0:
        print(f"unroll: {without_secrets(sentence)}", file=sys.stderr)
    return status


def show_unexpected(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show what nobody has caught, as Python does, but for the passwords in it."""
    import traceback

    print(without_secrets("".join(traceback.format_exception(kind, error, trace))), end="", file=sys.stderr)
