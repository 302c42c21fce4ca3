"""Numbers of the arithmetic: what auto comes to, double precision from end to end, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from unroll import experiment, preparation
from unroll.config import Config, load
from unroll.errors import BadInput
from unroll.experiment import Trained
from unroll.serving.model import RunModel
from unroll.training.precision import PRECISIONS, autocast, resolved
from unroll.training.trainer import plugin

Small = Callable[..., Config]


def train(config: Config, out: Path) -> dict[str, float]:
    return experiment.train(config, preparation.prepared(config.data), out)


@pytest.mark.parametrize(
    ("capability", "wanted"), [((9, 0), "bf16-mixed"), ((8, 0), "bf16-mixed"), ((7, 5), "16-mixed"), ((6, 1), "32")]
)
def test_on_a_gpu_auto_follows_its_capability(
    capability: tuple[int, int], wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert resolved("auto") == wanted
    assert resolved("16-mixed") == "16-mixed"


@pytest.mark.parametrize(("amx", "bf16", "wanted"), [(1, 0, "bf16-mixed"), (0, 1, "bf16-mixed"), (0, 0, "32")])
def test_on_a_cpu_auto_follows_its_instructions(
    amx: int, bf16: int, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: bool(amx))
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bool(bf16))
    assert resolved("auto") == wanted


@pytest.mark.parametrize("precision", PRECISIONS)
def test_what_is_asked_for_by_name_is_what_lightning_is_told(precision: str) -> None:
    made = plugin(precision)
    names = {"32": "32-true", "64": "64-true"}
    assert made.precision == names.get(precision, precision)
    assert (getattr(made, "scaler", None) is not None) == (precision == "16-mixed")
    with autocast(precision):
        assert torch.is_autocast_enabled("cpu") == precision.endswith("mixed")


@pytest.mark.parametrize("wanted", ["32", "bf16-mixed"])
def test_auto_is_resolved_once_into_the_settings_of_the_run(
    wanted: str, small: Small, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: wanted == "bf16-mixed")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    train(small("tagging", "lstm", "training.precision=auto", "training.tokens=200"), project / "auto")
    train(small("tagging", "lstm", f"training.precision={wanted}", "training.tokens=200"), project / "named")
    assert load(project / "auto" / "config.yaml").training.precision == wanted
    for path in (project / "auto").iterdir():
        assert path.read_bytes() == (project / "named" / path.name).read_bytes()


@pytest.mark.parametrize(
    ("experiment_name", "arch", "line"),
    [
        ("tagging", "bilstm-chars-crf", "the dog"),
        ("grammar", "lstm", "the"),
        pytest.param("adding", "lstm", "0.5,1 0.25,0", marks=pytest.mark.slow),
    ],
)
def test_double_precision_holds_from_training_to_use(
    experiment_name: str, arch: str, line: str, small: Small, project: Path
) -> None:
    figures = train(small(experiment_name, arch, "training.precision=64", "training.tokens=200"), project / "run")
    weights = load_file(project / "run" / "weights.safetensors")
    assert {weight.dtype for weight in weights.values()} == {torch.float64}
    assert any(not torch.equal(weight, weight.float().double()) for weight in weights.values())
    run = Trained.load(project / "run")
    assert RunModel(project / "run").predict([line], {"length": 3})
    prepared = preparation.prepared(run.config.data)
    judged = experiment.evaluate([project / "run"], prepared, None, project / "costs" / "speed.json")[f"{arch}-0"]
    assert judged["validation"] == figures
    assert min(json.loads((project / "costs" / "speed.json").read_text())[arch]["tokens_per_second"]) > 0


def test_fp16_without_a_gpu_is_refused_rather_than_replaced(small: Small, project: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(BadInput, match="16-mixed needs a GPU; choose bf16-mixed"):
        train(small("tagging", "lstm", "training.precision=16-mixed"), project / "run")
    assert not (project / "outputs" / "working").exists()


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("precision", ["16-mixed", "bf16-mixed"])
def test_on_a_gpu_mixed_precision_learns_as_single_does(precision: str, small: Small, project: Path) -> None:
    single = train(small("tagging", "bilstm", "training.tokens=8000"), project / "single")
    mixed = train(small("tagging", "bilstm", "training.tokens=8000", f"training.precision={precision}"), project / "m")
    assert mixed["loss"] == pytest.approx(single["loss"], abs=0.05)


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("precision", ["32", "16-mixed", "bf16-mixed"])
def test_on_a_gpu_the_same_run_has_the_same_bytes(precision: str, small: Small, project: Path) -> None:
    config = small("grammar", "lstm", "arch.encoder.dropout=0.3", f"training.precision={precision}")
    train(config, project / "one")
    train(config, project / "two")
    for path in (project / "one").iterdir():
        assert path.read_bytes() == (project / "two" / path.name).read_bytes()
