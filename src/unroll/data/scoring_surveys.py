"""What is collected in the first pass about the fields that only figures read."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from unroll.data.corpus import SPLITS, Corpus
from unroll.data.field_surveys import FieldSurvey
from unroll.data.fields import References
from unroll.data.scoring import GroupVocabulary, ProbeVocabulary, ReferenceVocabulary
from unroll.data.units import joined
from unroll.errors import BadInput
from unroll.terminal import say


class ProbeSurvey(FieldSurvey):
    """Collects groups of probed steps in each split; those of train and validation are known."""

    def __init__(self) -> None:
        self.groups: dict[str, set[str]] = {split: set() for split in SPLITS}

    def note(self, split: str, value: Sequence[tuple[int, str, str]]) -> None:
        self.groups[split].update(group for _, group, _ in value)

    @property
    def known(self) -> set[str]:
        """The groups that are measured."""
        return self.groups["train"] | self.groups["validation"]

    def vocabulary(self) -> ProbeVocabulary:
        return ProbeVocabulary(tuple(_in_order(self.known)))

    def conclude(self, corpus: Corpus, splits: Sequence[str]) -> None:
        if not self.known:
            raise BadInput(
                f"{corpus.file('train')}: neither train nor validation has probed steps, and groups that occur only in "
                "the test split are unknown; mark steps there, too, or remove the probe with ~data.reader.probe."
            )
        for split in splits:
            if split != "train" and not self.groups[split]:
                say(f"unroll: the {split} split ({corpus.file(split)}) has no probed steps, so there are no figures "
                    "of groups.")  # fmt: skip
        if lost := self.groups["test"] - self.known:
            say(f"unroll: the groups {', '.join(_in_order(lost))} occur only in the test split "
                f"({corpus.file('test')}); they are not measured.")  # fmt: skip


def _in_order(groups: set[str]) -> list[str]:
    """Sort numbers by value, then names alphabetically."""
    return sorted(groups, key=lambda group: (int(group) if group.isdigit() else 0, group))


class ReferenceSurvey(FieldSurvey):
    """Checks that right answers can be stored one per line.

    Args:
        field: the references.
    """

    def __init__(self, field: References) -> None:
        self.written = field.written

    def fault(self, value: Sequence[Sequence[str]]) -> str:
        has_break = any("\n" in joined(answer, self.written) for answer in value)
        return "a right answer has a line break" if has_break else ""

    def vocabulary(self) -> ReferenceVocabulary:
        return ReferenceVocabulary()


class GroupSurvey(FieldSurvey):
    """Collects the groups of records; those of all splits, since no network reads them."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def note(self, split: str, value: Sequence[str]) -> None:  # noqa: ARG002  # groups of all splits are alike
        self.names.update(value)

    def vocabulary(self) -> GroupVocabulary:
        return GroupVocabulary(tuple(sorted(self.names - {""}, key=_first_number)))


def _first_number(group: str) -> tuple[float, str]:
    """Sort key: the first number in a name, such as 7 of 7-9; names without one come last."""
    found = re.search(r"\d+", group)
    return (int(found[0]) if found else math.inf, group)
