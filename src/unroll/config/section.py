"""What every section of the settings is."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from unroll.names import fault, fault_of_file


def plain(value: Any) -> str:
    """A value on one line, as YAML has it."""
    is_line = isinstance(value, str) and value.isprintable()
    return value if is_line else json.dumps(value, ensure_ascii=False, default=str)


def _refused(value: str, reason: str) -> str:
    """The value, unless there is a reason against it."""
    if reason:
        raise PydanticCustomError("path", "{reason}", {"reason": reason})
    return value


def _fault_of_path(path: str) -> str:
    return "" if path.isprintable() and path.strip() else "a path has one line, without control characters; correct it"


Name = Annotated[str, AfterValidator(lambda name: _refused(name, fault(name)))]  # becomes part of a path
FileBelow = Annotated[str, AfterValidator(lambda file: _refused(file, fault_of_file(file)))]  # of a given folder
FilePath = Annotated[str, AfterValidator(lambda path: _refused(path, _fault_of_path(path)))]  # of a file that is read


class Section(BaseModel):
    """Frozen settings that know all of their keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _numbers(cls, content: Any) -> Any:
        """Refuse true and false where a number is due, which Python takes for 1 and 0."""
        for key, value in content.items() if isinstance(content, dict) else ():
            if isinstance(value, bool) and key in cls.model_fields and cls.model_fields[key].annotation is not bool:
                raise ValueError(f"{key}={str(value).lower()}: this is not a number or a text")
        return content
