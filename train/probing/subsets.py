"""Shares of a training split for label efficiency (paper section 2.7): whole songs, the smaller share in the larger."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from clmr.errors import ConfigError


def nested_subset(song_ids: Sequence[str], fraction: float, seed: int) -> npt.NDArray[np.bool_]:
    """Which tracks belong to a share of the songs.

    The songs stand in an order that follows from their names and the seed alone; the first ``fraction`` of them are
    taken, rounded, at least one. So a smaller share lies within a larger one, a song is taken with all its tracks or
    not at all, and the order of the tracks and shards built anew change nothing.

    Args:
        song_ids: the song of each track, ``[N]``, N >= 1.
        fraction: 0 < fraction <= 1, of the songs, not of the tracks.
        seed: any integer; another seed is another order of the songs.

    Returns:
        bool ``[N]``.

    Raises:
        ConfigError: the fraction is out of range, or there are no tracks.
    """
    if not 0 < fraction <= 1:
        raise ConfigError(f"--label-fraction {fraction:g}: a share of the songs is above 0 and at most 1")
    if not len(song_ids):
        raise ConfigError("there are no tracks to take a share of")
    # The digest of seed and name is as good as a random number, and does not depend on the other songs.
    songs = sorted(set(song_ids), key=lambda song: hashlib.blake2b(f"{seed} {song}".encode()).digest())
    taken = set(songs[: max(1, round(fraction * len(songs)))])
    return np.array([song in taken for song in song_ids], dtype=np.bool_)
