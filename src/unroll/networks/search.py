"""Search for probable sequences of symbols: one batched beam for all networks that predict step by step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from unroll.errors import BadInput
from unroll.networks.beam import Beam, Hypotheses, Stepper
from unroll.networks.restrictions import Restrictions
from unroll.networks.sampling import Sampling


def search(
    steppers: Sequence[Stepper],
    first: Tensor,
    ends: int | None,
    restrictions: Restrictions,
    width: int = 1,
    best: int = 1,
    alpha: float = 0.0,
    sampling: Sampling | None = None,
    seeds: Sequence[int] = (),
) -> Hypotheses:
    """The most probable answers by beam search (Graves 2012; Sutskever et al. 2014), or one drawn answer.

    .. math::
        s(y) = \\frac{\\ln P(y \\mid x)}{\\mathrm{lp}(|y|)}, \\qquad
        \\mathrm{lp}(n) = \\left( \\frac{5 + n}{6} \\right)^{\\alpha}, \\qquad
        \\ln P = \\frac{1}{M} \\sum_m \\ln P_m

    with the length penalty of Wu et al. 2016 (equation 14, without coverage); \\|y\\| includes the symbol that ends the
    answer. Several networks are an ensemble, whose log-probabilities are the mean of theirs.

    Args:
        steppers: the network, or the M networks of an ensemble, with equal vocabularies.
        first: the symbol that each sentence reads first.
        ends: the symbol that ends an answer, which is a prediction like all others; None if every answer has the length
            ``restrictions.longest``, as labels have.
        restrictions: lengths, forbidden and required symbols.
        width: number W of hypotheses per sentence; 1 for greedy search.
        best: number N of answers per sentence, at most W.
        alpha: α of the length penalty, at least 0; 0 for none.
        sampling: the distribution from which answers are drawn; None to search.
        seeds: with sampling, a seed for each sentence.

    Shapes:
        first: [B]

    Raises:
        BadInput: the arguments contradict each other, or the networks of an ensemble differ in their vocabularies.

    A finished hypothesis keeps its place among the W, as in Bahdanau et al. 2015, so that a beam of width 1 is greedy
    search for any α, and a beam of W ends with at most W answers. At the maximum length, only the end may follow. With
    required symbols, the places are divided evenly among the groups of hypotheses that have equally many of them (Post
    and Vilar, NAACL 2018).

    A sentence leaves the batch when no hypothesis can change its N answers. This is exact: ln P only falls and lp only
    rises as a hypothesis grows, so that ln P ÷ lp(longest) is a bound for all its continuations. What is found for a
    sentence does not depend on the others, but for the rounding of the products in the networks: candidates with equal
    scores are taken in the order of their hypotheses and then of their symbols, and draws come from a generator of
    their own. Scores are summed in fp64.
    """
    _refuse(ends, restrictions, width, best, alpha, sampling)
    beam = Beam(steppers, first, ends, restrictions, width, best, alpha, sampling, seeds)
    with torch.no_grad():
        while len(beam.sentences):
            beam.step()
    return beam.found()


def _refuse(
    ends: int | None, restrictions: Restrictions, width: int, best: int, alpha: float, sampling: Sampling | None
) -> None:
    if width < 1:
        raise BadInput(f"A beam of width {width} has no hypotheses; give a width of at least 1.")
    if not 1 <= best <= width:
        raise BadInput(f"A beam of width {width} has no {best} answers; give from 1 to {width}, or a wider beam.")
    if not 0 <= alpha < float("inf"):
        raise BadInput(f"A length penalty of {alpha} has no exact search; give 0 or more.")
    if sampling is not None and width > 1:
        raise BadInput("Sampling draws one answer, and a beam compares several; give one of the two.")
    if ends in restrictions.forbidden or any(ends in symbols for symbols in restrictions.required):
        raise BadInput(f"Symbol {ends} ends every answer, so that it is neither forbidden nor required; leave it out.")
