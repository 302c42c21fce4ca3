"""The cost of a run, measured before training: parameters, operations and memory.

The network is built on torch's meta device, where tensors have shapes but no data, and takes a training step there. So
no part of it needs a formula, including cells of plug-ins.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from unroll.config import Config
from unroll.data.batch import Batch, DataSpec, FieldSpec, Padded, Part, Spelled, Window
from unroll.errors import BadInput
from unroll.experiment import build_task
from unroll.experiment.loading import reads_streams
from unroll.experiment.memory import moments

CHARACTERS = 3  # characters per token: 2.8 in UD English EWT, where a batch of 32 sentences spells each form once
STEPS = 4  # sequence length for memory; longer sequences are split into rows, which take the same memory
aten = torch.ops.aten
FORMULAS = {**flop_registry, aten.addmm_: flop_registry[aten.addmm], aten.baddbmm_: flop_registry[aten.baddbmm]}


def parameters(config: Config, spec: DataSpec) -> int:
    """Number of parameters of a run's network, including frozen ones, with tied ones once; 0 for n-gram models.

    Args:
        config: settings of the run.
        spec: sizes that depend on the data.

    Raises:
        BadInput: the network cannot be built.
    """
    return _weights(_Network.of(config, spec))[0]


def flops(config: Config, spec: DataSpec) -> int:
    """Floating-point operations of training per token: three times those of the forward pass.

    The forward pass counts additions and multiplications of matrix products and convolutions. The backward pass takes
    the same number for the gradients of the inputs, and again for those of the weights. Looking up an embedding is
    free; a tied output costs its product. Words are assumed to have 3 characters, ``CHARACTERS``.

    Not counted are biases, gates, norms, dropout and softmax, the output of a regressor, which is computed once per
    sequence, padding and the optimizer. Attention is counted as over sources of two tokens. The gradient of inputs that
    are not learned (one-hot, real and frozen vectors) is counted, although it is not computed.

    Args:
        config: settings of the run.
        spec: sizes that depend on the data.

    Raises:
        BadInput: the network cannot be built, or reads values of tensors.
    """
    return _operations(_Network.of(config, spec)) if parameters(config, spec) else 0


def memory(config: Config, spec: DataSpec, longest: int | None = None) -> int:
    """Peak memory of a training process in bytes: weights, gradients, optimizer state, and the tensors of one batch in
    the forward and backward pass.

    Args:
        config: settings of the run.
        spec: sizes that depend on the data.
        longest: number of steps of the longest sequence; None if ``training.truncation_length`` bounds all batches.

    Raises:
        BadInput: the length of a batch is not known; and as for :func:`flops`.

    An estimate, since each device runs a cell in its own way. Numbers take 4 bytes in mixed precision, too, since
    weights and losses do. The memory-mapped corpus and torch itself are not counted.
    """
    settings = config.training
    network = _Network.of(config, spec)
    known = [steps for steps in (settings.truncation_length, longest) if steps is not None]
    if not known:
        raise BadInput("The memory of training depends on the length of sequences, which is not known in advance; set "
                       "training.truncation_length, or remove the limit on memory.")  # fmt: skip
    if not parameters(config, spec):
        return 0
    steps = min(STEPS, *known)
    rows = -(-settings.batch_size // settings.devices)  # of the process with the most rows
    return _peak(network, -(-rows * min(known) // steps), steps) + moments(config) * _weights(network)[1]


@dataclass(frozen=True)
class _Network:
    """A network, hashable by the settings and sizes that determine its cost."""

    settings: str
    sizes: tuple[tuple[str, FieldSpec], ...]
    config: Config = field(compare=False)

    @classmethod
    def of(cls, config: Config, spec: DataSpec) -> _Network:
        training = {"precision", "activation_regularization", "temporal_activation_regularization"}
        settings = config.model_dump_json(include={"arch": True, "task": True, "training": training})
        return cls(settings, tuple(spec.items()), config)

    @property
    def spec(self) -> DataSpec:
        """Sizes that depend on the data, by role."""
        return dict(self.sizes)

    def build(self) -> Any:
        """Build the task that trains the network."""
        with torch.device("meta"):
            return build_task(self.config, self.spec)

    def batch(self, rows: int, steps: int) -> Batch:
        """A batch without data or padding, in which each token is a distinct form."""
        tokens = torch.empty(rows, steps, dtype=torch.int64, device="meta")
        lengths = tokens[:, 0]
        characters = tokens.new_empty(rows * steps, CHARACTERS)
        real = torch.float64 if self.config.training.precision == "64" else torch.float32
        kinds: dict[str, Callable[[FieldSpec], Part]] = {
            "symbols": lambda _: Padded(tokens, lengths),
            "labels": lambda _: Padded(tokens, lengths),
            "frames": lambda known: Padded(tokens.new_empty(rows, steps, known.size, dtype=real), lengths),
            "category": lambda _: tokens[:, 0],
            "number": lambda _: tokens.new_empty(rows, dtype=real),
            "picture": lambda known: tokens.new_empty(rows, *known.shape, dtype=torch.uint8),
        }
        given = {role: field.kind for role, field in self.config.role_fields.items() if field.kind in kinds}
        fields = {role: kinds[kind](self.spec[role]) for role, kind in given.items()}
        fields |= {"targets": Padded(tokens, lengths), "spelling": Spelled(tokens, characters, characters[:, 0])}
        window = Window(True, steps, rows, lengths, None) if reads_streams(self.config) else None
        return Batch(fields, tokens.bool(), window, rows * steps)


@cache
def _weights(network: _Network) -> tuple[int, int]:
    """Number of all parameters, and bytes of the learned ones."""
    weights = list(network.build().parameters())
    return sum(weight.numel() for weight in weights), sum(weight.nbytes for weight in weights if weight.requires_grad)


@cache
def _operations(network: _Network) -> int:
    """Operations of a sequence of two tokens minus those of one token, which excludes work done once per sequence."""
    task = network.build()
    one, two = (_step(network, task, 1, steps, backward=False).operations for steps in (1, 2))
    return 3 * (two - one)


@cache
def _peak(network: _Network, rows: int, steps: int) -> int:
    """Peak bytes in a step, without the optimizer."""
    return _step(network, network.build(), rows, steps, backward=True).peak


def _step(network: _Network, task: Any, rows: int, steps: int, backward: bool) -> _Counting:
    """One step of training.

    Raises:
        BadInput: the network fails, for example because a cell reads values of tensors.
    """
    batch = network.batch(rows, steps)
    counting = _Counting([*task.parameters(), *task.buffers()])
    try:
        # without a backward pass, gradients that are formed in the forward pass would be counted twice
        with torch.device("meta"), torch.set_grad_enabled(backward), _Answers(), counting:
            loss = task.training_step(batch, 0)
            if backward:
                loss.backward()
    except Exception as error:  # a cell of a plug-in may raise anything
        build_task(network.config, network.spec)  # names the line of an error that is independent of this
        name = network.config.arch.name
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise BadInput(f"The cost of arch={name} cannot be measured on torch's meta device, which has shapes but no "
                       f"data: {reason}; correct its cell, or compare it without costs.") from error  # fmt: skip
    return counting


class _Answers(TorchFunctionMode):
    """Answers questions about values as if no sequence were padded and all values were finite."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in (Tensor.any, Tensor.all) and len(args) == 1 and not kwargs:
            return torch.tensor(function is Tensor.all, device="cpu")
        if function is torch.equal:  # rows of a decoder, each of which has a source of its own
            return True
        if function is Tensor.__int__:  # a length: no sequence and no word is longer
            return max(STEPS, CHARACTERS)
        return function(*args, **(kwargs or {}))


class _Counting(TorchDispatchMode):
    """Counts operations and memory.

    Args:
        held: tensors that exist already.

    ``operations`` are those of matrix products and convolutions; ``peak`` is the maximum number of live bytes.
    """

    def __init__(self, held: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations = self.alive = self.peak = 0
        self.storages: set[int] = set()
        self._hold(held)

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        if function.overloadpacket in FORMULAS:
            self.operations += FORMULAS[function.overloadpacket](*args, **(kwargs or {}), out_val=made)
        self._hold(part for part in tree_leaves(made) if isinstance(part, Tensor))
        return made

    def _hold(self, tensors: Iterable[Tensor]) -> None:
        for storage in (tensor.untyped_storage() for tensor in tensors):
            if storage._cdata not in self.storages:  # others are views
                self.storages.add(storage._cdata)
                self.alive += storage.nbytes()
                weakref.finalize(storage, self._free, storage._cdata, storage.nbytes())
        self.peak = max(self.peak, self.alive)

    def _free(self, place: int, size: int) -> None:
        self.storages.remove(place)
        self.alive -= size
