"""Fields: the named values of a record, and the kinds of value that there are.

A reader yields records, mappings from field name to value, and declares the kind of each of its fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Symbols:
    """Symbols of a vocabulary, one per step. Value: a sequence of texts.

    Args:
        unit: what a symbol is: ``words`` or ``characters``.
    """

    kind: ClassVar[str] = "symbols"
    unit: str


@dataclass(frozen=True)
class Frames:
    """Real vectors of one width, one per step. Value: a sequence of sequences of numbers."""

    kind: ClassVar[str] = "frames"


@dataclass(frozen=True)
class Labels:
    """A category per step of another field. Value: a sequence of texts.

    Args:
        of: the other field.
        scheme: ``bio`` if labels mark spans, as ``O``, ``B-…`` and ``I-…``; else None.
        column: where in a line of the file they are, in words; empty where lines have no columns.
    """

    kind: ClassVar[str] = "labels"
    of: str
    scheme: str | None = None
    column: str = ""


@dataclass(frozen=True)
class Probe:
    """Steps of another field that are measured apart. Value: (step, group, symbol that it must beat or "") of each.

    Args:
        of: the other field.
    """

    kind: ClassVar[str] = "probe"
    of: str


@dataclass(frozen=True)
class Category:
    """One of K categories. Value: a text."""

    kind: ClassVar[str] = "category"


@dataclass(frozen=True)
class Number:
    """One real number. Value: a float."""

    kind: ClassVar[str] = "number"


@dataclass(frozen=True)
class Picture:
    """An image. Value: an array of bytes, C × H × W, of one shape in the whole corpus."""

    kind: ClassVar[str] = "picture"


@dataclass(frozen=True)
class DocumentStart:
    """Whether a document begins with the record. Value: true or false."""

    kind: ClassVar[str] = "document_start"


Field = Symbols | Frames | Labels | Probe | Category | Number | Picture | DocumentStart
