"""Check of user-defined cells on a small example: the network must compute what the cell defines."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager
from traceback import extract_tb
from typing import NamedTuple

import torch
from torch import Tensor, nn

from unroll import cells
from unroll.cells.base import Cell, CellState
from unroll.errors import BadInput, is_lack_of_memory
from unroll.networks.scan import scan

ROWS, STEPS = 2, 3
NEAR = 1e-3  # relative tolerance, far above rounding errors of fp32 and far below the effect of another formula
KNOWN = {getattr(cells, name) for name in cells.__all__}  # cells of this package, which tests check


class Reading(NamedTuple):
    """Results of a cell on the example: numbers by name, and gradients by the name of the parameter."""

    numbers: dict[str, Tensor]
    gradients: dict[str, Tensor | None]


def check_cell(cell: Cell, drops_weights: bool) -> None:
    """Refuse a cell whose sequences would not be computed as defined.

    Calling ``forward`` step by step must give the output, the state and the gradients of :func:`scan`. The state of the
    global random number generator is preserved.

    Args:
        cell: the cell, including its settings.
        drops_weights: whether weight dropout will be applied.

    Raises:
        BadInput: the cell fails or breaks a rule; the message has its file and line.
    """
    if type(cell) in KNOWN or any(parameter.is_meta for parameter in cell.parameters()):  # meta tensors have no values
        return
    was_training = cell.training
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(0)
            _check(cell.eval(), drops_weights)
    finally:
        cell.train(was_training)


def _check(cell: Cell, drops_weights: bool) -> None:
    like = next(cell.parameters(), None)
    if like is None:
        raise _refusal(cell, "has no parameters", "call super().__init__(input_size, hidden_size)")
    inputs = torch.randn(ROWS, STEPS, cell.input_size, dtype=like.dtype, device=like.device)
    start = _first_state(cell, like)
    with failures(type(cell), cell.input_size, cell.hidden_size):
        _, start = _step(cell, inputs[:, 0], start)  # a state other than the initial one
    start = type(start)(*(part.detach() for part in start))
    lengths = torch.tensor([STEPS, STEPS - 1], device=like.device)
    with failures(type(cell), cell.input_size, cell.hidden_size):
        written = _read_by_steps(cell, inputs, lengths, start)
    with failures(type(cell), cell.input_size, cell.hidden_size):
        used = _read_by_scan(cell, inputs, lengths, start)
    _compare(cell, written, used)
    _check_use(cell, written.gradients, drops_weights)


def _first_state(cell: Cell, like: Tensor) -> CellState:
    with failures(type(cell), cell.input_size, cell.hidden_size):
        state = cell.initial_state(ROWS)
    parts = state if isinstance(state, tuple) and hasattr(state, "_fields") else ()
    if not parts or not all(isinstance(part, Tensor) and len(part) == ROWS for part in parts):
        raise _refusal(cell, "has an initial_state that is not a NamedTuple of tensors with a row for each sequence",
                       "see HiddenState in cells/base.py")  # fmt: skip
    return type(state)(*(part.to(like.device) for part in parts))


def _step(cell: Cell, inputs: Tensor, state: CellState) -> tuple[Tensor, CellState]:
    """Compute one step and check its result."""
    before = [part.clone() for part in (inputs, *state)]
    made = cell(inputs, state)
    if not isinstance(made, tuple) or len(made) != 2 or not isinstance(made[0], Tensor):
        raise _refusal(cell, "does not return an output and a state", "return output, State(…)")
    output, after = made
    if any(not torch.equal(one, two) for one, two in zip(before, (inputs, *state), strict=True)):
        raise _refusal(cell, "changes its input or the previous state in place", "make new tensors")
    if output.shape != (len(inputs), cell.hidden_size):
        raise _refusal(cell, f"returns an output of shape {list(output.shape)} where "
                             f"{[len(inputs), cell.hidden_size]} is expected", "return [B, H]")  # fmt: skip
    _check_state(cell, state, after)
    for part, name in ((output, "an output"), *((part, "a state") for part in after)):
        if part.dtype != inputs.dtype and part.is_floating_point():
            raise _refusal(cell, f"returns {name} of {part.dtype} where its input is of {inputs.dtype}",
                           "create tensors with new_zeros or zeros_like of an existing one")  # fmt: skip
        if not bool(part.isfinite().all()):
            raise _refusal(cell, f"returns {name} that is not finite for inputs near 1", "correct its equations")
    return output, after


def _check_state(cell: Cell, state: CellState, after: CellState) -> None:
    shapes = [list(part.shape) for part in state]
    if type(after) is not type(state) or [list(part.shape) for part in after] != shapes:
        raise _refusal(cell, f"does not return a state like its argument, {type(state).__name__} of {shapes}",
                       "make initial_state and step agree")  # fmt: skip


def _read_by_steps(cell: Cell, inputs: Tensor, lengths: Tensor, start: CellState) -> Reading:
    """Results of ``forward``, step by step."""
    inputs, start = _watched(inputs, start)
    state, outputs, states = start, [], []
    for part in inputs.unbind(1):
        output, after = _step(cell, part.clone(), state)
        again, _ = _step(cell, part.clone(), state)
        if not torch.equal(output, again):
            raise _refusal(cell, "returns different outputs for equal inputs and states",
                           "keep everything in the state, and draw random numbers in training only")  # fmt: skip
        outputs.append(output)
        states.append(after)
        state = after
    final = type(start)(
        *(torch.stack([states[int(n) - 1][at][row] for row, n in enumerate(lengths)]) for at in range(len(start)))
    )
    return _reading(cell, torch.stack(outputs, dim=1), lengths, final, inputs, start)


def _read_by_scan(cell: Cell, inputs: Tensor, lengths: Tensor, start: CellState) -> Reading:
    """Results of :func:`scan`, which must not change the inputs."""
    inputs, start = _watched(inputs, start)
    before = inputs.detach().clone()
    output, final = scan(cell, inputs, lengths, start)
    if not torch.equal(inputs, before):
        raise _refusal(cell, "has a project that returns its own input, which is then overwritten", "make a new tensor")
    return _reading(cell, output, lengths, final, inputs, start)


def _watched(inputs: Tensor, start: CellState) -> tuple[Tensor, CellState]:
    """Copies that require gradients."""
    parts = (part.clone().requires_grad_(part.is_floating_point()) for part in start)
    return inputs.clone().requires_grad_(), type(start)(*parts)


def _reading(
    cell: Cell, output: Tensor, lengths: Tensor, final: CellState, inputs: Tensor, start: CellState
) -> Reading:
    real = torch.arange(STEPS, device=lengths.device) < lengths[:, None]  # [B, T]
    numbers = {"output": torch.where(real[..., None], output, 0)}
    numbers |= {f"state {name}": part for name, part in zip(final._fields, final, strict=True)}
    watched = {"input": inputs, **{f"state {name}": part for name, part in zip(start._fields, start, strict=True)},
               **dict(cell.named_parameters())}  # fmt: skip
    asked = {name: tensor for name, tensor in watched.items() if tensor.requires_grad}
    weighed = [(part * torch.linspace(0.5, 1.5, part.numel(), dtype=part.dtype, device=part.device).view_as(part)).sum()
               for part in numbers.values() if part.requires_grad]  # fmt: skip
    total = torch.stack(weighed).sum()
    gradients = torch.autograd.grad(total, list(asked.values()), allow_unused=True)
    return Reading({name: part.detach() for name, part in numbers.items()}, dict(zip(asked, gradients, strict=True)))


def _compare(cell: Cell, written: Reading, used: Reading) -> None:
    """Refuse a cell whose sequences differ from its steps."""
    pairs: dict[str, tuple[Tensor | None, Tensor | None]] = {}
    pairs |= {name: (part, used.numbers[name]) for name, part in written.numbers.items()}
    pairs |= {f"gradient by {name}": (part, used.gradients[name]) for name, part in written.gradients.items()}
    for name, (one, two) in pairs.items():
        if one is None and two is None:
            continue
        zero = torch.zeros_like(one if one is not None else two)  # type: ignore[arg-type]  # one of them is there
        one, two = (zero if part is None else part for part in (one, two))
        if float((one - two).abs().max()) > NEAR * max(1.0, float(one.abs().max())):
            raise _refusal(cell, f"has another {name} for a whole sequence than step by step", _remedy(type(cell)))


def _remedy(kind: type[Cell]) -> str:
    """The most likely remedy."""
    own = {name for each in kind.__mro__ if each not in KNOWN and issubclass(each, Cell) for name in vars(each)}
    if "forward" in own:
        return "sequences are computed by project and step; move the code of forward there"
    if "project" in own:
        return "project receives all steps at once, [T, B, I]; let it use the last dimension only"
    return "make project and step agree with forward; derive the cell from Cell, or correct its hand-written derivative"


def _check_use(cell: Cell, gradients: dict[str, Tensor | None], drops_weights: bool) -> None:
    """Refuse settings that would have no effect."""
    if drops_weights and gradients.get("weight_recurrent") is None:
        raise _refusal(cell, "does not use weight_recurrent", "set arch.encoder.weight_dropout=0")
    for name, module in (("norm_input", cell.norm_input), ("norm_recurrent", cell.norm_recurrent)):
        if isinstance(module, nn.Identity):
            continue
        if all(gradients.get(f"{name}.{part}") is None for part, _ in module.named_parameters()):
            where = "project" if name == "norm_input" else "step or recur"
            raise _refusal(cell, f"does not support layer normalisation, since its {where} does not use {name}",
                           "use it, as in cells/base.py, or set arch.encoder.layer_norm=false")  # fmt: skip


@contextmanager
def failures(kind: type[Cell], input_size: int, hidden_size: int, remedy: str = "correct the line") -> Iterator[None]:
    """Report errors with the line of the cell in which they occur.

    Args:
        kind: class of the cell.
        input_size: size I of its input.
        hidden_size: size H of its state.
        remedy: what to do about it.

    Raises:
        BadInput: an error has occurred.
    """
    try:
        yield
    except BadInput:
        raise
    except Exception as error:  # a cell may raise any error
        if is_lack_of_memory(error):
            raise
        known = {each.__module__ for each in KNOWN}
        own = {inspect.getsourcefile(each) for each in kind.__mro__
               if issubclass(each, Cell) and each.__module__ not in known}  # fmt: skip
        lines = [frame for frame in extract_tb(error.__traceback__) if frame.filename in own]
        place = f"{_near(lines[-1].filename)}, line {lines[-1].lineno}" if lines else _place(kind)
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise BadInput(f"{place}: {kind.__name__} with input size {input_size} and hidden size {hidden_size} "
                       f"fails: {reason or type(error).__name__}; {remedy}.") from error  # fmt: skip


def _refusal(cell: Cell, fault: str, remedy: str) -> BadInput:
    return BadInput(f"{_place(type(cell))}: {type(cell).__name__} {fault}; {remedy}.")


def _place(kind: type) -> str:
    """File and line of a class."""
    try:
        return f"{_near(inspect.getsourcefile(kind) or '?')}, line {inspect.getsourcelines(kind)[1]}"
    except (OSError, TypeError):  # it was not defined in a file
        return kind.__module__


def _near(path: str) -> str:
    """The relative path if it is shorter."""
    return min(path, os.path.relpath(path), key=len)
