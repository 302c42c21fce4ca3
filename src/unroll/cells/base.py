"""One step of recurrence: the contract of every cell, and the legend of letters for the whole project.

====== ==========================================
letter meaning
====== ==========================================
B      batch: sequences side by side
T      time: steps of a sequence
S      source time, where two sequences meet
I      input width
H      hidden width
L      layers
D      directions, 1 or 2
V      vocabulary: number of distinct tokens
K      labels
====== ==========================================
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unroll.cells import initializers

# what a class may change without changing what the steps of its parent compute
APART = {"reset_parameters", "normalize", "initial_state", "forward", "extra_repr", "_abc_impl"}


class HiddenState(NamedTuple):
    """State of a cell whose output is its whole memory.

    Shapes:
        hidden: [B, H]
    """

    hidden: Tensor


class Cell(nn.Module, ABC):
    """One step of a recurrent network, with the parameters that its equations name.

    The parameters are ``weight_input`` U, ``weight_recurrent`` W and ``bias`` b, the gates stacked along the
    first axis: one bias per gate. A step has two parts: :meth:`project`, x U + b, waits for no state, so that a
    whole sequence is projected in one product; :meth:`step` does the rest. A cell of one's own is those parameters
    and :meth:`step`; everything else has a default.

    Args:
        input_size: width I of the input of one step.
        hidden_size: width H of the state.

    Shapes:
        weight_input: [gates · H, I], weight_recurrent: [gates · H, H], bias: [gates · H]
    """

    gates: ClassVar[int] = 1

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.weight_input = nn.Parameter(torch.empty(self.gates * hidden_size, input_size))
        self.weight_recurrent = nn.Parameter(torch.empty(self.gates * hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.empty(self.gates * hidden_size))
        self.norm_input: nn.Module = nn.Identity()
        self.norm_recurrent: nn.Module = nn.Identity()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw every parameter from U(−1/√H, 1/√H), as torch does; a normalisation has gain 1, bias 0."""
        for parameter in self.parameters():
            initializers.uniform(parameter, self.hidden_size)
        for module in self.modules():
            if isinstance(module, nn.LayerNorm):
                module.reset_parameters()

    def normalize(self) -> None:
        """Add layer normalisation to both products, x U and h W: Ba, Kiros, Hinton 2016, equation 20."""
        width = self.gates * self.hidden_size
        self.norm_input, self.norm_recurrent = self._norm(width), self._norm(width)

    def _norm(self, width: int) -> nn.LayerNorm:
        return nn.LayerNorm(width, device=self.bias.device, dtype=self.bias.dtype)

    @property
    def normalized(self) -> bool:
        """Whether the cell has a norm of any kind; then no kernel computes it."""
        norms = (module for name, module in self.named_children() if name.startswith("norm"))
        return any(not isinstance(module, nn.Identity) for module in norms)

    def project(self, inputs: Tensor) -> Tensor:
        """What a step needs of its input, x U + b: [..., I] → [..., gates · H]."""
        if not self.normalized:
            return F.linear(inputs, self.weight_input, self.bias)
        normalized: Tensor = self.norm_input(F.linear(inputs, self.weight_input))
        return normalized + self.bias

    def recur(self, hidden: Tensor) -> Tensor:
        """What a step needs of the output before it, h W: [B, H] → [B, gates · H]."""
        product: Tensor = self.norm_recurrent(F.linear(hidden, self.weight_recurrent))
        return product

    def initial_state(self, batch_size: int) -> Any:
        """Zero state for ``batch_size`` sequences."""
        return HiddenState(self._zeros(batch_size))

    def _zeros(self, batch_size: int) -> Tensor:
        return self.bias.new_zeros(batch_size, self.hidden_size)

    @classmethod
    @cache
    def has_way(cls, way: str) -> bool:
        """Whether a method that computes many steps at once still computes this cell's.

        A class that changes a method of the one it is derived from, or anything that a method may use, changes neither
        its kernel nor its derivative.

        Args:
            way: name of the method: ``fused``, which takes the inputs, or ``advance``, which takes x U + b.
        """
        order = [vars(kind) for kind in cls.__mro__]
        age = next(place for place, names in enumerate(order) if way in names)
        changed = {name for names in order[:age] for name in names if not name.startswith("__")}
        return changed <= (APART if way == "fused" else APART | {"project"})

    @abstractmethod
    def step(self, projected: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One step: x U + b [B, gates · H] and the state before it → output [B, H] and the state after it."""

    def forward(self, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One step: ``inputs`` [B, I] and the state before it → output [B, H] and the state after it."""
        return self.step(self.project(inputs), state)


class KernelCell(Cell):
    """A cell whose equations torch has as a kernel over a whole sequence, with the same parameters."""

    bounded = True  # whether a state stays finite, however long padding goes on

    @property
    def has_kernel(self) -> bool:
        """Whether the kernel computes this cell as it is set up."""
        return not self.normalized

    @abstractmethod
    def fused(self, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
        """All steps of equally long sequences in torch's kernel: [B, T, I] → [B, T, H] and the last state."""

    def final_state(self, inputs: Tensor, output: Tensor, lengths: Tensor, state: Any) -> Any:
        """State after the last real step of each padded sequence.

        Shapes:
            inputs: [B, T, I], output: [B, T, H] as :meth:`fused` gave it, lengths: [B]
        """
        return HiddenState(last_step(output, lengths))


class DerivedCell(Cell):
    """A cell that gives the derivative of its step by hand, so that a sequence needs no tape of every operation.

    ``networks.scan`` unrolls such a cell without autograd: :meth:`advance` step by step; then :meth:`slopes` of all
    steps at once, :meth:`retreat` step by step from the last, and :meth:`weight_gradients` of all steps at once, one
    product over T · B rows instead of T small ones. The output of the cell is the first part of its state.

    On a CPU it outruns even torch's own loop, where torch has one for the cell; on a GPU that is cuDNN's one kernel.
    """

    recurrent_parameters: tuple[str, ...] = ("weight_recurrent",)  # that :meth:`project` does not use

    @property
    def has_derivative(self) -> bool:
        """Whether the derivative is that of this cell as it is set up."""
        return not self.normalized

    def weights(self, parameters: dict[str, Tensor], dtype: torch.dtype) -> tuple[Tensor, ...]:
        """What the steps of a sequence need of ``recurrent_parameters``: W and Wᵀ, of the type to compute with."""
        weight = parameters["weight_recurrent"].to(dtype)
        # of halved numbers, torch's product by a transposed view takes a third longer than by a matrix that lies so
        return weight, weight.T.contiguous() if dtype in (torch.bfloat16, torch.float16) else weight.T

    def kept(self, projected: Tensor) -> tuple[Tensor, ...]:
        """Further tensors [T, B, …] that :meth:`advance` works on and the way back needs; none by default."""
        return ()

    def workspace(self, projected: Tensor, *kept: Tensor) -> tuple[Tensor, ...]:
        """What the steps work on, tensors [T, B, …]: x U + b, which becomes the activations, and its part of each gate.

        All are cut into steps once: to cut them at every step would take a good part of its time.
        """
        return projected, *projected.chunk(self.gates, dim=-1)

    @abstractmethod
    def advance(self, work: tuple[Tensor, ...], before: Any, after: Any, weights: tuple[Tensor, ...]) -> None:
        """One step in place.

        Args:
            work: this step of what :meth:`workspace` made; x U + b is left with the activations of the gates.
            before: state before the step.
            after: tensors to write the state after the step to.
            weights: what :meth:`weights` made.
        """

    @abstractmethod
    def slopes(self, work: tuple[Tensor, ...], before: Any, after: Any) -> tuple[Tensor, ...]:
        """What :meth:`retreat` multiplies by, of all steps: tensors [T, B, …] from tensors [T, B, …]."""

    @abstractmethod
    def retreat(
        self, d_gates: Tensor, d_before: Any, d_after: Any, work: tuple[Tensor, ...], before: Any,
        slopes: tuple[Tensor, ...], weights: tuple[Tensor, ...],
    ) -> None:  # fmt: skip
        """From the gradient by the state after a step to that by the state before it, in place.

        Args:
            d_gates: to write the gradient by h W to, [B, gates · H].
            d_before: gradient by the state before the step, to be added to.
            d_after: gradient by the state after the step; but for the output's, it may be overwritten.
            work: this step of what :meth:`advance` left.
            before: state before the step.
            slopes: of this step.
            weights: what :meth:`weights` made.
        """

    def input_gradient(self, d_gates: Tensor, d_output: Tensor, slopes: tuple[Tensor, ...]) -> None:
        """Turn the gradient by h W of all steps into that by x U + b, in place: the same where the two are added.

        Args:
            d_gates: what :meth:`retreat` wrote, [T, B, gates · H].
            d_output: gradient by the output of each step, [T, B, H].
            slopes: of all steps.
        """

    @abstractmethod
    def weight_gradients(self, d_gates: Tensor, work: tuple[Tensor, ...], before: Any, after: Any) -> dict[str, Tensor]:
        """Gradient of each of ``recurrent_parameters``, from tensors [T, B, …] of all steps."""


# factor · σ′ and factor · tanh′ from the activation itself, in one kernel: (factor, activation) → their product
sigmoid_slope: Callable[..., Tensor] = torch.ops.aten.sigmoid_backward
tanh_slope: Callable[[Tensor, Tensor], Tensor] = torch.ops.aten.tanh_backward


def over_time(left: Tensor, right: Tensor) -> Tensor:
    """Sum over all steps of leftᵀ right, one product: [T, B, M], [T, B, N] → [M, N]."""
    return left.flatten(0, 1).T @ right.flatten(0, 1)


def last_step(output: Tensor, lengths: Tensor) -> Tensor:
    """Output at the last real step, ``lengths − 1``: [B, T, H] → [B, H]."""
    return output[torch.arange(len(output), device=output.device), lengths - 1]
