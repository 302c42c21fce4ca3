"""What a task makes of batches in one arithmetic, and how far two such readings are apart."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from unroll.data.batch import Batch
from unroll.networks.recurrent import LockedDropout, WeightDropout
from unroll.tasks.base import Task
from unroll.tasks.carried import CarriedState
from unroll.training.precision import as_precise

Groups = Sequence[Sequence[Batch]]  # batches of each process, or of each reader that knows nothing of the others
Reading = dict[str, list[Tensor]]
ROWS = {"losses", "predictions", "state"}  # of which a reading has a tensor for each row
HALVED = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class Reader:
    """A task that reads, without dropout, in double precision or in that of its training.

    Args:
        task: whose weights and buffers are cast, so that one reader is used up before the next is made.
        dtype: ``float64``, ``float32``, or for mixed precision ``bfloat16`` or, on a GPU, ``float16``.
    """

    def __init__(self, task: Task, dtype: str) -> None:
        self.device = "cuda" if dtype == "float16" else "cpu"
        self.task = (task.double() if dtype == "float64" else task.float()).to(self.device)
        self.arithmetic = torch.autocast(self.device, HALVED.get(dtype), enabled=dtype in HALVED)
        self.learns = any(parameter.requires_grad for parameter in task.parameters())
        for module in task.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
            elif isinstance(module, LockedDropout | WeightDropout):
                module.probability = 0.0

    @torch.no_grad()
    def read(self, groups: Groups) -> Reading:
        """What evaluation makes of each row: its losses, what is told, and the state behind its last window."""
        self.task.eval()
        self.task.on_validation_epoch_start()  # what was spelled in other numbers is forgotten
        losses: list[list[Tensor]] = []
        told: list[list[Tensor]] = []
        state: list[Tensor] = []
        for batches in groups:
            self.task.carried = CarriedState()
            for batch in batches:
                if _begins(batch):
                    begin = len(losses)
                    losses += [[] for _ in batch.mask]
                    told += [[] for _ in batch.mask]
                with self.arithmetic:
                    scores = self.task.scores(self._precise(batch), evaluating=True)
                for row, real in enumerate(scores.mask):
                    losses[begin + row].append(scores.losses[row][real])
                    if scores.told is not None:
                        told[begin + row].append(scores.told[row][real])
                if batch.window is not None:
                    state[begin:] = self._state(len(batch.mask))
        found = {"losses": _joined(losses)}
        if any(told):
            found["predictions"] = _joined(told)
        if all(batch.window is not None for batches in groups for batch in batches):
            found["state"] = state
        return found

    def step(self, groups: Groups) -> Reading:
        """The gradient of one step over the batches of all groups, as of processes that train together.

        Each one's loss is a sum divided by the nominal number of places; all of them are added up, and the nominal
        number gives way to the real one.
        """
        task = self.task.train()
        task.nominal = 16.0
        task.zero_grad()
        task.take_sums()
        seen = []
        for batches in groups:
            task.carried, task.tokens_seen = CarriedState(), 0
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
        moved: Batch = self.task.transfer_batch_to_device(as_precise(batch, self.task), torch.device(self.device), 0)
        return moved

    def _state(self, count: int) -> list[Tensor]:
        """State of each row, all its parts in one; nothing where none was kept."""
        parts = [part.double().cpu().flatten(1) for state in self.task.carried.states.get(False, ()) for part in state]
        return list(torch.cat([torch.zeros(count, 0, dtype=torch.float64), *parts], dim=1))


def _begins(batch: Batch) -> bool:
    """Whether its rows are new ones: windows that overlap may be several that begin with the first step."""
    return batch.window is None or (batch.window.first and bool(batch.mask[:, 0].any()))


def _joined(values: list[list[Tensor]]) -> list[Tensor]:
    """What is known of each row, of all its windows in one."""
    rows = [torch.cat(parts).cpu() for parts in values]
    return [row.double() if row.is_floating_point() else row for row in rows]


def deviation(found: Reading, expected: Reading) -> tuple[float, str]:
    """How far two readings are apart, in what both have of it, and in which of it that is."""
    return max((_deviation(name, found[name], expected[name]), name) for name in found if name in expected)


def _deviation(name: str, found: list[Tensor], expected: list[Tensor]) -> float:
    """Largest difference as a share of the largest number, or the share of whole numbers that differ; 1 at most."""
    one, two = torch.cat(found), torch.cat(expected)
    if one.shape != two.shape:
        return 1.0
    if not one.numel():
        return 0.0
    if not two.is_floating_point():
        return float((one != two).double().mean())
    # what is small all over is no smaller than the rounding of the numbers near 1 that it is a difference of
    size = two.abs().max().clamp(min=0.01 if name == "gradient" else 1.0)
    share = float((one - two).abs().max() / size)
    return share if share <= 1.0 else 1.0  # of what is not finite too
