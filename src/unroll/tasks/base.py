"""What every task shares: one step for training, validation and test, and metrics over real tokens."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NamedTuple

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from unroll.data.batch import Batch
from unroll.tasks.activation import ActivationPenalty
from unroll.tasks.carried import CarriedState
from unroll.tasks.description import Description, Options
from unroll.tasks.metrics import GroupedMean, TokenMean
from unroll.tasks.network import TaskNetwork

OptimizerFactory = Callable[[Iterator[nn.Parameter], Callable[[], float]], dict[str, Any]]


class Scores(NamedTuple):
    """What one step measures; the mean over true places of a mask is the figure.

    Args:
        losses: of each place.
        mask: places that the loss counts.
        measures: name → (values, mask) of whatever else is averaged in evaluation.
        probed: values of the probed tokens, averaged by group; None where the task has none.
        told: in evaluation, what is told of each place: labels or numbers; None where the losses say it all.
    """

    losses: Tensor
    mask: Tensor
    measures: dict[str, tuple[Tensor, Tensor]]
    probed: Tensor | None
    told: Tensor | None = None


class Task(LightningModule, ABC):
    """The loss that trains a network, and the metrics that judge it.

    Args:
        network: built by the task's ``answers.py``.
        options: settings of the task.
        optimizer: makes optimizer and schedule from parameters and a function that tells the share of the budget read.
        budget: tokens to be read in training.

    ``activation`` is a penalty that is added to the loss of training, None for none.
    ``nominal`` is about how many places the loss of one batch counts; it keeps the size of a loss near that of a mean.
    The best checkpoint is chosen by ``monitor``, as its ``mode`` says, and architectures are compared by ``headline``.
    """

    description: ClassVar[Description]
    derived_from: ClassVar[dict[str, str]] = {}  # figure → the mean that it follows from

    def __init__(self, network: TaskNetwork, options: Options, optimizer: OptimizerFactory | None, budget: int) -> None:
        super().__init__()
        self.network, self.spec, self.options = network, network.spec, options
        monitored = self.description.monitor(self.spec)
        self.monitor, self.mode = f"val/{monitored.name}", "min" if monitored.lower else "max"
        self.headline = self.description.headline(self.spec).name
        self.optimizer_factory, self.budget = optimizer, budget
        self.tokens_seen, self.nominal = 0, 1.0
        self.carried = CarriedState()
        self.activation: ActivationPenalty | None = None
        self.sums = torch.zeros(2, dtype=torch.float64)  # of losses in this optimizer step, and their number
        self.means = nn.ModuleDict({name: TokenMean() for name in ("loss", *self.measure_names())})
        self.groups = self.spec["probe"].names if "probe" in self.spec else ()
        self.by_group = GroupedMean(len(self.groups))

    def measure_names(self) -> tuple[str, ...]:
        """Names of the measures beside the loss."""
        return ()

    @abstractmethod
    def scores(self, batch: Batch, evaluating: bool) -> Scores:
        """Losses of a batch, and in evaluation the other measures."""

    def derived(self, metrics: dict[str, float]) -> dict[str, float]:
        """Further figures that follow from the means."""
        return {}

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Sum of the losses of the batch's real tokens, divided by a nominal number of them.

        The mean is over all real tokens of an optimizer step, in all ranks and accumulated batches: their number is
        known when the step is due, and ``unroll.training.gradients.Gradients`` puts it in the nominal one's place.
        """
        scores = self.scores(batch, evaluating=False)
        self.tokens_seen += batch.tokens
        total, count = (scores.losses * scores.mask).sum(), scores.mask.sum()
        self.sums = self.sums.to(total.device) + torch.stack([total.detach().double(), count.double()])
        return (total + self._penalty(scores, batch)) / self.nominal

    def _penalty(self, scores: Scores, batch: Batch) -> Tensor | float:
        """What activations cost, as a sum over what the loss counts."""
        if self.activation is None:
            return 0.0
        places, steps = scores.mask.view(len(batch.mask), -1).sum(dim=1), batch.mask.sum(dim=1)  # [B]
        weights = batch.mask * (places / steps.clamp(min=1))[:, None]  # 1, or where a sequence has one loss 1 / T
        return self.activation.take(weights, batch.window and batch.window.fresh)

    def take_sums(self) -> Tensor:
        """Sum of the losses since the last call, and their number: of one optimizer step."""
        sums, self.sums = self.sums, torch.zeros_like(self.sums)
        return sums

    def forget(self) -> None:
        """After a step that was not finite: begin with a new state, unless the carried one is sound."""
        self.carried.forget_broken()

    def kept(self) -> dict[str, Any]:
        """What training goes on from beside the weights: place in the budget, carried state."""
        return {"tokens_seen": self.tokens_seen, "carried": self.carried.plain()}

    def go_on(self, kept: list[dict[str, Any]], rank: int, world: int) -> None:
        """Go on from what every process kept, as one of another number of them."""
        self.tokens_seen = kept[0]["tokens_seen"]
        self.carried.load([part["carried"] for part in kept], rank, world)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add a batch to the means."""
        self.judge(batch)

    def judge(self, batch: Batch) -> Scores:
        """Add a batch to the means; what was measured of it."""
        scores = self.scores(batch, evaluating=True)
        self._mean("loss").update(scores.losses, scores.mask)
        for name, (values, mask) in scores.measures.items():
            self._mean(name).update(values, mask)
        if scores.probed is not None and batch.probe is not None:
            self.by_group.update(scores.probed, batch.probe.groups)
        return scores

    def parts(self, scores: Scores, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        """Of each figure that is a sum over a count, what every place of a batch adds to both.

        Shapes:
            each: [B, T], or [B] where a sequence has one
        """
        found = {"loss": (scores.losses, scores.mask), **scores.measures}
        if scores.probed is not None and batch.probe is not None:
            found |= {f"accuracy/{group}": (scores.probed, batch.probe.groups == number)
                      for number, group in enumerate(self.groups)}  # fmt: skip
        return {name: (values * mask, mask) for name, (values, mask) in found.items()}

    def on_validation_epoch_start(self) -> None:
        """Forget the last evaluation, and what the network kept of it."""
        self.network.forget()
        for name in self.means:
            self._mean(name).reset()
        self.by_group.reset()

    def on_validation_epoch_end(self) -> None:
        """Log the means of the validation split."""
        values = {f"val/{name}": torch.tensor(value) for name, value in self.metrics().items()}
        self.log_dict(values)

    def metrics(self) -> dict[str, float]:
        """All figures since the last reset; what the network kept of the batches is forgotten."""
        self.network.forget()
        figures = {name: float(self._mean(name).compute()) for name in self.means}
        figures |= self.derived(figures)
        if self.groups:
            means = self.by_group.compute().reshape(-1)  # torchmetrics makes one number of a list of one
            values = zip(self.groups, means.tolist(), strict=True)
            figures |= {f"accuracy/{group}": value for group, value in values}
        return figures

    def items(self) -> dict[str, int]:
        """Over how many items each figure of the last :meth:`metrics` was taken: tokens, labels, sequences or spans."""
        counts = {name: self._mean(name).items for name in self.means}
        counts |= {name: counts[source] for name, source in self.derived_from.items()}
        groups = zip(self.groups, self.by_group.items, strict=True)
        return counts | {f"accuracy/{group}": count for group, count in groups}

    def configure_optimizers(self) -> Any:
        """Optimizer and schedule, from the factory."""
        assert self.optimizer_factory is not None
        return self.optimizer_factory(self.parameters(), lambda: min(1.0, self.tokens_seen / self.budget))

    def _mean(self, name: str) -> TokenMean:
        metric = self.means[name]
        assert isinstance(metric, TokenMean)
        return metric
