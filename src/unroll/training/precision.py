"""Numbers of the arithmetic: what a machine can do, and what Lightning is told."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from typing import TypeVar

import torch
from lightning.pytorch.plugins.precision import DoublePrecision, MixedPrecision, Precision
from torch import nn

from unroll.errors import BadInput

T = TypeVar("T")
PRECISIONS = ("32", "bf16-mixed", "16-mixed", "64")
PACKAGES = ("torch", "lightning", "torchmetrics", "numpy")  # that a run's numbers go through
# variables by which the libraries of matrix products choose their code
KERNELS = ("MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "ONEDNN_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE")


def arithmetic() -> dict[str, str]:
    """What decides the bits of a result beside settings, data and code.

    Versions, the instructions that torch uses (``ATEN_CPU_CAPABILITY`` may have chosen fewer than the processor has),
    the GPU if there is one, and what the environment asks of the libraries of matrix products.
    """
    major, minor, _ = platform.python_version_tuple()
    found = {package: version(package) for package in PACKAGES} | {"torch": str(torch.__version__)}
    found |= {"python": f"{major}.{minor}", "cpu": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"}
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found | {name: os.environ[name] for name in KERNELS if name in os.environ}


def resolved(precision: str) -> str:
    """The same, or where it is ``auto`` the fastest that this machine has instructions for.

    On a GPU ``bf16-mixed`` from compute capability 8.0 on, ``16-mixed`` from 7.0 on; on a CPU ``bf16-mixed`` with
    AMX or AVX512-BF16; else ``32``.

    Raises:
        BadInput: the machine cannot do it.
    """
    if precision == "16-mixed" and not torch.cuda.is_available():
        raise BadInput("training.precision=16-mixed needs a GPU; choose bf16-mixed or 32.")
    if precision != "auto":
        return precision
    if torch.cuda.is_available():
        major, _ = torch.cuda.get_device_capability()
        return "bf16-mixed" if major >= 8 else "16-mixed" if major == 7 else "32"
    halved = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return "bf16-mixed" if halved else "32"


def plugin(precision: str) -> Precision:
    """Lightning's part for a precision.

    Mixed precision keeps weights in single precision; in fp16 the loss is scaled, so that small gradients survive
    (Micikevicius et al., ICLR 2018).
    """
    if precision == "32":
        return Precision()
    if precision == "64":
        return DoublePrecision()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    scaler = torch.amp.GradScaler(device) if precision == "16-mixed" else None
    return MixedPrecision(precision, device, scaler)  # type: ignore[arg-type]


def as_precise(batch: T, module: nn.Module) -> T:
    """A batch whose real numbers are as precise as a module's weights, as Lightning hands it out in training."""
    is_double = any(weight.dtype == torch.float64 for weight in module.parameters())
    return DoublePrecision().convert_input(batch) if is_double else batch


def autocast(precision: str) -> torch.autocast:
    """The arithmetic of a precision outside of Lightning, on a CPU."""
    return torch.autocast("cpu", torch.bfloat16, enabled=precision.endswith("mixed"))
