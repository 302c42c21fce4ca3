"""Hidden sizes at which architectures cost the same, so that a comparison tells of cells and not of sizes."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

from unroll.config import Config, NgramConfig
from unroll.data.batch import DataSpec
from unroll.errors import BadInput, no_such
from unroll.tuning.cost import flops, parameters

QUANTITIES = {"parameters": parameters, "flops": flops}


def matched(config: Config, spec: DataSpec, quantity: str, target: int) -> Config:
    """Settings whose network costs most nearly what another does, by its ``arch.hidden_size``; of two the smaller.

    Args:
        config: settings of the run.
        spec: sizes that the data decides.
        quantity: ``parameters`` or ``flops``.
        target: what it is to cost.

    Raises:
        BadInput: there is no such quantity, the network has no hidden size, or of one unit it costs more already.

    A cost grows with H but at one place: where features are as wide as a tied embedding, and need no projection to its
    width. There the search takes the cost of the size above, and that place is looked at by itself if it lies above.
    """
    if quantity not in QUANTITIES:
        raise no_such("quantity", quantity, QUANTITIES)
    arch = config.arch
    if isinstance(arch, NgramConfig):
        raise BadInput(f"arch={arch.name} counts n-grams and has no hidden size to match {quantity} by; leave it out.")
    width = arch.embedding_size if arch.inputs == "embedding" else spec["inputs"].vector_size
    lower = {width, width // 2} - {0}  # two directions make twice as many features

    def sized(size: int) -> Config:
        return config.model_copy(update={"arch": arch.model_copy(update={"hidden_size": size})})

    def cost(size: int) -> int:
        return QUANTITIES[quantity](sized(size), spec)

    if cost(1) > target:
        raise BadInput(f"arch={arch.name} has {cost(1):,} {quantity} with a single hidden unit, more than the "
                       f"{target:,} to be matched; have all match a greater number, or leave it out.")  # fmt: skip
    below, above = _around(target, lambda size: cost(size + (size in lower)), arch.hidden_size)
    sizes = {below, above} | ({above + 1} if above in lower else set()) | {size for size in lower if size > above}
    return sized(min(sorted(sizes), key=lambda size: abs(cost(size) - target)))


def _around(target: int, cost: Callable[[int], int], first: int) -> tuple[int, int]:
    """Two neighbouring sizes, the costs of which have the target between them; 1 and 1 where a single unit reaches it.

    Args:
        target: what is to be reached.
        cost: of a size, which grows with it.
        first: size to begin with.

    Sizes in between are guessed as if a cost grew with the square of its size, since each is a network to be built.
    """
    if cost(1) >= target:
        return 1, 1
    below, above = 1, max(2, first)
    while cost(above) < target:
        below, above = above, 2 * above
    while above - below > 1:
        least, most = sqrt(cost(below)), sqrt(cost(above))
        guess = below + int((sqrt(target) - least) / (most - least) * (above - below))
        guess = min(max(guess, below + 1), above - 1)
        below, above = (guess, above) if cost(guess) < target else (below, guess)
    return below, above
