"""A waveform as the outline of its lowest and highest samples."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sharding.page.markup import Markup, element

COLUMNS = 600
HEIGHT = 600  # units from full scale to full scale
FULL_SCALE = 32768

Bounds = npt.NDArray[np.int16]


def envelope(pcm: npt.NDArray[np.int16], columns: int = COLUMNS) -> tuple[Bounds, Bounds]:
    """The lowest and the highest sample of each column.

    Args:
        pcm: int16, shape ``[N]``, N at least 1.
        columns: parts of equal length, to the sample, into which the signal is cut; at most N are made.

    Returns:
        Two int16 arrays of shape ``[columns]``.
    """
    columns = min(columns, len(pcm))
    begins = np.arange(columns) * len(pcm) // columns
    return np.minimum.reduceat(pcm, begins), np.maximum.reduceat(pcm, begins)


def waveform(pcm: npt.NDArray[np.int16], description: str) -> Markup:
    """The signal as an SVG drawing at full scale: quiet music looks quiet."""
    lowest, highest = envelope(pcm)
    top = _heights(highest)
    bottom = np.maximum(_heights(lowest), top + 1)  # silence is a line too
    across = np.arange(len(top))
    outline = [*zip(across, top, strict=True), *zip(across[::-1], bottom[::-1], strict=True)]
    return element(
        "svg",
        element("path", d="M" + "L".join(f"{x} {y}" for x, y in outline) + "Z"),
        class_="waveform",
        viewBox=f"0 0 {max(len(top) - 1, 1)} {HEIGHT}",
        preserveAspectRatio="none",
        role="img",
        aria_label=description,
    )


def _heights(samples: Bounds) -> npt.NDArray[np.int64]:
    """Samples as distances from the upper edge, 0 for full scale."""
    # y = H/2 (1 - x / 32768)
    return np.rint(HEIGHT / 2 * (1 - samples / FULL_SCALE)).astype(np.int64)
