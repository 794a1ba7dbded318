"""When a kernel stands in for the plain PyTorch form."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor


@cache
def _triton_is_there() -> bool:
    # Looked for, not imported: Triton takes a second to load, and a machine without it must not miss it.
    return find_spec("triton") is not None


def use_kernels(audio: Tensor) -> bool:
    """Whether ``audio`` is worked on by Triton kernels: float32, on a CUDA device, no gradient, Triton installed.

    Kernels have no backward; where a gradient is wanted, plain PyTorch gives it. Float64 is the reference and stays
    with plain PyTorch on every device. Kernel modules import Triton when they are imported, so import them behind this
    check.

    Args:
        audio: the audio to work on, any shape.
    """
    wanted = torch.is_grad_enabled() and audio.requires_grad
    return audio.is_cuda and audio.dtype == torch.float32 and not wanted and _triton_is_there()
