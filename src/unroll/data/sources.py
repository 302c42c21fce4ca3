"""Public corpora: downloaded from a mirror or their origin, verified, and moved into place atomically."""

from __future__ import annotations

import gzip
import lzma
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import urlparse

from unroll.credentials import public, with_secrets, without_secrets
from unroll.errors import BadInput
from unroll.outputs import whole
from unroll.terminal import Progress

MEGABYTE = 1_000_000  # bytes
UNPACK: dict[str, Callable[[Path], IO[bytes]]] = {"": lambda path: path.open("rb"), ".gz": gzip.open, ".xz": lzma.open}  # type: ignore[dict-item]
DAMAGE = (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, zipfile.BadZipFile, KeyError)  # KeyError: no member


@dataclass(frozen=True)
class Source:
    """One file of a public corpus.

    Args:
        file: path relative to the folder of the corpus, locally and on a mirror.
        url: download URL, pinned to a revision; may pack the file as .gz or .xz.
        sha256: digest of the uncompressed file.
        member: name of the file in the zip archive at ``url``; None if ``url`` is the file itself.
    """

    file: str
    url: str
    sha256: str
    member: str | None = None


def fetch(corpus: str, source: Source, folder: Path, mirror: str | None) -> Path:
    """Download one file into ``folder``, unless it exists and is verified.

    The mirror, a folder or a URL, is tried first, for the file and for a .gz or .xz version; then the origin.

    Args:
        corpus: name of the corpus, which is a folder on the mirror.
        source: the file.
        folder: target folder.
        mirror: folder or URL; None to use only the origin.

    Raises:
        BadInput: the mirror does not exist, nothing could be downloaded, or the digest is wrong; no file is kept.
    """
    from pooch.hashes import file_hash

    target = folder / source.file
    if target.exists() and file_hash(str(target)) == source.sha256:
        return target
    with whole(target) as written:
        packed = written.with_name(f"{written.name}.packed")
        origin = ""
        reason = ""
        for origin, suffix, get in _candidates(corpus, source, mirror):
            try:
                get(packed)
                with _unpacked(packed, suffix, source.member) as stream, written.open("wb") as file:
                    shutil.copyfileobj(stream, file, 1 << 20)
                break
            except FileNotFoundError as error:
                reason = without_secrets(str(error))
            except DAMAGE as error:
                raise BadInput(f"{origin} is damaged ({error}); nothing was kept. Fetch it again.") from None
        if not written.exists():
            raise BadInput(
                f"{corpus}/{source.file} could not be downloaded (last error: {reason}); nothing was kept. "
                "Check the connection, or set UNROLL_MIRROR to a folder or URL with the file."
            )
        if (digest := file_hash(str(written))) != source.sha256:
            raise BadInput(
                f"{origin} has SHA-256 {digest[:16]}…, not {source.sha256[:16]}…: it is truncated or another file; "
                "nothing was kept. Fetch it again, or correct the mirror."
            )
    return target


def _candidates(corpus: str, source: Source, mirror: str | None) -> Iterator[tuple[str, str, Callable[[Path], None]]]:
    """Places to try in order, with their names, suffixes of compression, and functions that download them."""
    if mirror:
        is_url = urlparse(mirror).scheme in ("http", "https")
        if not is_url and not Path(mirror).is_dir():
            raise BadInput(f"UNROLL_MIRROR is {public(mirror)}, which is not a folder; correct it or unset it.")
        packed = [(f"{source.file}{suffix}", suffix) for suffix in UNPACK]
        archive = [(PurePosixPath(urlparse(source.url).path).name, ".zip")] if source.member else []
        for name, suffix in (*packed, *archive):
            place = f"{mirror.rstrip('/')}/{corpus}/{name}"
            yield without_secrets(place), suffix, _downloader(place) if is_url else _copier(Path(place))
    yield source.url, ".zip" if source.member else _packing(source), _downloader(with_secrets(source.url))


def _packing(source: Source) -> str:
    """The suffix with which the origin packs a file; empty if it does not."""
    suffix = PurePosixPath(urlparse(source.url).path).suffix
    return suffix if suffix in UNPACK and not source.file.endswith(suffix) else ""


@contextmanager
def _unpacked(packed: Path, suffix: str, member: str | None) -> Iterator[IO[bytes]]:
    """Open a downloaded file, or its member, for reading."""
    if suffix != ".zip":
        with UNPACK[suffix](packed) as stream:
            yield stream
        return
    assert member is not None
    with zipfile.ZipFile(packed) as archive, archive.open(member) as stream:
        yield stream


def _copier(place: Path) -> Callable[[Path], None]:
    def get(target: Path) -> None:
        shutil.copyfile(place, target)

    return get


def _downloader(url: str) -> Callable[[Path], None]:
    def get(target: Path) -> None:
        import requests
        from pooch import HTTPDownloader

        try:
            HTTPDownloader(progressbar=Download(), timeout=30)(url, str(target), None)
        except (requests.RequestException, ValueError) as error:  # pooch: ValueError when bytes are missing
            raise FileNotFoundError(f"{url}: {error}") from error

    return get


class Download:
    """Progress of a download, as pooch reports it."""

    def __init__(self) -> None:
        self.total = 0  # bytes, set by pooch; 0 if the server does not report it
        self.done = 0
        self.progress: Progress | None = None

    def update(self, count: int) -> None:
        """Show that more bytes have arrived."""
        self.done += count
        if self.progress is None:
            self.progress = Progress(self.total / MEGABYTE, "MB")
        self.progress.show(self.done / MEGABYTE)

    def reset(self) -> None:
        """Start again, upon which pooch reports the total."""
        self.done = 0

    def close(self) -> None:
        """Called at the end; the line is replaced by the next one."""
