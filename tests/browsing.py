"""Pages opened in a browser, which shows what it has drawn."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

QUIET = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--window-size=1200,1800")  # fmt: skip


def browsed(page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Open a page; on standard error is what stands in the console."""
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("chromium is not installed")
    profile = f"--user-data-dir={page.parent / 'profile'}"
    command = [browser, *QUIET, profile, "--enable-logging=stderr", *options, page.as_uri()]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
