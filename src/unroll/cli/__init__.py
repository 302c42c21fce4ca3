"""The command line: ``unroll VERB``, each verb in the module of its name.

The module of a verb offers two functions: ``add_arguments(parser)`` declares what the verb takes, ``run(options)`` runs
it and raises what went wrong. It is imported if the verb is asked for, and imports what is slow once it runs.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from unroll import plugins
from unroll.cli import arguments, failures  # a verb that is imported becomes a name in here, such as report

VERBS = {
    "config": "Show the settings of a run, explain them, or resolve those of a whole course.",
    "data": "List corpora, fetch them, or add one's own.",
    "prepare": "Encode a corpus: vocabulary from train alone, splits as memory-mapped numbers.",
    "train": "Train one run, from settings or from a resolved file.",
    "upgrade": "Convert a run that an older version of unroll trained.",
    "sync": "Send MLflow what it has not taken of a run, since its server was gone.",
    "evaluate": "Judge the runs of an experiment on the test split.",
    "certify": "Check on a run's own data that batches, padding, order, ranks and windows do not change its numbers.",
    "compare": "Compare architectures over seeds, with intervals and tests.",
    "verdict": "Judge two sides: which is better, by how much, how sure that is, or how many seeds would show it.",
    "report": "Write one page to read: questions, tables, figures, verdicts.",
    "repro": "Bring the course up to date, or the stages of another file; or run one stage by force.",
    "clean": "Show what may be deleted to free disk space; with one KIND or more, delete it after a question.",
    "tune": "Work at a study: try what it asks for, until nothing is left.",
    "predict": "Tag sentences, or predict a number for each series.",
    "generate": "Continue texts with a language model.",
    "ui": "Serve MLflow's UI on localhost.",
}


def main(words: Sequence[str] | None = None) -> int:
    """Run one verb; 0 if it went well, 1 if a run is not certified, 2 on bad input, 130 after Ctrl-C."""
    _set_up_process()
    try:
        options = arguments.parse(VERBS, sys.argv[1:] if words is None else words)
        plugins.use([*plugins.of_project(Path("conf/config.yaml")), *options.plugins])
        options.verb(options)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of a pipe, such as head, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (Exception, KeyboardInterrupt) as error:
        status = failures.report(error)
        if status is None:
            raise
        return status
    return 0


def _set_up_process() -> None:
    # imports make a million objects that stay: to look for garbage among them as often as is usual takes a quarter of
    # the time to the first step, and to take them apart at the end takes longer than a second
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)
    sys.excepthook = failures.show_unexpected
