"""Files that the program wrote for itself are read, or refused in one sentence, by the verbs that read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from fuzzing import SLOW, STATE, altered, command_ends_well, damaged, fuzz
from hypothesis import strategies as st

EVALUATE = ["evaluate", "runs/bilstm-0", "--prepared", "prepared"]
PREDICT = ["predict", "runs/bilstm-0", "the dog"]
VERDICT = ["verdict", "runs/bilstm-0", "runs/bilstm-0"]
READ_BY = {
    "runs/bilstm-0/run.json": [PREDICT, VERDICT], "runs/bilstm-0/vocabulary.json": [PREDICT],
    "runs/bilstm-0/config.yaml": [PREDICT, VERDICT], "runs/bilstm-0/history.csv": [PREDICT, VERDICT],
    "runs/bilstm-0/weights.safetensors": [PREDICT], "prepared/fit/spec.json": [EVALUATE],
    "prepared/fit/vocabulary.json": [EVALUATE], "prepared/test/spec.json": [EVALUATE],
    "prepared/test/test/tokens/values.npy": [EVALUATE], "prepared/test/test/tokens/offsets.npy": [EVALUATE],
}  # fmt: skip


@pytest.mark.parametrize("name", READ_BY)
@pytest.mark.parametrize("tier", SLOW)
def test_a_file_of_a_run_or_a_prepared_corpus_is_read_or_refused(tier: str, name: str, home: Path) -> None:
    path, content = Path(name), Path(name).read_bytes()

    def check(drawn: bytes) -> None:
        path.write_bytes(drawn)
        for command in READ_BY[name]:
            command_ends_well(command)

    fuzz(tier, STATE // len(READ_BY), st.one_of(damaged(content), *_values(path, content)), check)


def _values(path: Path, content: bytes) -> list[st.SearchStrategy[bytes]]:
    """Edits of the values of a file of JSON or YAML."""

    def written(made: Any) -> bytes:
        text = json.dumps(made) if path.suffix == ".json" else yaml.safe_dump(made, sort_keys=False)
        return text.encode("utf-8", "surrogatepass")

    return [altered(yaml.safe_load(content)).map(written)] if path.suffix in (".json", ".yaml") else []
