"""Labelling schemes of spans, such as named entities: recognised, read as BIO, and written back.

A label is ``O`` or a position in a span, mostly with its type, as in ``B-PER``. Without types, as ``B``, ``M``, ``E``
and ``S`` of word segmentation, all spans are of one type.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from unroll.data.fields import GAPS

PREFIXES = {"bio": "BI", "bioes": "BIES", "bilou": "BILU", "bmes": "BMES"}
LAST = {"bioes": "E", "bilou": "L", "bmes": "E"}  # of a span of several tokens
ONLY = {"bioes": "S", "bilou": "U", "bmes": "S"}  # of a span of one token
INSIDE = {"bmes": "M"}  # otherwise I


def scheme_of(labels: Collection[str]) -> str | None:
    """The simplest scheme that all labels follow; None if there is none, or no span."""
    if not mark_spans(labels):
        return None
    return next((scheme for scheme in PREFIXES if all(is_of(label, scheme) for label in labels)), None)


def mark_spans(labels: Collection[str]) -> bool:
    """Whether labels of a scheme mark spans: there is ``O`` beside them, or, as in word segmentation, no type."""
    spans = set(labels) - {"O", *GAPS}
    if all(len(label) == 1 for label in spans):
        return {"B"} < spans  # a single letter may mean anything
    return "O" in labels


def is_of(label: str, scheme: str) -> bool:
    """Whether a label belongs to a scheme, with a type or without, or is not given."""
    return label in ("O", *GAPS) or re.fullmatch(rf"[{PREFIXES[scheme]}](-.+)?", label) is not None


def as_bio(labels: Sequence[str]) -> list[str]:
    """The labels of a sentence in BIO; a label that continues no span begins one, as in the scorers of shared tasks."""
    found, before = [], "O"
    for label in labels:
        is_open = before[:1] in ("B", "I", "M") and before[1:] == label[1:]  # S, E, L and U have ended their span
        if label in ("O", *GAPS):
            found.append(label)
        else:
            found.append(f"{'I' if is_open and label[0] in 'IMEL' else 'B'}{label[1:]}")
        before = label
    return found


def from_bio(labels: Sequence[str], scheme: str | None) -> list[str]:
    """BIO labels of a sentence in another scheme."""
    if scheme not in LAST:
        return list(labels)
    found = []
    for label, after in zip(labels, [*labels, "O"][1:], strict=True):
        if label[:1] in ("B", "I") and after != f"I{label[1:]}":
            found.append(f"{ONLY[scheme] if label[0] == 'B' else LAST[scheme]}{label[1:]}")
        elif label.startswith("I"):
            found.append(f"{INSIDE.get(scheme, 'I')}{label[1:]}")
        else:
            found.append(label)
    return found
