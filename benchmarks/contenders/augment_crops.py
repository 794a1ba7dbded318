"""What every contender of the effects' benchmark is given, and what is asked of what it makes of it."""

from __future__ import annotations

import wave
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

SAMPLE_RATE = 22050  # Hz
CROP_FRAMES = 59049
# The paper's appendix B and Figure 4, in the order they are applied.
PAPER = {"polarity": 0.8, "noise": 0.01, "gain": 0.3, "filter": 0.8, "delay": 0.4, "pitch": 0.4, "reverb": 0.4}
LEAST_LEVEL = 1e-3  # of the input's, so that silence is not taken for an effect
# A chain's first views may be few, and some of them pass it unchanged by chance: 0.6 % in the whole chain.
SLACK = 0.15

Audio = npt.NDArray[np.float32]
Effects = Mapping[str, float]
"""Effect -> probability; a single one has 1."""


def load_crops(path: str) -> Audio:
    """Float32 in +-1, ``[N, T]``, from the file of 16-bit samples."""
    crops: Audio = np.load(path).astype(np.float32) / 2**15
    return crops


def least_changed(effects: Effects) -> float:
    """The share of the rows that is expected to leave a chain changed."""
    return 1 - float(np.prod([1 - probability for probability in effects.values()]))


def check_views(before: npt.ArrayLike, after: npt.ArrayLike, effects: Effects) -> None:
    """The views have the crops' shape, are finite, not silent, and as many as expected differ from their crop.

    Args:
        before: crops, ``[N, T]`` or ``[N, 1, T]``.
        after: what a contender made of them.
        effects: it was to apply.

    Raises:
        ValueError: they are not what they should be.
    """
    crops, views = np.asarray(before), np.asarray(after)
    if views.shape != crops.shape or views.dtype != np.float32:
        raise ValueError(f"the views are {views.dtype} {views.shape}, the crops float32 {crops.shape}")
    if not np.isfinite(views).all():
        raise ValueError("a view is not finite")
    rows = len(crops)
    crops, views = crops.reshape(rows, -1).astype(np.float64), views.reshape(rows, -1).astype(np.float64)
    if (views.std(axis=1) < LEAST_LEVEL * crops.std(axis=1)).any():
        raise ValueError("a view is silent")
    changed, expected = (views != crops).any(axis=1).mean(), least_changed(effects)
    if not expected - SLACK <= changed <= expected + SLACK:
        raise ValueError(f"{changed:.0%} of the views are changed, {expected:.0%} should be")


def snr_db(got: Audio, expected: Audio) -> float:
    """Power of what is expected over that of the difference, in decibels."""
    difference = got.astype(np.float64) - expected
    return float(10 * np.log10(np.square(expected, dtype=np.float64).sum() / max(np.square(difference).sum(), 1e-30)))


def write_responses(folder: Path, count: int) -> None:
    """Impulse responses for libraries whose reverb is a convolution: noise that falls by 60 dB in 0.3 to 2.5 s.

    They stand in for Schroeder's reverb, which those libraries do not have; the direct sound comes first.
    """
    folder.mkdir()
    chance = np.random.default_rng(0)
    for number, seconds in enumerate(np.linspace(0.3, 2.5, count)):
        n = np.arange(min(CROP_FRAMES, int(seconds * SAMPLE_RATE)))
        response = 0.03 * chance.standard_normal(len(n)) * 10 ** (-3 * n / (seconds * SAMPLE_RATE))
        response[0] = 1
        pcm = np.rint(np.clip(response, -1, 1) * 32767).astype("<i2")
        with wave.open(str(folder / f"{number:03d}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(SAMPLE_RATE)
            file.writeframes(pcm.tobytes())


def only(effects: Effects, known: Iterable[str]) -> dict[str, float]:
    """The effects that a library has.

    Raises:
        ValueError: it has none of them.
    """
    kept = {name: probability for name, probability in effects.items() if name in set(known)}
    if not kept:
        raise ValueError(f"it has none of {', '.join(effects)}")
    return kept
