"""``unroll generate``."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

from unroll.cli.lines import lines
from unroll.cli.parser import Parser
from unroll.errors import BadInput


def add_arguments(parser: Parser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--prompt", help="what the text begins with; standard input if absent")
    source.add_argument("--file", type=Path, help="a file of prompts, one per line")
    parser.add_argument("--length", type=int, default=50, metavar="N", help="tokens to add (50)")
    parser.add_argument("--temperature", type=float, default=1.0, metavar="X", help="0 takes the likeliest (1.0)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the draws (0)")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")


def run(options: Namespace) -> None:
    from unroll.experiment import Trained

    if options.length < 1 or not 0 <= options.seed < 2**63:
        raise BadInput("--length must be a number from 1 on, and --seed one from 0 on.")
    if options.temperature != 0 and not 1e-3 <= options.temperature <= 1e3:
        raise BadInput("--temperature must be from 0.001 to 1000, or 0 for the likeliest token.")
    model = Trained.load(options.run)
    prompts = lines(options.prompt, options.file)
    for answer in model.generate(prompts, options.length, options.temperature, options.seed):
        between = " " if model.vocabulary.unit == "words" and answer["prompt"] else ""
        plain = f"{answer['prompt']}{between}{answer['continuation']}"
        print(json.dumps(answer, ensure_ascii=False) if options.json else plain)
