"""MosaicML Streaming on the same audio in its own format. Runs where it is installed, without this project's packages."""

from __future__ import annotations

import fcntl
import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from streaming import MDSWriter, StreamingDataLoader, StreamingDataset
from torch import Tensor

from benchmarks.corpus import read_wav


def convert(files: Sequence[str], folder: str) -> None:
    """Write the clips as MDS."""
    with MDSWriter(out=folder, columns={"pcm": "ndarray:int16"}) as out:
        for file in files:
            out.write({"pcm": read_wav(Path(file))})


class _Crops(StreamingDataset):  # type: ignore[misc]  # the library has no types here
    """Two random crops of each clip, ``[2, T]``."""

    def __init__(self, crop_frames: int, **options: Any) -> None:
        super().__init__(**options)
        self._crop_frames = crop_frames

    def __getitem__(self, at: int) -> Tensor:
        pcm = super().__getitem__(at)["pcm"]
        starts = [random.randrange(len(pcm) - self._crop_frames + 1) for _ in range(2)]
        return torch.from_numpy(np.stack([pcm[start : start + self._crop_frames] for start in starts]))


def streamed(folder: str, pairs: int, crop_frames: int, workers: int) -> Iterator[Tensor]:
    """MDSWriter(columns={"pcm": "ndarray:int16"}), shards of 64 MB (its default), no compression;
    StreamingDataset(local=folder, shuffle=True, batch_size), two crops in __getitem__,
    StreamingDataLoader(drop_last=True, persistent_workers=True).
    """
    own = f"{folder}-{workers}-workers"  # two processes may not share a folder: another one, of the same files
    Path(own).mkdir()
    for path in Path(folder).iterdir():
        os.link(path, f"{own}/{path.name}")
    with Path(f"{folder}.lock").open("w") as lock:  # two that start at once take the same names in shared memory
        fcntl.flock(lock, fcntl.LOCK_EX)
        dataset = _Crops(crop_frames, local=own, shuffle=True, batch_size=pairs)
    loader = StreamingDataLoader(
        dataset, batch_size=pairs, num_workers=workers, drop_last=True, persistent_workers=workers > 0
    )
    while True:
        yield from loader
