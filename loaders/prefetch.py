"""From planned crops to tensors on the device, a few batches ahead of the consumer, in the order of the plan."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Generic

import torch
from torch import Tensor

from loaders.reading.crops import CropReader
from loaders.reading.readahead import AnyCrops, ReadAhead
from loaders.reading.slabs import SlabPool
from loaders.reading.threads import ProcessGuard
from loaders.transfer import Upload, Uploader

UPLOADED = 2
"""Batches on the GPU ahead of the caller."""


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
        self._ahead = ReadAhead(blocks, reader, slabs, depth)
        self._slabs = slabs
        self._guard = ProcessGuard()
        self._uploader = Uploader(device, slabs) if device.type == "cuda" else None
        self._uploads: deque[tuple[AnyCrops, Upload]] = deque()

    def __next__(self) -> tuple[AnyCrops, Tensor]:
        """The next batch; waits until it is read."""
        self._guard.check()
        if not self._ahead.fill() and not self._uploads:
            raise StopIteration
        if self._uploader is None:
            ready = self._ahead.take()
            return ready.crops, self._slabs.lend(ready.slab, ready.rows)
        if not self._uploads:
            self._upload(self._uploader)
        crops, upload = self._uploads.popleft()
        # What is read already goes to the device now, while the caller computes on this batch.
        while (following := next(iter(self._ahead), None)) is not None and following.is_read():
            self._upload(self._uploader)
            if len(self._uploads) == UPLOADED:
                break
        return crops, upload.tensor()

    @property
    def upload_seconds(self) -> float:
        """Time that finished copies to the GPU took."""
        return self._uploader.seconds if self._uploader else 0.0

    def cancel(self) -> None:
        """Forget what is in flight."""
        self._ahead.cancel()
        self._uploads.clear()

    def _upload(self, uploader: Uploader) -> None:
        ready = self._ahead.take()
        self._uploads.append((ready.crops, uploader.start(ready.slab, ready.rows)))
