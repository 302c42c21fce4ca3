"""The command line: ``unroll VERB``, with one module per verb.

The module of a verb has two functions: ``add_arguments(parser)`` declares its arguments, and ``run(options)`` runs it
and raises an exception on failure. A module is imported only for its own verb; slow imports happen in ``run``.
"""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Sequence
from pathlib import Path

from unroll import plugins
from unroll.cli import (
    arguments,
    failures,
    streams,
)  # an imported verb becomes an attribute of this package, such as report
from unroll.errors import Interrupted

VERBS = {
    "config": "Show or explain the settings of a run, or resolve the settings of a whole course.",
    "course": "Write the grid of a course, over which the stages of DVC run, or print its stages.",
    "data": "List corpora, fetch them, or add your own.",
    "prepare": "Encode a corpus as memory-mapped arrays, with a vocabulary built from the training split only.",
    "train": "Train a run, from settings or from a resolved file.",
    "upgrade": "Convert a run of an older version of unroll to the current format.",
    "sync": "Send the metrics of a run that MLflow has not received, for example after a server outage.",
    "evaluate": "Evaluate runs on the test split.",
    "certify": "Check that batching, padding, order, ranks and windows do not change the numbers of a run.",
    "compare": "Compare architectures over seeds, with intervals and tests.",
    "verdict": "Compare two sets of runs: difference with its interval, p-value, effect size and the seeds needed.",
    "report": "Write the report, a page of questions, tables, figures and verdicts.",
    "repro": "Run the stages of the course, or of another file, that are out of date; or force a single stage.",
    "clean": "List files that are not needed; with one or more KINDs, delete them after confirmation.",
    "tune": "Run the trials of a study until it is complete.",
    "predict": "Tag sentences, predict a number for each series, or write a target for each source.",
    "generate": "Continue texts with a language model.",
    "ui": "Serve MLflow's UI on localhost.",
}


def main(words: Sequence[str] | None = None) -> int:
    """Run a verb.

    Args:
        words: arguments, without the name of the command; None for those of the process.

    Returns:
        0 on success, 1 if a run is not certified or a stage fails, 2 on bad input, 130 on Ctrl-C, 143 on SIGTERM where
        a verb handles it as Ctrl-C, 141 if the reader of a pipe, such as head, has exited.
    """
    if words is None:
        streams.read_bytes_as_utf8()
        streams.prepare()
    _set_up_process()
    try:
        _run(sys.argv[1:] if words is None else words)
    except BrokenPipeError:
        return streams.BROKEN_PIPE
    except (Exception, KeyboardInterrupt, Interrupted) as error:
        status = failures.report(error)
        if status is None:
            raise
        return status
    finally:
        streams.drop_the_rest()
    return 0


def _run(words: Sequence[str]) -> None:
    try:
        options = arguments.parse(VERBS, words)
        plugins.use([*plugins.of_project(Path("conf/config.yaml")), *options.plugins])
        options.verb(options)
    except SystemExit:  # help was printed
        sys.stdout.flush()
        raise
    sys.stdout.flush()


def _set_up_process() -> None:
    # imports create a million long-lived objects: with default thresholds, garbage collection takes a quarter of the
    # time to the first step, and freeing them at exit takes more than a second
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)
    sys.excepthook = failures.show_unexpected
