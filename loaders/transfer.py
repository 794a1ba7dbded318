"""Host to GPU: the copy of the next batch runs beside the computation on this one."""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor

from clmr.errors import ConfigError
from loaders.reading.slabs import Slab, SlabPool


def usable_device(device: str | torch.device) -> torch.device:
    """The device batches go to: the CPU or a CUDA device that is there."""
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise ConfigError(f"device {device!r} is not known: cpu or cuda") from error
    if chosen.type not in {"cpu", "cuda"}:
        raise ConfigError(f"device {chosen} is not supported: cpu or cuda")
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device {chosen}: no CUDA device is available here; use cpu")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"device {chosen}: there are {torch.cuda.device_count()} CUDA devices here, from cuda:0 on")
    return chosen


class Upload:
    """One batch on its way to the device."""

    def __init__(self, on_device: Tensor, copied: torch.cuda.Event) -> None:
        self._on_device = on_device
        self._copied = copied

    def tensor(self) -> Tensor:
        """The batch for the caller's stream, which waits for the copy; the host does not."""
        current = torch.cuda.current_stream(self._on_device.device)
        current.wait_event(self._copied)
        # The memory belongs to the copying stream: it must not be handed out again before the caller's is through.
        self._on_device.record_stream(current)
        return self._on_device


class Uploader:
    """Copies pinned slabs to a CUDA device on a stream of its own, and returns each slab once it is copied."""

    def __init__(self, device: torch.device, slabs: SlabPool) -> None:
        self._device = device
        self._slabs = slabs
        self._stream = torch.cuda.Stream(device)
        self._copying: deque[tuple[torch.cuda.Event, torch.cuda.Event, Slab]] = deque()
        self.seconds = 0.0
        """Time that finished copies took."""

    def start(self, slab: Slab, rows: int) -> Upload:
        """Begin the copy of the slab's first ``rows`` rows; the slab belongs to the uploader from here on."""
        while self._copying and self._copying[0][1].query():
            begun, copied, done = self._copying.popleft()
            self.seconds += begun.elapsed_time(copied) / 1e3
            self._slabs.give_back(done)
        with torch.cuda.stream(self._stream):
            begun = torch.cuda.Event(enable_timing=True)
            begun.record(self._stream)
            on_device = torch.from_numpy(slab.pcm[:rows]).to(self._device, non_blocking=True)
            copied = torch.cuda.Event(enable_timing=True)
            copied.record(self._stream)
        self._copying.append((begun, copied, slab))
        return Upload(on_device, copied)
