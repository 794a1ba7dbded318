"""Where the windows of a recording lie, and cutting them out of its samples as these come."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clmr import crop_frames
from clmr.errors import ConfigError

Pcm = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Grid:
    """Window i holds samples ``i * hop .. i * hop + window``; only whole windows count."""

    sample_rate: int
    """Hz."""
    window: int
    """Samples of a window."""
    hop: int
    """Samples from the start of one window to the start of the next, at least 1."""

    def count(self, frames: int) -> int:
        """The windows of a recording of so many samples."""
        return (frames - self.window) // self.hop + 1 if frames >= self.window else 0

    def seconds(self, windows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """When windows begin, by their numbers, in seconds from the start of the recording."""
        return windows * self.hop / self.sample_rate


def grid_of(sample_rate: int, hop_seconds: float | None) -> Grid:
    """The grid of the encoder's windows, one behind the other or every ``hop_seconds``, rounded to whole samples.

    Raises:
        ConfigError: the hop rounds to no sample, or to more than any recording has.
    """
    window = crop_frames(sample_rate)
    if hop_seconds is None:
        return Grid(sample_rate, window, window)
    if not math.isfinite(hop_seconds) or hop_seconds * sample_rate >= 2**62:  # starts are counted in 64 bits
        raise ConfigError(f"--hop {hop_seconds}: seconds from one window to the next, such as 0.5")
    hop = round(hop_seconds * sample_rate)
    if hop < 1:
        raise ConfigError(f"--hop {hop_seconds}: at least one sample, {1 / sample_rate:.6f} s at {sample_rate} Hz")
    return Grid(sample_rate, window, hop)


def cut(blocks: Iterable[Pcm], grid: Grid, at_most: int) -> Iterator[Pcm]:
    """The windows of a recording, int16 ``[1 .. at_most, window]``, from its samples in blocks of any size.

    No more than a window and a block of samples are kept, however long the recording.
    """
    rest = np.empty(0, np.int16)
    gap = 0  # samples still to be passed over, where the hop is longer than the window
    for block in blocks:
        passed = min(gap, len(block))
        gap -= passed
        rest = np.concatenate([rest, block[passed:]])
        count = grid.count(len(rest))
        if not count:
            continue
        windows = np.lib.stride_tricks.sliding_window_view(rest, grid.window)[:: grid.hop][:count]
        for begin in range(0, count, at_most):
            yield windows[begin : begin + at_most].copy()
        gap = max(0, count * grid.hop - len(rest))
        rest = rest[count * grid.hop :]
