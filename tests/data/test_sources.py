"""Fetching: from a mirror or an origin, whole and verified, or not at all."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from unroll.data.sources import UNPACK, Source, fetch
from unroll.errors import BadInput

CONTENT = "".join(f"line {n} of the corpus\n" for n in range(5_000)).encode()
PACK: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}

each_packing = pytest.mark.parametrize("suffix", PACK, ids=lambda suffix: suffix or "plain")
each_compression = pytest.mark.parametrize("suffix", [".gz", ".xz"])


class Server(ThreadingHTTPServer):
    """Serves ``files`` by path; a path in ``cut`` gets a header for all of its bytes and half of them."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.cut: set[str] = set()
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if self.path in self.server.cut else content)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def source(server: Server) -> Source:
    """A file whose origin is the server's /origin/file.txt, which is not there unless a test puts it there."""
    return Source("file.txt", f"{server.url}/origin/file.txt", hashlib.sha256(CONTENT).hexdigest())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "corpus").mkdir()
    return tmp_path / "corpus"


def mirror_folder(tmp_path: Path, suffix: str, content: bytes) -> str:
    (tmp_path / "mirror" / "corpus").mkdir(parents=True)
    (tmp_path / "mirror" / "corpus" / f"file.txt{suffix}").write_bytes(content)
    return str(tmp_path / "mirror")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_every_packing_that_is_understood_is_covered_here() -> None:
    assert set(PACK) == set(UNPACK)


@each_packing
def test_a_file_is_fetched_from_a_folder_mirror(
    suffix: str, tmp_path: Path, folder: Path, source: Source, server: Server
) -> None:
    mirror = mirror_folder(tmp_path, suffix, PACK[suffix](CONTENT))
    assert fetch("corpus", source, folder, mirror) == folder / "file.txt"
    assert (folder / "file.txt").read_bytes() == CONTENT
    assert names(folder) == ["file.txt"]
    assert not server.asked  # who has a mirror does not go out


@each_packing
def test_a_file_is_fetched_from_a_url_mirror(suffix: str, folder: Path, source: Source, server: Server) -> None:
    server.files[f"/mirror/corpus/file.txt{suffix}"] = PACK[suffix](CONTENT)
    fetch("corpus", source, folder, f"{server.url}/mirror/")
    assert (folder / "file.txt").read_bytes() == CONTENT
    assert names(folder) == ["file.txt"]
    assert "/origin/file.txt" not in server.asked


@pytest.mark.parametrize("mirrored", ["nowhere", "folder", "url"])
def test_what_no_mirror_has_comes_from_the_origin(
    mirrored: str, tmp_path: Path, folder: Path, source: Source, server: Server
) -> None:
    server.files["/origin/file.txt"] = CONTENT
    fetch("corpus", source, folder, {"nowhere": None, "folder": str(tmp_path), "url": f"{server.url}/m"}[mirrored])
    assert (folder / "file.txt").read_bytes() == CONTENT


def test_a_file_that_is_there_and_verified_is_not_fetched_again(folder: Path, source: Source, server: Server) -> None:
    (folder / "file.txt").write_bytes(CONTENT)
    before = (folder / "file.txt").stat()
    fetch("corpus", source, folder, f"{server.url}/mirror")
    after = (folder / "file.txt").stat()
    assert (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino)
    assert not server.asked


def test_a_file_that_is_there_but_is_another_is_fetched_anew(tmp_path: Path, folder: Path, source: Source) -> None:
    (folder / "file.txt").write_bytes(CONTENT[:100])
    fetch("corpus", source, folder, mirror_folder(tmp_path, "", CONTENT))
    assert (folder / "file.txt").read_bytes() == CONTENT


def refused(source: Source, folder: Path, mirror: str | None) -> str:
    """The one sentence with which nothing is fetched and nothing kept."""
    with pytest.raises(BadInput) as caught:
        fetch("corpus", source, folder, mirror)
    assert names(folder) == []
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_mirror_that_does_not_exist_is_named(tmp_path: Path, folder: Path, source: Source, server: Server) -> None:
    sentence = refused(source, folder, str(tmp_path / "absent"))
    assert "UNROLL_MIRROR" in sentence
    assert str(tmp_path / "absent") in sentence
    assert not server.asked  # a misspelt mirror is mended, not passed over


@each_packing
def test_a_wrong_digest_keeps_nothing(suffix: str, tmp_path: Path, folder: Path, source: Source) -> None:
    wrong = PACK[suffix](CONTENT.replace(b"line 7 ", b"line 8 "))
    sentence = refused(source, folder, mirror_folder(tmp_path, suffix, wrong))
    assert f"corpus/file.txt{suffix}" in sentence
    assert "SHA-256" in sentence
    assert source.sha256[:16] in sentence


