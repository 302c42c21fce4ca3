"""What was cut, emptied or changed of the files that the project reads back is reported in one sentence, or rebuilt."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from processes import crossed

from unroll.cli import main

ROOT = Path(__file__).parent.parent
SENTENCES = (
    "\n".join(f"dog {number % 7} barks at {number % 5} cats, {number % 4} birds" for number in range(120)) + "\n"
)
SETTINGS = [
    "experiment=brown", "arch=lstm", "tracking=none", "data=own", "arch.encoder.hidden_size=4", "arch.inputs.size=4",
    "task.tied=false", "training.tokens=600", "training.validations=2", "training.batch_size=4",
    "training.truncation_length=5", "training.threads=1", "training.precision=32",
]  # fmt: skip


MEASURE = ["evaluate", "runs", "--prepared", "prepared", "--out", "metrics/own.json", "--costs", "costs"]


def shift(old: bytes) -> bytes:
    """Bytes of the second half that are others."""
    half = len(old) // 2
    return old[:half] + bytes(byte ^ 0x55 for byte in old[half:])


BYTES: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda old: old[: len(old) // 2],
    "empty": lambda _: b"",
    "NUL": lambda old: bytes(len(old)),
    "cut at its last byte": lambda old: old[:-2],
    "NUL at its end": lambda old: old[: len(old) // 2] + bytes(len(old) - len(old) // 2),
    "other bytes": shift,
    "random": lambda old: np.random.default_rng(0).bytes(len(old)),
    "a byte more": lambda old: b"\x00" + old,
    "a list": lambda _: b"[]\n",
    "a number": lambda _: b"3\n",
    "null": lambda _: b"null\n",
    "an empty object": lambda _: b"{}\n",
    "nested": lambda _: b"[" * 100_000,
    "no UTF-8": lambda old: b"\xff\xfe\xff" + old,
}
pytestmark = pytest.mark.xdist_group("damage")  # one worker, so that the run is trained once
QUICK = ("cut", "NUL")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a prepared corpus, a run and its figures."""
    home = tmp_path_factory.mktemp("made")
    shutil.copytree(ROOT / "conf", home / "conf")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(home)
        Path("own.txt").write_text(SENTENCES)
        assert main(["data", "add", "own.txt", "--name", "own"]) == 0
        assert main(["prepare", *SETTINGS, "--out", "prepared"]) == 0
        assert main(["train", *SETTINGS, "--prepared", "prepared", "--out", "runs/lstm-0"]) == 0
        assert (
            main(["evaluate", "runs", "--prepared", "prepared", "--out", "metrics/own.json", "--costs", "costs"]) == 0
        )
    return home


