"""The answer of an experiment, made from its verdicts."""

from __future__ import annotations

from typing import Any

import pytest

from unroll.analysis.answer import answer

Row = dict[str, Any]


def row(arch: str, seeds: int = 5, better: bool | None = None, solved: int | None = None, **others: Any) -> Row:
    return {"arch": arch, "seeds": seeds, "better": better, "solved": solved, "split": "test", "metric": "accuracy",
            "mean": 0.9, "deterministic": False, **others}  # fmt: skip


@pytest.mark.parametrize(("rows", "said"), [
    ([row("lstm")], "The test accuracy of lstm is 0.9000."),
    ([row("lstm"), row("gru", better=True)],
     "lstm has the best mean test accuracy, 0.9000: it is better than gru."),
    ([row("lstm"), row("gru", better=False), row("rnn", better=True), row("irnn", better=True)],
     "lstm has the best mean test accuracy, 0.9000: it is better than rnn and irnn, but not shown to be better than "
     "gru."),
    ([row("lstm"), row("gru", better=False)],
     "lstm has the best mean test accuracy, 0.9000, but it is not shown to be better than gru."),
    ([row("lstm", 3), row("gru", 3, better=False), row("ngram", 1, better=False, deterministic=True)],
     "No architecture is called better with 3 seeds: 5 of each are needed. The mean test accuracy is 0.9000 for lstm "
     "and 0.9000 for ngram."),
    ([row("lstm", mean=None), row("gru", better=None)],
     "No architecture has a mean test accuracy that is a number."),
    ([row("lstm", solved=5), row("gru", better=False, solved=5), row("irnn", better=False, solved=2),
      row("rnn", better=True, solved=0)],
     "The problem is solved by every seed of lstm and gru, by 2 of 5 seeds of irnn and by no seed of rnn. lstm has the "
     "best mean test accuracy, 0.9000: it is better than rnn, but not shown to be better than gru or irnn."),
    ([row("lstm", solved=0), row("gru", better=False, solved=0)],
     "The problem is solved by no seed of lstm or gru. lstm has the best mean test accuracy, 0.9000, but it is not "
     "shown to be better than gru."),
])  # fmt: skip
def test_the_answer_says_what_the_verdicts_say(rows: list[Row], said: str) -> None:
    assert answer(rows) == said
