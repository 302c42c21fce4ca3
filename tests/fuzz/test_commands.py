"""Every verb with any arguments: it runs, or is refused in one sentence and leaves all files as they were."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzzing import COMMANDS, SLOW, command_ends_well, fuzz
from hypothesis import strategies as st

from unroll.cli import VERBS

PATHS = [
    "runs/bilstm-0", "runs", "metrics/tiny.json", "metrics", "conf", "conf/course.yaml", "prepared", "prepared/test",
    "text.txt", "own.conllu", "missing", "", ".", "/dev/null", "ü [🐶", "a b", "runs/bilstm-0/config.yaml", "costs",
    "conf/data/tiny.yaml", "metrics/tiny.json:bilstm", "metrics/tiny.json:", ":", "runs/*", "\udce9", "\0", "a\nb",
]  # fmt: skip
WORDS = [
    "experiment=tagging", "experiment=", "data=tiny", "data=", "arch=lstm", "arch=nope", "study=reach", "study=",
    "seed=x", "seed=-1", "training.tokens=abc", "training.tokens=1e400", "training={", "training.tokens=[1",
    "data.train=", "=", "~", "~data.reader.probe", "+x=1", "data.title=${x}", "tracking.uri=", "tracking=none",
    "storage=x", "trials=0", "a=b=c", "space.seed=1", "data.reader.name=columns", "data.reader={}",
    "data.roles.inputs=x", "--", "list", "add", "fetch",
]  # fmt: skip
OPTIONS = [
    "--out", "--config", "--prepared", "--name", "--force", "--file", "--json", "--evaluate", "--explain", "--course",
    "--costs", "--curves", "--archs", "--margin", "--metric", "--test", "--targets", "--summary", "--uri", "--length",
    "--seed", "--prompt", "--temperature", "--days", "--graph", "--help", "--nope", "-", "-x", "--accept-code-change",
]  # fmt: skip
VALUES = ["0", "-1", "1", "nan", "1e400", "x", "training", "caches", "welch", "accuracy", "the dog"]
REFUSED = {  # verbs that would train, serve or run DVC are given arguments with which they cannot
    "train": ["training.tokens=0"], "tune": ["trials=-1"], "ui": ["--port", "0"], "repro": ["--jobs", "0"],
}  # fmt: skip


@pytest.mark.parametrize("tier", SLOW)
def test_a_command_runs_or_is_refused(tier: str, home: Path) -> None:
    def check(words: list[str]) -> None:
        command_ends_well([*words, *REFUSED.get(words[0], [])])

    some = st.one_of(*map(st.sampled_from, (PATHS, WORDS, OPTIONS, VALUES)))
    arguments = st.one_of(st.lists(some, max_size=5), st.lists(st.one_of(some, st.text(max_size=8)), max_size=4))
    commands = st.tuples(st.sampled_from([*VERBS]), arguments).map(lambda drawn: [drawn[0], *drawn[1]])
    fuzz(tier, COMMANDS, commands, check)
