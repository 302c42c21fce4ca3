"""Gradient processing between the backward pass and the optimizer step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import Optimizer

from unroll.errors import BadInput
from unroll.training.trainable import Trainable, trainable


@dataclass(frozen=True)
class Clipping:
    """Gradient clipping (Pascanu, Mikolov, Bengio, ICML 2013); at most one of the three.

    Args:
        norm: maximum norm of the whole gradient; None for no clipping.
        value: maximum absolute value of each entry; None for no clipping.
        parameter_norm: maximum gradient norm of each parameter; None for no clipping.
    """

    norm: float | None = None
    value: float | None = None
    parameter_norm: float | None = None


class Step(NamedTuple):
    """Measurements of a step: sum and number of the losses, norms, and whether it was clipped or skipped."""

    loss: float
    places: float
    norm: float
    clipped_norm: float
    clipped: float
    dropped: float


class Gradients(Callback):
    """Normalises the gradient to the mean over all real tokens of a step, adds penalties, clips, and skips bad steps.

    .. math:: g = \\frac{1}{N} \\sum_{\\text{ranks}} \\sum_{\\text{batches}} \\sum_t \\nabla \\ell_t
        + \\lambda_1\\, \\mathrm{sign}(W) + \\lambda_2 W

    The loss of a batch is a sum over its tokens divided by a nominal number; the number N of tokens in all ranks and
    accumulated batches of the step is known only here, right before the optimizer step. With ``16-mixed`` the gradient
    is already unscaled.

    Args:
        clipping: bounds on the gradient.
        recurrent: recurrent matrices W, to which the penalties apply.
        l1: λ₁.
        l2: λ₂.
        patience: consecutive non-finite steps to skip before stopping.

    Raises:
        BadInput: too many consecutive steps were not finite.
    """

    def __init__(
        self, clipping: Clipping, recurrent: Sequence[nn.Parameter], l1: float, l2: float, patience: int
    ) -> None:
        self.clipping, self.recurrent, self.l1, self.l2, self.patience = clipping, recurrent, l1, l2, patience
        self.dropped_in_a_row = 0
        self.steps: list[Step] = []  # since the last report

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Free the gradients of the previous step, which Lightning would keep until the forward pass is over."""
        if batch_idx % trainer.accumulate_grad_batches == 0:
            pl_module.zero_grad()

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        module = trainable(pl_module)
        found = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        gradients = [parameter.grad for parameter in found if parameter.grad is not None]
        sums = trainer.strategy.reduce(module.take_sums(), reduce_op="sum")  # [2]
        # ranks are averaged, and accumulated batches too
        averaged = trainer.world_size * trainer.accumulate_grad_batches
        torch._foreach_mul_(gradients, module.nominal * averaged / sums[1].clamp(min=1))
        self._penalize()
        norm = total_norm(gradients)
        loss, count, before = torch.cat(
            [sums, norm[None].double()]
        ).tolist()  # the only synchronisation with the device
        if not count:  # a window without targets has no gradient
            optimizer.zero_grad()
        elif not math.isfinite(loss) or not math.isfinite(before):
            self._drop(module, optimizer)
        else:
            self.dropped_in_a_row = 0
            after, clipped = clip(gradients, norm, self.clipping)
            self.steps.append(Step(loss, count, before, float(after), float(clipped), 0.0))

    def _penalize(self) -> None:
        for weight in self.recurrent:
            if weight.grad is not None and self.l1:
                weight.grad.add_(weight.detach().sign(), alpha=self.l1)
            if weight.grad is not None and self.l2:
                weight.grad.add_(weight.detach(), alpha=self.l2)

    def _drop(self, module: Trainable, optimizer: Optimizer) -> None:
        """Skip a step: the optimizer ignores parameters without a gradient."""
        optimizer.zero_grad()
        module.discard_state()
        self.dropped_in_a_row += 1
        self.steps.append(Step(0.0, 0.0, 0.0, 0.0, 0.0, 1.0))
        if self.dropped_in_a_row > self.patience:
            raise BadInput(
                f"The loss or its gradient was not finite in {self.dropped_in_a_row} consecutive steps, after "
                f"{module.tokens_seen:,} tokens; lower training.optimizer.learning_rate, clip more, or "
                "rescale the corpus if its numbers are very large."
            )

    def take_measured(self) -> dict[str, float]:
        """Means over the steps since the last call, for the curves; empty if there were none."""
        if not self.steps:
            return {}
        loss, count, before, after, clipped, dropped = (math.fsum(column) for column in zip(*self.steps, strict=True))
        taken = len(self.steps) - dropped
        self.steps = []
        means = {"loss": loss / count, "gradient_norm": before / taken, "gradient_norm_clipped": after / taken,
                 "clipped_share": clipped / taken} if taken else {}  # fmt: skip
        return {**means, "dropped_steps": dropped}

    def state_dict(self) -> dict[str, Any]:
        return {"dropped_in_a_row": self.dropped_in_a_row, "steps": [tuple(step) for step in self.steps]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.dropped_in_a_row = state_dict["dropped_in_a_row"]
        self.steps = [Step(*s) for s in state_dict["steps"]]


def total_norm(gradients: Sequence[Tensor]) -> Tensor:
    """Euclidean norm of all entries of all gradients."""
    norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(list(gradients))))
    return norm


def clip(gradients: Sequence[Tensor], norm: Tensor, clipping: Clipping) -> tuple[Tensor, Tensor | bool]:
    """Clip gradients in place.

    Args:
        gradients: gradients of all parameters.
        norm: their total norm.
        clipping: bounds on the gradient.

    Returns:
        The norm after clipping, and whether anything was clipped.
    """
    if clipping.norm is not None:
        torch._foreach_mul_(list(gradients), (clipping.norm / norm).clamp(max=1.0))
        return norm.clamp(max=clipping.norm), norm > clipping.norm
    if clipping.value is not None:
        largest = torch.stack([gradient.abs().amax() for gradient in gradients]).amax()
        for gradient in gradients:
            gradient.clamp_(-clipping.value, clipping.value)
        return total_norm(gradients), largest > clipping.value
    if clipping.parameter_norm is not None:
        norms = torch.stack(torch._foreach_norm(list(gradients)))
        factors = (clipping.parameter_norm / norms).clamp(max=1.0)
        torch._foreach_mul_(list(gradients), list(factors.unbind(0)))
        return total_norm(gradients), (norms > clipping.parameter_norm).any()
    return norm, False