@pytest.fixture
def home(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, as the current folder."""
    shutil.copytree(made, tmp_path / "home")
    monkeypatch.chdir(tmp_path / "home")
    return tmp_path / "home"


def refused(capsys: pytest.CaptureFixture[str], command: list[str], *parts: str) -> None:
    """A command ends with status 2 and one sentence that has these parts."""
    capsys.readouterr()
    assert main(command) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("unroll: ")]
    assert len(said) == 1, said
    for part in parts:
        assert part in said[0]


PREPARED = ["fit/vocabulary.json", "fit/spec.json", "fit/train/tokens/values.npy", "fit/train/tokens/offsets.npy",
            "fit/validation/tokens/values.npy", "test/spec.json", "test/test/tokens/offsets.npy"]  # fmt: skip
EVALUATE = ["evaluate", "runs/lstm-0", "--prepared", "prepared"]
TRAIN = ["train", *SETTINGS, "--prepared", "prepared", "--out", "again"]


@pytest.mark.parametrize(("name", "kind"), crossed(PREPARED, [*BYTES, "absent"], *QUICK))
def test_a_prepared_corpus_that_was_damaged_is_refused_until_it_is_prepared_again(
    name: str, kind: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path("prepared") / name
    damage(path, kind)
    command = EVALUATE if name.startswith("test") or "validation" in name else TRAIN
    refused(capsys, command, str(path), "prepare")
    assert not Path("again").exists()
    assert main(["prepare", *SETTINGS, "--out", "prepared"]) == 0  # the remedy
    assert main(EVALUATE) == 0


def damage(path: Path, kind: str) -> None:
    if kind == "absent":
        path.unlink()
    else:
        path.write_bytes(BYTES[kind](path.read_bytes()))


def offsets_beyond(offsets: np.ndarray) -> np.ndarray:
    return np.concatenate([offsets[:-1], offsets[-1:] + 10**6])


ARRAYS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "beyond its values": offsets_beyond,
    "descending": lambda values: values[::-1].copy(),
    "negative": lambda values: values - 10**6,
    "shorter": lambda values: values[: len(values) // 2].copy(),
    "of floats": lambda values: values.astype(np.float64),
    "of two dimensions": lambda values: values.reshape(1, -1),
    "of objects": lambda values: values.astype(object),
}


@pytest.mark.parametrize(
    "kind", [pytest.param(name, marks=[] if i == 0 else pytest.mark.slow) for i, name in enumerate(ARRAYS)]
)
@pytest.mark.parametrize("array", ["offsets", pytest.param("values", marks=pytest.mark.slow)])
def test_an_array_of_other_sizes_or_numbers_is_refused(
    array: str, kind: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path("prepared/fit/train/tokens") / f"{array}.npy"
    np.save(path, ARRAYS[kind](np.load(path)), allow_pickle=True)
    refused(capsys, TRAIN, str(path), "prepare the corpus again")


@pytest.mark.parametrize("part", ["fit", "test"])
@pytest.mark.parametrize("version", [1, 2, 4, 0, "3", None, 1e300])
def test_a_prepared_corpus_of_another_version_is_refused(
    version: object, part: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path("prepared") / part / "spec.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": version}))
    refused(capsys, EVALUATE, str(path), "another version", "prepare the corpus again")


def test_an_array_that_does_not_belong_to_a_corpus_is_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for stray in ("tokens/contrasts.npy", "probe/values.npy"):
        path = Path("prepared/fit/train") / stray
        path.parent.mkdir(exist_ok=True)
        shutil.copy("prepared/fit/train/tokens/values.npy", path)
        refused(capsys, TRAIN, str(path), "prepare the corpus again")
        path.unlink()


CACHED = ["fit/train/tokens/values.npy", "fit/vocabulary.json", "fit/spec.json", "test/test/tokens/offsets.npy"]


@pytest.mark.parametrize(("name", "kind"), crossed(CACHED, [*BYTES, "absent"], *QUICK))
def test_a_cache_that_was_damaged_is_prepared_again(
    name: str, kind: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prepare", *SETTINGS]) == 0
    (cached,) = (path for path in Path("outputs/cache").iterdir() if path.is_dir())
    before = (cached / name).read_bytes()
    damage(cached / name, kind)
    capsys.readouterr()
    assert main(["prepare", *SETTINGS]) == 0
    assert str(cached / name) in capsys.readouterr().err
    assert (cached / name).read_bytes() == before


RUN = ["config.yaml", "vocabulary.json", "weights.safetensors", "run.json"]
READERS = {
    "generate": ["generate", "runs/lstm-0", "--prompt", "the"],
    "evaluate": EVALUATE,
    "certify": ["certify", "runs/lstm-0", "--prepared", "prepared", "--out", "certificate.json"],
}


REPLACED = [
    "cut",
    "NUL",
    "empty",
    "a list",
    "a number",
    "null",
    "an empty object",
    "nested",
    "no UTF-8",
    "random",
    "absent",
]


@pytest.mark.parametrize(("name", "kind"), crossed(RUN, REPLACED, *QUICK))
@pytest.mark.parametrize(
    "reader", [name if name == "generate" else pytest.param(name, marks=pytest.mark.slow) for name in READERS]
)
def test_a_run_that_was_damaged_is_refused_until_it_is_trained_again(
    reader: str, name: str, kind: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(Path("runs/lstm-0") / name, kind)
    refused(capsys, READERS[reader], "runs/lstm-0")
    assert main(["train", *SETTINGS, "--prepared", "prepared", "--out", "runs/lstm-0"]) == 0
    assert main(READERS[reader]) == 0


def test_a_run_without_its_record_is_trained_again_into_its_folder(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("runs/lstm-0/run.json").unlink()
    refused(capsys, READERS["generate"], "runs/lstm-0")
    again = ["train", *SETTINGS, "--prepared", "prepared", "--out", "runs/lstm-0"]
    Path("runs/lstm-0/thesis.txt").write_text("mine")
    refused(capsys, again, "runs/lstm-0", "other files")
    Path("runs/lstm-0/thesis.txt").unlink()
    assert main(again) == 0
    assert main(READERS["generate"]) == 0


@pytest.mark.parametrize("kind", ["other bytes", "NUL at its end"])
@pytest.mark.parametrize("reader", READERS)
def test_weights_whose_numbers_were_changed_are_refused(
    reader: str, kind: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(Path("runs/lstm-0/weights.safetensors"), kind)
    refused(capsys, READERS[reader], "runs/lstm-0/weights.safetensors is damaged")


def test_weights_of_another_run_of_the_same_sizes_are_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *SETTINGS, "seed=1", "--prepared", "prepared", "--out", "other"]) == 0
    shutil.copy("other/weights.safetensors", "runs/lstm-0")
    refused(capsys, EVALUATE, "runs/lstm-0/weights.safetensors is damaged, or from another run")


FACTS = {
    "fingerprint": 3,
    "weights": 0,
    "vocabulary": None,
    "order": [],
    "parameters": -1,
    "tokens": 1e400,
    "best": {"loss": "low"},
}


@pytest.mark.parametrize("name", FACTS)
@pytest.mark.parametrize("how", ["another kind", "absent"])
def test_what_a_run_says_of_itself_is_checked(
    name: str, how: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path("runs/lstm-0/run.json")
    facts = json.loads(path.read_text())
    facts.pop(name)
    path.write_text(json.dumps(facts if how == "absent" else facts | {name: FACTS[name]}))
    refused(capsys, EVALUATE, "runs/lstm-0", "train the run again")


COMPARE = ["compare", "metrics/own.json", "--costs", "costs", "--out", "comparison"]


@pytest.mark.parametrize(("name", "kind"), crossed(["metrics/own.json", "costs/own.json"], BYTES, *QUICK))
def test_figures_that_were_damaged_are_refused_until_they_are_measured_again(
    name: str, kind: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(Path(name), kind)
    if kind == "an empty object" and name.startswith("costs"):
        pytest.skip("no architecture was measured")
    refused(capsys, COMPARE, name)
    assert not Path("comparison").exists()
    Path(name).unlink()
    assert main(MEASURE) == 0
    assert main(COMPARE) == 0


@pytest.mark.parametrize("name", ["comparison.json", "comparison.csv"])
def test_a_comparison_that_has_lost_a_file_is_written_again(name: str, home: Path) -> None:
    assert main(COMPARE) == 0
    (Path("comparison") / name).unlink()
    assert main(COMPARE) == 0
    assert (Path("comparison") / name).exists()


FIGURES = {"arch": 3, "seed": "0", "split": None, "parameters": -5, "tokens": 10**400, "order": 3, "test": {"loss": []},
           "validation": 3, "headline": "nothing", "mode": "up"}  # fmt: skip


@pytest.mark.parametrize("name", FIGURES)
def test_figures_of_another_kind_are_refused(name: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path("metrics/own.json")
    content = json.loads(path.read_text())
    content["lstm-0"][name] = FIGURES[name]
    path.write_text(json.dumps(content))
    refused(capsys, COMPARE, "metrics/own.json")
    refused(capsys, ["verdict", "metrics/own.json:lstm", "metrics/own.json:lstm"], "metrics/own.json")


PARTS: list[tuple[str, Any]] = [
    ("fingerprint", {}), ("data", []), ("data.train", {"a": 1}), ("data.validation", ["a"]), ("data.validation", 3),
    ("evaluation", ""), ("evaluation", []), ("evaluation", None), ("order.task", 5), ("measured_on", "x"),
    ("items", "x"), ("items", None), ("items.perplexity", "x"), ("items.perplexity", 1.5), ("solved", 3),
    ("judged_by", []), ("deterministic", "no"),
]  # fmt: skip
SEQUENCES = [("numbers", None), ("numbers", 1e400), ("numbers", -1), ("numbers", 0.5), ("counts", None), ("counts", -1),
             ("sums", "x")]  # fmt: skip


def put(content: Any, key: str, value: Any) -> None:
    """Set a part of JSON; of a list, the fifth entry."""
    *sections, last = key.split(".")
    for section in sections:
        content = content[section]
    if isinstance(content.get(last), list):
        content[last][4] = value
    else:
        content[last] = value


@pytest.mark.parametrize(
    ("key", "value"), [*PARTS, *((f"sequences.loss.{name}", value) for name, value in SEQUENCES)], ids=repr
)
def test_every_part_of_figures_is_checked(
    key: str, value: object, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path("metrics/own.json")
    content = json.loads(path.read_text())
    put(content["lstm-0"], key, value)
    path.write_text(json.dumps(content))
    refused(capsys, COMPARE, "metrics/own.json")
    refused(capsys, ["verdict", "metrics/own.json:lstm", "metrics/own.json:lstm"], "metrics/own.json")


OF_RUN = [(key, value) for key, value in PARTS if key not in ("solved", "judged_by", "measured_on")]


@pytest.mark.parametrize(("key", "value"), OF_RUN, ids=repr)
def test_every_part_of_the_record_of_a_run_is_checked_by_verdict(
    key: str, value: object, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path("runs/lstm-0/run.json")
    content = json.loads(path.read_text())
    put(content, key, value)
    path.write_text(json.dumps(content))
    refused(capsys, ["verdict", "runs/lstm-0", "runs/lstm-0"], "runs/lstm-0", "train the run again")


@pytest.mark.parametrize("key", ["experiment", "arch.name", "task.name", "seed", "solved", "judged_by"])
@pytest.mark.parametrize("value", [[], 1.5, {"a": 1}], ids=repr)
def test_every_setting_that_verdict_reads_is_checked(
    key: str, value: object, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path("runs/lstm-0/config.yaml")
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    put(content, key, value)
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    refused(capsys, ["verdict", "runs/lstm-0", "runs/lstm-0"], "runs/lstm-0", "train the run again")


FIELDS: dict[str, Any] = {
    "no field": {}, "another field": {"words": {"kind": "symbols", "of": None}},
    "a field more": {"tokens": {"kind": "symbols", "of": None}, "../../outside": {"kind": "number", "of": None}},
    "no mapping": {"tokens": "symbols"}, "nothing": {"tokens": None}, "no kind": {"tokens": {"of": None}},
    "a kind that there is not": {"tokens": {"kind": "songs", "of": None}},
    "aligned with nothing": {"tokens": {"kind": "symbols", "of": "nothing"}},
    "aligned with a number": {"tokens": {"kind": "symbols", "of": 1}},
    "aligned with a list": {"tokens": {"kind": "symbols", "of": ["tokens"]}},
    "labels of their own": {"tokens": {"kind": "labels", "of": None}},
}  # fmt: skip


@pytest.mark.parametrize("kind", FIELDS)
@pytest.mark.parametrize("part", ["fit", "test"])
def test_fields_that_are_not_those_of_a_prepared_corpus_are_refused(
    part: str, kind: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path("prepared") / part / "spec.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"fields": FIELDS[kind]}))
    refused(capsys, EVALUATE if part == "test" else TRAIN, f"prepared/{part}", "prepare the corpus again")


@pytest.mark.parametrize("part", ["fit", "test"])
def test_a_cache_whose_fields_were_changed_is_prepared_again(part: str, home: Path) -> None:
    assert main(["prepare", *SETTINGS]) == 0
    (path,) = Path("outputs/cache").glob(f"*/{part}/spec.json")
    before = path.read_bytes()
    path.write_text(json.dumps(json.loads(before) | {"fields": FIELDS["labels of their own"]}))
    assert main(["prepare", *SETTINGS]) == 0
    assert path.read_bytes() == before


UNLISTED = {
    "fit/vocabulary.json": TRAIN,
    "fit/train/tokens/values.npy": TRAIN,
    "fit/train/tokens/offsets.npy": TRAIN,
    "fit/validation/tokens/values.npy": EVALUATE,
    "test/test/tokens/values.npy": EVALUATE,
}


@pytest.mark.parametrize("name", UNLISTED)
def test_a_file_that_the_list_of_a_prepared_corpus_lacks_is_refused(
    name: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    part, _, file = name.partition("/")
    path = Path("prepared") / part / "spec.json"
    content = json.loads(path.read_text())
    del content["files"][file]
    path.write_text(json.dumps(content))
    (Path("prepared") / name).write_bytes(b"what nobody checks")
    refused(capsys, UNLISTED[name], f"prepared/{name}", "prepare the corpus again")
    assert main(["prepare", *SETTINGS, "--out", "prepared"]) == 0  # the remedy
    assert main(EVALUATE) == 0


def test_a_file_of_somebody_else_in_a_prepared_corpus_is_refused(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("prepared/fit/notes.txt").write_text("mine")
    refused(capsys, EVALUATE, "prepared/fit/notes.txt", "prepare the corpus again")


def test_settings_of_a_run_that_were_cut_between_two_lines_are_refused_by_verdict(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path("runs/lstm-0/config.yaml")
    text = path.read_text(encoding="utf-8")
    path.write_text(text[: text.index("training:")], encoding="utf-8")
    refused(capsys, ["verdict", "runs/lstm-0", "runs/lstm-0"], "runs/lstm-0", "train the run again")
