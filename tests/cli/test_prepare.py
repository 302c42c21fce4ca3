"""``unroll prepare``: what is missing is named, and nothing is left half-written."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from unroll.config import Config

Refused = Callable[..., str]
Small = Callable[..., Config]


def test_a_public_corpus_that_is_not_here_names_the_command(project: Path, refused: Refused) -> None:
    message = refused("prepare", "experiment=grammar", "data=brown", "~data.reader.probe", "~data.reader.contrast")
    assert "unroll data fetch brown" in message


def test_a_full_disk_leaves_nothing_half_written(small: Small, project: Path) -> None:
    """A real failure of write(2): the process may write files of 300 bytes at the most."""
    config = small("tagging", "lstm")
    Path("run.yaml").write_text(config.dump(), encoding="utf-8")
    code = (
        "import resource, sys; from unroll.cli import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))\n"
        "sys.exit(main(['prepare', '--data', 'data.yaml', '--out', 'prepared']))"
    )
    from unroll.config import dump_data

    Path("data.yaml").write_text(dump_data(config.data), encoding="utf-8")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "could not be written" in done.stderr
    assert not [path for path in project.iterdir() if "prepared" in path.name]
