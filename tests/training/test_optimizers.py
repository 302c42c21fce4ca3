"""Optimizers and schedules: the course of the learning rate over the budget."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from unroll.cells import PeepholeLSTMCell
from unroll.errors import BadInput
from unroll.training.optimizers import SCHEDULES, optimizer_factory


def rates(schedule: str, warmup: float, shares: list[float]) -> list[float]:
    """Learning rate, relative to its peak, when these shares of the budget have been read."""
    progress = {"share": 0.0}
    layer = nn.Linear(1, 1)
    made = optimizer_factory("sgd", 2.0, 0.0, 0.0, schedule, warmup)(layer.parameters(), lambda: progress["share"])
    optimizer, scheduler = made["optimizer"], made["lr_scheduler"]["scheduler"]
    found = []
    for share in shares:
        progress["share"] = share
        optimizer.step()
        scheduler.step()
        found.append(optimizer.param_groups[0]["lr"] / 2.0)
    return found


EXPECTED = {
    "constant": [1.0, 1.0, 1.0],
    "linear": [0.75, 0.5, 0.25],
    "cosine": [0.5 * (1 + math.cos(math.pi * share)) for share in (0.25, 0.5, 0.75)],
}


def test_every_schedule_is_covered() -> None:
    assert set(EXPECTED) == set(SCHEDULES)


@pytest.mark.parametrize("schedule", EXPECTED)
def test_a_schedule_follows_its_formula_over_the_budget(schedule: str) -> None:
    assert rates(schedule, 0.0, [0.25, 0.5, 0.75]) == pytest.approx(EXPECTED[schedule])


@pytest.mark.parametrize("schedule", EXPECTED)
def test_the_warm_up_rises_to_the_peak_and_the_schedule_takes_the_rest(schedule: str) -> None:
    assert rates(schedule, 0.2, [0.05, 0.1, 0.2]) == pytest.approx([0.25, 0.5, 1.0])
    assert rates(schedule, 0.2, [0.4, 0.6, 0.8]) == pytest.approx(EXPECTED[schedule])


@pytest.mark.parametrize("schedule", EXPECTED)
def test_no_step_is_lost_at_either_end(schedule: str) -> None:
    assert min(rates(schedule, 0.1, [0.0, 1.0])) > 0


@pytest.mark.parametrize(("name", "kind"), [("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)])
def test_an_optimizer_has_what_was_asked_for(name: str, kind: type) -> None:
    made = optimizer_factory(name, 0.5, 0.25, 0.75, "constant", 0.0)(nn.Linear(1, 1).parameters(), lambda: 0.0)
    assert type(made["optimizer"]) is kind
    group, _ = made["optimizer"].param_groups
    assert (group["lr"], group["weight_decay"]) == (0.5, 0.25)
    assert group.get("momentum", 0.75) == 0.75


def test_unknown_names_list_the_choices() -> None:
    with pytest.raises(BadInput, match="constant, linear, cosine"):
        optimizer_factory("sgd", 1.0, 0.0, 0.0, "cosin", 0.0)
    with pytest.raises(BadInput, match="adamw or sgd"):
        optimizer_factory("adam", 1.0, 0.0, 0.0, "cosine", 0.0)(nn.Linear(1, 1).parameters(), lambda: 0.0)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_weight_decay_is_on_matrices_and_on_nothing_else(name: str) -> None:
    cell = PeepholeLSTMCell(3, 4)
    cell.normalize()
    network = nn.ModuleDict({"cell": cell, "start": nn.ParameterList([nn.Parameter(torch.ones(4))])})
    for weight in network.parameters():
        nn.init.ones_(weight)
        weight.grad = torch.zeros_like(weight)
    made = optimizer_factory(name, 0.1, 0.5, 0.0, "constant", 0.0)(network.parameters(), lambda: 0.0)
    made["optimizer"].step()
    moved = {part for part, weight in network.named_parameters() if not torch.equal(weight, torch.ones_like(weight))}
    assert moved == {"cell.weight_input", "cell.weight_recurrent"}
