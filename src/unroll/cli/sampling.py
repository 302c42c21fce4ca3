"""Options of verbs that draw symbols from a distribution."""

from __future__ import annotations

import contextlib
from argparse import Namespace
from typing import Any

from unroll.cli.numbers import number
from unroll.cli.parser import Parser

OPTIONS = ("temperature", "top_k", "top_p")  # of the distribution; the seed is one of the draws


def add_sampling(parser: Parser, symbol: str, instead: str = "") -> None:
    """Add the options, whose values are None if they are not given.

    Args:
        parser: of the verb.
        symbol: what is drawn.
        instead: what the verb does without them; empty if it always draws.
    """
    default = f"{instead}, or 1.0 with another of these options" if instead else "1.0"
    parser.add_argument(
        "--temperature", type=_temperature, metavar="X",
        help=f"sampling temperature; 0 selects the most probable {symbol} (default: {default})",
    )  # fmt: skip
    parser.add_argument(
        "--top-k", type=number(int, 1), metavar="N",
        help=f"draw from the N most probable {symbol}s (default: from all)",
    )  # fmt: skip
    parser.add_argument(
        "--top-p", type=number(float, 0.001, 1), metavar="X",
        help=f"draw from the most probable {symbol}s that together have a probability of X (default: 1.0)",
    )  # fmt: skip
    parser.add_argument("--seed", type=number(int, 0, 2**63 - 1), metavar="N", help="random seed (default: 0)")


def given(options: Namespace, *names: str) -> dict[str, Any]:
    """Those of some options that were given, by name."""
    return {name: value for name in names if (value := getattr(options, name)) is not None}


def _temperature(word: str) -> float:
    with contextlib.suppress(ValueError):
        if float(word) == 0:
            return 0.0
    return number(float, 0.001, 1000, ", nor 0, which selects the most probable symbol")(word)
