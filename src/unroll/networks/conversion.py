"""Conversion from and to torch's recurrent modules, with equal results."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from unroll.cells import Cell, GRUCell, IRNNCell, LSTMCell, VanillaCell
from unroll.errors import BadInput
from unroll.networks.recurrent import LockedDropout, Recurrent, RecurrentLayer

TorchModule = nn.RNN | nn.LSTM | nn.GRU

# exact types, since a subclass may have another step
MODULES: dict[type[Cell], type[TorchModule]] = {
    VanillaCell: nn.RNN, IRNNCell: nn.RNN, LSTMCell: nn.LSTM, GRUCell: nn.GRU,
}  # fmt: skip


def to_torch(network: Recurrent) -> TorchModule:
    """Convert a network to torch's module, with ``batch_first=True``.

    Args:
        network: a network of vanilla cells with tanh or relu, LSTM cells, or GRU cells with reset ``after``.

    Returns:
        ``nn.RNN``, ``nn.LSTM`` or ``nn.GRU``. Its state stacks the states in the same order, [L · D, B, H]. Ragged
        batches must be packed.

    Raises:
        BadInput: torch has no equivalent of the cell or of a setting.

    torch has two biases per gate. The second one is zero except in the candidate of the GRU, where it is multiplied by
    the reset gate.
    """
    layers = [layer for layer in network.layers if isinstance(layer, RecurrentLayer)]
    forms = {_form(layer.cell, layer) for layer in layers}
    if len(forms) > 1:
        raise BadInput("torch has no recurrent module with different cells in its layers; use one cell for all.")
    if isinstance(network.dropout, LockedDropout) and network.dropout.probability:
        raise BadInput("torch has no recurrent module with variational dropout; set variational to false.")
    module_type, nonlinearity = forms.pop()
    first = layers[0].cell
    depth = len(layers) // network.directions
    module = module_type(
        first.input_size, network.hidden_size, depth, batch_first=True, bidirectional=network.directions == 2,
        dropout=network.dropout.p if isinstance(network.dropout, nn.Dropout) and depth > 1 else 0.0,
        **({"nonlinearity": nonlinearity} if nonlinearity else {}),
    )  # fmt: skip
    module.to(first.bias.device, first.bias.dtype)
    with torch.no_grad():
        for layer, suffix in zip(layers, _suffixes(depth, network.directions), strict=True):
            for name, weight in _torch_weights(layer.cell).items():
                getattr(module, name + suffix).copy_(weight)
    return module.train(network.training)


def from_torch(module: TorchModule) -> Recurrent:
    """Convert torch's module to a network.

    Args:
        module: a module without ``proj_size``. The network takes the batch first, regardless of ``batch_first``, and
            has a bias, which is zero if the module has no bias.

    Raises:
        BadInput: the module is not one of torch's three, or has ``proj_size``.
    """
    if not isinstance(module, TorchModule):
        raise BadInput(
            f"{type(module).__name__} is not a recurrent module of torch; give an nn.RNN, nn.LSTM or nn.GRU."
        )
    if module.proj_size:
        raise BadInput("An nn.LSTM with proj_size is not supported; give one with proj_size=0.")
    network = Recurrent(
        lambda width, hidden: _cell(module, width, hidden), module.input_size, module.hidden_size, module.num_layers,
        module.bidirectional, module.dropout,
    )  # fmt: skip
    first = next(module.parameters())
    network.to(first.device, first.dtype)
    layers = [layer for layer in network.layers if isinstance(layer, RecurrentLayer)]
    with torch.no_grad():
        for layer, suffix in zip(layers, _suffixes(module.num_layers, network.directions), strict=True):
            for name, weight in _own_weights(module, suffix).items():
                getattr(layer.cell, name).copy_(weight)
    return network.train(module.training)


def _form(cell: Cell, layer: RecurrentLayer) -> tuple[type[TorchModule], str]:
    """The class of torch's module, and its nonlinearity if it has that argument."""
    for setting, is_set in {
        "layer_norm": cell.normalized,
        "weight_dropout": parametrize.is_parametrized(cell),
        "learned_state": len(layer.start) > 0,
    }.items():
        if is_set:
            raise BadInput(f"torch has no recurrent module with {setting}; switch it off.")
    if isinstance(cell, VanillaCell) and type(cell) in MODULES and cell.has_kernel:
        return MODULES[type(cell)], cell.nonlinearity
    if isinstance(cell, LSTMCell | GRUCell) and type(cell) in MODULES and cell.has_kernel:
        return MODULES[type(cell)], ""
    raise BadInput(f"torch has no recurrent module for this {type(cell).__name__}; it has the vanilla cell with tanh "
                   "or relu, the LSTM, and the GRU with reset after.")  # fmt: skip


def _suffixes(layers: int, directions: int) -> list[str]:
    """Suffix of the names of torch's weights for each layer and direction."""
    return [f"_l{depth}{side}" for depth in range(layers) for side in ("", "_reverse")[:directions]]


def _torch_weights(cell: Cell) -> dict[str, Tensor]:
    second = torch.zeros_like(cell.bias)
    if isinstance(cell, GRUCell):
        second[2 * cell.hidden_size :] = cell.bias_candidate
    weights = {"weight_ih": cell.weight_input, "weight_hh": cell.weight_recurrent}
    return weights | {"bias_ih": cell.bias, "bias_hh": second}


def _cell(module: TorchModule, input_size: int, hidden_size: int) -> Cell:
    if isinstance(module, nn.RNN):
        return VanillaCell(input_size, hidden_size, module.nonlinearity)
    return (LSTMCell if isinstance(module, nn.LSTM) else GRUCell)(input_size, hidden_size)


def _own_weights(module: TorchModule, suffix: str) -> dict[str, Tensor]:
    product: Tensor = getattr(module, "weight_hh" + suffix)
    none = product.new_zeros(len(product))
    bias, second = (getattr(module, name + suffix, none) for name in ("bias_ih", "bias_hh"))
    weights = {"weight_input": getattr(module, "weight_ih" + suffix), "weight_recurrent": product}
    if not isinstance(module, nn.GRU):
        return weights | {"bias": bias + second}
    gates, candidate = second.split([2 * module.hidden_size, module.hidden_size])
    return weights | {"bias": bias + torch.cat([gates, torch.zeros_like(candidate)]), "bias_candidate": candidate}
