"""From planned crops to tensors on the device, a few batches ahead of the consumer, in the order of the plan."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

import torch
from torch import Tensor

from loaders.crops import CropReader, Crops
from loaders.slabs import Slab, SlabPool
from loaders.threads import ProcessGuard
from loaders.transfer import Upload, Uploader

AnyCrops = TypeVar("AnyCrops", bound=Crops)


class Prefetch(ABC, Generic[AnyCrops]):
    """Batches in the order of a plan: (plan, int16 tensor ``[b, views, T]`` on the device)."""

    def __iter__(self) -> Iterator[tuple[AnyCrops, Tensor]]:
        return self

    @abstractmethod
    def __next__(self) -> tuple[AnyCrops, Tensor]:
        """The next batch; waits until it is there. Ends with the plan.

        Raises:
            ShardError: it cannot be read.
            StorageError: the object store failed.
            ConfigError: in a forked child.
        """

    @property
    def upload_seconds(self) -> float:
        """Time that finished copies to a GPU took, beside the computation; 0 where there are none."""
        return 0.0

    @abstractmethod
    def cancel(self) -> None:
        """Forget what is in flight."""


class _Pending(Generic[AnyCrops]):
    """A batch being read or, towards a GPU, already being copied."""

    def __init__(self, crops: AnyCrops, slab: Slab, reads: list[Future[None]]) -> None:
        self.crops = crops
        self.rows = len(crops.track)
        self.slab = slab
        self.reads = reads
        self.upload: Upload | None = None

    def is_read(self) -> bool:
        return all(read.done() and read.exception() is None for read in self.reads)


class Prefetcher(Prefetch[AnyCrops]):
    """The ``torch`` backend: threads read into slabs, a stream of its own copies them to the GPU.

    Args:
        blocks: the crops of every batch to come; the batches of a block are read together.
        reader: where they are read.
        slabs: what they are read into, shape ``[at least b, views, T]``.
        device: where the tensors go.
        depth: batches in flight.
    """

    def __init__(
        self,
        blocks: Iterator[Sequence[AnyCrops]],
        reader: CropReader,
        slabs: SlabPool,
        device: torch.device,
        depth: int,
    ) -> None:
        self._blocks = blocks
        self._reader = reader
        self._slabs = slabs
        self._depth = depth
        self._guard = ProcessGuard()
        self._pending: deque[_Pending[AnyCrops]] = deque()
        self._uploader = Uploader(device, slabs) if device.type == "cuda" else None

    def __next__(self) -> tuple[AnyCrops, Tensor]:
        """The next batch; waits until it is read."""
        self._guard.check()
        self._fill()
        if not self._pending:
            raise StopIteration
        ready = self._pending[0]
        for read in ready.reads:
            read.result()
        self._pending.popleft()
        self._fill()
        if self._uploader is None:
            return ready.crops, self._slabs.lend(ready.slab, ready.rows)
        # What is read already goes to the device now, while the caller computes on this batch.
        for pending in (ready, *self._pending):
            if pending.upload is None and pending.is_read():
                pending.upload = self._uploader.start(pending.slab, pending.rows)
        assert ready.upload is not None
        return ready.crops, ready.upload.tensor()

    @property
    def upload_seconds(self) -> float:
        """Time that finished copies to the GPU took."""
        return self._uploader.seconds if self._uploader else 0.0

    def cancel(self) -> None:
        """Forget what is in flight. Its slabs go with it: a thread may still be writing there."""
        for pending in self._pending:
            for read in pending.reads:
                read.cancel()
        self._pending.clear()

    def _fill(self) -> None:
        while len(self._pending) < self._depth and (block := next(self._blocks, None)) is not None:
            slabs = [self._slabs.take() for _ in block]
            reads = self._reader.submit(list(zip(block, slabs, strict=True)))
            self._pending += [_Pending(crops, slab, reads) for crops, slab in zip(block, slabs, strict=True)]
