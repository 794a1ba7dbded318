"""Why torch sees no GPU, in one line."""

from __future__ import annotations

import ctypes
import os

import torch


def why_no_gpu() -> str | None:
    """The reason; None where there is a GPU."""
    if torch.cuda.is_available():
        return None
    if not torch.backends.cuda.is_built():
        return f"torch {torch.__version__} is built without CUDA; install a build with it"
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "there is no NVIDIA driver here (no libcuda.so.1)"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and visible.strip() in {"", "-1"}:
        return f"CUDA_VISIBLE_DEVICES={visible!r} hides all GPUs"
    if status := driver.cuInit(0):
        return f"the NVIDIA driver answers with error {status} (100: no GPU; 803 or 804: too old for this torch)"
    return f"torch {torch.__version__} for CUDA {torch.version.cuda} cannot use the driver; see what nvidia-smi says"
