"""Base classes of cells, which compute one step of recurrence, and the letters used in the whole project.

====== ==========================================
letter meaning
====== ==========================================
B      batch: number of sequences
T      time: number of steps of a sequence
S      source time: number of steps of the source sequence
I      input size
H      hidden size
L      number of layers
D      number of directions, 1 or 2
V      vocabulary size
K      number of labels
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

HALVES = (torch.bfloat16, torch.float16)

CellState = Any  # a NamedTuple of tensors [B, …], of the type that the cell defines

# attributes that a subclass may override without changing the sequence kernels of its parent
INDEPENDENT = {"reset_parameters", "normalize", "initial_state", "forward", "extra_repr", "_abc_impl"}


class HiddenState(NamedTuple):
    """State of a cell whose output is its only memory.

    Shapes:
        hidden: [B, H]
    """

    hidden: Tensor


class Cell(nn.Module, ABC):
    """One step of a recurrent network.

    The parameters are ``weight_input`` U, ``weight_recurrent`` W and ``bias`` b, with the gates stacked along the
    first dimension and one bias per gate. A step has two parts. :meth:`project` computes x U + b, which does not
    depend on the state, so that a whole sequence is projected in one product; :meth:`step` does the rest. A new cell
    needs to implement :meth:`step` only; everything else has a default.

    Args:
        input_size: size I of the input of one step.
        hidden_size: size H of the state.

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
        """Initialise every parameter from U(−1/√H, 1/√H), as torch does; layer norms have gain 1 and bias 0."""
        for parameter in self.parameters():
            initializers.uniform(parameter, self.hidden_size)
        for module in self.modules():
            if isinstance(module, nn.LayerNorm):
                module.reset_parameters()

    def normalize(self) -> None:
        """Apply layer normalisation to the products x U and h W: Ba, Kiros, Hinton 2016, equation 20."""
        width = self.gates * self.hidden_size
        self.norm_input, self.norm_recurrent = self._norm(width), self._norm(width)

    def _norm(self, width: int) -> nn.LayerNorm:
        return nn.LayerNorm(width, device=self.bias.device, dtype=self.bias.dtype)

    @property
    def normalized(self) -> bool:
        """Whether the cell has any normalisation, which the kernels do not support."""
        norms = (module for name, module in self.named_children() if name.startswith("norm"))
        return any(not isinstance(module, nn.Identity) for module in norms)

    def project(self, inputs: Tensor) -> Tensor:
        """Project the input, x U + b: [..., I] → [..., gates · H]."""
        if not self.normalized:
            return F.linear(inputs, self.weight_input, self.bias)
        normalized: Tensor = self.norm_input(F.linear(inputs, self.weight_input))
        return normalized + self.bias

    def recur(self, hidden: Tensor) -> Tensor:
        """Recurrent product of a step, h W: [B, H] → [B, gates · H]."""
        product: Tensor = self.norm_recurrent(F.linear(hidden, self.weight_recurrent))
        return product

    def initial_state(self, batch_size: int) -> CellState:
        """Zero state for ``batch_size`` sequences."""
        return HiddenState(self._zeros(batch_size))

    def _zeros(self, batch_size: int) -> Tensor:
        return self.bias.new_zeros(batch_size, self.hidden_size)

    @classmethod
    @cache
    def is_valid_for(cls, method: str) -> bool:
        """Whether a method that computes many steps at once is valid for this class.

        A subclass that overrides a method used by its parent's steps inherits a kernel and a derivative that do not
        compute the overridden step.

        Args:
            method: ``fused``, which takes the inputs, or ``forward_step``, which takes x U + b.
        """
        attributes = [vars(kind) for kind in cls.__mro__]
        defined_at = next(place for place, names in enumerate(attributes) if method in names)
        overridden = {name for names in attributes[:defined_at] for name in names if not name.startswith("__")}
        return overridden <= (INDEPENDENT if method == "fused" else INDEPENDENT | {"project"})

    @abstractmethod
    def step(self, projected: Tensor, state: CellState) -> tuple[Tensor, CellState]:
        """Compute one step: x U + b [B, gates · H] and the previous state → output [B, H] and the new state."""

    def forward(self, inputs: Tensor, state: CellState) -> tuple[Tensor, CellState]:
        """Compute one step: ``inputs`` [B, I] and the previous state → output [B, H] and the new state."""
        return self.step(self.project(inputs), state)


class KernelCell(Cell):
    """A cell for which torch has a kernel that computes a whole sequence with the same parameters."""

    bounded = True  # whether the state stays finite for any amount of padding

    @property
    def has_kernel(self) -> bool:
        """Whether the kernel supports the settings of this cell."""
        return not self.normalized

    def kernel_is_faster(self, kind: torch.dtype) -> bool:
        """Whether the kernel is faster on a CPU than the hand-written derivative, for products of a given type."""
        return False

    @abstractmethod
    def fused(self, inputs: Tensor, state: CellState) -> tuple[Tensor, CellState]:
        """All steps of sequences of equal length with torch's kernel: [B, T, I] → [B, T, H] and the last state."""

    def final_state(self, inputs: Tensor, output: Tensor, lengths: Tensor, state: CellState) -> CellState:
        """State after the last real step of each padded sequence.

        Shapes:
            inputs: [B, T, I], output: [B, T, H], the result of :meth:`fused`, lengths: [B]
        """
        return HiddenState(last_step(output, lengths))


