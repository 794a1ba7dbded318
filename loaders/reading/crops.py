"""Crop before read: only the samples of the crops leave the storage, straight into the batch.

A 59,049-sample crop is 118,098 bytes of its shard, found by arithmetic: ``pcm_offset + 2 * start``.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np

from loaders.order.epochs import Integers
from loaders.reading.corpus import Corpus
from loaders.reading.slabs import Slab
from loaders.reading.source import Reads
from sharding.format import SAMPLE_BYTES


@dataclass(frozen=True, eq=False)
class Crops:
    """The crops of one batch."""

    source: Integers
    """Number of the data set, shape ``[b]``."""
    track: Integers
    """Position in that data set's :class:`Tracks`, shape ``[b]``."""
    start: Integers
    """First sample of each crop, shape ``[b, views]``."""


class CropReader:
    """Reads crops from the tracks of one or more data sets."""

    def __init__(self, corpora: Sequence[Corpus]) -> None:
        self.corpora = tuple(corpora)

    def submit(self, block: Sequence[tuple[Crops, Slab]]) -> list[Future[None]]:
        """Start to fill each slab's first ``b * views`` rows, in the order of the crops.

        Returns:
            Futures; when all have their result, all batches of the block are filled.
        """
        futures: list[Future[None]] = []
        for number, corpus in enumerate(self.corpora):
            reads = [self._reads(number, crops, slab) for crops, slab in block]
            futures += corpus.source.submit([some for some in reads if len(some)])
        return futures

    def _reads(self, number: int, crops: Crops, slab: Slab) -> Reads:
        """What a batch needs of one data set."""
        tracks, views = self.corpora[number].tracks, crops.start.shape[1]
        row = np.arange(crops.start.size)
        if len(self.corpora) > 1:
            row = row[np.repeat(crops.source == number, views)]
        track = crops.track[row // views]
        offset = tracks.pcm_offset[track] + SAMPLE_BYTES * crops.start.reshape(-1)[row]
        return Reads(slab, row, tracks.shard[track].astype(np.int64), offset)
