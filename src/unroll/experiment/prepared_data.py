"""Prepared data of a run, by role of its task."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from unroll.config import Config
from unroll.data.batch import DataSpec
from unroll.data.corpus import place_of
from unroll.data.fields import GAPS, NOT_GIVEN, Labels
from unroll.data.prepared import Split, open_split, open_vocabularies
from unroll.data.seal import origin_of
from unroll.data.vocabularies import Vocabularies
from unroll.data.vocabulary import GAP_INDEX
from unroll.errors import BadInput


class PreparedData:
    """A prepared corpus whose fields fill the roles of a task.

    Args:
        config: settings of the run.
        folder: prepared folder, with ``fit/``.

    Raises:
        BadInput: the folder is not a prepared corpus of the run, or all labels are equal.
    """

    def __init__(self, config: Config, folder: Path) -> None:
        self.folder = folder
        self.vocabularies = open_vocabularies(folder)
        self.roles = roles_of(config, self.vocabularies)
        _refuse_one_label(config, self.vocabulary.spec)

    @classmethod
    def to_train(cls, config: Config, folder: Path) -> PreparedData:
        """Open the data to train a run on, which must have been prepared with its data settings.

        A finished run, in contrast, can be evaluated on any folder with its vocabulary, train and validation data.

        Raises:
            BadInput: the settings differ; the message names all of them.
        """
        data = cls(config, folder)
        here = config.data.build_corpus().origin
        _refuse_gaps(config, data)
        there = origin_of(folder / "fit")
        keys = [key for key in {**here, **there} if there.get(key) != here.get(key)]
        if keys:
            differing = "; ".join(f"{_given(key, there)} there, {_given(key, here)} here" for key in keys)
            raise BadInput(
                f"{folder} was not prepared from data={config.data.name} as this run reads it ({differing}); "
                "leave out --prepared, or name a folder that unroll prepare wrote with these settings."
            )
        return data

    @cached_property
    def vocabulary(self) -> Vocabularies:
        """The vocabularies by role."""
        return self.vocabularies.under(self.roles)

    @property
    def spec(self) -> DataSpec:
        """The sizes that networks and tasks are built from, by role."""
        return self.vocabulary.spec

    def split(self, name: str) -> Split:
        """One split, by role.

        Raises:
            BadInput: it is missing or was changed.
        """
        return open_split(self.folder / ("test" if name == "test" else "fit") / name).under(self.roles)


def _given(key: str, origin: Mapping[str, str]) -> str:
    return f"{key}={origin[key]}" if key in origin else f"no {key}"


def _refuse_one_label(config: Config, spec: DataSpec) -> None:
    """Refuse labels that are all equal, from which nothing can be learned."""
    if "labels" not in spec or len(spec["labels"].names) > 1:
        return
    what = f"every label of {config.data.train} is {spec['labels'].names[0]!r}" if spec["labels"].names else (
        f"no label of {config.data.train} is given")  # fmt: skip
    fields = config.data.build_reader().fields.values()
    column = next((field.column for field in fields if isinstance(field, Labels)), "")
    raise BadInput(f"task={config.task.name} on data={config.data.name}: {what}"
                   f"{f' ({column})' if column else ''}, so that there is nothing to learn; give tokens their labels, "
                   "or choose another column or task.")  # fmt: skip


def _refuse_gaps(config: Config, data: PreparedData) -> None:
    """Refuse to learn labels that are not given everywhere in train and validation, with the first place."""
    predicts = config.task.description.predicts
    if not predicts or not data.spec[predicts].names:
        return
    gaps = [label for label in GAPS if label not in data.spec[predicts].names]
    for split in ("train", "validation"):
        if (data.split(split)[predicts].values == GAP_INDEX).any():
            place = place_of(config.data.build_corpus(), split, data.roles[predicts], gaps)
            raise BadInput(f"{place}: a label of the {split} split is not given ({NOT_GIVEN} or empty), and "
                           f"task={config.task.name} needs all; give it, or remove its sentence.")  # fmt: skip


def roles_of(config: Config, vocabularies: Vocabularies) -> dict[str, str]:
    """The field that fills each role of the task of a run.

    Raises:
        BadInput: the vocabularies belong to another corpus.
    """
    kinds = {name: vocabulary.kind for name, vocabulary in vocabularies.items()}
    declared = {
        name: (field.kind, getattr(field, "unit", "")) for name, field in config.data.build_reader().fields.items()
    }
    found = {name: (kinds[name], spec.unit) for name, spec in vocabularies.spec.items() if name != "spelling"}
    if found != declared:
        raise BadInput(f"The prepared data have {_listed(found)}, and data={config.data.name} has {_listed(declared)}; "
                       "name the folder that unroll prepare wrote of this corpus.")  # fmt: skip
    return config.fill_roles(kinds)


def _listed(fields: dict[str, tuple[str, str]]) -> str:
    return ", ".join(f"{name} ({unit or kind})" for name, (kind, unit) in fields.items())
