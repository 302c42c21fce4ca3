"""Communication between processes as tensors and JSON, never as pickled objects.

Unpickling an object runs code of its sender. Torch's ``broadcast_object_list`` and ``all_gather_object`` and
Lightning's ``broadcast`` use pickle, so none of them is used here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from lightning.pytorch.strategies import DDPStrategy
from safetensors.torch import load, save
from torch import Tensor, distributed

from unroll.errors import BadInput, Suspended, Unavailable

T = TypeVar("T")
TREE = "tree"  # name of the tensor that holds the JSON
ERRORS = {kind.__name__: kind for kind in (Unavailable, Suspended, BadInput)}  # the most specific first


def by_the_first(make: Callable[[], T]) -> T:
    """Call a function in the first process, and return its result, or raise its ``BadInput``, in all processes.

    Args:
        make: function to call in the first process only.

    Raises:
        BadInput: the first process raised it.
        TypeError: the result is not made of tensors, numbers, strings, None, and lists and dicts of these.
    """
    if not distributed.is_initialized():
        return make()
    answer: list[Any] = [None, None, None]
    if distributed.get_rank() == 0:
        try:
            answer[0] = make()
        except BadInput as error:
            answer[1:] = next(name for name, kind in ERRORS.items() if isinstance(error, kind)), str(error)
    value, name, message = broadcast(answer)
    if name is not None:
        raise ERRORS[name](message)
    return value  # type: ignore[no-any-return]


def broadcast(value: Any, source: int = 0) -> Any:
    """Broadcast a value from one process to all.

    Args:
        value: tensors, numbers, strings, None, and lists and dicts of these; ignored in other processes.
        source: rank of the sending process.
    """
    mine = packed(value) if distributed.get_rank() == source else torch.empty(0, dtype=torch.uint8)
    size = torch.tensor([len(mine)])
    distributed.broadcast(size, source)
    content = mine if distributed.get_rank() == source else torch.empty(int(size), dtype=torch.uint8)
    distributed.broadcast(content, source)
    return unpacked(content)


def gathered(value: Any) -> list[Any]:
    """Gather the values of all processes, ordered by rank.

    Args:
        value: tensors, numbers, strings, None, and lists and dicts of these.
    """
    if not distributed.is_initialized():
        return [value]
    mine = packed(value)
    sizes = [torch.empty(1, dtype=torch.int64) for _ in range(distributed.get_world_size())]
    distributed.all_gather(sizes, torch.tensor([len(mine)]))
    longest = max(int(size) for size in sizes)
    contents = [torch.empty(longest, dtype=torch.uint8) for _ in sizes]
    distributed.all_gather(contents, torch.nn.functional.pad(mine, (0, longest - len(mine))))
    return [unpacked(content[: int(size)]) for content, size in zip(contents, sizes, strict=True)]


class Strategy(DDPStrategy):
    """Lightning's DDP with a broadcast that does not use pickle."""

    def broadcast(self, obj: T, src: int = 0) -> T:
        return broadcast(obj, src) if distributed.is_initialized() else obj


def packed(value: object) -> Tensor:
    """Serialise a value in the safetensors format: its tensors, and JSON that describes their positions.

    Raises:
        TypeError: the value is not made of tensors, numbers, strings, None, and lists and dicts of these.
    """
    tensors: dict[str, Tensor] = {}
    tree = json.dumps(_tree(value, tensors)).encode()
    return _bytes(save({**tensors, TREE: _bytes(tree)}))


def unpacked(content: Tensor) -> Any:
    """Restore a value from the result of :func:`packed`."""
    tensors = load(content.numpy().tobytes())
    return _value(json.loads(tensors[TREE].numpy().tobytes()), tensors)


def _bytes(content: bytes) -> Tensor:
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


def _tree(value: object, tensors: dict[str, Tensor]) -> object:
    """The JSON form of a value, with its tensors collected in ``tensors`` under numbers."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
        return {"tensor": name}
    if type(value) is list:
        return [_tree(part, tensors) for part in value]
    if type(value) is dict and all(isinstance(key, str) for key in value):
        return {"dict": {key: _tree(part, tensors) for key, part in value.items()}}
    raise TypeError(f"A {type(value).__name__} cannot be sent to other processes; only tensors and JSON can.")


def _value(tree: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(tree, list):
        return [_value(part, tensors) for part in tree]
    if isinstance(tree, dict) and "tensor" in tree:
        return tensors[tree["tensor"]]
    if isinstance(tree, dict):
        return {key: _value(part, tensors) for key, part in tree["dict"].items()}
    return tree
