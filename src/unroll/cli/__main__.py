"""``python -m unroll.cli``: the same as ``unroll``, as processes of one training are started."""

from __future__ import annotations

import sys

from unroll.cli import main

if __name__ == "__main__":
    sys.exit(main())
