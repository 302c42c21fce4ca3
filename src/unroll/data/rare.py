"""Rare symbols that training reads as ``[UNK]``, so that a network learns to read unknown words."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from unroll.data.batch import FieldSpec
from unroll.data.prepared import Column

GAMMA, FIRST, SECOND = (np.uint64(n) for n in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


class RareSymbols:
    """Reads symbols that occur once in the training split as ``[UNK]`` at random: Lample et al., NAACL 2016.

    Each step of the split is drawn from the seed, the epoch and its position only, so batches, windows, processes and a
    resumed run draw the same. The spelling of a word is a field of its own and is kept, as in an unknown word.

    Args:
        column: the symbols of the training split.
        spec: their sizes.
        rate: probability that a rare symbol is read as ``[UNK]``.
        seed: random seed.
    """

    def __init__(self, column: Column, spec: FieldSpec, rate: float, seed: int) -> None:
        self.is_rare = column.counts(spec.size) == 1  # [V]
        self.unknown_index, self.rate, self.seed = spec.unknown_index, rate, seed

    def replaced(self, values: np.ndarray, places: np.ndarray, epoch: int) -> np.ndarray:
        """Symbols as training reads them in an epoch.

        Args:
            values: symbols, including padding.
            places: position in the split of each symbol.
            epoch: the epoch, from 0.

        Shapes:
            values, places and result: [B, T]
        """
        replaced = self.is_rare[values]  # [B, T]
        replaced[replaced] = draws(self.seed, epoch, places[replaced]) < self.rate
        return np.where(replaced, self.unknown_index, values)


def draws(seed: int, epoch: int, places: np.ndarray) -> np.ndarray:
    """Uniform random numbers in [0, 1), one for each position: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).

    The generator is a hash of its counter, so a number depends on its own position only.

    Shapes:
        places: [N] integers, result: [N]
    """
    mixed = _start(seed, epoch) + (places.astype(np.uint64) + np.uint64(1)) * GAMMA  # [N], modulo 2^64
    mixed = (mixed ^ (mixed >> np.uint64(30))) * FIRST
    mixed = (mixed ^ (mixed >> np.uint64(27))) * SECOND
    mixed ^= mixed >> np.uint64(31)
    uniform: np.ndarray = (mixed >> np.uint64(11)) * 2.0**-53
    return uniform


@lru_cache(maxsize=8)
def _start(seed: int, epoch: int) -> np.ndarray:
    """Start of the numbers of an epoch: [1]."""
    return np.random.SeedSequence([seed, epoch], spawn_key=(1,)).generate_state(1, np.uint64)
