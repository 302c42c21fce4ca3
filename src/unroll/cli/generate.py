"""``unroll generate``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from unroll.cli import streams
from unroll.cli.lines import lines
from unroll.cli.numbers import number
from unroll.cli.parser import Parser
from unroll.cli.sampling import OPTIONS, add_sampling, given
from unroll.outputs import to_json_line
from unroll.terminal import doing


def add_arguments(parser: Parser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--prompt", help="beginning of the text (default: standard input)")
    source.add_argument("--file", type=Path, help="file of prompts, one per line")
    parser.add_argument("--length", type=number(int, 1), default=50, metavar="N", help="tokens to add (default: 50)")
    add_sampling(parser, "token")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")


def run(options: Namespace) -> None:
    with doing(f"Loading {options.run}"):
        from unroll.experiment import Trained
        from unroll.serving import generate

        run = Trained.load(options.run)
    prompts = lines(options.prompt, options.file)
    settings = given(options, "seed", *OPTIONS)
    for answer in generate(run, prompts, options.length, **settings):
        print(to_json_line(answer.content(), streams.shows_unicode()) if options.json else answer)
