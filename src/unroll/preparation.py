"""Downloads, generates and prepares data according to settings, without torch and lightning."""

from __future__ import annotations

import filecmp
import hashlib
import json
import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from unroll.config import Config, DataConfig
from unroll.data.generators import GENERATORS
from unroll.data.prepare import prepare
from unroll.data.prepared import open_split
from unroll.data.seal import check
from unroll.data.sources import Source, fetch
from unroll.errors import BadInput, no_such
from unroll.locks import held
from unroll.outputs import whole
from unroll.terminal import say

CACHE = Path("outputs/cache")


def prepared(data: DataConfig, out: Path | None = None) -> Path:
    """Prepare a corpus in ``out``, or in the cache under a key of settings and files, and return the folder.

    Raises:
        BadInput: a file is missing or invalid.
    """
    if out is not None:
        obtain(data)
        prepare(data.build_corpus(), out)
        return out
    CACHE.mkdir(parents=True, exist_ok=True)
    with held(CACHE / f".{data.name}.lock"):
        # concurrent processes, also on other machines, would overwrite each other's files
        obtain(data)
        target = CACHE / f"{data.name}-{_key(data)[:16]}"
        if not _is_whole(target):
            prepare(data.build_corpus(), target)
    return target


def tokens_of_epoch(run: Config) -> int | None:
    """Number of tokens in the training split, within those at the ends of sequences; None if it is not in the cache."""
    kinds = {name: field.kind for name, field in run.data.build_reader().fields.items()}
    split = CACHE / f"{run.data.name}-{_key(run.data)[:16]}" / "fit" / "train"
    return open_split(split)[run.fill_roles(kinds)[run.task.description.lengths[0]]].steps if split.is_dir() else None


def _is_whole(target: Path) -> bool:
    """Whether a prepared corpus is in the cache and intact; a damaged one is deleted."""
    if not target.exists():
        return False
    try:
        for part in ("fit", "test"):
            check(target / part)
    except BadInput as error:
        say(f"unroll: {str(error).partition(';')[0]}; it is prepared again.")
        shutil.rmtree(target)
        return False
    return True


def _key(data: DataConfig) -> str:
    """Digest of everything that a prepared corpus depends on: settings, files, and the code that reads them."""
    total = hashlib.sha256(json.dumps(data.model_dump(mode="json"), sort_keys=True).encode())
    code = [Path(__file__), *sorted((Path(__file__).parent / "data").rglob("*.py"))]
    for path in [Path(name) for name in (*data.files, data.vectors) if name] + code:
        if path.is_file():
            with path.open("rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def obtain(data: DataConfig) -> None:
    """Generate a synthetic corpus if a file is missing; a public one is downloaded only on request."""
    folder = Path(data.train).parent
    files = [Path(file) for file in data.files]
    lacking = [file for file in files if not file.exists()]
    if data.generator is not None and folder == Path("data") / data.name and lacking:
        if data.generator not in GENERATORS:
            raise no_such("generator", data.generator, GENERATORS)
        with whole(folder, replaces=("*",)) as written:
            written.mkdir()
            GENERATORS[data.generator].write(written)
            _refuse_others(folder, written, data.generator)
    if data.sources and lacking:
        raise BadInput(f"{lacking[0]} does not exist yet; run: unroll data fetch {data.name}")


def _refuse_others(folder: Path, generated: Path, generator: str) -> None:
    """Refuse to replace a folder with files other than those of the generator."""
    for file in folder.iterdir() if folder.exists() else ():
        fresh = generated / file.name
        if not fresh.is_file() or not filecmp.cmp(file, fresh, shallow=False):
            raise BadInput(f"{file} differs from what generator={generator} writes, so {folder} is not replaced; move "
                           "it, or change data.name.")  # fmt: skip


def changed_file(data: DataConfig) -> str:
    """A file of a synthetic corpus that differs from what its generator writes; empty if there is none.

    Raises:
        BadInput: there is no such generator.
    """
    folder = Path("data") / data.name
    if data.generator not in GENERATORS:
        raise no_such("generator", str(data.generator), GENERATORS)
    if not any(folder.iterdir()):
        return ""
    with TemporaryDirectory() as fresh:
        GENERATORS[data.generator].write(Path(fresh))
        pairs = [(folder / path.name, path) for path in sorted(Path(fresh).iterdir())]
        return next((str(old) for old, new in pairs if old.is_file() and not filecmp.cmp(old, new, shallow=False)), "")


def fetch_corpus(data: DataConfig) -> Path:
    """Generate a synthetic corpus, or download and verify all files of a public one.

    Raises:
        BadInput: the corpus is the user's own, or a download failed.
    """
    folder = Path(data.train).parent
    if data.generator is None and not data.sources:
        raise BadInput(f"{data.name} is your own corpus, with nothing to download.")
    if folder not in (Path("data") / data.name, Path("paper/data") / data.name):
        raise BadInput(f"data.train={data.train}: files of {data.name} are downloaded to data/{data.name} or "
                       f"paper/data/{data.name}; choose a file in one of these.")  # fmt: skip
    for source in data.sources:
        fetch(data.name, Source(**source.model_dump()), folder, os.environ.get("UNROLL_MIRROR") or None)
    if data.sources:
        say(f"{data.name}: licence: {data.licence}; cite: {data.citation}")
    obtain(data)
    return folder
