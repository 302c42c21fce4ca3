"""Where a result comes from: digests that miss nothing."""

from __future__ import annotations

import os
import subprocess
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
    depending = {name for name, stage in stages.items() if digest in stage.get("do", stage).get("deps", [])}
    assert depending == {"train", "retrain", "tune", "certify"}


def test_a_digest_of_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "here").write_text("a", encoding="utf-8")
    assert provenance.digest_of([tmp_path / "here"])
    with pytest.raises(FileNotFoundError):
        provenance.digest_of([tmp_path / "here", tmp_path / "missing"])


def repository(folder: Path) -> None:
    for command in (
        ["init", "-q"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-mx"],
    ):
        subprocess.run(["git", *command], cwd=folder, check=True)


@pytest.fixture
def quietly(project: Path) -> Path:
    provenance._report.cache_clear()
    return project


def test_a_repository_of_another_owner_is_reported_once_with_the_remedy(
    quietly: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    repository(quietly)
    assert provenance.git_state()["git.dirty"] == "true"
    assert capsys.readouterr().err == ""
    if os.getuid() == 0:
        os.chown(quietly, 65534, 65534)
        os.chown(quietly / ".git", 65534, 65534)
    else:
        monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # git's own
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)  # which may trust every folder
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    assert provenance.git_state() == {}
    assert provenance.git_state() == {}
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("unroll: runs are logged without a commit")
    assert f"git config --global --add safe.directory {quietly}" in error


def test_a_repository_that_git_cannot_read_is_reported(quietly: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (quietly / ".git").write_text("gitdir: /nowhere/at/all", encoding="utf-8")
    assert provenance.git_state() == {}
    (quietly / ".git").unlink()
    repository(quietly)
    (quietly / ".git" / "config").write_text("[core\n", encoding="utf-8")
    assert provenance.git_state() == {}
    assert "git cannot read this repository (fatal: bad config line 1" in capsys.readouterr().err


def test_no_repository_and_one_without_commits_are_no_news(quietly: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert provenance.git_state() == {}
    subprocess.run(["git", "init", "-q"], check=True)
    assert provenance.git_state() == {}
    assert capsys.readouterr().err == ""
