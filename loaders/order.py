"""The order of an epoch: which track stands in which row of which global batch.

A pure function of (seed, epoch). Every track comes at most once, no two tracks of one song meet in a batch (NT-Xent
would push apart two views of the same music), and a rank's share is a slice of each global batch, so the batches of any
number of ranks join to the same global batches and every rank takes the same number of steps.

How songs are kept apart: write the songs in random order, the tracks of a song side by side, as one long sequence;
with ``S`` steps let step ``s`` take the positions ``s, s + S, s + 2S ...``. Two tracks of one song stand fewer than
``S`` positions apart as long as the song has no more than ``S`` tracks, so they fall into different steps. A song that
has more gives a random ``S`` of them that epoch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from clmr.draw import make_keys, mix, stream_number
from clmr.errors import ConfigError

Integers = npt.NDArray[np.int64]


def hash_bits(seed: int, epoch: int, numbers: npt.ArrayLike, stream: str) -> npt.NDArray[np.uint64]:
    """64 random bits per number, shape ``[N]``. A bijection of the number: different numbers never tie."""
    keys = make_keys(seed, epoch, numbers, views=(0,))[:, 0]
    return mix(keys.view(np.uint64) ^ np.uint64(stream_number(stream)))


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


@dataclass(frozen=True, eq=False)
class EpochOrder:
    """The orders of all epochs over some tracks.

    Raises:
        ConfigError: fewer songs than rows in a batch.
    """

    song: Integers
    """Song number of each track, ``0 .. songs - 1``, shape ``[N]``."""
    batch_size: int
    """Rows of a global batch."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps == 0:
            raise ConfigError(
                f"batch size {self.batch_size} needs at least {self.batch_size} different songs, there are "
                f"{len(self.song_sizes)} in the splits used: give a --batch-size of {len(self.song_sizes)} or less"
            )

    @cached_property
    def song_sizes(self) -> Integers:
        """Tracks of each song."""
        sizes = np.bincount(self.song)
        return sizes[sizes > 0]

    @cached_property
    def steps(self) -> int:
        """Batches in an epoch: the most that can be filled when no song gives a batch more than one track."""
        # usable(S) = sum over songs of min(size, S) is concave and usable(0) = 0, so the step counts with
        # usable(S) >= S * batch_size are 0 .. S_max without a gap: bisect.
        low, high = 0, len(self.song) // self.batch_size
        while low < high:
            middle = (low + high + 1) // 2
            if int(np.minimum(self.song_sizes, middle).sum()) >= middle * self.batch_size:
                low = middle
            else:
                high = middle - 1
        return low

    @property
    def left_out(self) -> int:
        """Tracks left out of each epoch because their song has more tracks than the epoch has steps."""
        return int((self.song_sizes - np.minimum(self.song_sizes, self.steps)).sum())

    @property
    def remainder(self) -> int:
        """Tracks left out of each epoch, others every time, because they do not fill a batch."""
        return len(self.song) - self.left_out - self.steps * self.batch_size

    def epoch(self, epoch: int) -> Integers:
        """Positions of the tracks of one epoch, shape ``[steps, batch_size]``."""
        used = self.steps * self.batch_size
        if len(self.song_sizes) == len(self.song):  # one track per song: any random order will do
            shuffled = np.argsort(hash_bits(self.seed, epoch, self.song, "order.song"))
            return shuffled[:used].reshape(self.steps, self.batch_size)
        # Row i of step s takes position i * steps + s of the sequence. The steps then come in random order, or else
        # the tracks of a song would follow each other.
        sequence = self._song_by_song(epoch)[:used].reshape(self.batch_size, self.steps)
        times = np.argsort(hash_bits(self.seed, epoch, np.arange(self.steps), "order.step"))
        return np.ascontiguousarray(sequence.T[times])

    def _song_by_song(self, epoch: int) -> Integers:
        """Songs in random order, each song's tracks side by side in random order, at most ``steps`` of a song."""
        songs = hash_bits(self.seed, epoch, self.song, "order.song")
        tracks = hash_bits(self.seed, epoch, np.arange(len(self.song)), "order.track")
        sequence = np.lexsort((tracks, songs))
        song = self.song[sequence]
        first = np.flatnonzero(np.r_[True, song[1:] != song[:-1]])
        rank_in_song = np.arange(len(song)) - np.repeat(first, np.diff(np.r_[first, len(song)]))
        kept: Integers = sequence[rank_in_song < self.steps]
        return kept
