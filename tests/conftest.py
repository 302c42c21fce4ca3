"""Small corpora and settings that the tests share."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from torch import Tensor

os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is imported: tests side by side have a core each
# `python -m pytest` runs the dvc and the unroll beside that python, its environment activated or not.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

from unroll.config import Config, compose
from unroll.plugins import VARIABLE as PLUGINS

ROOT = Path(__file__).parent.parent
gc.set_threshold(100_000)  # as the command line does: what is imported and collected stays
os.fsync = lambda fd: None  # no test cuts the power, and each of the thousands of calls takes milliseconds
COMPOSED: dict[tuple[str, ...], Config] = {}  # settings of small runs: they are frozen, and compose takes 0.1 s


def pytest_collection_finish() -> None:
    """Have the collector leave alone what was imported and collected, millions of objects."""
    gc.freeze()


TAGGED = """\
1\tthe\t_\tDET\t_\t_\t_\t_\t_\t_
2\tdog\t_\tNOUN\t_\t_\t_\t_\t_\t_
3\tbarks\t_\tVERB\t_\t_\t_\t_\t_\tContext=left|Attractors=0|Contrast=sees|Distance=8

1\tthe\t_\tDET\t_\t_\t_\t_\t_\t_
2\told\t_\tADJ\t_\t_\t_\t_\t_\tContext=right
3\tcat\t_\tNOUN\t_\t_\t_\t_\t_\t_
4\tsees\t_\tVERB\t_\t_\t_\t_\t_\tAttractors=1|Contrast=barks|Distance=10
5\tit\t_\tPRON\t_\t_\t_\t_\t_\t_

"""
SERIES = "0.5\t0.2,1 0.3,1 0.1,0\n0.9\t0.4,1 0.5,1\n"
PAIRS = "12\tone two\tlow\n3\tthree\tlow\n45\tfour five\thigh\n213\ttwo one three\tlow\n54\tfive four\thigh\n"
TEXT = "to be or not to be that is the question\nwhether it is nobler in the mind to suffer\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project with this one's conf/, as the current folder."""
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("UNROLL_MIRROR", raising=False)
    monkeypatch.setenv("UNROLL_CREDENTIALS", "{}")  # written by unroll; so it is put back
    return tmp_path


@pytest.fixture
def plant() -> Callable[[Path, dict[str, Tensor]], None]:
    """Give a run other weights, as if it had learned them."""

    def give(run: Path, weights: dict[str, Tensor]) -> None:
        from safetensors.torch import save_file

        path = run / "weights.safetensors"
        save_file(weights, path)
        facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
        facts["weights"] = hashlib.sha256(path.read_bytes()).hexdigest()
        (run / "run.json").write_text(json.dumps(facts), encoding="utf-8")

    return give


@pytest.fixture
def small(project: Path) -> Callable[..., Config]:
    """Settings of an experiment on a tiny corpus that lies in the project's data/."""
    contents = {"conllu": TAGGED * 20, "series": SERIES * 20, "txt": TEXT * 20, "tsv": PAIRS * 20}
    for suffix, content in contents.items():
        for split in ("train", "validation", "test"):
            path = project / "data" / "small" / f"{split}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content if split == "train" else content[: len(content) // 2], encoding="utf-8")

    def compose_small(experiment: str, arch: str, *overrides: str) -> Config:
        is_series = experiment.startswith("adding")
        is_pairs = experiment == "pairs"  # a corpus and a task, without an experiment
        suffix = "series" if is_series else "tsv" if is_pairs else "conllu"
        files = [f"data.{split}=data/small/{split}.{suffix}" for split in ("train", "validation", "test")]
        common = ["data.generator=null", "judged_by=null", "tracking=none", "training.tokens=2000",
                  "training.batch_size=4", "training.validations=2"]  # fmt: skip
        if experiment == "grammar" and "task=cloze" not in overrides:
            common.append("training.truncation_length=7")
        size = [] if arch == "ngram" else ["arch.encoder.hidden_size=8"]
        has_others = any(word.startswith("arch.inputs.name=") for word in overrides)
        if size and not is_series and experiment != "ud-english-ewt-glove" and not has_others:
            size.append("arch.inputs.size=6")
        if is_pairs:
            size += ["arch.decoder.hidden_size=8", "arch.decoder.embedding_size=5"]
        name = ["data=numbers", "task=transducer"] if is_pairs else [f"experiment={experiment}"]
        words = [*name, f"arch={arch}", *files, *common, *size, *overrides]
        key = (_stamp(project / "conf"), os.environ.get(PLUGINS, ""), *words)
        if key not in COMPOSED:
            COMPOSED[key] = compose(words)
        return COMPOSED[key]

    return compose_small


@pytest.fixture
def rare_words(small: Callable[..., Config], project: Path) -> None:
    """Add words that occur once to the training split of the tiny corpus."""
    words = [f"rare{number}" for number in range(60)]
    lines = [f"{place % 3 + 1}\t{word}\t_\tNOUN" + "\t_" * 6 for place, word in enumerate(words)]
    with Path("data/small/train.conllu").open("a", encoding="utf-8") as file:
        file.writelines("\n".join(lines[begin : begin + 3]) + "\n\n" for begin in range(0, len(lines), 3))


def _stamp(folder: Path) -> str:
    """What changes if a file of the folder changes."""
    files = sorted(path for path in folder.rglob("*.yaml"))
    return str([(path.relative_to(folder), path.stat().st_mtime_ns, path.stat().st_size) for path in files])


@pytest.fixture(scope="session")
def golden_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ready MLflow database, whose tables take seconds to make."""
    from unroll.tracking.store import open_store

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    open_store(f"sqlite:///{path}")
    return path


@pytest.fixture
def store(golden_store: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URI of an empty MLflow store in the project."""
    import mlflow

    (project / "mlruns").mkdir()
    shutil.copy(golden_store, project / "mlruns" / "mlflow.db")
    uri = f"sqlite:///{project}/mlruns/mlflow.db"  # absolute: mlflow keeps its connections by URI
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)  # mlflow writes this variable; so it is put back
    yield uri
    mlflow.set_tracking_uri(None)
