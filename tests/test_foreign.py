"""Runs and settings that somebody else wrote: they reach no tracker, no file outside, and no password is shown."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from processes import crossed

from unroll import preparation
from unroll.cli import main
from unroll.config import Config, compose_study
from unroll.credentials import public, with_secrets, without_secrets

Small = Callable[..., Config]
BRIEFLY = ("training.tokens=600", "training.validations=1")


class Listener(BaseHTTPRequestHandler):
    """Records what is asked of a server that nobody should ask anything."""

    heard: list[str]

    def _record(self) -> None:
        self.heard.append(f"{self.command} {self.path} {self.headers.get('Authorization')}")
        self.send_response(500)
        self.end_headers()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _record  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[str]]]:
    """A server of somebody else, and what it has heard; this person's own password is in the environment."""
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "my-own-password")
    heard: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Heard", (Listener,), {"heard": heard}))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://thief:foreign-password@127.0.0.1:{server.server_port}", heard
    server.shutdown()
    server.server_close()


@pytest.fixture
def own(store: str) -> str:
    """A project whose tracker is an empty store: its URI."""
    path = Path("conf/tracking/mlflow.yaml")
    path.write_text(path.read_text(encoding="utf-8").replace("sqlite:///mlruns/mlflow.db", store)
                    .replace("system_metrics: true", "system_metrics: false"), encoding="utf-8")  # fmt: skip
    return store


def sent(config: Config, uri: str) -> dict[str, Any]:
    content = config.model_dump(mode="json")
    tracking = {"name": "mlflow", "uri": uri, "system_metrics": False, "log_model": False}
    return content | {"tracking": tracking}


def write(path: str, content: Any) -> Path:
    Path(path).write_text(yaml.safe_dump(content, sort_keys=False, width=1000), encoding="utf-8")
    return Path(path)


def sent_run(small: Small, experiment: str, arch: str, uri: str, *words: str) -> tuple[str, str]:
    """Folder of a run that somebody else has trained, and of its prepared data."""
    config = small(experiment, arch, *BRIEFLY, *words)
    prepared = preparation.prepared(config.data)
    assert main(["train", "--config", str(write("mine.yaml", config.model_dump(mode="json"))), "--out", "run"]) == 0
    write("run/config.yaml", sent(config, uri))
    return "run", str(prepared)


@contextlib.contextmanager
def silent(capfd: pytest.CaptureFixture[str], *secrets: str) -> Iterator[None]:
    """Nothing of what the block writes, to the terminal or below the project, has a secret in it."""
    yield
    out, err = capfd.readouterr()
    for secret in secrets:
        assert secret not in out + err
        for path in (path for path in Path().rglob("*") if path.is_file() and path.name not in ("sent.yaml",)):
            assert secret.encode() not in path.read_bytes(), path


