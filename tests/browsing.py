"""Pages opened in a browser, which shows what it has drawn."""

from __future__ import annotations

import re
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


VIEWS: dict[str, tuple[str, int, tuple[str, ...]]] = {  # the medium whose rules apply, width in pixels, options
    "light": ("", 1180, ()),
    "dark": ("", 1180, ("--blink-settings=preferredColorScheme=0",)),
    "print": ("@media print", 703, ()),  # A4 without its margins
    "phone": ("@media (max-width: 640px)", 360, ()),
}
CHECKS = Path(__file__).parent / "page_checks.js"


def faults(page: Path, view: str) -> list[str]:
    """What is wrong with a page as a browser draws it, by ``page_checks.js``."""
    medium, width, options = VIEWS[view]
    html = page.read_text(encoding="utf-8")
    assert medium in html
    html = html.replace(medium, "@media all") if medium else html
    fixed = f"<style>html {{ width: {width}px; overflow-x: hidden; }}</style>"
    script = f"<script>{CHECKS.read_text(encoding='utf-8')}</script>"
    checked = page.with_name(f"{page.stem}-{view}.html")
    checked.write_text(html.replace("</head>", f"{fixed}</head>").replace("</body>", f"{script}</body>"), "utf-8")
    drawn = browsed(checked, *options, "--dump-dom").stdout
    body = drawn.partition("<body")[2]
    assert re.search(r"checked [1-9]\d* figures", body)
    return [line.removeprefix("FAULT ").partition("</body>")[0] for line in body.splitlines() if "FAULT " in line]
