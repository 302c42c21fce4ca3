"""The file of each split, found by the words of its name."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from unroll.data.corpus import SPLITS
from unroll.data.readers import guess, reader_named, readers
from unroll.errors import BadInput
from unroll.own_corpus.conversion import refuse_commas, refuse_packed

WORDS = {
    "train": {"train", "training", "trn"},
    "validation": {"dev", "devel", "development", "valid", "validate", "validation", "val", "testa"},
    "test": {"test", "testing", "tst", "testb"},  # testa and testb as in the shared task of CoNLL-2003
}
OTHER = {".csv", ".html", ".json", ".log", ".md", ".pdf", ".py", ".sh", ".xml", ".yaml", ".yml"}  # beside corpora
PACKED = {".gz", ".xz", ".bz2", ".zip", ".zst", ".tar", ".tgz", ".lz4", ".lzma", ".Z", ".7z"}
Group = Mapping[str, Sequence[Path]]  # the files for each split


@dataclass(frozen=True)
class Chosen:
    """The files of a corpus.

    Args:
        files: file of each split; a single file, to be divided, under ``train``.
        reader: name of their reader.
        aside: other files of the folder.
    """

    files: dict[str, Path]
    reader: str
    aside: tuple[Path, ...] = ()


def choose(path: Path, reader: str | None, given: Mapping[str, Path], ending: str = "") -> Chosen:
    """Choose the file of each split, and the reader.

    Args:
        path: a file, or a folder.
        reader: name of the reader if the user has given it; None to derive it from the names.
        given: files that the user has given.
        ending: how the names of the files end that are considered, such as .en of sources beside their targets.

    Raises:
        BadInput: a split has no file or several, or the names do not indicate a format.
    """
    if path.is_file():
        return Chosen({"train": path, **given}, reader or _reader_of([path, *given.values()]))
    if {"train", "validation"} <= given.keys():
        return Chosen(dict(given), reader or _reader_of(given.values()), _aside(path, given.values()))
    groups = _groups(path, ending)
    kind = _format(path, groups, reader)
    files: dict[str, Path] = {}
    for split in SPLITS:
        found = [given[split]] if split in given else groups[kind].get(split) or []
        if not found and not _is_plain(reader or kind):  # any file could be read as a text
            found = _unnamed(groups, split)
        if len(found) > 1:
            raise BadInput(f"{path} has {len(found)} files for {split} ({_names(found)}); keep one, or choose it with "
                           f"data.{split}={found[0]}{_if_aligned(found)}")  # fmt: skip
        if found:
            files[split] = found[0]
    if "validation" not in files:
        raise BadInput(f"{path} has no file for validation; name one with the word dev or valid, choose it with "
                       "data.validation=FILE, or add a single file, which is split 80/10/10: unroll data add "
                       f"{files['train']}")  # fmt: skip
    return Chosen(files, reader or kind, _aside(path, files.values()))


def split_of(file: Path) -> str | None:
    """The split that the name of a file says in one of its words; None if it says none or several."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", file.name).lower()
    words = set(re.findall(r"[^\W\d_]+", parted))
    found = [split for split in SPLITS if words & WORDS[split]]
    return found[0] if len(found) == 1 else None


