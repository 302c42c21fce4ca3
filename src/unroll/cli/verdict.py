"""``unroll verdict``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from unroll.cli.parser import Parser


def add_arguments(parser: Parser) -> None:
    sides = "FILE:ARCH of what evaluate wrote, or a run, a folder of runs or a pattern in quotes: their validation"
    parser.add_argument("a", metavar="RUNS_A", help=sides)
    parser.add_argument("b", metavar="RUNS_B", help="the same")
    parser.add_argument("--metric", metavar="NAME", help="compare by this one (the experiment's own)")
    parser.add_argument(
        "--margin",
        type=float,
        metavar="M",
        help="call them equivalent if they differ by less: in units of the "
        "metric, or as a factor such as 1.05 where it is a ratio or a proportion",
    )
    parser.add_argument(
        "--test",
        choices=["welch", "permutation", "paired"],
        default="welch",
        help="welch; permutation; or paired by seed, from 8 pairs on (welch)",
    )
    parser.add_argument("--costs", type=Path, metavar="FOLDER", help="judge the speeds measured there, too")
    parser.set_defaults(hint="quote a pattern, so that the shell leaves it to unroll")


def run(options: Namespace) -> None:
    from unroll.analysis.verdict_text import verdict_text

    print(verdict_text(options.a, options.b, options.metric, options.margin, options.test, options.costs))
