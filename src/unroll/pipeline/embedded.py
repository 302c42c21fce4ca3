"""Embedded corpora in ``data/``: generated if missing, reported if they differ from what is generated."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path

from unroll import config as settings
from unroll import preparation
from unroll.outputs import to_json, write_text
from unroll.pipeline import dvc
from unroll.terminal import say

GENERATORS = Path(preparation.__file__).parent / "data" / "generators"
COMPARED = dvc.FOLDER / "tmp" / "unroll-embedded.json"  # results for files that have not changed since


def generate() -> None:
    """Generate missing embedded corpora, and report files that differ from what is generated.

    Files that differ are used as they are: they may come from an older version, or have been edited on purpose.

    Raises:
        BadInput: a corpus names a generator that does not exist.
    """
    before = _compared()
    found = {}
    for name, corpus in settings.corpora().items():
        folder = Path("data") / name
        if corpus.generator is None:
            continue
        if not folder.is_dir():
            say(f"Writing {folder}")
            preparation.fetch_corpus(corpus)
            continue
        state = _state(folder)
        known = before.get(name)
        found[name] = known if known and known[0] == state else [state, preparation.changed_file(corpus)]
        if file := found[name][1]:
            say(f"unroll: {file} differs from the output of generator={corpus.generator}: an older version wrote it, "
                f"or it was edited. It is used as it is; to generate it again, delete {folder} and run the same "
                "command.")  # fmt: skip
    if found != before:
        write_text(COMPARED, to_json(found))


def _state(folder: Path) -> str:
    """Digest of the generators' code and of the names, sizes and modification times of a corpus's files."""
    total = hashlib.sha256()
    for path in sorted(GENERATORS.glob("*.py")):
        total.update(path.read_bytes())
    for path in sorted(folder.iterdir()):
        total.update(f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}\n".encode())
    return total.hexdigest()


def _compared() -> dict[str, list[str]]:
    """Earlier results by corpus; empty if they cannot be read."""
    with suppress(OSError, ValueError):
        content = json.loads(COMPARED.read_bytes())
        if isinstance(content, dict) and all(isinstance(each, list) and len(each) == 2 for each in content.values()):
            return content
    return {}
