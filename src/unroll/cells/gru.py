"""The gated recurrent unit (Cho et al. 2014)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unroll.cells import initializers
from unroll.cells.base import DerivedCell, HiddenState, KernelCell, over_time, sigmoid_backward, tanh_backward
from unroll.errors import BadInput

RESETS = ("after", "before")


class GRUCell(KernelCell, DerivedCell):
    """Gated recurrent unit: Cho et al., EMNLP 2014; with the reset after the product, as in cuDNN and torch.

    .. math::
        r, z &= \\sigma(x_t U_{r,z} + h_{t-1} W_{r,z} + b_{r,z}) \\\\
        n &= \\tanh(x_t U_n + b_n + r \\circ (h_{t-1} W_n + b_{hn})) \\quad\\text{(after)} \\\\
        n &= \\tanh(x_t U_n + b_n + (r \\circ h_{t-1}) W_n) \\quad\\text{(before, as in the paper)} \\\\
        h_t &= (1 - z) \\circ n + z \\circ h_{t-1}

    Args:
        input_size: size I of the input of one step.
        hidden_size: size H of the state.
        reset: whether to apply the reset gate ``after`` or ``before`` the product with W.

    Shapes:
        inputs: [B, I], output: [B, H], state: ``HiddenState`` of [B, H]; gates stacked in the order r z n

    Raises:
        BadInput: the reset is unknown.

    With reset ``after``, the recurrent bias b_hn of the candidate is multiplied by the reset gate and cannot be merged
    with b_n; no other cell has a second bias. torch has a kernel for this form only; both forms have a hand-written
    derivative.
    """

    gates = 3

    def __init__(self, input_size: int, hidden_size: int, reset: str = "after") -> None:
        if reset not in RESETS:
            raise BadInput(f"There is no reset {reset!r} of a GRU; choose one of {', '.join(RESETS)}.")
        super().__init__(input_size, hidden_size)
        self.reset = reset
        self.norm_candidate: nn.Module = nn.Identity()
        if reset == "after":
            self.bias_candidate = nn.Parameter(torch.empty(hidden_size))
            initializers.uniform(self.bias_candidate, hidden_size)
            self.recurrent_parameters = ("weight_recurrent", "bias_candidate")

    def step(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        size, hidden = self.hidden_size, state.hidden
        if self.reset == "after":
            recurrent = self.recur(hidden)  # [B, 3H]
            r, z = torch.sigmoid(projected[:, : 2 * size] + recurrent[:, : 2 * size]).chunk(2, dim=1)
            n = torch.tanh(projected[:, 2 * size :] + r * (recurrent[:, 2 * size :] + self.bias_candidate))
        else:
            gated, candidate = self.weight_recurrent[: 2 * size], self.weight_recurrent[2 * size :]
            recurrent = self.norm_recurrent(F.linear(hidden, gated))  # [B, 2H]
            r, z = torch.sigmoid(projected[:, : 2 * size] + recurrent).chunk(2, dim=1)
            n = torch.tanh(projected[:, 2 * size :] + self.norm_candidate(F.linear(r * hidden, candidate)))
        after = (1 - z) * n + z * hidden
        return after, HiddenState(after)

    def normalize(self) -> None:
        """Normalise both products; with reset ``before``, the products of the gates and of the candidate separately."""
        super().normalize()
        if self.reset == "before":
            self.norm_recurrent = self._norm(2 * self.hidden_size)
            self.norm_candidate = self._norm(self.hidden_size)

    @property
    def has_kernel(self) -> bool:
        return self.reset == "after" and not self.normalized

    def fused(self, inputs: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        second_bias = torch.cat([self.bias.new_zeros(2 * self.hidden_size), self.bias_candidate])
        weights = [self.weight_input, self.weight_recurrent, self.bias, second_bias]
        output, hidden = torch.gru(inputs, state.hidden[None], weights, True, 1, 0.0, self.training, False, True)
        return output, HiddenState(hidden[0])

    def saved(self, projected: Tensor) -> tuple[Tensor, ...]:
        """With reset ``after``: the candidate, moved out of ``projected``, where h W + b_hn replaces it."""
        if self.reset == "before":
            return ()
        third = projected[..., 2 * self.hidden_size :]
        candidate = third.clone(memory_format=torch.contiguous_format)
        third.copy_(self.bias_candidate)
        return (candidate,)

    def workspace(self, projected: Tensor, *saved: Tensor) -> tuple[Tensor, ...]:
        """All three parts, both gates, each gate, the third part, and the candidate."""
        r, z, third = projected.chunk(3, dim=-1)
        (candidate,) = saved or (third,)
        return projected, projected[..., : 2 * self.hidden_size], r, z, third, candidate

    def forward_step(
        self, work: tuple[Tensor, ...], before: HiddenState, after: HiddenState, weights: tuple[Tensor, ...]
    ) -> None:
        size, hidden, transposed = self.hidden_size, before.hidden, weights[1]
        parts, gates, r, z, gated, n = work
        if self.reset == "after":
            parts.addmm_(hidden, transposed)
            gates.sigmoid_()
            n.addcmul_(r, gated).tanh_()
        else:
            gates.addmm_(hidden, transposed[:, : 2 * size]).sigmoid_()
            n.addmm_(r * hidden, transposed[:, 2 * size :]).tanh_()
        torch.lerp(n, hidden, z, out=after.hidden)

    def derivatives(self, work: tuple[Tensor, ...], before: HiddenState, after: HiddenState) -> tuple[Tensor, ...]:
        (_, _, r, z, gated, n), hidden = work, before.hidden
        by_candidate = tanh_backward(1 - z, n)
        if self.reset == "before":
            by_output = torch.stack([sigmoid_backward(hidden - n, z), by_candidate], dim=2)
            return by_output, sigmoid_backward(hidden, r)  # [T, B, 2, H], [T, B, H]
        by_product = hidden.new_empty(*hidden.shape[:2], 3, self.hidden_size)
        torch.mul(sigmoid_backward(gated, r), by_candidate, out=by_product[:, :, 0])
        sigmoid_backward(hidden - n, z, grad_input=by_product[:, :, 1])
        torch.mul(by_candidate, r, out=by_product[:, :, 2])
        return by_product, by_candidate  # [T, B, 3, H], [T, B, H]

    def backward_step(
        self, d_gates: Tensor, d_before: HiddenState, d_after: HiddenState, work: tuple[Tensor, ...],
        before: HiddenState, derivatives: tuple[Tensor, ...], weights: tuple[Tensor, ...],
    ) -> None:  # fmt: skip
        size, d_hidden, weight = self.hidden_size, d_after.hidden, weights[0]
        _, _, r, z, _, _ = work
        d_before.hidden.addcmul_(d_hidden, z)
        if self.reset == "after":  # all parts of h W are multiplied by the gradient of the output
            torch.mul(d_hidden[:, None], derivatives[0], out=d_gates.view(-1, 3, size))
            d_before.hidden.addmm_(d_gates, weight)
            return
        by_output, by_reset = derivatives
        torch.mul(d_hidden[:, None], by_output, out=d_gates[:, size:].view(-1, 2, size))
        d_gated = d_gates[:, 2 * size :] @ weight[2 * size :]  # with respect to r ∘ h
        torch.mul(d_gated, by_reset, out=d_gates[:, :size])
        d_before.hidden.addmm_(d_gates[:, : 2 * size], weight[: 2 * size]).addcmul_(d_gated, r)

    def input_gradient(self, d_gates: Tensor, d_output: Tensor, derivatives: tuple[Tensor, ...]) -> None:
        """Equal to the gradient by h W except for the candidate, whose part of h W is multiplied by the reset gate."""
        if self.reset == "after":
            torch.mul(derivatives[1], d_output, out=d_gates[..., 2 * self.hidden_size :])

    def weight_gradients(
        self, d_gates: Tensor, work: tuple[Tensor, ...], before: HiddenState, after: HiddenState
    ) -> dict[str, Tensor]:
        size, hidden = self.hidden_size, before.hidden
        if self.reset == "after":
            by_bias = d_gates[..., 2 * size :].sum((0, 1))
            return {"weight_recurrent": over_time(d_gates, hidden), "bias_candidate": by_bias}
        gated = work[2] * hidden  # r ∘ h, [T, B, H]
        parts = [over_time(d_gates[..., : 2 * size], hidden), over_time(d_gates[..., 2 * size :], gated)]
        return {"weight_recurrent": torch.cat(parts)}
