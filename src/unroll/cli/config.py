"""``unroll config``."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from unroll.cli import streams
from unroll.cli.parser import Parser, add_settings
from unroll.cli.settings import composed
from unroll.errors import BadInput
from unroll.terminal import doing

if TYPE_CHECKING:
    from unroll.config import Config


def add_arguments(parser: Parser) -> None:
    add_settings(parser)
    parser.add_argument(
        "--explain", nargs="?", const="", metavar="SECTION", help="explain every setting, or the settings of a section"
    )
    parser.add_argument("--course", type=Path, metavar="FILE", help="resolve every run of a course")
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="folder to write with --course (default: outputs/configs)"
    )


def run(options: Namespace) -> None:
    with doing("Reading the settings"):
        from unroll import config

    if (options.out and not options.course) or (options.course and options.settings):
        raise BadInput("--out requires --course, and --course takes no settings.")
    if options.explain is not None:
        if options.settings or options.course:
            raise BadInput("--explain takes an optional SECTION, such as training, and no settings.")
        print(config.explain(options.explain or None))
    elif options.course:
        config.refuse_stale(options.course)
        config.resolve(options.course, options.out or Path("outputs/configs"))
    else:
        found = composed(options.settings)
        print(found.dump(streams.shows_unicode()), end="")
        if explanation := _decoding(found):
            print(f"# {explanation}")


def _decoding(found: Config) -> str:
    """How the decoder computes its steps in training; empty without one."""
    from unroll.config.decoders import RecurrentDecoderConfig
    from unroll.networks.wiring import Wiring

    decoder = found.arch.decoder
    if not isinstance(decoder, RecurrentDecoderConfig):
        return ""
    if getattr(found.task, "own_inputs", 0):
        return "Steps are computed one by one, since the decoder reads its own predictions (task.own_inputs)."
    attention = decoder.attention
    if attention is None:
        return Wiring(decoder.context).explanation(decoder.layer_norm, None)
    wiring = Wiring(decoder.context, attention.read, attention.feeding)
    return wiring.explanation(decoder.layer_norm, attention.name)
