"""Keys that a study may search: all but those that must be equal for trials to be comparable."""

from __future__ import annotations

from collections.abc import Iterable

from unroll.config.schema import is_neutral

UNSEARCHED = {  # keys that must be equal for all trials, and why
    "experiment": "a study belongs to one experiment",
    "data": "figures on different corpora cannot be compared",
    "task": "figures of different tasks cannot be compared",
    "task.name": "figures of different tasks cannot be compared",
    "arch.name": "it is only a name; search arch, with the names of files in conf/arch",
    "training": "it contains the budget of tokens, which is equal for all trials",
    "training.tokens": "trials are compared at an equal budget of tokens",
    "training.validations": "trials are compared at their validations, which must be at equal numbers of tokens",
    "training.evaluation_streams": "the same weights get different figures with a different number of streams",
    "training.state_reset": "the same weights get another figure when the state is reset elsewhere",
    "training.patience": "trials are compared at an equal budget of tokens",
}
INPUTS = ("data.lowercase", "data.min_count", "data.normalize", "data.vectors")  # keys that define how words are read
CORPUS = "it changes the data on which the validation figure is measured, so trials would not be comparable"


def refusal(key: str, predicts_inputs: bool = False) -> str | None:
    """The reason why a key cannot be searched; None if it can.

    Args:
        key: dotted name of a setting.
        predicts_inputs: whether the targets of the task are the tokens that it reads. A small vocabulary makes the
            task of a language model easier, so figures on two vocabularies cannot be compared; a tagger's can.
    """
    if key in UNSEARCHED:
        return UNSEARCHED[key]
    if key == "question" or is_neutral(key):
        return "it does not change the result"
    if key.partition(".")[0] == "data" and (predicts_inputs or key not in INPUTS):
        return CORPUS
    return None


def refused(keys: Iterable[str], predicts_inputs: bool = False) -> str | None:
    """A clause about the first key that cannot be searched; None if all can."""
    for key in keys:
        if reason := refusal(key, predicts_inputs):
            return f"{key} cannot be searched: {reason}"
    return None
