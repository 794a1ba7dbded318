"""An order for whole shards that pass through a limited cache: batches draw from few shards at a time.

Every epoch puts the shards in random order, the tracks of each shard too, and writes them down as one sequence. The
shards are cut into groups of ``window`` or a few more; the tracks of a group, cut at whole batches, form a pool, and
each pool is shuffled like a small data set (loaders/order/epochs.py). The fewer than ``batch_size`` tracks that a group
has beyond its whole batches begin the pool of the next group: they are of the last shards of their group, so a pool
needs the shards of its group and few others.

All of it is arithmetic on (seed, epoch, group): any step can be asked for without those before it, at the cost of one
pool, which is kept for the steps that follow.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from clmr.errors import ConfigError
from loaders.order.epochs import EpochOrder, Order
from loaders.order.permutation import Integers, draw_below, hash_bits, permute

LEAST_MIXED = 16  # shards mixed with each other where the user does not say: 8 GB of 512 MiB shards
AT_ONCE = 64  # batches looked through at a time for the shards they use


def least_window(song: Integers, shard: npt.NDArray[np.integer], batch_size: int) -> int:
    """The smallest window, in shards, with which no song ever has more tracks in a pool than the pool has batches.

    It is the number of all shards, which makes one group of them, where no smaller one will do.

    Args:
        song: song number of each track, shape ``[N]``.
        shard: shard number of each track, shape ``[N]``.
        batch_size: rows of a global batch.
    """
    sizes = np.sort(np.unique(shard, return_counts=True)[1])
    # The smallest shards may meet in one group.
    return min(int(np.searchsorted(np.cumsum(sizes), _tracks_needed(song, batch_size))) + 1, len(sizes))


def default_window(song: Integers, shard: npt.NDArray[np.integer], batch_size: int) -> int:
    """The window, in shards, where the user does not say."""
    return max(least_window(song, shard, batch_size), LEAST_MIXED)


def _tracks_needed(song: Integers, batch_size: int) -> int:
    """Tracks that every group must have: a batch for each track of the largest song, and those no epoch uses."""
    # Of n tracks at least n - N mod B are used. Between two cuts at whole batches, wherever the first falls, lie at
    # least floor((n - N mod B) / B) batches.
    return int(np.bincount(song).max(initial=0)) * batch_size + len(song) % batch_size


@dataclass(frozen=True, eq=False)
class _Epoch:
    """The shards of one epoch in order."""

    shards: Integers
    """Shape ``[shards]``."""
    begins: Integers
    """Where the tracks of each begin in the epoch's sequence."""
    unused: int
    """The place in the sequence from which on, and on from its beginning, ``remainder`` tracks are not used."""
    first_step: Integers
    """Where each group's batches begin and the last one's end, shape ``[groups + 1]``."""


