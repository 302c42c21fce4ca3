"""Hidden sizes that equalise the cost of architectures, so that a comparison is about cells and not sizes."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Any

from unroll.config import Config
from unroll.config.blocks import EmbeddingConfig
from unroll.config.decoders import RecurrentDecoderConfig
from unroll.data.batch import DataSpec
from unroll.errors import BadInput, no_such
from unroll.tuning.cost import flops, parameters

QUANTITIES = {"parameters": parameters, "flops": flops}


def matched(config: Config, spec: DataSpec, quantity: str, target: int) -> Config:
    """Choose ``arch.encoder.hidden_size``, and with it that of a decoder, such that the cost is closest to a target.

    Of two close sizes the smaller is chosen.

    Args:
        config: settings of the run.
        spec: sizes that the data decides.
        quantity: ``parameters`` or ``flops``.
        target: the target cost.

    Raises:
        BadInput: the quantity is unknown, the network has no hidden size, or a single unit exceeds the target.

    The cost increases with H except at one size: features as wide as a tied embedding need no projection. There the
    search uses the cost of the next size, and checks the exceptional size separately.
    """
    if quantity not in QUANTITIES:
        raise no_such("quantity", quantity, QUANTITIES)
    arch, encoder = config.arch, config.arch.encoder
    start: int | None = getattr(encoder, "hidden_size", None)
    if start is None:
        raise BadInput(f"arch={arch.name} has no hidden size to match {quantity}; remove it.")
    width = (
        arch.inputs.size
        if isinstance(arch.inputs, EmbeddingConfig)
        else spec[config.task.description.source].vector_size
    )
    lower = {width, width // 2} - {0}  # a bidirectional network has twice as many features

    def sized(size: int) -> Config:
        changed: dict[str, Any] = {"encoder": encoder.model_copy(update={"hidden_size": size})}
        if isinstance(
            arch.decoder, RecurrentDecoderConfig
        ):  # it keeps its proportion, so that what had to be equal stays equal
            own = max(1, round(size * arch.decoder.hidden_size / start))
            changed["decoder"] = arch.decoder.model_copy(update={"hidden_size": own})
        return config.model_copy(update={"arch": arch.model_copy(update=changed)})

    def cost(size: int) -> int:
        return QUANTITIES[quantity](sized(size), spec)

    if cost(1) > target:
        raise BadInput(f"arch={arch.name} has {cost(1):,} {quantity} with a single hidden unit, more than the "
                       f"target of {target:,}; make the first arch larger, or remove this one.")  # fmt: skip
    below, above = _around(target, lambda size: cost(size + (size in lower)), start)
    sizes = {below, above} | ({above + 1} if above in lower else set()) | {size for size in lower if size > above}
    return sized(min(sorted(sizes), key=lambda size: abs(cost(size) - target)))


def _around(target: int, cost: Callable[[int], int], first: int) -> tuple[int, int]:
    """Two adjacent sizes whose costs enclose the target; 1 and 1 if a single unit reaches it.

    Args:
        target: the target cost.
        cost: cost of a size; increasing.
        first: size at which to start.

    Each cost requires building a network, so sizes are interpolated as if the cost were quadratic.
    """
    if cost(1) >= target:
        return 1, 1
    below = 1
    above = max(2, first)
    while cost(above) < target:
        below, above = above, 2 * above
    while above - below > 1:
        least, most = sqrt(cost(below)), sqrt(cost(above))
        guess = below + int((sqrt(target) - least) / (most - least) * (above - below))
        guess = min(max(guess, below + 1), above - 1)
        below, above = (guess, above) if cost(guess) < target else (below, guess)
    return below, above