@each_packing
def test_a_truncated_file_of_a_folder_mirror_keeps_nothing(
    suffix: str, tmp_path: Path, folder: Path, source: Source
) -> None:
    packed = PACK[suffix](CONTENT)
    assert f"corpus/file.txt{suffix}" in refused(
        source, folder, mirror_folder(tmp_path, suffix, packed[: len(packed) // 2])
    )


@each_compression
@pytest.mark.parametrize("place", [0, 1, 2, 3], ids=["head", "first block", "middle", "tail"])
def test_a_damaged_packed_file_keeps_nothing(
    place: int, suffix: str, tmp_path: Path, folder: Path, source: Source
) -> None:
    packed = bytearray(PACK[suffix](CONTENT))
    at = (0, 10, len(packed) // 2, len(packed) - 12)[place]
    packed[at : at + 8] = b"\xff" * 8  # zlib, gzip and lzma each have their own error for what they find there
    assert f"corpus/file.txt{suffix}" in refused(source, folder, mirror_folder(tmp_path, suffix, bytes(packed)))


def test_a_truncated_download_keeps_nothing(folder: Path, source: Source, server: Server) -> None:
    server.files["/origin/file.txt"] = CONTENT
    server.cut.add("/origin/file.txt")
    assert source.url in refused(source, folder, None)
    assert server.asked == ["/origin/file.txt"]


@each_packing
def test_a_truncated_download_from_a_mirror_keeps_nothing(
    suffix: str, folder: Path, source: Source, server: Server
) -> None:
    path = f"/mirror/corpus/file.txt{suffix}"
    server.files[path] = PACK[suffix](CONTENT)
    server.cut.add(path)
    refused(source, folder, f"{server.url}/mirror")


def test_a_file_that_is_nowhere_is_one_sentence_with_a_remedy(folder: Path, source: Source, server: Server) -> None:
    sentence = refused(source, folder, f"{server.url}/mirror")
    assert "corpus/file.txt could not be downloaded" in sentence
    assert source.url in sentence
    assert "UNROLL_MIRROR" in sentence
    assert server.asked == [f"/mirror/corpus/file.txt{suffix}" for suffix in PACK] + ["/origin/file.txt"]


def test_an_origin_that_does_not_answer_is_one_sentence(folder: Path, source: Source) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as gone:
        url = f"http://127.0.0.1:{gone.server_port}/file.txt"  # nobody listens once the block ends
    assert url in refused(Source(source.file, url, source.sha256), folder, None)


@each_compression
def test_an_origin_may_pack_a_file(suffix: str, server: Server, tmp_path: Path) -> None:
    server.files[f"/text.txt{suffix}"] = PACK[suffix](CONTENT)
    source = Source("text.txt", f"{server.url}/text.txt{suffix}", hashlib.sha256(CONTENT).hexdigest())
    assert fetch("corpus", source, tmp_path / "data", None).read_bytes() == CONTENT
    packed = Source(f"all{suffix}", source.url, hashlib.sha256(PACK[suffix](CONTENT)).hexdigest())
    assert fetch("corpus", packed, tmp_path / "data", None).read_bytes() == PACK[suffix](CONTENT)


def archive(path: Path, member: str, content: bytes = CONTENT) -> bytes:
    """A zip archive with a file and another one."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("about.txt", "about")
        file.writestr(member, content)
    return path.read_bytes()


@pytest.mark.parametrize("place", ["mirror", "unpacked on a mirror", "origin"])
def test_a_member_of_an_archive_is_taken_out(place: str, server: Server, tmp_path: Path) -> None:
    source = Source("text.txt", f"{server.url}/all.zip", hashlib.sha256(CONTENT).hexdigest(), "some/text.txt")
    packed = archive(tmp_path / "packed", "some/text.txt")
    mirror = tmp_path / "mirror" / "corpus"
    mirror.mkdir(parents=True)
    if place == "mirror":
        (mirror / "all.zip").write_bytes(packed)
    elif place == "origin":
        server.files["/all.zip"] = packed
    else:
        (mirror / "text.txt").write_bytes(CONTENT)
    assert fetch("corpus", source, tmp_path / "data", str(tmp_path / "mirror")).read_bytes() == CONTENT
    assert [file.name for file in (tmp_path / "data").iterdir()] == ["text.txt"]


@pytest.mark.parametrize("member", ["some/text.txt", "other.txt"], ids=["damaged", "absent"])
def test_an_archive_without_a_whole_member_is_refused(member: str, server: Server, tmp_path: Path) -> None:
    packed = archive(tmp_path / "packed", "some/text.txt")
    server.files["/all.zip"] = packed[:200] + b"\xff" * 40 + packed[240:] if member == "some/text.txt" else packed
    source = Source("text.txt", f"{server.url}/all.zip", hashlib.sha256(CONTENT).hexdigest(), member)
    with pytest.raises(BadInput, match="is damaged"):
        fetch("corpus", source, tmp_path / "data", None)
    assert not (tmp_path / "data" / "text.txt").exists()
