"""Recurrent decoder, which reads a memory and predicts one symbol after the other."""

from __future__ import annotations

import copy
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from unroll.networks.attention import Attention, Prepared
from unroll.networks.bridge import Bridge
from unroll.networks.entry import Entry
from unroll.networks.fitting import require_fit
from unroll.networks.memory import Memory
from unroll.networks.recurrent import LockedDropout, Recurrent, RecurrentLayer, State
from unroll.networks.scan import stays_finite
from unroll.networks.state import Shared, where_rows
from unroll.networks.wiring import Wiring


class Projected(NamedTuple):
    """What all steps read of a memory, projected once.

    Shapes:
        summary: [B, C], and constant, what it adds to each input: [B, gates · H], or [B, C] under layer normalisation;
        entering: what each step of the source adds to an input if it is read, [B, S, gates · H] or [B, S, F];
        combining: what it adds to the attentional vector, [B, S, H]; all None if not used
    """

    summary: Tensor | None = None
    constant: Tensor | None = None
    prepared: Prepared | None = None
    entering: Tensor | None = None
    combining: Tensor | None = None


class Running(NamedTuple):
    """State of a decoder between two steps; :func:`unroll.networks.state.select_rows` selects its rows.

    Shapes:
        state: cell states of [N, H]; source: :class:`Projected` of B sequences, shared by the N rows; fed: [N, H], the
        last attentional vector; carried: [N, S], what attention reads of earlier weights; weights: [N, S] of the last
        step; masks: [N, F] of dropout that is the same at every step, of the embeddings, between layers, and of the
        features; parts that the decoder does not use are None
    """

    state: State
    source: Shared | None
    fed: Tensor | None
    carried: Tensor | None
    weights: Tensor | None
    masks: tuple[Tensor | None, ...]


