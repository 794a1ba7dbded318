"""Pictures with titles and axes, before and after side by side, as PNG files."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import Tensor

from clmr.augment.listen.heard import Heard
from clmr.augment.listen.pictures import COLOURS, Scale, Spectrograms
from clmr.augment.listen.waveform import loudest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

DOTS_PER_INCH = 120
TITLE_WIDTH = 36  # letters above a panel
# Inches; matplotlib's own layouts measure every letter and take ten times as long.
PANEL_WIDTH, PANEL_HEIGHT = 3.1, 2.7
LEFT, RIGHT, BOTTOM, TITLE, LINE = 0.75, 1.0, 0.55, 0.55, 0.17


def draw_spectrograms(heard: Heard, before: Tensor, spectrograms: Spectrograms, scale: Scale) -> bytes:
    """Mel spectrograms of the recording ``[T]`` and of what the effect makes of it, in one scale of colour."""
    seconds = len(before) / spectrograms.sample_rate

    def draw(axes: Axes, audio: Tensor) -> AxesImage:
        axes.set_xlabel("seconds")
        return axes.imshow(
            spectrograms(audio).numpy(),
            origin="lower",
            aspect="auto",
            extent=(0, seconds, 0, 1),
            cmap=COLOURS,
            vmin=scale.bottom,
            vmax=scale.top,
        )

    heights, names = zip(*spectrograms.marks(), strict=True)
    return _figure(heard, before, draw, ("Hz", heights, names))


def draw_waveforms(heard: Heard, before: Tensor, sample_rate: int) -> bytes:
    """A few milliseconds of the recording ``[T]`` around its loudest sample, and of what the effect makes of it."""
    part = loudest(before, sample_rate)
    highest = before[part].abs().max().item()
    milliseconds = [1000 * n / sample_rate for n in range(part.stop - part.start)]

    def draw(axes: Axes, audio: Tensor) -> None:
        axes.plot(milliseconds, audio[part].numpy(), linewidth=1, color="#35627d")
        axes.axhline(0, linewidth=0.8, color="#8b9095")
        axes.set(xlim=(0, milliseconds[-1]), ylim=(-1.05 * highest, 1.05 * highest))
        axes.set_xlabel(f"ms from {part.start / sample_rate:.3f} s on")

    return _figure(heard, before, draw, None)


def _figure(
    heard: Heard,
    before: Tensor,
    draw: Callable[[Axes, Tensor], AxesImage | None],
    marks: tuple[str, tuple[float, ...], tuple[str, ...]] | None,
) -> bytes:
    """One panel beside the other; ``marks``: name, places and names of places of the axis of all panels."""
    from matplotlib.figure import Figure

    panels = [("before", before), *((clip.setting, clip.audio) for clip in heard.clips)]
    titles = [textwrap.fill(name, TITLE_WIDTH) for name, _ in panels]
    right = RIGHT if marks else LEFT / 4
    width = LEFT + PANEL_WIDTH * len(panels) + right
    top = TITLE + LINE * max(1 + title.count("\n") for title in titles)
    height = BOTTOM + PANEL_HEIGHT + top
    drawing = Figure(figsize=(width, height), dpi=DOTS_PER_INCH)
    drawing.suptitle(heard.title, fontsize=13, fontweight="bold", y=1 - 0.12 / height, va="top")
    edges = {"left": LEFT / width, "right": 1 - right / width, "bottom": BOTTOM / height, "top": 1 - top / height}
    row = list(drawing.subplots(1, len(panels), sharey=True, squeeze=False, gridspec_kw=edges | {"wspace": 0.06})[0])
    for axes, title, (_, audio) in zip(row, titles, panels, strict=True):
        axes.set_title(title, fontsize=9.5)
        image = draw(axes, audio)
        # The number at the right edge would stand on the first one of the next panel.
        axes.locator_params(axis="x", prune="upper")
    if marks:
        name, places, names = marks
        row[0].set_yticks(places, names)
        row[0].set_ylabel(name)
    if image:
        beside = drawing.add_axes(
            (1 - 0.9 * right / width, edges["bottom"], 0.13 / width, edges["top"] - edges["bottom"])
        )
        drawing.colorbar(image, cax=beside).set_label("dB against a full-scale sine")
    file = io.BytesIO()
    drawing.savefig(file, format="png")
    return file.getvalue()
