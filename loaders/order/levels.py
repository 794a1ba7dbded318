"""Crops that avoid silence, by the levels in the index: no audio is read to choose them.

The index holds the level of every half second of a track, one byte each (sharding/levels.py), 60 bytes for 30 s.
"""

from __future__ import annotations

import hashlib

import numpy as np

from clmr.draw import Keys, uniform_numpy
from loaders.order.epochs import Integers
from sharding.format import SILENCE, Tracks, level_counts, level_frames

CANDIDATES = 8
"""Places drawn for a crop, at most."""

# Power of a block by its level, 10^(-level / 20) of full scale, in units of 2^-36: sums over a crop of less than 2^27
# samples are exact integers, the same on every machine.
_POWER = np.array([round(10 ** (-level / 20) * 2**36) for level in range(SILENCE)] + [0], dtype=np.int64)


class Levels:
    """The levels of some tracks, and the choice of crops by them.

    Args:
        tracks: they are read from its index.
        sample_rate: of the shards, in Hz.
        quiet_db: a crop is quiet where its mean power is so many dB below that of the track's loudest half second, > 0.

    Raises:
        ShardError: the index cannot be read, or has not one level per half second.
    """

    def __init__(self, tracks: Tracks, sample_rate: int, quiet_db: float) -> None:
        self.quiet_db = quiet_db
        self._block = level_frames(sample_rate)
        counts = level_counts(tracks.frames, sample_rate)
        self._levels = tracks.table.binary("levels", counts)
        self._end = np.cumsum(counts)
        self._first = self._end - counts
        self._loudest = np.minimum.reduceat(self._levels, self._first)

    def digest(self) -> str:
        """16 hex digits that stand for all levels."""
        return hashlib.blake2b(self._levels.tobytes(), digest_size=8).hexdigest()

    def choose_starts(self, keys: Keys, frames: Integers, crop_frames: int, tracks: Integers) -> Integers:
        """First sample of every crop: the first of a few random places that is not quiet, else the loudest of them.

        A pure function of its arguments. The first place is that of a loader which takes every crop alike, so tracks
        without quiet passages give the same crops as there.

        Args:
            keys: draw keys, shape ``[..., views]``.
            frames: length of the tracks in samples, shape ``[...]``.
            crop_frames: samples per crop, no more than any of ``frames``.
            tracks: positions in the tracks of this object, shape ``[...]``.

        Returns:
            int64 ``[..., views]``.
        """
        key = keys.reshape(-1)
        places = np.broadcast_to((frames - crop_frames + 1)[..., None], keys.shape).reshape(-1)
        track = np.broadcast_to(tracks[..., None], keys.shape).reshape(-1)
        # Every start from which a whole crop fits is equally likely: floor(u * (frames - T + 1)), u in [0, 1).
        starts: Integers = (uniform_numpy(key, "crop") * places).astype(np.int64)
        energy = self._energy(track, starts, crop_frames)
        # mean power >= loudest power * 10^(-quiet_db / 10)
        needed = _POWER[self._loudest[track]] * (crop_frames * 10 ** (-self.quiet_db / 10))
        quiet = np.flatnonzero(energy < needed)
        for number in range(1, CANDIDATES):
            if not len(quiet):
                break
            other = (uniform_numpy(key[quiet], f"crop.{number}") * places[quiet]).astype(np.int64)
            found = self._energy(track[quiet], other, crop_frames)
            louder = found > energy[quiet]
            starts[quiet[louder]], energy[quiet[louder]] = other[louder], found[louder]
            quiet = quiet[energy[quiet] < needed[quiet]]
        return starts.reshape(keys.shape)

    def _energy(self, track: Integers, start: Integers, crop_frames: int) -> Integers:
        """The sum of the power of every sample of crops ``[n]``, each taken for that of its half second."""
        most = (crop_frames + self._block - 2) // self._block + 1  # half seconds that a crop can touch
        number = start[:, None] // self._block + np.arange(most)
        begin = number * self._block
        inside = np.minimum(begin + self._block, start[:, None] + crop_frames) - np.maximum(begin, start[:, None])
        # What lies beyond the crop counts nothing, and may lie beyond the track.
        at = np.minimum(self._first[track][:, None] + number, self._end[track][:, None] - 1)
        energy: Integers = (np.maximum(inside, 0) * _POWER[self._levels[at]]).sum(axis=1)
        return energy
