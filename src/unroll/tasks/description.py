"""What a task is, without torch: what it reads and reports, and which networks go with it.

The schema, building, loaders, costs, certificates, studies, comparisons and the command line all read this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from unroll.data.roles import Role
from unroll.errors import no_such
from unroll.metrics import Metric, Solved, parse_solved


@dataclass(frozen=True)
class Options:
    """Settings of a task beside its name: a frozen dataclass, annotated as the options of readers are."""


@dataclass(frozen=True)
class Need:
    """What a corpus must have for its runs to have a figure.

    Args:
        role: that a field must fill.
        remedy: the setting that provides it.
        attribute: that the field must have, such as ``scheme``; empty if any field will do.
        value: of the attribute; None if any will do.
    """

    role: str
    remedy: str
    attribute: str = ""
    value: str | None = None

    def is_met(self, fields: Mapping[str, Any]) -> bool:
        """Whether the fields that fill the roles of a task, or their sizes, have it."""
        if self.role not in fields or not self.attribute:
            return self.role in fields
        found = getattr(fields[self.role], self.attribute, None)
        return found == self.value if self.value is not None else found is not None


@dataclass(frozen=True)
class Description:
    """A task.

    Args:
        roles: what it reads, and the kinds of field that may fill each role.
        metrics: that it reports; one whose name ends in ``/`` is reported for each group of probed tokens.
        headlines: metrics by which runs are compared: the first that the corpus allows.
        monitors: metrics of validation by which the best checkpoint is chosen: the first that the corpus allows.
        networks: kinds of network that go with it.
        blocks: parts of a network that only some tasks use, and this one does: ``spelling``, ``labels``, ``readout``.
        reads: parallel ``streams`` of a text, or ``buckets`` of records of similar lengths.
        lengths: roles by whose lengths records are put into buckets.
        sees: what a network may read to predict a place: the ``past``, all ``others``, or ``all`` places.
        loss_over: whether the loss counts ``steps``, or ``records``, which have one target each.
        predicts: role whose field prediction fills; empty where it fills none.
        predicts_inputs: whether its targets are the symbols that it reads, on which its figures then depend.
        continues: whether a trained run continues a text, by ``unroll generate``, instead of answering.
        needs: metric → what the corpus must have for it.
        reads_windows: whether its module goes on from window to window of a sequence that was cut.
        whole: where it is met, sequences cannot be cut even so; None for nowhere.
        options: settings beside the name.
        name: that of its folder.
    """

    roles: Mapping[str, Role]
    metrics: tuple[Metric, ...]
    headlines: tuple[str, ...]
    monitors: tuple[str, ...]
    networks: tuple[str, ...]
    blocks: frozenset[str] = frozenset()
    reads: Literal["streams", "buckets"] = "buckets"
    lengths: tuple[str, ...] = ("inputs",)
    sees: Literal["past", "others", "all"] = "all"
    loss_over: Literal["steps", "records"] = "steps"
    predicts: str = ""
    predicts_inputs: bool = False
    continues: bool = False
    needs: Mapping[str, Need] = field(default_factory=dict)
    reads_windows: bool = False
    whole: Need | None = None
    options: type[Options] = Options
    name: str = ""

    def metric(self, name: str) -> Metric:
        """The metric of a name, that of one group of probed tokens too, such as ``accuracy/8``.

        Raises:
            BadInput: the task reports no such metric.
        """
        by_name = {metric.name: metric for metric in self.metrics}
        kind, slash, _ = name.partition("/")
        if kind + slash not in by_name:
            raise no_such(f"metric of task={self.name},", name, sorted(by_name))
        return replace(by_name[kind + slash], name=name)

    def solved(self, text: str) -> Solved:
        """What a declaration such as ``loss <= 0.01`` says.

        Raises:
            BadInput: it is not one, or not one of this task.
        """
        return parse_solved(text, self.metric, self.headlines[0])

    def need(self, name: str) -> Need | None:
        """What the corpus must have for a metric; None if any has it."""
        kind, slash, _ = name.partition("/")
        return self.needs.get(kind + slash)

    def has(self, name: str, fields: Mapping[str, Any]) -> bool:
        """Whether the task reports a metric on the fields that fill its roles."""
        kind, slash, _ = name.partition("/")
        need = self.need(name)
        return any(metric.name == kind + slash for metric in self.metrics) and (need is None or need.is_met(fields))

    def headline(self, fields: Mapping[str, Any]) -> Metric:
        """The metric by which runs are compared.

        Args:
            fields: role → field, or its sizes.
        """
        return self._first(self.headlines, fields)

    def monitor(self, fields: Mapping[str, Any]) -> Metric:
        """The metric of validation by which the best checkpoint is chosen.

        Args:
            fields: role → field, or its sizes.
        """
        return self._first(self.monitors, fields)

    def _first(self, names: tuple[str, ...], fields: Mapping[str, Any]) -> Metric:
        return self.metric(next(name for name in names if self.has(name, fields)))
