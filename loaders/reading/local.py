"""Crops from files on this machine: threads read them straight into the batch, many by one system call."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial

from loaders.reading.aio import AT_MOST, read_together
from loaders.reading.files import Files
from loaders.reading.meter import Meter
from loaders.reading.source import Reads, Source
from loaders.reading.threads import ReaderThreads


class LocalSource(Source):
    """Shards in files.

    Args:
        files: the shards, by number.
        threads: who reads; they stay the caller's to close.
    """

    def __init__(self, files: Files, threads: ReaderThreads) -> None:
        self.files = files
        self.meter = Meter()
        self._threads = threads

    def submit(self, reads: Sequence[Reads]) -> list[Future[None]]:
        """Have each thread fill an equal part of the rows."""
        futures: list[Future[None]] = []
        for some in reads:
            parts = min(self._threads.count, len(some))
            bounds = [len(some) * part // parts for part in range(parts + 1)] if parts else []
            futures += [
                self._threads.submit(partial(self.read, some, range(*bounds[part : part + 2]))) for part in range(parts)
            ]
        return futures

    def read(self, reads: Reads, part: range) -> None:
        """Fill some of the rows now, in this thread; a piece that fails is read once more alone, which says why.

        Raises:
            ShardError: a shard is missing, was replaced or ends too early.
        """
        size = reads.slab.crops.shape[1]
        for begin in range(part.start, part.stop, AT_MOST):
            some = slice(begin, min(begin + AT_MOST, part.stop))
            opened = [self.files[shard] for shard in reads.shard[some].tolist()]  # kept open until they are read
            asked = time.perf_counter()
            targets = reads.slab.address + size * reads.row[some]
            failed = read_together([shard.descriptor for shard in opened], reads.offset[some], targets, size)
            for number in failed:
                opened[number].read_into(reads.slab.crops[reads.row[begin + number]], int(reads.offset[begin + number]))
            count = len(opened) * size
            self.meter.add(wanted=count, read=count, seconds=time.perf_counter() - asked)

    def close(self) -> None:
        """Let go of all descriptors; those being read close when the read ends."""
        self.files.close()
