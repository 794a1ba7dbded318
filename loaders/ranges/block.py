"""The requests of one submission, and the rows of slabs that their answers go to."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from threading import Lock

import numpy as np

from loaders.ranges.shards import GivenUpError, RemoteShards
from loaders.ranges.spans import join
from loaders.reading.source import Reads


class Block:
    """Pieces of shards that were submitted together, joined to requests; threads make these in any order.

    Args:
        shards: where the pieces are read.
        reads: the pieces, at least one.
        gap: most bytes between two pieces of one request.

    Attributes:
        future: gets its result with the last answer. It can be cancelled until then; no request is made any more.
    """

    def __init__(self, shards: RemoteShards, reads: Sequence[Reads], gap: int) -> None:
        self.future: Future[None] = Future()
        self._shards = shards
        self._size = reads[0].slab.crops.shape[1]
        self._slabs = [some.slab.crops.reshape(-1).data for some in reads]
        offset = np.concatenate([some.offset for some in reads])
        spans = join(np.concatenate([some.shard for some in reads]), offset, self._size, gap)
        # Plain lists: an element of an array costs as much as the rest of what Python does for a request.
        self._requests = list(zip(spans.shard.tolist(), spans.begin.tolist(), spans.end.tolist(), strict=True))
        self._first = spans.first.tolist()
        self._slab = np.repeat(np.arange(len(reads)), [len(some) for some in reads])[spans.order].tolist()
        self._target = (self._size * np.concatenate([some.row for some in reads])[spans.order]).tolist()
        self._offset = offset[spans.order].tolist()
        self._unanswered = len(self._requests)
        self._lock = Lock()

    def __len__(self) -> int:
        """Requests."""
        return len(self._requests)

    def fetch(self, number: int) -> None:
        """Make one request, unless nobody waits for it any more, and copy the pieces it brings to their rows."""
        if not self.future.done():
            try:
                self._fetch(number)
            except GivenUpError:
                self.future.cancel()
            except BaseException as error:  # handed to whoever waits for it
                with suppress(InvalidStateError):  # another request failed before, or the future was cancelled
                    self.future.set_exception(error)
        with self._lock:
            self._unanswered -= 1
            if self._unanswered:
                return
        if self.future.cancelled():
            self.future.set_running_or_notify_cancel()
        else:
            with suppress(InvalidStateError):
                self.future.set_result(None)

    def _fetch(self, number: int) -> None:
        shard, begin, end = self._requests[number]
        asked = time.perf_counter()
        data = self._shards.read(shard, begin, end, self.future)
        seconds = time.perf_counter() - asked
        if self.future.done():
            return
        size = self._size
        pieces = range(self._first[number], self._first[number + 1])
        for piece in pieces:
            start, target = self._offset[piece] - begin, self._target[piece]
            self._slabs[self._slab[piece]][target : target + size] = data[start : start + size]
        self._shards.meter.add(wanted=len(pieces) * size, read=end - begin, seconds=seconds)
