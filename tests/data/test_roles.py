"""Which field fills which role: by settings, by name, or as the only one that fits."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from unroll.data.roles import Role, fill
from unroll.errors import BadInput
from unroll.tasks.registry import description_of, descriptions

TAGGER = description_of("tagger").roles
PLACE = "task=tagger on data=mine"


def tasks() -> Mapping[str, Mapping[str, Role]]:
    """The roles of all tasks."""
    return {name: task.roles for name, task in descriptions().items()}


def test_a_role_is_filled_by_the_field_of_its_name() -> None:
    kinds = {"tokens": "symbols", "labels": "labels", "fine": "labels"}
    assert fill(TAGGER, kinds, {}, PLACE, tasks) == {"inputs": "tokens", "labels": "labels"}


def test_a_role_is_filled_by_the_only_field_that_fits() -> None:
    assert fill(TAGGER, {"forms": "symbols", "upos": "labels"}, {}, PLACE, tasks) == {
        "inputs": "forms",
        "labels": "upos",
    }


def test_the_settings_have_the_last_word() -> None:
    kinds = {"tokens": "symbols", "labels": "labels", "fine": "labels"}
    assert fill(TAGGER, kinds, {"labels": "fine"}, PLACE, tasks)["labels"] == "fine"


def test_a_role_that_is_not_needed_may_stay_empty() -> None:
    kinds = {"tokens": "symbols", "labels": "labels", "probe": "probe", "spelling": "spelling"}
    assert set(fill(TAGGER, kinds, {}, PLACE, tasks)) == {"inputs", "labels", "probe", "spelling"}
    assert fill({"x": Role(("number",), is_needed=False)}, kinds, {}, PLACE, tasks) == {}


@pytest.mark.parametrize(("kinds", "given", "parts"), [
    ({"tokens": "symbols"}, {}, ["field of kind labels", "tokens (symbols)", "task=cloze or task=language_model, or"]),
    ({"marks": "probe"}, {}, ["inputs needs a field of kind symbols", "marks (probe); choose other data."]),
    ({"tokens": "symbols", "labels": "labels"}, {"labels": ""}, ["no field", "''", "choose one of tokens, labels"]),
    ({"a": "symbols", "b": "symbols"}, {}, ["field of kind labels", "task=language_model data.roles.inputs=a"]),
    ({"a": "symbols", "b": "symbols", "labels": "labels"}, {}, ["role inputs needs", "=a or data.roles.inputs=b"]),
    ({"tokens": "symbols", "labels": "labels"}, {"labels": "label"}, ["'label'", "did you mean labels?"]),
    ({"tokens": "symbols", "labels": "labels"}, {"label": "labels"}, ["role", "'label'", "did you mean labels?"]),
    ({"tokens": "symbols", "labels": "labels"}, {"labels": "tokens"}, ["kind symbols", "data.roles.labels=labels"]),
])  # fmt: skip
def test_what_cannot_be_filled_is_one_sentence_with_what_would_fit(
    kinds: dict[str, str], given: dict[str, str], parts: list[str]
) -> None:
    with pytest.raises(BadInput) as caught:
        fill(TAGGER, kinds, given, PLACE, tasks)
    for part in parts:
        assert part in str(caught.value)
