"""Batches being read: submitted some way ahead, handed over in the order of the plan."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

from loaders.reading.crops import CropReader, Crops
from loaders.reading.slabs import Slab, SlabPool

AnyCrops = TypeVar("AnyCrops", bound=Crops)


@dataclass(frozen=True, eq=False)
class Reading(Generic[AnyCrops]):
    """A batch being read."""

    crops: AnyCrops
    slab: Slab
    reads: list[Future[None]]

    @property
    def rows(self) -> int:
        """Tracks in the batch."""
        return len(self.crops.track)

    def is_read(self) -> bool:
        """Whether the slab is filled."""
        return all(read.done() and not read.cancelled() and read.exception() is None for read in self.reads)


class ReadAhead(Generic[AnyCrops]):
    """Keeps some batches being read.

    Args:
        blocks: the crops of every batch to come; the batches of a block are read together.
        reader: where they are read.
        slabs: what they are read into, shape ``[at least b, views, T]``.
        depth: batches in flight.
    """

    def __init__(self, blocks: Iterator[Sequence[AnyCrops]], reader: CropReader, slabs: SlabPool, depth: int) -> None:
        self._blocks = blocks
        self._reader = reader
        self._slabs = slabs
        self._depth = depth
        self._readings: deque[Reading[AnyCrops]] = deque()

    def __iter__(self) -> Iterator[Reading[AnyCrops]]:
        """Those in flight, the next one first."""
        return iter(self._readings)

    def fill(self) -> bool:
        """Submit what may be in flight; False when the plan is at its end and nothing is."""
        while len(self._readings) < self._depth and (block := next(self._blocks, None)) is not None:
            slabs = [self._slabs.take() for _ in block]
            reads = self._reader.submit(list(zip(block, slabs, strict=True)))
            self._readings += [Reading(crops, slab, reads) for crops, slab in zip(block, slabs, strict=True)]
        return bool(self._readings)

    def take(self) -> Reading[AnyCrops]:
        """The next batch, once it is read; the one that takes its place in flight is submitted.

        Raises:
            ShardError: it cannot be read; it stays the next.
            StorageError: likewise.
        """
        ready = self._readings[0]
        for read in ready.reads:
            read.result()
        self._readings.popleft()
        self.fill()
        return ready

    def cancel(self) -> None:
        """Forget what is in flight. Its slabs go with it: a thread may still be writing there."""
        for reading in self._readings:
            for read in reading.reads:
                read.cancel()
        self._readings.clear()
