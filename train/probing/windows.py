"""The windows that the probe during training looks at: some of some tracks, the same ones in every run."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from loaders import WindowLoader
from loaders.order.permutation import Integers, hash_bits, permute
from loaders.windows import _WindowCrops
from train.ranks.launch import Place

WINDOWS_PER_TRACK = 4
BATCH = 64  # windows encoded at once on a rank: less than training needs for its pairs


class ProbeWindows(WindowLoader):
    """A few windows, spread evenly over the track, of so many tracks of one split, shared out to the ranks.

    Which tracks they are follows from their number in the split alone, not from the run's seed: runs on the same
    shards are probed on the same tracks and can be compared.

    Args:
        shards: folder of shards.
        split: ``train`` or ``valid``.
        place: this rank.
        sample_rate: Hz the shards must have.
        window_frames: samples per window.
        most_tracks: tracks at most.

    Attributes:
        chosen: the tracks, as places in ``tracks``, rising, int64 ``[K]``.
        owner: the track of each window, as a place in ``chosen``, int64 ``[W]``.
        total_windows: W, over all ranks; a batch's ``position`` is a place in ``owner``.

    Raises:
        ConfigError: as :class:`WindowLoader`.
        ShardError: likewise.
    """

    def __init__(
        self, shards: str, split: str, place: Place, *, sample_rate: int, window_frames: int, most_tracks: int
    ) -> None:
        super().__init__(
            shards,
            batch_size=BATCH,
            sample_rate=sample_rate,
            window_frames=window_frames,
            splits=(split,),
            rank=place.rank,
            world_size=place.world_size,
            device=place.device,
        )
        count = min(most_tracks, len(self.tracks))
        key = hash_bits(0, 0, [0], "probe.track")
        self.chosen: Integers = np.sort(permute(np.arange(count), len(self.tracks), key))
        there = self.windows_per_track[self.chosen]
        taken = np.minimum(there, WINDOWS_PER_TRACK)
        self.owner: Integers = np.repeat(np.arange(count), taken)
        number = np.arange(len(self.owner)) - np.repeat(np.cumsum(taken) - taken, taken)
        # Window i of k stands in the middle of the i-th of k equal parts of the track: floor((i + 1/2) w / k).
        self._window: Integers = (2 * number + 1) * there[self.owner] // (2 * taken[self.owner])
        self.total_windows = len(self.owner)
        rank, ranks = place.rank, place.world_size
        self._share = range(self.total_windows * rank // ranks, self.total_windows * (rank + 1) // ranks)

    @property
    def chosen_labels(self) -> npt.NDArray[np.bool_]:
        """Labels of the chosen tracks, ``[K, vocabulary]``."""
        return self.labels[self.chosen]

    def _plan(self) -> Iterator[_WindowCrops]:
        for begin in range(0, len(self._share), self.batch_size):
            position = np.array(self._share[begin : begin + self.batch_size], dtype=np.int64)
            tracks, window = self.chosen[self.owner[position]], self._window[position]
            start = (window * self.window_frames)[:, None]
            yield _WindowCrops(np.zeros_like(tracks), tracks, start, window, position)
