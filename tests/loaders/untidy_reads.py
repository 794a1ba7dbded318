"""Reads that are done in any order, fail or never end, of batches that say which they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from threading import Timer

import numpy as np

from loaders.reading.crops import CropReader, Crops
from loaders.reading.slabs import Slab


class Untidy(CropReader):
    """Fills each slab with the number of its first track, and is done with the batches in any order, or never."""

    def __init__(
        self, after: Callable[[], float], errors: dict[int, Exception] | None = None, never: float = float("inf")
    ) -> None:
        super().__init__([])
        self._after = after
        self._errors = errors or {}
        self._never = never

    def submit(self, block: Sequence[tuple[Crops, Slab]]) -> list[Future[None]]:
        future: Future[None] = Future()
        if int(block[0][0].track[0]) >= self._never:
            return [future]
        Timer(self._after(), self._read, (block, future)).start()
        return [future]

    def _read(self, block: Sequence[tuple[Crops, Slab]], future: Future[None]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        for crops, slab in block:
            number = int(crops.track[0])
            slab.pcm[:] = -1
            if number in self._errors:
                future.set_exception(self._errors[number])
                return
            slab.pcm[: len(crops.track)] = number
        future.set_result(None)


def numbered(batches: int, rows: int = 4, first: int = 0) -> Iterator[list[Crops]]:
    """Plans of batches whose tracks all bear the batch's number."""
    for number in range(first, batches):
        track = np.full(rows, number)
        yield [Crops(np.zeros_like(track), track, np.zeros((rows, 2), dtype=np.int64))]
