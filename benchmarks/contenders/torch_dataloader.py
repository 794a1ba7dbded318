"""torch's DataLoader over WAV files: crops read by libsndfile, and what the official CLMR code does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import soundfile
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset


class SoundfileCrops(Dataset[Tensor]):
    """Two random crops of each WAV file, int16 ``[2, T]``."""

    def __init__(self, files: Sequence[str], crop_frames: int) -> None:
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


class OfficialCrops(Dataset[Tensor]):
    """The whole clip as float32, then twice the official transform with all effects left out: ``[2, 1, T]``."""

    def __init__(self, files: Sequence[str], crop_frames: int) -> None:
        self.files = files
        self.crop_frames = crop_frames

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        audio = torch.from_numpy(soundfile.read(self.files[index], dtype="float32", always_2d=True)[0].T)
        views = []
        for _ in range(2):
            start = int(torch.randint(audio.shape[-1] - self.crop_frames + 1, ()))
            views.append(audio.clone()[..., start : start + self.crop_frames])
        return torch.stack(views)


def _batches(dataset: Dataset[Tensor], pairs: int, workers: int) -> Iterator[Tensor]:
    loader = DataLoader(
        dataset, batch_size=pairs, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=workers > 0
    )
    while True:
        yield from loader


def soundfile_crops(files: Sequence[str], pairs: int, crop_frames: int, workers: int) -> Iterator[Tensor]:
    """Only the crops are read.

    Map-style Dataset, one open and two seek + read(dtype int16) per clip, DataLoader(shuffle=True, drop_last=True,
    persistent_workers=True).
    """
    return _batches(SoundfileCrops(files, crop_frames), pairs, workers)


def official(files: Sequence[str], pairs: int, crop_frames: int, workers: int) -> Iterator[Tensor]:
    """The official code's way without its effects.

    The whole clip to float32, twice a clone and RandomResizedCrop, stacked, default collate, DataLoader(shuffle=True,
    drop_last=True). soundfile.read stands for torchaudio.load, which called it there and wants torchcodec today;
    persistent_workers=True is a favour, as an epoch is short here.
    """
    return _batches(OfficialCrops(files, crop_frames), pairs, workers)
