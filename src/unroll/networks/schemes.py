"""Labelling schemes of spans: which labels may begin a sequence, follow one another and end it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from unroll.errors import BadInput

SCHEMES = {"bio": "BI", "bioes": "BIES"}  # what may stand before the type of a span


class Constraints(NamedTuple):
    """Which labels may begin a sequence, follow one another and end it.

    Shapes:
        start: [K] bool, transitions: [K, K] bool, from and to, end: [K] bool
    """

    start: Tensor
    transitions: Tensor
    end: Tensor


def constraints(labels: Sequence[str], scheme: str) -> Constraints:
    """What a labelling scheme allows.

    In ``bio`` (IOB2: Tjong Kim Sang and Veenstra 1999) a span of type X begins with ``B-X`` and goes on with ``I-X``.
    In ``bioes`` (Ratinov and Roth 2009) it also ends with ``E-X``, unless it is one token, ``S-X``.

    Args:
        labels: ``O`` and ``PREFIX-TYPE``, in the order of their numbers.
        scheme: one of ``SCHEMES``.

    Raises:
        BadInput: the scheme is unknown, a label is not one of the scheme, or no label may begin or end a sequence.
    """
    if scheme not in SCHEMES:
        raise BadInput(f"There is no labelling scheme {scheme!r}; choose one of {', '.join(SCHEMES)}.")
    for label in labels:
        if label != "O" and not re.fullmatch(rf"[{SCHEMES[scheme]}]-.+", label):
            forms = ", ".join(f"{prefix}-TYPE" for prefix in SCHEMES[scheme])
            raise BadInput(f"{label!r} is not a label of the scheme {scheme}; give O, {forms}.")
    # beyond its ends a sequence is as good as O
    start = [_may_follow("O", label, scheme) for label in labels]
    end = [_may_follow(label, "O", scheme) for label in labels]
    for side, allowed in (("begin", start), ("end", end)):
        if not any(allowed):
            raise BadInput(f"By the scheme {scheme} none of the labels {', '.join(labels)} may {side} a sequence; "
                           "correct the labels or leave the scheme out.")  # fmt: skip
    transitions = torch.tensor([[_may_follow(left, right, scheme) for right in labels] for left in labels])
    return Constraints(torch.tensor(start), transitions, torch.tensor(end))


def _may_follow(left: str, right: str, scheme: str) -> bool:
    within = left[0] in "BI"  # a span that may go on, and in bioes must
    if right[0] in "IE":
        return within and left[2:] == right[2:]
    return scheme == "bio" or not within
