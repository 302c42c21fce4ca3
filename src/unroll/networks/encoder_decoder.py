"""Encoder and decoder as one network: losses of known targets, and a search for probable ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from unroll.errors import BadInput
from unroll.networks.attention import coverage_losses
from unroll.networks.beam import Hypotheses
from unroll.networks.copying import CopyingOutput, extended
from unroll.networks.decoder import Decoder, Running
from unroll.networks.memory import Memory, SequenceMemory
from unroll.networks.output import TokenOutput
from unroll.networks.restrictions import Restrictions
from unroll.networks.sampling import Sampling
from unroll.networks.search import search
from unroll.networks.state import Shared


class EncodedSource(NamedTuple):
    """What is left of sources.

    Shapes:
        memory: of [B] sources; symbols: [B, S] that a target may copy, −1 for padding; None without copying
    """

    memory: Memory
    symbols: Tensor | None


class EncoderDecoder(nn.Module):
    """Encoder–decoder: Cho et al., EMNLP 2014; Sutskever, Vinyals, Le, NeurIPS 2014.

    .. math:: P(y \\mid x) = \\prod_t P(y_t \\mid y_{<t}, x)

    Args:
        memory: reads a source.
        decoder: reads the memory and the symbols so far.
        output: predicts the next symbol; with copying, :class:`~unroll.networks.copying.CopyingOutput`.
        end_index: symbol that ends each target, and that the decoder reads first.
        forbidden: symbols that no answer has, such as padding.
        reverse_source: whether the encoder reads the source from its end. The last symbol, which ends it, stays last.
        known: with copying, the index of each source symbol in the target vocabulary, −1 if it lacks it or if the
            symbol stands for several, such as the unknown one.

    Shapes:
        source: [B, S], source lengths: [B], targets: [B, T], each ending with ``end_index``; known: [U]
    """

    known: Tensor | None

    def __init__(
        self,
        memory: SequenceMemory,
        decoder: Decoder,
        output: TokenOutput | CopyingOutput,
        end_index: int,
        forbidden: tuple[int, ...],
        reverse_source: bool = False,
        known: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.memory, self.decoder, self.output = memory, decoder, output
        self.end_index, self.forbidden, self.reverse_source = end_index, forbidden, reverse_source
        self.register_buffer("known", known, persistent=False)

    def read(self, source: Tensor, lengths: Tensor) -> EncodedSource:
        """Read sources."""
        memory = self.memory(self._ordered(source, lengths), lengths)
        if self.known is None:
            return EncodedSource(memory, None)
        assert isinstance(self.output, CopyingOutput)
        # what the source vocabulary lacks is a form of its own at each step, since the written forms are not known here
        steps = torch.arange(source.shape[1], device=source.device)
        forms = torch.where(self._stands_for_several(source), len(self.known) + steps, source)
        # a step is numbered by its place in the text, whatever the order in which the encoder reads it
        symbols = extended(forms, lengths, self.known, self.output.vocabulary_size)
        return EncodedSource(memory, self._ordered(symbols, lengths))

    def losses(
        self,
        source: EncodedSource,
        targets: Tensor,
        mask: Tensor,
        smoothing: float = 0.0,
        coverage: float = 0.0,
        own: Tensor | None = None,
    ) -> Tensor:
        """Negative log-probability of each target symbol, 0 where the mask is false: [B, T].

        Args:
            source: the sources.
            targets: their targets.
            mask: true for real symbols.
            smoothing: label smoothing, of outputs without copying.
            coverage: weight of the coverage loss of attention.
            own: true where the decoder reads its own prediction of the symbol before, in place of the given one
                (scheduled sampling: Bengio et al., NeurIPS 2015); None for teacher forcing.

        Shapes:
            targets, mask, own, result: [B, T]
        """
        previous = self._before(targets)
        running = self.decoder.start(source.memory)
        if own is None:
            lengths = mask.sum(dim=1).clamp(min=1)  # the row of an empty share has no symbol
            features, weights = self.decoder.whole(previous, lengths, running)
        else:
            features, weights = self._by_own_symbols(previous, own, running, source.symbols)
        everything = bool(mask.all())  # nothing is selected then, nor scattered

        def real(values: Tensor) -> Tensor:
            """Values of the real places: [B, T, …] → [N, …]."""
            return values.flatten(0, 1) if everything else values[mask]

        if isinstance(self.output, CopyingOutput):
            assert weights is not None
            assert source.symbols is not None
            symbols = source.symbols[:, None].expand(-1, targets.shape[1], -1)  # [B, T, S]
            counted = self.output.losses(real(features), real(targets), real(weights), real(symbols))
        else:
            counted = self.output.losses(real(features), real(targets), smoothing)
        if coverage and weights is not None:
            counted = counted + coverage * real(coverage_losses(weights))
        if everything:
            return counted.view_as(targets)
        return counted.new_zeros(targets.shape).masked_scatter(mask, counted)

    def weights(self, source: EncodedSource, targets: Tensor, lengths: Tensor) -> Tensor:
        """Weights of attention with which each symbol of targets is predicted, over sources in the order of their text.

        Args:
            source: the sources.
            targets: their targets, such as answers that were found, each ending with ``end_index``.
            lengths: length of each target.

        Shapes:
            targets: [B, T], lengths: [B], result: [B, T, S], undefined beyond the length of a target

        Raises:
            BadInput: the decoder has no attention.
        """
        weights = self.decoder.whole(self._before(targets), lengths, self.decoder.start(source.memory))[1]
        if weights is None:
            raise BadInput("A decoder without attention has no weights of attention; choose context attention.")
        steps = torch.arange(weights.shape[2], device=weights.device).expand(len(weights), -1)
        places = self._ordered(steps, source.memory.lengths)  # [B, S]; an order that is its own inverse
        return weights.gather(2, places[:, None].expand_as(weights))

    def search(
        self,
        source: EncodedSource,
        longest: Tensor,
        width: int,
        best: int,
        alpha: float,
        others: Sequence[tuple[EncoderDecoder, EncodedSource]] = (),
        sampling: Sampling | None = None,
        seeds: Sequence[int] = (),
    ) -> Hypotheses:
        """Probable targets, or drawn ones; see :func:`unroll.networks.search.search`.

        Args:
            source: the sources.
            longest: maximum length of each target.
            width: width of the beam.
            best: number of targets per source.
            alpha: exponent of the length penalty.
            others: the other networks of an ensemble, with what they have read of the same sources.
            sampling: the distribution from which targets are drawn; None to search.
            seeds: with sampling, a seed for each source.

        Shapes:
            longest: [B]
        """
        count = len(source.memory.lengths)
        first = torch.full((count,), self.end_index, device=source.memory.lengths.device)
        restrictions = Restrictions(longest, forbidden=self.forbidden)
        writing = [_Writing(*member) for member in ((self, source), *others)]
        return search(writing, first, self.end_index, restrictions, width, best, alpha, sampling, seeds)

    def log_probabilities(self, features: Tensor, weights: Tensor | None, symbols: Tensor | None) -> Tensor:
        """Log-probabilities of the next symbol: [N, H] → [N, V], with copying [N, V + S]."""
        if isinstance(self.output, CopyingOutput):
            assert weights is not None
            assert symbols is not None
            return self.output.log_probabilities(features, weights, symbols)
        return self.output.log_probabilities(features)

    def readable(self, symbols: Tensor) -> Tensor:
        """Symbols as the decoder reads them."""
        return self.output.readable(symbols) if isinstance(self.output, CopyingOutput) else symbols

    def _before(self, targets: Tensor) -> Tensor:
        """What the decoder reads before it predicts each symbol of targets: [B, T]."""
        start = torch.full_like(targets[:, :1], self.end_index)
        return self.readable(torch.cat([start, targets[:, :-1]], dim=1))

    def _ordered(self, steps: Tensor, lengths: Tensor) -> Tensor:
        """Steps of sources in the order in which the encoder reads them: [B, S], [B] → [B, S]."""
        return reversed_before_end(steps, lengths) if self.reverse_source else steps

    def _by_own_symbols(
        self, previous: Tensor, own: Tensor, running: Running, symbols: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Features and weights of all steps, of which some read what was predicted before."""
        features, weights, predicted = [], [], previous[:, 0]
        with parametrize.cached():  # one weight dropout mask for all steps
            for time, given in enumerate(previous.unbind(1)):
                read = torch.where(own[:, time], predicted, given) if time else given
                made, running = self.decoder.step(read, running)
                with torch.no_grad():
                    predicted = self.readable(self.log_probabilities(made, running.weights, symbols).argmax(dim=1))
                features.append(made)
                if running.weights is not None:
                    weights.append(running.weights)
        return torch.stack(features, dim=1), torch.stack(weights, dim=1) if weights else None

    def _stands_for_several(self, source: Tensor) -> Tensor:
        """Whether a symbol of a source stands for several written forms: those that no answer may have either."""
        return torch.isin(source, torch.tensor(self.forbidden, device=source.device))


class _Writing:
    """An encoder–decoder as the search reads it."""

    def __init__(self, network: EncoderDecoder, source: EncodedSource) -> None:
        self.network, self.source = network, source

    def start(self) -> tuple[Running, Shared | None]:
        symbols = self.source.symbols
        owners = None if symbols is None else torch.arange(len(symbols), device=symbols.device)
        shared = None if owners is None else Shared(symbols, owners)
        return self.network.decoder.start(self.source.memory), shared

    def step(self, previous: Tensor, state: tuple[Running, Shared | None]) -> tuple[Tensor, Any]:
        running, symbols = state
        features, running = self.network.decoder.step(self.network.readable(previous), running)
        owned = None if symbols is None else symbols.values[symbols.owners]
        return self.network.log_probabilities(features, running.weights, owned), (running, symbols)


def reversed_before_end(sequences: Tensor, lengths: Tensor) -> Tensor:
    """Reverse each sequence but for its last symbol; padding does not move: [B, T], [B] → [B, T]."""
    time = torch.arange(sequences.shape[1], device=sequences.device)[None]  # [1, T]
    last = lengths[:, None] - 1
    return sequences.gather(1, torch.where(time < last, last - 1 - time, time))
