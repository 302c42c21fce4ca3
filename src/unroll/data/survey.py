"""The first pass over a corpus: collects vocabularies and checks the data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import compress

from unroll.data.corpus import SPLITS, Corpus, place
from unroll.data.field_surveys import (
    CategorySurvey,
    FieldSurvey,
    FrameSurvey,
    LabelSurvey,
    NumberSurvey,
    PictureSurvey,
    PlainSurvey,
    SymbolSurvey,
)
from unroll.data.fields import (
    Category,
    DocumentStart,
    Field,
    Frames,
    Groups,
    Labels,
    Number,
    Picture,
    Probe,
    References,
    Symbols,
)
from unroll.data.scoring_surveys import GroupSurvey, ProbeSurvey, ReferenceSurvey
from unroll.data.unknown import Unknown, UnknownByField
from unroll.data.vocabulary import (
    END,
    DocumentVocabulary,
    SymbolVocabulary,
    Vocabulary,
)
from unroll.errors import BadInput
from unroll.terminal import Line


def survey_of(corpus: Corpus, name: str, field: Field) -> FieldSurvey:
    """Create the survey of a field."""
    match field:
        case Symbols():
            return SymbolSurvey(corpus, name, field)
        case Labels():
            return LabelSurvey(field)
        case Category():
            return CategorySurvey()
        case References():
            return ReferenceSurvey(field)
        case Groups():
            return GroupSurvey()
        case Probe():
            return ProbeSurvey()
        case Frames():
            return FrameSurvey()
        case Picture():
            return PictureSurvey()
        case Number():
            return NumberSurvey()
        case DocumentStart():
            return PlainSurvey(DocumentVocabulary())


def survey(corpus: Corpus) -> dict[str, FieldSurvey]:
    """Read a corpus once and check that it can be prepared.

    Raises:
        BadInput: a value is invalid, a split is empty, or no step is marked for a probe.
    """
    corpus.reader.check(list(corpus.files.values()))
    found = {name: survey_of(corpus, name, field) for name, field in corpus.fields.items()}
    if corpus.shares:
        symbols = [part for part in found.values() if isinstance(part, SymbolSurvey)]
        for each in symbols:
            each.sharing = symbols
    records = dict.fromkeys(SPLITS, 0)
    line = Line()
    for split, record in corpus.records():
        records[split] += 1
        line.draw(f"{records[split]:,} records of {split} read")
        for name, part in found.items():
            if reason := part.fault(record[name]):
                where = place(corpus.file(split), record, f"{split} record {records[split]}")
                raise BadInput(f"{where}: {reason}; correct the file.")
            if split == "train":
                part.learn(record[name])
            part.note(split, record[name])
    for split in SPLITS:
        named = split in corpus.files or (corpus.cuts is not None and (split != "test" or corpus.has_rest))
        if named and not records[split]:
            raise BadInput(f"The {split} split is empty: {corpus.file(split)} has no records for it; correct the file "
                           "or data.split.")  # fmt: skip
    for part in found.values():
        part.conclude(corpus, [split for split in SPLITS if records[split]])
    return found


def unknown_symbols(surveys: Mapping[str, FieldSurvey], vocabularies: Mapping[str, Vocabulary]) -> UnknownByField:
    """Unknown symbols of validation and test, for each field of symbols.

    Args:
        surveys: the surveys of a corpus that was read.
        vocabularies: the vocabulary of each field, with the words of pretrained vectors if there are any.
    """
    found = {}
    for name, part in surveys.items():
        vocabulary = vocabularies[name]
        if isinstance(part, SymbolSurvey) and isinstance(vocabulary, SymbolVocabulary):
            found[name] = {split: _unknown(counts, vocabulary) for split, counts in part.judged.items()}
    return found


def _unknown(counts: Counter[str], vocabulary: SymbolVocabulary) -> Unknown:
    forms = [form for form in counts if form != END]
    if vocabulary.model:
        return Unknown(vocabulary.unit, sum(len(vocabulary.encode([form])) * counts[form] for form in forms), 0)
    missing = vocabulary.encode(forms) == vocabulary.spec.unknown_index  # [F]
    total, lost = (sum(counts[form] for form in part) for part in (forms, compress(forms, missing)))
    return Unknown(vocabulary.unit, total, lost)
