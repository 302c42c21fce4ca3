"""Draws: against exact distributions, alone against in a batch, and the greatest of many against a sort."""

from __future__ import annotations

import math
from collections import Counter
from itertools import product

import pytest
import torch
from cells.test_cells import draw
from networks.test_search import END, FIRST, Toy, answers, find
from scipy.stats import chisquare
from torch import Tensor

from unroll.errors import BadInput
from unroll.networks.restrictions import Restrictions
from unroll.networks.sampling import BLOCK, Sampling, drawn, greatest, uniforms
from unroll.networks.search import search

DRAWS, SYMBOLS = 3000, 6
SAMPLINGS = [
    Sampling(), Sampling(0.5), Sampling(2.0), Sampling(top_k=3), Sampling(top_p=0.8), Sampling(1.5, 4, 0.7),
    Sampling(top_k=1), Sampling(top_p=1e-9), Sampling(0.0),
]  # fmt: skip


class Chain(Toy):
    """The same source for many sentences."""

    def __init__(self) -> None:
        super().__init__(seed=3, sentences=[0] * DRAWS, symbols=SYMBOLS)


def distribution(logs: list[float], sampling: Sampling) -> list[float]:
    """The distribution of a symbol by a plain loop over the symbols in the order of their probability."""
    places = sorted(range(len(logs)), key=lambda n: -logs[n])
    if sampling.temperature == 0:
        return [float(n == places[0]) for n in range(len(logs))]
    places = places[: sampling.top_k or len(places)]
    powers = {n: math.exp(logs[n] / sampling.temperature) for n in places}
    total, mass = sum(powers.values()), 0.0
    kept: dict[int, float] = {}
    for n in places:
        if mass < sampling.top_p * total:
            kept[n] = powers[n]
        mass += powers[n]
    return [kept.get(n, 0.0) / sum(kept.values()) for n in range(len(logs))]


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_draws_have_the_frequencies_of_the_exact_distribution_of_sequences(sampling: Sampling) -> None:
    toy, expected = Chain(), {}
    found = find([toy], Restrictions(2), None, sampling=sampling, seeds=range(DRAWS))
    alone = Toy(3, [0], SYMBOLS)
    logs, state = alone.step(torch.tensor([FIRST]), alone.start())
    firsts = distribution(logs[0].tolist(), sampling)
    for one in range(SYMBOLS):
        seconds = distribution(alone.step(torch.tensor([one]), state)[0][0].tolist(), sampling)
        expected |= {(one, two): firsts[one] * seconds[two] for two in range(SYMBOLS)}
    assert sum(expected.values()) == pytest.approx(1.0)
    seen = Counter(map(tuple, found.symbols[:, 0].tolist()))
    possible = [pair for pair, share in expected.items() if share]
    assert set(seen) <= set(possible)
    if len(possible) > 1:
        shares = [DRAWS * expected[pair] for pair in possible]
        assert chisquare([seen[pair] for pair in possible], shares).pvalue > 1e-3
    one, two = found.symbols[:, 0].T
    _, after = toy.step(torch.full((DRAWS,), FIRST), toy.start())
    following = toy.step(one, after)[0].gather(1, two[:, None])[:, 0]
    torch.testing.assert_close(
        found.log_probabilities[:, 0], logs[0, one] + following, rtol=0.0, atol=1e-10
    )  # those of the network


def test_a_wrong_distribution_has_other_frequencies() -> None:
    found = find([Chain()], Restrictions(1), None, sampling=Sampling(), seeds=range(DRAWS))
    alone = Toy(3, [0], SYMBOLS)
    logs = alone.step(torch.tensor([FIRST]), alone.start())[0][0].tolist()
    seen = Counter(found.symbols[:, 0, 0].tolist())
    shares = [DRAWS * share for share in distribution(logs, Sampling(1.15))]
    assert chisquare([seen[n] for n in range(SYMBOLS)], shares).pvalue < 1e-4


def test_draws_of_a_sentence_depend_on_its_seed_alone() -> None:
    together = find([Toy()], Restrictions(9), None, sampling=Sampling(), seeds=[5, 6, 5])
    for row, seed in enumerate([5, 6, 5]):
        alone = find([Toy(sentences=[row])], Restrictions(9), None, sampling=Sampling(), seeds=[seed])
        assert answers(alone, 0)[0][0] == answers(together, row)[0][0]
        shorter = find([Toy(sentences=[row])], Restrictions(4), None, sampling=Sampling(), seeds=[seed])
        assert answers(shorter, 0)[0][0] == answers(together, row)[0][0][:4]
    others = find([Toy()], Restrictions(9), None, sampling=Sampling(), seeds=[7, 8, 9])
    assert not others.symbols.equal(together.symbols)


def test_draws_end_where_the_end_is_drawn() -> None:
    found = find([Toy(sentences=[0] * 200)], Restrictions(5), sampling=Sampling(), seeds=range(200))
    assert len(set(found.lengths[:, 0].tolist())) > 3
    assert found.capped.tolist() == [length == 5 for length in found.lengths[:, 0].tolist()]
    assert all(END not in symbols for row in range(200) for symbols, _, _ in answers(found, row))
    for row in range(0, 200, 20):
        alone = find([Toy(sentences=[0])], Restrictions(5), sampling=Sampling(), seeds=[row])
        assert answers(alone, 0)[0][0] == answers(found, row)[0][0]


