"""Brings the samples of a data set into one flat tensor, in the order in which they lie in the shards."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, wait
from dataclasses import dataclass
from functools import partial
from threading import Lock, local

import numpy as np
import torch
from torch import Tensor

from clmr.errors import ShardError
from loaders.order.epochs import Integers
from loaders.reading.corpus import Corpus, used_shards
from loaders.reading.slabs import Pcm
from loaders.reading.threads import ReaderThreads, default_threads
from sharding.format import SAMPLE_BYTES, Tracks
from sharding.storage import Version

logger = logging.getLogger(__name__)

PIECE = 8 << 20
"""Bytes of a request: long enough for a fast line, and within its time limit on a slow one."""
CONNECTIONS = 8
"""Requests under way at once to a server."""


@dataclass(frozen=True, eq=False)
class Piece:
    """What is read at once: tracks that lie one behind the other in a shard, or a part of a long one."""

    shard: int
    """Number in ``Tracks.shard_names``."""
    begin: int
    """First byte in the shard."""
    target: int
    """Sample of the flat tensor that the first one becomes; the others follow it."""
    parts: list[tuple[int, int]]
    """Stretches of samples: byte after ``begin``, number of samples."""

    @property
    def end(self) -> int:
        """Byte of the shard behind the last."""
        skipped, frames = self.parts[-1]
        return self.begin + skipped + frames * SAMPLE_BYTES

    @property
    def frames(self) -> int:
        """Samples."""
        return sum(frames for _, frames in self.parts)


def lay_out(tracks: Tracks, begin: int) -> Integers:
    """Sample of the flat tensor at which each track begins, ``[N]``, where the first track of all begins at ``begin``.

    Tracks lie as they do in the shards, so that neighbours are read together.
    """
    order = np.lexsort((tracks.pcm_offset, tracks.shard))
    frames = tracks.frames[order]
    first = np.empty(len(tracks), dtype=np.int64)
    first[order] = begin + np.cumsum(frames) - frames
    return first


def pieces(tracks: Tracks, first: Integers, most: int) -> Iterator[Piece]:
    """All samples of some tracks, in pieces that span at most so many bytes of a shard.

    Args:
        tracks: any.
        first: from :func:`lay_out`.
        most: an even number of bytes.
    """
    piece: Piece | None = None
    order = np.argsort(first)
    rows = (tracks.shard[order], tracks.pcm_offset[order], tracks.frames[order] * SAMPLE_BYTES, first[order])
    for shard, offset, size, target in zip(*(column.tolist() for column in rows), strict=True):
        for done in range(0, size, most):
            begin, count = offset + done, min(most, size - done)
            if piece is not None and (piece.shard != shard or begin + count - piece.begin > most):
                yield piece
                piece = None
            if piece is None:
                piece = Piece(shard, begin, target + done // SAMPLE_BYTES, [])
            piece.parts.append((begin - piece.begin, count // SAMPLE_BYTES))
    if piece is not None:
        yield piece


class Loading:
    """Reads the tracks of a data set into a flat tensor, by several threads.

    Args:
        corpus: the data set.
        first: where its tracks go, from :func:`lay_out`.
        flat: int16, on the CPU or a CUDA device.
    """

    def __init__(self, corpus: Corpus, first: Integers, flat: Tensor) -> None:
        self._place = corpus.shard_set.place
        self._tracks = corpus.tracks
        self._sizes, _ = used_shards(corpus.shard_set, corpus.tracks)
        self._meter = corpus.source.meter
        self._first = first
        self._flat = flat
        self._store = self._to_device if flat.device.type == "cuda" else self._to_host
        self._versions: dict[int, Version] = {}
        self._lock = Lock()
        self._own = local()
        self._done = 0
        self._told = 0

    def run(self) -> None:
        """Read all of it.

        Raises:
            ShardError: a shard is missing or has another size than the manifest says.
            StorageError: an object store failed, or an object was replaced meanwhile.
        """
        self._begun = time.perf_counter()
        threads = ReaderThreads(default_threads() if self._place.root is not None else CONNECTIONS)
        try:
            futures = [threads.submit(partial(self._read, piece)) for piece in pieces(self._tracks, self._first, PIECE)]
            for future in wait(futures, return_when=FIRST_EXCEPTION).done:
                future.result()
        finally:
            threads.close()

    def _read(self, piece: Piece) -> None:
        name = self._tracks.shard_names[piece.shard]
        try:
            version = self._version(piece.shard)
            asked = time.perf_counter()
            data = self._place.fetch(name, piece.begin, piece.end, version)
        except FileNotFoundError as error:
            raise ShardError(f"{self._place.address(name)} is missing; copy or build it again") from error
        except OSError as error:
            raise ShardError(f"{self._place.address(name)} cannot be read: {error.strerror}") from error
        self._meter.add(read=len(data), seconds=time.perf_counter() - asked)
        self._store(piece, data)
        self._tell(piece.frames)

    def _version(self, shard: int) -> Version:
        """What a shard is; the same for all its pieces."""
        known = self._versions.get(shard)
        if known is None:
            name = self._tracks.shard_names[shard]
            found = self._place.version(name)
            if found.size != self._sizes[shard]:
                raise ShardError(
                    f"{self._place.address(name)} has {found.size} bytes, not {self._sizes[shard]}: "
                    "copy or build it again"
                )
            known = self._versions.setdefault(shard, found)  # another thread's, where that was first
        return known

    def _to_host(self, piece: Piece, data: bytes | memoryview) -> None:
        _pack(piece, data, self._flat[piece.target : piece.target + piece.frames].numpy())

    def _to_device(self, piece: Piece, data: bytes | memoryview) -> None:
        if not hasattr(self._own, "stage"):  # this thread's own page-locked memory, and a stream to copy from it
            self._own.stage = torch.empty(PIECE // SAMPLE_BYTES, dtype=torch.int16, pin_memory=True)
            self._own.stream = torch.cuda.Stream(self._flat.device)
        stage: Tensor = self._own.stage[: piece.frames]
        _pack(piece, data, stage.numpy())
        with torch.cuda.stream(self._own.stream):
            self._flat[piece.target : piece.target + piece.frames].copy_(stage, non_blocking=True)
        self._own.stream.synchronize()

    def _tell(self, frames: int) -> None:
        """Say at every tenth how far it is."""
        with self._lock:
            self._done += frames
            tenths = 10 * self._done // max(1, int(self._tracks.frames.sum()))
            told, self._told = self._told, tenths
        if tenths > told:
            speed = self._done * SAMPLE_BYTES / (time.perf_counter() - self._begun)
            logger.info(
                "%s: %d %% of the samples are in memory (%.0f MB/s)", self._place.name, 10 * tenths, speed / 1e6
            )


def _pack(piece: Piece, data: bytes | memoryview, target: Pcm) -> None:
    """Copy the samples of a piece one behind the other, without what lies between the tracks."""
    done = 0
    for skipped, frames in piece.parts:
        target[done : done + frames] = np.frombuffer(data, "<i2", frames, skipped)
        done += frames
