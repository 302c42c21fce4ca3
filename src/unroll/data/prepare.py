"""From a corpus to numbers on disk: what :mod:`unroll.data.prepared` maps into memory is written here."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np

from unroll.data.corpus import SPLITS, Corpus
from unroll.data.readers.base import Example
from unroll.data.seal import seal
from unroll.data.vectors import coverage, write_table
from unroll.data.vocabulary import END, PADDING, UNKNOWN, Vocabulary, fold, ranked, shortened
from unroll.errors import BadInput
from unroll.outputs import to_json, whole

PLACES = ("offsets", "form_offsets", "documents")  # arrays of places in the others


@dataclass
class _Counts:
    """What the first pass learns of a split."""

    sequences: int = 0
    steps: int = 0
    labelled: bool = False
    probed: bool = False
    documents: int = 0
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
        count.documents += example.opens
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
    with whole(out, replaces=("fit/*.json",)) as folder:
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
        for part in ("fit", "test"):
            seal(folder / part)


def _survey(corpus: Corpus) -> _Survey:
    """First pass: count everything, and refuse what cannot be prepared."""
    survey = _Survey()
    for split, example in corpus.examples():
        survey.add(split, example)
        if reason := _fault(corpus, survey.splits[split], example):
            path = corpus.files.get(split, corpus.files["train"])
            number = survey.splits[split].sequences
            raise BadInput(f"{path}, {split} sequence {number}: {reason}; correct the line.")
    for split in SPLITS:
        named = split in corpus.files or (corpus.cuts is not None and (split != "test" or sum(corpus.cuts) != 1))
        if named and split not in survey.splits:
            path = corpus.files.get(split, corpus.files["train"])
            raise BadInput(f"The {split} split is empty: {path} has nothing for it; correct the file or data.split.")
    if len({count.width for count in survey.splits.values()}) > 1:
        folder = corpus.files["train"].parent
        raise BadInput(f"The splits of {folder} have steps of different widths; correct the files.")
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
    (fit / "coverage.json").write_text(to_json(figures), encoding="utf-8")
    if not figures["types_with_vector"]:
        raise BadInput(f"{source} has no vector of any word of train; give vectors of this language and this casing.")
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
        if counts.documents:
            self._open("documents", np.dtype(np.int64), (counts.documents,))
        if vocabulary.characters:
            self._open("forms", np.dtype(np.int32), (counts.steps,))
        self._write("offsets", [0])

    def _open(self, name: str, dtype: np.dtype, shape: tuple[int, ...]) -> None:
        file = self.files[name] = (self.folder / f"{name}.npy").open("wb")
        header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)

    def _write(self, name: str, values: Sequence[object] | np.ndarray) -> None:
        kinds = {"vectors": np.float32, "targets": np.float32, **dict.fromkeys(PLACES, np.int64)}
        dtype = kinds.get(name, np.int32)
        self.files[name].write(np.asarray(values, dtype).tobytes())

    def append(self, example: Example) -> None:
        """Write one sequence."""
        length = len(example.tokens) or len(example.vectors)
        if example.opens:
            self._write("documents", [self.end])
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
