"""The process of a worker: ``python -m unroll.tuning LAUNCHER``, see :mod:`unroll.tuning.worker`."""

import signal
import sys


def run() -> int:
    """Run a worker; Ctrl-C before it has a trial ends the process silently."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback during the imports, which take seconds
    from unroll.tuning.worker import main

    signal.signal(signal.SIGINT, signal.default_int_handler)
    return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(run())
