"""Prepared data as a run's task reads them: by role."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from unroll.config import Config
from unroll.data.batch import DataSpec
from unroll.data.prepared import Split, open_split, open_vocabularies
from unroll.data.roles import ROLES, fill
from unroll.data.vocabularies import Vocabularies
from unroll.errors import BadInput


class PreparedData:
    """A prepared corpus, whose fields fill the roles of a run's task.

    Args:
        config: settings of the run.
        folder: with ``fit/``.

    Raises:
        BadInput: the folder is not a prepared corpus, or not one of the run's corpus.
    """

    def __init__(self, config: Config, folder: Path) -> None:
        self.folder, self.vocabularies = folder, open_vocabularies(folder)
        self.roles = roles_of(config, self.vocabularies)

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
            BadInput: it is not there, or was changed.
        """
        return open_split(self.folder / ("test" if name == "test" else "fit") / name).under(self.roles)


def roles_of(config: Config, vocabularies: Vocabularies) -> dict[str, str]:
    """The field that fills each role of a run's task.

    Raises:
        BadInput: the vocabularies are those of another corpus.
    """
    kinds = {name: vocabulary.kind for name, vocabulary in vocabularies.items()}
    declared = {
        name: (field.kind, getattr(field, "unit", "")) for name, field in config.data.build_reader().fields.items()
    }
    found = {name: (kinds[name], spec.unit) for name, spec in vocabularies.spec.items() if name != "spelling"}
    if found != declared:
        raise BadInput(f"The prepared data have {_listed(found)}, and data={config.data.name} has {_listed(declared)}; "
                       "name the folder that unroll prepare wrote of this corpus.")  # fmt: skip
    return fill(
        ROLES[config.task.name], kinds, config.data.roles, f"task={config.task.name} on data={config.data.name}"
    )


def _listed(fields: dict[str, tuple[str, str]]) -> str:
    return ", ".join(f"{name} ({unit or kind})" for name, (kind, unit) in fields.items())
