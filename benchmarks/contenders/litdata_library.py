"""LitData on the same audio in its own format. Runs where LitData is installed, without this project's packages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from litdata import StreamingDataLoader, StreamingDataset, TemporalArrayLoader, optimize
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.corpus import read_wav

CHUNK = "512MB"  # LitData's advice for samples of a few MB is 256 to 512 MB


def _whole(path: str) -> Tensor:
    return torch.from_numpy(read_wav(Path(path)))


def _fields(path: str) -> dict[str, Tensor]:
    return {"pcm": _whole(path)}


def convert(files: Sequence[str], folder: str) -> None:
    """Write the clips twice: as items, and as temporal records of which windows can be read."""
    optimize(_whole, list(files), output_dir=f"{folder}/items", chunk_bytes=CHUNK, num_workers=1)
    temporal = TemporalArrayLoader()
    optimize(
        _fields, list(files), output_dir=f"{folder}/windows", chunk_bytes=CHUNK, num_workers=1, item_loader=temporal
    )


def _start(frames: int, crop_frames: int) -> int:
    return int(torch.randint(frames - crop_frames + 1, ()))


class _TwoCrops:
    """Two random crops of an item, ``[2, T]``."""

    def __init__(self, crop_frames: int) -> None:
        self._crop_frames = crop_frames

    def __call__(self, pcm: Tensor) -> Tensor:
        starts = [_start(len(pcm), self._crop_frames) for _ in range(2)]
        return torch.stack([pcm[start : start + self._crop_frames] for start in starts])


def items(folder: str, pairs: int, crop_frames: int, workers: int) -> Iterator[Tensor]:
    """Whole clips, cropped by the transform.

    optimize() of int16 tensors, chunks of 512 MB; StreamingDataset(local folder, so mapped in place, shuffle=True,
    drop_last=True, transform=two crops of the item), StreamingDataLoader(persistent_workers=True).
    """
    dataset = StreamingDataset(f"{folder}/items", shuffle=True, drop_last=True, transform=_TwoCrops(crop_frames))
    loader = StreamingDataLoader(
        dataset, batch_size=pairs, num_workers=workers, drop_last=True, persistent_workers=workers > 0
    )
    while True:
        yield from (batch for batch in loader if len(batch) == pairs)


class _Windows(Dataset[Tensor]):
    """Two windows of each record, read alone, ``[2, T]``."""

    def __init__(self, folder: str, crop_frames: int) -> None:
        self._records = StreamingDataset(folder, item_loader=TemporalArrayLoader())
        self._frames = self._records.frame_counts
        self._crop_frames = crop_frames

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> Tensor:
        starts = [_start(self._frames[index], self._crop_frames) for _ in range(2)]
        read = self._records.read_window
        return torch.stack([read(index, start=start, frames=self._crop_frames)["pcm"] for start in starts])


def windows(folder: str, pairs: int, crop_frames: int, workers: int) -> Iterator[Tensor]:
    """Windows of records.

    optimize(item_loader=TemporalArrayLoader()), chunks of 512 MB; two read_window() per record, which copies only the
    window out of the mapped chunk; as in its example a map-style Dataset in torch's DataLoader(shuffle=True,
    drop_last=True, persistent_workers=True).
    """
    loader = DataLoader(
        _Windows(f"{folder}/windows", crop_frames),
        batch_size=pairs,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    while True:
        yield from loader