class DerivedCell(Cell):
    """A cell with a hand-written derivative, so that autograd does not record every operation of a sequence.

    ``networks.scan`` unrolls such a cell without autograd. In the forward pass it calls :meth:`forward_step` step by
    step. In the backward pass it calls :meth:`derivatives` for all steps at once, :meth:`backward_step` step by step
    from the last one, and :meth:`weight_gradients` for all steps at once: one product over T · B rows instead of T
    small ones. The output of the cell must be the first part of its state.

    On a CPU this is faster than torch's own loop; on a GPU, cuDNN's kernel is faster where it supports the cell.
    """

    recurrent_parameters: tuple[str, ...] = ("weight_recurrent",)  # the parameters that project() does not use

    @property
    def has_derivative(self) -> bool:
        """Whether the derivative supports the settings of this cell."""
        return not self.normalized

    def weights(self, parameters: dict[str, Tensor], dtype: torch.dtype) -> tuple[Tensor, ...]:
        """Values shared by all steps, made from ``recurrent_parameters``: W and Wᵀ in the given dtype."""
        weight = parameters["weight_recurrent"].to(dtype)
        # in half precision, torch's product with a transposed view takes a third longer than with a contiguous matrix
        return weight, weight.T.contiguous() if dtype in HALVES else weight.T

    def saved(self, projected: Tensor) -> tuple[Tensor, ...]:
        """Additional tensors [T, B, …] that :meth:`forward_step` writes for the backward pass; none by default."""
        return ()

    def workspace(self, projected: Tensor, *saved: Tensor) -> tuple[Tensor, ...]:
        """Tensors [T, B, …] that the steps modify: x U + b, which becomes the activations, and the view of each gate.

        All are split into steps once; splitting them at every step would take a good part of the time of the step.
        """
        return projected, *projected.chunk(self.gates, dim=-1)

    @abstractmethod
    def forward_step(
        self, work: tuple[Tensor, ...], before: CellState, after: CellState, weights: tuple[Tensor, ...]
    ) -> None:
        """Compute one step in place.

        Args:
            work: this step of the result of :meth:`workspace`; x U + b is replaced by the activations of the gates.
            before: the previous state.
            after: tensors that receive the new state.
            weights: the result of :meth:`weights`.
        """

    @abstractmethod
    def derivatives(self, work: tuple[Tensor, ...], before: CellState, after: CellState) -> tuple[Tensor, ...]:
        """Local derivatives of all steps, by which :meth:`backward_step` multiplies: tensors [T, B, …]."""

    @abstractmethod
    def backward_step(
        self, d_gates: Tensor, d_before: CellState, d_after: CellState, work: tuple[Tensor, ...], before: CellState,
        derivatives: tuple[Tensor, ...], weights: tuple[Tensor, ...],
    ) -> None:  # fmt: skip
        """Propagate the gradient through one step, in place.

        Args:
            d_gates: receives the gradient with respect to h W, [B, gates · H].
            d_before: gradient with respect to the previous state, which is added to.
            d_after: gradient with respect to the new state; all parts but the output may be overwritten.
            work: this step of the tensors that :meth:`forward_step` modified.
            before: the previous state.
            derivatives: this step of the result of :meth:`derivatives`.
            weights: the result of :meth:`weights`.
        """

    def input_gradient(self, d_gates: Tensor, d_output: Tensor, derivatives: tuple[Tensor, ...]) -> None:
        """Turn the gradient with respect to h W into that with respect to x U + b, in place, for all steps.

        By default the two are equal, as in a cell that adds them.

        Args:
            d_gates: the gradient that :meth:`backward_step` wrote, [T, B, gates · H].
            d_output: gradient with respect to the output of each step, [T, B, H].
            derivatives: the result of :meth:`derivatives`.
        """

    @abstractmethod
    def weight_gradients(
        self, d_gates: Tensor, work: tuple[Tensor, ...], before: CellState, after: CellState
    ) -> dict[str, Tensor]:
        """Gradient with respect to each of ``recurrent_parameters``, from tensors [T, B, …] of all steps."""


# (factor, activation) → factor · σ′ and factor · tanh′, computed from the activation in one kernel
sigmoid_backward: Callable[..., Tensor] = torch.ops.aten.sigmoid_backward
tanh_backward: Callable[[Tensor, Tensor], Tensor] = torch.ops.aten.tanh_backward


def product_type(inputs: Tensor) -> torch.dtype:
    """The type of products of inputs: that of autocast, which leaves fp64 as it is, or their own."""
    device = inputs.device.type
    if not torch.amp.is_autocast_available(device) or not torch.is_autocast_enabled(device):
        return inputs.dtype
    return inputs.dtype if inputs.dtype == torch.float64 else torch.get_autocast_dtype(device)


def over_time(left: Tensor, right: Tensor) -> Tensor:
    """Sum of leftᵀ right over all steps, as one product: [T, B, M], [T, B, N] → [M, N]."""
    return left.flatten(0, 1).T @ right.flatten(0, 1)


def last_step(output: Tensor, lengths: Tensor) -> Tensor:
    """Output at the last real step, ``lengths − 1``: [B, T, H] → [B, H]."""
    return output[torch.arange(len(output), device=output.device), lengths - 1]
