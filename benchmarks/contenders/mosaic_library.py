"""MosaicML Streaming on the same audio in its own format. Runs where it is, without this project's packages."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from streaming import MDSWriter, StreamingDataLoader, StreamingDataset
from torch import Tensor

from benchmarks.corpus import read_wav


def convert(files: Sequence[str], folder: str) -> None:
    """Write the clips as MDS."""
    with MDSWriter(out=folder, columns={"pcm": "ndarray:int16"}) as out:
        for file in files:
            out.write({"pcm": read_wav(Path(file))})


class _TwoCrops:
    """Collates two random crops of each clip, ``[b, 2, T]``."""

    def __init__(self, crop_frames: int) -> None:
        self._crop_frames = crop_frames

    def __call__(self, samples: Sequence[Mapping[str, npt.NDArray[np.int16]]]) -> Tensor:
        batch = torch.empty(len(samples), 2, self._crop_frames, dtype=torch.int16)
        for sample, pair in zip(samples, batch.numpy(), strict=True):
            for crop in pair:
                start = int(torch.randint(len(sample["pcm"]) - self._crop_frames + 1, ()))
                crop[:] = sample["pcm"][start : start + self._crop_frames]
        return batch


def streamed(folder: str, pairs: int, crop_frames: int, workers: int) -> Iterator[Tensor]:
    """Whole clips, cropped as they are collated.

    MDSWriter(columns={"pcm": "ndarray:int16"}), shards of 64 MB (its default), no compression;
    StreamingDataset(local=folder, shuffle=True, batch_size), StreamingDataLoader(collate_fn=two crops of each clip,
    drop_last=True, persistent_workers=True).
    """
    own = f"{folder}-{workers}-workers"  # two processes may not share a folder: another one, of the same files
    Path(own).mkdir()
    for path in Path(folder).iterdir():
        os.link(path, f"{own}/{path.name}")
    with Path(f"{folder}.lock").open("w") as lock:  # two that start at once take the same names in shared memory
        fcntl.flock(lock, fcntl.LOCK_EX)
        dataset = StreamingDataset(local=own, shuffle=True, batch_size=pairs)
    loader = StreamingDataLoader(
        dataset,
        batch_size=pairs,
        num_workers=workers,
        collate_fn=_TwoCrops(crop_frames),
        drop_last=True,
        persistent_workers=workers > 0,
    )
    while True:
        yield from loader