def test_no_verb_contacts_the_tracker_of_a_run_that_was_sent(
    small: Small, own: str, listener: tuple[str, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    import mlflow

    uri, heard = listener
    run, prepared = sent_run(small, "tagging", "lstm", uri)
    capsys.readouterr()
    assert main(["evaluate", run, "--prepared", prepared, "--out", "metrics.json"]) == 0
    assert f"{run}/config.yaml names another tracker, http://127.0.0.1" in capsys.readouterr().err
    assert main(["certify", run]) == 0
    said = capsys.readouterr().err
    assert f"{run}/config.yaml names another tracker" in said
    assert "foreign-password" not in said
    assert main(["predict", run, "the dog barks"]) == 0
    assert main(["sync", run]) == 0
    assert main(["generate", run, "--prompt", "the"]) == 2
    assert main(["verdict", run, run]) == 2  # one run is no side
    assert main(["train", "--config", f"{run}/config.yaml", "--out", "again"]) == 0
    assert heard == []
    (logged,) = mlflow.search_runs(search_all_experiments=True, output_format="list")  # in this project's own store
    assert logged.info.run_name.startswith("tagging/lstm-0 ad hoc ")
    assert main(["evaluate", "again", "--prepared", prepared]) == 0
    assert main(["certify", "again"]) == 0
    assert capsys.readouterr().err.count("another tracker") == 1  # that of train
    (logged,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert "test_accuracy" in logged.data.metrics
    assert logged.data.tags["certified"] == "yes"


def test_a_tracker_on_the_command_line_is_used(
    small: Small, own: str, listener: tuple[str, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    uri, heard = listener
    run, prepared = sent_run(small, "tagging", "lstm", "http://127.0.0.1:9")
    assert main(["evaluate", run, "--prepared", prepared, "tracking=none"]) == 0
    assert main(["certify", run, "--prepared", prepared, f"tracking.uri={uri}"]) == 0
    said = capsys.readouterr().err
    assert "MLflow did not accept the certificate" in said
    assert "foreign-password" not in said
    assert heard  # with the password that was typed
    assert main(["evaluate", run, "--prepared", prepared, "arch=gru"]) == 2
    assert "arch=gru" in capsys.readouterr().err
    assert main(["evaluate", run, "--prepared", prepared, "tracking=nonsense"]) == 2


def test_a_study_that_was_sent_has_this_projects_tracker_and_database(
    small: Small, own: str, listener: tuple[str, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    from unroll.config import load_study_here

    uri, _ = listener
    content = yaml.safe_load(compose_study("reach").dump())
    content["study"]["storage"] = "postgresql+psycopg://thief:foreign-password@127.0.0.1:9/studies"
    content["study"]["settings"]["tracking.uri"] = uri
    content["study"]["retrain"]["settings"]["tracking.uri"] = uri
    study = load_study_here(write("sent.yaml", content), [], reads_data=True)
    assert study.study.storage == "sqlite:///studies/optuna.db"
    assert {study.run({"arch": "gru"} if "arch" in study.study.space else {}).tracking.uri} <= {own}
    assert uri not in study.dump()
    said = capsys.readouterr().err
    assert "sent.yaml names another database" in said
    assert "sent.yaml names another tracker" in said
    assert "foreign-password" not in said
    assert load_study_here(Path("sent.yaml"), ["storage=sqlite:///other.db"], reads_data=True).study.storage == (
        "sqlite:///other.db")  # fmt: skip


def test_a_study_of_this_project_keeps_its_own_tracker_and_database(own: str, project: Path) -> None:
    from unroll.config import load_study_here

    path = Path("conf/study/reach.yaml")
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["storage"] = "postgresql+psycopg://me:my-password@127.0.0.1:9/studies"
    content.setdefault("settings", {})["tracking.uri"] = "http://me:my-password@127.0.0.1:9"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    resolved = compose_study("reach").dump()
    assert "my-password" not in resolved
    Path("study.yaml").write_text(resolved, encoding="utf-8")
    study = load_study_here(Path("study.yaml"), [], reads_data=True)
    assert study.study.storage == "postgresql+psycopg://me@127.0.0.1:9/studies"
    assert with_secrets(study.study.storage) == content["storage"]
    assert study.first().tracking.uri == "http://127.0.0.1:9"
    assert with_secrets("http://127.0.0.1:9") == "http://me:my-password@127.0.0.1:9"


def test_a_tracker_of_an_experiment_of_this_project_is_kept(own: str, project: Path) -> None:
    from unroll.config import compose, load_here

    path = Path("conf/experiment/tagging.yaml")
    path.write_text(path.read_text(encoding="utf-8") + "tracking: {uri: 'http://127.0.0.1:9'}\n", encoding="utf-8")
    write("run.yaml", compose(["experiment=tagging", "arch=lstm"]).model_dump(mode="json"))
    assert load_here(Path("run.yaml"), [], reads_data=True).tracking.uri == "http://127.0.0.1:9"


def test_a_run_in_work_is_sent_to_this_projects_tracker_alone(
    small: Small, own: str, listener: tuple[str, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    uri, heard = listener
    workspace = Path("outputs/working/run-12345678-0123456789abcdef")
    workspace.mkdir(parents=True)
    identity = {"mark": "a", "out": "b", "finished": False, "settings": "", "data": "", "code": "", "arithmetic": {}}
    (workspace / "identity.json").write_text(json.dumps(identity), encoding="utf-8")
    memory = {"uri": uri, "run_id": "0" * 32, "key": "a", "sent": 0, "last": 0, "has_result": False, "record": None}
    (workspace / "tracking.json").write_text(json.dumps(memory), encoding="utf-8")
    assert main(["sync", str(workspace)]) == 2
    said = capsys.readouterr().err
    assert "--uri http://127.0.0.1" in said
    assert "foreign-password" not in said
    assert heard == []


OUTSIDE = ["../../etc/passwd", "/etc/passwd", "data/../../secret", ".git/config", "data/.key"]


@pytest.mark.parametrize(("file", "key"), crossed(OUTSIDE, ["train", "validation", "test", "vectors"]))
def test_a_config_that_was_sent_reads_no_file_outside(
    key: str, file: str, small: Small, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = small("tagging", "lstm", *BRIEFLY)
    content = config.model_dump(mode="json")
    content["data"][key] = file
    write("sent.yaml", content)
    write("sent-data.yaml", content["data"])
    (project / "secret").write_text("secret", encoding="utf-8")
    before = sorted(Path().rglob("*"))
    for verb, name in ((["train", "--config"], "sent.yaml"), (["prepare", "--data"], "sent-data.yaml")):
        assert main([*verb, name]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert re.search(rf"{name}, line \d+: data\.{key}={re.escape(file)} ", line)
        assert f"give data.{key}=" in line
    assert sorted(Path().rglob("*")) == before


def test_a_study_that_was_sent_reads_no_file_outside(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = yaml.safe_load(compose_study("reach").dump())
    for place in (next(iter(content["bases"].values()))["data"], content["study"]["settings"]):
        key = "data.vectors" if place is content["study"]["settings"] else "vectors"
        place[key] = "/etc/passwd"
        write("sent.yaml", content)
        assert main(["tune", "--config", "sent.yaml"]) == 2
        assert "data.vectors=/etc/passwd" in capsys.readouterr().err
        del place[key]


def test_a_file_outside_is_read_where_a_person_names_it(
    small: Small, project: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    config = small("tagging", "lstm", *BRIEFLY)
    outside = tmp_path_factory.mktemp("outside") / "train.conllu"
    shutil.copy(config.data.train, outside)
    content = config.data.model_dump(mode="json") | {"train": str(outside)}
    write("sent.yaml", content)
    assert main(["prepare", "--data", "sent.yaml", "--out", "one"]) == 2
    assert main(["prepare", "--data", "sent.yaml", f"data.train={outside}", "--out", "one"]) == 0  # typed
    write("conf/data/mine.yaml", {"name": "mine", "title": "Mine.", "reader": {"name": "conllu"},
                                  "train": str(outside), "split": {"train": 0.8, "validation": 0.1}})  # fmt: skip
    assert main(["prepare", "--data", "sent.yaml", "--out", "two"]) == 0  # written in conf/
    absolute = content | {"train": str(Path(config.data.train).resolve())}
    assert main(["prepare", "--data", str(write("own.yaml", absolute)), "--out", "three"]) == 0  # of this project
    assert main(["prepare", "experiment=tagging", "data=mine", "--out", "four"]) == 0
    assert main(["prepare", "--data", "sent.yaml", "data.min_count=3"]) == 2


URIS = [  # whole, public
    ("http://me:pw@host:5000/p?mail=a@b", "http://host:5000/p?mail=a@b"), ("https://token@host", "https://host"),
    ("http://host:5000/@user", "http://host:5000/@user"), ("http://me:p@ss@host/x", "http://host/x"),
    ("http://me:p/w?x@host/x", "http://host/x"), ("http://me:12@host", "http://host"),
    ("http://host/?token=abc", "http://host/"), ("http://host/?a=1&api_key=abc#x", "http://host/?a=1#x"),
    ("postgresql+psycopg://me:p@ss@host:1/db", "postgresql+psycopg://me@host:1/db"),
    ("postgresql+psycopg://me:it's a pass@host/db", "postgresql+psycopg://me@host/db"),
    ("postgresql+psycopg://me@host/db?sslmode=x&password=p", "postgresql+psycopg://me@host/db?sslmode=x"),
    ("sqlite:////home/a@b/x.db", "sqlite:////home/a@b/x.db"), ("sqlite:///studies/a@b.db", "sqlite:///studies/a@b.db"),
    ("http:/me:pw@host/x", "http:/host/x"), ("http:///me:pw@host/x", "http:///host/x"),
    ("htp:/token@host", "htp:/host"),
    ("sqlite:/a@b.db", "sqlite:/b.db"), ("file:/home/a@b/x", "file:/home/a@b/x"),
    ("s3://key:secret@bucket/x", "s3://bucket/x"), ("http://[::1]:5000/x", "http://[::1]:5000/x"),
]  # fmt: skip


@pytest.mark.parametrize(("uri", "shown"), URIS)
def test_a_uri_has_a_part_that_may_be_shown(uri: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNROLL_CREDENTIALS", "{}")
    assert public(uri) == shown
    assert with_secrets(shown) == uri
    assert public(f"'{uri}'") == f"'{shown}'"
    assert without_secrets(f"cannot reach {uri}, sorry") == f"cannot reach {shown}, sorry"
    assert public(shown) == shown


def test_a_password_in_the_uri_of_a_tracker_is_used_and_not_kept(
    small: Small, own: str, listener: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    uri, heard = listener
    small("tagging", "lstm")
    files = [f"data.{split}=data/small/{split}.conllu" for split in ("train", "validation", "test")]
    words = ["experiment=tagging", "arch=lstm", *files, "data.generator=null", "training.tokens=600",
             "training.validations=1", "arch.encoder.hidden_size=4", "arch.inputs.size=4"]  # fmt: skip
    with silent(capfd, "foreign-password", "thief"):
        assert main(["config", *words, f"tracking.uri={uri}"]) == 0
        assert main(["config", *words, f"tracking.uri={uri}", "nonsense=1"]) == 2
        assert main(["config", *words, f"tracking.uri='{uri}?x=1'", "training.tokens=none"]) == 2
        assert main(["train", *words, f"tracking.uri={uri}", "--out", "run"]) == 2
        assert main(["train", *words, f"--tracking.uri={uri}"]) == 2
        monkeypatch.setattr("unroll.cli.train.launch", lambda devices, words: print(devices, words) or True)
        assert main(["train", *words, f"tracking.uri={uri}", "training.devices=2"]) == 0  # arguments of processes
        assert main(["tune", "study=reach", f"tracking.uri={uri}", "trials=nonsense"]) == 2
        assert main(["sync", "nowhere", "--uri", uri]) == 2
        assert main(["ui", "--uri", uri]) == 2
    basic = {request.rpartition(" ")[2] for request in heard}
    import base64

    assert basic == {base64.b64encode(b"thief:foreign-password").decode()}


def test_a_password_in_conf_is_not_written_to_settings_of_runs(own: str, capfd: pytest.CaptureFixture[str]) -> None:
    path = Path("conf/tracking/mlflow.yaml")
    text = path.read_text(encoding="utf-8").replace(own, "http://me:conf-password@127.0.0.1:9/?token=conf-token")
    path.write_text(text, encoding="utf-8")
    write("course.yaml", {"one": {"experiments": ["adding"], "archs": ["lstm"], "seeds": [0]}})
    assert main(["config", "--course", "course.yaml", "--out", "configs"]) == 0
    assert main(["config", "experiment=adding"]) == 0
    written = Path("configs/adding/lstm/0.yaml").read_text(encoding="utf-8") + capfd.readouterr().out
    assert "conf-password" not in written
    assert "conf-token" not in written
    assert written.count("uri: http://127.0.0.1:9/") == 2


def test_a_password_of_a_mirror_is_not_shown(
    project: Path, listener: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    uri, heard = listener
    path = Path("conf/data/tinyshakespeare.yaml")
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["sources"][0]["url"] = f"{uri}/origin?token=foreign-token"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    monkeypatch.setenv("UNROLL_MIRROR", f"{uri}/mirror")
    assert main(["data", "fetch", "tinyshakespeare"]) == 2
    said = capfd.readouterr().err
    assert "foreign-password" not in said
    assert "foreign-token" not in said
    assert any("origin?token=foreign-token" in request for request in heard)


def test_what_nobody_catches_shows_no_password() -> None:
    code = ("from unroll.cli import main, ui\n"
            "def broken(options): raise ArithmeticError('http://me:pw-a@host and ' + options.uri)\n"
            "ui.run = broken\n"
            "main(['ui', '--uri', 'http://me:pw-b@host'])\n")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ArithmeticError: http://host and http://host" in done.stderr
    assert "pw-" not in done.stderr


def test_a_fingerprint_that_was_sent_finds_no_run_of_this_project(
    small: Small, own: str, capsys: pytest.CaptureFixture[str]
) -> None:
    import mlflow

    config = small("tagging", "lstm", *BRIEFLY)
    content = sent(config, own)
    assert main(["train", "--config", str(write("mine.yaml", content)), "--out", "mine"]) == 0
    shutil.copytree("mine", "theirs")
    facts = json.loads(Path("theirs/run.json").read_text(encoding="utf-8"))
    facts["fingerprint"] = "' or tags.fingerprint LIKE '%"
    Path("theirs/run.json").write_text(json.dumps(facts), encoding="utf-8")
    prepared = str(preparation.prepared(config.data))
    for fingerprint in ("' or tags.fingerprint LIKE '%", f"{'0' * 64}' and tags.arch = 'lstm"):
        facts["fingerprint"] = fingerprint
        Path("theirs/run.json").write_text(json.dumps(facts), encoding="utf-8")
        assert main(["certify", "theirs", "--prepared", prepared]) == 0
    (logged,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert "certified" not in logged.data.tags
    assert "MLflow did not accept" not in capsys.readouterr().err


CYCLE = "experiment: &a\n  b: *a\n"
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 30))  # fmt: skip


@pytest.mark.parametrize(
    ("text", "part"),
    [(CYCLE, "aliases"), (BOMB, "aliases"), ("seed: 1\nx: 2\nseed: 3\n", "line 3")],
    ids=["cycle", "bomb", "twice"],
)
@pytest.mark.parametrize("verb", [["train", "--config"], ["prepare", "--data"], ["tune", "--config"],
                                  ["config", "--course"]])  # fmt: skip
def test_a_file_that_contains_itself_or_a_key_twice_is_refused(
    verb: list[str], text: str, part: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("sent.yaml").write_text(text, encoding="utf-8")
    assert main([*verb, "sent.yaml"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("unroll: sent.yaml")
    assert part in line
    assert not list(Path().glob("outputs/*"))


def test_aliases_and_merged_mappings_are_read(project: Path) -> None:
    from unroll.config import read

    Path("own.yaml").write_text("a: &a {b: [1, 2]}\nc: *a\nd: {<<: *a, b: 3}\n", encoding="utf-8")
    assert read(Path("own.yaml")) == {"a": {"b": [1, 2]}, "c": {"b": [1, 2]}, "d": {"b": 3}}


@pytest.mark.parametrize("base", [{}, {"arch": "lstm"}, {"arch": None}, {"arch": []}])
def test_a_study_that_was_sent_without_an_architecture_is_refused(
    base: dict[str, Any], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = yaml.safe_load(compose_study("reach").dump())
    content["bases"]["arch=gru"] = base
    assert main(["tune", "--config", str(write("sent.yaml", content))]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("unroll: sent.yaml is not a resolved study")
