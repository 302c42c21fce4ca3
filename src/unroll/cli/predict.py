"""``unroll predict``."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from unroll.cli import streams
from unroll.cli.figures import figures_line
from unroll.cli.lines import lines
from unroll.cli.parser import Parser
from unroll.outputs import to_json_line

if TYPE_CHECKING:
    from unroll.serving import Predictor
    from unroll.serving.prediction import Seen


def add_arguments(parser: Parser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("text", nargs="?", help="one plain line; standard input, line by line, if absent")
    source.add_argument(
        "--file", type=Path, help="a file in the format that the run was trained on, printed with the predictions "
        "filled in; a .txt file has plain lines"
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="one JSON object per record")
    parser.add_argument(
        "--evaluate", action="store_true", help="also print the figures, on standard error, if the file has the answers"
    )


def run(options: Namespace) -> None:
    from unroll.experiment import Trained
    from unroll.serving import Predictor

    is_watched = sys.stderr.isatty() and not sys.stdout.isatty()
    predictor = Predictor(Trained.load(options.run), options.evaluate, _show if is_watched else None)
    for line in _printed(predictor, options):
        sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()
    _report(predictor, is_watched)


def _printed(predictor: Predictor, options: Namespace) -> Iterator[bytes]:
    """The lines of the output."""
    if options.file is None or predictor.asking.is_plain(options.file):
        answers = predictor.lines(lines(options.text, options.file))
    elif predictor.fills and not options.json:
        yield from predictor.filled(options.file)
        return
    else:
        answers = predictor.file(options.file)
    for answer in answers:
        text = to_json_line(answer.content(), streams.shows_unicode()) if options.json else str(answer)
        yield f"{text}\n".encode(sys.stdout.encoding, "backslashreplace")


def _show(seen: Seen) -> None:
    """Progress, in one line of the terminal."""
    print(f"\r{seen.records:,} answered", end="", file=sys.stderr, flush=True)


def _report(predictor: Predictor, is_watched: bool) -> None:
    """What is said beside the answers, on standard error."""
    seen = predictor.seen
    if is_watched:
        print(file=sys.stderr)
    for found in seen.unknown.values():
        if found.unknown:
            print(f"unroll: {found} are not in the vocabulary of the run and were read as unknown.", file=sys.stderr)
    if predictor.evaluates:
        print(figures_line(*predictor.figures()), file=sys.stderr)
