"""From the loader's 16-bit samples to the waveforms that the chain and the encoder take."""

from __future__ import annotations

import torch
from torch import Tensor

from clmr.errors import ConfigError


def from_int16(pcm: Tensor) -> Tensor:
    """Mono 16-bit samples as float32 waveforms.

    Args:
        pcm: int16, shape ``[..., T]``.

    Returns:
        float32, shape ``[N, 1, T]``, in [-1, 1): one row for each row of ``pcm``, in order.
    """
    if pcm.dtype != torch.int16 or pcm.ndim < 1:
        raise ConfigError(f"PCM must be an int16 tensor [..., T], got {pcm.dtype} {list(pcm.shape)}")
    audio = torch.empty(pcm.shape, dtype=torch.float32, device=pcm.device)  # in order, also where the PCM is a view
    # 1 / 32768 is a power of two: exact.
    return torch.mul(pcm, 1 / 32768, out=audio).view(-1, 1, pcm.shape[-1])