def test_a_draw_for_each_sentence_needs_a_seed_for_each() -> None:
    with pytest.raises(ValueError, match="zip"):
        find([Toy()], Restrictions(2), sampling=Sampling(), seeds=[1])


@pytest.mark.parametrize("uniform", [0.0, 0.5, 1 - 2**-53])
@pytest.mark.parametrize("sampling", [Sampling(), Sampling(top_p=0.9), Sampling(top_k=3), Sampling(1e3)])
def test_a_symbol_without_probability_is_never_drawn(uniform: float, sampling: Sampling) -> None:
    scores = draw(50, 200)
    scores[:, [0, 7, 199]] = -math.inf
    scores[:, 198] = -800.0
    numbers = torch.full((50,), uniform, dtype=torch.float64)
    symbols = drawn(scores, numbers, sampling)
    assert not scores.gather(1, symbols[:, None]).isneginf().any()
    assert sampling.temperature > 1 or not (symbols == 198).any()


def test_the_first_numbers_of_a_seed_do_not_depend_on_how_many_are_drawn() -> None:
    assert uniforms(3, 5).equal(uniforms(3, 500)[:5])
    assert not uniforms(3, 5).equal(uniforms(4, 5))
    assert ((uniforms(0, 1000) >= 0) & (uniforms(0, 1000) < 1)).all()


@pytest.mark.parametrize("setting", [{"temperature": -0.1}, {"temperature": math.nan}, {"temperature": math.inf},
                                     {"top_k": -1}, {"top_p": 0.0}, {"top_p": 1.1}, {"top_p": math.nan}])  # fmt: skip
def test_numbers_that_give_no_distribution_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(BadInput, match=str(next(iter(setting.values())))):
        Sampling(**setting)  # type: ignore[arg-type]


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9, 0.999, 1 - 1e-12])
@pytest.mark.parametrize("scale", [0.0, 1.0, 6.0])
def test_a_nucleus_is_drawn_from_in_large_vocabularies_as_in_small_ones(share: float, scale: float) -> None:
    scores = scale * draw(5, 3000)
    ranked, order = torch.softmax(scores, 1).sort(dim=1, descending=True, stable=True)
    cumulative = ranked.cumsum(dim=1)
    for row, uniform in product(range(5), (0.0, 0.3, 0.99)):
        size = 1 + int((cumulative[row, :-1] < share).sum())
        place = int((cumulative[row, :size] <= uniform * cumulative[row, size - 1]).sum())
        numbers = torch.full((5,), uniform, dtype=torch.float64)
        assert drawn(scores, numbers, Sampling(top_p=share))[row] == order[row, place]
        assert drawn(scores[row : row + 1], numbers[:1], Sampling(top_p=share))[0] == order[row, place]


def test_a_draw_from_a_nucleus_does_not_depend_on_how_flat_the_others_are() -> None:
    scores = draw(12, 3000) * torch.tensor([0.1, 8.0, 1.0] * 4, dtype=torch.float64)[:, None]
    numbers = torch.linspace(0.05, 0.95, 12, dtype=torch.float64)
    together = drawn(scores, numbers, Sampling(top_p=0.8))
    for row in range(12):
        assert drawn(scores[row : row + 1], numbers[row : row + 1], Sampling(top_p=0.8))[0] == together[row]


# ---- the greatest of many


def values(size: int, kind: str) -> Tensor:
    scores = draw(9, size, seed=size)
    if kind == "equal":
        scores = scores.mul(2).round()
    if kind == "bf16":
        scores = scores.bfloat16()
    if kind == "forbidden":
        scores[:, ::2] = -math.inf
        scores[:, : size - 2] = -math.inf
    return scores


@pytest.mark.parametrize("kind", ["different", "equal", "bf16", "forbidden"])
@pytest.mark.parametrize(("size", "count"), [*product((7, 40 * BLOCK, 40 * BLOCK + 13), (1, 2, 7)), (40 * BLOCK, 30)])
def test_the_greatest_are_the_first_of_a_stable_sort(size: int, count: int, kind: str) -> None:
    scores = values(size, kind)
    found, places = greatest(scores, count)
    expected, order = scores.sort(dim=1, descending=True, stable=True)
    assert found.equal(expected[:, :count])
    real = found > -math.inf
    assert places[real].equal(order[:, :count][real])


def test_ties_do_not_depend_on_the_other_rows() -> None:
    class Coarse(Toy):
        def step(self, previous: Tensor, state: tuple) -> tuple[Tensor, tuple]:  # type: ignore[override]
            logs, after = super().step(previous, state)  # type: ignore[arg-type]
            return logs.round(), after

    first = torch.full((3,), FIRST)
    together = search([Coarse(symbols=40)], first, None, Restrictions(5), width=6, best=6)
    for row in range(3):
        alone = search([Coarse(sentences=[row], symbols=40)], first[:1], None, Restrictions(5), width=6, best=6)
        assert alone.symbols[0].equal(together.symbols[row])
