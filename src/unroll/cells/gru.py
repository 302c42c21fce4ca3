"""The gated recurrent unit (Cho et al. 2014)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unroll.cells import initializers
from unroll.cells.base import DerivedCell, HiddenState, KernelCell, over_time, sigmoid_slope, tanh_slope
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
        input_size: width I of the input of one step.
        hidden_size: width H of the state.
        reset: ``after`` or ``before`` the product with W.

    Shapes:
        inputs: [B, I], output: [B, H], state: ``HiddenState`` of [B, H]; gates stacked in the order r z n

    Raises:
        BadInput: the reset is unknown.

    After the product, the candidate's recurrent bias b_hn stands inside the reset gate and cannot be merged with
    b_n: it is the one second bias that a cell has. torch has a kernel for that form alone; the other one is derived
    by hand.
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
        """Normalise both products; reset before the product, that of the gates and that of the candidate apart."""
        super().normalize()
        if self.reset == "before":
            self.norm_recurrent = nn.LayerNorm(2 * self.hidden_size)
            self.norm_candidate = nn.LayerNorm(self.hidden_size)

    @property
    def has_kernel(self) -> bool:
        return self.reset == "after" and not self.normalized

    def fused(self, inputs: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        second_bias = torch.cat([self.bias.new_zeros(2 * self.hidden_size), self.bias_candidate])
        weights = [self.weight_input, self.weight_recurrent, self.bias, second_bias]
        output, hidden = torch.gru(inputs, state.hidden[None], weights, True, 1, 0.0, self.training, False, True)
        return output, HiddenState(hidden[0])

    @property
    def has_derivative(self) -> bool:
        return self.reset == "before" and not self.normalized

    def advance(self, gates: Tensor, before: HiddenState, after: HiddenState, weight: Tensor) -> None:
        size, hidden = self.hidden_size, before.hidden
        gates[:, : 2 * size].addmm_(hidden, weight[: 2 * size].T).sigmoid_()
        r, z, n = gates.chunk(3, dim=1)
        n.addmm_(r * hidden, weight[2 * size :].T).tanh_()
        torch.lerp(n, hidden, z, out=after.hidden)

    def slopes(self, gates: Tensor, before: HiddenState, after: HiddenState) -> tuple[Tensor, ...]:
        r, z, n = gates.chunk(3, dim=-1)
        by_output = torch.cat([sigmoid_slope(before.hidden - n, z), tanh_slope(1 - z, n)], dim=-1)  # [T, B, 2 · H]
        return by_output, sigmoid_slope(before.hidden, r)

    def retreat(
        self, d_gates: Tensor, d_after: HiddenState, gates: Tensor, before: HiddenState, slopes: tuple[Tensor, ...],
        weight: Tensor,
    ) -> HiddenState:  # fmt: skip
        size, d_hidden = self.hidden_size, d_after.hidden
        by_output, by_reset = slopes
        r, z, _ = gates.chunk(3, dim=1)
        torch.mul(d_hidden.repeat(1, 2), by_output, out=d_gates[:, size:])
        d_gated = d_gates[:, 2 * size :] @ weight[2 * size :]  # by r ∘ h
        torch.mul(d_gated, by_reset, out=d_gates[:, :size])
        d_before = torch.addmm(d_hidden * z, d_gates[:, : 2 * size], weight[: 2 * size])
        return HiddenState(d_before.addcmul_(d_gated, r))

    def weight_gradients(
        self, d_gates: Tensor, gates: Tensor, before: HiddenState, after: HiddenState
    ) -> dict[str, Tensor]:
        size = self.hidden_size
        gated = gates[..., :size] * before.hidden  # r ∘ h, [T, B, H]
        by_gates, by_candidate = d_gates[..., : 2 * size], d_gates[..., 2 * size :]
        parts = [over_time(by_gates, before.hidden), over_time(by_candidate, gated)]
        return {"weight_recurrent": torch.cat(parts)}
