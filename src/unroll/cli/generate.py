"""``unroll generate``."""

from __future__ import annotations

import contextlib
from argparse import Namespace
from pathlib import Path

from unroll.cli import streams
from unroll.cli.lines import lines
from unroll.cli.numbers import number
from unroll.cli.parser import Parser
from unroll.outputs import to_json_line
from unroll.terminal import doing


def add_arguments(parser: Parser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--prompt", help="beginning of the text (default: standard input)")
    source.add_argument("--file", type=Path, help="file of prompts, one per line")
    parser.add_argument("--length", type=number(int, 1), default=50, metavar="N", help="tokens to add (default: 50)")
    parser.add_argument(
        "--temperature", type=_temperature, default=1.0, metavar="X",
        help="sampling temperature; 0 selects the most probable token (default: 1.0)",
    )  # fmt: skip
    parser.add_argument(
        "--top-k", type=number(int, 1), default=0, metavar="N",
        help="draw from the N most probable tokens (default: from all)",
    )  # fmt: skip
    parser.add_argument(
        "--top-p", type=number(float, 0.001, 1), default=1.0, metavar="X",
        help="draw from the most probable tokens that together have a probability of X (default: 1.0)",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=number(int, 0, 2**63 - 1), default=0, metavar="N", help="random seed (default: 0)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per line")


def _temperature(word: str) -> float:
    with contextlib.suppress(ValueError):
        if float(word) == 0:
            return 0.0
    return number(float, 0.001, 1000, ", nor 0, which selects the most probable token")(word)


def run(options: Namespace) -> None:
    with doing(f"Loading {options.run}"):
        from unroll.experiment import Trained
        from unroll.serving import generate

        run = Trained.load(options.run)
    prompts = lines(options.prompt, options.file)
    given = (options.length, options.seed, options.temperature, options.top_k, options.top_p)
    for answer in generate(run, prompts, *given):
        print(to_json_line(answer.content(), streams.shows_unicode()) if options.json else answer)
