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
        seating = Seating(
            batch_size=self.batch_size,
            steps=self.steps,
            width=self.width,
            first_width=max(2, self.pairs_per_read),
            seed=self.seed,
            epoch=epoch,
        )
        making: dict[int, Made] = {}
        repeated = 0
        for lap, tracks in enumerate(laps):
            before = repeated
            pairs = range(self.pairs_per_read)
            if lap:
                pairs = range(pairs.stop + lap - 1, pairs.stop + lap)
            for track in tracks:
                for pair in pairs:
                    seat = seating.seat(track.song)
                    if seat is None:
                        continue
                    repeated += lap > 0
                    step, row = seat
                    if step >= first_step and self.rows.start <= row < self.rows.stop:
                        if step not in making:
                            making[step] = belt.begin(epoch, step)
                        self._fill(making[step], row - self.rows.start, track, pair)
                    for full in seating.full():
                        if full >= first_step:
                            belt.deliver(making.pop(full))
                    if seating.done:
                        return repeated
            if lap and repeated == before:
                raise ConfigError(
                    f"a batch of {self.batch_size} needs as many different songs, and the splits used have fewer: "
                    "give a smaller --batch-size"
                )
        raise AssertionError("laps have no end")

    def _fill(self, made: Made, row: int, track: Track, pair: int) -> None:
        """Copy the two crops of a track's ``pair``-th pair into a row."""
        keys = make_keys(self.seed, made.epoch, [track.number], [len(VIEWS) * pair + view for view in VIEWS])[0]
        # Every start from which a whole crop fits is equally likely: floor(u * (frames - T + 1)), u in [0, 1).
        starts = (uniform_numpy(keys, "crop") * (len(track.pcm) - self.crop_frames + 1)).astype(np.int64)
        for view, start in enumerate(starts.tolist()):
            made.slab.pcm[row, view] = track.pcm[start : start + self.crop_frames]
        made.keys[row] = keys
        made.track[row] = track.number
        self.meter.add(wanted=made.slab.pcm[row].nbytes)
