"""How a library's function is run: in this process, or in worker processes by torch's DataLoader.

Runs in other interpreters too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.contenders.augment_crops import Audio, Effects, check_views

ENDLESS = 1 << 40
CHECKED = 32  # views


class Batches(Dataset[Tensor]):
    """Batches of views of the same crops, over and over."""

    def __init__(self, crops: Audio, make: Callable[[Tensor], Tensor], batch: int) -> None:
        self._crops = np.resize(crops, (-(-len(crops) // batch) * batch, 1, crops.shape[1]))
        self._make = make
        self._batch = batch

    def __len__(self) -> int:
        return ENDLESS

    def __getitem__(self, index: int) -> Tensor:
        begin = index * self._batch % len(self._crops)
        return self._make(torch.from_numpy(self._crops[begin : begin + self._batch].copy()))


def in_batches(
    crops: Audio,
    make: Callable[[Tensor], Tensor],
    effects: Effects,
    *,
    batch: int,
    threads: int = 1,
    workers: int = 0,
) -> Iterator[int]:
    """How many views have come, batch after batch; the first ones are checked.

    Args:
        crops: ``[N, T]``.
        make: crops ``[B, 1, T]`` -> views of the same shape; may work in place.
        effects: what the function applies.
        batch: B.
        threads: of torch; a worker has one.
        workers: processes, each of which makes whole batches; with 0 this process does.
    """
    torch.set_num_threads(threads)
    batches = Batches(crops, make, batch)
    for_check = Batches(crops, lambda before: torch.stack([before, make(before.clone())]), batch)
    before, after = torch.cat([for_check[number] for number in range(-(-CHECKED // batch))], dim=1).numpy()
    check_views(before, after, effects)
    if workers:
        yield from map(len, DataLoader(batches, batch_size=None, num_workers=workers))
    for number in range(ENDLESS):
        yield len(batches[number])


def one_by_one(view: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """A function of one view ``[1, T]`` as one of batches."""
    return lambda audio: torch.stack([view(row) for row in audio])
