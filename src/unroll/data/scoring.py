"""Vocabularies of the fields that only figures read: probed steps, right answers, and the groups of records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from unroll.data.batch import FieldSpec
from unroll.data.vocabulary import Vocabulary


@dataclass(frozen=True)
class ProbeVocabulary(Vocabulary):
    """The groups of probed steps.

    Args:
        names: all groups by number.
    """

    kind: ClassVar[str] = "probe"
    names: tuple[str, ...]

    @cached_property
    def index(self) -> dict[str, int]:
        """Number of each group."""
        return {name: number for number, name in enumerate(self.names)}

    @property
    def spec(self) -> FieldSpec:
        return FieldSpec(len(self.names), self.names)


@dataclass(frozen=True)
class ReferenceVocabulary(Vocabulary):
    """Right answers, which are stored as text: the bytes of UTF-8, one answer per line."""

    kind: ClassVar[str] = "references"

    @property
    def spec(self) -> FieldSpec:
        return FieldSpec(256)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """The bytes of the answers of one record: [N]."""
        return np.frombuffer("\n".join(texts).encode(), np.uint8)

    def decode(self, values: Sequence[int]) -> list[str]:
        """The answers of one record from their bytes, without padding."""
        return bytes(values).decode().split("\n")


@dataclass(frozen=True)
class GroupVocabulary(Vocabulary):
    """The groups of records. They are those of all splits, since only figures read them.

    Args:
        names: all groups by number.
    """

    kind: ClassVar[str] = "groups"
    names: tuple[str, ...]

    @cached_property
    def index(self) -> dict[str, int]:
        """Number of each group, and of none."""
        return {"": -1} | {name: number for number, name in enumerate(self.names)}

    @property
    def spec(self) -> FieldSpec:
        return FieldSpec(len(self.names), self.names)
