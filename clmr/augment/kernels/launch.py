"""When a kernel stands in for the plain PyTorch form."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor

from clmr.errors import ConfigError


@cache
def _triton_is_there() -> bool:
    """Whether Triton is installed.

    Raises:
        ConfigError: it is, and cannot reach the GPU; the slow way would be taken without a word otherwise.
    """
    # Looked for, not imported: Triton takes a second to load, and a machine without it must not miss it.
    if find_spec("triton") is None:
        return False
    from triton.runtime import driver

    try:
        _ = driver.active.utils  # builds its launcher, and asks the driver
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(
            f"Triton cannot launch kernels here ({reason}): it needs a C compiler (gcc), Python's headers "
            "(python3-dev) and libcuda.so.1 (in TRITON_LIBCUDA_PATH, if elsewhere); or uninstall triton"
        ) from error
    return True


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
