"""Moments of a device that works behind the host, and the memory it came to need."""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

import torch

GIB = 2**30
STATM = Path("/proc/self/statm")


class Moment:
    """When the device has done all that it was given so far; on the CPU, now."""

    def __init__(self, device: torch.device) -> None:
        self._event: torch.cuda.Event | None = None
        self._time = time.perf_counter()
        if device.type == "cuda":
            self._event = torch.cuda.Event(enable_timing=True)
            self._event.record(torch.cuda.current_stream(device))

    def wait(self) -> None:
        """Until it is over."""
        if self._event is not None:
            self._event.synchronize()

    def seconds_since(self, earlier: Moment) -> float:
        """Between two moments of one device that are both over."""
        if self._event is not None and earlier._event is not None:
            return float(earlier._event.elapsed_time(self._event)) / 1e3
        return self._time - earlier._time


def memory_gib(device: torch.device) -> float:
    """GiB: on a GPU the most that tensors of this process took at once; on the CPU what the process has resident."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / GIB
    try:
        return int(STATM.read_text().split()[1]) * resource.getpagesize() / GIB
    except OSError:  # no /proc, as on macOS: the most it ever had, which is counted in bytes there and else in KiB
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most * (1 if sys.platform == "darwin" else 1024) / GIB
