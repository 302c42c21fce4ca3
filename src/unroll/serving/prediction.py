"""Answers of a finished run, by the path of its training: reader, vocabularies, buckets, task."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unroll.data.buckets import POOL, Buckets
from unroll.data.fields import NOT_GIVEN, Field, References
from unroll.data.prepared import Split
from unroll.data.unknown import Unknown
from unroll.data.vocabulary import END, SymbolVocabulary
from unroll.data.writers import encoded
from unroll.errors import BadInput
from unroll.experiment import Trained
from unroll.experiment.evaluation import counts
from unroll.experiment.loading import prediction_loader
from unroll.networks.sampling import Sampling
from unroll.serving.questions import Asking, Question
from unroll.serving.workers import side_by_side
from unroll.tasks.answer import Answer, Attended, Empty, Labelled

CHUNK_STEPS = 1 << 20  # that are in memory at a time, unless one record has more


@dataclass
class Seen:
    """What was read.

    Args:
        records: that were answered.
        unknown: their symbols, and how many of these are not in the vocabulary of the run, by role.
    """

    records: int = 0
    unknown: dict[str, Unknown] = field(default_factory=dict)


class Predictor:
    """Answers in the order of what is asked, in bounded memory.

    Args:
        run: a finished run.
        evaluates: whether the figures are computed too, from the answers that a file has.
        progress: is called as records are answered; None for nobody.
        best: number of answers per record, of a task that searches for them.
        others: the other runs of an ensemble; see :func:`~unroll.serving.ensemble.ensemble`.
        sampling: the distribution from which answers are drawn, in place of a search; None to search.
        seed: with sampling, of the draws for the first record; each further one has the next seed.
        attention: whether answers come with what they were written from.

    Records are read a chunk at a time, put into batches of similar lengths within it as for evaluation, and answered.
    A record longer than a batch has steps for is read whole, by itself. An empty line has an empty answer.

    Raises:
        BadInput: the run is a language model, or does not do what is asked of it.
    """

    def __init__(
        self, run: Trained, evaluates: bool = False, progress: Callable[[Seen], None] | None = None, best: int = 1,
        others: Sequence[Trained] = (), sampling: Sampling | None = None, seed: int = 0, attention: bool = False,
    ) -> None:  # fmt: skip
        self.run, self.evaluates, self.progress = run, evaluates, progress
        self.sampling, self.seed = sampling, seed
        self.asking = Asking(run)
        self._refuse_other_tasks(best, attention)
        if sampling is not None and best > 1:
            raise BadInput("Sampling draws one answer, and --best asks a beam for several; give one of the two.")
        if sampling is not None and evaluates:
            raise BadInput("Figures are those of a search, and sampling draws answers; leave out --evaluate.")
        if attention and others:
            raise BadInput("Each run of an ensemble has attention of its own; leave out --with, or --attention.")
        network = run.network
        network.best, network.shows_attention = best, attention
        network.others = tuple(other.network for other in others)
        if evaluates:
            run.task.thorough = True
        self.seen = Seen()
        self._judged = False  # whether any record was added to the figures

    def _refuse_other_tasks(self, best: int, attention: bool) -> None:
        """Refuse what the task or the network of the run does not do."""
        if attention and not self.run.network.attends:
            raise BadInput(f"{self.run.config.name} has no attention to draw; leave out --attention, or train with an "
                           "architecture that has it, such as arch=bahdanau.")  # fmt: skip
        options = ["--best"] * (best > 1) + ["--temperature, --top-k and --top-p"] * (self.sampling is not None)
        if options and "decoder" not in self.asking.description.blocks:
            raise BadInput(f"task={self.asking.description.name} has one answer per record; leave out {options[0]}.")

    def lines(self, lines: Iterable[str]) -> Iterator[Answer]:
        """Answers to plain lines.

        Raises:
            BadInput: a line cannot be read, or has no answers that could be evaluated.
        """
        description = self.run.config.task.description
        if self.evaluates and not description.predicts_inputs:
            raise BadInput(f"Plain lines have no {description.predicts or 'answers'} to compare with; evaluate a file "
                           f"in the format {self.asking.corpus.reader.name}.")  # fmt: skip
        return map(self._written, self._answers(self.asking.of_lines(lines), self.asking.line_fields))

    def attended(self, line: str) -> tuple[Answer, Attended]:
        """The answer to a plain line, and what it was written from.

        Raises:
            BadInput: as of :meth:`lines`, or the line is empty.
        """
        (answer,) = self.lines([line])
        if answer.attended is None:
            raise BadInput("An empty text is not read, and so has no attention to draw; give one that has a symbol.")
        return answer, answer.attended

    def file(self, path: Path) -> Iterator[Answer]:
        """Answers to the records of a file in the format that the run was trained on.

        Raises:
            BadInput: the file cannot be read, or has no answers that could be evaluated.
        """
        return map(self._written, self._read(path))

    def _read(self, path: Path) -> Iterator[Answer]:
        """Answers to the records of a file, with labels in the spelling of records."""
        return self._answers(self.asking.of_file(path), self.asking.fields)

    def _written(self, answer: Answer) -> Answer:
        """An answer with labels as files of the run's format have them."""
        field = self.asking.roles.get(self.run.config.task.description.predicts)
        if field is None or not isinstance(answer, Labelled):
            return answer
        return replace(answer, labels=list(self.asking.corpus.reader.written(field, answer.labels)))

    @property
    def fills(self) -> bool:
        """Whether the format that the run was trained on has a place for the answers."""
        predicts = self.run.config.task.description.predicts
        return self.asking.roles.get(predicts) == self.asking.corpus.reader.fills

    def filled(self, path: Path) -> Iterator[bytes]:
        """The lines of a file with the answers in their place, and everything else byte for byte.

        Raises:
            BadInput: as of :meth:`file`, or the file cannot be read twice.
        """
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise BadInput(f"{path} is not a regular file, and is read twice to give its format back; save it to a "
                           "file, or use --json.")  # fmt: skip
        self.asking.refuse_other_labels(path)
        values = (value for answer in self._read(path) for value in answer.values())
        first = list(islice(values, 1))  # a bad line is refused before any line is given back
        yield from self.asking.corpus.reader.fill(path, chain(first, values))
        next(values, None)  # what follows the last record is read too

    def figures(self) -> tuple[dict[str, float], Mapping[str, str]]:
        """The figures of what was answered, and why some are not numbers."""
        figures = self.run.task.metrics()
        return figures, counts(self.run.task, figures).get("not_finite", {})

    def _answers(self, questions: Iterator[Question], fields: Mapping[str, Field]) -> Iterator[Answer]:
        self.run.network.clear_cache()
        if self.evaluates:
            self.run.task.on_validation_epoch_start()
        self.seen = Seen()
        self._judged = False
        for chunk in self._chunks(questions):
            yield from self._answered(chunk, fields)
            self.seen.records += len(chunk)
            if self.progress:
                self.progress(self.seen)
        if self.evaluates and not self._judged:
            raise BadInput("There is no record with answers to evaluate; give a file that has some, or leave out "
                           "--evaluate.")  # fmt: skip

    def _chunks(self, questions: Iterator[Question]) -> Iterator[list[Question]]:
        """As many records as are put into batches together."""
        chunk: list[Question] = []
        steps, most = 0, POOL * self.run.config.training.batch_size
        for question in questions:
            chunk.append(question)
            steps += question.steps
            if len(chunk) == most or steps >= CHUNK_STEPS:
                yield chunk
                chunk, steps = [], 0
        if chunk:
            yield chunk

    def _answered(self, chunk: list[Question], fields: Mapping[str, Field]) -> list[Answer]:
        """Answers to some records, in their order."""
        answers: dict[int, Answer] = {}
        places = [place for place, question in enumerate(chunk) if self._has_answer(question)]
        if places:
            self._refuse_not_given(chunk)
            records = (chunk[place].read for place in places)
            split = encoded(records, fields, self.run.vocabularies, self.asking.words).under(self.asking.roles)
            self._count(split)
            for row, values in self._predicted(split, [self.seen.records + place for place in places]):
                answers[places[row]] = self._answer(chunk[places[row]], values)
        return [answers.get(place) or self._answer(question, None) for place, question in enumerate(chunk)]

    def _has_answer(self, question: Question) -> bool:
        """Whether a record has anything to read; an answer of its own length needs more than the end of a source."""
        if self.asking.description.answers_steps:
            return len(question.read[self.asking.field]) > 0
        return question.steps > 0

    def _predicted(self, split: Split, records: Sequence[int]) -> Iterator[tuple[int, Any]]:
        """The number of each record in the split, and what is predicted of it.

        Args:
            split: the records.
            records: the number of each record among all that are asked.
        """
        network = self.run.network
        loader = prediction_loader(self.run.config, network.spec, split)
        if self.evaluates:
            self._judge(split, loader)

        def predicted(number: int) -> Tensor | Sequence[Any]:
            with torch.inference_mode():
                batch = network.precise(loader.batch(number))
                if self.sampling is None:
                    return network.predict(batch)
                seeds = [self.seed + records[row] for row in loader.rows(number)]
                return network.sample(batch, self.sampling, seeds)

        for number, rows in enumerate(side_by_side(predicted, len(loader))):
            yield from zip(loader.rows(number).tolist(), rows, strict=True)

    @torch.inference_mode()
    def _judge(self, split: Split, loader: Buckets) -> None:
        """Add some records to the figures."""
        self._refuse_without_answers(split)
        self._judged = True
        for number in range(len(loader)):
            self.run.task.judge(self.run.network.precise(loader.batch(number)))

    def _answer(self, question: Question, predicted: Any) -> Answer:
        network = self.run.network
        if not self.asking.description.answers_steps:
            return Empty() if predicted is None else network.answer(question.shown, predicted, self.run.vocabulary)
        steps = torch.zeros(0, dtype=torch.int64) if predicted is None else predicted[: question.steps]
        return network.answer(question.shown, steps, self.run.vocabulary)

    def _count(self, split: Split) -> None:
        """Add the symbols that are read, and those that the vocabulary does not have."""
        predicts = self.run.config.task.description.predicts
        for role, vocabulary in self.run.vocabulary.items():
            if isinstance(vocabulary, SymbolVocabulary) and role in split.fields and role != predicts:
                before = self.seen.unknown.get(role, Unknown(vocabulary.unit, 0, 0))
                counts = split[role].counts(len(vocabulary.symbols))
                symbols = int(counts.sum() - counts[vocabulary.index[END]])
                unknown = int(counts[vocabulary.spec.unknown_index])
                self.seen.unknown[role] = before.plus(symbols, unknown)

    def _refuse_not_given(self, chunk: Iterable[Question]) -> None:
        """Refuse to evaluate records whose right answers are the mark of what is not given."""
        kinds = self.asking.corpus.fields
        references = [name for name, kind in kinds.items() if isinstance(kind, References) and self.evaluates]
        answers = (answer for question in chunk for name in references for answer in question.read.get(name, ()))
        if any("".join(answer) == NOT_GIVEN for answer in answers):
            raise BadInput(f"The file has records whose answer is not given ({NOT_GIVEN}), so that it cannot be "
                           "evaluated; give it, or leave out --evaluate.")  # fmt: skip

    def _refuse_without_answers(self, split: Split) -> None:
        """Refuse to evaluate a file that lacks numbers, or none of whose first answers the run could give."""
        predicts: Any = self.run.config.task.description.predicts
        if not predicts:
            return
        spec, values = self.run.network.spec[predicts], split[predicts].values
        if np.issubdtype(values.dtype, np.floating) and np.isnan(values).any():
            raise BadInput(f"The file does not give {predicts} everywhere, so that it cannot be evaluated; give it, or "
                           "leave out --evaluate.")  # fmt: skip
        if spec.names and not self._judged and (values < 0).all():
            names = sorted({name[2:] for name in spec.names} - {""}) if spec.scheme else spec.names  # types of spans
            few = ", ".join([*names[:5], *(["…"] if len(names) > 5 else [])])
            known = f" ({few})" if few else ""
            raise BadInput(f"The file has no {predicts} that this run can predict{known}, so that there is nothing "
                           "to evaluate; give a file that has them, or leave out --evaluate.")  # fmt: skip
