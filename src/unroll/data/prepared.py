"""Prepared corpora: numbers on disk that are memory-mapped, so that a corpus may be larger than memory.

``fit/`` holds ``vocabulary.json`` and the folders ``train`` and ``validation``; ``test/`` the folder ``test``. A
split is ``tokens.npy`` (or ``vectors.npy``) with the start of each sequence in ``offsets.npy`` and, where the corpus
has them, ``labels.npy``, ``groups.npy``, ``contrasts.npy`` per token or ``targets.npy`` per sequence. Words with labels
are spelled: ``forms.npy`` numbers the distinct forms of a split, as they are written, in the order in which they first
come, and ``form_characters.npy`` with ``form_offsets.npy`` spells each of them once. With pretrained vectors, ``fit/``
has ``vectors.npy``, a row per token, and ``coverage.json``.
"""

from __future__ import annotations

import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple

import numpy as np

from unroll.data.readers.base import Example
from unroll.data.vectors import coverage, write_table
from unroll.data.vocabulary import END, PADDING, UNKNOWN, Vocabulary, fold, ranked, shortened
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
        sentence_end: whether ``[EOS]`` follows each sequence.
        lowercase: whether words are folded to lower case.
        normalize: whether numerals become ``[NUM]`` and addresses ``[URL]``.
        min_count: how often the training split must have a token for it to be in the vocabulary.
        vectors: file of pretrained vectors, all of whose words are in the vocabulary too; None for none.
        scheme: ``bio`` if labels tell spans, else None.
    """

    read: Callable[[Path], Iterator[Example]]
    files: dict[str, Path]
    cuts: tuple[float, float] | None
    unit: str
    sentence_end: bool
    lowercase: bool
    normalize: bool
    min_count: int
    vectors: Path | None
    scheme: str | None

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


@dataclass
class _Survey:
    """What the first pass learns of a corpus: sizes of every split; tokens and labels of train; groups of probes."""

    splits: dict[str, _Counts] = field(default_factory=dict)
    tokens: Counter[str] = field(default_factory=Counter)
    labels: set[str] = field(default_factory=set)
    groups: set[str] = field(default_factory=set)

    def add(self, split: str, example: Example) -> None:
        """Count one sequence."""
        count = self.splits.setdefault(split, _Counts())
        count.sequences += 1
        count.steps += len(example.tokens) or len(example.vectors)
        count.labelled |= example.labels is not None
        count.probed |= bool(example.probes)
        count.width = count.width or len(example.vectors[0] if example.vectors else ())
        if split != "test":  # nothing of the test split may reach the vocabulary
            self.groups.update(group for _, group, _ in example.probes)
        if split == "train":
            self.tokens.update(example.tokens)
            self.labels.update(example.labels or ())


def prepare(corpus: Corpus, out: Path) -> None:
    """Read a corpus twice, once for the vocabulary and once to write it as numbers, in bounded memory.

    Args:
        corpus: what to read.
        out: folder that gets ``fit`` and ``test``.

    Raises:
        BadInput: a file is bad, a split is empty, or the disk is full; nothing is left in ``out`` then.
    """
    survey = _survey(corpus)
    with whole(out, replaces="fit/vocabulary.json") as folder:
        (folder / "fit").mkdir(parents=True)
        (folder / "test").mkdir()
        vocabulary = _vocabulary(corpus, survey, folder / "fit")
        (folder / "fit" / "vocabulary.json").write_text(vocabulary.dumps(), encoding="utf-8")
        with ExitStack() as stack:
            writers = {
                split: stack.enter_context(
                    _SplitWriter(folder / ("test" if split == "test" else "fit") / split, count, vocabulary)
                )
                for split, count in survey.splits.items()
            }
            for split, example in corpus.examples():
                writers[split].append(example)


def _survey(corpus: Corpus) -> _Survey:
    """First pass: count everything, and refuse what cannot be prepared."""
    survey = _Survey()
    for split, example in corpus.examples():
        survey.add(split, example)
        if reason := _fault(corpus, survey.splits[split], example):
            path = corpus.files.get(split, corpus.files["train"])
            number = survey.splits[split].sequences
            raise BadInput(f"{path}, {split} sequence {number}: {reason}; mend the line.")
    for split in SPLITS:
        named = split in corpus.files or (corpus.cuts is not None and (split != "test" or sum(corpus.cuts) != 1))
        if named and split not in survey.splits:
            path = corpus.files.get(split, corpus.files["train"])
            raise BadInput(f"The {split} split is empty: {path} has nothing for it; mend the file or data.split.")
    if len({count.width for count in survey.splits.values()}) > 1:
        raise BadInput(f"The splits of {corpus.files['train'].parent} have steps of different widths; mend the files.")
    return survey


def _fault(corpus: Corpus, before: _Counts, example: Example) -> str:
    """What is wrong with one sequence; empty if nothing is."""
    if example.vectors and len(example.vectors[0]) != before.width:
        return f"steps of {len(example.vectors[0])} numbers, but of {before.width} before"
    return "a word without a character" if corpus.unit == "words" and not all(example.tokens) else ""


def _vocabulary(corpus: Corpus, survey: _Survey, fit: Path) -> Vocabulary:
    """What the first pass learnt, as numbers; the vectors of its words are written to ``fit``."""
    groups = sorted(survey.groups, key=lambda group: (int(group) if group.isdigit() else 0, group))
    if corpus.unit == "steps":
        return Vocabulary([], [], groups, "steps", survey.splits["train"].width, False, False, [], None, 0)
    counts: Counter[str] = Counter()
    for token, count in survey.tokens.items():
        counts[fold(token, corpus.lowercase, corpus.normalize)] += count
    tokens, vector_size = ranked(counts, corpus.min_count), 0
    if corpus.vectors:
        tokens, vector_size = _with_vectors(corpus.vectors, tokens, counts, fit)
    characters = []
    # A sentence end, which only language models read, is no word that could be spelled.
    if corpus.unit == "words" and survey.splits["train"].labelled and not corpus.sentence_end:
        characters = [PADDING, UNKNOWN, *sorted({letter for form in survey.tokens for letter in shortened(form)})]
    return Vocabulary(
        tokens, sorted(survey.labels), groups, corpus.unit, 0, corpus.lowercase, corpus.normalize, characters,
        corpus.scheme, vector_size,
    )  # fmt: skip


def _with_vectors(source: Path, tokens: list[str], counts: Counter[str], fit: Path) -> tuple[list[str], int]:
    """Write the vectors, and how much of train they cover; the vocabulary with their words, and their width."""
    table = write_table(source, tokens, fit / "vectors.npy")
    figures = coverage(Counter({word: count for word, count in counts.items() if word != END}), tokens, table)
    (fit / "coverage.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    types, running = (figures[f"{kind}_with_vector"] / figures[kind] for kind in ("types", "tokens"))
    print(f"{source}: {types:.1%} of train's distinct words and {running:.1%} of its words have a vector.",
          file=sys.stderr)  # fmt: skip
    return table.tokens, table.size


class _SplitWriter:
    """Second pass: appends sequences to the arrays of one split, whose sizes are known.

    Plain writes, not a memory map: on a full disk they fail with an error, a memory map with a crash.
    """

    def __init__(self, folder: Path, counts: _Counts, vocabulary: Vocabulary) -> None:
        folder.mkdir()
        self.folder, self.vocabulary, self.end = folder, vocabulary, 0
        self.files: dict[str, IO[bytes]] = {}
        self.forms: dict[str, int] = {}  # number of each distinct form
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
        if vocabulary.characters:
            self._open("forms", np.dtype(np.int32), (counts.steps,))
        self._write("offsets", [0])

    def _open(self, name: str, dtype: np.dtype, shape: tuple[int, ...]) -> None:
        file = self.files[name] = (self.folder / f"{name}.npy").open("wb")
        header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)

    def _write(self, name: str, values: Sequence[object] | np.ndarray) -> None:
        kinds = {"offsets": np.int64, "form_offsets": np.int64, "vectors": np.float32, "targets": np.float32}
        dtype = kinds.get(name, np.int32)
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
        if "forms" in self.files:
            self._write("forms", [self.forms.setdefault(form, len(self.forms)) for form in example.tokens])

    def _write_forms(self) -> None:
        """Spell every distinct form, once all of them are known."""
        ends = np.cumsum([0, *(len(shortened(form)) for form in self.forms)])
        self._open("form_offsets", np.dtype(np.int64), ends.shape)
        self._write("form_offsets", ends)
        self._open("form_characters", np.dtype(np.int32), (int(ends[-1]),))
        for form in self.forms:
            self._write("form_characters", self.vocabulary.encode_characters(form))

    def __enter__(self) -> _SplitWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if "forms" in self.files and error is None:
                self._write_forms()
        finally:
            for file in self.files.values():
                file.close()


class Spelling(NamedTuple):
    """Words as characters, each distinct form spelled once.

    Shapes:
        forms: [N] number of the form of each token, offsets: [F + 1], characters: all forms one after the other
    """

    forms: np.ndarray
    offsets: np.ndarray
    characters: np.ndarray

    @classmethod
    def of(cls, tokens: Sequence[str], vocabulary: Vocabulary) -> Spelling:
        """Words of raw text, at least one, spelled as those of a prepared corpus are."""
        numbers: dict[str, int] = {}
        forms = [numbers.setdefault(token, len(numbers)) for token in tokens]
        spelled = [vocabulary.encode_characters(form) for form in numbers]
        return cls(np.array(forms), np.cumsum([0, *map(len, spelled)]), np.concatenate(spelled))

    def rows(self, numbers: np.ndarray, padding_index: int) -> tuple[np.ndarray, np.ndarray]:
        """Characters of some forms side by side, padded at their ends, with their lengths: [U] → [U, C], [U]."""
        starts = self.offsets[numbers]
        lengths = self.offsets[numbers + 1] - starts
        place = np.arange(lengths.max())[None]  # [1, C]
        real = place < lengths[:, None]  # [U, C]
        characters = np.where(real, self.characters[np.where(real, starts[:, None] + place, 0)], padding_index)
        return characters.astype(np.int64), lengths


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
    spelling: Spelling | None

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
    forms, form_offsets, characters = (array(name) for name in ("forms", "form_offsets", "form_characters"))
    spelling = None
    if forms is not None and form_offsets is not None and characters is not None:
        spelling = Spelling(forms, form_offsets, characters)
    return Split(
        folder.name, np.asarray(offsets), array("tokens"), array("vectors"), array("labels"), array("targets"),
        array("groups"), array("contrasts"), spelling,
    )  # fmt: skip