class WindowedOrder(Order):
    """Batches of tracks of few shards at a time.

    Args:
        song: song number of each track, shape ``[N]``.
        shard: shard number of each track, shape ``[N]``.
        batch_size: rows of a global batch.
        seed: any integer.
        window: shards in a group; None takes :func:`default_window`. With fewer than two windows of shards there is
            one group, and the order is that of :class:`EpochOrder`.

    Raises:
        ConfigError: a window too small to keep songs apart, or fewer songs than rows in a batch.
    """

    def __init__(
        self,
        song: Integers,
        shard: npt.NDArray[np.integer],
        batch_size: int,
        seed: int = 0,
        window: int | None = None,
    ) -> None:
        self.song, self.shard, self.batch_size, self.seed = song, shard, batch_size, seed
        self._shards, self._sizes = np.unique(shard, return_counts=True)
        least = least_window(song, shard, batch_size)
        self.window = max(least, LEAST_MIXED) if window is None else window
        self.groups = max(1, len(self._shards) // max(1, self.window))
        if self.window < 1 or (self.groups > 1 and self.window < least):
            raise ConfigError(
                f"a window of {self.window} shards is too small: any shards that come together must hold "
                f"{_tracks_needed(song, batch_size)} tracks, {batch_size} for each track of the largest song, or two "
                f"of one song would meet in a batch; use a window of at least {least} shards or a smaller batch"
            )
        self._whole = EpochOrder(song, batch_size, seed) if self.groups == 1 else None
        self.steps = self._whole.steps if self._whole else len(song) // batch_size
        self.left_out = self._whole.left_out if self._whole else 0
        self.remainder = len(song) - self.left_out - self.steps * batch_size
        self._by_shard = np.argsort(shard, kind="stable").astype(np.int32 if len(song) < 2**31 else np.int64)
        self._shard_begins = np.cumsum(self._sizes) - self._sizes
        self._seams = np.arange(self.groups + 1) * len(self._shards) // self.groups
        self._epoch = lru_cache(maxsize=4)(self._draw_epoch)
        self._pool = lru_cache(maxsize=4)(self._draw_pool)

    def rows(self, epoch: int, steps: Integers) -> Integers:
        """Positions of the tracks of some batches."""
        if self._whole:
            return self._whole.rows(epoch, steps)
        first_step = self._epoch(epoch).first_step
        groups = np.searchsorted(first_step, steps, side="right") - 1
        rows = np.empty((len(steps), self.batch_size), dtype=np.int64)
        for group in np.unique(groups).tolist():
            here = np.flatnonzero(groups == group)
            pool, order = self._pool(epoch, group)
            rows[here] = pool[order.rows(epoch, np.asarray(steps)[here] - first_step[group])]
        return rows

    def group_of(self, epoch: int, step: int) -> int:
        """The group, ``0 .. groups - 1``, that a batch draws from."""
        return int(np.searchsorted(self._epoch(epoch).first_step, step, side="right")) - 1

    def group_steps(self, epoch: int, group: int) -> range:
        """The steps that draw from a group."""
        begin, end = self._epoch(epoch).first_step[group : group + 2].tolist()
        return range(begin, end)

    def shards_from(self, epoch: int, step: int, groups: int = 3) -> list[int]:
        """The shards that batches use from a step on, to the end of some groups, in order of first use.

        Args:
            epoch: >= 0.
            step: the first batch to come.
            groups: the step's own group counts as one; the groups of the next epoch follow those of this one.

        Returns:
            Shard numbers, each once.
        """
        found: dict[int, None] = {}
        group = self.group_of(epoch, step)
        for _ in range(groups):
            end = self.group_steps(epoch, group).stop
            for begin in range(step, end, AT_ONCE):
                rows = self.rows(epoch, np.arange(begin, min(begin + AT_ONCE, end)))
                used, first = np.unique(self.shard[rows.reshape(-1)], return_index=True)
                found.update(dict.fromkeys(used[np.argsort(first)].tolist()))
                if len(found) == len(self._shards):
                    return list(found)
            epoch, group, step = (epoch, group + 1, end) if group + 1 < self.groups else (epoch + 1, 0, 0)
        return list(found)

    def working_set(self) -> int:
        """Shards that the batches of two neighbouring groups use at the most, in any epoch.

        With room for fewer, reading ahead across a seam may wait for a shard that has no room.
        """
        counts = np.diff(self._seams)
        # The pool of a group begins with fewer than batch_size tracks of the group before it; the unused tracks may
        # stand among them. A stretch of t tracks that ends with a shard touches the most shards where those are the
        # smallest: m of them whole, and one more where they hold fewer than t together.
        stretch = self.batch_size - 1 + self.remainder
        carried = int(np.searchsorted(np.cumsum(np.sort(self._sizes)), stretch)) + 1 if stretch else 0
        neighbours = int((counts + np.roll(counts, 1)).max())
        return min(neighbours + min(carried, int(counts.max())), len(self._shards))

    def _draw_epoch(self, epoch: int) -> _Epoch:
        if self._whole:
            return _Epoch(np.arange(len(self._shards)), self._shard_begins, 0, np.array([0, self.steps]))
        number = len(self._shards)
        shards = permute(np.arange(number), number, hash_bits(self.seed, epoch, [0], "order.shard"))
        ends = np.cumsum(self._sizes[shards])
        unused = draw_below(len(self.song), self.seed, epoch, "order.unused")
        # Used tracks before the end of each group. The unused ones are remainder places from `unused` on, and as many
        # at the beginning of the sequence as there is no room for at its end.
        wrapped = max(0, unused + self.remainder - len(self.song))
        seams = np.r_[0, ends[self._seams[1:] - 1]]
        used = seams - np.clip(seams - unused, 0, self.remainder) - np.minimum(seams, wrapped)
        return _Epoch(shards, ends - self._sizes[shards], unused, used // self.batch_size)

    def _draw_pool(self, epoch: int, group: int) -> tuple[Integers, EpochOrder]:
        """The tracks of a group's batches, and their order."""
        drawn = self._epoch(epoch)
        steps = self.group_steps(epoch, group)
        place = np.arange(steps.start * self.batch_size, steps.stop * self.batch_size)
        place += max(0, drawn.unused + self.remainder - len(self.song))
        place += np.where(place >= drawn.unused, self.remainder, 0)
        slot = np.searchsorted(drawn.begins, place, side="right") - 1
        shard = drawn.shards[slot]
        keys = hash_bits(self.seed, epoch, drawn.shards[slot[0] : slot[-1] + 1], "order.in_shard")[slot - slot[0]]
        nth = permute(place - drawn.begins[slot], self._sizes[shard], keys)
        pool = self._by_shard[self._shard_begins[shard] + nth].astype(np.int64)
        seed = int(hash_bits(self.seed, epoch, [group], "order.group")[0])
        return pool, EpochOrder(self.song[pool], self.batch_size, seed)
