"""How a decoder reads its source, and in which way its steps are computed."""

from __future__ import annotations

from dataclasses import dataclass

from unroll.errors import BadInput, no_such

CONTEXTS = ("start", "every_step", "both", "attention")
READS = ("before", "after")
SEQUENTIAL = ("coverage", "monotonic")  # attention of which a step reads the weights of earlier steps


@dataclass(frozen=True)
class Wiring:
    """How a decoder reads its source.

    With the summary C of the source: as the first state h₀ (Cho et al. 2014; Sutskever et al. 2014), as an input to
    every step, or both. With attention: before the cell, from the previous state (Bahdanau et al. 2015), or after it,
    from the new one (Luong et al. 2015).

    Args:
        context: ``start``, ``every_step``, ``both`` or ``attention``.
        read: with attention, whether it reads ``before`` or ``after`` the cell; otherwise None.
        feeding: with attention, whether the attentional vector h̃ is an input to the next step (input feeding: Luong et
            al. 2015, section 3.3).

    Raises:
        BadInput: there is no such context or read, or ``read`` or ``feeding`` are given without attention.
    """

    context: str
    read: str | None = None
    feeding: bool = False

    def __post_init__(self) -> None:
        if self.context not in CONTEXTS:
            raise no_such("context of a decoder", self.context, CONTEXTS)
        if self.attends and self.read not in READS:
            raise no_such("place of attention in a decoder", self.read, READS)
        if not self.attends and (self.read is not None or self.feeding):
            raise BadInput(f"A decoder with context {self.context} has no attention to read or to feed back; choose "
                           "context attention, or leave read and feeding out.")  # fmt: skip

    @property
    def attends(self) -> bool:
        """Whether the decoder has attention."""
        return self.context == "attention"

    @property
    def repeats(self) -> bool:
        """Whether the summary is an input to every step."""
        return self.context in ("every_step", "both")

    @property
    def fused(self) -> bool:
        """Whether no step reads the attention of an earlier one, so that one scan computes all states."""
        return not self.attends or (self.read == "after" and not self.feeding)

    def input_sizes(self, embedding: int, summary: int, features: int, hidden: int) -> list[int]:
        """Sizes of the parts of the input of the first layer, in their order: [E y; C or c; h̃].

        Args:
            embedding: size E of the embedding of a symbol.
            summary: size C of the summary of a source.
            features: size F of the features of a step of a source.
            hidden: size H of the states and of h̃.
        """
        sizes = [(embedding, True), (summary, self.repeats), (features, self.read == "before"), (hidden, self.feeding)]
        return [size for size, is_read in sizes if is_read]

    def explanation(self, layer_norm: bool, attention: str | None) -> str:
        """A sentence on how the steps are computed when all target symbols are known.

        Args:
            layer_norm: whether the cells have layer normalisation.
            attention: name of the attention in ``unroll.networks.attention.ATTENTIONS``; None without attention.
        """
        if self.fused:
            return "All steps are computed in one scan" + self._beside_scan(layer_norm, attention)
        reason = "attention reads before the cell" if self.read == "before" else "each step reads the fed-back vector"
        if layer_norm:
            return (f"Steps are computed one by one, since {reason}; the keys are projected once, and layer "
                    "normalisation needs the input of each step as a whole.")  # fmt: skip
        return f"Steps are computed one by one, since {reason}; embeddings, keys and memory are projected once."

    def _beside_scan(self, layer_norm: bool, attention: str | None) -> str:
        if attention in SEQUENTIAL:
            return ", followed by attention step by step, since a score reads earlier weights."
        if self.attends:
            return ", followed by attention of all steps in batched products."
        if self.repeats and layer_norm:
            return "; the context is joined to each input, since layer normalisation needs the whole product."
        return "; the context is projected once per sequence, except by torch's kernels." if self.repeats else "."
