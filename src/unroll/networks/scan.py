"""The loop over time, which runs any cell over padded sequences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.parametrize import type_before_parametrizations

from unroll.cells.base import HALVES, Cell, CellState, DerivedCell, KernelCell, last_step, product_type
from unroll.errors import BadInput
from unroll.networks.state import where_rows


def scan(cell: Cell, inputs: Tensor, lengths: Tensor, state: CellState) -> tuple[Tensor, CellState]:
    """Run a cell over padded sequences.

    There are three implementations with equal results: torch's kernel where it has one for the cell, the hand-written
    derivative of the cell if it has one (preferred on a CPU where it is faster than the kernel), and otherwise a loop
    with autograd. The last two compute the projection of the input, x U + b, as one product for all steps.

    Args:
        cell: the cell, which computes one step.
        inputs: [B, T, I].
        lengths: [B], each ≥ 1.
        state: the initial state.

    Returns:
        The output of every step [B, T, H], undefined beyond the length of a sequence, and the state after the last
        step of each sequence.

    Raises:
        BadInput: a sequence is empty, or the state has another batch size.
        NotImplementedError: a second derivative is requested of a hand-written derivative.
    """
    output, final = _read(cell, inputs, lengths, state)
    return output, final()


def outputs(cell: Cell, inputs: Tensor, lengths: Tensor, state: CellState, context: Tensor | None = None) -> Tensor:
    """The output of every step: :func:`scan` without the cost of the final state of ragged sequences.

    Args:
        cell: the cell, which computes one step.
        inputs: [B, T, I].
        lengths: [B], each ≥ 1.
        state: the initial state.
        context: [B, C], joined to the input of every step of a sequence, behind the I numbers of ``inputs``; None for
            nothing. It is projected once per sequence, except by torch's kernel.

    Raises:
        BadInput: as of :func:`scan`.
    """
    return _read(cell, inputs, lengths, state, context)[0]


def _read(
    cell: Cell, inputs: Tensor, lengths: Tensor, state: CellState, context: Tensor | None = None
) -> tuple[Tensor, Callable[[], CellState]]:
    """The output of every step, and a function that computes the final state."""
    ragged = _is_ragged(inputs, lengths, state)
    implementation = _implementation(cell, inputs)
    if implementation == "kernel":
        assert isinstance(cell, KernelCell)
        if context is not None:
            inputs = torch.cat([inputs, context[:, None].expand(-1, inputs.shape[1], -1)], dim=-1)
            context = None
        output, after = cell.fused(inputs, state)
        if not ragged:
            return output, lambda: after
        # an overflow in the padding would turn its zero gradients into NaN; the plain loop keeps the state there
        if cell.bounded or bool(output.isfinite().all()):
            return output, lambda: cell.final_state(inputs, output, lengths, state)
    elif implementation == "derivative":
        assert isinstance(cell, DerivedCell)
        states = by_derivative(cell, inputs, state, context)
        return states[0], lambda: type(state)(*(last_step(part, lengths) for part in states))
    output, after = by_steps(cell, inputs, state, lengths if ragged else None, context)
    return output, lambda: after


def _implementation(cell: Cell, inputs: Tensor) -> str:
    """The fastest implementation for a cell: ``kernel``, ``derivative`` or ``steps``."""
    # weight dropout changes the class, but not the equations
    kind: type[Cell] = type_before_parametrizations(cell)
    derived = isinstance(cell, DerivedCell) and cell.has_derivative and kind.is_valid_for("forward_step")
    fused = isinstance(cell, KernelCell) and cell.has_kernel and kind.is_valid_for("fused")
    if fused and derived and inputs.device.type == "cpu":
        assert isinstance(cell, KernelCell)
        return "kernel" if cell.kernel_is_faster(product_type(inputs)) else "derivative"
    return "kernel" if fused else "derivative" if derived else "steps"


def _is_ragged(inputs: Tensor, lengths: Tensor, state: CellState) -> bool:
    """Whether the sequences differ in length.

    Raises:
        BadInput: a sequence is empty, or the state has another batch size.
    """
    if not len(lengths):
        raise BadInput("A batch has no sequences; give at least one.")
    shortest = int(lengths.min())
    if shortest < 1:
        raise BadInput(f"Sequence {int(lengths.argmin())} of a batch is empty; give sequences of at least one step.")
    if len(state[0]) != len(inputs):
        raise BadInput(f"A state of {len(state[0])} sequences was given for a batch of {len(inputs)}.")
    return shortest < inputs.shape[1]


def by_steps(
    cell: Cell, inputs: Tensor, state: CellState, lengths: Tensor | None, context: Tensor | None = None
) -> tuple[Tensor, CellState]:
    """Run a cell step by step; if lengths are given, a sequence keeps its state after its end, and its output is 0."""
    projected = _project(cell, inputs.transpose(0, 1), context)  # [T, B, gates · H]
    made = []
    # unbound once: the gradient of an indexed step would be as large as the whole tensor
    for time, part in enumerate(projected.unbind(0)):
        output, after = cell.step(part, state)
        if lengths is not None:
            is_real = time < lengths  # [B]
            after = where_rows(is_real, after, state)
        made.append(output)
        state = after
    output = torch.stack(made, dim=1)  # [B, T, H]
    if lengths is not None:  # one step from the last state may overflow, and zero gradients times infinity are NaN
        time_of = torch.arange(output.shape[1], device=output.device)
        output = output.masked_fill((time_of >= lengths[:, None])[..., None], 0.0)
    return output, state


def by_derivative(cell: DerivedCell, inputs: Tensor, state: CellState, context: Tensor | None = None) -> CellState:
    """All states of sequences of equal length, tensors [B, T, H], with the hand-written derivative of the cell."""
    projected = _project(cell, inputs.transpose(0, 1).contiguous(), context)  # [T, B, gates · H]
    if type(cell).project is not Cell.project:  # it is modified, and autograd may need it for another project()
        projected = projected.clone()
    weights = [getattr(cell, name) for name in cell.recurrent_parameters]
    states = _Unrolled.apply(  # type: ignore[no-untyped-call]
        cell, type(state), projected, *state, *weights
    )
    return type(state)(*(part.transpose(0, 1) for part in states))


def projects_linearly(cell: Cell) -> bool:
    """Whether a cell projects its input by x U + b alone, so that the parts of x can be projected apart."""
    return not cell.normalized and type(cell).project is Cell.project


def stays_finite(cell: Cell) -> bool:
    """Whether the state of a cell is known to stay finite for any amount of padding."""
    kind: type[Cell] = type_before_parametrizations(cell)
    if isinstance(cell, KernelCell):
        return cell.bounded and kind.is_valid_for("fused")
    return isinstance(cell, DerivedCell) and kind.is_valid_for("forward_step")


def _project(cell: Cell, inputs: Tensor, context: Tensor | None) -> Tensor:
    """Project the input of every step, and the context of every sequence: [T, B, I], [B, C] → [T, B, gates · H]."""
    if context is None:
        return cell.project(inputs)
    if not projects_linearly(cell):
        return cell.project(torch.cat([inputs, context.expand(len(inputs), -1, -1)], dim=-1))
    size = inputs.shape[-1]
    of_inputs = F.linear(inputs, cell.weight_input[:, :size], cell.bias)
    return of_inputs + F.linear(context, cell.weight_input[:, size:])


class _Unrolled(torch.autograd.Function):
    """All steps of a cell with a hand-written derivative; only gates and states are recorded."""

    @staticmethod
    def forward(ctx: Any, cell: DerivedCell, kind: type, projected: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        parts = len(tensors) - len(cell.recurrent_parameters)
        start = tensors[:parts]
        given = dict(zip(cell.recurrent_parameters, tensors[parts:], strict=True))
        weights = cell.weights(given, projected.dtype)
        # the output has the dtype of the product, half precision under autocast; a memory always has full precision
        memory_type = torch.float32 if projected.dtype in HALVES else projected.dtype
        types = [projected.dtype] + [memory_type] * (parts - 1)
        shape = (len(projected) + 1, projected.shape[1], cell.hidden_size)
        states = [projected.new_empty(shape, dtype=dtype) for dtype in types]
        for part, first in zip(states, start, strict=True):
            part[0] = first
        states_at = _by_step(kind, states)
        extra = cell.saved(projected)
        for time, work in enumerate(_by_step(tuple, cell.workspace(projected, *extra))):
            cell.forward_step(work, states_at[time], states_at[time + 1], weights)
        ctx.cell = cell
        ctx.kind = kind
        ctx.types = [part.dtype for part in tensors]
        ctx.sizes = (len(extra) + 1, parts)
        ctx.save_for_backward(projected, *extra, *states, *weights)
        ctx.set_materialize_grads(False)
        return tuple(part[1:] for part in states)

    @staticmethod
    def backward(ctx: Any, *given: Tensor | None) -> tuple[Any, ...]:
        cell, kind = ctx.cell, ctx.kind
        if torch.is_grad_enabled():  # create_graph=True; torch's once_differentiable misses many such cases
            raise NotImplementedError(f"{type(cell).__name__} has no hand-written second derivative; use by_steps.")
        saved, (buffers, parts) = ctx.saved_tensors, ctx.sizes
        work, states, weights = saved[:buffers], saved[buffers : buffers + parts], saved[buffers + parts :]
        d_gates = torch.empty_like(work[0])
        work = cell.workspace(*work)
        before = kind(*(part[:-1] for part in states))
        after = kind(*(part[1:] for part in states))
        derivatives = cell.derivatives(work, before, after)
        # gradient with respect to each state: that of its output, to which the following step adds its own
        d_states = [torch.zeros_like(part) for part in states]
        for part, d_output in zip(d_states, given, strict=True):
            if d_output is not None:
                part[1:] = d_output
        d_states_at = _by_step(kind, d_states)
        steps = zip(
            d_gates.unbind(0), d_states_at[:-1], d_states_at[1:], _by_step(tuple, work), _by_step(kind, before),
            _by_step(tuple, derivatives), strict=True,
        )  # fmt: skip
        for step in reversed(list(steps)):
            cell.backward_step(*step, weights)
        by_name = cell.weight_gradients(d_gates, work, before, after)
        cell.input_gradient(d_gates, d_states[0][1:], derivatives)
        gradients = [*d_states_at[0], *(by_name[name] for name in cell.recurrent_parameters)]
        return None, None, d_gates, *(part.to(dtype) for part, dtype in zip(gradients, ctx.types, strict=True))


def _by_step(kind: Any, parts: Sequence[Tensor]) -> list[Any]:
    """The state of each step, from tensors [T, B, H] of all steps."""
    steps = zip(*(part.unbind(0) for part in parts), strict=True)
    return [step if kind is tuple else kind(*step) for step in steps]
