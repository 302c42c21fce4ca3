"""Labelling schemes against all labellings, which are valid if their letters are words of a grammar."""

from __future__ import annotations

import re
from itertools import pairwise, product

import pytest
import torch
from torch import Tensor

from unroll.errors import BadInput
from unroll.networks.crf import LinearChainCRF
from unroll.networks.schemes import constraints

# Words of valid labels; a letter is a prefix, small for the type Y.
GRAMMARS = {"bio": r"(O|BI*|bi*)*", "bioes": r"(O|S|s|BI*E|bi*e)*"}
UNTYPED = [("bio", ["B", "I"], r"(BI*)*"), ("bio", ["B", "I", "O"], r"(O|BI*)*"), ("bioes", list("BIES"), r"(S|BI*E)*")]
LABELS = {
    "bio": ["O", "I-X", "B-X", "B-Y", "I-Y"],
    "bioes": ["O", "S-X", "I-X", "B-X", "E-X", "B-Y", "I-Y", "S-Y", "E-Y"],
}


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("scheme", GRAMMARS)
@pytest.mark.parametrize("left_out", [[], ["O"], ["B-Y"], ["I-X"]])
def test_constraints_let_through_what_the_scheme_is_made_of_and_nothing_else(scheme: str, left_out: list[str]) -> None:
    labels = [label for label in LABELS[scheme] if label not in left_out]
    letters = [label[0].lower() if label.endswith("Y") else label[0] for label in labels]
    allowed = constraints(labels, scheme)
    counts = {True: 0, False: 0}
    for length in (1, 2, 3, 4):
        for path in product(range(len(labels)), repeat=length):
            passes = allowed.start[path[0]] & allowed.end[path[-1]]
            for left, right in pairwise(path):
                passes &= allowed.transitions[left, right]
            valid = re.fullmatch(GRAMMARS[scheme], "".join(letters[label] for label in path)) is not None
            assert bool(passes) == valid
            counts[valid] += 1
    assert all(counts.values())


@pytest.mark.parametrize(("scheme", "labels", "grammar"), UNTYPED)
def test_spans_without_types_follow_the_same_rules(scheme: str, labels: list[str], grammar: str) -> None:
    allowed = constraints(labels, scheme)
    for path in product(range(len(labels)), repeat=4):
        moves = all(allowed.transitions[left, right] for left, right in pairwise(path))
        passes = bool(allowed.start[path[0]] and allowed.end[path[-1]] and moves)
        assert passes == (re.fullmatch(grammar, "".join(labels[at] for at in path)) is not None)


@pytest.mark.parametrize("scheme", GRAMMARS)
def test_only_valid_labels_are_predicted(scheme: str) -> None:
    labels = LABELS[scheme]
    crf = LinearChainCRF(len(labels), constraints(labels, scheme)).double()
    for n, parameter in enumerate(crf.parameters()):
        parameter.data = draw(*parameter.shape, seed=n)
    letters = [label[0].lower() if label.endswith("Y") else label[0] for label in labels]
    best, scores = crf.n_best(3 * draw(20, 6, len(labels), seed=3), torch.arange(20) % 6 + 1, 10)
    for row in best.flatten(0, 1)[scores.flatten().isfinite()].tolist():
        assert re.fullmatch(GRAMMARS[scheme], "".join(letters[label] for label in row if label >= 0))


@pytest.mark.parametrize(
    ("labels", "scheme", "expected"),
    [
        (["O"], "iob1", "There is no labelling scheme 'iob1'; choose one of bio, bioes."),
        (["O", "E-X"], "bio", "'E-X' is not a label of the scheme bio; give O, B-TYPE, I-TYPE."),
        (["O", "NOUN"], "bioes", "'NOUN' is not a label of the scheme bioes; give O, B-TYPE, I-TYPE, E-TYPE, S-TYPE."),
        (["O", "B-"], "bio", "'B-' is not a label of the scheme bio"),
        (["I-X"], "bio", "In the scheme bio, none of the labels I-X may start a sequence"),
        (["B-X", "I-X"], "bioes", "In the scheme bioes, none of the labels B-X, I-X may end a sequence"),
    ],
)
def test_labels_that_break_a_scheme_are_refused_with_the_remedy(labels: list[str], scheme: str, expected: str) -> None:
    with pytest.raises(BadInput, match=re.escape(expected)):
        constraints(labels, scheme)
