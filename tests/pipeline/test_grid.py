"""conf/grid.yaml, over which the stages of DVC run: as the course says, for any names, and refused if it is old."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from processes import some_slow

from unroll import config
from unroll.cli import main
from unroll.errors import BadInput
from unroll.pipeline import graph
from unroll.pipeline.stages import planned

ROOT = Path(__file__).parent.parent.parent
COURSE = Path("conf/course.yaml")


def course(**chapters: dict[str, list[object]]) -> None:
    COURSE.write_text(yaml.safe_dump(chapters, sort_keys=False), encoding="utf-8")


def grid() -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = yaml.safe_load(Path("conf/grid.yaml").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("path", ["conf/course.yaml", "paper/course.yaml"])
def test_the_grids_of_this_project_are_those_of_its_courses(path: str, project: Path) -> None:
    shutil.copytree(ROOT / "paper", "paper", dirs_exist_ok=True, ignore=shutil.ignore_patterns("outputs", "data"))
    file = config.grid_file(Path(path))
    assert not config.write_grid(Path(path)), f"{file} is old; run unroll course {path}"


def test_a_chapter_more_is_its_entries_in_the_grid(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = grid()
    content = yaml.safe_load(COURSE.read_text(encoding="utf-8"))
    own = {"experiments": ["brown"], "archs": ["lstm", "bilstm.b"], "seeds": [4], "certified": ["bilstm.b-4"]}
    shutil.copy("conf/arch/lstm.yaml", "conf/arch/bilstm.b.yaml")
    course(**content | {"own": own})
    assert main(["course"]) == 0
    assert capsys.readouterr().out == "conf/grid.yaml written\n"
    added = {kind: [name for name in names if name not in before[kind]] for kind, names in grid().items()}
    assert added == {"prepare": ["brown"], "train": ["brown-lstm", "brown-bilstm.b"], "tune": [], "retrain": [],
                     "evaluate": ["brown"], "certify": ["brown-bilstm.b-4"]}  # fmt: skip
    assert grid()["certify"]["brown-bilstm.b-4"] == {"experiment": "brown", "arch": "bilstm.b", "seed": 4}
    assert main(["course"]) == 0
    assert capsys.readouterr().out == "conf/grid.yaml is up to date\n"


def test_dvc_makes_the_stages_of_the_grid(project: Path) -> None:
    shutil.copy("conf/arch/lstm.yaml", "conf/arch/my.lstm.yaml")
    course(own={"experiments": ["adding"], "archs": ["my.lstm"], "seeds": [0], "certified": []})
    assert main(["course"]) == 0
    shutil.copy(ROOT / "dvc.yaml", "dvc.yaml")
    for words in (["init", "-q", "--no-scm"], ["stage", "list", "--name-only"]):
        done = subprocess.run(["dvc", *words], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"resolve", "code", "prepare@adding", "train@adding-my.lstm", "evaluate@adding",
                                        "compare", "report"}  # fmt: skip


@pytest.mark.slow
def test_dvc_makes_the_stages_of_the_paper(project: Path) -> None:
    shutil.copytree(ROOT / "paper", "paper", ignore=shutil.ignore_patterns("outputs", "data"))
    for words in (["init", "-q", "--no-scm"], ["stage", "list", "--name-only", "paper/dvc.yaml"]):
        done = subprocess.run(["dvc", *words], capture_output=True, text=True, check=True)
    made = {name.removeprefix("paper/dvc.yaml:") for name in done.stdout.split()}
    entries = {f"{kind}@{name}" for kind, names in config.stages(Path("paper/course.yaml")).items() for name in names}
    assert {name for name in made if not name.startswith("fetch@")} == {
        *entries,
        "resolve",
        "code",
        "compare",
        "report",
    }
    folders = {Path(entry["corpus"]) for entry in config.stages(Path("paper/course.yaml"))["prepare"].values()}
    corpora = {folder.name for folder in folders if folder.parent == Path("paper/data")}  # others are embedded
    assert {name for name in made if name.startswith("fetch@")} >= {f"fetch@{corpus}" for corpus in corpora}


def test_a_grid_that_is_old_is_refused_and_the_remedy_works(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    course(own={"experiments": ["adding"], "archs": ["lstm"], "seeds": [0], "certified": []})
    assert main(["config", "--course", "conf/course.yaml"]) == 2
    assert "run unroll course conf/course.yaml" in capsys.readouterr().err
    assert not Path("outputs").exists()
    assert main(["course", "conf/course.yaml"]) == 0
    assert main(["config", "--course", "conf/course.yaml"]) == 0
    assert Path("outputs/configs/adding/lstm/0.yaml").exists()


def test_two_stages_of_one_name_are_refused(project: Path) -> None:
    for name in ("a", "a-lstm"):
        shutil.copy("conf/experiment/adding.yaml", f"conf/experiment/{name}.yaml")
    shutil.copy("conf/arch/lstm.yaml", "conf/arch/lstm-b.yaml")
    shutil.copy("conf/arch/lstm.yaml", "conf/arch/b.yaml")
    course(one={"experiments": ["a"], "archs": ["lstm-b"], "seeds": [0]},
           two={"experiments": ["a-lstm"], "archs": ["b"], "seeds": [0]})  # fmt: skip
    with pytest.raises(BadInput, match="two stages would be named a-lstm-b"):
        config.write_grid(COURSE)
    course(one={"experiments": ["a"], "archs": ["lstm"], "seeds": [0]},
           two={"experiments": ["a"], "archs": ["gru"], "seeds": [0]})  # fmt: skip
    with pytest.raises(BadInput, match="experiment a is in two chapters"):
        config.write_grid(COURSE)


@pytest.mark.parametrize(("files", "corpus"), [
    ({"train": "data/mine/train.txt", "validation": "data/mine/dev.txt", "test": "data/mine/test.txt"}, "data/mine"),
    ({"train": "data/mine/a/train.txt", "validation": "data/mine/b/dev.txt"}, "data/mine"),
    ({"train": "train.txt", "validation": "data/dev.txt"}, "train.txt"),
    ({"train": "/somewhere/mine/train.txt", "validation": "/somewhere/mine/dev.txt"}, "/somewhere/mine"),
])  # fmt: skip
def test_prepared_data_depend_on_the_folder_of_their_corpus(files: dict[str, str], corpus: str, project: Path) -> None:
    content = {"defaults": ["recall"], "generator": None, "test": None, **files}
    Path("conf/data/mine.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    text = Path("conf/experiment/recall.yaml").read_text(encoding="utf-8")
    text = text.replace("override /data: recall", "override /data: mine")
    Path("conf/experiment/mine.yaml").write_text(text, encoding="utf-8")
    course(own={"experiments": ["mine"], "archs": ["lstm"], "seeds": [0]})
    assert config.write_grid(COURSE)
    assert grid()["prepare"]["mine"] == {"corpus": corpus, "vectors": corpus}


@pytest.mark.parametrize(("stages", "jobs", "sizes", "processes"), [
    (21, 2, [3, 3, 3, 3, 2, 1, 1, 1, 1, 1, 1, 1], [1] * 12),
    (2, 2, [1, 1], [1, 1]),
    (1, 4, [1], [4]),
    (3, 8, [1, 1, 1], [3, 3, 2]),
    (3, 1, [1, 1, 1], [1, 1, 1]),
])  # fmt: skip
def test_stages_share_the_jobs(stages: int, jobs: int, sizes: list[int], processes: list[int]) -> None:
    names = [f"train@{number}" for number in range(stages)]
    commands = planned(names, jobs)
    assert [name for command in commands for name in command.arguments[1:]] == names
    assert {command.arguments[0] for command in commands} == {"-s"}
    assert [len(command.arguments) - 1 for command in commands] == sizes
    assert [command.processes for command in commands] == processes


@pytest.mark.parametrize("path", some_slow(["conf/course.yaml", "paper/course.yaml"], "conf/course.yaml"))
def test_the_graph_has_every_stage_once_by_chapter_in_120_columns(path: str, project: Path) -> None:
    shutil.copytree(ROOT / "paper", "paper", dirs_exist_ok=True, ignore=shutil.ignore_patterns("outputs", "data"))
    text = graph(Path(path))
    assert max(map(len, text.splitlines())) <= 120
    named = [word for word in text.split() if "@" in word]
    stages = config.stages(Path(path))
    assert sorted(named) == sorted(f"{kind}@{name}" for kind, names in stages.items() for name in names)
    chapters = [name for name, grid in config.course(Path(path)).items() if grid["experiments"]]
    assert [line.split()[0] for line in text.splitlines() if "(seeds " in line] == chapters
