"""Where a result comes from: digests that miss nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from unroll.tracking import provenance

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("pipeline", ["dvc.yaml", "paper/dvc.yaml"])
def test_a_fingerprint_covers_all_the_code_on_which_the_pipeline_makes_a_run_depend(pipeline: str) -> None:
    stages = yaml.safe_load((ROOT / pipeline).read_text(encoding="utf-8"))["stages"]
    code = {Path(dep) for dep in stages["code"]["deps"]}
    assert {Path("src/unroll") / name for name in provenance.CODE} == code
    assert all((ROOT / path).exists() for path in code)
    digest = stages["code"]["outs"][0]
    trained = {name for name, stage in stages.items() if name.startswith(("train-", "tune", "certify-"))}
    assert len(trained) > 5
    assert {name for name, stage in stages.items() if digest in stage.get("deps", [])} == trained


def test_a_digest_of_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "here").write_text("a", encoding="utf-8")
    assert provenance.digest_of([tmp_path / "here"])
    with pytest.raises(FileNotFoundError):
        provenance.digest_of([tmp_path / "here", tmp_path / "missing"])
