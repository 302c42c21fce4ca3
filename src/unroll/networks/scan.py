"""The one loop over time: any cell, over whole padded sequences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.parametrize import type_before_parametrizations

from unroll.cells.base import Cell, DerivedCell, KernelCell, last_step
from unroll.errors import BadInput


def scan(cell: Cell, inputs: Tensor, lengths: Tensor, state: Any) -> tuple[Tensor, Any]:
    """Run a cell over padded sequences.

    Torch's kernel does the work where it has one for the cell, a derivative by hand where the cell gives one (and on
    a CPU before the kernel, which is a slower loop there), and else the plain loop with autograd; all three give the
    same numbers. In the last two the input's part of every step, x U + b, is one product for all steps.

    Args:
        cell: the step.
        inputs: [B, T, I].
        lengths: [B], each ≥ 1.
        state: before the first step.

    Returns:
        The output of every step [B, T, H], undefined beyond a sequence's length, and the state after each
        sequence's last step.

    Raises:
        BadInput: a sequence is empty, or the state is not of these sequences.
        NotImplementedError: a second derivative is asked for where the first is by hand.
    """
    output, final = _read(cell, inputs, lengths, state)
    return output, final()


def outputs(cell: Cell, inputs: Tensor, lengths: Tensor, state: Any) -> Tensor:
    """The output of every step alone: :func:`scan` without what only the final state of ragged sequences costs."""
    return _read(cell, inputs, lengths, state)[0]


def _read(cell: Cell, inputs: Tensor, lengths: Tensor, state: Any) -> tuple[Tensor, Callable[[], Any]]:
    """The output of every step, and what makes the final state."""
    ragged = _is_ragged(inputs, lengths, state)
    way = _way(cell, inputs)
    if way == "kernel":
        assert isinstance(cell, KernelCell)
        output, after = cell.fused(inputs, state)
        if not ragged:
            return output, lambda: after
        # what overflows in the padding would make zero gradients there NaN; the plain loop stands still in it
        if cell.bounded or bool(output.isfinite().all()):
            return output, lambda: cell.final_state(inputs, output, lengths, state)
    elif way == "derivative":
        assert isinstance(cell, DerivedCell)
        states = by_derivative(cell, inputs, state)
        return states[0], lambda: type(state)(*(last_step(part, lengths) for part in states))
    output, after = by_steps(cell, inputs, state, lengths if ragged else None)
    return output, lambda: after


def _way(cell: Cell, inputs: Tensor) -> str:
    """The fastest way of running a cell: ``kernel``, ``derivative`` or ``steps``."""
    kind: type[Cell] = type_before_parametrizations(
        cell
    )  # weight dropout changes the class, and the equations it does not
    derived = isinstance(cell, DerivedCell) and cell.has_derivative and kind.has_way("advance")
    if derived and inputs.device.type == "cpu":
        return "derivative"
    if isinstance(cell, KernelCell) and cell.has_kernel and kind.has_way("fused"):
        return "kernel"
    return "derivative" if derived else "steps"


def _is_ragged(inputs: Tensor, lengths: Tensor, state: Any) -> bool:
    """Whether some sequence is shorter than the batch is long.

    Raises:
        BadInput: one has no step, or the state is not of these sequences.
    """
    if not len(lengths):
        raise BadInput("A batch has no sequences; give at least one.")
    shortest = int(lengths.min())
    if shortest < 1:
        raise BadInput(f"Sequence {int(lengths.argmin())} of a batch is empty; give sequences of at least one step.")
    if len(state[0]) != len(inputs):
        raise BadInput(f"A state of {len(state[0])} sequences was given for a batch of {len(inputs)}.")
    return shortest < inputs.shape[1]


def by_steps(cell: Cell, inputs: Tensor, state: Any, lengths: Tensor | None) -> tuple[Tensor, Any]:
    """The plain loop; with lengths, the state of a sequence freezes at its end."""
    projected = cell.project(inputs.transpose(0, 1))  # [T, B, gates · H]
    made = []
    # unbound once: cutting a step from the whole would give each of them a gradient as large as the whole
    for time, part in enumerate(projected.unbind(0)):
        output, after = cell.step(part, state)
        if lengths is not None:
            goes_on = time < lengths  # [B]
            after = type(state)(*(_where(goes_on, new, old) for new, old in zip(after, state, strict=True)))
        made.append(output)
        state = after
    return torch.stack(made, dim=1), state


def _where(rows: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """Some rows of one part of a state, [B, …], the rest of another: rows [B] bool."""
    return torch.where(rows.view(-1, *[1] * (new.dim() - 1)), new, old)


def by_derivative(cell: DerivedCell, inputs: Tensor, state: Any) -> Any:
    """Every state of equally long sequences, tensors [B, T, H], by the cell's own derivative."""
    projected = cell.project(inputs.transpose(0, 1).contiguous())  # [T, B, gates · H]
    if type(cell).project is not Cell.project:  # it is written to, and another project may need it for its derivative
        projected = projected.clone()
    weights = [getattr(cell, name) for name in cell.recurrent_parameters]
    states = _Unrolled.apply(  # type: ignore[no-untyped-call]
        cell, type(state), projected, *state, *weights
    )
    return type(state)(*(part.transpose(0, 1) for part in states))


