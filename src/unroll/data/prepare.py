"""Preparation: converts a corpus to the arrays that :mod:`unroll.data.prepared` maps into memory."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from unroll.data.corpus import Corpus
from unroll.data.field_surveys import FieldSurvey, SymbolSurvey
from unroll.data.fields import Field, Labels, Symbols
from unroll.data.seal import JUDGED, seal
from unroll.data.survey import survey, unknown_symbols
from unroll.data.vectors import coverage, write_table
from unroll.data.vocabularies import Vocabularies
from unroll.data.vocabulary import END, SymbolVocabulary, Vocabulary
from unroll.data.writers import SplitWriter, alignment
from unroll.errors import BadInput
from unroll.outputs import to_json, whole
from unroll.terminal import Line, say


def prepare(corpus: Corpus, out: Path) -> None:
    """Prepare a corpus in two passes, one for the vocabularies and one for the arrays, in bounded memory.

    Args:
        corpus: the corpus.
        out: output folder of ``fit`` and ``test``.

    Raises:
        BadInput: a file is invalid, a split is empty, or the disk is full; then ``out`` is not changed.
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
            line = Line()
            for number, (split, record) in enumerate(corpus.records(), start=1):
                line.draw(f"{number:,} records written")
                if split not in writers:
                    place = folder / ("test" if split == "test" else "fit") / split
                    writers[split] = stack.enter_context(SplitWriter(place, corpus.fields, vocabularies, words))
                writers[split].append(record)
        aligned = alignment(corpus.fields, words)
        kinds = {name: {"kind": part.kind, "of": aligned[name]} for name, part in vocabularies.items()}
        unknown = unknown_symbols(surveys, vocabularies)
        for part, split in JUDGED.items():
            counts = {name: by_split[split] for name, by_split in unknown.items() if split in by_split}
            seal(folder / part, kinds, corpus.origin, counts)


def _vocabularies(corpus: Corpus, surveys: dict[str, FieldSurvey], fit: Path) -> Vocabularies:
    """The vocabulary of each field after the first pass; word vectors are written to ``fit``."""
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
    """The field of words to spell: words with labels, unless ``[EOS]``, which is not a word, is appended."""
    labelled = {field.of for field in corpus.fields.values() if isinstance(field, Labels)}
    words = [name for name in labelled if _is_words(corpus.fields[name])]
    return words[0] if words and not corpus.sentence_end else None


def _is_words(field: Field) -> bool:
    return isinstance(field, Symbols) and field.unit == "words"


def _with_vectors(source: Path, kept: SymbolVocabulary, counts: Counter[str], fit: Path) -> SymbolVocabulary:
    """Write the vectors and their coverage of train, and return the vocabulary extended with their words."""
    table = write_table(source, kept.symbols, fit / "vectors.npy")
    figures = coverage(Counter({word: count for word, count in counts.items() if word != END}), kept.symbols, table)
    (fit / "coverage.json").write_text(to_json(figures), encoding="utf-8")
    if not figures["types_with_vector"]:
        raise BadInput(f"{source} has no vector for any word of train; use vectors for this language and casing.")
    types, running = (figures[f"{kind}_with_vector"] / figures[kind] for kind in ("types", "tokens"))
    say(f"{source}: {types:.1%} of train's distinct words and {running:.1%} of its words have a vector.")
    return replace(kept, symbols=tuple(table.tokens), vector_size=table.size)
