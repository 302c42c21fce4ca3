"""Search: against all sequences that there are, alone against batched, and with faults that must show."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise, product
from typing import Any, NamedTuple

import pytest
import torch
from cells.test_cells import draw, randomized
from torch import Tensor, nn

from unroll.cells import LSTMCell
from unroll.errors import BadInput
from unroll.networks import beam as module
from unroll.networks.beam import Hypotheses, Stepper
from unroll.networks.restrictions import Restrictions
from unroll.networks.sampling import Sampling
from unroll.networks.search import search
from unroll.networks.state import Shared, select_rows

SYMBOLS, HIDDEN, END, FIRST = 4, 5, 2, 1
LONGEST = [4, 2, 3]  # of each of three sentences
EVERYTHING = sum((SYMBOLS - 1) ** length for length in range(max(LONGEST) + 1))  # answers of the first sentence
Answer = tuple[tuple[int, ...], float, float]  # symbols, log-probability, score
Allows = Callable[[tuple[int, ...]], bool]
each_alpha = pytest.mark.parametrize("alpha", [0.0, 0.6, 1.7])


class Place(NamedTuple):
    """The state of the network below: what was read, and the source of each sentence."""

    cell: Any
    source: Shared


class Toy(nn.Module):
    """A small decoder: each sentence has a source, which every step reads."""

    def __init__(self, seed: int = 0, sentences: Sequence[int] = (0, 1, 2), symbols: int = SYMBOLS) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.embedding = nn.Embedding(symbols, 3)
        self.cell = LSTMCell(3 + HIDDEN, HIDDEN)
        self.linear = nn.Linear(HIDDEN, symbols)
        self.sentences = sentences
        randomized(self.double()).requires_grad_(False)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.add_(torch.randn_like(parameter))

    def start(self) -> Place:
        sources = torch.stack([draw(HIDDEN, seed=40 + sentence) for sentence in self.sentences])
        count = len(self.sentences)
        return Place(self.cell.initial_state(count), Shared(sources, torch.arange(count)))

    def step(self, previous: Tensor, state: Place) -> tuple[Tensor, Place]:
        source = state.source.values[state.source.owners]
        output, cell = self.cell(torch.cat([self.embedding(previous), source], dim=1), state.cell)
        return self.linear(output).log_softmax(dim=1), Place(cell, state.source)


def find(toys: Sequence[Stepper], constraints: Restrictions, ends: int | None = END, **settings: Any) -> Hypotheses:
    count = len(toys[0].start().source.owners)  # type: ignore[attr-defined]
    return search(toys, torch.full((count,), FIRST), ends, constraints, **settings)


def exhaustive(
    toys: Sequence[Toy], longest: int, alpha: float = 0.0, allows: Allows = lambda symbols: True, ends: int | None = END
) -> list[Answer]:
    """All answers to one sentence, best first, by a walk through all prefixes."""
    found: list[Answer] = []

    def finish(symbols: tuple[int, ...], total: float) -> None:
        size = len(symbols) + (ends is not None)
        if allows(symbols):
            found.append((symbols, total, total / ((5 + size) / 6) ** alpha))

    def walk(symbols: tuple[int, ...], total: float, states: list[Any]) -> None:
        if ends is None and len(symbols) == longest:
            finish(symbols, total)
            return
        previous = torch.tensor([symbols[-1] if symbols else FIRST])
        steps = [toy.step(previous, state) for toy, state in zip(toys, states, strict=True)]
        logs = sum(logs[0] for logs, _ in steps) / len(steps)
        for symbol, log in enumerate(logs.tolist()):
            if symbol == ends:
                finish(symbols, total + log)
            elif len(symbols) < longest:
                walk((*symbols, symbol), total + log, [state for _, state in steps])

    with torch.no_grad():
        walk((), 0.0, [toy.start() for toy in toys])
    return sorted(found, key=lambda answer: -answer[2])


def answers(found: Hypotheses, row: int) -> list[Answer]:
    """The answers to a sentence."""
    there = found.scores[row] > -math.inf
    assert (found.log_probabilities[row] > -math.inf).equal(there)
    assert there.equal(torch.arange(len(there)) < there.sum())
    parts = [*zip(found.symbols[row].tolist(), found.lengths[row].tolist(), found.log_probabilities[row].tolist(),
                  found.scores[row].tolist(), strict=True)]  # fmt: skip
    assert not any(any(symbols[length:]) for symbols, length, _, _ in parts)
    return [(tuple(symbols[:length]), log, score) for symbols, length, log, score in parts if score > -math.inf]


def assert_equal(found: list[Answer], expected: list[Answer]) -> None:
    assert [symbols for symbols, _, _ in found] == [symbols for symbols, _, _ in expected]
    for column in (1, 2):
        assert [answer[column] for answer in found] == pytest.approx([a[column] for a in expected], abs=1e-10)


def check_full_width(alpha: float = 0.6) -> None:
    found = find([Toy()], Restrictions(torch.tensor(LONGEST)), width=EVERYTHING, best=EVERYTHING, alpha=alpha)
    for row, longest in enumerate(LONGEST):
        expected = exhaustive([Toy(sentences=[row])], longest, alpha)
        assert len(expected) == sum((SYMBOLS - 1) ** length for length in range(longest + 1))
        assert_equal(answers(found, row), expected)


# ---- against all answers


@each_alpha
def test_a_beam_of_full_width_finds_all_answers_in_order(alpha: float) -> None:
    check_full_width(alpha)


@pytest.mark.parametrize("width", [1, 2, 81])
def test_answers_that_end_by_their_lengths_are_those_of_all_sequences(width: int) -> None:
    found = find([Toy()], Restrictions(torch.tensor(LONGEST)), None, width=width, best=width)
    assert not found.capped.any()
    for row, longest in enumerate(LONGEST):
        expected = exhaustive([Toy(sentences=[row])], longest, ends=None)
        logs = {symbols: log for symbols, log, _ in expected}
        mine = answers(found, row)
        assert len(mine) == min(width, SYMBOLS**longest)
        assert [log for _, log, _ in mine] == pytest.approx([logs[symbols] for symbols, _, _ in mine], abs=1e-10)
        if width >= SYMBOLS**longest:
            assert_equal(mine, expected)


@each_alpha
def test_a_beam_of_width_1_takes_the_most_probable_symbol_until_the_end(alpha: float) -> None:
    ended = 0
    for seed in range(12):
        found = find([Toy(seed)], Restrictions(6), alpha=alpha)
        for row in range(3):
            toy, symbols = Toy(seed, [row]), [FIRST]
            state, total = toy.start(), 0.0
            while True:
                logs, state = toy.step(torch.tensor(symbols[-1:]), state)
                best = END if len(symbols) == 7 else int(logs.argmax())
                total += float(logs[0, best])
                if best == END:
                    break
                symbols.append(best)
            ended += len(symbols) < 7
            assert found.capped[row] == (len(symbols) == 7)
            expected = total / ((5 + len(symbols)) / 6) ** alpha
            assert_equal(answers(found, row), [(tuple(symbols[1:]), total, expected)])
    assert 0 < ended < 36


def test_a_wider_beam_finds_better_answers_on_average_and_none_better_than_the_best() -> None:
    toys = [Toy(seed) for seed in range(10)]
    greedy, wide, all_there_is = (
        torch.stack([find([toy], Restrictions(4), width=width).scores for toy in toys]) for width in (1, 3, EVERYTHING)
    )
    assert (all_there_is >= wide - 1e-10).all() and (all_there_is >= greedy - 1e-10).all()
    assert greedy.mean() < wide.mean() < all_there_is.mean()


def plain_beam(toy: Toy, width: int, longest: int, alpha: float) -> list[Answer]:
    """A beam over lists of hypotheses, in which finished ones keep their places."""
    alive: list[tuple[float, tuple[int, ...], Any]] = [(0.0, (), toy.start())]
    finished: list[Answer] = []
    while alive:
        candidates = []
        for total, symbols, state in alive:
            logs, after = toy.step(torch.tensor([symbols[-1] if symbols else FIRST]), state)
            for symbol, log in enumerate(logs[0].tolist()):
                if symbol == END or len(symbols) < longest:
                    candidates.append((total + log, (*symbols, symbol), after))
        candidates = sorted(candidates, key=lambda candidate: -candidate[0])[: width - len(finished)]
        alive = [candidate for candidate in candidates if candidate[1][-1] != END]
        for total, symbols, _ in candidates:
            if symbols[-1] == END:
                finished.append((symbols[:-1], total, total / ((5 + len(symbols)) / 6) ** alpha))
    return sorted(finished, key=lambda answer: -answer[2])


@each_alpha
@pytest.mark.parametrize("width", [2, 3, 5])
def test_a_beam_of_medium_width_is_a_plain_loop_over_lists_of_hypotheses(width: int, alpha: float) -> None:
    for seed in range(6):
        found = find([Toy(seed)], Restrictions(5), width=width, best=width, alpha=alpha)
        for row in range(3):
            assert_equal(answers(found, row), plain_beam(Toy(seed, [row]), width, 5, alpha))


# ---- batches, exits, several answers

SETTINGS: list[dict[str, Any]] = [
    {}, {"width": 2}, {"width": 4, "best": 3}, {"width": 4, "best": 2, "alpha": 1.3},
    {"sampling": Sampling(0.8, 3, 0.9), "seeds": [7, 8, 9]},
]  # fmt: skip
LIMITS: list[dict[str, Any]] = [
    {}, {"shortest": torch.tensor([1, 2, 0])}, {"forbidden": [3]}, {"required": [[0], [], [0, 3]]}, {"block": 2},
    {"block": 1, "shortest": 2, "required": [[3], [3], []]},
    {"required": [[3, 0, 1], [0, 3], [1, 3]]},
]  # fmt: skip


def of_one(limits: dict[str, Any], row: int) -> Restrictions:
    """The constraints of one sentence."""
    own = dict(limits)
    if "required" in own:
        own["required"] = [own["required"][row]]
    if isinstance(own.get("shortest"), Tensor):
        own["shortest"] = int(own["shortest"][row])
    return Restrictions(LONGEST[row], **own)


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("limits", LIMITS)
def test_a_sentence_alone_has_the_answers_that_it_has_in_a_batch(
    settings: dict[str, Any], limits: dict[str, Any]
) -> None:
    together = find([Toy()], Restrictions(torch.tensor(LONGEST), **limits), **settings)
    for row in range(3):
        own = settings | ({"seeds": settings["seeds"][row : row + 1]} if "seeds" in settings else {})
        alone = find([Toy(sentences=[row])], of_one(limits, row), **own)
        assert_equal(answers(alone, 0), answers(together, row))
        assert alone.capped[0] == together.capped[row]


@each_alpha
@pytest.mark.parametrize(("width", "best"), [(4, 1), (4, 3), (6, 6)])
def test_leaving_early_changes_no_answer_and_saves_steps(
    alpha: float, width: int, best: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = 0

    class Counting(Toy):
        def step(self, previous: Tensor, state: Place) -> tuple[Tensor, Place]:
            nonlocal steps
            steps += len(previous)
            return super().step(previous, state)

    def all_found() -> list[Hypotheses]:
        return [find([Counting(seed)], Restrictions(9), width=width, best=best, alpha=alpha) for seed in range(8)]

    early = all_found()
    steps, of_early = 0, steps
    monkeypatch.setattr(module, "_may_improve", lambda bound, worst: bound > -math.inf)
    for one, other in zip(early, all_found(), strict=True):
        for row in range(3):
            assert_equal(answers(one, row), answers(other, row))
        assert one.capped.equal(other.capped)
    assert of_early < steps or (of_early == steps and best > 1)


class Following:
    """Probabilities that depend on the last symbol alone."""

    def __init__(self, probabilities: list[list[float]]) -> None:
        self.logs = torch.tensor(probabilities, dtype=torch.float64).log()

    def start(self) -> Tensor:
        return torch.zeros(1)

    def step(self, previous: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return self.logs[previous], state


@pytest.mark.parametrize(("alpha", "length"), [(0.0, 0), (0.5, 3), (1.5, 3)])
def test_a_search_goes_on_while_a_longer_answer_may_win_by_its_length(alpha: float, length: int) -> None:
    chain = [[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0]]
    stepper = Following([*chain, [0.51, 0.49, 0.0, 0.0]])
    found = search([stepper], torch.tensor([4]), 0, Restrictions(8), width=2, alpha=alpha)
    assert found.lengths.item() == length


@each_alpha
def test_the_first_of_several_answers_is_the_only_one_of_a_search_for_one(alpha: float) -> None:
    for seed in range(8):
        several = find([Toy(seed)], Restrictions(6), width=5, best=5, alpha=alpha)
        for best in (1, 2):
            fewer = find([Toy(seed)], Restrictions(6), width=5, best=best, alpha=alpha)
            for row in range(3):
                assert_equal(answers(fewer, row), answers(several, row)[:best])


def test_several_answers_are_sorted_distinct_and_have_the_log_probabilities_of_their_symbols() -> None:
    for seed, ends in product(range(6), (END, None)):
        found = find([Toy(seed)], Restrictions(4), ends, width=7, best=7, alpha=0.5)
        for row in range(3):
            logs = {symbols: log for symbols, log, _ in exhaustive([Toy(seed, [row])], 4, ends=ends)}
            mine = answers(found, row)
            assert len({symbols for symbols, _, _ in mine}) == len(mine) == 7
            assert all(one[2] >= two[2] for one, two in pairwise(mine))
            assert [log for _, log, _ in mine] == pytest.approx([logs[symbols] for symbols, _, _ in mine], abs=1e-10)


def test_the_cap_is_reported_for_answers_that_have_the_maximum_length() -> None:
    found = find([Toy()], Restrictions(4, shortest=torch.tensor([4, 0, 4])), width=3)
    assert found.lengths[:, 0].tolist()[::2] == [4, 4]
    assert found.capped.tolist() == [True, int(found.lengths[1, 0]) == 4, True]
    willing = Toy()
    willing.linear.bias[END] += 3.0
    assert find([willing], Restrictions(60), width=3).capped.tolist() == [False, False, False]


# ---- constraints


def repeats(symbols: tuple[int, ...], size: int) -> bool:
    parts = [symbols[place : place + size] for place in range(len(symbols) - size + 1)]
    return len(set(parts)) < len(parts)


CASES: list[tuple[dict[str, Any], Allows]] = [
    ({"shortest": 2}, lambda s: len(s) >= 2),
    ({"forbidden": [0]}, lambda s: 0 not in s),
    ({"required": [[3]]}, lambda s: 3 in s),
    ({"required": [[3, 0, 1]]}, lambda s: {0, 1, 3} <= set(s)),
    ({"block": 1}, lambda s: not repeats(s, 1)),
    ({"block": 2}, lambda s: not repeats(s, 2)),
    (
        {"shortest": 2, "forbidden": [1], "required": [[3]], "block": 2},
        lambda s: len(s) >= 2 and 1 not in s and 3 in s and not repeats(s, 2),
    ),
]


@pytest.mark.parametrize(("case", "ends"), [*product(range(len(CASES)), [END]), *product(range(1, len(CASES)), [None])])
def test_answers_under_constraints_are_those_of_all_that_keep_them(case: int, ends: int | None) -> None:
    limits, allows = CASES[case]
    for row in range(3):
        toy, constraints = Toy(sentences=[row]), Restrictions(4, **limits)
        expected = exhaustive([toy], 4, 0.6, lambda s: allows(s) and (ends is not None or len(s) == 4), ends)
        assert 0 < len(expected) < len(exhaustive([toy], 4, ends=ends))
        full = find([toy], constraints, ends, width=400, best=400, alpha=0.6)
        assert_equal(answers(full, 0), expected)
        for width in (1, 2, 3):
            narrow = answers(find([toy], constraints, ends, width=width, best=width), 0)
            assert narrow or "block" in limits
            assert all(allows(symbols) for symbols, _, _ in narrow)
            drawn = find([toy], constraints, ends, sampling=Sampling(), seeds=[width])
            assert all(allows(symbols) for symbols, _, _ in answers(drawn, 0))


def test_required_symbols_are_sought_from_the_first_step_on() -> None:
    # the required symbol 1 is improbable at first, and nearly impossible after the symbols that are probable at first
    stepper = Following([[1.0, 0, 0, 0], [1.0, 0, 0, 0], [0, 1e-6, 0.5, 0.5], [0, 1e-6, 0.5, 0.5], [0, 0.1, 0.5, 0.4]])
    found = search([stepper], torch.tensor([4]), 0, Restrictions(4, required=[[1]]), width=2)
    assert answers(found, 0) == [((1,), pytest.approx(math.log(0.1)), pytest.approx(math.log(0.1)))]


# ---- ensembles


def test_an_ensemble_of_one_is_the_network_and_one_of_twice_the_same_too() -> None:
    constraints = Restrictions(torch.tensor(LONGEST))
    alone = find([Toy()], constraints, width=4, best=4)
    twice = find([Toy(), Toy()], constraints, width=4, best=4)
    for row in range(3):
        assert_equal(answers(twice, row), answers(alone, row))


def test_an_ensemble_of_two_finds_what_is_best_by_the_mean_of_their_log_probabilities() -> None:
    found = find([Toy(0), Toy(1)], Restrictions(torch.tensor(LONGEST)), width=EVERYTHING, best=EVERYTHING, alpha=0.6)
    for row, longest in enumerate(LONGEST):
        assert_equal(answers(found, row), exhaustive([Toy(0, [row]), Toy(1, [row])], longest, 0.6))


# ---- numbers


class Fixed:
    """The same probabilities after every symbol."""

    def __init__(self, logits: Tensor, sentences: int = 1) -> None:
        self.logs, self.sentences = logits.log_softmax(dim=1), sentences

    def start(self) -> Tensor:
        return torch.zeros(self.sentences)

    def step(self, previous: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return self.logs.repeat(len(previous), 1), state


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_scores_are_sums_in_double_precision_of_what_the_network_gives(kind: torch.dtype) -> None:
    stepper = Fixed(draw(1, 50).to(kind))
    found = search([stepper], torch.tensor([0]), None, Restrictions(30), width=50, best=50)
    assert found.scores.dtype == torch.float64
    expected = stepper.logs[0].double()[found.symbols[0]].sum(dim=1)
    torch.testing.assert_close(found.scores[0], expected, rtol=0.0, atol=1e-12)
    assert found.scores[0, 0].item() == pytest.approx(30 * stepper.logs.max().item(), abs=1e-12)


@pytest.mark.parametrize("sampling", [None, Sampling(0.0)])
def test_probabilities_that_sum_to_less_than_1_stay_as_they_are(sampling: Sampling | None) -> None:
    stepper = Following([[0.1, 0.2, 0.4], [0.1, 0.4, 0.2], [0.3, 0.2, 0.1]])
    found = search([stepper], torch.tensor([0]), 0, Restrictions(5), sampling=sampling, seeds=[3])
    assert found.symbols[0, 0].tolist() == [2, 0, 0, 0, 0]
    assert found.log_probabilities.item() == pytest.approx(math.log(0.4 * 0.3), abs=1e-12)


@pytest.mark.parametrize("sentences", [1, 5])
def test_of_equal_candidates_the_first_hypotheses_and_symbols_stay(sentences: int) -> None:
    stepper, first = Fixed(torch.zeros(1, 9), sentences), torch.zeros(sentences, dtype=torch.int64)
    found = search([stepper], first, None, Restrictions(2), width=4, best=4)
    assert found.symbols.tolist() == [[[0, 0], [0, 1], [0, 2], [0, 3]]] * sentences


@pytest.mark.parametrize("sampling", [None, Sampling()])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_network_that_has_diverged_has_no_answer(value: float, sampling: Sampling | None) -> None:
    logits = torch.tensor([[0.0, value, 1.0]]) if value != -math.inf else torch.full((1, 3), value)
    found = search([Fixed(logits)], torch.tensor([0]), 0, Restrictions(3), sampling=sampling, seeds=[1])
    assert found.scores.isneginf().all() and found.log_probabilities.isneginf().all()
    assert not found.lengths.any() and not found.symbols.any() and not found.capped.any()


def test_values_that_hypotheses_share_are_not_copied() -> None:
    seen = set()

    class Watching(Toy):
        def step(self, previous: Tensor, state: Place) -> tuple[Tensor, Place]:
            assert len(state.source.values) <= 3
            seen.add((len(state.source.values), state.source.values.data_ptr(), len(previous)))
            return super().step(previous, state)

    find([Watching()], Restrictions(torch.tensor([6, 6, 3]), shortest=3), None, width=4)
    assert len({pointer for count, pointer, _ in seen if count == 3}) == 1
    assert {count for count, _, _ in seen} == {2, 3}
    assert {rows for count, _, rows in seen if count == 3} == {3, 12}


# ---- faults that must show


def fail_to_reorder(state: Any, rows: Tensor) -> Any:
    """Cut or repeat the rows, but leave them in their order."""
    return select_rows(state, torch.arange(len(rows)) * (len(state.source.owners)) // len(rows))


def fail_to_reorder_sources(state: Place, rows: Tensor) -> Place:
    return Place(select_rows(state.cell, rows), fail_to_reorder(state, rows).source)


@pytest.mark.parametrize("fault", [fail_to_reorder, fail_to_reorder_sources])
def test_a_state_that_is_not_reordered_with_the_beam_shows(
    fault: Callable[[Any, Tensor], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    check_full_width()
    monkeypatch.setattr(module, "select_rows", fault)
    with pytest.raises(AssertionError):
        check_full_width()


# ---- what is refused


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 0}, "A beam of width 0 has no hypotheses; give a width of at least 1."),
        ({"width": 2, "best": 3}, "A beam of width 2 has no 3 answers; give from 1 to 2, or a wider beam."),
        ({"best": 0}, "A beam of width 1 has no 0 answers"),
        ({"alpha": -1.0}, "A length penalty of -1.0 has no exact search; give 0 or more."),
        ({"alpha": math.nan}, "A length penalty of nan"),
        ({"width": 2, "sampling": Sampling(), "seeds": [0, 0, 0]}, "Sampling draws one answer, and a beam compares"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        find([Toy()], Restrictions(3), **settings)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"longest": 0}, "A maximum length of 0 leaves no answer; give at least 1."),
        ({"longest": torch.tensor([2, 0, 1])}, "A maximum length of 0"),
        ({"longest": 2, "shortest": 3}, "No answer has a length from 3 to 2; give a minimum length from 0"),
        ({"longest": 2, "shortest": -1}, "No answer has a length from -1 to 2"),
        ({"longest": 2, "block": -1}, "No sequence has -1 symbols"),
        ({"longest": 2, "forbidden": [1], "required": [[], [1]]}, "Symbol 1 is both required and forbidden"),
        ({"longest": torch.tensor([3, 2]), "required": [[0, 1, 3], [0, 1, 3]]}, "3 symbols are required of an answer"),
    ],
)
def test_constraints_that_no_answer_keeps_are_refused(limits: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        Restrictions(**limits)


@pytest.mark.parametrize("limits", [{"forbidden": [END]}, {"required": [[], [END], []]}])
def test_the_end_is_neither_forbidden_nor_required(limits: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="Symbol 2 ends every answer"):
        find([Toy()], Restrictions(3, **limits))


def test_networks_of_different_vocabularies_are_no_ensemble() -> None:
    with pytest.raises(BadInput, match="have vocabularies of 4 and 5 symbols; give networks that were trained with"):
        find([Toy(), Toy(symbols=5)], Restrictions(3))
