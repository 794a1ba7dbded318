"""From a stream of tracks to batches: crops are taken while a track is in memory, and wait for a batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from clmr.draw import Keys, make_keys, uniform_numpy
from clmr.errors import ConfigError
from loaders.batch import VIEWS
from loaders.reading.meter import Meter
from loaders.reading.slabs import Pcm, Slab, SlabPool
from loaders.tars.feed import Belt
from loaders.tars.mixing import MixingPool
from loaders.tars.samples import Track


@dataclass(frozen=True, eq=False)
class CutPair:
    """A pair that waits for its batch."""

    slab: Slab
    """Its two crops, ``[1, 2, T]``."""
    keys: Keys
    """Shape ``[2]``."""
    track: int


@dataclass(frozen=True, kw_only=True)
class PairMaker:
    """Makes the batches of an epoch; what all ranks make joins to the same global batches."""

    batch_size: int
    """Rows of a global batch."""
    rows: slice
    """This rank's."""
    steps: int
    """Batches of an epoch."""
    crop_frames: int
    pairs_per_read: int
    """Pairs of a track, for as many batches."""
    waiting: int
    """Pairs that wait for a batch, at most; more than those of ``batch_size`` tracks."""
    seed: int
    slabs: SlabPool
    """For the waiting ones."""
    meter: Meter
    """Counts the bytes of crops."""

    def make(self, epoch: int, first_step: int, laps: Iterable[Iterator[Track]], belt: Belt) -> int:
        """Deliver the batches of an epoch from a step on; those before it are made, but not delivered.

        Args:
            epoch: its number.
            first_step: the first to deliver.
            laps: passes over the tracks, always in the same order. On the first one, a track gives all its pairs. The
                others make up for what is missing then, with one pair more of each track that helps.
            belt: where they go.

        Returns:
            Pairs that later laps gave.

        Raises:
            ConfigError: there are fewer songs than rows in a batch.
        """
        pool: MixingPool[CutPair] = MixingPool(
            batch_size=self.batch_size, steps=self.steps, size=self.waiting, seed=self.seed, epoch=epoch
        )
        out = _Output(self, epoch, first_step, belt)
        repeated = 0
        for lap, tracks in enumerate(laps):
            added = self._add_lap(pool, epoch, lap, tracks, out)
            repeated += added if lap else 0
            if pool.missing <= 0:
                break
            if lap and not added:
                raise ConfigError(
                    f"a batch of {self.batch_size} needs as many different songs, and the splits used have fewer: "
                    "give a smaller --batch-size"
                )
        for batch in pool.rest():
            out.put(batch)
        return repeated

    def _add_lap(self, pool: MixingPool[CutPair], epoch: int, lap: int, tracks: Iterator[Track], out: _Output) -> int:
        """Add the pairs of a lap, deliver what can be; how many were added."""
        own = self.pairs_per_read
        pairs = range(own + lap - 1, own + lap) if lap else range(own)
        added = 0
        for track, pair in ((track, pair) for track in tracks for pair in pairs):
            if lap and pool.missing <= 0:
                break
            if pool.admits(track.song, only_missing=lap > 0):
                self._add(pool, epoch, track, pair)
                added += 1
            while (batch := pool.batch()) is not None:
                out.put(batch)
        return added

    def _add(self, pool: MixingPool[CutPair], epoch: int, track: Track, pair: int) -> None:
        gone = pool.add(track.song, self._cut(epoch, track, pair))
        if gone is not None:
            self.slabs.give_back(gone.slab)

    def _cut(self, epoch: int, track: Track, pair: int) -> CutPair:
        """The two crops of a track's ``pair``-th pair."""
        views = [len(VIEWS) * pair + view for view in VIEWS]
        keys = make_keys(self.seed, epoch, [track.number], views)[0]
        # Every start from which a whole crop fits is equally likely: floor(u * (frames - T + 1)), u in [0, 1).
        starts = (uniform_numpy(keys, "crop") * (len(track.pcm) - self.crop_frames + 1)).astype(np.int64)
        slab = self.slabs.take()
        for crop, start in zip(slab.pcm[0], starts.tolist(), strict=True):
            crop[:] = track.pcm[start : start + self.crop_frames]
        return CutPair(slab, keys, track.number)


class _Output:
    """Puts this rank's rows of global batches on the belt."""

    def __init__(self, maker: PairMaker, epoch: int, first_step: int, belt: Belt) -> None:
        self._maker = maker
        self._epoch = epoch
        self._first_step = first_step
        self._belt = belt
        self._step = 0

    def put(self, batch: list[CutPair]) -> None:
        if self._step >= self._first_step:
            made = self._belt.begin(self._epoch, self._step)
            for row, pair in enumerate(batch[self._maker.rows]):
                crops: Pcm = made.slab.pcm[row]
                crops[:] = pair.slab.pcm[0]
                made.keys[row] = pair.keys
                made.track[row] = pair.track
                self._maker.meter.add(wanted=crops.nbytes)
            self._belt.deliver(made)
        for pair in batch:
            self._maker.slabs.give_back(pair.slab)
        self._step += 1
