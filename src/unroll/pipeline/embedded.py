"""Embedded corpora of ``data/``: written where they are absent, reported where they are not what is generated."""

from __future__ import annotations

import hashlib
import json
import sys
from contextlib import suppress
from pathlib import Path

from unroll import config as settings
from unroll import preparation
from unroll.outputs import to_json, write_text
from unroll.pipeline import dvc

GENERATORS = Path(preparation.__file__).parent / "data" / "generators"
COMPARED = dvc.FOLDER / "tmp" / "unroll-embedded.json"  # what was found of files that have not changed since


def generate() -> None:
    """Write the embedded corpora that ``data/`` lacks, and report files that are not what is generated now.

    Those are used as they are: they may be what an older version wrote, or a person's own.

    Raises:
        BadInput: a corpus names a generator that does not exist.
    """
    before, found = _compared(), {}
    for name, corpus in settings.corpora().items():
        folder = Path("data") / name
        if corpus.generator is None:
            continue
        if not folder.is_dir():
            print(f"Writing {folder}", file=sys.stderr)
            preparation.fetch_corpus(corpus)
            continue
        state = _state(folder)
        known = before.get(name)
        found[name] = known if known and known[0] == state else [state, preparation.changed_file(corpus)]
        if file := found[name][1]:
            print(f"unroll: {file} is not what generator={corpus.generator} writes now: an older version wrote it, or "
                  f"somebody changed it. It is used as it is; to have it written again, delete {folder} and run the "
                  "same command.", file=sys.stderr)  # fmt: skip
    if found != before:
        write_text(COMPARED, to_json(found))


def _state(folder: Path) -> str:
    """Digest of the code of the generators, and of sizes and times of the files of a corpus."""
    total = hashlib.sha256()
    for path in sorted(GENERATORS.glob("*.py")):
        total.update(path.read_bytes())
    for path in sorted(folder.iterdir()):
        total.update(f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}\n".encode())
    return total.hexdigest()


def _compared() -> dict[str, list[str]]:
    """What was found before, of each corpus; nothing where that cannot be read."""
    with suppress(OSError, ValueError):
        content = json.loads(COMPARED.read_bytes())
        if isinstance(content, dict) and all(isinstance(each, list) and len(each) == 2 for each in content.values()):
            return content
    return {}
