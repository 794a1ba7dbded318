"""The order of an epoch: which track stands in which row of which global batch.

A pure function of (seed, epoch, step), computed for the steps asked for and no others. Every track comes at most once,
no two tracks of one song meet in a batch (NT-Xent would push apart two views of the same music), and a rank's share is
a slice of each global batch, so the batches of any number of ranks join to the same global batches and every rank takes
the same number of steps.

How songs are kept apart: write the songs in random order, the tracks of a song side by side, as one long sequence;
with ``S`` steps let step ``s`` take the positions ``s, s + S, s + 2S ...``. Two tracks of one song stand fewer than
``S`` positions apart as long as the song has no more than ``S`` tracks, so they fall into different steps. A song that
has more gives a random ``S`` of them that epoch.

The sequence is never written down, see loaders/order/sequence.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from clmr.errors import ConfigError
from loaders.order.permutation import Integers, draw_below, hash_bits, permute
from loaders.order.sequence import SongSequence

__all__ = ["EpochOrder", "Integers", "Order", "hash_bits", "rank_slice"]


def rank_slice(batch_size: int, rank: int, world_size: int) -> slice:
    """The rows of every global batch that belong to ``rank``."""
    if world_size < 1 or not 0 <= rank < world_size:
        raise ConfigError(f"rank {rank} of world size {world_size}: the rank must lie in 0 .. world size - 1")
    if batch_size < 1 or batch_size % world_size:
        raise ConfigError(
            f"global batch size {batch_size} does not divide into {world_size} ranks: use a multiple of {world_size}"
        )
    share = batch_size // world_size
    return slice(rank * share, (rank + 1) * share)


class Order(ABC):
    """The orders of all epochs over some tracks: each track at most once per epoch, a song at most once per batch."""

    batch_size: int
    """Rows of a global batch."""
    steps: int
    """Batches of an epoch, the same in every epoch."""
    left_out: int
    """Tracks left out of each epoch because their song has more tracks than the epoch has steps."""
    remainder: int
    """Tracks left out of each epoch, others every time, because they do not fill a batch."""

    @abstractmethod
    def rows(self, epoch: int, steps: Integers) -> Integers:
        """Positions of the tracks of some batches.

        Args:
            epoch: >= 0.
            steps: any of ``0 .. self.steps - 1`` in any order, shape ``[n]``.

        Returns:
            Shape ``[n, batch_size]``.
        """

    def epoch(self, epoch: int) -> Integers:
        """Positions of the tracks of a whole epoch, shape ``[steps, batch_size]``."""
        return self.rows(epoch, np.arange(self.steps))


class EpochOrder(Order):
    """Batches of any tracks, wherever they are stored.

    Args:
        song: song number of each track, shape ``[N]``.
        batch_size: rows of a global batch.
        seed: any integer.

    Raises:
        ConfigError: fewer songs than rows in a batch.
    """

    def __init__(self, song: Integers, batch_size: int, seed: int = 0) -> None:
        self.song = song
        self.batch_size = batch_size
        self.seed = seed
        by_song = np.argsort(song, kind="stable")
        first = np.flatnonzero(np.diff(song[by_song], prepend=-1))
        sizes = np.diff(first, append=len(song))
        self.steps = _most_steps(sizes, batch_size)
        if self.steps == 0:
            raise ConfigError(
                f"batch size {batch_size} needs at least {batch_size} different songs, there are {len(sizes)} in the "
                f"splits used: give a --batch-size of {len(sizes)} or less"
            )
        usable = int(np.minimum(sizes, self.steps).sum())
        self.left_out = len(song) - usable
        self.remainder = usable - self.steps * batch_size
        self._sequence = None if len(sizes) == len(song) else SongSequence(by_song, first, sizes, self.steps, seed)

    def rows(self, epoch: int, steps: Integers) -> Integers:
        """Positions of the tracks of some batches."""
        row = np.arange(self.batch_size)
        if self._sequence is None:  # one track per song: any random order will do
            place = np.asarray(steps)[:, None] * self.batch_size + row
            return permute(place, len(self.song), hash_bits(self.seed, epoch, [0], "order.track"))
        # Steps and rows in random order, or else the tracks of a song would follow each other.
        column = permute(steps, self.steps, hash_bits(self.seed, epoch, [0], "order.step"))[:, None]
        row = permute(row, self.batch_size, hash_bits(self.seed, epoch, [0], "order.row"))
        # Position j of the steps * batch_size that are used stands in row j div S and column j mod S. The sequence of
        # T places is read round and round from a random one on: place = (start + j) mod T, so that what does not fill
        # a batch is another stretch each time.
        #
        # Two tracks of a song stand d places apart round the sequence, 0 < d < S, so their j differ by d or by T - d.
        # In the same column S would divide the difference. It does not divide d. Let T = S * batch_size + r: for both
        # to be used T - d must be less than S * batch_size, so d > r; but T - d = S * batch_size - (d - r) with
        # 0 < d - r < S is no multiple of S either.
        places = len(self.song) - self.left_out
        start = draw_below(places, self.seed, epoch, "order.start")
        return self._sequence.tracks_at(epoch, (start + row * self.steps + column) % places)


def _most_steps(sizes: Integers, batch_size: int) -> int:
    """Batches that can be filled when no song gives a batch more than one track."""
    # usable(S) = sum over songs of min(size, S) is concave and usable(0) = 0, so the step counts with
    # usable(S) >= S * batch_size are 0 .. S_max without a gap: bisect.
    low, high = 0, int(sizes.sum()) // batch_size
    while low < high:
        middle = (low + high + 1) // 2
        if int(np.minimum(sizes, middle).sum()) >= middle * batch_size:
            low = middle
        else:
            high = middle - 1
    return low
