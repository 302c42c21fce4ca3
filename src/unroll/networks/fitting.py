"""Checks that the parts of a decoder fit together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from unroll.errors import BadInput
from unroll.networks.attention import Attention
from unroll.networks.bridge import Bridge, ZeroBridge
from unroll.networks.recurrent import Recurrent, RecurrentLayer
from unroll.networks.wiring import Wiring


def require_fit(
    recurrent: Recurrent, wiring: Wiring, bridge: Bridge, attention: Attention | None, sizes: Sequence[int]
) -> None:
    """Refuse parts of a decoder that do not fit together.

    Args:
        recurrent: network of the decoder.
        wiring: how the source is read.
        bridge: what makes the first state.
        attention: the attention, or None.
        sizes: sizes of the parts of an input, from ``wiring.input_sizes``.

    Raises:
        BadInput: they do not fit.
    """
    if recurrent.directions == 2:
        raise BadInput("A decoder predicts from the past alone and has one direction; set bidirectional=false.")
    layers = [cast("RecurrentLayer", layer) for layer in recurrent.layers]
    if layers[0].cell.input_size != sum(sizes):
        raise BadInput(f"The network of a decoder reads {layers[0].cell.input_size} numbers per step, and its wiring "
                       f"gives {' + '.join(map(str, sizes))}; make it of the sum of wiring.input_sizes.")  # fmt: skip
    if wiring.attends != (attention is not None):
        raise BadInput(
            f"A decoder with context {wiring.context} {'needs an' if wiring.attends else 'has no'} attention."
        )
    _require_source(wiring, bridge)
    if not isinstance(bridge, ZeroBridge) and any(len(layer.start) for layer in layers):
        raise BadInput("A learned first state has no effect where a bridge determines the first state; set "
                       "learned_state=false, or choose the bridge zero.")  # fmt: skip


def _require_source(wiring: Wiring, bridge: Bridge) -> None:
    """Refuse a bridge that contradicts the context.

    Raises:
        BadInput: it does.
    """
    reads = not isinstance(bridge, ZeroBridge)
    if wiring.context in ("start", "both") and not reads:
        raise BadInput(f"With context {wiring.context} the first state comes from the source, but the bridge zero does "
                       "not read it; choose the bridge copy or linear.")  # fmt: skip
    if wiring.context == "every_step" and reads:
        raise BadInput("With context every_step the first state does not come from the source; choose the bridge zero, "
                       "or context both.")  # fmt: skip
