"""What a study may search: not what its trials must have in common for their figures to be comparable."""

from __future__ import annotations

from collections.abc import Iterable

UNSEARCHED = {  # keys that all trials must have in common, and why
    "experiment": "a study belongs to one experiment",
    "data": "figures on different corpora cannot be compared",
    "task": "figures of different tasks cannot be compared",
    "task.name": "figures of different tasks cannot be compared",
    "arch.name": "it is only a name; search arch, with the names of its files",
    "training": "it has the budget of tokens, which is equal for all trials",
    "training.tokens": "trials are compared at an equal budget of tokens",
    "training.validations": "trials are compared at equal numbers of tokens, which are those of their validations",
    "training.evaluation_streams": "the same weights get another figure when they are evaluated in other streams",
    "training.devices": "it does not change the result",
    "training.checkpoint_seconds": "it does not change the result",
}
NEUTRAL = ("tracking", "question")  # sections that do not change a result
INPUTS = ("data.lowercase", "data.min_count", "data.normalize", "data.vectors")  # how words are read
CORPUS = "it changes what the validation figure is measured on, so that trials could not be compared"


def refusal(key: str, predicts_inputs: bool = False) -> str | None:
    """Why a key cannot be searched; None if it can.

    Args:
        key: a setting, dotted.
        predicts_inputs: whether the task's targets are the tokens that it reads. A language model on a vocabulary of
            few words has an easy task: its figures on two vocabularies cannot be compared, while a tagger's can.
    """
    if key in UNSEARCHED:
        return UNSEARCHED[key]
    section = key.partition(".")[0]
    if section in NEUTRAL:
        return "it does not change the result"
    if section == "data" and (predicts_inputs or key not in INPUTS):
        return CORPUS
    return None


def refused(keys: Iterable[str], predicts_inputs: bool = False) -> str | None:
    """A clause on the first key that cannot be searched; None if all can."""
    for key in keys:
        if reason := refusal(key, predicts_inputs):
            return f"{key} cannot be searched: {reason}"
    return None
