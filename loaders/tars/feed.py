"""A thread that makes batches of a stream of tracks, some of them ahead of the consumer."""

from __future__ import annotations

import os
import weakref
from collections import deque
from collections.abc import Callable
from threading import Condition, Event, Thread

import numpy as np
import torch

from clmr.draw import Keys
from loaders.batch import VIEWS, Batch, Feed
from loaders.order.epochs import Integers
from loaders.reading.slabs import Slab, SlabPool
from loaders.reading.threads import ProcessGuard
from loaders.tars.stream import StoppedError
from loaders.transfer import Upload, Uploader

END_SECONDS = 1.0  # a thread that waits for a dead server is left alone


class Made:
    """A batch that is filled, then delivered.

    Attributes:
        keys: int64 ``[b, 2]``.
        track: int64 ``[b]``.
    """

    def __init__(self, epoch: int, step: int, slab: Slab) -> None:
        self.epoch = epoch
        self.step = step
        self.slab = slab
        rows = slab.pcm.shape[0]
        self.keys: Keys = np.zeros((rows, len(VIEWS)), dtype=np.int64)
        self.track: Integers = np.zeros(rows, dtype=np.int64)


class Belt:
    """Between the thread that makes batches and the one that uses them.

    Args:
        slabs: what batches are made in.
        limit: batches that may exist at once between :meth:`begin` and :meth:`take`.
    """

    def __init__(self, slabs: SlabPool, limit: int) -> None:
        self.stopped = Event()
        self._slabs = slabs
        self._limit = limit
        self._ready: deque[Made] = deque()
        self._begun = 0
        self._error: BaseException | None = None
        self._changed = Condition()

    def begin(self, epoch: int, step: int) -> Made:
        """A batch to fill; waits while there are too many.

        Raises:
            StoppedError: no more are wanted.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._begun < self._limit or self.stopped.is_set())
            if self.stopped.is_set():
                raise StoppedError
            self._begun += 1
        return Made(epoch, step, self._slabs.take())

    def deliver(self, made: Made) -> None:
        """A batch is full."""
        with self._changed:
            self._ready.append(made)
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        """There will be no more."""
        with self._changed:
            self._error = error
            self._changed.notify_all()

    def take(self) -> Made:
        """The next batch; waits until it is full.

        Raises:
            BaseException: what :meth:`fail` was told.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._ready or self._error or self.stopped.is_set())
            made = self._pop()
            if made is None:
                raise self._error or StoppedError
            return made

    def take_ready(self) -> Made | None:
        """The next batch, if it is full."""
        with self._changed:
            return self._pop()

    def _pop(self) -> Made | None:
        if not self._ready:
            return None
        self._begun -= 1
        self._changed.notify_all()
        return self._ready.popleft()

    def stop(self) -> None:
        """No more are wanted."""
        with self._changed:
            self.stopped.set()
            self._changed.notify_all()


Maker = Callable[[Belt], None]
"""Begins and delivers batches in order, without end."""


def _work(belt: Belt, maker: Maker) -> None:
    try:
        maker(belt)
    except BaseException as error:  # handed to whoever waits for a batch
        belt.fail(error)


def _end(belt: Belt, thread: Thread, process: int) -> None:
    if os.getpid() == process:  # in a forked child the thread is not there, and the belt may be locked for good
        belt.stop()
        thread.join(END_SECONDS)


class StreamedFeed(Feed):
    """Batches made by a thread of their own. Ends with :meth:`cancel`, with the last reference, or at exit.

    Args:
        maker: what the thread does.
        slabs: what batches are made in.
        device: where they go.
        limit: batches in the making or ready, at most.
    """

    def __init__(self, maker: Maker, slabs: SlabPool, device: torch.device, limit: int) -> None:
        self._guard = ProcessGuard()
        self._slabs = slabs
        self._belt = Belt(slabs, limit)
        self._uploader = Uploader(device, slabs) if device.type == "cuda" else None
        self._uploads: deque[tuple[Made, Upload]] = deque()
        thread = Thread(target=_work, args=(self._belt, maker), name="tar-reader", daemon=True)
        self._end = weakref.finalize(self, _end, self._belt, thread, os.getpid())
        thread.start()

    def __next__(self) -> Batch:
        """The next batch; waits until it is there."""
        self._guard.check()
        if self._uploader is None:
            made = self._belt.take()
            return _batch(made, self._slabs.lend(made.slab, len(made.track)))
        if not self._uploads:
            self._upload(self._uploader, self._belt.take())
        made, upload = self._uploads.popleft()
        ahead = self._belt.take_ready()  # goes to the device while the caller computes on this batch
        if ahead is not None:
            self._upload(self._uploader, ahead)
        return _batch(made, upload.tensor())

    @property
    def upload_seconds(self) -> float:
        """Time that finished copies to the GPU took."""
        return self._uploader.seconds if self._uploader else 0.0

    def _upload(self, uploader: Uploader, made: Made) -> None:
        self._uploads.append((made, uploader.start(made.slab, len(made.track))))

    def cancel(self) -> None:
        """End the thread. The slabs it holds go with it."""
        self._end()


def _batch(made: Made, pcm: torch.Tensor) -> Batch:
    track = torch.from_numpy(made.track)
    return Batch(pcm, torch.from_numpy(made.keys), track, torch.zeros_like(track), made.epoch, made.step)
