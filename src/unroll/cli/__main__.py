"""``python -m unroll.cli`` is the same as ``unroll``; it starts the processes of a distributed run."""

from __future__ import annotations

import sys

from unroll.cli import main

if __name__ == "__main__":
    sys.exit(main())
