"""From a corpus to numbers on disk: what :mod:`unroll.data.prepared` maps into memory is written here."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from unroll.data.corpus import Corpus
from unroll.data.fields import Field, Labels, Symbols
from unroll.data.seal import seal
from unroll.data.survey import FieldSurvey, SymbolSurvey, survey
from unroll.data.vectors import coverage, write_table
from unroll.data.vocabularies import Vocabularies
from unroll.data.vocabulary import END, SymbolVocabulary, Vocabulary
from unroll.data.writers import SplitWriter, alignment
from unroll.errors import BadInput
from unroll.outputs import to_json, whole


def prepare(corpus: Corpus, out: Path) -> None:
    """Read a corpus twice, once for the vocabularies and once to write it as numbers, in bounded memory.

    Args:
        corpus: what to read.
        out: folder that gets ``fit`` and ``test``.

    Raises:
        BadInput: a file is bad, a split is empty, or the disk is full; nothing is left in ``out`` then.
    """
    surveys = survey(corpus)
    with whole(out, replaces=("fit/*.json",)) as folder:
        (folder / "fit").mkdir(parents=True)
        (folder / "test").mkdir()
        words = spelled(corpus)
        vocabularies = _vocabularies(corpus, surveys, folder / "fit")
        (folder / "fit" / "vocabulary.json").write_text(vocabularies.dumps(), encoding="utf-8")
        with ExitStack() as stack:
            writers: dict[str, SplitWriter] = {}
            for split, record in corpus.records():
                if split not in writers:
                    place = folder / ("test" if split == "test" else "fit") / split
                    writers[split] = stack.enter_context(SplitWriter(place, corpus.fields, vocabularies, words))
                writers[split].append(record)
        aligned = alignment(corpus.fields, words)
        kinds = {name: {"kind": part.kind, "of": aligned[name]} for name, part in vocabularies.items()}
        for part in ("fit", "test"):
            seal(folder / part, kinds, corpus.origin)


def _vocabularies(corpus: Corpus, surveys: dict[str, FieldSurvey], fit: Path) -> Vocabularies:
    """What the first pass learned, field by field; the vectors of the words are written to ``fit``."""
    found: dict[str, Vocabulary] = {}
    for name, part in surveys.items():
        vocabulary = part.vocabulary()
        if corpus.vectors and isinstance(part, SymbolSurvey) and isinstance(vocabulary, SymbolVocabulary):
            vocabulary = _with_vectors(corpus.vectors, vocabulary, part.counts, fit)
        found[name] = vocabulary
    if (words := spelled(corpus)) is not None:
        part = surveys[words]
        assert isinstance(part, SymbolSurvey)
        found["spelling"] = part.spelling()
    return Vocabularies(found)


def spelled(corpus: Corpus) -> str | None:
    """The field of words that are spelled: those that have labels, unless ``[EOS]``, which is not a word, follows."""
    labelled = {field.of for field in corpus.fields.values() if isinstance(field, Labels)}
    words = [name for name in labelled if _is_words(corpus.fields[name])]
    return words[0] if words and not corpus.sentence_end else None


def _is_words(field: Field) -> bool:
    return isinstance(field, Symbols) and field.unit == "words"


def _with_vectors(source: Path, kept: SymbolVocabulary, counts: Counter[str], fit: Path) -> SymbolVocabulary:
    """Write the vectors, and how much of train they cover; the vocabulary with their words, and their width."""
    table = write_table(source, kept.symbols, fit / "vectors.npy")
    figures = coverage(Counter({word: count for word, count in counts.items() if word != END}), kept.symbols, table)
    (fit / "coverage.json").write_text(to_json(figures), encoding="utf-8")
    if not figures["types_with_vector"]:
        raise BadInput(f"{source} has no vector of any word of train; give vectors of this language and this casing.")
    types, running = (figures[f"{kind}_with_vector"] / figures[kind] for kind in ("types", "tokens"))
    print(f"{source}: {types:.1%} of train's distinct words and {running:.1%} of its words have a vector.",
          file=sys.stderr)  # fmt: skip
    return replace(kept, symbols=tuple(table.tokens), vector_size=table.size)