class Decoder(nn.Module):
    """Recurrent decoder: Cho et al., EMNLP 2014; with attention: Bahdanau et al., ICLR 2015; Luong et al., EMNLP 2015.

    .. math::
        s_t &= \\mathrm{cell}([E y_{t-1}; C], s_{t-1}) && \\text{summary at each step} \\\\
        s_t &= \\mathrm{cell}([E y_{t-1}; c_t], s_{t-1}), \\quad c_t = \\mathrm{read}(s_{t-1}) && \\text{before} \\\\
        s_t &= \\mathrm{cell}(E y_{t-1}, s_{t-1}), \\quad c_t = \\mathrm{read}(s_t) && \\text{after} \\\\
        \\tilde h_t &= \\tanh(W_c [c_t; s_t] + b) && \\text{features with attention, otherwise } s_t

    With input feeding, the input of a step also has h̃ of the step before, at first zeros.

    Args:
        embedding: embedding of the symbols.
        recurrent: network of one direction, whose input size is the sum of ``wiring.input_sizes``.
        wiring: how the source is read.
        bridge: first state from the summary.
        attention: the attention, if the wiring has one; otherwise None.
        summary_size: size C of the summary.
        feature_size: size F of the features of a step of the source.
        dropout: dropout on the embeddings and on the features; that between layers belongs to ``recurrent``.

    Shapes:
        previous symbols: [N] or [B, T], features: [N, H] or [B, T, H], weights of attention: [B, T, S]

    Raises:
        BadInput: the parts do not fit together.

    :meth:`whole` equals repeated calls of :meth:`step`, in values and gradients; ``wiring.fused`` says whether it is
    one scan. W_c is applied to the steps of the source before they are summed, as the cell's U is before the cell.
    """

    def __init__(
        self,
        embedding: nn.Embedding,
        recurrent: Recurrent,
        wiring: Wiring,
        bridge: Bridge,
        attention: Attention | None,
        summary_size: int,
        feature_size: int,
        dropout: nn.Module,
    ) -> None:
        super().__init__()
        hidden = self.output_size = recurrent.output_size
        self.wiring = wiring
        self.sizes = wiring.input_sizes(embedding.embedding_dim, summary_size, feature_size, hidden)
        require_fit(recurrent, wiring, bridge, attention, self.sizes)
        self.embedding, self.recurrent, self.bridge, self.attention = embedding, recurrent, bridge, attention
        if attention is not None:
            self.of_context = nn.Linear(feature_size, hidden, bias=False)
            self.of_output = nn.Linear(hidden, hidden)
        self.dropout = dropout
        self.output_dropout = copy.deepcopy(dropout)  # separate, for hooks that distinguish the two

    def start(self, memory: Memory) -> Running:
        """State before the first step; in training it has the dropout masks of a sequence."""
        count = len(memory.summary)
        state = self.bridge(memory.summary, self.recurrent.initial_state(count))
        masks = self._draw(count)
        if self.wiring.context == "start":
            return Running(state, None, None, None, None, masks)
        owners = torch.arange(count, device=memory.summary.device)
        entry = self._entry()
        if self.attention is None:
            source = Projected(memory.summary, entry.part(1, memory.summary))
            return Running(state, Shared(source, owners), None, None, None, masks)
        prepared = self.attention.prepare(memory)
        entering = entry.part(1, prepared.values) if self.wiring.read == "before" else None
        source = Projected(None, None, prepared, entering, self.of_context(prepared.values))
        fed = memory.summary.new_zeros(count, self.output_size) if self.wiring.feeding else None
        wide = torch.promote_types(memory.summary.dtype, torch.float32)
        weights = torch.zeros_like(prepared.mask, dtype=wide)
        return Running(state, Shared(source, owners), fed, self.attention.first(prepared), weights, masks)

    def step(self, previous: Tensor, running: Running) -> tuple[Tensor, Running]:
        """Features after one more symbol: [N] → [N, H]."""
        source, width = running.source.grouped() if running.source is not None else (Projected(), 1)
        entry = self._entry()
        with parametrize.cached():
            first = entry.first(self._drop(0, self.embedding(previous), running.masks))
            output, running = self._advance(entry, first, source, width, running)
        features = self._features(output, running.weights, source, width) if running.fed is None else running.fed
        return self._drop(-1, features, running.masks), running

    def whole(self, previous: Tensor, lengths: Tensor, running: Running) -> tuple[Tensor, Tensor | None]:
        """Features and weights of all steps from known symbols: [B, T] → [B, T, H] and [B, T, S].

        Both are undefined beyond the length of a target. Without attention there are no weights.
        """
        source = running.source.apart() if running.source is not None else Projected()
        run = self._scanned if self.wiring.fused else self._looped
        features, weights = run(previous, lengths, source, running)
        return self._drop(-1, features, running.masks), weights

    def _scanned(
        self, previous: Tensor, lengths: Tensor, source: Projected, running: Running
    ) -> tuple[Tensor, Tensor | None]:
        """All states in one scan, and then all attention."""
        read = self.embedding(previous)  # [B, T, E]
        for number, (layer, state) in enumerate(zip(self._layers(), running.state, strict=True)):
            read = self._drop(number, read, running.masks)
            read = layer.outputs(read, lengths, state, source.summary if number == 0 else None)  # [B, T, H]
        if self.attention is None:
            return read, None
        assert source.prepared is not None and source.combining is not None
        queries = self.attention.project(read)
        if not self.attention.sequential:
            weights = self.attention.weigh(queries, source.prepared, None)
        else:
            carried, made = running.carried, []
            for query in queries.unbind(1):
                made.append(self._weigh(query, source.prepared, 1, carried))
                carried = self.attention.carry(carried, made[-1])
            weights = torch.stack(made, dim=1)
        return self._combine(mixed(weights, source.combining), read), weights

    def _looped(self, previous: Tensor, lengths: Tensor, source: Projected, running: Running) -> tuple[Tensor, Tensor]:
        """Step by step, where all that does not depend on earlier steps is computed at once."""
        entry = self._entry()
        embedded = self._drop(0, self.embedding(previous), running.masks)
        firsts = entry.first(embedded.transpose(0, 1).contiguous())  # [T, B, gates · H]
        overflows = not all(stays_finite(layer.cell) for layer in self._layers())
        nothing = self.recurrent.initial_state(len(previous)) if overflows else running.state
        outputs, weights = [], []
        with parametrize.cached():  # one weight dropout mask for all steps
            for time, first in enumerate(firsts.unbind(0)):
                if overflows:  # beyond its end a target starts again: zero gradients times infinity are NaN
                    running = running._replace(state=where_rows(time < lengths, running.state, nothing))
                output, running = self._advance(entry, first, source, 1, running)
                outputs.append(output if running.fed is None else running.fed)
                weights.append(running.weights)
        made, read = torch.stack(outputs, dim=1), torch.stack(cast("list[Tensor]", weights), dim=1)
        return (made if running.fed is not None else self._features(made, read, source, 1)), read

    def _advance(
        self, entry: Entry, first: Tensor, source: Projected, width: int, running: Running
    ) -> tuple[Tensor, Running]:
        """Output of the last layer, and the state after a step whose symbol has been projected."""
        parts, carried, weights = [first], running.carried, running.weights
        if source.constant is not None:
            parts.append(source.constant.repeat_interleave(width, dim=0) if width > 1 else source.constant)
        if source.entering is not None:
            weights = self._weigh_state(running.state[-1][0], source, width, carried)
            parts.append(mixed(torch.unflatten(weights, 0, (-1, width)), source.entering).flatten(0, 1))
        if running.fed is not None:
            parts.append(entry.part(-1, running.fed))
        output, state = self._through_layers(entry.join(parts), running)
        if self.wiring.read == "after":
            weights = self._weigh_state(output, source, width, carried)
        if self.attention is not None and weights is not None:
            carried = self.attention.carry(carried, weights)
        fed = self._features(output, weights, source, width) if running.fed is not None else None
        return output, Running(state, running.source, fed, carried, weights, running.masks)

    def _through_layers(self, projected: Tensor, running: Running) -> tuple[Tensor, State]:
        """One step of all layers from the projected input of the first one."""
        first, *others = self._layers()
        output, after = first.cell.step(projected, running.state[0])
        states = [after]
        for number, layer in enumerate(others, 1):
            output, after = layer.cell(self._drop(number, output, running.masks), running.state[number])
            states.append(after)
        return output, tuple(states)

    def _weigh_state(self, query: Tensor, source: Projected, width: int, carried: Tensor | None) -> Tensor:
        """Weights [N, S] of states [N, H]."""
        assert self.attention is not None and source.prepared is not None
        return self._weigh(self.attention.project(query), source.prepared, width, carried)

    def _weigh(self, projected: Tensor, prepared: Prepared, width: int, carried: Tensor | None) -> Tensor:
        """Weights [N, S] of projected queries [N, A], where each source has ``width`` of them."""
        assert self.attention is not None
        past = None if carried is None else torch.unflatten(carried, 0, (-1, width))  # [B, W, S]
        return self.attention.weigh(torch.unflatten(projected, 0, (-1, width)), prepared, past).flatten(0, 1)

    def _features(self, output: Tensor, weights: Tensor | None, source: Projected, width: int) -> Tensor:
        """Features of outputs [N, H] or [B, T, H] and weights of the same rows."""
        if weights is None or source.combining is None:
            return output
        if output.dim() == 3:
            return self._combine(mixed(weights, source.combining), output)
        grouped = torch.unflatten(weights, 0, (-1, width))  # [B, W, S]
        return self._combine(mixed(grouped, source.combining).flatten(0, 1), output)

    def _combine(self, projected: Tensor, output: Tensor) -> Tensor:
        """The attentional vector h̃ from the projected context and the output."""
        return torch.tanh(projected + self.of_output(output))

    def _drop(self, place: int, values: Tensor, masks: tuple[Tensor | None, ...]) -> Tensor:
        """Dropout at a place: 0 for embeddings, the number of a layer for its inputs, −1 for features."""
        mask = masks[place]
        if mask is not None:
            return values * (mask if values.dim() == 2 else mask[:, None]).to(values.dtype)
        made: Tensor = self._places()[place](values)
        return made

    def _draw(self, count: int) -> tuple[Tensor | None, ...]:
        """Masks of the places whose dropout is the same at every step."""
        sizes = [self.embedding.embedding_dim, *[self.output_size] * len(self.recurrent.layers)]
        return tuple(
            module.draw(self.embedding.weight.new_empty(count, size)) if isinstance(module, LockedDropout) else None
            for module, size in zip(self._places(), sizes, strict=True)
        )

    def _places(self) -> list[nn.Module]:
        """The dropout of each place."""
        return [self.dropout, *[self.recurrent.dropout] * (len(self.recurrent.layers) - 1), self.output_dropout]

    def _entry(self) -> Entry:
        return Entry(self._layers()[0].cell, self.sizes)

    def _layers(self) -> list[RecurrentLayer]:
        return cast("list[RecurrentLayer]", list(self.recurrent.layers))


def mixed(weights: Tensor, values: Tensor) -> Tensor:
    """Weighted sums over the steps of a source: [B, T, S], [B, S, F] → [B, T, F]."""
    return torch.bmm(weights.to(values.dtype), values)
