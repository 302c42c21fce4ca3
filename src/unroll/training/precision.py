"""Floating-point precision: what the hardware supports."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version

import torch

from unroll.errors import BadInput

PRECISIONS = ("32", "bf16-mixed", "16-mixed", "64")
PACKAGES = ("torch", "lightning", "torchmetrics", "numpy")  # packages that affect the numbers of a run
# environment variables by which libraries of matrix products select their kernels
KERNELS = ("MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "ONEDNN_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE")


def arithmetic() -> dict[str, str]:
    """Factors other than settings, data and code that affect the bits of a result.

    Versions, the instruction set that torch uses (``ATEN_CPU_CAPABILITY`` can restrict it), the GPU if there is one,
    and environment variables of the libraries of matrix products.
    """
    major, minor, _ = platform.python_version_tuple()
    found = {package: version(package) for package in PACKAGES} | {"torch": str(torch.__version__)}
    found |= {"python": f"{major}.{minor}", "cpu": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"}
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found | {name: os.environ[name] for name in KERNELS if name in os.environ}


def resolved(precision: str) -> str:
    """Resolve ``auto`` to the fastest precision that the hardware supports; other precisions are unchanged.

    On a GPU ``bf16-mixed`` from compute capability 8.0, ``16-mixed`` from 7.0; on a CPU ``bf16-mixed`` with AMX or
    AVX512-BF16; otherwise ``32``.

    Raises:
        BadInput: the hardware does not support the precision.
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


def autocast(precision: str) -> torch.autocast:
    """Autocast context of a precision, for use outside Lightning on a CPU."""
    return torch.autocast("cpu", torch.bfloat16, enabled=precision.endswith("mixed"))
