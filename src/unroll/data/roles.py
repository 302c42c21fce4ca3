"""Assignment of the fields of a corpus to the roles of a task."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from unroll.errors import BadInput, no_such


@dataclass(frozen=True)
class Role:
    """A named input of a task.

    Args:
        kinds: kinds of fields that may fill it.
        is_needed: whether the task requires it.
        learns_unknown: whether rare symbols are read as ``[UNK]`` at random in training, so that the task learns to
            read unknown ones. Inputs only: a target is never replaced.
        has_own_name: whether only a field of its name fills it, or one that the settings name: the only sequence of a
            corpus is not both a source and its target.
    """

    kinds: tuple[str, ...]
    is_needed: bool = True
    learns_unknown: bool = False
    has_own_name: bool = False

    def fitting(self, name: str, kinds: Mapping[str, str]) -> list[str]:
        """The fields that may fill the role without a setting.

        Args:
            name: name of the role.
            kinds: kind of each field of the corpus.
        """
        return [field for field, kind in kinds.items()
                if kind in self.kinds and (field == name or not self.has_own_name)]  # fmt: skip


Tasks = Mapping[str, Mapping[str, Role]]  # task → its roles


def fill(
    roles: Mapping[str, Role], kinds: Mapping[str, str], given: Mapping[str, str], place: str,
    tasks: Callable[[], Tasks],
) -> dict[str, str]:  # fmt: skip
    """Assign a field to each role: the given one, else the one with the name of the role, else the only fitting one.

    Args:
        roles: roles of the task.
        kinds: kind of each field of the corpus.
        given: fields of roles in the settings.
        place: the corpus and the task, for messages.
        tasks: returns all tasks, for messages.

    Raises:
        BadInput: a required role cannot be filled, or a given field does not exist or does not fit.
    """
    for name in given:
        if name not in roles:
            raise no_such(f"role of {place}, for data.roles,", name, roles)
    found: dict[str, str] = {}
    # a role that nothing can fill comes first: the choice of a field for another one would not help
    for name, role in sorted(roles.items(), key=lambda item: _is_settled(item[0], item[1], kinds)):
        fitting = role.fitting(name, kinds)
        field = given[name] if name in given else _field(name, fitting)
        if field is not None and kinds.get(field) in role.kinds:
            found[name] = str(field)
        elif field is not None or role.is_needed:
            raise _unfit(name, field, role, kinds, place, _remedy(name, fitting, kinds, tasks()))
    return {name: found[name] for name in roles if name in found}


def _is_settled(name: str, role: Role, kinds: Mapping[str, str]) -> bool:
    """Whether a role is not needed, or some field fits."""
    return not role.is_needed or role.fitting(name, kinds) != []


def _unfit(name: str, field: str | None, role: Role, kinds: Mapping[str, str], place: str, remedy: str) -> BadInput:
    """The error for a role that no field, or a field that does not fit, would fill."""
    if field is None:
        needed = f"the role {name} needs a field of kind {' or '.join(role.kinds)}"
        there = ", ".join(f"{other} ({kind})" for other, kind in kinds.items())
        return BadInput(f"{place}: {needed}, and the corpus has {there}; {remedy}.")
    if field not in kinds:
        return no_such(f"field of {place}, for data.roles.{name},", field, kinds)
    return BadInput(
        f"{place}: data.roles.{name}={field} is a field of kind {kinds[field]}, which does not fit; {remedy}."
    )


def _field(name: str, fitting: Sequence[str]) -> str | None:
    """The field that fills a role without a setting."""
    if name in fitting:
        return name
    return fitting[0] if len(fitting) == 1 else None


def _remedy(name: str, fitting: Sequence[str], kinds: Mapping[str, str], tasks: Tasks) -> str:
    if fitting:
        return f"choose one with {_choices(f'data.roles.{name}', fitting)}"
    others = [" ".join([task, *_chosen(roles, kinds)]) for task, roles in tasks.items() if fits(roles, kinds)]
    others.sort(key=lambda words: " " in words)  # tasks that need no more settings come first
    return f"choose {_choices('task', others)}, or other data" if others else "choose other data"


def _chosen(roles: Mapping[str, Role], kinds: Mapping[str, str]) -> Iterator[str]:
    """The settings that a task needs where several fields fit."""
    for name, role in roles.items():
        fitting = role.fitting(name, kinds)
        if role.is_needed and _field(name, fitting) is None:
            yield f"data.roles.{name}={fitting[0]}"


def _choices(key: str, values: Sequence[str]) -> str:
    return " or ".join(f"{key}={value}" for value in values)


def fits(roles: Mapping[str, Role], kinds: Mapping[str, str]) -> bool:
    """Whether a corpus has a field for every role that a task needs."""
    return all(role.fitting(name, kinds) for name, role in roles.items() if role.is_needed)


PROBE: Mapping[str, Role] = {"probe": Role(("probe",), is_needed=False)}
