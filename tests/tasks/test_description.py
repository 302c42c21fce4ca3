"""Descriptions of tasks: what they may declare."""

from __future__ import annotations

from dataclasses import replace

import pytest

from unroll.data.roles import Role
from unroll.errors import BadInput
from unroll.tasks.description import Description, Options
from unroll.tasks.registry import descriptions

TAGGER = descriptions()["tagger"]
LEARNING = Role(("symbols",), learns_unknown=True)


@pytest.mark.parametrize("task", descriptions().values(), ids=lambda task: task.name)
def test_every_task_that_reads_words_and_predicts_something_else_learns_unknown_words(task: Description) -> None:
    reads = [name for name, role in task.roles.items() if "symbols" in role.kinds and name != task.predicts]
    assert task.learning == ([] if task.predicts_inputs else reads)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"roles": {**TAGGER.roles, "labels": LEARNING}}, "labels learns_unknown, but targets"),
        ({"predicts_inputs": True}, "inputs learns_unknown, but targets"),
        ({"reads": "streams"}, "inputs learns_unknown, but targets"),
        ({"options": Options}, "inputs learns_unknown, so options must be derived from ReadingOptions"),
    ],
)
def test_a_target_or_a_stream_is_never_replaced(changed: dict[str, object], reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        replace(TAGGER, **changed).check()  # type: ignore[arg-type]


def test_a_task_that_predicts_words_leaves_rare_ones_out() -> None:
    class Words:
        unit = "words"

    class Characters:
        unit = "characters"

    class Names:
        pass

    translator = replace(TAGGER, roles={"inputs": LEARNING, "labels": Role(("symbols",))})
    assert translator.min_count({"inputs": Words(), "labels": Words()}) == 2
    assert translator.min_count({"inputs": Words(), "labels": Characters()}) == 1
    assert TAGGER.min_count({"inputs": Words(), "labels": Names()}) == 1
