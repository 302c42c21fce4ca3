"""Assignment of the fields of a corpus to the roles of a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from unroll.errors import BadInput, no_such


@dataclass(frozen=True)
class Role:
    """A named input of a task.

    Args:
        kinds: kinds of fields that may fill it.
        is_needed: whether the task requires it.
    """

    kinds: tuple[str, ...]
    is_needed: bool = True


def fill(roles: Mapping[str, Role], kinds: Mapping[str, str], given: Mapping[str, str], place: str) -> dict[str, str]:
    """Assign a field to each role: the given one, else the one with the name of the role, else the only fitting one.

    Args:
        roles: roles of the task.
        kinds: kind of each field of the corpus.
        given: fields of roles in the settings.
        place: the corpus and the task, for messages.

    Raises:
        BadInput: a required role cannot be filled, or a given field does not exist or does not fit.
    """
    for name in given:
        if name not in roles:
            raise no_such(f"role of {place}, for data.roles,", name, roles)
    found = {}
    for name, role in roles.items():
        fitting = [field for field, kind in kinds.items() if kind in role.kinds]
        field = _field(name, fitting, kinds, given, place)
        if field is not None:
            found[name] = field
        elif role.is_needed:
            raise BadInput(f"{place}: the task needs {_either(role.kinds)} as {name}, and the corpus has "
                           f"{_listed(kinds)}; {_remedy(name, fitting)}.")  # fmt: skip
    return found


def _field(
    name: str, fitting: Sequence[str], kinds: Mapping[str, str], given: Mapping[str, str], place: str
) -> str | None:
    if name in given:
        field = given[name]
        if field not in kinds:
            raise no_such(f"field of {place}, for data.roles.{name},", field, kinds)
        if field not in fitting:
            raise BadInput(f"{place}: data.roles.{name}={field} is a field of kind {kinds[field]}, which does not fit; "
                           f"{_remedy(name, fitting)}.")  # fmt: skip
        return field
    if name in fitting:
        return name
    return fitting[0] if len(fitting) == 1 else None


def _either(kinds: Sequence[str]) -> str:
    return " or ".join(kinds)


def _listed(kinds: Mapping[str, str]) -> str:
    return ", ".join(f"{field} ({kind})" for field, kind in kinds.items())


def _remedy(name: str, fitting: Sequence[str]) -> str:
    if fitting:
        return f"choose one with data.roles.{name}={'|'.join(fitting)}"
    return "choose another task or other data"


PROBE: Mapping[str, Role] = {"probe": Role(("probe",), is_needed=False)}
