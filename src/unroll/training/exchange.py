"""What processes that train together give each other: tensors and JSON, never pickled objects.

A pickled object runs code of its sender when it is read. Torch's ``broadcast_object_list`` and ``all_gather_object``
pickle, and so does Lightning's ``broadcast``; none of them is used.
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
ERRORS = {kind.__name__: kind for kind in (Unavailable, Suspended, BadInput)}  # the most special first


def by_the_first(make: Callable[[], T]) -> T:
    """What the first process makes, given to all of them; and what it raises, if it is about bad input.

    Args:
        make: called in the first process alone.

    Raises:
        BadInput: the first process raised it.
        TypeError: the result is more than tensors, numbers, texts, None, and lists and dicts of these.
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
    """What one process has, in all of them.

    Args:
        value: tensors, numbers, texts, None, and lists and dicts of these; in other processes it does not matter.
        source: rank of the process.
    """
    mine = packed(value) if distributed.get_rank() == source else torch.empty(0, dtype=torch.uint8)
    size = torch.tensor([len(mine)])
    distributed.broadcast(size, source)
    content = mine if distributed.get_rank() == source else torch.empty(int(size), dtype=torch.uint8)
    distributed.broadcast(content, source)
    return unpacked(content)


def gathered(value: Any) -> list[Any]:
    """What every process has, in the order of their ranks.

    Args:
        value: tensors, numbers, texts, None, and lists and dicts of these.
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
    """Lightning's DDP without its pickled broadcast."""

    def broadcast(self, obj: T, src: int = 0) -> T:
        return broadcast(obj, src) if distributed.is_initialized() else obj


def packed(value: Any) -> Tensor:
    """A value as bytes in the format of safetensors: its tensors, and JSON that says where they belong.

    Raises:
        TypeError: the value is something else than tensors, numbers, texts, None, and lists and dicts of these.
    """
    tensors: dict[str, Tensor] = {}
    tree = json.dumps(_tree(value, tensors)).encode()
    return _bytes(save({**tensors, TREE: _bytes(tree)}))


def unpacked(content: Tensor) -> Any:
    """The value that :func:`packed` made these bytes of."""
    tensors = load(content.numpy().tobytes())
    return _value(json.loads(tensors[TREE].numpy().tobytes()), tensors)


def _bytes(content: bytes) -> Tensor:
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


def _tree(value: Any, tensors: dict[str, Tensor]) -> Any:
    """JSON of a value, whose tensors are put aside under numbers."""
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
    raise TypeError(f"A {type(value).__name__} cannot be given to other processes, which take tensors and JSON.")


def _value(tree: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(tree, list):
        return [_value(part, tensors) for part in tree]
    if isinstance(tree, dict) and "tensor" in tree:
        return tensors[tree["tensor"]]
    if isinstance(tree, dict):
        return {key: _value(part, tensors) for key, part in tree["dict"].items()}
    return tree
