"""Pages opened in a browser, which shows what it has drawn."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

QUIET = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--window-size=1200,1800")  # fmt: skip


def browsed(page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Open a page of a file; on standard error is what stands in the console."""
    return visited(page.as_uri(), page.parent / "profile", *options)


def visited(address: str, profile: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Open a page, with a profile that the browser keeps in a folder."""
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("chromium is not installed")
    command = [browser, *QUIET, f"--user-data-dir={profile}", "--enable-logging=stderr", *options, address]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
