"""The exceptions that end a command with a sentence: what a person can correct, and what went wrong without them."""

from __future__ import annotations

import re
from collections.abc import Iterable


class BadInput(ValueError):
    """One clear sentence that names the place and the remedy; the command line prints it and exits with 2."""


class Suspended(BadInput):
    """A run that was ended from outside, through no fault of its own, and goes on from its checkpoint."""


class Unavailable(Suspended):
    """What a run needs of its machine is not there, such as room on the disk; its settings are not to blame."""


class ProcessLost(RuntimeError):
    """A process that trained together with this one has ended; the command line prints it and exits with 1."""


class StageFailed(RuntimeError):
    """A stage of the pipeline has failed; the command line prints it and exits with 1."""


class NotCertified(RuntimeError):
    """A run's numbers depend on what they must not; the command line prints it and exits with 1."""


def is_lack_of_memory(error: BaseException) -> bool:
    """Whether there was not enough memory, of the machine or of a GPU: torch has no one class for it."""
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
    """The sentence for :func:`is_lack_of_memory`."""
    asked = re.search(r"(?i)allocate ([\d.]+ ?\w+)", str(error))
    return BadInput(f"There is not enough memory{f' to allocate {asked[1]}' if asked else ''}; lower "
                    "recurrent.hidden_size, recurrent.embedding_size, training.batch_size or "
                    "training.truncation_length.")  # fmt: skip


def no_such(kind: str, name: str, choices: Iterable[str]) -> BadInput:
    """The error for a name that is not one of the choices, with the nearest of them and all."""
    known = list(choices)
    return BadInput(f"There is no {kind} {name!r}{nearest(name, known)}; choose one of {', '.join(known)}.")


def nearest(word: str, choices: Iterable[str]) -> str:
    """What is added to an error about a word: the choice that it is close to, or nothing."""
    import difflib

    near = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.5)
    return f" (did you mean {near[0]}?)" if near else ""
