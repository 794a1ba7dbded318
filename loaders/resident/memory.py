"""Whether the samples of a run fit the memory of the device."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from sharding.format import SAMPLE_BYTES

WILLING = 0.6
"""Share of the free memory that may be taken where nobody asked for it: the training needs some too."""
UTMOST = 0.95
"""Share that may be taken where somebody did."""
MEMINFO = Path("/proc/meminfo")
LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def fits(total_frames: int, device: torch.device, copies: int = 1) -> tuple[bool, str]:
    """Whether so many samples may be kept on a device without being asked, and why.

    Args:
        total_frames: int16 samples.
        device: the CPU or a CUDA device.
        copies: processes of this machine that each keep them; they count where ``device`` is the CPU.
    """
    return judge(_needed(total_frames, device, copies), free_bytes(device), WILLING, place_of(device))


def judge(needed: int, free: int, share: float, where: str) -> tuple[bool, str]:
    """Whether ``needed`` bytes are at most a share of the ``free`` ones, and the reason in words.

    >>> judge(33_000_000_000, 80_000_000_000, 0.6, "cuda:0")
    (True, '33.0 GB of samples fit cuda:0, where 80.0 GB are free')
    >>> judge(33_000_000_000, 40_000_000_000, 0.6, "cuda:0")
    (False, '33.0 GB of samples are more than 60 % of the 40.0 GB that are free on cuda:0')
    """
    if needed <= share * free:
        return True, f"{needed / 1e9:.1f} GB of samples fit {where}, where {free / 1e9:.1f} GB are free"
    return False, (
        f"{needed / 1e9:.1f} GB of samples are more than {100 * share:.0f} % of the {free / 1e9:.1f} GB that are free "
        f"on {where}"
    )


def must_fit(total_frames: int, device: torch.device, copies: int) -> tuple[bool, str]:
    """The same where somebody asked for it."""
    return judge(_needed(total_frames, device, copies), free_bytes(device), UTMOST, place_of(device))


def place_of(device: torch.device) -> str:
    """The memory of a device, for people."""
    return str(device) if device.type == "cuda" else "this machine"


def free_bytes(device: torch.device) -> int:
    """Bytes that can be had on a device now."""
    if device.type == "cuda":
        free: int = torch.cuda.mem_get_info(device)[0]
        return free
    if not MEMINFO.exists():  # not Linux: what the machine has must do
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return free_host_bytes(MEMINFO.read_text(), [path.read_text() for path in LIMITS if path.exists()])


def free_host_bytes(meminfo: str, limits: list[str]) -> int:
    """Bytes that can be had in main memory.

    Args:
        meminfo: what Linux says of the machine.
        limits: what it allows this process's group (a container, say): bytes, or ``max``. What the group uses already
            is not taken off: most of it is page cache, which gives way.
    """
    lines = dict(line.split(":", 1) for line in meminfo.splitlines() if ":" in line)
    available = int(lines["MemAvailable"].split()[0]) * 1024  # in kB, which are KiB
    return min([available, *(int(limit) for limit in limits if limit.strip().isdigit())])


def _needed(total_frames: int, device: torch.device, copies: int) -> int:
    return total_frames * SAMPLE_BYTES * (copies if device.type == "cpu" else 1)
