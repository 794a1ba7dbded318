"""Small per-row numbers from the host, where they are drawn, to the device, without waiting for it."""

from __future__ import annotations

import torch
from torch import Tensor


def send(values: Tensor, device: torch.device) -> Tensor:
    """``values`` on ``device``; from the host to CUDA through pinned memory, so that the host does not wait.

    Args:
        values: any shape and dtype; best on the host.
        device: where the audio is.
    """
    if values.device == device:
        return values
    if values.device.type == "cpu" and device.type == "cuda":
        # The caching allocator of pinned memory keeps the block until the copy is done.
        values = values.contiguous().pin_memory()
    return values.to(device, non_blocking=True)
