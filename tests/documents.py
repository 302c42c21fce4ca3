"""What tests of documents share."""

from __future__ import annotations

import re


def readme_block(page: str, title: str) -> str:
    """The fenced block that a comment in its first two lines names so, whole, as a person copies it."""
    for block in re.findall(r"```[a-z]*\n(.*?)```", page, flags=re.DOTALL):
        if any(line.startswith(f"# {title}") for line in block.splitlines()[:2]):
            return str(block)
    raise AssertionError(f"no block for {title}")
