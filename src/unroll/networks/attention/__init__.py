"""Attention: which steps of a source a decoder reads at each of its own."""

from __future__ import annotations

from unroll.networks.attention.base import Attention, Prepared, coverage_losses
from unroll.networks.attention.content import (
    AdditiveAttention,
    CoverageAttention,
    DotAttention,
    GeneralAttention,
    ScaledAttention,
)
from unroll.networks.attention.position import LocalAttention, MonotonicAttention

__all__ = [
    "ATTENTIONS", "AdditiveAttention", "Attention", "CoverageAttention", "DotAttention", "GeneralAttention",
    "LocalAttention", "MonotonicAttention", "Prepared", "ScaledAttention", "coverage_losses",
]  # fmt: skip

ATTENTIONS: dict[str, type[Attention]] = {
    "additive": AdditiveAttention, "dot": DotAttention, "general": GeneralAttention, "scaled": ScaledAttention,
    "local": LocalAttention, "monotonic": MonotonicAttention, "coverage": CoverageAttention,
}  # fmt: skip
