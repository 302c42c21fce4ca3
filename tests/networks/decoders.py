"""Small decoders of every wiring, attention, bridge, cell and depth, and memories for them to read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from cells.test_cells import VARIANTS, draw, randomized
from networks.test_scan import OwnCell
from torch import Tensor, nn

from unroll.cells import Cell, VanillaCell
from unroll.networks.attention import (
    AdditiveAttention,
    Attention,
    CoverageAttention,
    DotAttention,
    GeneralAttention,
    LocalAttention,
    MonotonicAttention,
    ScaledAttention,
)
from unroll.networks.bridge import BRIDGES
from unroll.networks.decoder import Decoder, Running
from unroll.networks.memory import Memory
from unroll.networks.recurrent import LockedDropout, Recurrent
from unroll.networks.wiring import Wiring

SYMBOLS, EMBEDDING, HIDDEN = 7, 3, 4
SOURCES, TARGETS = [4, 1, 6], [3, 5, 2]  # lengths

CELLS: dict[str, Callable[[int, int], Cell]] = {name: variant.build for name, variant in VARIANTS.items()}
CELLS["own"] = OwnCell
SCORES: dict[str, Callable[[int, int], Attention]] = {
    "additive": lambda query, feature: AdditiveAttention(query, feature, 3),
    "coverage": lambda query, feature: CoverageAttention(query, feature, 3),
    "dot": DotAttention,
    "general": GeneralAttention,
    "scaled": ScaledAttention,
    "local": lambda query, feature: LocalAttention(query, feature, 3, 2),
    "monotonic": lambda query, feature: MonotonicAttention(query, feature, 3, noise=0.0, offset=0.0),
}
WIRINGS = {
    "start": Wiring("start"),
    "every_step": Wiring("every_step"),
    "both": Wiring("both"),
    **{
        f"{read}{'-feeding' if feeding else ''}": Wiring("attention", read, feeding)
        for read in ("before", "after")
        for feeding in (False, True)
    },
}
ATTENDING = [name for name, wiring in WIRINGS.items() if wiring.attends]


def feature_size(score: str) -> int:
    """Size of the features of a step; scores without a matrix need that of the states."""
    return HIDDEN if score in ("dot", "scaled") else 5


def awake(network: Any) -> Any:
    """A network of which no rectified unit is off, so that each hands on state and gradient."""
    for module in network.modules():
        if isinstance(module, VanillaCell) and module.nonlinearity == "relu":
            module.bias.data += 2.0
    return network


def attention(score: str, query: int = HIDDEN) -> Attention:
    torch.manual_seed(5)
    made: Attention = randomized(SCORES[score](query, feature_size(score)).double())
    return made


def make(
    wiring: str, score: str = "additive", cell: str = "gru-after", layers: int = 1, bridge: str | None = None,
    dropout: float = 0.0, **settings: Any,
) -> Decoder:  # fmt: skip
    """A decoder in double precision, every parameter drawn at random."""
    torch.manual_seed(3)
    wired, features = WIRINGS[wiring], feature_size(score)
    sizes = wired.input_sizes(EMBEDDING, features, features, HIDDEN)
    recurrent = Recurrent(CELLS[cell], sum(sizes), HIDDEN, layers, False, dropout=dropout, **settings)
    name = bridge or ("zero" if wiring == "every_step" else "linear")
    first = BRIDGES[name](features, recurrent.initial_state(1))
    attending = SCORES[score](HIDDEN, features) if wired.attends else None
    kind: nn.Module = LockedDropout(dropout) if settings.get("variational") else nn.Dropout(dropout)
    decoder: Decoder = randomized(
        Decoder(nn.Embedding(SYMBOLS, EMBEDDING), recurrent, wired, first, attending, features, features, kind).double()
    )
    return awake(decoder)


def memory(score: str = "additive", total: int = 6, garbage: float = 1e3, which: list[int] | None = None) -> Memory:
    """Memories of the three sources, or of some, with ``garbage`` beyond their lengths up to ``total`` steps."""
    which = [0, 1, 2] if which is None else which
    size = feature_size(score)
    features = torch.full((len(which), total, size), garbage, dtype=torch.float64)
    for row, b in enumerate(which):
        features[row, : SOURCES[b]] = draw(SOURCES[b], size, seed=50 + b)
    summary = torch.stack([draw(size, seed=60 + b) for b in which])
    return Memory(features, torch.tensor([SOURCES[b] for b in which]), summary)


def previous(total: int = 5, padding: int = 0, which: list[int] | None = None) -> Tensor:
    """The symbols before those of the three targets."""
    which = [0, 1, 2] if which is None else which
    symbols = torch.full((len(which), total), padding)
    for row, b in enumerate(which):
        generator = torch.Generator().manual_seed(80 + b)
        symbols[row, : TARGETS[b]] = torch.randint(SYMBOLS, (TARGETS[b],), generator=generator)
    return symbols


def by_steps(decoder: Decoder, symbols: Tensor, running: Running) -> tuple[Tensor, Tensor | None]:
    """Features and weights of all steps, one call of ``step`` each."""
    features, weights = [], []
    for step in symbols.unbind(1):
        made, running = decoder.step(step, running)
        features.append(made)
        weights.append(running.weights)
    return torch.stack(features, dim=1), torch.stack(weights, dim=1) if weights[0] is not None else None  # type: ignore[arg-type]


def whole(
    decoder: Decoder, symbols: Tensor, running: Running, which: list[int] | None = None
) -> tuple[Tensor, Tensor | None]:
    lengths = torch.tensor([TARGETS[b] for b in (which or [0, 1, 2])])
    return decoder.whole(symbols, lengths, running)


def measured(
    decoder: Decoder, run: Callable[..., Any], read: Memory, symbols: Tensor, which: list[int] | None = None
) -> dict[str, list[Tensor]]:
    """Real features and weights of a run, and the gradients of a fixed projection of both."""
    which = [0, 1, 2] if which is None else which
    read = Memory(read.features.clone().requires_grad_(), read.lengths, read.summary.clone().requires_grad_())
    features, weights = run(decoder, symbols, decoder.start(read))
    loss = torch.zeros((), dtype=torch.float64)
    found: dict[str, list[Tensor]] = {"features": [], "weights": []}
    for row, b in enumerate(which):
        real = features[row, : TARGETS[b]]
        found["features"].append(real.detach())
        loss = loss + (real * draw(*real.shape, seed=90 + b)).sum()
        if weights is not None:
            read_by = weights[row, : TARGETS[b], : SOURCES[b]]
            found["weights"].append(read_by.detach())
            loss = loss + (read_by * draw(*read_by.shape, seed=95 + b)).sum()
    inputs = [read.features, read.summary]
    by_features, by_summary, *by_parameters = torch.autograd.grad(
        loss, [*inputs, *decoder.parameters()], materialize_grads=True
    )
    found["by features"] = [by_features[row, : SOURCES[b]] for row, b in enumerate(which)]
    found["by padding"] = [by_features[row, SOURCES[b] :] for row, b in enumerate(which)]
    found["by summary"] = list(by_summary)
    found["by parameters"] = by_parameters
    return found
