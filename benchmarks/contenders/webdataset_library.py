"""The webdataset library on the same shards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
import webdataset as wds
from torch import Tensor

from benchmarks.corpus import WAV_HEADER

SHUFFLE_BUFFER = 100  # samples; of 1.3 MB each, so a larger buffer costs memory and time


def streamed(shards: Sequence[str], pairs: int, crop_frames: int, workers: int) -> Iterator[Tensor]:
    """Whole clips from a shuffle buffer.

    WebDataset(resampled=True, select_files).shuffle(100), so that shards come without end; WAV header skipped instead
    of decoded, two crops, batched inside the worker, WebLoader(batch_size=None).
    """

    def two_crops(sample: dict[str, bytes]) -> Tensor:
        pcm = np.frombuffer(sample["wav"], dtype=np.int16, offset=WAV_HEADER)
        starts = [int(torch.randint(len(pcm) - crop_frames + 1, ())) for _ in range(2)]
        return torch.from_numpy(np.stack([pcm[start : start + crop_frames] for start in starts]))

    dataset: Any = wds.WebDataset(list(shards), resampled=True, shardshuffle=False, select_files=_is_wav)
    dataset = dataset.shuffle(SHUFFLE_BUFFER).map(two_crops).batched(pairs, torch.stack, partial=False)
    yield from wds.WebLoader(dataset, batch_size=None, num_workers=workers)


def _is_wav(name: str) -> bool:
    return name.endswith(".wav")
