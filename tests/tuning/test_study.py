"""A study in its database: slots that are filled once, whoever works at it and whenever he is killed."""

from __future__ import annotations

import random
import shutil
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from processes import some_slow
from studying import BUDGET, complete_all, config_of, die, forget, killed, open_study, suggest

from unroll.credentials import without_secrets
from unroll.errors import BadInput
from unroll.tuning import database, samplers
from unroll.tuning import slots as slot_module
from unroll.tuning import study as module
from unroll.tuning.database import DatabaseGone
from unroll.tuning.pruners import SlotHyperbandPruner
from unroll.tuning.space import Values, grid_points
from unroll.tuning.study import Study
from unroll.tuning.trial_lease import TakenOver, TrialLease


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with Optuna's tables, which take half a second to make."""
    path = tmp_path_factory.mktemp("golden") / "optuna.db"
    database.open_database(config_of(f"sqlite:///{path}"))
    return path


@pytest.fixture
def storage(golden: Path, tmp_path: Path) -> str:
    shutil.copy(golden, tmp_path / "optuna.db")
    return f"sqlite:///{tmp_path}/optuna.db"


def acquired(study: Study) -> TrialLease:
    lease = study.acquire()
    assert lease is not None
    return lease


def trials(study: Study) -> list[optuna.trial.FrozenTrial]:
    return study.study.get_trials(deepcopy=False)


def states(study: Study) -> list[str]:
    return [slot.state for slot in study.slots()]


