"""What a run costs, counted before it is trained: parameters, operations, memory.

The run's own network is built on torch's meta device, where a tensor has a shape and no numbers, and takes a step there
as in training. So whatever it is made of, a cell of one's own included, needs no formula.
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
from unroll.experiment.building import build_without_numbers
from unroll.experiment.loading import reads_streams
from unroll.experiment.memory import moments

CHARACTERS = 3  # read for each token: of UD English EWT 2.8, as a batch of 32 sentences spells each form once
STEPS = 4  # of the sequences in which memory is counted; longer ones are cut and laid side by side, which holds as much
aten = torch.ops.aten
FORMULAS = {**flop_registry, aten.addmm_: flop_registry[aten.addmm], aten.baddbmm_: flop_registry[aten.baddbmm]}


def parameters(config: Config, spec: DataSpec) -> int:
    """Entries of all weights of a run's network, frozen ones too, tied ones once; 0 of n-grams, which are counted.

    Args:
        config: settings of the run.
        spec: sizes that the data decides.

    Raises:
        BadInput: the network cannot be built.
    """
    return _weights(_Network.of(config, spec))[0]


def flops(config: Config, spec: DataSpec) -> int:
    """Floating-point operations of training on one token more: three times those of its forward pass.

    Of the forward pass, the sums and products of matrix products and convolutions are counted. The backward pass takes
    as many for the gradient of what is read, and as many for that of the weights. An embedding is looked up, at no
    cost; as a tied output it costs its product. Words are taken to be spelled in 3 characters each, ``CHARACTERS``.

    Left out are biases, gates, norms, dropout and softmax, the number that a regressor predicts once for a sequence,
    padding and the optimizer. Counted, though it is not formed, is the gradient of what is read but not learned:
    one-hot, real and frozen vectors.

    Args:
        config: settings of the run.
        spec: sizes that the data decides.

    Raises:
        BadInput: the network cannot be built, or asks for numbers.
    """
    return _operations(_Network.of(config, spec)) if parameters(config, spec) else 0


def memory(config: Config, spec: DataSpec, longest: int | None = None) -> int:
    """Bytes that a process holds in training when it holds most: weights, gradients, moments of the optimizer, and what
    one batch makes, forwards and backwards.

    Args:
        config: settings of the run.
        spec: sizes that the data decides.
        longest: steps of the longest sequence; None where ``training.truncation_length`` is that of every batch.

    Raises:
        BadInput: the steps of a batch are not known; and as of :func:`flops`.

    An estimate, as each device runs a cell in its own way. Numbers take 4 bytes in mixed precision too, since weights
    and losses do. Left out are the corpus, which is mapped, and what torch takes.
    """
    settings, network = config.training, _Network.of(config, spec)
    known = [steps for steps in (settings.truncation_length, longest) if steps is not None]
    if not known:
        raise BadInput("The memory of training depends on how long sequences are, which is not known beforehand; set "
                       "training.truncation_length, or ask for no bound on memory.")  # fmt: skip
    if not parameters(config, spec):
        return 0
    steps = min(STEPS, *known)
    rows = -(-settings.batch_size // settings.devices)  # of the process that has most
    return _peak(network, -(-rows * min(known) // steps), steps) + moments(config) * _weights(network)[1]


@dataclass(frozen=True)
class _Network:
    """A network, equal to another by the settings and sizes that decide what it costs."""

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
        """Sizes that the data decides, by role."""
        return dict(self.sizes)

    def build(self) -> Any:
        """Its task, which trains it."""
        return build_without_numbers(self.config, self.spec)

    def batch(self, rows: int, steps: int) -> Batch:
        """A batch without numbers or padding, each token a form of its own."""
        tokens = torch.empty(rows, steps, dtype=torch.int64, device="meta")
        lengths, characters = tokens[:, 0], tokens.new_empty(rows * steps, CHARACTERS)
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
    """Entries of all weights, and bytes of those that are learned."""
    weights = list(network.build().parameters())
    return sum(weight.numel() for weight in weights), sum(weight.nbytes for weight in weights if weight.requires_grad)


@cache
def _operations(network: _Network) -> int:
    """Those of a sequence of two tokens but for those of one: so what is done once for a sequence is left out."""
    task = network.build()
    one, two = (_step(network, task, 1, steps, backward=False).operations for steps in (1, 2))
    return 3 * (two - one)


@cache
def _peak(network: _Network, rows: int, steps: int) -> int:
    """The most bytes that are alive in a step, but for the optimizer's."""
    return _step(network, network.build(), rows, steps, backward=True).peak


def _step(network: _Network, task: Any, rows: int, steps: int, backward: bool) -> _Counting:
    """One step of training.

    Raises:
        BadInput: the network fails, as a cell that asks for numbers does.
    """
    batch = network.batch(rows, steps)
    counting = _Counting([*task.parameters(), *task.buffers()])
    try:
        with torch.device("meta"), _Answers(), counting:
            loss = task.training_step(batch, 0)
            if backward:
                loss.backward()
    except Exception as error:  # whatever a cell of one's own does
        build_task(network.config, network.spec)  # where it is wrong in any case, this names its line
        name, reason = network.config.arch.name, " ".join(str(error).split())[:200].rstrip(".")
        raise BadInput(f"The cost of arch={name} cannot be counted on torch's meta device, which has shapes and no "
                       f"numbers: {reason}; correct its cell, or compare it without costs.") from error  # fmt: skip
    return counting


class _Answers(TorchFunctionMode):
    """Answers what a network asks of numbers, as where no sequence is padded and no number has left its range."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in (Tensor.any, Tensor.all) and len(args) == 1 and not kwargs:
            return torch.tensor(function is Tensor.all, device="cpu")
        if function is Tensor.__int__:  # a length: no sequence and no word is longer
            return max(STEPS, CHARACTERS)
        return function(*args, **(kwargs or {}))


class _Counting(TorchDispatchMode):
    """Counts what torch executes.

    Args:
        held: tensors that are there already.

    ``operations`` are those of matrix products and convolutions; ``peak`` is the most bytes that were alive at once.
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
