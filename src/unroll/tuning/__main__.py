"""The process of a worker: ``python -m unroll.tuning LAUNCHER``, see :mod:`unroll.tuning.worker`."""

import signal
import sys


def run() -> int:
    """Work; Ctrl-C before there is anything to put back ends the process without a word."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # what is imported for seconds would answer it with a traceback
    from unroll.tuning.worker import main

    signal.signal(signal.SIGINT, signal.default_int_handler)
    return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(run())
