"""Readings, the results of a task on batches in one precision, and the deviation between two of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from unroll.data.batch import Batch
from unroll.networks.recurrent import LockedDropout, WeightDropout
from unroll.tasks.base import Task
from unroll.tasks.carried import CarriedState

Groups = Sequence[Sequence[Batch]]  # batches of each process, or of each independent pass
Reading = dict[str, list[Tensor]]
ROWS = {"losses", "predictions", "state"}  # entries of a reading with one tensor per row
HALVED = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class TaskReader:
    """Runs a task on batches, without dropout, in double precision or in the precision of its training.

    Args:
        task: the task. Its weights and buffers are cast in place, so only the last reader made of a task can be used.
        dtype: ``float64``, ``float32``, or for mixed precision ``bfloat16`` or, on a GPU, ``float16``.
    """

    def __init__(self, task: Task, dtype: str) -> None:
        self.device = "cuda" if dtype == "float16" else "cpu"
        self.task = (task.double() if dtype == "float64" else task.float()).to(self.device)
        self.arithmetic = torch.autocast(self.device, HALVED.get(dtype), enabled=dtype in HALVED)
        task.thorough = True
        self.learns = any(parameter.requires_grad for parameter in task.parameters())
        for module in task.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
            elif isinstance(module, LockedDropout | WeightDropout):
                module.probability = 0.0

    @torch.no_grad()
    def read(self, groups: Groups) -> Reading:
        """Evaluate each row: its losses, its predictions, and the state after its last window."""
        self.task.eval()
        self.task.on_validation_epoch_start()  # clears spellings cached in another precision
        losses: list[list[Tensor]] = []
        predicted: list[list[Tensor]] = []
        state: list[Tensor] = []
        for batches in groups:
            self.task.carried = CarriedState()
            for batch in batches:
                if _begins(batch):
                    begin = len(losses)
                    losses += [[] for _ in batch.mask]
                    predicted += [[] for _ in batch.mask]
                with self.arithmetic:
                    scores = self.task.scores(self._precise(batch), evaluating=True)
                for row, real in enumerate(scores.mask):
                    losses[begin + row].append(scores.losses[row][real])
                    if scores.predicted is not None:
                        own = real if scores.lengths is None else slice(int(scores.lengths[row]))
                        predicted[begin + row].append(scores.predicted[row][own])
                if batch.window is not None:
                    state[begin:] = self._state(len(batch.mask))
        found = {"losses": _joined(losses)}
        if any(predicted):
            found["predictions"] = _joined(predicted)
        if all(batch.window is not None for batches in groups for batch in batches):
            found["state"] = state
        return found

    @torch.no_grad()
    def searched(self, batch: Batch) -> tuple[Reading, Reading]:
        """Log-probabilities of answers as they were found, and as sums of losses."""
        with self.arithmetic:
            found, expected = self.task.eval().searched(self._precise(batch))
        return {"scores": [found.double().cpu()]}, {"scores": [expected.double().cpu()]}

    def step(self, groups: Groups) -> Reading:
        """The gradient of one training step over the batches of all groups, each group standing for a process.

        Each loss is a sum divided by the nominal number of targets. The gradients are added up, then rescaled from the
        nominal to the real number.
        """
        task = self.task.train()
        task.nominal = 16.0
        task.zero_grad()
        task.take_sums()
        seen = []
        for batches in groups:
            task.carried = CarriedState()
            task.tokens_seen = 0
            for index, batch in enumerate(batches):
                with self.arithmetic:
                    loss = task.training_step(self._precise(batch), index)
                torch.autograd.backward(loss)
            seen.append(task.tokens_seen)
        total, count = task.take_sums().tolist()
        gradients = [parameter.grad for parameter in task.parameters() if parameter.requires_grad]
        zero = torch.zeros(1)
        return {
            "gradient": [(zero if g is None else g).double().cpu().flatten() * task.nominal / count for g in gradients],
            "loss": [torch.tensor([total / count], dtype=torch.float64)],
            # every process counts the tokens of all
            "counts": [torch.tensor([int(count), min(seen), max(seen)])],
        }

    def _precise(self, batch: Batch) -> Batch:
        moved: Batch = self.task.transfer_batch_to_device(
            self.task.network.precise(batch), torch.device(self.device), 0
        )
        return moved

    def _state(self, count: int) -> list[Tensor]:
        """State of each row as one vector; empty if the task keeps no state."""
        parts = [part.double().cpu().flatten(1) for state in self.task.carried.states.get(False, ()) for part in state]
        return list(torch.cat([torch.zeros(count, 0, dtype=torch.float64), *parts], dim=1))


def _begins(batch: Batch) -> bool:
    """Whether a batch starts new rows. With overlapping windows, several may begin with the first step."""
    return batch.window is None or (batch.window.first and bool(batch.mask[:, 0].any()))


def _joined(values: list[list[Tensor]]) -> list[Tensor]:
    """Values of each row, concatenated over its windows."""
    rows = [torch.cat(parts).cpu() for parts in values]
    return [row.double() if row.is_floating_point() else row for row in rows]


def deviation(found: Reading, expected: Reading) -> tuple[float, str]:
    """The largest deviation between two readings over their common entries, and the entry."""
    return max((_deviation(name, found[name], expected[name]), name) for name in found if name in expected)


def _deviation(name: str, found: list[Tensor], expected: list[Tensor]) -> float:
    """Largest difference relative to the largest number, or the share of integers that differ; at most 1."""
    one, two = torch.cat(found), torch.cat(expected)
    if one.shape != two.shape:
        return 1.0
    if not one.numel():
        return 0.0
    if not two.is_floating_point():
        return float((one != two).double().mean())
    # small values are differences of numbers near 1, and have the rounding errors of these
    size = two.abs().max().clamp(min=0.01 if name == "gradient" else 1.0)
    share = float((one - two).abs().max() / size)
    return share if share <= 1.0 else 1.0  # also if it is NaN
