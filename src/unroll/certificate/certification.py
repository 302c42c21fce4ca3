"""Certification of a run: its own network, on its own data, must give the same numbers however they are batched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from unroll.certificate.checks import CHECKS, meanings, not_applicable
from unroll.certificate.reading import TaskReader, deviation
from unroll.certificate.sample import CheckedSample
from unroll.config import Config, tracking_here
from unroll.data.prepared import open_vocabularies
from unroll.errors import BadInput
from unroll.experiment import Trained
from unroll.experiment.prepared_data import PreparedData
from unroll.experiment.trained import read_facts
from unroll.outputs import to_json, write_text
from unroll.training.threads import use_threads

FOLDER = Path("outputs/adhoc/certificates")  # not among those of the course, on which its report depends
# Summation in another order changes the last digit, which is 1e-16 of a number in double precision, 6e-8 in single,
# 4e-3 in bf16 and 5e-4 in fp16, and the error grows with the steps. Relative to the largest number, the runs of the
# course deviate by at most 1e-13, 4e-5 and, in bf16, 0.14 (gradient of an IRNN over 50 steps; 0.03 for other cells).
# Errors small enough to pass at lower precision are found in double precision.
TOLERANCES = {"float64": 1e-10, "float32": 1e-3, "bfloat16": 0.25, "float16": 0.05}
DTYPES = {"64": "float64", "32": "float32", "bf16-mixed": "bfloat16", "16-mixed": "float16"}


def certify(folder: Path, prepared: Path, out: Path | None = None, tracking: Sequence[str] = ()) -> dict[str, Any]:
    """Check a finished run and write its certificate, whether it passes or not.

    Every check is made twice: in double precision, where only the order of summation may make a difference, and in the
    precision of the training.

    Args:
        folder: folder of the run.
        prepared: folder with ``fit/``, whose validation split is read.
        out: JSON file to write; None for a file named after the run.
        tracking: tracking settings that override those of the project.

    Returns:
        The certificate: ``certified``, and the worst deviation and tolerance of each check in each precision.

    Raises:
        BadInput: the folder is not a run, or the vocabulary of the prepared data differs.
    """
    run = Trained.load(folder)
    if run.vocabularies.digest != open_vocabularies(prepared).digest:
        raise BadInput(f"{folder} and {prepared} have different vocabularies; name the data the run was trained on.")
    use_threads(run.config.training.threads)
    sample = CheckedSample(run.config, run.vocabulary.spec, PreparedData(run.config, prepared).split("validation"))
    facts = read_facts(folder)
    checks = _checks(run, sample)
    certificate = {
        "run": run.config.name, "fingerprint": facts["fingerprint"], "rows": sample.count,
        "tokens": sample.split[sample.lead].steps, "certified": all(check.get("passed", True) for check in checks),
        "checks": checks, "meanings": meanings(run.config),
    }  # fmt: skip
    write_text(out or place_of(certificate), to_json(certificate))
    tracker = tracking_here(run.config, folder / "config.yaml", tracking)
    if tracker.uri:
        from unroll.tracking.mlflow import log_certificate

        log_certificate(tracker.uri, certificate)
    return certificate


def place_of(certificate: Mapping[str, Any]) -> Path:
    """The file of a certificate, which is named like the folder of a run outside the pipeline."""
    return FOLDER / f"{certificate['run'].replace('/', '-')}-{certificate['fingerprint'][:12]}.json"


def _checks(run: Trained, sample: CheckedSample) -> list[dict[str, Any]]:
    """Results of every applicable check in each precision."""
    reasons = {name: not_applicable(name, run.config) for name in meanings(run.config)}
    found: list[dict[str, Any]] = [
        {"check": name, "not_applicable": reason} for name, reason in reasons.items() if reason
    ]
    for dtype in _dtypes(run.config):
        tolerance = TOLERANCES[dtype]
        if dtype == "float16" and not torch.cuda.is_available():
            found.append({"check": "all", "dtype": dtype, "not_applicable": "there is no GPU here"})
            continue
        reader = TaskReader(run.task, dtype)
        for check in CHECKS:
            name = check.__name__
            if name in reasons and reasons[name] is None:
                worst, place = max(deviation(*pair) for pair in check(reader, sample))
                found.append({"check": name, "dtype": dtype, "deviation": worst, "of": place,
                              "tolerance": tolerance, "passed": worst <= tolerance})  # fmt: skip
    return found


def _dtypes(config: Config) -> list[str]:
    """Double precision, and the precision of the training if it differs."""
    trained = "float64" if config.arch.encoder.counts else DTYPES[config.training.precision]
    return list(dict.fromkeys(["float64", trained]))
