"""Values in bins of a round width."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FEWEST_BINS, MOST_BINS = 8, 30
MOST_NAMED = 6  # edges on an axis
TAIL = 0.005  # of the values at an end without a limit: a few strays do not squeeze all the others into one bin
ROUNDING = 1e-9  # 0.3 / 0.1 is 2.9999999999999996, and 0.3 belongs to the bin that begins there


@dataclass(frozen=True, eq=False)
class Histogram:
    """How often values lie where. Bin ``b`` reaches from ``edge(b)`` to ``edge(b + 1)``."""

    step: float
    """Width of a bin."""
    first: int
    """The first edge, in steps."""
    counts: npt.NDArray[np.int64]
    """Values in each bin, shape ``[B]``; their sum is the number of values."""
    below: int
    """Values below the first edge, which are counted in the first bin."""
    above: int
    """Values from the last edge on, which are counted in the last bin."""
    stride: int
    """Every so many steps an edge is round enough to be named on an axis."""
    least: float
    median: float
    mean: float
    most: float

    def edge(self, number: int) -> float:
        """The value where bin ``number`` begins."""
        return (self.first + number) * self.step

    def __len__(self) -> int:
        return len(self.counts)


def histogram(
    values: npt.NDArray[np.float64], steps: Sequence[float], *, lowest: float = -math.inf, highest: float = math.inf
) -> Histogram:
    """Count values in bins of the smallest width that needs no more than ``MOST_BINS``.

    Args:
        values: shape ``[N]``, at least one, finite.
        steps: widths to choose from, in ascending order; the last one may need more bins.
        lowest: no bin begins below it.
        highest: no bin ends above it.
    """
    low, high = np.quantile(values, (TAIL, 1 - TAIL if highest == math.inf else 1))
    for step in steps:
        first, last = _bin(low, step), _bin(high, step)
        if last - first < MOST_BINS:
            break
    if last * step >= highest:
        last -= 1  # a value on the last edge belongs to the bin before it
        first = min(first, last)
    while last - first + 1 < FEWEST_BINS:
        room_below, room_above = (first - 1) * step >= lowest, (last + 2) * step <= highest
        if not room_below and not room_above:
            break
        first -= room_below
        last += room_above
    bins = np.floor(values / step + ROUNDING).astype(np.int64)
    counts = np.bincount(np.clip(bins, first, last) - first, minlength=last - first + 1)
    return Histogram(
        step=step,
        first=first,
        stride=_stride(step, first, last + 1, steps),
        counts=counts,
        below=int((bins < first).sum()),
        above=int(((bins > last) & (values > (last + 1) * step)).sum()),
        least=float(values.min()),
        median=float(np.median(values)),
        mean=float(values.mean()),
        most=float(values.max()),
    )


def _stride(step: float, first: int, last: int, steps: Sequence[float]) -> int:
    """The smallest of ``steps`` of which the edges ``first`` to ``last`` hold few multiples, in units of ``step``."""
    ratios = (larger / step for larger in steps if larger >= step)
    strides = [round(ratio) for ratio in ratios if abs(ratio - round(ratio)) < ROUNDING]
    return next((stride for stride in strides if last // stride - (first - 1) // stride <= MOST_NAMED), last - first)


def _bin(value: float, step: float) -> int:
    return math.floor(value / step + ROUNDING)