def in_forks(count: int, function: Callable[[int], Any]) -> list[Any]:
    """What a function gives in processes that begin at once."""
    context = get_context("fork")
    queue, gate = context.Queue(), context.Barrier(count)

    def run(number: int) -> None:
        gate.wait()
        try:
            queue.put(function(number))
        except Exception as error:
            queue.put(error)

    processes = [context.Process(target=run, args=(number,)) for number in range(count)]
    for process in processes:
        process.start()
    found = [queue.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    for error in [each for each in found if isinstance(each, Exception)]:
        raise error
    return found


# ---- slots


def test_a_finished_study_is_added_nothing_to(storage: str) -> None:
    study = open_study(storage, trials=5)
    complete_all(study)
    before = [(trial.number, trial.state, trial.params) for trial in trials(study)]
    again = open_study(storage, trials=5)
    assert not again.left()
    again.refill()
    assert again.acquire() is None
    assert [(trial.number, trial.state, trial.params) for trial in trials(again)] == before
    assert states(again) == ["COMPLETE"] * 5


def test_whoever_refills_at_once_makes_every_slot_once(storage: str) -> None:
    open_study(storage, trials=20)
    in_forks(4, lambda _: open_study(storage, trials=20).refill())
    study = open_study(storage, trials=20)
    assert Counter(trial.user_attrs["slot"] for trial in trials(study)) == Counter(range(20))


@pytest.mark.parametrize("together", some_slow(["processes", "threads"], "processes"))
def test_whoever_claims_at_once_gets_another_trial(storage: str, together: str) -> None:
    open_study(storage, trials=40).refill()

    def claim_all(_: int) -> list[int]:
        study, found = open_study(storage, trials=40), []
        while (lease := study.acquire()) is not None:
            found.append(lease.slot)
        return found

    if together == "processes":
        found = in_forks(4, claim_all)
    else:
        found = []
        threads = [threading.Thread(target=lambda: found.append(claim_all(0))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(slot for slots in found for slot in slots) == list(range(40))
    assert sum(bool(slots) for slots in found) > 1  # they did work side by side


def test_a_slot_that_was_made_twice_is_tried_once(storage: str) -> None:
    study = open_study(storage, trials=2)
    study.refill()
    study.study.enqueue_trial({}, user_attrs={"slot": 0})  # as if the answer to its making had been lost
    complete_all(study)
    assert states(study) == ["COMPLETE", "COMPLETE"]
    assert [trial.state.name for trial in trials(study)] == ["COMPLETE", "COMPLETE", "FAIL"]


def test_a_trial_that_waits_is_not_taken_for_gone(storage: str) -> None:
    study = open_study(storage, trials=1)
    study.refill()
    acquired(study)
    study.refill()
    assert states(study) == ["RUNNING"]
    assert study.acquire() is None


# ---- kills


def at(step: str, storage: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Work that is killed at a step."""

    def work() -> None:
        study = open_study(storage, trials=2)
        if step == "before anything is there":
            study.study.enqueue_trial = die  # type: ignore[method-assign]
        if step == "between two slots":
            enqueue = study.study.enqueue_trial
            study.study.enqueue_trial = lambda *a, **k: die() if trials(study) else enqueue(*a, **k)  # type: ignore
        study.refill()
        if step == "just before it is acquired":
            study.storage.set_trial_state_values = die  # type: ignore[method-assign]
        if step == "just after it is acquired":
            monkeypatch.setattr(module, "TrialLease", die)
        lease = study.acquire()
        assert lease is not None
        if step == "before it has chosen":
            die()
        lease.choose(suggest)
        if step == "when it has chosen":
            die()
        lease.report(250, 0.5)
        if step == "when it has reported":
            die()
        lease.note(figures={"loss": 0.5})
        if step == "before it has told":
            die()
        lease.finish("COMPLETE", 0.5)
        die()

    return work


STEPS = ["before anything is there", "between two slots", "just before it is acquired", "just after it is acquired",
         "before it has chosen", "when it has chosen", "when it has reported", "before it has told",
         "when it has told"]  # fmt: skip


@pytest.mark.parametrize(
    "step", some_slow(STEPS, "just after it is acquired", "when it has chosen", "before it has told")
)
def test_a_worker_that_is_killed_at_any_step_costs_no_trial(
    step: str, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed(at(step, storage, monkeypatch))
    study = open_study(storage, trials=2)
    before = {slot.number: slot for slot in study.slots()}
    forget(storage)
    study.refill()
    assert states(study) == (["COMPLETE", "WAITING"] if step == "when it has told" else ["WAITING", "WAITING"])
    after = study.slots()[0]
    if 0 in before:  # what was known is known
        assert (after.values, after.reports) == (before[0].values, before[0].reports)
    complete_all(study)
    assert states(study) == ["COMPLETE", "COMPLETE"]
    assert study.slots()[0].values == (after.values or study.slots()[0].values)


def test_a_worker_that_is_killed_while_it_releases_another_costs_no_trial(storage: str) -> None:
    study = open_study(storage, trials=1)
    study.refill()
    values = acquired(study).choose(suggest)
    forget(storage)

    def work() -> None:
        other = open_study(storage, trials=1)
        other._replace = die  # type: ignore[method-assign, assignment]
        other.refill()

    killed(work)
    assert [trial.state.name for trial in trials(study)] == ["FAIL"]
    assert study.left()
    assert states(study) == ["WAITING"]  # another one is to come
    study.refill()
    assert study.slots()[0].values == values


def test_a_grid_point_that_was_half_chosen_is_tried_whole(storage: str) -> None:
    space = {"x": [0, 1], "y": [0, 1, 2]}
    presets = [{"x": x, "y": y} for x in (0, 1) for y in (0, 1, 2)]
    study = open_study(storage, presets, space=space, sampler={"name": "grid"}, trials=None)
    study.refill()
    for _ in presets:
        acquired(study).choose(lambda trial: {"x": trial.suggest_categorical("x", [0, 1])})
    forget(storage)
    study.refill()
    for _ in presets:
        lease = acquired(study)
        lease.choose(lambda trial: {key: trial.suggest_categorical(key, choices) for key, choices in space.items()})
        lease.finish("COMPLETE", 0.0)
    assert [slot.values for slot in study.slots()] == presets


def test_a_trial_is_given_up_when_its_workers_were_lost_too_often(storage: str) -> None:
    study = open_study(storage, trials=1, retries=2)
    for _ in range(3):
        assert study.left()
        study.refill()
        acquired(study)
        forget(storage)
    study.refill()
    assert not study.left()
    (slot,) = study.slots()
    assert (slot.state, slot.notes["error"]) == ("FAIL", "its worker was lost 3 times")


def test_a_trial_that_is_put_back_is_not_counted_as_lost(storage: str) -> None:
    study = open_study(storage, trials=1, retries=0)
    study.refill()
    values = [acquired(study).choose(suggest)]
    for _ in range(3):
        lease = TrialLease(study, trials(study)[0]._trial_id, 0)
        lease.release()
        assert study.left()
        study.refill()
        values.append(acquired(study).choose(suggest))
    assert len(trials(study)) == 1
    assert all(found == values[0] for found in values)


def test_what_was_never_tried_comes_before_what_was_put_back(storage: str) -> None:
    study = open_study(storage, trials=2)
    study.refill()
    lease = acquired(study)
    lease.release()
    assert (lease.slot, acquired(study).slot, acquired(study).slot) == (0, 1, 0)


def test_a_failed_trial_is_not_tried_again(storage: str) -> None:
    study = open_study(storage, trials=1)
    study.refill()
    lease = acquired(study)
    lease.note(error="ValueError: no")
    lease.finish("FAIL")
    assert not study.left()
    assert study.slots()[0].notes["error"] == "ValueError: no"


# ---- taken over


def test_a_worker_that_slept_too_long_has_lost_its_trial_and_is_told_so(storage: str) -> None:
    study = open_study(storage, trials=1)
    study.refill()
    slept = acquired(study)
    values = slept.choose(suggest)
    slept.report(250, 0.9)
    forget(storage)
    other = open_study(storage, trials=1)
    other.refill()
    lease = acquired(other)
    for act in (lambda: slept.report(500, 0.9), lambda: slept.note(tokens=1), lambda: slept.constrain("much"),
                lambda: slept.choose(lambda trial: {"y": trial.suggest_float("y", 0, 1)})):  # fmt: skip
        with pytest.raises(TakenOver, match="another worker has taken it over"):
            act()
    slept.finish("FAIL")
    slept.release()
    assert lease.choose(suggest) == values
    lease.finish("COMPLETE", 0.25)
    slept.finish("COMPLETE", 0.75)
    (slot,) = open_study(storage, trials=1).slots()
    assert (slot.state, slot.value, slot.reports) == ("COMPLETE", 0.25, {250: 0.9})


def test_a_beating_heart_keeps_a_trial(storage: str) -> None:
    study = open_study(storage, trials=1)
    study.refill()
    lease = acquired(study)
    with lease.heartbeat():
        forget(storage)
        time.sleep(1.3)
        study.refill()
    assert states(study) == ["RUNNING"]


# ---- reports


def test_a_trial_that_goes_on_is_judged_by_all_it_has_reported(storage: str) -> None:
    study = open_study(storage, trials=1)
    study.refill()
    lease = acquired(study)
    lease.choose(suggest)
    for tokens, value in ((250, 0.5), (500, 0.4)):
        lease.report(tokens, value)
    forget(storage)
    study.refill()
    again = acquired(study)
    again.choose(suggest)
    again.report(500, 0.4)  # its checkpoint was older
    again.report(750, 0.3)
    again.finish("COMPLETE", 0.3)
    assert study.slots()[0].reports == {250: 0.5, 500: 0.4, 750: 0.3}


def pruned_at(study: Study, values: list[float]) -> list[int | None]:
    """At how many tokens trials of constant validations are pruned, one after the other."""
    found: list[int | None] = []
    study.refill()
    for value in values:
        lease = acquired(study)
        lease.choose(suggest)
        ended = next((tokens for tokens in (250, 500, 750, 1_000) if lease.report(tokens, value)), None)
        lease.finish("COMPLETE", value) if ended is None else lease.finish("PRUNED")
        found.append(ended)
    return found


HYPERBAND = {"name": "hyperband", "startup_trials": 0, "warmup": 0.0, "reduction": 2}
MEDIAN = {"name": "median", "startup_trials": 2, "warmup": 0.3, "reduction": 3}


def test_the_median_waits_for_trials_and_for_its_share_of_the_budget(storage: str) -> None:
    study = open_study(storage, trials=5, pruner=MEDIAN)
    assert pruned_at(study, [0.5, 0.6, 0.9, 0.1, 0.95]) == [None, None, 500, None, 500]


@pytest.mark.slow
def test_hyperband_prunes_some_and_no_trial_that_has_spent_its_budget(storage: str) -> None:
    study = open_study(storage, trials=12, pruner=HYPERBAND)
    found = pruned_at(study, [index / 12 for index in range(12)])
    assert any(found)
    assert 1_000 not in found


@pytest.mark.slow
def test_without_a_pruner_none_is_pruned(storage: str) -> None:
    study = open_study(storage, trials=4, pruner={**MEDIAN, "name": "none"})
    assert pruned_at(study, [0.1, 0.2, 0.8, 0.9]) == [None] * 4


def test_a_trial_is_not_pruned_when_its_budget_is_spent(storage: str) -> None:
    study = open_study(storage, trials=3, pruner={**MEDIAN, "warmup": 0.99})
    assert pruned_at(study, [0.1, 0.2, 0.9]) == [None] * 3


def test_hyperband_decides_as_that_of_optuna_if_no_trial_is_lost() -> None:
    numbers = random.Random(0)
    curves = [[numbers.random() for _ in range(8)] for _ in range(40)]

    def decisions(pruner: optuna.pruners.BasePruner) -> list[list[bool]]:
        study, found = optuna.create_study(study_name="same", pruner=pruner), []
        for number, curve in enumerate(curves):
            trial = study.ask()
            trial.set_user_attr("slot", number)
            found.append([])
            for step, value in enumerate(curve, start=1):
                trial.report(value, 100 * step)
                found[-1].append(trial.should_prune())
            study.tell(trial, curve[-1])
        return found

    own = decisions(SlotHyperbandPruner(100, 800, 2))
    assert own == decisions(optuna.pruners.HyperbandPruner(100, 800, 2))
    assert any(any(pruned) for pruned in own)


def test_a_trial_that_goes_on_keeps_its_bracket_and_its_rungs(storage: str) -> None:
    study = open_study(storage, trials=12, pruner=HYPERBAND)
    study.refill()
    for _ in range(12):
        lease = acquired(study)
        lease.choose(suggest)
        lease.report(250, 0.0)
    pruner = study.study.pruner
    assert isinstance(pruner, SlotHyperbandPruner)
    first = {trial.user_attrs["slot"]: (pruner.bracket(study.study, trial), trial.system_attrs)
             for trial in trials(study)}  # fmt: skip
    assert len({bracket for bracket, _ in first.values()}) > 1
    forget(storage)
    study.refill()
    again = [trial for trial in trials(study) if trial.state == TrialState.WAITING]
    assert len(again) == 12
    for trial in again:
        bracket, rungs = first[trial.user_attrs["slot"]]
        assert pruner.bracket(study.study, trial) == bracket
        assert trial.system_attrs == rungs


def test_a_trial_that_was_lost_is_not_held_against_others_twice(storage: str) -> None:
    study = open_study(storage, trials=12, pruner=HYPERBAND, grace=600)
    study.refill()
    pruner = study.study.pruner
    assert isinstance(pruner, SlotHyperbandPruner)
    leases = [acquired(study) for _ in trials(study)]
    for lease in leases:
        lease.choose(suggest)
    bracket = [lease for lease in leases if pruner.bracket(study.study, trials(study)[lease.slot]) == 1]
    best, second, *others = bracket[:4]
    for value, other in zip((0.2, 0.3), others, strict=True):
        other.report(500, value)
    for _ in range(3):
        assert not best.report(500, 0.05)
        forget(storage, best.trial_id)
        study.refill()
        best = acquired(study)
    assert not second.report(500, 0.06)  # the second of four, of which half goes on


# ---- choices


SAMPLERS = ["tpe", "random", "gp", "qmc"]
SPACE = {"a": ["p", "q"], "x": {"low": 0.0, "high": 1.0}, "y": {"low": 1, "high": 8, "when": {"a": "q"}}}


def conditional(trial: Any) -> dict[str, Any]:
    values = {"a": trial.suggest_categorical("a", ["p", "q"]), "x": trial.suggest_float("x", 0.0, 1.0)}
    return values | ({"y": trial.suggest_int("y", 1, 8)} if values["a"] == "q" else {})


@pytest.mark.parametrize("name", some_slow(SAMPLERS, "tpe"))
def test_every_sampler_chooses_in_a_space_with_conditions(name: str, storage: str) -> None:
    study = open_study(storage, trials=12, sampler={"name": name}, space=SPACE)
    study.refill()
    for _ in range(12):
        lease = acquired(study)
        values = lease.choose(conditional)
        assert lease.choose(conditional) == values
        lease.finish("COMPLETE", (values["x"] - 0.4) ** 2 + values.get("y", 0))  # not at an end, which is soon found
    assert states(study) == ["COMPLETE"] * 12
    assert len({slot.values["x"] for slot in study.slots()}) == 12


@pytest.mark.parametrize("name", some_slow(["qmc", "random", "tpe"], "qmc"))
def test_a_key_that_the_first_trial_has_not_is_drawn_anew_in_every_other(name: str, storage: str) -> None:
    space = {"x": {"low": 0.0, "high": 1.0}, "y": {"low": 0.0, "high": 1.0}}
    study = open_study(storage, trials=6, sampler={"name": name}, space=space)
    study.refill()
    lease, drawn = acquired(study), []
    lease.finish("COMPLETE", lease.choose(suggest)["x"])
    while (lease := study.acquire()) is not None:
        drawn.append(lease.choose(lambda trial: {key: trial.suggest_float(key, 0.0, 1.0) for key in space})["y"])
        lease.finish("COMPLETE", drawn[-1])
    assert len(set(drawn)) == len(drawn) == 5


ARCHS = {"arch": ["lstm", "gru"], "x": {"low": 0.0, "high": 1.0}}
BEST = {"lstm": 0.9, "gru": 0.1}


def of_arch(trial: Any) -> dict[str, Any]:
    return {"x": trial.suggest_float("x", 0.0, 1.0), "arch": trial.suggest_categorical("arch", ["lstm", "gru"])}


@pytest.mark.parametrize("name", some_slow(["tpe", "gp"], "tpe"))
def test_what_is_balanced_is_searched_apart_from_the_other_choices(name: str, storage: str) -> None:
    known = [{"arch": arch, "x": index / 9} for index in range(10) for arch in BEST]
    presets = [*known, *({"arch": arch} for _ in range(6) for arch in BEST)]
    study = open_study(storage, presets, trials=32, balanced="arch", space=ARCHS, sampler={"name": name})
    study.refill()
    drawn: dict[str, list[float]] = {"lstm": [], "gru": []}
    while (lease := study.acquire()) is not None:
        values = lease.choose(of_arch)
        drawn[values["arch"]].append(values["x"])
        # any LSTM is better than all GRUs: where a GRU does best, the best of all tell nothing
        lease.finish("COMPLETE", (values["x"] - BEST[values["arch"]]) ** 2 + (values["arch"] == "gru"))
    for arch, best in BEST.items():
        assert len(drawn[arch]) == 16
        assert sum(abs(x - best) < 0.2 for x in drawn[arch][10:]) >= 5, drawn


@pytest.mark.parametrize("seed", some_slow([0, 1, 2], 0))
def test_every_balanced_choice_gets_quasi_random_values_of_all_of_a_range(seed: int, storage: str) -> None:
    presets: list[Values] = [{"arch": arch} for _ in range(8) for arch in BEST]
    study = open_study(storage, presets, trials=16, balanced="arch", seed=seed, sampler={"name": "qmc"},
                       space={**ARCHS, "k": [12, 24, 48]})  # fmt: skip
    study.refill()
    drawn: dict[str, list[Values]] = {"lstm": [], "gru": []}
    while (lease := study.acquire()) is not None:
        values = lease.choose(lambda trial: {"k": trial.suggest_categorical("k", [12, 24, 48]), **of_arch(trial)})
        drawn[values["arch"]].append(values)
        lease.finish("COMPLETE", 1.0)
    for values in drawn.values():
        assert {found["k"] for found in values} == {12, 24, 48}
        assert 2 <= sum(found["x"] < 0.5 for found in values) <= 6
    assert [found["x"] for found in drawn["lstm"]] != [found["x"] for found in drawn["gru"]]


@pytest.mark.parametrize(("trials", "balanced", "at_random"), [(16, "arch", 2), (80, "arch", 10), (8, None, 2),
                                                               (20, None, 5), (400, None, 10)])  # fmt: skip
def test_a_quarter_of_the_trials_is_drawn_before_the_sampler_learns(
    trials: int, balanced: str | None, at_random: int
) -> None:
    config = config_of("sqlite:///s.db", trials=trials, balanced=balanced, space=ARCHS)
    assert samplers.startup(config) == at_random


@pytest.mark.parametrize("name", ["random", "qmc", "tpe"])
@pytest.mark.slow
def test_workers_side_by_side_do_not_choose_the_same(name: str, storage: str) -> None:
    open_study(storage, trials=16, sampler={"name": name}).refill()

    def work(_: int) -> list[float]:
        study, found = open_study(storage, trials=16, sampler={"name": name}), []
        while (lease := study.acquire()) is not None:
            found.append(lease.choose(suggest)["x"])
            lease.finish("COMPLETE", found[-1])
        return found

    found = [value for values in in_forks(3, work) for value in values]
    assert len(found) == len(set(found)) == 16


def test_values_are_chosen_by_one_process_at_a_time(storage: str, tmp_path: Path) -> None:
    open_study(storage, trials=9).refill()

    def choose(trial: Any) -> dict[str, Any]:
        (tmp_path / "chooses").touch(exist_ok=False)
        time.sleep(0.05)
        (tmp_path / "chooses").unlink()
        return suggest(trial)

    def work(_: int) -> int:
        study, chosen = open_study(storage, trials=9), 0
        while (lease := study.acquire()) is not None:
            lease.choose(choose)
            chosen += 1
        return chosen

    assert sum(in_forks(3, work)) == 9


@pytest.mark.slow
def test_what_random_draws_depends_on_its_slot_alone(storage: str, tmp_path: Path) -> None:
    studies = [open_study(f"sqlite:///{tmp_path}/{name}.db", trials=3, sampler={"name": "random"}) for name in "ab"]
    for study in studies:
        study.refill()
    acquired(studies[1]).release()  # it comes last there
    orders = []
    for study in studies:
        orders.append([])
        for _ in range(3):
            lease = acquired(study)
            lease.choose(suggest)
            orders[-1].append(lease.slot)
    assert orders == [[0, 1, 2], [1, 2, 0]]
    assert [slot.values for slot in studies[0].slots()] == [slot.values for slot in studies[1].slots()]


@pytest.mark.parametrize(
    ("low", "high", "step"), [(0.0, 0.3, 0.1), (0.0, 0.7, 0.1), (0.1, 0.7, 0.2), (1e-3, 9e-3, 2e-3)]
)
def test_a_point_of_a_grid_outlives_its_worker(low: float, high: float, step: float, storage: str) -> None:
    space = {"x": {"low": low, "high": high, "step": step}}
    config = config_of(storage, space=space, sampler={"name": "grid"}, trials=None)
    presets = [{"x": point} for point in grid_points(config.space["x"])]
    study = open_study(storage, presets, space=space, sampler={"name": "grid"}, trials=None, retries=1)
    study.refill()
    for _ in range(2):
        while (lease := study.acquire()) is not None:
            lease.choose(lambda trial: {"x": trial.suggest_float("x", low, high, step=step)})
        forget(storage)
        study.refill()
    assert [slot.values for slot in study.slots()] == presets
    assert all(low <= point["x"] <= high for point in presets)


COSTLY = [(0.3, -1), (0.6, 1)]  # where the best is, and away from it


@pytest.mark.parametrize(("name", "costly"), [
    pytest.param(name, costly, marks=[] if (name, costly) in zip(["random", "gp"], COSTLY, strict=True) else
                 pytest.mark.slow) for name in SAMPLERS for costly in COSTLY
])  # fmt: skip
def test_what_costs_too_much_is_drawn_anew(name: str, costly: tuple[float, int], storage: str) -> None:
    limit, sign = costly
    study = open_study(storage, trials=6, sampler={"name": name})
    while study.left():
        study.refill()
        lease = acquired(study)
        value = lease.choose(suggest)["x"]
        lease.constrain("too much" if value > limit else None)
        if value <= limit:
            lease.finish("COMPLETE", sign * value)
    assert states(study) == ["COMPLETE"] * 6
    assert all(slot.values["x"] <= limit for slot in study.slots())
    drawn = Counter((trial.user_attrs["slot"], trial.params["x"]) for trial in trials(study))
    assert set(drawn.values()) == {1}
    assert 6 < len(drawn) < 200


@pytest.mark.slow
def test_after_many_draws_that_cost_too_much_a_slot_is_given_up(storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slot_module, "DRAWS", 4)
    study = open_study(storage, trials=1, sampler={"name": "random"})
    while study.left():
        study.refill()
        lease = acquired(study)
        lease.choose(suggest)
        lease.constrain("9 parameters, 8 allowed")
    assert len(trials(study)) == 4
    assert states(study) == ["TOO_COSTLY"]
    assert study.slots()[0].notes == {"excess": "9 parameters, 8 allowed"}


def test_a_grid_point_that_costs_too_much_is_not_drawn_again(storage: str) -> None:
    study = open_study(storage, [{"x": 0.5}], sampler={"name": "grid"}, trials=None, space={"x": [0.5]})
    study.refill()
    lease = acquired(study)
    lease.choose(lambda trial: {"x": trial.suggest_categorical("x", [0.5])})
    lease.constrain("much")
    assert not study.left()
    assert states(study) == ["TOO_COSTLY"]


def test_draws_that_cost_too_much_are_not_told_as_lost_workers(storage: str) -> None:
    study = open_study(storage, trials=1, sampler={"name": "random"}, retries=0)
    for excess in ("much", "more", None):
        study.refill()
        lease = acquired(study)
        lease.choose(suggest)
        lease.constrain(excess)
    forget(storage)
    study.refill()
    assert study.slots()[0].notes["error"] == "its worker was lost 1 times"


def test_a_trial_that_goes_on_is_constrained_without_a_warning(storage: str) -> None:
    study = open_study(storage, trials=1)
    study.refill()
    lease = acquired(study)
    lease.choose(suggest)
    lease.constrain(None)
    forget(storage)
    study.refill()
    acquired(study).constrain(None)


# ---- notes


def test_a_note_of_a_study_is_made_once_whoever_makes_it(storage: str) -> None:
    open_study(storage)

    def work(number: int) -> str:
        def make() -> str:
            time.sleep(0.4)
            return str(number)

        return open_study(storage).note("parent", make)

    assert len(set(in_forks(4, work))) == 1


def test_another_study_of_the_same_name_is_told_from_those_that_begin_alike(storage: str) -> None:
    def make(name: str) -> Study:
        return Study(config_of(storage, name="vs"), name, False, [{}], BUDGET)

    for name in ("vs-0123456789ab", "vs-wide-0123456789ab", "vs-0123456789abc", "vs-wide"):
        make(name).refill()
    make("vs-aaaaaaaaaaaa")  # it was refused before its first trial
    assert make("vs-ba9876543210").others() == ["vs-0123456789ab"]


@pytest.mark.slow
def test_importances_tell_the_key_that_matters(storage: str) -> None:
    space = {"x": {"low": 0.0, "high": 1.0}, "z": {"low": 0.0, "high": 1.0}}
    study = open_study(storage, trials=24, sampler={"name": "random"}, space=space)
    study.refill()
    for _ in range(24):
        lease = acquired(study)
        values = lease.choose(lambda trial: {key: trial.suggest_float(key, 0.0, 1.0) for key in space})
        lease.finish("COMPLETE", values["x"])
    shares = study.importances()
    assert shares["x"] > 0.7
    assert study.importances() == shares


def test_importances_are_found_while_others_work(storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    study, other = open_study(storage, trials=1), open_study(storage, trials=1)
    monkeypatch.setattr(database, "LOCK_SECONDS", 0.1, raising=False)
    monkeypatch.setattr(study, "_importances", lambda: other.refill() or {"x": 1.0})
    assert study.importances() == other.importances() == {"x": 1.0}


# ---- the database


class Held:
    """A database that answers nobody for a while."""

    def __init__(self, storage: str, seconds: float) -> None:
        self.path, self.seconds = storage.removeprefix("sqlite:///"), seconds

    def __enter__(self) -> None:
        self.connection = sqlite3.connect(self.path, check_same_thread=False, isolation_level=None)
        self.connection.execute("BEGIN EXCLUSIVE")
        self.timer = threading.Timer(self.seconds, self.connection.rollback)
        self.timer.start()

    def __exit__(self, *_: object) -> None:
        self.timer.cancel()
        self.timer.join()
        self.connection.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "OPTIONS", {"sqlite": {"timeout": 0.1}})


ACTS = ["refill", "acquire", "choose", "report", "note", "finish", "slots"]


@pytest.mark.parametrize("act", some_slow(ACTS, "choose"))
def test_a_database_that_is_gone_is_waited_for(act: str, storage: str, impatient: None) -> None:
    study = open_study(storage, trials=1)
    if act != "refill":
        study.refill()
    lease = acquired(study) if act not in ("refill", "acquire", "slots") else None
    asked: dict[str, Callable[[], Any]] = {"refill": study.refill, "acquire": study.acquire, "slots": study.slots}
    if lease is not None:
        asked |= {"choose": lambda: lease.choose(suggest), "report": lambda: lease.report(250, 0.5),
                  "note": lambda: lease.note(tokens=3), "finish": lambda: lease.finish("COMPLETE", 0.5)}  # fmt: skip
    with Held(storage, 0.6):
        asked[act]()
    assert time.monotonic() - study.last_outage < 60
    assert len(trials(study)) == 1


def test_a_database_that_does_not_come_back_is_told_of(
    storage: str, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = open_study(storage)
    monkeypatch.setattr(database, "RETRY_SECONDS", 0.1)
    with (
        Held(storage, 20),
        pytest.raises(DatabaseGone, match=r"is unavailable .*locked.*; restore it and run"),
    ):
        study.slots()


def test_nobody_is_given_up_just_after_the_database_was_gone(storage: str) -> None:
    study = open_study(storage, trials=1)
    study.refill()
    acquired(study)
    forget(storage)
    study.record_outage()
    study.refill()
    assert states(study) == ["RUNNING"]
    study.last_outage -= 4
    study.refill()
    assert states(study) == ["WAITING"]


def test_a_process_that_was_stopped_with_the_lock_does_not_hold_the_others_for_ever(
    storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = open_study(storage)
    monkeypatch.setattr(database, "LOCK_SECONDS", 0.2)
    with (
        database.exclusive(study.storage),
        pytest.raises(DatabaseGone, match=r"db\.lock.*end it, or let it continue"),
    ):
        study.acquire()


def test_who_is_at_it_is_waited_for_longer_than_a_database_that_is_gone(
    storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = open_study(storage, trials=1)
    study.refill()
    monkeypatch.setattr(database, "RETRY_SECONDS", 0.1)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with database.exclusive(study.storage):
            held.set()
            done.wait(0.5)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    assert study.acquire() is not None
    holder.join()


def test_the_database_of_another_program_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        connection.execute("CREATE TABLE experiments (experiment_id INTEGER)")
    before = path.read_bytes()
    with pytest.raises(BadInput, match=r"mlflow\.db cannot be opened \(it has tables of another program, such as"):
        open_study(f"sqlite:///{path}")
    assert path.read_bytes() == before


@pytest.mark.parametrize("tables", [
    {"trials": "id"}, {"version_info": "id"},
    {"studies": "study_id", "trials": "number", "version_info": "schema_version"},
])  # fmt: skip
def test_tables_that_are_named_like_optunas_are_not_taken_for_them(tables: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "lab.db"
    with sqlite3.connect(path) as connection:
        for table, column in tables.items():
            connection.execute(f"CREATE TABLE {table} ({column} INTEGER)")
    before = path.read_bytes()
    with pytest.raises(BadInput, match=r"lab\.db cannot be opened \(it"):
        open_study(f"sqlite:///{path}")
    assert path.read_bytes() == before


def test_a_database_of_another_version_is_refused(storage: str) -> None:
    with sqlite3.connect(storage.removeprefix("sqlite:///")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v99.0.0.a'")
    with pytest.raises(BadInput, match=r"cannot be opened \(The runtime optuna version .* is no longer compatible"):
        open_study(storage)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "optuna.db").write_text("to be or not to be " * 100, encoding="utf-8")
    with pytest.raises(BadInput, match=r"optuna\.db cannot be opened \(it is not an SQLite database"):
        open_study(f"sqlite:///{tmp_path}/optuna.db")
    with pytest.raises(BadInput, match="it is not an SQLite database"):
        open_study(f"sqlite:///{tmp_path}")
    assert [path.name for path in tmp_path.iterdir()] == ["optuna.db"]


def test_a_password_is_not_shown() -> None:
    shown = "postgresql+psycopg://user@host:1/db"
    assert without_secrets("postgresql+psycopg://user:p@ss@host:1/db") == shown
    assert without_secrets("sqlite:///studies/a@b.db") == "sqlite:///studies/a@b.db"
