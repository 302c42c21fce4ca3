"""Exceptions that end a command with a one-sentence message."""

from __future__ import annotations

import re
from collections.abc import Iterable


class BadInput(ValueError):
    """One clear sentence that names the place and the remedy; the command line prints it and exits with 2."""


class Suspended(BadInput):
    """A run was stopped from outside, through no fault of its own, and can resume from its checkpoint."""


class Unavailable(Suspended):
    """The machine lacks something that a run needs, such as disk space; the settings are not the cause."""


class ProcessLost(RuntimeError):
    """Another process of the same training has ended; the command line prints it and exits with 1."""


class StageFailed(RuntimeError):
    """A stage of the pipeline has failed; the command line prints it and exits with 1."""


class NotCertified(RuntimeError):
    """The results of a run depend on something they must not; the command line prints it and exits with 1."""


class Interrupted(BaseException):
    """Ctrl-C was pressed or SIGTERM was received, and the command has stopped where it can resume.

    Not a KeyboardInterrupt, upon which Lightning ignores further ones and ends the process.

    Args:
        number: the signal.
        sentence: state in which the command has stopped; empty if there is nothing to report.
    """

    def __init__(self, number: int, sentence: str = "") -> None:
        super().__init__(sentence)
        self.number, self.sentence = number, sentence


def is_lack_of_memory(error: BaseException) -> bool:
    """Whether an error means that the machine or a GPU is out of memory; torch has no single class for it."""
    said = (
        "can't allocate memory",
        "not enough memory",
        "out of memory",
        "calculation overflow",
        "multiplication overflow",
    )
    sized = isinstance(error, RuntimeError) and any(words in str(error).lower() for words in said)
    return isinstance(error, MemoryError) or sized


def lack_of_memory(error: BaseException) -> BadInput:
    """The error message for :func:`is_lack_of_memory`."""
    asked = re.search(r"(?i)allocate ([\d.]+ ?\w+)", str(error))
    return BadInput(f"There is not enough memory{f' to allocate {asked[1]}' if asked else ''}; lower "
                    "arch.encoder.hidden_size, arch.inputs.size, training.batch_size or "
                    "training.truncation_length.")  # fmt: skip


def no_such(kind: str, name: object, choices: Iterable[object]) -> BadInput:
    """The error for an unknown name, with the closest choice and all choices."""
    known = [*map(str, choices)]  # in files of someone else, a name may be a number
    return BadInput(f"There is no {kind} {name!r}{nearest(name, known)}; choose one of {', '.join(known)}.")


def nearest(word: object, choices: Iterable[object]) -> str:
    """A hint with the choice closest to a word; empty if none is close."""
    import difflib

    known = [*map(str, choices)]
    alike = [choice for choice in known if choice.lower() == str(word).lower()]
    near = alike or difflib.get_close_matches(str(word), known, n=1, cutoff=0.5)
    return f" (did you mean {near[0]}?)" if near else ""
