"""The ``resident`` backend: all samples in the memory of the device, crops gathered there.

Where a corpus fits (25,863 clips of 30 s at 22,050 Hz are 34 GB), nothing is read or sent after the start: a batch is
one gather of ``b * views`` stretches of memory. Every byte of it is read once and written once, so the bound is half
the memory's bandwidth: with 3.35 TB/s, 1.7 TB/s of crops or 7 million pairs of 59,049 samples a second. Only the places
of the crops go to the device, 8 bytes for each. On the CPU it saves the system calls, no more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from clmr.errors import ConfigError
from loaders.order.epochs import Integers
from loaders.prefetch import Prefetch
from loaders.reading.corpus import Corpus
from loaders.reading.crops import Crops
from loaders.reading.meter import Meter
from loaders.reading.readahead import AnyCrops
from loaders.reading.slabs import Pcm, SlabPool
from loaders.reading.threads import ProcessGuard, ReaderThreads
from loaders.resident.loading import Loading, lay_out
from loaders.resident.memory import must_fit


class ResidentPcm:
    """The samples of all tracks, one behind the other.

    Attributes:
        flat: int16 ``[total]``, on the device.
        meter: of the reading, the first data set's.
    """

    def __init__(self, flat: Tensor, first: Sequence[Integers], meter: Meter) -> None:
        """Take what is loaded.

        Args:
            flat: the samples.
            first: of each data set, where its tracks begin in ``flat``.
            meter: counts the crops that are gathered.
        """
        self.flat = flat
        self.meter = meter
        self._first = np.concatenate(first)
        self._base = np.cumsum([0, *(len(each) for each in first[:-1])])

    @classmethod
    def load(cls, corpora: Sequence[Corpus], device: torch.device, copies: int = 1) -> ResidentPcm:
        """Read the samples of all tracks into the memory of a device, and say in the log how far it is.

        Args:
            corpora: the data sets.
            device: the CPU or a CUDA device.
            copies: processes of this machine that do so; where ``device`` is the CPU, each keeps a copy of its own.

        Raises:
            ConfigError: they do not fit.
            ShardError: shards that are missing or damaged.
            StorageError: an object store failed.
        """
        first = []
        total = 0
        for corpus in corpora:
            first.append(lay_out(corpus.tracks, total))
            total += int(corpus.tracks.frames.sum())
        room, reason = must_fit(total, device, copies)
        if not room:
            raise ConfigError(f"the resident backend cannot be used: {reason}; use another backend")
        flat = torch.empty(total, dtype=torch.int16, device=device)
        for corpus, begins in zip(corpora, first, strict=True):
            Loading(corpus, begins, flat).run()
        return cls(flat, first, corpora[0].source.meter)

    def positions(self, crops: Crops) -> Integers:
        """Where each crop begins in ``flat``, ``[b, views]``."""
        positions: Integers = self._first[self._base[crops.source] + crops.track][:, None] + crops.start
        return positions


class ResidentPrefetch(Prefetch[AnyCrops]):
    """Batches gathered out of memory: on a GPU in the caller's stream, on the CPU by threads, some batches ahead.

    Args:
        blocks: the crops of every batch to come.
        resident: the samples.
        slabs: for the CPU, what batches are copied into, shape ``[at least b, views, T]``.
        threads: for the CPU, who copies.
        depth: batches in flight.
    """

    def __init__(
        self,
        blocks: Iterator[Sequence[AnyCrops]],
        resident: ResidentPcm,
        slabs: SlabPool,
        threads: ReaderThreads,
        depth: int,
    ) -> None:
        self._blocks = blocks
        self._resident = resident
        self._slabs = slabs
        self._threads = threads
        self._depth = depth
        self._guard = ProcessGuard()
        self._pending: deque[tuple[AnyCrops, Callable[[], Tensor], list[Future[None]]]] = deque()

    def __next__(self) -> tuple[AnyCrops, Tensor]:
        """The next batch. On a GPU nothing waits: it is there when the caller's stream comes to it."""
        self._guard.check()
        self._fill()
        if not self._pending:
            raise StopIteration
        crops, finish, copies = self._pending.popleft()
        for copy in copies:
            copy.result()
        self._fill()
        pcm = finish()
        self._resident.meter.add(wanted=pcm.numel() * pcm.element_size())
        return crops, pcm

    def cancel(self) -> None:
        """Forget what is in flight."""
        for _, _, copies in self._pending:
            for copy in copies:
                copy.cancel()
        self._pending.clear()

    def _fill(self) -> None:
        while len(self._pending) < self._depth and (block := next(self._blocks, None)) is not None:
            for crops in block:
                positions = self._resident.positions(crops)
                on_device = self._resident.flat.device.type == "cuda"
                self._pending.append((crops, *(self._gather(positions) if on_device else self._copy(positions))))

    def _gather(self, positions: Integers) -> tuple[Callable[[], Tensor], list[Future[None]]]:
        pinned = torch.from_numpy(positions).pin_memory()
        return partial(gather, self._resident.flat, pinned, self._slabs.shape[2]), []

    def _copy(self, positions: Integers) -> tuple[Callable[[], Tensor], list[Future[None]]]:
        slab = self._slabs.take()
        rows: Pcm = slab.pcm.reshape(-1, self._slabs.shape[2])
        begins = positions.reshape(-1).tolist()
        parts = min(self._threads.count, len(begins))
        bounds = [len(begins) * part // parts for part in range(parts + 1)]
        copies = [
            self._threads.submit(partial(copy_rows, self._resident.flat.numpy(), begins[a:b], rows[a:b]))
            for a, b in pairwise(bounds)
        ]
        return partial(self._slabs.lend, slab, len(positions)), copies


def gather(flat: Tensor, positions: Tensor, frames: int) -> Tensor:
    """Crops of a flat tensor.

    Args:
        flat: int16 ``[total]``.
        positions: first sample of each crop, int64, any shape, on the device or in page-locked memory.
        frames: samples per crop.

    Returns:
        int16 ``[*positions.shape, frames]``.
    """
    # Row n of the windows is flat[n : n + frames], without a copy: their strides are (1, 1). Indexing rows reads each
    # crop once and writes it once, and needs no index for every sample.
    return flat.unfold(0, frames, 1)[positions.to(flat.device, non_blocking=True)]


def copy_rows(flat: Pcm, begins: Sequence[int], rows: Pcm) -> None:
    """Fill each row with the samples that begin at its number."""
    frames = rows.shape[1]
    for row, begin in zip(rows, begins, strict=True):
        row[:] = flat[begin : begin + frames]
