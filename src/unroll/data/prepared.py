"""Prepared corpora: numbers on disk that are memory-mapped, so that a corpus may be larger than memory.

``fit/`` holds ``vocabulary.json`` and the folders ``train`` and ``validation``; ``test/`` the folder ``test``. A
split is ``tokens.npy`` (or ``vectors.npy``) with the start of each sequence in ``offsets.npy`` and, where the corpus
has them, ``labels.npy``, ``groups.npy``, ``contrasts.npy`` per token or ``targets.npy`` per sequence.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np

from unroll.data.readers.base import Example
from unroll.data.vocabulary import END, Vocabulary
from unroll.errors import BadInput
from unroll.outputs import whole

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Corpus:
    """A corpus as it is read: files, where to cut them, and what becomes of a token.

    Args:
        read: reader of one file.
        files: file of each split; with ``cuts``, the one file of all of them under ``train``.
        cuts: where one file is cut, in file order: train and validation as shares (at most 1) or numbers of
            tokens, or of sequences of real vectors; the rest is test. None if each split has a file.
        unit: ``words``, ``characters`` or ``steps``.
        sentence_end: whether ``<eos>`` follows each sequence.
        lowercase: whether words are folded to lower case.
        min_count: how often the training split must have a token for it to be in the vocabulary.
    """

    read: Callable[[Path], Iterator[Example]]
    files: dict[str, Path]
    cuts: tuple[float, float] | None
    unit: str
    sentence_end: bool
    lowercase: bool
    min_count: int

    def examples(self) -> Iterator[tuple[str, Example]]:
        """Every sequence with its split, in file order; a sequence that spans a cut is cut."""
        if self.cuts is None:
            for split in SPLITS:
                if split in self.files:
                    yield from ((split, self._ended(example)) for example in self.read(self.files[split]))
            return
        borders, position = self._borders(), 0
        for example in map(self._ended, self.read(self.files["train"])):
            start, end = position, position + self._size(example)
            for split, first, last in zip(SPLITS, [0, *borders], [*borders, end], strict=True):
                low, high = max(start, first) - start, min(end, last) - start
                if low < high:
                    yield split, _part(example, low, high)
            position = end

    def _borders(self) -> list[int]:
        assert self.cuts is not None
        first, second = self.cuts
        if first <= 1:
            total = sum(self._size(self._ended(example)) for example in self.read(self.files["train"]))
            # 0.29 · 100 is a little less than 29 in binary fractions, and must not lose one for it
            return [math.floor(round(share * total, 6)) for share in (first, first + second)]
        return [int(first), int(first + second)]

    def _size(self, example: Example) -> int:
        """What cuts count: tokens; whole sequences of real vectors, which cannot be cut."""
        return 1 if self.unit == "steps" else len(example.tokens)

    def _ended(self, example: Example) -> Example:
        ended = self.sentence_end and not example.vectors
        return example._replace(tokens=[*example.tokens, END]) if ended else example


def _part(example: Example, low: int, high: int) -> Example:
    """Tokens ``low`` to ``high`` of a sequence, with what belongs to them; real vectors are one whole."""
    if example.vectors:
        return example
    return example._replace(
        tokens=example.tokens[low:high],
        labels=None if example.labels is None else example.labels[low:high],
        probes=[(at - low, group, contrast) for at, group, contrast in example.probes if low <= at < high],
    )


@dataclass
class _Counts:
    """What the first pass learns of a split."""

    sequences: int = 0
    steps: int = 0
    labelled: bool = False
    probed: bool = False
    width: int = 0


def prepare(corpus: Corpus, out: Path) -> None:
    """Read a corpus twice, once for the vocabulary and once to write it as numbers, in bounded memory.

    Args:
        corpus: what to read.
        out: folder that gets ``fit`` and ``test``.

    Raises:
        BadInput: a file is bad, a split is empty, or the disk is full; nothing is left in ``out`` then.
    """
    vocabulary, counts = _survey(corpus)
    with whole(out, replaces="fit/vocabulary.json") as folder:
        (folder / "fit").mkdir(parents=True)
        (folder / "test").mkdir()
        (folder / "fit" / "vocabulary.json").write_text(vocabulary.dumps(), encoding="utf-8")
        with ExitStack() as stack:
            writers = {
                split: stack.enter_context(
                    _SplitWriter(folder / ("test" if split == "test" else "fit") / split, count, vocabulary)
                )
                for split, count in counts.items()
            }
            for split, example in corpus.examples():
                writers[split].append(example)


def _survey(corpus: Corpus) -> tuple[Vocabulary, dict[str, _Counts]]:
    """First pass: sizes of every split; vocabulary, labels and groups."""
    counts: dict[str, _Counts] = {}
    tokens: Counter[str] = Counter()
    labels: set[str] = set()
    groups: set[str] = set()
    for split, example in corpus.examples():
        count = counts.setdefault(split, _Counts())
        count.sequences += 1
        count.steps += len(example.tokens) or len(example.vectors)
        count.labelled |= example.labels is not None
        count.probed |= bool(example.probes)
        if example.vectors:
            width = count.width or len(example.vectors[0])
            if len(example.vectors[0]) != width:
                raise BadInput(f"{corpus.files.get(split, corpus.files['train'])}, {split} sequence "
                               f"{count.sequences}: steps of {len(example.vectors[0])} numbers, but of {width} before; "
                               "mend the line.")  # fmt: skip
            count.width = width
        if split != "test":  # nothing of the test split may reach the vocabulary
            groups.update(group for _, group, _ in example.probes)
        if split == "train":
            folded = not corpus.lowercase
            tokens.update(example.tokens if folded else [token.lower() for token in example.tokens])
            labels.update(example.labels or ())
    for split in SPLITS:
        named = split in corpus.files or (corpus.cuts is not None and (split != "test" or sum(corpus.cuts) != 1))
        if named and split not in counts:
            path = corpus.files.get(split, corpus.files.get("train"))
            raise BadInput(f"The {split} split is empty: {path} has nothing for it; mend the file or data.split.")
    widths = {count.width for count in counts.values()}
    if len(widths) > 1:
        raise BadInput(f"The splits of {corpus.files['train'].parent} have steps of different widths; mend the files.")
    ordered = sorted(groups, key=lambda group: (int(group) if group.isdigit() else 0, group))
    if corpus.unit == "steps":
        vocabulary = Vocabulary([], [], ordered, "steps", widths.pop(), False)
    else:
        vocabulary = Vocabulary.from_counts(
            tokens, sorted(labels), ordered, corpus.unit, corpus.lowercase, corpus.min_count
        )
    return vocabulary, counts


class _SplitWriter:
    """Second pass: appends sequences to the arrays of one split, whose sizes are known.

    Plain writes, not a memory map: on a full disk they fail with an error, a memory map with a crash.
    """

    def __init__(self, folder: Path, counts: _Counts, vocabulary: Vocabulary) -> None:
        folder.mkdir()
        self.folder, self.vocabulary, self.end = folder, vocabulary, 0
        self.files: dict[str, IO[bytes]] = {}
        self._open("offsets", np.dtype(np.int64), (counts.sequences + 1,))
        if counts.width:
            self._open("vectors", np.dtype(np.float32), (counts.steps, counts.width))
            self._open("targets", np.dtype(np.float32), (counts.sequences,))
        else:
            self._open("tokens", np.dtype(np.int32), (counts.steps,))
        if counts.labelled:
            self._open("labels", np.dtype(np.int32), (counts.steps,))
        if counts.probed:
            self._open("groups", np.dtype(np.int32), (counts.steps,))
            self._open("contrasts", np.dtype(np.int32), (counts.steps,))
        self._write("offsets", [0])

    def _open(self, name: str, dtype: np.dtype, shape: tuple[int, ...]) -> None:
        file = self.files[name] = (self.folder / f"{name}.npy").open("wb")
        header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)

    def _write(self, name: str, values: Sequence[object] | np.ndarray) -> None:
        dtype = {"offsets": np.int64, "vectors": np.float32, "targets": np.float32}.get(name, np.int32)
        self.files[name].write(np.asarray(values, dtype).tobytes())

    def append(self, example: Example) -> None:
        """Write one sequence."""
        length = len(example.tokens) or len(example.vectors)
        self.end += length
        self._write("offsets", [self.end])
        if example.vectors:
            self._write("vectors", example.vectors)
            self._write("targets", [example.target])
        else:
            self._write("tokens", self.vocabulary.encode(example.tokens))
        if "labels" in self.files:
            # A label that train does not have is −1: it counts as an error and is left out of the loss.
            labels = [self.vocabulary.label_index.get(label, -1) for label in example.labels or ()]
            self._write("labels", labels + [-1] * (length - len(labels)))
        if "groups" in self.files:
            groups, contrasts = np.full(length, -1), np.full(length, -1)
            for at, group, contrast in example.probes:
                groups[at] = self.vocabulary.group_index.get(group, -1)
                contrasts[at] = self.vocabulary.encode([contrast])[0] if contrast else -1
            self._write("groups", groups)
            self._write("contrasts", contrasts)

    def __enter__(self) -> _SplitWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self.files.values():
            file.close()


@dataclass(frozen=True)
class Split:
    """One split, memory-mapped.

    Shapes:
        offsets: [S + 1]; tokens: [N] or vectors: [N, I]; labels, groups, contrasts: [N]; targets: [S]
    """

    name: str
    offsets: np.ndarray
    tokens: np.ndarray | None
    vectors: np.ndarray | None
    labels: np.ndarray | None
    targets: np.ndarray | None
    groups: np.ndarray | None
    contrasts: np.ndarray | None

    @property
    def steps(self) -> int:
        """Number of tokens, or of steps of real vectors."""
        return int(self.offsets[-1])

    @property
    def lengths(self) -> np.ndarray:
        """Length of every sequence: [S]."""
        return np.diff(self.offsets)


def open_split(folder: Path) -> Split:
    """Map a split into memory without reading it.

    Raises:
        BadInput: the folder is no prepared split.
    """

    def array(name: str) -> np.ndarray | None:
        path = folder / f"{name}.npy"
        mapped: np.ndarray | None = np.load(path, mmap_mode="r") if path.exists() else None
        return mapped

    offsets = array("offsets")
    if offsets is None:
        raise BadInput(f"{folder} is no prepared split; run: unroll prepare experiment=…")
    return Split(
        folder.name, np.asarray(offsets), array("tokens"), array("vectors"), array("labels"), array("targets"),
        array("groups"), array("contrasts"),
    )  # fmt: skip
