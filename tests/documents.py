"""What tests of documents share."""

from __future__ import annotations

import re


def readme_block(page: str, title: str) -> str:
    """The fenced block whose first line is a comment with this file name; that line is left out."""
    for block in re.findall(r"```[a-z]*\n(.*?)```", page, flags=re.DOTALL):
        first, _, rest = block.partition("\n")
        if first.strip("# ").startswith(title):
            return str(rest)
    raise AssertionError(f"no block for {title}")
