"""From a stream of tracks to filled batches: the crops of this rank's rows, taken while a track is in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from clmr.draw import make_keys, uniform_numpy
from clmr.errors import ConfigError
from loaders.batch import VIEWS
from loaders.meter import Meter
from loaders.webdataset_feed import Belt, Made
from loaders.webdataset_samples import Track
from loaders.webdataset_seating import Seating


@dataclass(frozen=True, kw_only=True)
class PairMaker:
    """Makes the batches of an epoch; the batches that all ranks make join to the same global batches."""

    batch_size: int
    """Rows of a global batch."""
    rows: slice
    """This rank's."""
    steps: int
    """Batches of an epoch."""
    crop_frames: int
    pairs_per_read: int
    """Pairs of a track, for as many batches."""
    width: int
    """Batches that are filled side by side; at least ``pairs_per_read`` and 2."""
    seed: int
    meter: Meter
    """Counts the bytes of crops."""

    def make(self, epoch: int, first_step: int, laps: Iterable[Iterator[Track]], belt: Belt) -> int:
        """Fill and deliver the batches of an epoch from a step on; those before it are gone through without cropping.

        Args:
            epoch: its number.
            first_step: the first to deliver.
            laps: passes over the tracks, in the same order. On the first one, a track gives all its pairs. The others
                fill rows that are still free, with one pair more of each track that fits.
            belt: where they go.

        Returns:
            Pairs that later laps gave.

        Raises:
            ConfigError: there are fewer songs than rows in a batch.
        """
        making = _Epoch(self, epoch, first_step, belt)
        repeated = 0
        for lap, tracks in enumerate(laps):
            own = self.pairs_per_read
            pairs = range(own + lap - 1, own + lap) if lap else range(own)
            seated = 0
            for track in tracks:
                seated += sum(making.add(track, pair) for pair in pairs)
                if making.done:
                    break
            repeated += seated if lap else 0
            if making.done:
                break
            if lap and not seated:
                raise ConfigError(
                    f"a batch of {self.batch_size} needs as many different songs, and the splits used have fewer: "
                    "give a smaller --batch-size"
                )
        return repeated


class _Epoch:
    """The batches of an epoch that are open."""

    def __init__(self, maker: PairMaker, epoch: int, first_step: int, belt: Belt) -> None:
        self._maker = maker
        self._epoch = epoch
        self._first_step = first_step
        self._belt = belt
        self._making: dict[int, Made] = {}
        self._seating = Seating(
            batch_size=maker.batch_size,
            steps=maker.steps,
            width=maker.width,
            first_width=max(2, maker.pairs_per_read),
            seed=maker.seed,
            epoch=epoch,
        )

    @property
    def done(self) -> bool:
        """Whether all batches are full."""
        return self._seating.done

    def add(self, track: Track, pair: int) -> bool:
        """Take one pair of a track, and deliver what is full; False where there is no row for it."""
        seat = self._seating.seat(track.song)
        if seat is None:
            return False
        step, row = seat
        if step >= self._first_step and self._maker.rows.start <= row < self._maker.rows.stop:
            if step not in self._making:
                self._making[step] = self._belt.begin(self._epoch, step)
            self._fill(self._making[step], row - self._maker.rows.start, track, pair)
        for full in self._seating.full():
            if full >= self._first_step:
                self._belt.deliver(self._making.pop(full))
        return True

    def _fill(self, made: Made, row: int, track: Track, pair: int) -> None:
        """Copy the two crops of a track's ``pair``-th pair into a row."""
        frames = self._maker.crop_frames
        keys = make_keys(self._maker.seed, made.epoch, [track.number], [len(VIEWS) * pair + view for view in VIEWS])[0]
        # Every start from which a whole crop fits is equally likely: floor(u * (frames - T + 1)), u in [0, 1).
        starts = (uniform_numpy(keys, "crop") * (len(track.pcm) - frames + 1)).astype(np.int64)
        for view, start in enumerate(starts.tolist()):
            made.slab.pcm[row, view] = track.pcm[start : start + frames]
        made.keys[row] = keys
        made.track[row] = track.number
        self._maker.meter.add(wanted=made.slab.pcm[row].nbytes)
