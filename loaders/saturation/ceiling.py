"""How fast batches could come at best: the memory-copy ceiling."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
import numpy.typing as npt

from loaders.batch import VIEWS
from loaders.reading.slabs import SlabPool
from loaders.reading.threads import ReaderThreads
from sharding.format import SAMPLE_BYTES, Tracks

Bytes = npt.NDArray[np.uint8]
DEPTH = 3  # batches in flight
PLANNED = 64  # batches whose crops are drawn beforehand; they come round again and again


def pairs_per_second(batches: Iterable[int], seconds: float) -> float:
    """Consume ``batches`` (each the number of its pairs) for about ``seconds``."""
    begin, pairs = time.perf_counter(), 0
    for number in batches:
        pairs += number
        if time.perf_counter() - begin >= seconds:
            break
    return pairs / (time.perf_counter() - begin)


class CopyCeiling:
    """Copies random crops from PCM in memory into preallocated batches: no loader that fills batches can be faster.

    Same bytes, same number of threads, same batches in flight as a :class:`PairLoader`; no files, no order, no draws.

    Args:
        root: folder of shards; as many whole shards as fit ``memory`` (at least one) are read into memory.
        tracks: tracks to crop.
        crop_frames: samples per crop.
        pairs: pairs per batch.
        threads: copying threads.
        memory: bytes of shards to hold.
    """

    def __init__(
        self, root: Path, tracks: Tracks, *, crop_frames: int, pairs: int, threads: int, memory: int = 1 << 30
    ) -> None:
        self.pairs = pairs
        self._size = crop_frames * SAMPLE_BYTES
        self._threads = ReaderThreads(threads)
        slabs = SlabPool((pairs, len(VIEWS), crop_frames))
        self._slabs = [slabs.take().pcm.reshape(-1).view(np.uint8) for _ in range(DEPTH + 2)]
        self._shards: list[Bytes] = []
        for name in tracks.shard_names:
            if self._shards and sum(map(len, self._shards)) + (root / name).stat().st_size > memory:
                break
            self._shards.append(np.fromfile(root / name, dtype=np.uint8))
        self._plans = self._draw(tracks, crop_frames)

    def _draw(self, tracks: Tracks, crop_frames: int) -> list[tuple[list[int], list[int]]]:
        """Shard and first byte of every crop of some batches."""
        rng = np.random.default_rng(0)
        held = np.flatnonzero(tracks.shard < len(self._shards))
        chosen = np.repeat(held[rng.integers(0, len(held), (PLANNED, self.pairs))], len(VIEWS), axis=1)
        starts = rng.integers(0, tracks.frames[chosen] - crop_frames + 1)
        offsets = tracks.pcm_offset[chosen] + SAMPLE_BYTES * starts
        return list(zip(tracks.shard[chosen].tolist(), offsets.tolist(), strict=True))

    def batches(self) -> Iterator[int]:
        """The sizes of copied batches, without end."""
        pending: deque[list[Future[None]]] = deque()
        crops = self.pairs * len(VIEWS)
        parts = min(self._threads.count, crops)
        for number in count():
            slab, plan = self._slabs[number % len(self._slabs)], self._plans[number % PLANNED]
            shares = [range(crops * part // parts, crops * (part + 1) // parts) for part in range(parts)]
            pending.append([self._threads.submit(partial(self._copy, slab, *plan, share)) for share in shares])
            if len(pending) == DEPTH:
                for copy in pending.popleft():
                    copy.result()
                yield self.pairs

    def _copy(self, slab: Bytes, shards: list[int], offsets: list[int], crops: range) -> None:
        size = self._size
        for crop in crops:
            begin = offsets[crop]
            slab[crop * size : (crop + 1) * size] = self._shards[shards[crop]][begin : begin + size]

    def close(self) -> None:
        """Stop the threads."""
        self._threads.close()
