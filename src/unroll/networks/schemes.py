"""Constraints of labelling schemes on the labels of a sequence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from unroll.errors import BadInput

SCHEMES = {"bio": "BI", "bioes": "BIES"}  # prefixes of the type of a span


class Constraints(NamedTuple):
    """Labels that may start a sequence, follow each other, and end it.

    Shapes:
        start: [K] bool, transitions: [K, K] bool, from and to, end: [K] bool
    """

    start: Tensor
    transitions: Tensor
    end: Tensor


def constraints(labels: Sequence[str], scheme: str) -> Constraints:
    """Constraints of a labelling scheme.

    In ``bio`` (IOB2: Tjong Kim Sang and Veenstra 1999) a span of type X starts with ``B-X`` and continues with ``I-X``.
    In ``bioes`` (Ratinov and Roth 2009) it also ends with ``E-X``; a span of one token is ``S-X``.

    Args:
        labels: ``O`` and ``PREFIX-TYPE``, or ``PREFIX`` of spans without types, in the order of their indices.
        scheme: one of ``SCHEMES``.

    Raises:
        BadInput: the scheme is unknown, a label does not belong to the scheme, or no label may start or end a sequence.
    """
    if scheme not in SCHEMES:
        raise BadInput(f"There is no labelling scheme {scheme!r}; choose one of {', '.join(SCHEMES)}.")
    for label in labels:
        if label != "O" and not re.fullmatch(rf"[{SCHEMES[scheme]}](-.+)?", label):
            forms = ", ".join(f"{prefix}-TYPE" for prefix in SCHEMES[scheme])
            raise BadInput(f"{label!r} is not a label of the scheme {scheme}; give O, {forms}.")
    # the start and the end of a sequence act like O
    start = [_may_follow("O", label, scheme) for label in labels]
    end = [_may_follow(label, "O", scheme) for label in labels]
    for side, allowed in (("start", start), ("end", end)):
        if not any(allowed):
            raise BadInput(f"In the scheme {scheme}, none of the labels {', '.join(labels)} may {side} a sequence; "
                           "correct the labels or leave the scheme out.")  # fmt: skip
    transitions = torch.tensor([[_may_follow(left, right, scheme) for right in labels] for left in labels])
    return Constraints(torch.tensor(start), transitions, torch.tensor(end))


def _may_follow(left: str, right: str, scheme: str) -> bool:
    within = left[0] in "BI"  # a span that may continue, and in bioes must
    if right[0] in "IE":
        return within and left[1:] == right[1:]
    return scheme == "bio" or not within
