"""Outputs are whole or absent."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from unroll.errors import BadInput
from unroll.outputs import whole, write_text


def make(path: Path, kind: str, text: str) -> None:
    """A file, or a folder with one, that holds ``text``."""
    if kind == "folder":
        path.mkdir()
        path = path / "file"
    path.write_text(text)


def content(folder: Path) -> dict[str, str]:
    """Every file below a folder; a folder stands with its name alone."""
    return {
        str(path.relative_to(folder)): path.read_text() if path.is_file() else "" for path in sorted(folder.rglob("*"))
    }


PATTERN = {"file": None, "folder": ("file",)}  # what the old output must have to be replaced

each_kind = pytest.mark.parametrize("kind", ["file", "folder"])


@each_kind
@pytest.mark.parametrize("there", [None, "same kind"], ids=["nothing there", "an older one there"])
def test_what_is_written_takes_its_place(kind: str, there: str | None, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    if there:
        out.parent.mkdir()
        make(out, kind, "old")
    with whole(out, PATTERN[kind]) as written:
        make(written, kind, "new")
        assert not there or content(out.parent)["out" if kind == "file" else "out/file"] == "old"  # not before the end
    assert content(out.parent) == ({"out": "new"} if kind == "file" else {"out": "", "out/file": "new"})


def test_what_a_killed_process_has_left_goes_when_the_output_is_written_next(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from unroll.outputs import whole
with whole(Path(sys.argv[1])) as written:
    written.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "out")], check=False)
    assert any(path.name.startswith(".out.") for path in tmp_path.iterdir())
    (tmp_path / ".out.mine").mkdir()
    write_text(tmp_path / "outer", "another output")
    assert any(path.name.startswith(".out.unroll") for path in tmp_path.iterdir())
    write_text(tmp_path / "out", "whole")
    assert content(tmp_path) == {".out.mine": "", "out": "whole", "outer": "another output"}


def test_who_writes_at_once_leaves_the_other_alone(tmp_path: Path) -> None:
    with whole(tmp_path / "out") as first:
        first.write_text("first")
        with whole(tmp_path / "out") as second:
            second.write_text("second")
        assert (tmp_path / "out").read_text() == "second"
    assert content(tmp_path) == {"out": "first"}


@pytest.mark.parametrize("replaces", [None, ("run.json", "history.csv")], ids=["a file", "a folder of ours"])
def test_a_folder_of_other_files_is_never_replaced(replaces: tuple[str, ...] | None, tmp_path: Path) -> None:
    make(tmp_path / "out", "folder", "thesis")
    with pytest.raises(BadInput, match="is a folder"), whole(tmp_path / "out", replaces) as written:
        make(written, "file", "new")
    assert content(tmp_path) == {"out": "", "out/file": "thesis"}


RUN = ("run.json", "weights", "config.yaml")


@pytest.mark.parametrize("names", [["run.json"], ["run.json", "mine"], ["weights"], ["weights", "config.yaml"], []])
def test_a_folder_that_has_lost_a_file_is_still_ours(names: list[str], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    for name in names:
        (tmp_path / "out" / name).write_text("old")
    with whole(tmp_path / "out", RUN) as written:
        make(written, "folder", "new")
    assert content(tmp_path) == {"out": "", "out/file": "new"}


def test_a_folder_whose_first_file_is_a_broken_link_is_still_ours(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "weights").write_text("old")
    (tmp_path / "out" / "run.json").symlink_to("nowhere")
    with whole(tmp_path / "out", RUN) as written:
        make(written, "folder", "new")
    assert content(tmp_path) == {"out": "", "out/file": "new"}


@pytest.mark.parametrize("names", [["config.yaml"], ["mine"], ["weights", "mine"], ["config.yaml", "mine"]])
def test_a_folder_that_may_be_somebody_elses_is_kept(names: list[str], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    for name in names:
        (tmp_path / "out" / name).write_text("old")
    with pytest.raises(BadInput, match="other files"), whole(tmp_path / "out", RUN):
        pass
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(names)


@each_kind
@pytest.mark.parametrize("there", [None, "same kind"], ids=["nothing there", "an older one there"])
@pytest.mark.parametrize(
    "error",
    [RuntimeError(), KeyboardInterrupt(), BadInput(), FileNotFoundError()],
    ids=lambda error: type(error).__name__,
)
def test_an_exception_leaves_the_old_content_and_no_scratch(
    error: BaseException, there: str | None, kind: str, tmp_path: Path
) -> None:
    if there:
        make(tmp_path / "out", kind, "old")
    before = content(tmp_path)

    def fail() -> None:
        with whole(tmp_path / "out", PATTERN[kind]) as written:
            make(written, kind, "half")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert content(tmp_path) == before


@each_kind
def test_a_block_that_writes_nothing_leaves_the_old_content(kind: str, tmp_path: Path) -> None:
    make(tmp_path / "out", kind, "old")
    before = content(tmp_path)
    with pytest.raises(OSError, match="out"), whole(tmp_path / "out", PATTERN[kind]):
        pass
    assert content(tmp_path) == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("there", [None, "file"])
def test_a_full_disk_is_one_sentence_and_leaves_the_old_content(there: str | None, tmp_path: Path) -> None:
    if there:
        make(tmp_path / "out", there, "old")
    before = content(tmp_path)

    def fill() -> None:
        with whole(tmp_path / "out") as written:
            written.write_text("half")
            Path("/dev/full").write_text("half")  # a device that is always full

    with pytest.raises(BadInput, match="No space left on device") as caught:
        fill()
    assert str(tmp_path / "out") in str(caught.value)
    assert "free space" in str(caught.value)
    assert content(tmp_path) == before


def test_a_parent_that_is_a_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "parent").write_text("a file")
    with pytest.raises(OSError, match="parent"):  # which the command line tells in one sentence
        write_text(tmp_path / "parent" / "out", "new")
    assert content(tmp_path) == {"parent": "a file"}


def test_a_file_where_a_folder_is_due_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with (
        pytest.raises(BadInput, match="is a file; choose an output folder"),
        whole(tmp_path / "out", replaces=("run.json",)),
    ):
        pytest.fail("the block must not run")
    assert content(tmp_path) == {"out": "a file"}


def test_text_is_utf_8_whatever_the_locale(tmp_path: Path) -> None:
    command = (
        "import sys; from pathlib import Path; from unroll.outputs import write_text; "
        "write_text(Path(sys.argv[1]), '\\u00e9 \\u2218')"
    )
    subprocess.run(
        [sys.executable, "-X", "utf8=0", "-c", command, str(tmp_path / "out")],
        check=True,
        env={"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"},
        timeout=60,
    )
    assert (tmp_path / "out").read_bytes() == "é ∘".encode()


class Disk:
    """Says in which order files and folders were synced and moved, by their names."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[tuple[str, str]] = []
        flush, replace = os.fsync, Path.replace

        def flushed(descriptor: int) -> None:
            self.done.append(("sync", Path(f"/proc/self/fd/{descriptor}").readlink().name))
            flush(descriptor)

        def moved(path: Path, target: Path) -> Path:
            self.done.append(("move", Path(target).name))
            return replace(path, target)

        monkeypatch.setattr(os, "fsync", flushed)
        monkeypatch.setattr(Path, "replace", moved)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="names of open files are read from /proc")
def test_a_file_is_on_the_disk_before_it_takes_its_place_and_its_name_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    write_text(tmp_path / "out", "text")
    assert disk.done == [("sync", "out"), ("move", "out"), ("sync", tmp_path.name)]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="names of open files are read from /proc")
def test_all_files_of_a_folder_are_on_the_disk_before_it_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "out", "folder", "old")
    disk = Disk(monkeypatch)
    with whole(tmp_path / "out", ("file",)) as written:
        (written / "deep").mkdir(parents=True)
        (written / "deep" / "inner").write_text("new")
        (written / "file").write_text("new")
    place = disk.done.index(("move", "out"))
    assert {("sync", name) for name in ("inner", "deep", "file", "out")} <= set(disk.done[:place])
    assert disk.done[place + 1] == ("sync", tmp_path.name)
