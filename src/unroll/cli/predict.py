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
from unroll.cli.sampling import OPTIONS, add_sampling, given
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
        "--attention", type=Path, metavar="FILE", help="draw the attention with which the answer to one text was "
        "written, as .png or .svg"
    )  # fmt: skip
    parser.add_argument(
        "--with", dest="others", action="append", default=[], type=Path, metavar="RUN", help="a further run of an "
        "ensemble, which predicts by the mean of the log-probabilities of its runs; may be repeated"
    )  # fmt: skip
    add_sampling(parser, "symbol", "the beam of the run")
    parser.add_argument(
        "--evaluate", action="store_true", help="also print the figures, on standard error, if the file has the answers"
    )


def run(options: Namespace) -> None:
    is_watched = is_terminal(sys.stderr) and not sys.stdout.isatty()
    progress = Line()
    _refuse_contradictions(options)
    with doing(f"Loading {options.run}"):
        from unroll.networks.sampling import Sampling
        from unroll.serving import Predictor, ensemble

        show = partial(_show, progress) if is_watched else None
        first, *others = ensemble([options.run, *options.others])
        drawn = given(options, *OPTIONS)
        sampling = Sampling(**drawn) if drawn else None
        predictor = Predictor(
            first,
            options.evaluate,
            show,
            options.best,
            others,
            sampling,
            options.seed or 0,
            options.attention is not None,
        )
    for line in _printed(predictor, options):
        sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()
    if is_watched:
        progress.keep(_answered(predictor.seen))
    _report(predictor)


def _refuse_contradictions(options: Namespace) -> None:
    if options.best > 1 and not options.json:
        raise BadInput("--best requires --json, since a line has one answer.")
    if options.seed is not None and not given(options, *OPTIONS):
        raise BadInput("--seed has no effect on a search; add --temperature, --top-k or --top-p, or leave it out.")
    if options.attention is None:
        return
    if options.attention.suffix.lower() not in (".png", ".svg"):
        raise BadInput(f"{options.attention} ends neither in .png nor in .svg; name a file that does.")
    if options.text is None or "\n" in options.text.strip():
        raise BadInput("--attention draws the answer to one text; give one line as the argument after RUN.")


def _printed(predictor: Predictor, options: Namespace) -> Iterator[bytes]:
    """The lines of the output."""
    if options.attention is not None:
        from unroll.analysis.attention import draw

        answer, attended = predictor.attended(options.text)
        if not draw(options.attention, *attended):  # before the answer is printed
            say("unroll: the font lacks some characters, which are drawn as boxes; an .svg file has them all.")
        answers = iter([answer])
    elif options.file is None or predictor.asking.is_plain(options.file):
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
