"""A few milliseconds of waveform: what a spectrogram does not show."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch import Tensor

MILLISECONDS = 20
HEIGHT = 600  # of the drawing
Samples = npt.NDArray[np.float32]


def loudest(audio: Tensor, sample_rate: int) -> slice:
    """Where the highest magnitude is in the middle of ``MILLISECONDS``, within the signal ``[T]``."""
    length = min(MILLISECONDS * sample_rate // 1000, len(audio))
    begin = int(audio.abs().argmax()) - length // 2
    begin = max(0, min(begin, len(audio) - length))
    return slice(begin, begin + length)


def outline(samples: Samples, highest: float) -> str:
    """The path of an SVG drawing whose width is the number of samples less 1 and whose height is ``HEIGHT``.

    Args:
        samples: shape ``[N]``.
        highest: magnitude that reaches the upper and the lower edge.
    """
    # y = H/2 (1 - x / highest), the edges left a little free
    heights = np.rint(HEIGHT / 2 * (1 - 0.95 * samples / highest)).astype(int)
    return "M" + "L".join(f"{x} {y}" for x, y in enumerate(heights))
