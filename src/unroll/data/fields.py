"""Fields: the named values of a record, and their kinds.

A reader yields records, which map field names to values, and declares the kind of each field.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, get_args

from unroll.errors import nearest

Record = Mapping[str, Any]
NOT_GIVEN = "_"  # a value that a file withholds
GAPS = (NOT_GIVEN, "")  # in place of a label


class Located(dict[str, Any]):
    """A record with its place in the file.

    Args:
        values: value of each field.
        lines: the line of each step; a single one for a record of one line.
    """

    def __init__(self, values: Record, lines: Sequence[int]) -> None:
        super().__init__(values)
        self.lines = lines


def line_of(record: Record, step: int = 0) -> int | None:
    """The line of a step of a record; None if its reader does not give lines."""
    return record.lines[min(step, len(record.lines) - 1)] if isinstance(record, Located) else None


@dataclass(frozen=True)
class Symbols:
    """Symbols of a vocabulary, one per step. Value: a sequence of strings.

    Args:
        unit: ``words``, ``characters``, or ``subwords``, of which the value has the words that are divided.
        size: greatest number of symbols of a vocabulary of subwords.
    """

    kind: ClassVar[str] = "symbols"
    unit: str
    size: int = 0


@dataclass(frozen=True)
class Frames:
    """Real vectors of one width, one per step. Value: a sequence of sequences of numbers."""

    kind: ClassVar[str] = "frames"


@dataclass(frozen=True)
class Labels:
    """A category per step of another field. Value: a sequence of strings.

    Args:
        of: the other field.
        scheme: ``bio`` if labels mark spans, as ``O``, ``B-…`` and ``I-…``; otherwise None.
        column: description of their column in the file; empty if there are no columns.
        has_gaps: whether ``_`` always stands for a label that is not given, as an empty one does; otherwise only if it
            is no label of train.
    """

    kind: ClassVar[str] = "labels"
    of: str
    scheme: str | None = None
    column: str = ""
    has_gaps: bool = False


@dataclass(frozen=True)
class Probe:
    """Steps of another field that are measured separately. Value: a tuple (step, group, symbol to beat or "") for each.

    Args:
        of: the other field.
    """

    kind: ClassVar[str] = "probe"
    of: str


@dataclass(frozen=True)
class Category:
    """One of K categories. Value: a string."""

    kind: ClassVar[str] = "category"


@dataclass(frozen=True)
class Number:
    """One real number. Value: a float."""

    kind: ClassVar[str] = "number"


@dataclass(frozen=True)
class Picture:
    """An image. Value: an array of bytes, C × H × W, with the same shape in the whole corpus."""

    kind: ClassVar[str] = "picture"


@dataclass(frozen=True)
class References:
    """All right values of another field, which only figures read. Value: a sequence of them, the first of them its own.

    Of a record with several, training reads one record each. They are stored as text, so that a right answer counts
    even if the vocabulary lacks its symbols.

    Args:
        to: the other field, of symbols.
        written: the unit by which its symbols become text: ``words``, ``tokens``, ``characters`` or ``subwords``.
    """

    kind: ClassVar[str] = "references"
    to: str
    written: str


@dataclass(frozen=True)
class Groups:
    """The groups to which a record belongs, which only figures read. Value: a sequence of names, "" for no group.

    Args:
        count: number of names of each record.
    """

    kind: ClassVar[str] = "groups"
    count: int


@dataclass(frozen=True)
class DocumentStart:
    """Whether the record starts a new document. Value: a bool."""

    kind: ClassVar[str] = "document_start"


Field = Symbols | Frames | Labels | Probe | Category | Number | Picture | References | Groups | DocumentStart
KINDS = (*(kind.kind for kind in get_args(Field)), "spelling")  # spelling: that of words, which no reader declares


def fault_of_fields(fields: Mapping[str, Field]) -> str:
    """What is wrong with the fields that a reader declares; empty if nothing."""
    for name, field in fields.items():
        if not isinstance(field, Field):
            return f"the field {name!r} is {field!r}, which is not a kind of field, such as Symbols('words')"
        if isinstance(field, Labels | Probe):
            kinds = Symbols if isinstance(field, Probe) else Symbols | Frames
            others = [other for other, kind in fields.items()
                      if isinstance(kind, kinds) and getattr(kind, "unit", "") != "subwords"]  # fmt: skip
            if field.of not in others:
                return (f"the field {name!r} is aligned with {field.of!r}{nearest(field.of, others)}, which is not a "
                        "field that has steps")  # fmt: skip
        if isinstance(field, References):
            others = [other for other, kind in fields.items() if isinstance(kind, Symbols)]
            if field.to not in others:
                return (f"the field {name!r} has references to {field.to!r}{nearest(field.to, others)}, which is not a "
                        "field of symbols")  # fmt: skip
    return ""


def fault_of_record(fields: Mapping[str, Field], record: Record) -> str:
    """What is wrong with the fields of a record that belong to the steps of another one; empty if nothing."""
    for name, field in fields.items():
        if isinstance(field, Labels) and len(record[name]) != len(record[field.of]):
            return f"{len(record[name])} values of {name}, but {len(record[field.of])} of {field.of}"
        if isinstance(field, Probe):
            steps = len(record[field.of])
            for at, _, _ in record[name]:
                if not 0 <= at < steps:
                    return f"{name} has step {at}, but {field.of} has {steps} steps, counted from 0"
        if isinstance(field, References) and not record[name]:
            return f"{name} has no value of {field.to}"
        if isinstance(field, Groups) and len(record[name]) != field.count:
            return f"{len(record[name])} values of {name}, but {field.count} are declared"
    return ""
