"""Other ways to get crop pairs from the same clips, each with the settings its own documentation recommends.

All yield the number of pairs of each batch, without end, and keep nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
import webdataset as wds
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from sharding.format import WAV_HEADER_BYTES

SHUFFLE_BUFFER = 100  # samples; of 1.3 MB each, so a larger buffer costs memory and time
WEBDATASET_SETTINGS = (
    f"WebDataset(resampled=True).shuffle({SHUFFLE_BUFFER}), so that shards come without end, WAV header skipped "
    "instead of decoded, two crops, batched inside the worker, WebLoader(batch_size=None)"
)
SOUNDFILE_SETTINGS = (
    "map-style Dataset, one open and two seek + read(dtype='int16') per clip, DataLoader(shuffle=True, drop_last=True, "
    "persistent_workers=True)"
)


def webdataset_pairs(shards: Sequence[Path], *, crop_frames: int, pairs: int, workers: int) -> Iterator[int]:
    """Stock streaming: every sample is read whole, shuffled in a buffer and cropped afterwards."""

    def two_crops(sample: dict[str, bytes]) -> Tensor:
        pcm = np.frombuffer(sample["wav"], dtype=np.int16, offset=WAV_HEADER_BYTES)
        starts = np.random.default_rng().integers(0, len(pcm) - crop_frames + 1, 2)
        return torch.from_numpy(np.stack([pcm[start : start + crop_frames] for start in starts]))

    dataset: Any = wds.WebDataset(
        [str(path) for path in shards], resampled=True, shardshuffle=False, select_files=_is_wav
    )
    dataset = dataset.shuffle(SHUFFLE_BUFFER).map(two_crops).batched(pairs, torch.stack, partial=False)
    for batch in wds.WebLoader(dataset, batch_size=None, num_workers=workers):
        yield len(batch)


def _is_wav(name: str) -> bool:
    return name.endswith(".wav")


class SoundfileCrops(Dataset[Tensor]):
    """Two random crops of each WAV file, int16 ``[2, T]``."""

    def __init__(self, files: Sequence[Path], crop_frames: int) -> None:
        self.files = files
        self.crop_frames = crop_frames

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        pair = np.empty((2, self.crop_frames), dtype=np.int16)
        with soundfile.SoundFile(self.files[index]) as file:
            for crop in pair:
                file.seek(int(torch.randint(file.frames - self.crop_frames + 1, ())))
                file.read(out=crop)
        return torch.from_numpy(pair)


def soundfile_pairs(files: Sequence[Path], *, crop_frames: int, pairs: int, workers: int) -> Iterator[int]:
    """The DataLoader of torch over WAV files."""
    loader = DataLoader(
        SoundfileCrops(files, crop_frames),
        batch_size=pairs,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    while True:
        yield from (len(batch) for batch in loader)
