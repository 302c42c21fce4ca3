"""Certificates: sound runs of every task get one, and a planted bug of each known kind is caught by its own check."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from unroll import experiment, preparation
from unroll.certificate import certify
from unroll.certificate.checks import MEANINGS
from unroll.certificate.sample import CheckedSample
from unroll.cli import main
from unroll.config import Config
from unroll.data.batch import Batch
from unroll.errors import BadInput
from unroll.experiment.prepared_data import PreparedData
from unroll.networks import readout, recurrent
from unroll.networks.crf import LinearChainCRF
from unroll.networks.encoder import SequenceEncoder
from unroll.tasks.base import Task
from unroll.tasks.carried import CarriedState

Small = Callable[..., Config]
Plant = Callable[[Path, dict[str, Tensor]], None]
WHOLE = "sequences cannot be cut into windows"
BRIEFLY = "training.tokens=200"  # a certificate asks for numbers, not for good ones


def trained(config: Config) -> tuple[Path, Path]:
    """A run of a few steps, and the data that it was trained on."""
    prepared = preparation.prepared(config.data)
    experiment.train(config, prepared, Path("runs") / config.name)
    return Path("runs") / config.name, prepared


def failed(certificate: dict[str, Any], dtype: str = "float64") -> set[str]:
    return {found["check"] for found in certificate["checks"] if found.get("dtype") == dtype and not found["passed"]}


def left_out(certificate: dict[str, Any]) -> dict[str, str]:
    return {found["check"]: found["not_applicable"] for found in certificate["checks"] if "not_applicable" in found}


slow = pytest.mark.slow


@pytest.mark.parametrize(
    ("name", "arch", "settings", "whole"),
    [
        ("grammar", "lstm", ["training.truncation_stride=3", "arch.encoder.dropout=0.5"], False),
        ("grammar", "gru", ["training.truncation_length=null", "arch.encoder.learned_state=true"], False),
        pytest.param("grammar", "feedforward", [], False, marks=slow),
        ("grammar", "bigru", ["task=cloze", "data.reader.probe=null", "data.reader.contrast=null"], True),
        ("tagging", "lstm", ["training.truncation_length=3", "training.truncation_stride=2"], False),
        ("tagging", "bilstm", ["arch.encoder={layers: 2, dropout: 0.5, variational: true}"], True),
        pytest.param("tagging", "bigru", ["arch.encoder.layer_norm=true", "arch.encoder.weight_dropout=0.5"], True,
                     marks=slow),
        ("tagging", "bilstm-chars-crf", [], True),
        pytest.param("tagging", "lstm-feedback", [], True, marks=slow),
        pytest.param("tagging", "cnn", [], True, marks=slow),
        ("tagging", "cnn", ["arch.inputs.characters={name: cnn, embedding_size: 4, size: 5}",
                            "arch.output.name=crf"], True),
        ("pairs", "bahdanau", ["arch.decoder.dropout=0.5", "task.own_inputs=0.5"], True),
        pytest.param("pairs", "luong", ["arch.decoder.copying=true"], True, marks=slow),
        pytest.param("pairs", "seq2seq", [], True, marks=slow),
        ("adding", "peephole", [], False),
        pytest.param("adding", "bilstm", ["arch.encoder.readout=mean"], True, marks=slow),
    ],
)  # fmt: skip
def test_a_sound_run_is_certified(name: str, arch: str, settings: list[str], whole: bool, small: Small) -> None:
    run, prepared = trained(small(name, arch, BRIEFLY, *settings))
    certificate = certify(run, prepared)
    assert certificate["certified"], certificate
    assert set(left_out(certificate)) == ({"state_carry"} if whole else set())
    assert all(WHOLE in reason for reason in left_out(certificate).values())
    for dtype in ("float64", "float32"):
        made = [found["check"] for found in certificate["checks"] if found.get("dtype") == dtype]
        known = [check for check in MEANINGS if check != "search" or name == "pairs"]
        assert made == [check for check in known if check not in left_out(certificate)]


@pytest.mark.usefixtures("rare_words")
@pytest.mark.parametrize(("arch", "k"), [("bilstm", "null"), pytest.param("lstm", "2", marks=pytest.mark.slow)])
def test_a_run_that_reads_rare_words_as_unknown_is_certified(arch: str, k: str, small: Small) -> None:
    corpus = "data.validation=data/small/train.conllu"
    config = small("tagging", arch, BRIEFLY, f"training.truncation_length={k}", corpus)
    run, prepared = trained(config)
    data = PreparedData(config, prepared)
    read = CheckedSample(config, data.spec, data.split("validation")).whole().sequence("inputs").values
    assert (read == data.spec["inputs"].unknown_index).any()
    certificate = certify(run, prepared)
    assert certificate["certified"], certificate


def test_an_n_gram_model_is_held_to_what_it_can_be_held_to(small: Small) -> None:
    certificate = certify(*trained(small("grammar", "ngram")))
    assert certificate["certified"]
    assert left_out(certificate) == {"rank_split": "arch=ngram is fitted in one process, without a gradient"}
    assert {found["deviation"] for found in certificate["checks"] if "deviation" in found} == {0.0}
    assert {found["dtype"] for found in certificate["checks"] if "dtype" in found} == {"float64"}


@pytest.mark.parametrize(
    ("precision", "dtypes"), [("bf16-mixed", ["float64", "bfloat16"]), ("64", ["float64"]), ("32", None)]
)
def test_a_run_is_held_to_the_precision_of_its_training_too(
    precision: str, dtypes: list[str] | None, small: Small
) -> None:
    certificate = certify(*trained(small("adding", "gru", BRIEFLY, f"training.precision={precision}")))
    assert certificate["certified"], certificate
    assert list(dict.fromkeys(found["dtype"] for found in certificate["checks"])) == (dtypes or ["float64", "float32"])


def test_half_precision_is_left_out_where_there_is_no_gpu(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    run, prepared = trained(small("adding", "gru", BRIEFLY))
    settings = run / "config.yaml"
    settings.write_text(settings.read_text(encoding="utf-8").replace("precision: '32'", "precision: 16-mixed"), "utf-8")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    certificate = certify(run, prepared)
    assert left_out(certificate) == {"all": "there is no GPU here"}
    assert certificate["certified"]  # in double precision


def test_a_split_of_one_sequence_or_of_two_tokens_will_do(small: Small) -> None:
    for name, arch, more in (
        ("tagging", "bilstm-chars-crf", []),
        ("grammar", "rnn", ["data.reader.contrast=null", "data.sentence_end=false", "training.evaluation_streams=1"]),
    ):
        config = small(name, arch, BRIEFLY, "data.reader.probe=null", *more)
        Path(config.data.validation or "").write_text(
            "1\tthe\t_\tDET\t_\t_\t_\t_\t_\t_\n2\tdog\t_\tNOUN\t_\t_\t_\t_\t_\t_\n\n", encoding="utf-8"
        )
        certificate = certify(*trained(config))
        assert (certificate["rows"], certificate["tokens"], certificate["certified"]) == (1, 2, True)


def test_planted_the_reverse_direction_reads_padding(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    run, prepared = trained(small("tagging", "bilstm", BRIEFLY))
    monkeypatch.setattr(recurrent, "reverse", lambda sequences, _: sequences.flip(1))
    found = failed(certify(run, prepared))
    assert "padding" in found
    assert not found & {"order", "rank_split"}


def test_planted_the_last_state_is_taken_at_the_end_of_the_batch(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    run, prepared = trained(small("adding", "lstm", BRIEFLY))
    monkeypatch.setattr(readout, "last_step", lambda output, _: output[:, -1])
    found = failed(certify(run, prepared))
    assert "padding" in found
    assert not found & {"order", "rank_split"}


def test_planted_viterbi_ignores_the_mask(small: Small, plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    run, prepared = trained(small("tagging", "bilstm-crf", BRIEFLY))
    weights = load_file(run / "weights.safetensors")
    weights["output.crf.transitions"][:, 0] = 9.0
    weights["output.crf.transitions"][0] = -18.0  # a label that ends sequences, and stands nowhere else
    plant(run, weights)
    assert certify(run, prepared)["certified"]
    sound = LinearChainCRF.n_best

    def to_the_end(self: LinearChainCRF, emissions: Tensor, lengths: Tensor, n: int) -> tuple[Tensor, Tensor]:
        return sound(self, emissions, torch.full_like(lengths, emissions.shape[1]), n)

    monkeypatch.setattr(LinearChainCRF, "n_best", to_the_end)
    certificate = certify(run, prepared)
    assert "padding" in failed(certificate)
    assert {found["of"] for found in certificate["checks"] if found.get("passed") is False} == {"predictions"}


def test_planted_every_process_takes_the_mean_of_its_own_tokens(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    run, prepared = trained(small("tagging", "gru", BRIEFLY))

    def own_mean(self: Task, batch: Batch, batch_idx: int) -> Tensor:
        scores = self.scores(batch, evaluating=False)
        total, count = (scores.losses * scores.mask).sum(), scores.mask.sum()
        self.tokens_seen += batch.tokens
        self.sums = self.sums + torch.stack([total.detach().double(), count.double()])
        return total / count.clamp(min=1)

    monkeypatch.setattr(Task, "training_step", own_mean)
    certificate = certify(run, prepared)
    assert failed(certificate) == failed(certificate, "float32") == {"rank_split"}


@pytest.mark.parametrize(("name", "arch"), [("grammar", "lstm"), ("tagging", "lstm"), ("adding", "gru")])
def test_planted_the_state_is_dropped_between_windows(
    name: str, arch: str, small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, prepared = trained(small(name, arch, BRIEFLY))
    sound = CarriedState.read

    def forgetful(self: CarriedState, *arguments: Any) -> Tensor:
        features = sound(self, *arguments)
        self.states.clear()
        return features

    monkeypatch.setattr(CarriedState, "read", forgetful)
    certificate = certify(run, prepared)
    assert failed(certificate) == failed(certificate, "float32") == {"state_carry"}


def test_planted_a_row_knows_its_place_in_the_batch(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    run, prepared = trained(small("tagging", "gru", BRIEFLY))
    sound = SequenceEncoder.outputs

    def numbered(self: SequenceEncoder, inputs: Tensor, lengths: Tensor) -> Tensor:
        return sound(self, inputs, lengths) + 1e-6 * torch.arange(len(lengths))[:, None, None]

    monkeypatch.setattr(SequenceEncoder, "outputs", numbered)
    certificate = certify(run, prepared)
    assert failed(certificate) >= {"order", "batch_size", "masked_alone"}
    assert not failed(certificate, "float32")  # it is too little for single precision to tell


def test_the_command_prints_a_line_per_check_and_writes_the_same_bytes_again(
    small: Small, capsys: pytest.CaptureFixture[str]
) -> None:
    run, prepared = trained(small("tagging", "bilstm", BRIEFLY))
    assert main(["certify", str(run), "--prepared", str(prepared)]) == 0
    assert main(["certify", str(run), "--out", "again.json"]) == 0  # its data is in the cache
    (path,) = Path("outputs/adhoc/certificates").glob("tagging-bilstm-0-*.json")
    written = path.read_bytes()
    assert Path("again.json").read_bytes() == written
    content = json.loads(written)
    assert set(content) == {"run", "fingerprint", "rows", "tokens", "certified", "checks", "meanings"}
    assert content["fingerprint"] == json.loads((run / "run.json").read_text(encoding="utf-8"))["fingerprint"]
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 * (len(content["checks"]) + 1) == 2 * (11 + 1)  # the last line names the file
    assert "not applicable: sequences cannot be cut into windows with its settings (arch=bilstm" in lines[0]
    assert "passed  worst deviation" in lines[1]


def test_a_run_that_fails_ends_in_status_1_and_one_sentence_and_its_certificate_says_so(
    small: Small, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, prepared = trained(small("adding", "lstm", BRIEFLY))
    monkeypatch.setattr(readout, "last_step", lambda output, _: output[:, -1])
    capsys.readouterr()
    assert main(["certify", str(run), "--prepared", str(prepared)]) == 1
    told = capsys.readouterr()
    (line,) = told.err.splitlines()
    assert "runs/adding/lstm-0 is not certified: it fails " in line
    assert "padding" in line
    assert "FAILED  worst deviation" in told.out
    (path,) = Path("outputs/adhoc/certificates").glob("adding-lstm-0-*.json")
    assert not json.loads(path.read_text(encoding="utf-8"))["certified"]


def test_what_is_no_run_or_not_its_data_is_bad_input(small: Small, capsys: pytest.CaptureFixture[str]) -> None:
    run, prepared = trained(small("tagging", "lstm", BRIEFLY))
    other = preparation.prepared(small("grammar", "lstm").data)
    with pytest.raises(BadInput, match="have different vocabularies"):
        certify(run, other)
    capsys.readouterr()
    for arguments, words in (
        (["conf"], "is not a run"),
        (["missing", "--prepared", str(prepared)], "is not a run"),
        ([str(run), "--prepared", "nowhere"], "nowhere"),
        ([str(run), "--prepared", str(prepared), "--out", "conf"], "conf is a folder"),
    ):
        assert main(["certify", *arguments]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert words in line
    assert not Path("outputs/adhoc/certificates").exists()


def test_mlflow_gets_the_certificate_and_a_tag(small: Small, store: str, capsys: pytest.CaptureFixture[str]) -> None:
    import mlflow

    given = ["tracking=mlflow", f"tracking.uri={store}", "tracking.log_model=false", "tracking.system_metrics=false"]
    run, prepared = trained(small("tagging", "lstm", BRIEFLY, *given))
    certificate = certify(run, prepared)
    (logged,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert logged.data.tags["certified"] == "yes"
    assert json.loads(mlflow.artifacts.load_text(f"runs:/{logged.info.run_id}/certificate.json")) == certificate
    Path("torn.db").write_text("this is no database, however long the text may be " * 40, encoding="utf-8")
    assert certify(run, prepared, tracking=["tracking.uri=sqlite:///torn.db"]) == certificate
    assert "MLflow did not accept the certificate" in capsys.readouterr().err


@pytest.mark.parametrize("out", [None, "mine/certificate.json"])
def test_the_file_of_a_certificate_is_named(out: str | None, small: Small, capsys: pytest.CaptureFixture[str]) -> None:
    run, prepared = trained(small("grammar", "ngram"))
    words = ["certify", str(run), "--prepared", str(prepared), "tracking=none", *(["--out", out] if out else [])]
    assert main(words) == 0
    path, written = capsys.readouterr().out.splitlines()[-1].split()
    mark = json.loads((run / "run.json").read_text(encoding="utf-8"))["fingerprint"][:12]
    assert (path, written) == (out or f"outputs/adhoc/certificates/grammar-ngram-0-{mark}.json", "written")
    assert json.loads(Path(path).read_text(encoding="utf-8"))["certified"]
