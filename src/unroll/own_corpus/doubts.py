"""Reasons to doubt that a corpus was understood, each with its remedy."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from unroll.data.fields import Labels
from unroll.data.readers.base import is_blank, numbered_lines
from unroll.data.readers.columns import Columns
from unroll.own_corpus.columns import numbered, oddities
from unroll.own_corpus.understanding import MANY_STEPS, NUMBER, SplitFacts, Understanding, shortened

FEW = 20  # words or labels, of which a share says nothing
MANY_WORDS = 30  # in a split of one sentence
VERY_LONG = 2000  # words of a sentence
SAMPLE = 2000  # lines of a text
PLAIN = "write the sentences themselves, one per line"
NO_TEXT = {  # forms of lines, what they look like, and the remedy
    re.compile(r"\s*[{\[].*[}\]],?\s*"): ("look like JSON", PLAIN),
    re.compile(r"\s*<.*>\s*"): ("look like XML or HTML", PLAIN),
    re.compile(r"__label__\S.*"): (
        "begin with a label", "unroll reads no sentences with one label, so remove the labels, and use it as a text"
    ),
}  # fmt: skip
TAGGED = re.compile(r"[^/_|]+[/_|][^/_|]+|(.)[/_|]\1")  # the/DT, ./.
REST = "or read text without labels from a .txt file"


def doubts(found: Understanding) -> list[str]:
    """All reasons to doubt, each a sentence with a remedy, the most telling first."""
    reader = found.corpus.reader
    if isinstance(reader, Columns) and _is_counted(found.train):
        return [numbered(reader, found.corpus.file("train"))]
    own = oddities(reader, found.corpus.files) if isinstance(reader, Columns) else _text(found)
    phrases = list(_phrases(found))  # which have no empty lines, and occur only once, for this reason
    return [*phrases, *own, *([] if phrases else [*_lengths(found), *_words(found)]), *_labels(found),
            *_strangers(found), *_likeness(found)]  # fmt: skip


def _is_counted(facts: SplitFacts) -> bool:
    """Whether the words of nearly all records are 1, 2, 3, and so on."""
    return facts.counted > 0.9 * facts.records and facts.steps > facts.records


def _text(found: Understanding) -> Iterator[str]:
    """Lines of a text that look like the lines of a table."""
    if found.words is None or not found.corpus.reader.is_plain:
        return
    file = found.corpus.file("train")
    lines = [line for _, line in islice(numbered_lines(file), SAMPLE)]
    written = [line for line in lines if not is_blank(line)]
    if not written:
        return
    if sum("\t" in line for line in written) > 0.5 * len(written):
        yield (f"most lines of {file} have tabs, which a text has not; if it has columns, one word per line, use "
               "data.reader.name=columns, and otherwise write one sentence per line")  # fmt: skip
        return
    for form, (looks, remedy) in NO_TEXT.items():
        if sum(form.fullmatch(line) is not None for line in written) > 0.5 * len(written):
            yield f"most lines of {file} {looks}; {remedy}"
            return
    if found.words and _share(words := found.train.symbols, [word for word in words if TAGGED.fullmatch(word)]) > 0.9:
        yield (f"most words of {file} have a part behind a sign, such as {shortened(next(iter(words)))}; if it is "
               "their tag, write one word per line, a tab and its tag, with an empty line after each sentence, to a "
               "file .tsv")  # fmt: skip
        return
    (width, count), *_ = Counter(len(line.split()) for line in written).most_common(1)
    if 2 <= width <= 6 and count > 0.95 * len(written) and count > FEW and len(written) < len(lines) < 2 * len(written):
        yield (f"nearly all lines of {file} have {width} words, with empty lines between groups of them; if they are "
               "columns, one word per line, use data.reader.name=columns")  # fmt: skip


def _lengths(found: Understanding) -> Iterator[str]:
    """Sentences that are whole files, since no line is empty."""
    if not any(isinstance(kind, Labels) for kind in found.corpus.fields.values()):
        return
    long = [f"{facts.longest:,} words in {split} ({found.corpus.file(split)})" for split, facts in found.splits.items()
            if facts.longest > VERY_LONG or (facts.records == 1 and facts.longest > MANY_WORDS)]  # fmt: skip
    if found.train.longest == 1 and found.train.records > FEW:
        yield (f"every sentence of {found.corpus.file('train')} has one word; if empty lines stand between the words "
               "of a sentence, remove them")  # fmt: skip
    if long:
        yield f"there are sentences of {' and '.join(long)}; insert an empty line after each sentence"


def _phrases(found: Understanding) -> Iterator[str]:
    """Words that are sentences."""
    words = found.train.symbols
    if found.words is not None and _share(words, [word for word in words if " " in word.strip()]) > 0.5:
        longest = shortened(max(words, key=len))
        yield (f"most words of train contain blanks, such as {longest}, so they are probably sentences or phrases; "
               "unroll reads one word per line, with its label, and no sentences with one label")  # fmt: skip


def _words(found: Understanding) -> Iterator[str]:
    """Words that are numbers, or always the same."""
    words = found.train.symbols
    if found.words is None:
        return
    numbers = [word for word in words if NUMBER.fullmatch(word)]
    if _share(words, numbers) > 0.9:
        yield (f"nearly all words of train are numbers, such as {numbers[0]}; choose another column "
               "(data.reader.token_column=…), write sequences of numbers as .series, and name a file of pretrained "
               "vectors with data.vectors")  # fmt: skip
    elif _share(words, [word for word in words if len(word) > 2 and word[0] == word[-1] == '"']) > 0.5:
        yield (f"most words of train stand in quotation marks, such as {shortened(next(iter(words)))}, which unroll "
               "reads as parts of the words; write the file without them")  # fmt: skip
    elif len(words) == 1 and words.total() > 1:
        yield f"every word of train is {shortened(next(iter(words)))}; choose another column or correct the file"
    elif len(words) == words.total() > MANY_WORDS:
        has_units = hasattr(found.corpus.reader, "source_unit")
        remedy = ("read them as characters with data.reader.source_unit=characters, or " if has_units
                  else "if the words are sentences, names or numbers of lines, ")  # fmt: skip
        yield f"every word of train occurs only once; {remedy}choose another column or correct the file"


def _labels(found: Understanding) -> Iterator[str]:
    """Labels that are not given, all equal, or nearly all different."""
    labels = found.train.labels
    if found.labels is None:
        return
    where = " (data.reader.label_column=…)" if isinstance(found.corpus.reader, Columns) else ""
    if gap := found.gaps.get("train") or found.gaps.get("validation"):
        yield (f"{gap}: a label is not given (_ or empty), so tasks that predict labels will refuse the corpus; give "
               f"it, choose another column{where}, or use the corpus for language models only")  # fmt: skip
    elif found.train.numbered > 0.9 * found.train.records and len(labels) > 1:
        yield (f"the labels of train are 1, 2, 3 and so on, the numbers of the words; choose another column{where}, "
               f"{REST}")  # fmt: skip
    elif len(labels) == 1:
        yield (f"every label of train is {shortened(next(iter(labels)))}, so there is nothing to learn; choose another "
               f"column{where}, {REST}")  # fmt: skip
    for split, facts in found.splits.items():
        if len(facts.labels) == 1 < len(labels) and facts.labels.total() > FEW and split not in found.gaps:
            yield (f"every label of {split} ({found.corpus.file(split)}) is {shortened(next(iter(facts.labels)))}, as "
                   "if they were withheld; replace them by _, or give the labels")  # fmt: skip
    if len(labels) > max(FEW, min(labels.total() / 2, len(found.train.symbols or labels) / 2)):
        yield (f"train has {len(labels):,} different labels for {len(found.train.symbols):,} different words; if they "
               "are translations, lemmas or pronunciations, read pairs with data.reader.name=pairs; otherwise choose "
               f"another column{where}, {REST}")  # fmt: skip


def _strangers(found: Understanding) -> Iterator[str]:
    """Words and labels of the other splits that train does not have."""
    if words := _far(found, {split: facts.unknown or 0 for split, facts in found.splits.items()}, 0.9):
        yield (f"most words are unknown in train: {words}; check that all files are of one language, tokenisation and "
               "format")  # fmt: skip
    if labels := _far(found, {split: facts.unlabelled or 0 for split, facts in found.splits.items()}, 0.5):
        yield (
            f"most labels do not occur in train: {labels}; check that all files have the same labels in the same column"
        )


def _likeness(found: Understanding) -> Iterator[str]:
    """Records of the other splits that stand in train."""
    shares = {split: facts.shared / facts.long for split, facts in found.splits.items() if facts.long}
    if shared := _far(found, shares | {"train": 0}, 0.5):
        yield (f"most records with {MANY_STEPS} steps or more stand in train, too: {shared}; their figures would say "
               "nothing, so remove them from train")  # fmt: skip


def _far(found: Understanding, shares: Mapping[str, float], most: float) -> str:
    """The splits whose share is too large, with their files, unless they are too small to say."""
    far = [f"{share:.0%} of {split} ({found.corpus.file(split)})" for split, share in shares.items()
           if share > most and found.splits[split].steps >= FEW]  # fmt: skip
    return " and ".join(far)


def _share(counts: Counter[str], some: Sequence[str]) -> float:
    """Share of some words in all."""
    return sum(counts[word] for word in some) / counts.total()
