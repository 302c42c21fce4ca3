"""Files of ``conf/`` that were damaged: one sentence with the file, whatever verb reads it, and nothing is written."""

from __future__ import annotations

from pathlib import Path

import pytest
from processes import crossed

from unroll.cli import main

CONTENTS = {"empty": b"", "NUL": bytes(90), "a list": b"[]\n", "a number": b"3\n", "null": b"null\n",
            "no section": b"{}\n", "other keys": b"{a: {}, b: [1]}\n", "no UTF-8": b"\xff\xfe" + b"a: 1\n",
            "sections of other kinds": b"{defaults: 3, data: [], settings: [], sampler: 1}\n"}  # fmt: skip
VERBS = {
    "config": ["config", "experiment=adding", "tracking=none"], "data": ["data", "list"],
    "course": ["config", "--course", "conf/course.yaml", "--out", "configs"], "tune": ["tune", "study=reach"],
    "report": ["report"], "sent": ["tune", "--config", "sent.yaml"],
}  # fmt: skip
PAIRS = [("conf/config.yaml", verb) for verb in ("config", "data", "course", "tune", "report")]
PAIRS += [("conf/study.yaml", verb) for verb in ("course", "tune", "report", "sent")]
PAIRS += [("conf/study/reach.yaml", "tune")]


QUICK = ("NUL", "sections of other kinds")


@pytest.mark.parametrize(("pair", "content"), crossed(PAIRS, CONTENTS, *QUICK))
def test_a_damaged_file_of_the_project_is_named(
    pair: tuple[str, str], content: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, verb = pair
    from unroll.config import compose_study

    Path("sent.yaml").write_text(compose_study("lstm-vs-gru").dump(), encoding="utf-8")
    Path(file).write_bytes(CONTENTS[content])
    before = sorted(Path().rglob("*"))
    capsys.readouterr()
    assert main(VERBS[verb]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert file in line
    assert sorted(Path().rglob("*")) == before


def test_a_file_that_an_experiment_uses_and_that_is_missing_is_named(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("conf/data/grammar.yaml").unlink()
    for words in (["config", "experiment=tagging"], ["config", "--course", "conf/course.yaml"]):
        assert main(words) == 2
        message = capsys.readouterr().err
        assert "conf/data/grammar.yaml does not exist" in message
        assert message.count("\n") == 1
