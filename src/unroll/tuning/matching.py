"""Hidden sizes at which architectures cost the same, so that a comparison tells of cells and not of sizes."""

from __future__ import annotations

from bisect import bisect_left

from unroll.config import Config, NgramConfig
from unroll.data.batch import DataSpec
from unroll.errors import BadInput, no_such
from unroll.tuning.cost import flops, parameters

QUANTITIES = {"parameters": parameters, "flops": flops}
LARGEST = 2**31  # hidden size, beyond any network


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
    width. So the bisection is over the greater cost of two neighbours, and that place is looked at by itself.
    """
    if quantity not in QUANTITIES:
        raise no_such("quantity", quantity, QUANTITIES)
    arch = config.arch
    if isinstance(arch, NgramConfig):
        raise BadInput(f"arch={arch.name} counts n-grams and has no hidden size to match {quantity} by; leave it out.")

    def sized(size: int) -> Config:
        return config.model_copy(update={"arch": arch.model_copy(update={"hidden_size": size})})

    def cost(size: int) -> int:
        return QUANTITIES[quantity](sized(max(1, size)), spec)

    if cost(1) > target:
        raise BadInput(f"arch={arch.name} has {cost(1):,} {quantity} with a single hidden unit, more than the "
                       f"{target:,} to be matched; have all match a greater number, or leave it out.")  # fmt: skip
    reached = bisect_left(range(LARGEST), target, lo=1, key=lambda size: max(cost(size - 1), cost(size)))
    width = arch.embedding_size if arch.inputs == "embedding" else spec.vector_size
    sizes = {reached - 2, reached - 1, reached, width, width // 2}  # two directions make twice as many features
    return sized(min(sorted(size for size in sizes if size > 0), key=lambda size: abs(cost(size) - target)))
