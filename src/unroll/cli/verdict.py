"""``unroll verdict``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from unroll.cli.parser import Parser
from unroll.terminal import doing


def add_arguments(parser: Parser) -> None:
    sides = "FILE:ARCH for test figures written by evaluate; a run, a folder or a quoted pattern for validation figures"
    parser.add_argument("a", metavar="RUNS_A", help=sides)
    parser.add_argument("b", metavar="RUNS_B", help="see RUNS_A")
    parser.add_argument("--metric", metavar="NAME", help="metric to compare (default: the one the experiment declares)")
    parser.add_argument(
        "--margin",
        type=float,
        metavar="M",
        help="test for equivalence within this margin: in units of the metric, or a factor such as 1.05 if the metric "
        "is a ratio or a proportion",
    )
    parser.add_argument(
        "--test",
        choices=["welch", "permutation", "paired"],
        default="welch",
        help="statistical test; paired is by seed and needs 8 pairs (default: welch)",
    )
    parser.add_argument("--costs", type=Path, metavar="FOLDER", help="also compare the speeds in this folder")
    parser.set_defaults(hint="quote a pattern to keep the shell from expanding it")


def run(options: Namespace) -> None:
    given = options.a, options.b, options.metric, options.margin, options.test, options.costs
    with doing(f"Comparing {options.a} and {options.b}"):
        from unroll.analysis.verdict_text import verdict_text
        from unroll.config import decisive

        text = verdict_text(*given, decisive)
    print(text)
