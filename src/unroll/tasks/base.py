"""Base class of tasks: the training step, evaluation, and metrics over real tokens."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, NamedTuple

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from unroll.data.batch import Batch, Part, Probed
from unroll.data.prepared import Split
from unroll.errors import BadInput
from unroll.tasks.activation import ActivationPenalty
from unroll.tasks.carried import CarriedState
from unroll.tasks.description import Description, Options
from unroll.tasks.metrics import GroupedMean, TokenMean
from unroll.tasks.network import TaskNetwork

OptimizerFactory = Callable[[Iterator[nn.Parameter], Callable[[], float]], dict[str, Any]]


class Scores(NamedTuple):
    """Measurements of one step; each figure is a mean over the true positions of its mask.

    Args:
        losses: loss at each position.
        mask: positions that the loss counts.
        measures: name → (values, mask) of other quantities that evaluation averages.
        probed: values of the probed tokens, averaged by group; None if the task has none.
        predicted: in evaluation, the predicted labels, numbers or symbols; None if the task predicts none.
        counted: positions that figures of groups count, since their target is given; None for all.
        lengths: length of each row of ``predicted``; None if it is that of the targets.
        texts: in evaluation, the text of each answer; None if answers are no texts.
    """

    losses: Tensor
    mask: Tensor
    measures: dict[str, tuple[Tensor, Tensor]]
    probed: Tensor | None
    predicted: Tensor | None = None
    counted: Tensor | None = None
    lengths: Tensor | None = None
    texts: list[str] | None = None

    def groups(self, part: Part) -> Tensor:
        """Groups of what is measured and counted, −1 elsewhere: [B, T] of steps, or [B, G] of records.

        Args:
            part: the field of the batch that has the groups.
        """
        groups = part.groups if isinstance(part, Probed) else part
        assert isinstance(groups, Tensor)
        return groups if self.counted is None else groups.masked_fill(~self.counted, -1)


class Task(LightningModule, ABC):
    """Loss and metrics of a network.

    Args:
        network: the network, built by ``answers.py`` of the task.
        options: settings of the task.
        optimizer: creates optimizer and schedule from the parameters and a function that returns the fraction of the
            budget read so far.
        budget: training budget in tokens.

    ``thorough`` is whether evaluation may take longer, as on test, where answers are searched for with a beam.
    ``activation`` is a penalty added to the training loss, or None. ``nominal`` is the approximate number of positions
    that the loss of one batch counts, so that the loss has the size of a mean. The best checkpoint is chosen by
    ``monitor`` and ``mode``; architectures are compared by ``headline``.
    """

    description: ClassVar[Description]
    tie: ClassVar[str | None] = None  # metric whose lower value decides between equal values of the monitored one
    derived_from: ClassVar[dict[str, str]] = {}  # figure → the mean that it is computed from

    def __init__(self, network: TaskNetwork, options: Options, optimizer: OptimizerFactory | None, budget: int) -> None:
        super().__init__()
        self.network, self.spec, self.options = network, network.spec, options
        monitored = self.description.monitor(self.spec, options)
        self.monitor, self.mode = f"val/{monitored.name}", "min" if monitored.lower else "max"
        self.headline = self.description.headline(self.spec, options).name
        self.optimizer_factory, self.budget = optimizer, budget
        self.tokens_seen, self.nominal = 0, 1.0
        self.carried = CarriedState()
        self.activation: ActivationPenalty | None = None
        self.thorough = False
        self.sums = torch.zeros(2, dtype=torch.float64)  # sum and number of the losses in this optimizer step
        self.means = nn.ModuleDict({name: TokenMean() for name in ("loss", *self.measure_names())})
        self.groups = self.description.group_names(self.spec)
        self.by_group = GroupedMean(len(self.groups))

    def measure_names(self) -> tuple[str, ...]:
        """Names of the measures other than the loss."""
        return ()

    @abstractmethod
    def scores(self, batch: Batch, evaluating: bool) -> Scores:
        """Losses of a batch and, in evaluation, the other measures."""

    def check_data(self, splits: Mapping[str, Split]) -> None:  # most tasks have no such limits
        """Refuse data that contradict the settings of the task, before anything is trained.

        Args:
            splits: train and validation, by role.

        Raises:
            BadInput: they do.
        """

    def searched(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Log-probability of the answer to each record, as it was found and as the sum of its losses: [B] each."""
        raise NotImplementedError(f"{type(self).__name__} searches for no answers")

    def signatures(self) -> dict[str, str]:
        """How figures were computed that other programs compute in other ways, by figure."""
        return {}

    def derived(self, metrics: dict[str, float]) -> dict[str, float]:
        """Additional figures computed from the means."""
        return {}

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Sum of the losses of the real tokens, divided by a nominal number.

        The mean is taken over all real tokens of an optimizer step, in all processes and accumulated batches. Their
        number is known at the end of the step, where ``unroll.training.gradients.Gradients`` replaces the nominal one.
        """
        scores = self.scores(batch, evaluating=False)
        self.tokens_seen += batch.tokens
        total = (scores.losses * scores.mask).sum()
        count = scores.mask.sum()
        self.sums = self.sums.to(total.device) + torch.stack([total.detach().double(), count.double()])
        return (total + self._penalty(scores, batch)) / self.nominal

    def _penalty(self, scores: Scores, batch: Batch) -> Tensor | float:
        """Penalty on activations, as a sum over the positions that the loss counts."""
        if self.activation is None:
            return 0.0
        counted = scores.mask.view(len(batch.mask), -1).sum(dim=1)  # [B]
        steps = batch.mask.sum(dim=1)  # [B]
        weights = batch.mask * (counted / steps.clamp(min=1))[:, None]  # 1, or 1 / T if a sequence has one loss
        return self.activation.take(weights, batch.window and batch.window.fresh)

    def take_sums(self) -> Tensor:
        """Sum and number of the losses since the last call, for one optimizer step."""
        sums = self.sums
        self.sums = torch.zeros_like(self.sums)
        return sums

    def discard_state(self) -> None:
        """Reset the carried state of sequences in which it is not finite."""
        self.carried.discard_non_finite()

    def process_state(self) -> dict[str, Any]:
        """State of this process other than the weights: tokens read, carried state."""
        return {"tokens_seen": self.tokens_seen, "carried": self.carried.plain()}

    def restore(self, states: list[dict[str, Any]], rank: int, world: int) -> None:
        """Resume from the states of all processes, whose number may have changed."""
        self.tokens_seen = states[0]["tokens_seen"]
        self.carried.load([state["carried"] for state in states], rank, world)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add a batch to the means."""
        self.judge(batch)

    def judge(self, batch: Batch) -> Scores:
        """Add a batch to the means, and return its measurements."""
        scores = self.scores(batch, evaluating=True)
        self._mean("loss").update(scores.losses, scores.mask)
        for name, (values, mask) in scores.measures.items():
            if name not in self.means:
                known = ", ".join(self.measure_names())
                place = inspect.getfile(type(self))
                raise BadInput(f"{place}: scores returns {name!r}, but measure_names has {known}; correct one of them.")
            self._mean(name).update(values, mask)
        if scores.probed is not None and (part := batch.fields.get(self.description.groups)) is not None:
            groups = scores.groups(part)
            # a record, which has one value, may belong to several groups
            values = scores.probed if groups.shape == scores.probed.shape else scores.probed[:, None].expand_as(groups)
            self.by_group.update(values, groups)
        return scores

    def parts(self, scores: Scores, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        """Contributions of each position of a batch to every figure that is a sum divided by a count.

        Shapes:
            each: [B, T], or [B] if a sequence has one
        """
        found = {"loss": (scores.losses, scores.mask), **scores.measures}
        if scores.probed is not None and (part := batch.fields.get(self.description.groups)) is not None:
            groups = scores.groups(part)
            for number, group in enumerate(self.groups):
                is_of = groups == number
                found[f"accuracy/{group}"] = (
                    scores.probed, is_of if is_of.shape == scores.probed.shape else is_of.any(dim=1)
                )  # fmt: skip
        return {name: (values * mask, mask) for name, (values, mask) in found.items()}

    def on_validation_epoch_start(self) -> None:
        """Reset the metrics and the cache of the network."""
        self.network.clear_cache()
        for name in self.means:
            self._mean(name).reset()
        self.by_group.reset()

    def on_validation_epoch_end(self) -> None:
        """Log the means of the validation split."""
        values = {f"val/{name}": torch.tensor(value) for name, value in self.metrics().items()}
        self.log_dict(values)

    def metrics(self) -> dict[str, float]:
        """All figures since the last reset; also clears the cache of the network."""
        self.network.clear_cache()
        figures = {name: float(self._mean(name).compute()) for name in self.means}
        figures |= self.derived(figures)
        if self.groups:
            means = self.by_group.compute().reshape(-1)  # torchmetrics turns a list of one into a scalar
            values = zip(self.groups, means.tolist(), strict=True)
            figures |= {f"accuracy/{group}": value for group, value in values}
        return figures

    def items(self) -> dict[str, int]:
        """Number of items of each figure of the last :meth:`metrics`: tokens, labels, sequences or spans."""
        counts = {name: self._mean(name).items for name in self.means}
        counts |= {name: counts[source] for name, source in self.derived_from.items()}
        groups = zip(self.groups, self.by_group.items, strict=True)
        return counts | {f"accuracy/{group}": count for group, count in groups}

    def configure_optimizers(self) -> Any:
        """Optimizer and schedule."""
        assert self.optimizer_factory is not None
        return self.optimizer_factory(self.parameters(), lambda: min(1.0, self.tokens_seen / self.budget))

    def _mean(self, name: str) -> TokenMean:
        metric = self.means[name]
        assert isinstance(metric, TokenMean)
        return metric
