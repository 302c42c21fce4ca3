"""What the records of a corpus look like, before anything is written."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from unroll.data.corpus import Corpus, place
from unroll.data.field_surveys import FieldSurvey, SymbolSurvey
from unroll.data.fields import GAPS, Category, DocumentStart, Field, Frames, Labels, Record, Symbols
from unroll.data.readers.columns import Columns
from unroll.data.survey import unknown_symbols
from unroll.data.units import joined
from unroll.data.vocabulary import END, LabelVocabulary
from unroll.own_corpus.columns import rewritten

SHOWN = 20  # labels
EXAMPLES = 2  # records
LONGEST, LONGEST_NAME = 100, 30  # characters of a value, and of a label
MANY_STEPS = 8  # records this long are hardly ever equal by chance
COUNTED = re.compile(r"([\W\d_]*?)(\d+)([\W_]*)")
NUMBER = re.compile(r"[+-]?(\d+([.,]\d+)*|[.,]\d+)(e[+-]?\d+)?%?", re.IGNORECASE)


@dataclass
class SplitFacts:
    """Counts of one split.

    Args:
        records: number of records.
        steps: of their longest field.
        longest: steps of the longest record.
        labels: labels or categories, as they are written, with their counts.
        symbols: words with their counts.
        counted: records whose words are 1, 2, 3, and so on.
        numbered: records whose labels are.
        long: records of at least ``MANY_STEPS`` steps.
        shared: of these, those that stand in train, too.
        strange: labels that are given and not in train.
        unknown: share of words that are unknown; None if the corpus has none.
        unlabelled: share of labels that are not in train; None if the corpus has none.
    """

    records: int = 0
    steps: int = 0
    longest: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    symbols: Counter[str] = field(default_factory=Counter)
    counted: int = 0
    numbered: int = 0
    long: int = 0
    shared: int = 0
    strange: int = 0
    unknown: float | None = None
    unlabelled: float | None = None


class Understanding:
    """What was understood of a corpus.

    Args:
        corpus: the corpus.
        surveys: its fields after the first pass.
    """

    def __init__(self, corpus: Corpus, surveys: dict[str, FieldSurvey]) -> None:
        self.corpus = corpus
        self.splits: dict[str, SplitFacts] = {}
        self.examples: list[tuple[str, Record]] = []
        self.gaps: dict[str, str] = {}  # first place of a label that is not given, by split
        self.words = _only(corpus, lambda kind: isinstance(kind, Symbols) and kind.unit == "words")
        self.labels = _only(corpus, lambda kind: isinstance(kind, Labels | Category))
        known = surveys[self.labels].vocabulary() if self.labels else None
        self.known = known.names if isinstance(known, LabelVocabulary) else ()  # labels
        self.withheld = {label for label in GAPS if label not in self.known}
        self._in_train: set[int] = set()
        for split, record in corpus.records():
            facts = self.splits.setdefault(split, SplitFacts())
            facts.records += 1
            self._learn(split, facts, record)
        self._compare(surveys)

    def _learn(self, split: str, facts: SplitFacts, record: Record) -> None:
        """Add one record to the facts about its split."""
        corpus = self.corpus
        steps = _steps(self.corpus, record)
        facts.steps += steps
        facts.longest = max(facts.longest, steps)
        number = f"{split} record {facts.records}"
        if len(self.examples) < EXAMPLES:
            self.examples.append((place(corpus.file(split), record, number), record))
        if self.labels:
            labels = [record[self.labels]] if isinstance(record[self.labels], str) else record[self.labels]
            facts.labels.update(corpus.reader.written(self.labels, labels))
            facts.strange += sum(label not in self.known and label not in self.withheld for label in labels)
            facts.numbered += _is_count(labels)
            gap = next((at for at, label in enumerate(labels) if label in self.withheld), None)
            if gap is not None and split not in self.gaps:
                self.gaps[split] = place(corpus.file(split), record, number, gap)
        if self.words:
            facts.counted += _is_count([word for word in record[self.words] if word != END])
        if steps >= MANY_STEPS:
            content = hash(
                repr([value for name, value in record.items() if not isinstance(corpus.fields[name], DocumentStart)])
            )
            facts.long += 1
            facts.shared += content in self._in_train
            if split == "train":
                self._in_train.add(content)

    def _compare(self, surveys: dict[str, FieldSurvey]) -> None:
        """Compare the other splits with train."""
        words = surveys.get(self.words or "")
        unknown = unknown_symbols(surveys, {name: part.vocabulary() for name, part in surveys.items()})
        for split, facts in self.splits.items():
            if isinstance(words, SymbolSurvey):
                written = words.written if split == "train" else words.judged[split]
                facts.symbols = Counter({word: count for word, count in written.items() if word != END})
            given = sum(count for label, count in facts.labels.items() if label not in self.withheld)
            if split == "train":
                continue
            if self.words is not None:
                found = unknown[self.words][split]
                facts.unknown = found.unknown / max(found.symbols, 1)
            if self.known and given:
                facts.unlabelled = facts.strange / given

    @property
    def train(self) -> SplitFacts:
        """The facts about train."""
        return self.splits["train"]

    def lines(self) -> Iterator[str]:
        """What a person checks before the corpus is added."""
        for split, facts in self.splits.items():
            yield f"  {split:11} {self._of_split(split, facts)}"
        if "test" not in self.splits:
            yield "  test        there is none: runs are evaluated on validation"
        if self.labels:
            yield f"{self.labels} of train: {_listed(self.train.labels)}"
        if isinstance(self.corpus.reader, Columns):
            yield from rewritten(self.corpus.reader, list(self.corpus.files.values()))
        for where, record in self.examples:
            yield f"the record at {where}:"
            shown = [name for name, kind in self.corpus.fields.items() if not isinstance(kind, DocumentStart)]
            yield from (f"  {name:11} {shortened(self._shown(name, record[name]))}" for name in shown)

    def _shown(self, name: str, value: Any) -> Any:
        """A value as a file has it: without the end that is appended, characters as their text, labels as written."""
        kind = self.corpus.fields[name]
        if isinstance(kind, Labels):
            return self.corpus.reader.written(name, value)
        if not isinstance(kind, Symbols):
            return value
        symbols = value[:-1] if self.corpus.sentence_end else value
        return symbols if kind.unit == "words" else joined(symbols, kind.unit)

    def _of_split(self, split: str, facts: SplitFacts) -> str:
        parts = [self.corpus.file(split).name, _number(facts.records, "record"),
                 f"mean length {facts.steps / facts.records:.1f}"]  # fmt: skip
        if facts.unknown is not None:
            parts.append(f"unknown words {facts.unknown:.1%}")
        if facts.unlabelled:
            parts.append(f"{self.labels} that are not in train {facts.unlabelled:.1%}")
        if facts.shared and split != "train":
            parts.append(f"{facts.shared / facts.long:.1%} of records with {MANY_STEPS} steps or more stand in train")
        return ", ".join(parts)


def shortened(value: Any, most: int = LONGEST) -> str:
    """A value on one line, so that it shows where each part begins and ends."""
    whole = json.dumps(value, ensure_ascii=False, default=repr)
    printable = "".join(letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in whole)
    return printable if len(printable) <= most else f"{printable[:most]}…"


def _is_count(words: Sequence[str]) -> bool:
    """Whether words are numbers from 0 or 1, all between the same signs, as in 7-1, 7-2, 7-3 and so on."""
    found = COUNTED.fullmatch(words[0]) if words else None
    if found is None or found[2] not in ("0", "1"):
        return False
    return all(word == f"{found[1]}{number}{found[3]}" for number, word in enumerate(words, start=int(found[2])))


def _only(corpus: Corpus, fits: Callable[[Field], bool]) -> str | None:
    """The first field that fits."""
    return next((name for name, kind in corpus.fields.items() if fits(kind)), None)


def _steps(corpus: Corpus, record: Record) -> int:
    """Steps of the longest sequence of a record; 1 if it has none."""
    return max((len(record[name]) for name, kind in corpus.fields.items() if _is_sequence(kind)), default=1)


def _is_sequence(kind: Field) -> bool:
    return isinstance(kind, Symbols | Frames)


def _listed(counts: Counter[str]) -> str:
    """The most frequent labels with their counts."""
    first = [f"{_name(label)} {count:,}" for label, count in counts.most_common(SHOWN)]
    more = [f"and {len(counts) - SHOWN:,} more"] if len(counts) > SHOWN else []
    return ", ".join([*first, *more])


def _name(label: str) -> str:
    """A label, within quotation marks if they are needed to see where it begins and ends."""
    shown = shortened(label, LONGEST_NAME)
    return label if shown == f'"{label}"' and label and not set(" ,") & set(label) else shown


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"
