"""Descriptions of tasks, which do not import torch: roles, metrics and supported networks.

The schema, building, loaders, costs, certificates, studies, comparisons and the command line read them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, is_dataclass, replace
from typing import Annotated, Any, Literal, get_args

from pydantic import Field as Option

from unroll.data.fields import KINDS
from unroll.data.roles import Role
from unroll.errors import BadInput, no_such
from unroll.metrics import Metric, Solved, parse_solved

Reads = Literal["streams", "buckets"]
Sees = Literal["past", "others", "all"]
LossOver = Literal["steps", "records"]
BLOCKS = ("spelling", "labels", "readout", "decoder")  # optional parts of a network


@dataclass(frozen=True)
class Options:
    """Settings of a task other than its name: a frozen dataclass, annotated like the options of readers."""

    @property
    def chosen(self) -> str:
        """The metric that chooses the checkpoint and compares runs; empty for the first that the corpus supports."""
        return ""

    @property
    def figures_left_out(self) -> tuple[str, ...]:
        """Metrics of the task that runs with these settings do not report."""
        return ()


@dataclass(frozen=True)
class ReadingOptions(Options):
    """Settings of a task with a role that ``learns_unknown``."""

    unknown_rate: Annotated[
        float,
        Option(
            ge=0,
            lt=1,
            description="Probability in training that a word which occurs once in the training split is read as [UNK], "
            "so that the network learns to read unknown words; 0 for never.",
        ),
    ]


@dataclass(frozen=True)
class Need:
    """Requirement on a corpus for a figure.

    Args:
        role: role that a field must fill.
        remedy: the setting that provides it.
        attribute: attribute that the field must have, such as ``scheme``; empty for no requirement.
        value: required value of the attribute; None for any.
    """

    role: str
    remedy: str
    attribute: str = ""
    value: str | None = None

    def is_met(self, fields: Mapping[str, object]) -> bool:
        """Whether the fields that fill the roles of a task, or their sizes, meet the requirement."""
        if self.role not in fields or not self.attribute:
            return self.role in fields
        found = getattr(fields[self.role], self.attribute, None)
        return found == self.value if self.value is not None else found is not None


@dataclass(frozen=True)
class Description:
    """A task.

    Args:
        roles: roles of the fields that the task reads, each with the kinds of field that may fill it.
        metrics: metrics of the task; one whose name ends in ``/`` is reported for each group of probed tokens.
        headlines: metrics by which runs are compared; the first that the corpus supports is used.
        monitors: validation metrics by which the best checkpoint is chosen; the first that the corpus supports is used.
        networks: supported kinds of network.
        blocks: optional parts of a network that the task uses: ``spelling``, ``labels``, ``readout``, ``decoder``.
        reads: parallel ``streams`` of a text, or ``buckets`` of records of similar lengths.
        source: role that the encoder reads, and that a plain line fills.
        lengths: roles by whose lengths records are sorted into buckets; the steps of the first one are counted.
        sees: positions that may be read to predict a position: the ``past``, all ``others``, or ``all``.
        loss_over: whether the loss counts ``steps``, or ``records``, which have one target each.
        predicts: role of the predicted field; empty if there is none.
        groups: role whose groups have figures of their own.
        searches: options that test figures depend on, since they decide how answers are searched for.
        predicts_inputs: whether the targets are the symbols that the task reads, on which its figures then depend.
        continues: whether runs continue texts (``unroll generate``) instead of answering.
        needs: requirement of each metric on the corpus.
        reads_windows: whether the task carries a state across the windows of a sequence.
        whole: requirement which, if met, prevents splitting sequences into windows; None for none.
        options: settings other than the name.
        name: name of its folder.
    """

    roles: Mapping[str, Role]
    metrics: tuple[Metric, ...]
    headlines: tuple[str, ...]
    monitors: tuple[str, ...]
    networks: tuple[str, ...]
    blocks: frozenset[str] = frozenset()
    reads: Reads = "buckets"
    source: str = "inputs"
    lengths: tuple[str, ...] = ("inputs",)
    sees: Sees = "all"
    loss_over: LossOver = "steps"
    predicts: str = ""
    groups: str = "probe"
    searches: tuple[str, ...] = ()
    predicts_inputs: bool = False
    continues: bool = False
    needs: Mapping[str, Need] = field(default_factory=dict)
    reads_windows: bool = False
    whole: Need | None = None
    options: type[Options] = Options
    name: str = ""

    @property
    def learning(self) -> list[str]:
        """Roles whose rare symbols are read as ``[UNK]`` at random in training."""
        return [name for name, role in self.roles.items() if role.learns_unknown]

    @property
    def scoring(self) -> list[str]:
        """Roles that only figures read."""
        return [name for name, role in self.roles.items() if set(role.kinds) <= {"references", "groups"}]

    @property
    def answers_steps(self) -> bool:
        """Whether an answer has a value for each step of a record."""
        return self.loss_over == "steps" and "decoder" not in self.blocks

    @property
    def counted(self) -> str:
        """Role of the symbols that the loss counts."""
        return self.predicts or self.source

    def group_names(self, spec: Mapping[str, Any]) -> tuple[str, ...]:
        """Names of the groups that have figures of their own; none if the corpus has no groups."""
        names: tuple[str, ...] = spec[self.groups].names if self.groups in spec else ()
        return names

    def min_count(self, fields: Mapping[str, object]) -> int:
        """Default of ``data.min_count``: 2 if words are predicted, otherwise 1.

        A network learns to predict ``[UNK]`` only if words of the training split are outside the vocabulary.

        Args:
            fields: role → field.
        """
        units = [getattr(field, "unit", "") for role, field in fields.items()
                 if self.predicts_inputs or role == self.predicts]  # fmt: skip
        return 2 if "words" in units else 1

    def metric(self, name: str) -> Metric:
        """A metric by name, including metrics of one group of probed tokens such as ``accuracy/8``.

        Raises:
            BadInput: the task has no such metric.
        """
        by_name = {metric.name: metric for metric in self.metrics}
        kind, slash, _ = name.partition("/")
        if kind + slash not in by_name:
            raise no_such(f"metric of task={self.name},", name, sorted(by_name))
        return replace(by_name[kind + slash], name=name)

    def solved(self, text: str) -> Solved:
        """Parse a declaration such as ``loss <= 0.01``.

        Raises:
            BadInput: it is invalid, or has a metric of another task.
        """
        return parse_solved(text, self.metric, self.headlines[0])

    def need(self, name: str) -> Need | None:
        """Requirement of a metric on the corpus; None if every corpus supports it."""
        kind, slash, _ = name.partition("/")
        return self.needs.get(kind + slash)

    def has(self, name: str, fields: Mapping[str, object]) -> bool:
        """Whether the task has a metric, and the fields that fill its roles support it."""
        kind, slash, _ = name.partition("/")
        need = self.need(name)
        return any(metric.name == kind + slash for metric in self.metrics) and (need is None or need.is_met(fields))

    def headline(self, fields: Mapping[str, object], options: Options | None = None) -> Metric:
        """The metric by which runs are compared.

        Args:
            fields: role → field, or its sizes.
            options: settings of the task, which may choose it.
        """
        return self._first(self.headlines, fields, options)

    def monitor(self, fields: Mapping[str, object], options: Options | None = None) -> Metric:
        """The validation metric by which the best checkpoint is chosen.

        Args:
            fields: role → field, or its sizes.
            options: settings of the task, which may choose it.
        """
        return self._first(self.monitors, fields, options)

    def check(self) -> None:
        """Refuse a description that names something that does not exist.

        Raises:
            BadInput: names the part of the description.
        """
        for kind, part, names, choices in self._names():
            for name in names:
                if name not in choices:
                    raise no_such(f"{kind} for {part},", name, choices)
        for part in ("headlines", "monitors"):
            if not any(self.need(name) is None for name in getattr(self, part)):
                raise BadInput(f"{part} has no metric that every corpus supports; add one.")
        if not (isinstance(self.options, type) and issubclass(self.options, Options) and is_dataclass(self.options)):
            raise BadInput("options must be a frozen dataclass derived from Options; correct it.")
        for role in self.learning:
            if role == self.predicts or self.predicts_inputs or self.reads == "streams":
                raise BadInput(f"{role} learns_unknown, but targets and streams are never replaced; correct it.")
            if not issubclass(self.options, ReadingOptions):
                raise BadInput(f"{role} learns_unknown, so options must be derived from ReadingOptions; correct it.")

    def _names(self) -> Iterator[tuple[str, str, Iterable[str], Collection[str]]]:
        """Yield the names in each part of the description: what they are of, the part, the names, and the choices."""
        metrics = [metric.name for metric in self.metrics]
        roles = list(self.roles)
        yield "kind of field", "roles", [kind for role in self.roles.values() for kind in role.kinds], KINDS
        yield "metric", "headlines", self.headlines, metrics
        yield "metric", "monitors", self.monitors, metrics
        yield "metric", "needs", self.needs, metrics
        yield "role", "needs", [need.role for need in self.needs.values()], roles
        yield "role", "source", [self.source], roles
        yield "role", "lengths", self.lengths, roles
        yield "role", "predicts", [self.predicts] if self.predicts else [], roles
        yield "block", "blocks", sorted(self.blocks), BLOCKS
        yield "choice", "reads", [self.reads], get_args(Reads)
        yield "choice", "sees", [self.sees], get_args(Sees)
        yield "choice", "loss_over", [self.loss_over], get_args(LossOver)

    def _first(self, names: tuple[str, ...], fields: Mapping[str, object], options: Options | None) -> Metric:
        if options is not None and options.chosen:
            return self.metric(options.chosen)
        return self.metric(next(name for name in names if self.has(name, fields)))