def _groups(folder: Path, ending: str) -> dict[str, dict[str, list[Path]]]:
    """Files by format, or by suffix if that indicates none, and by split."""
    groups: dict[str, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for file, split in _named(folder):
        if file.name.endswith(ending):
            suffix = "" if split_of(Path(file.suffix)) else file.suffix  # as of eng.train
            groups[guess(file) or suffix][split].append(file)
    return groups


def _named(folder: Path) -> list[tuple[Path, str]]:
    """The files whose names say their split, or, if none is for train, those in folders whose names do."""
    files = [(file, split) for file in _visible(folder) if (split := split_of(file)) is not None]
    if any(split == "train" for _, split in files):
        return files
    folders = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    inner = [(file, split) for path in folders if (split := split_of(path)) for file in _visible(path)]
    return files + [(file, split) for file, split in inner if file.suffix not in OTHER - {".csv", ".json"}]


def _format(folder: Path, groups: Mapping[str, Group], reader: str | None) -> str:
    """The format of a folder: the one that has a training file, with labels rather than plain text."""
    if reader is not None and reader in groups and "train" in groups[reader]:
        return reader
    known = [kind for kind, group in groups.items() if "train" in group and (reader or kind in readers())]
    known = [kind for kind in known if kind not in PACKED]
    whole = [kind for kind in known if "validation" in groups[kind]] or known
    labelled = [kind for kind in whole if not _is_plain(kind)] or whole
    if len(labelled) == 1:
        return labelled[0]
    if labelled:
        files = [file for kind in labelled for file in groups[kind]["train"]]
        remedy = f"choose the files with data.train={files[0]} data.validation=FILE"
        if set(labelled) <= set(readers()):
            remedy = f"choose one with {' or '.join(f'data.reader.name={kind}' for kind in labelled)}"
        raise BadInput(f"{folder} has training files of several formats ({_names(files)}); {remedy}")
    if others := [file for group in groups.values() for file in group.get("train", ())]:
        if remedy := _if_aligned(others):
            raise BadInput(f"{folder} has {_names(others)} for train, whose names indicate no format{remedy}")
        _reader_of([file for group in groups.values() if "train" in group for some in group.values() for file in some])
    raise BadInput(f"{folder} has no file for train; name files, or folders with a file each, with the words train, "
                   "dev and, optionally, test, choose them with data.train=FILE data.validation=FILE data.test=FILE, "
                   "or add a single file, which is split 80/10/10.")  # fmt: skip


def _is_plain(kind: str) -> bool:
    """Whether a format, if it is known, is plain text."""
    return kind in readers() and reader_named(kind).is_plain


def _unnamed(groups: Mapping[str, Group], split: str) -> list[Path]:
    """Files for a split whose suffix indicates no format, and that may have any."""
    others = [kind for kind in groups if kind not in readers() and kind not in PACKED | OTHER]
    return [file for kind in others for file in groups[kind].get(split, ())]


def _reader_of(files: Iterable[Path]) -> str:
    """The reader that the suffixes of files indicate."""
    files = list(files)
    found = {guess(file) for file in files}
    (name,) = found if len(found) == 1 else [None]
    if name is not None:
        return name
    refuse_packed([file for file in files if file.suffix in PACKED])
    refuse_commas(files)
    known = ", ".join(suffix for kind in readers().values() for suffix in kind.suffixes)
    raise BadInput(f"The suffixes of {_names(files)} do not indicate a single format; use one of {known}, or name the "
                   f"format with data.reader.name=NAME, one of {', '.join(readers())}.")  # fmt: skip


def _visible(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))


def _aside(folder: Path, taken: Iterable[Path]) -> tuple[Path, ...]:
    return tuple(file for file in _visible(folder) if file not in set(taken))


def endings_in(folder: Path) -> list[str]:
    """How the names of the two files for train end if they may have aligned lines; empty if they may not."""
    return _endings([file for file, split in _named(folder) if split == "train"])


def _endings(files: Sequence[Path]) -> list[str]:
    first, second = (file.name for file in files) if len(files) == 2 else ("", "")
    same = "".join(one for one, _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))
    stem = same[: max(same.rfind(mark) for mark in "._-")] if set(same[1:]) & set("._-") else ""
    return [first.removeprefix(stem), second.removeprefix(stem)] if stem else []


def _if_aligned(files: Sequence[Path]) -> str:
    """The remedy for two files that may have aligned lines, such as train.de and train.en; empty for others."""
    if not (endings := _endings(files)):
        return ""
    source, target = endings
    return ("; if the lines of one translate those of the other, say how the names of sources and targets end: "
            f"data.reader.name=aligned data.reader.source={source} data.reader.target={target}")  # fmt: skip


def _names(files: Iterable[Path]) -> str:
    return ", ".join(file.name for file in files)
