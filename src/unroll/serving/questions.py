"""What a finished run is asked: plain lines, or a file in the format that it was trained on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from unroll.data.corpus import Corpus, place
from unroll.data.fields import GAPS, Field, Frames, Labels, Record, Symbols
from unroll.data.prepare import spelled
from unroll.data.readers import guess, reader_named
from unroll.data.readers.series import parse_steps
from unroll.errors import BadInput
from unroll.experiment import Trained
from unroll.experiment.loading import reads_spelling
from unroll.experiment.prepared_data import roles_of

SAMPLE = 1000  # records whose labels are looked at


class Question(NamedTuple):
    """One record.

    Args:
        read: what the network reads, by field.
        shown: what the answer shows of it, by role.
        steps: of the answer, without an end of sentence that the corpus adds; 0 for an empty line.
    """

    read: Record
    shown: Record
    steps: int


class Asking:
    """How a run is asked, as its settings have it.

    Args:
        run: the run.

    Raises:
        BadInput: it is a language model.
    """

    def __init__(self, run: Trained) -> None:
        config = run.config
        self.description, self.vocabulary = config.task.description, run.vocabulary
        if self.description.continues:
            raise BadInput(f"{config.name} is a language model, which continues a text; use unroll generate.")
        self.corpus: Corpus = config.data.build_corpus()
        self.roles = roles_of(config, run.vocabularies)
        self.lead = self.description.source  # the role that a plain line fills
        self.field = self.roles[self.lead]
        self.kind = self.corpus.fields[self.field]
        self.words = spelled(self.corpus) if reads_spelling(config) else None

    @property
    def fields(self) -> dict[str, Field]:
        """The fields that the task reads of a record of a file."""
        return {field: self.corpus.fields[field] for field in self.roles.values() if field != "spelling"}

    @property
    def line_fields(self) -> dict[str, Field]:
        """The only field of a plain line.

        Raises:
            BadInput: the task cannot do with it.
        """
        needed = {role for role, part in self.description.roles.items() if part.is_needed}
        others = needed - {self.lead, self.description.predicts}
        if others or not isinstance(self.kind, Symbols | Frames):
            raise BadInput(f"task={self.description.name} reads more than a plain line has "
                           f"({', '.join(sorted(others) or [self.kind.kind])}); give --file in the format "
                           f"{self.corpus.reader.name}.")  # fmt: skip
        return {self.field: self.kind}

    def is_plain(self, path: Path) -> bool:
        """Whether a file has plain lines: its name ends as that of a text, and the run was not trained on such names.

        Raises:
            BadInput: the name is that of a file of another format.
        """
        own = self.corpus.reader
        other = guess(path)
        if other is None or path.suffix in (*own.suffixes, self.corpus.files["train"].suffix):
            return own.is_plain
        if reader_named(other).is_plain:
            return True
        raise BadInput(f"{path} is named as a file of the format {other}, and this run reads {own.name}"
                       f"{_endings(own.suffixes)}; convert it, or give plain lines in a .txt file.")  # fmt: skip

    def of_lines(self, lines: Iterable[str]) -> Iterator[Question]:
        """Plain lines, such as words between blanks, or steps such as ``0.5,1 0.25,0``."""
        for line in lines:
            shown, read = self._value(line)
            yield Question(self.corpus.ended({self.field: read}), {self.lead: shown}, len(shown))

    def _value(self, line: str) -> tuple[list[str] | list[list[float]], Sequence[str] | list[list[float]]]:
        """What a line shows, and what is read of it: of characters the line break too, as in training."""
        if isinstance(self.kind, Frames):
            steps = _series(line, self.vocabulary.spec[self.lead].size)
            return steps, steps
        read = self.corpus.reader.symbols(self.field, line)
        return list(read.removesuffix("\n") if isinstance(read, str) else read), read

    def refuse_other_labels(self, path: Path) -> None:
        """Refuse a file whose column of labels has other values, such as that of parts of speech, to be overwritten."""
        predicts = str(self.description.predicts)
        field = self.corpus.fields.get(self.roles.get(predicts, ""))
        if not isinstance(field, Labels):
            return
        found = {label for question in islice(self.of_file(path), SAMPLE) for label in question.shown[predicts]}
        others = sorted(found - {*GAPS})
        known = self.vocabulary.spec[predicts].names
        if len(others) > 1 and not found & {*known}:
            place = f" ({field.column})" if field.column else ""
            raise BadInput(f"{path} has {others[0]!r} and {others[1]!r} in place of labels{place}, which this run "
                           "cannot predict, and would overwrite; put _ in that place, or add it if the file lacks "
                           "it.")  # fmt: skip

    def of_file(self, path: Path) -> Iterator[Question]:
        """Records of a file, by the reader of the run's corpus."""
        corpus = replace(self.corpus, files={"test": path}, cuts=None, asks=True)
        for number, (_, record) in enumerate(corpus.records(), start=1):
            value = record[self.field]
            _refuse_width(
                value, self.kind, self.vocabulary.spec[self.lead].size, place(path, record, f"record {number}")
            )
            added = corpus.sentence_end and isinstance(self.kind, Symbols)
            steps = len(value) - 1 if added else len(value)
            shown = {role: record[field] for role, field in self.roles.items() if field in record}
            yield Question(record, {**shown, self.lead: value[:steps]}, steps)


def _endings(suffixes: tuple[str, ...]) -> str:
    return f" ({', '.join(suffixes)})" if suffixes else ""


def _series(line: str, width: int) -> list[list[float]]:
    """The steps of a line; none of an empty one."""
    if not line.strip():
        return []
    try:
        steps = parse_steps(line)
    except ValueError:
        steps = [[]]
    if len(steps[0]) != width:
        raise BadInput(f"{line[:40]!r} is no series; write steps of {width} numbers, such as 0.5,1 0.25,0.")
    return steps


def _refuse_width(value: Sequence[Sequence[float]], field: Field, width: int, place: str) -> None:
    if isinstance(field, Frames) and len(value[0]) != width:
        raise BadInput(f"{place} has steps of {len(value[0])} numbers, and this run reads steps of {width}; correct "
                       "the file, or name another run.")  # fmt: skip