class _Unrolled(torch.autograd.Function):
    """A sequence of steps whose derivative the cell gives: nothing is recorded but gates and states."""

    @staticmethod
    def forward(ctx: Any, cell: DerivedCell, kind: type, projected: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        parts = len(tensors) - len(cell.recurrent_parameters)
        start, given = tensors[:parts], dict(zip(cell.recurrent_parameters, tensors[parts:], strict=True))
        weights = cell.weights(given, projected.dtype)
        # the output has the numbers of the product, which autocast may have halved; a memory is never halved
        halved = projected.dtype in (torch.bfloat16, torch.float16)
        types = [projected.dtype] + [torch.float32 if halved else projected.dtype] * (parts - 1)
        shape = (len(projected) + 1, projected.shape[1], cell.hidden_size)
        states = [projected.new_empty(shape, dtype=dtype) for dtype in types]
        for part, first in zip(states, start, strict=True):
            part[0] = first
        moments = _moments(kind, states)
        kept = cell.kept(projected)
        for time, work in enumerate(_moments(tuple, cell.workspace(projected, *kept))):
            cell.advance(work, moments[time], moments[time + 1], weights)
        ctx.cell, ctx.kind, ctx.types, ctx.sizes = cell, kind, [part.dtype for part in tensors], (len(kept) + 1, parts)
        ctx.save_for_backward(projected, *kept, *states, *weights)
        ctx.set_materialize_grads(False)
        return tuple(part[1:] for part in states)

    @staticmethod
    def backward(ctx: Any, *given: Tensor | None) -> tuple[Any, ...]:
        cell, kind = ctx.cell, ctx.kind
        if torch.is_grad_enabled():  # create_graph; torch's once_differentiable lets many such cases through, wrong
            raise NotImplementedError(f"{type(cell).__name__} gives no second derivative by hand; scan it by_steps.")
        saved, (buffers, parts) = ctx.saved_tensors, ctx.sizes
        work, states, weights = saved[:buffers], saved[buffers : buffers + parts], saved[buffers + parts :]
        d_gates, work = torch.empty_like(work[0]), cell.workspace(*work)
        before, after = kind(*(part[:-1] for part in states)), kind(*(part[1:] for part in states))
        slopes = cell.slopes(work, before, after)
        # by each state: what comes from outside, to which each step adds what comes from the one after it
        d_states = [torch.zeros_like(part) for part in states]
        for part, outside in zip(d_states, given, strict=True):
            if outside is not None:
                part[1:] = outside
        d_moments = _moments(kind, d_states)
        steps = zip(
            d_gates.unbind(0), d_moments[:-1], d_moments[1:], _moments(tuple, work), _moments(kind, before),
            _moments(tuple, slopes), strict=True,
        )  # fmt: skip
        for step in reversed(list(steps)):
            cell.retreat(*step, weights)
        by_name = cell.weight_gradients(d_gates, work, before, after)
        cell.input_gradient(d_gates, d_states[0][1:], slopes)
        gradients = [*d_moments[0], *(by_name[name] for name in cell.recurrent_parameters)]
        return None, None, d_gates, *(part.to(dtype) for part, dtype in zip(gradients, ctx.types, strict=True))


def _moments(kind: Any, parts: Sequence[Tensor]) -> list[Any]:
    """The state of every step, from tensors [T, B, H] of each of its parts."""
    steps = zip(*(part.unbind(0) for part in parts), strict=True)
    return [step if kind is tuple else kind(*step) for step in steps]
