"""Clips whose every piece says where it is from, so that what a contender delivers can be checked."""

from __future__ import annotations

import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Pcm = npt.NDArray[np.int16]

SAMPLE_RATE = 22050  # Hz
CLIP_SECONDS = 30
CLIP_FRAMES = SAMPLE_RATE * CLIP_SECONDS
CROP_FRAMES = 59049
WAV_HEADER = 44  # bytes
MOST_CLIPS = 1 << 13


@dataclass(frozen=True)
class Piece:
    """Where a crop is from."""

    clip: int
    start: int


def clip_pcm(number: int, frames: int = CLIP_FRAMES) -> Pcm:
    """A clip: of every two samples the first is the low half of their number, the second its high bits and the clip's.

    Sample 2j is ``j mod 2^16``, sample 2j + 1 is ``8 clip + j / 2^16``, both without a sign.
    """
    assert 0 <= number < MOST_CLIPS
    assert frames <= 8 << 17
    pairs = np.arange((frames + 1) // 2)
    words = np.stack([pairs & 0xFFFF, (number << 3) | (pairs >> 16)], axis=1)
    return words.astype(np.uint16).view(np.int16).reshape(-1)[:frames]


def locate(crop: Pcm, frames: int = CLIP_FRAMES) -> Piece:
    """Where a crop is from, every sample compared.

    Raises:
        ValueError: it is no piece of any clip.
    """
    for odd in (0, 1):
        low, high = (int(word) & 0xFFFF for word in crop[odd : odd + 2])
        clip, start = high >> 3, 2 * (low | (high & 7) << 16) - odd
        if 0 <= start <= frames - len(crop) and np.array_equal(clip_pcm(clip, frames)[start : start + len(crop)], crop):
            return Piece(clip, start)
    raise ValueError("a crop is no piece of a clip")


def check_pairs(pairs: npt.NDArray[np.int16], frames: int = CLIP_FRAMES) -> None:
    """Both crops of every pair are of one clip, the clips and the starts of a batch are not all the same.

    Args:
        pairs: ``[b, 2, T]``.
        frames: samples per clip.

    Raises:
        ValueError: they are not.
    """
    found = [[locate(crop, frames) for crop in pair] for pair in pairs]
    if any(first.clip != second.clip for first, second in found):
        raise ValueError("the crops of a pair are of different clips")
    if len(found) > 1 and len({first.clip for first, _ in found}) == 1:
        raise ValueError("every pair of the batch is of the same clip")
    if len(found) > 1 and all(first.start == second.start for first, second in found):
        raise ValueError("both crops of every pair begin at the same sample")


def write_clips(folder: Path, clips: int, frames: int = CLIP_FRAMES) -> list[Path]:
    """Clips as mono WAV files, all of the training split, each a song of its own."""
    folder.mkdir(parents=True)
    rows = ["path,tags,split,song_id"]
    paths = [folder / f"{number:05d}.wav" for number in range(clips)]
    for number, path in enumerate(paths):
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(SAMPLE_RATE)
            file.writeframes(clip_pcm(number, frames).tobytes())
        rows.append(f"{path.name},noise,train,{number}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return paths


def read_wav(path: Path) -> Pcm:
    """The samples of a clip."""
    return np.fromfile(path, dtype="<i2", offset=WAV_HEADER)
