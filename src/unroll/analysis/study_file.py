"""The content of ``study.json``, validated on reading."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, cast

from pydantic import FiniteFloat, NonNegativeInt, PositiveInt, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from unroll.analysis.rows import Row

Scalar = str | bool | int | FiniteFloat | None


class SearchedKey(TypedDict):
    """A key of the space: choices, or a range."""

    choices: NotRequired[list[Scalar]]
    low: NotRequired[FiniteFloat]
    high: NotRequired[FiniteFloat]
    step: NotRequired[FiniteFloat | None]
    log: NotRequired[bool]
    when: NotRequired[dict[str, Scalar | list[Scalar]]]


class BestTrial(TypedDict):
    """The best trial of an architecture."""

    trial: NonNegativeInt
    value: FiniteFloat
    values: dict[str, Scalar]
    parameters: PositiveInt


class StudyContent(TypedDict):
    """What the page of a study shows."""

    name: str
    question: str
    experiment: str
    metric: str
    mode: Literal["min", "max"]
    tokens: PositiveInt
    validations: PositiveInt
    match: str | None
    space: dict[str, SearchedKey]
    sampler: Literal["tpe", "random", "grid", "gp", "qmc"]
    pruner: Literal["median", "hyperband", "none"]
    states: dict[Literal["COMPLETE", "PRUNED", "TOO_COSTLY", "FAIL"], NonNegativeInt]
    best: dict[str, BestTrial]
    importances: dict[str, FiniteFloat]


def checked(content: Any) -> Row:
    """The content, which is unchanged.

    Raises:
        ValueError: a part is missing, or has another type.
    """
    try:
        TypeAdapter(StudyContent).validate_python(content, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    for part in content["space"].values():
        if not part.get("choices") and not {"low", "high"} <= part.keys():
            raise ValueError("a key of the space has neither choices nor a range")
    if not content["best"]:
        raise ValueError("it has no best trial")
    return cast("Row", content)
