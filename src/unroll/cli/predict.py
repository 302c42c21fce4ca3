"""``unroll predict``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from unroll.cli.lines import lines
from unroll.cli.parser import Parser
from unroll.outputs import to_json_line


def add_arguments(parser: Parser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("text", nargs="?", help="one line; standard input if absent")
    source.add_argument("--file", type=Path, help="a file of lines")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")


def run(options: Namespace) -> None:
    from unroll.experiment import Trained

    for answer in Trained.load(options.run).predict(lines(options.text, options.file)):
        print(to_json_line(answer.content()) if options.json else answer)
