"""Base classes of the sections of the settings."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from typing import Annotated, Any, Literal, Self, get_origin, get_type_hints

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    create_model,
    model_validator,
)
from pydantic_core import PydanticCustomError

from unroll.errors import no_such
from unroll.names import fault, fault_of_file

UNSAFE = "unsafe_name"  # pydantic's type of the error about a name or path that is refused


def plain(value: object) -> str:
    """A value on one line, as in YAML."""
    if isinstance(value, str) and value.isprintable():
        return value
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except TypeError:  # JSON has no keys such as dates
        return str(value)


def _refused(value: str, reason: str) -> str:
    """Return the value unless there is a reason to refuse it."""
    if reason:
        raise PydanticCustomError(UNSAFE, "{reason}", {"reason": reason})
    return value


def _fault_of_path(path: str) -> str:
    return "" if path.isprintable() and path.strip() else "a path must be a single line without control characters"


Name = Annotated[str, AfterValidator(lambda name: _refused(name, fault(name)))]  # becomes part of a path
FileBelow = Annotated[str, AfterValidator(lambda file: _refused(file, fault_of_file(file)))]  # of a given folder
FilePath = Annotated[str, AfterValidator(lambda path: _refused(path, _fault_of_path(path)))]  # of a file that is read


Settings = dict[str, Any]  # plain settings, as in YAML; the schema checks them
NEUTRAL: Settings = {"affects_result": False}  # json_schema_extra of settings that do not affect the result


class Section(BaseModel):
    """Immutable settings that refuse unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _numbers(cls, content: Any) -> Any:
        """Refuse true and false in place of a number; Python would treat them as 1 and 0."""
        for key, value in content.items() if isinstance(content, dict) else ():
            if isinstance(value, bool) and key in cls.model_fields and cls.model_fields[key].annotation is not bool:
                raise ValueError(f"{key}={str(value).lower()}: expected a number or text")
        return content


def neutral_keys(kind: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Dotted names of the settings below a section that do not affect the result."""
    for name, field in kind.model_fields.items():
        inner = field.annotation
        if field.json_schema_extra == NEUTRAL:
            yield f"{prefix}{name}"
        elif isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from neutral_keys(inner, f"{prefix}{name}.")


class Named(Section):
    """A section whose name selects its kind, and thereby its other settings.

    The selecting class implements ``kinds``; in each kind, ``name`` is a ``Literal``. :func:`section_of` creates kinds.
    """

    name: str

    @classmethod
    def kinds(cls) -> Mapping[str, type[Named]]:
        """The section of each name."""
        raise NotImplementedError

    @model_validator(mode="wrap")
    @classmethod
    def _of_its_kind(cls, content: Any, handler: ModelWrapValidatorHandler[Self]) -> Any:
        if get_origin(cls.model_fields["name"].annotation) is Literal or isinstance(content, cls):
            return handler(content)
        kinds = cls.kinds()
        if not isinstance(content, Mapping) or "name" not in content:
            raise PydanticCustomError("no_name", "it has no name", {"names": list(kinds)})
        name = content["name"]
        if not isinstance(name, str) or name not in kinds:
            raise PydanticCustomError(
                "no_such_name", "{reason}", {"reason": str(no_such("choice", plain(name), kinds))}
            )
        known = kinds[name].model_fields
        for key in content:
            if key not in known:
                context = {"name": name, "key": str(key), "known": [each for each in known if each != "name"]}
                raise PydanticCustomError("no_option", "it has no such option", context)
        return kinds[name].model_validate(content)


def section_of(options: type, base: type[Named], name: str, description: str) -> type[Named]:
    """Create the section of one name, whose other settings are the fields of a dataclass.

    Args:
        options: the dataclass.
        base: the selecting section.
        name: the name.
        description: description of the setting ``name``.
    """
    hints = get_type_hints(options, include_extras=True)
    given: Settings = {
        option.name: (hints[option.name], ... if option.default is MISSING else option.default)
        for option in fields(options)
    }
    given["name"] = (Literal[name], Field(description=description))
    return create_model(f"{options.__name__}Config", __base__=base, __doc__=options.__doc__, **given)
