"""An effect at some settings, or the whole chain as it is drawn, and what it makes of a recording."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from clmr import draw
from clmr.augment.augmentation import Augmentation, Columns
from clmr.augment.chain import Chain
from clmr.augment.listen.words import applied, setting
from clmr.augment.polarity import Polarity

LEVELS = ("low", "mid", "high")
VIEWS = 3  # of the whole chain


@dataclass(frozen=True, eq=False)
class Clip:
    """One result to hear."""

    level: str
    """``low``, ``mid`` or ``high``; of a chain, the number of the view. Part of file names."""
    setting: str
    """Its parameters in words."""
    audio: Tensor
    """float32, shape ``[T]``."""


@dataclass(frozen=True, eq=False)
class Heard:
    """An effect, or a whole chain, and what it makes of the recording."""

    slug: str
    """For file names and anchors."""
    title: str
    about: str
    """What it does and what to listen for, in a sentence or two."""
    operation: str
    """Name of the augmentation; empty for a chain."""
    clips: tuple[Clip, ...]

    @property
    def waveform(self) -> bool:
        """Whether it shows in the waveform only: the polarity is not in a spectrogram."""
        return self.operation == Polarity.name


@dataclass(frozen=True, eq=False)
class Effect:
    """One augmentation with settings to try."""

    slug: str
    title: str
    about: str
    operation: Augmentation
    columns: Columns
    """One row per setting, from little to much."""

    def hear(self, audio: Tensor, sample_rate: int) -> Heard:
        """Apply every setting to one recording ``[1, 1, T]``."""
        values = list(self.columns.values())
        rows = len(values[0]) if values else 1
        results = self.operation.apply(audio.expand(rows, 1, -1).clone(), self.columns, sample_rate)
        clips = []
        for row, result in enumerate(results[:, 0]):
            words = setting(self.operation.name, {name: column[row].item() for name, column in self.columns.items()})
            clips.append(Clip(LEVELS[row] if rows > 1 else "on", words, result))
        return Heard(self.slug, self.title, self.about, self.operation.name, tuple(clips))


def hear_chain(preset: str, audio: Tensor, sample_rate: int, seed: int) -> Heard:
    """The whole chain on one recording ``[1, 1, T]``, drawn ``VIEWS`` times."""
    chain = Chain.preset(preset, sample_rate)
    keys = torch.from_numpy(draw.make_keys(seed, 0, [0], views=range(VIEWS))[0])
    table = chain.draw(keys)
    results = chain.apply(audio.expand(VIEWS, 1, -1), table)[:, 0]
    clips = tuple(Clip(str(row + 1), applied(table, row), result) for row, result in enumerate(results))
    return Heard(
        f"chain-{preset}",
        f"Whole chain, {preset} preset",
        "Views as they are drawn in training: each augmentation is applied or not by a draw of its own.",
        "",
        clips,
    )
