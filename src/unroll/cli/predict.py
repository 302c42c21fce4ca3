"""``unroll predict``."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from unroll.cli import streams
from unroll.cli.figures import figures_line
from unroll.cli.lines import lines
from unroll.cli.numbers import number
from unroll.cli.parser import Parser
from unroll.errors import BadInput
from unroll.outputs import to_json_line
from unroll.terminal import Line, doing, is_terminal, say

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
        "--best", type=number(int, 1), default=1, metavar="N", help="with --json, the N best answers of a task that "
        "searches for them, each with its score"
    )  # fmt: skip
    parser.add_argument(
        "--evaluate", action="store_true", help="also print the figures, on standard error, if the file has the answers"
    )


def run(options: Namespace) -> None:
    is_watched = is_terminal(sys.stderr) and not sys.stdout.isatty()
    progress = Line()
    if options.best > 1 and not options.json:
        raise BadInput("--best requires --json, since a line has one answer.")
    with doing(f"Loading {options.run}"):
        from unroll.experiment import Trained
        from unroll.serving import Predictor

        show = partial(_show, progress) if is_watched else None
        predictor = Predictor(Trained.load(options.run), options.evaluate, show, options.best)
    for line in _printed(predictor, options):
        sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()
    if is_watched:
        progress.keep(_answered(predictor.seen))
    _report(predictor)


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


def _show(progress: Line, seen: Seen) -> None:
    """Show the progress."""
    progress.draw(_answered(seen))


def _answered(seen: Seen) -> str:
    return f"{seen.records:,} answered"


def _report(predictor: Predictor) -> None:
    """What is said beside the answers, on standard error."""
    seen = predictor.seen
    for found in seen.unknown.values():
        if found.unknown:
            say(f"unroll: {found} are not in the vocabulary of the run and were read as unknown.")
    if predictor.evaluates:
        say(figures_line(*predictor.figures()))
