"""From a sample of a shard, as webdataset gives it, to a track; what cannot be used is counted by reason."""

from __future__ import annotations

import hashlib
import json
import logging
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from clmr.errors import ShardError
from sharding.format import SAMPLE_BYTES, WAV_HEADER_BYTES

logger = logging.getLogger(__name__)

MOST_SHARE = 0.01  # of the tracks of an epoch; one is allowed in any case
MOST_IN_A_ROW = 100
WAV_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")


@dataclass(frozen=True, eq=False)
class Track:
    """A sample that can be used."""

    number: int
    """In place of a row of the index, see :func:`track_number`."""
    song: str
    pcm: npt.NDArray[np.int16]
    """All of it, at least a crop long."""


class UnusableError(Exception):
    """A sample that cannot be used; the message is the reason, the same for all of its kind."""


def track_number(key: str) -> int:
    """63 bits that stand for a track's key wherever its row of ``index.parquet`` is not known.

    The first 8 bytes of BLAKE2b of the key, little-endian, without the highest bit. Among a million tracks two share a
    number with a chance of 1 in 18 million; they would then get the same draws, each from its own samples.
    """
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little") >> 1


def open_sample(sample: Mapping[str, Any], sample_rate: int, crop_frames: int) -> Track:
    """The track of a sample with the members ``wav`` and ``json``.

    Raises:
        UnusableError: it has none of which a crop can be taken.
    """
    if "wav" not in sample or "json" not in sample:
        raise UnusableError(f"no {'json' if 'wav' in sample else 'wav'} member")
    return Track(
        number=track_number(sample["__key__"]),
        song=_song(sample["json"]),
        pcm=_pcm(sample["wav"], sample_rate, crop_frames),
    )


def _song(data: bytes) -> str:
    try:
        song = json.loads(data)["song_id"]
    except (ValueError, KeyError, TypeError) as error:
        raise UnusableError("no song_id in the json member") from error
    if not isinstance(song, str):
        raise UnusableError("no song_id in the json member")
    return song


def _pcm(data: bytes, sample_rate: int, crop_frames: int) -> npt.NDArray[np.int16]:
    if len(data) < WAV_HEADER_BYTES:
        raise UnusableError("no WAV header")
    riff, _, wave, fmt, _, coding, channels, rate, _, _, bits, name, size = WAV_HEADER.unpack_from(data)
    if (riff, wave, fmt, name) != (b"RIFF", b"WAVE", b"fmt ", b"data"):
        raise UnusableError("no WAV header of 44 bytes")
    if (coding, channels, rate, bits) != (1, 1, sample_rate, 16):
        raise UnusableError(f"not mono int16 PCM at {sample_rate} Hz")
    if size != len(data) - WAV_HEADER_BYTES or size % SAMPLE_BYTES:
        raise UnusableError("the WAV header names another length")
    if size < crop_frames * SAMPLE_BYTES:
        raise UnusableError("shorter than a crop")
    return np.frombuffer(data, dtype="<i2", offset=WAV_HEADER_BYTES)


class Losses:
    """Samples of one pass over the shards that could not be used.

    Args:
        tracks: of the pass.
        by_reason: where they are counted, for good.
        told: whether each is logged; all ranks see the same ones.
    """

    def __init__(self, tracks: int, by_reason: Counter[str], *, told: bool) -> None:
        self._most = max(1, int(tracks * MOST_SHARE))
        self._by_reason = by_reason
        self._told = told
        self._found: Counter[str] = Counter()
        self._in_a_row = 0

    def used(self) -> None:
        """A sample was fine."""
        self._in_a_row = 0

    def add(self, shard: str, key: str, reason: str) -> None:
        """A sample was not.

        Raises:
            ShardError: too many were not.
        """
        self._by_reason[reason] += 1
        self._found[reason] += 1
        self._in_a_row += 1
        if self._told:
            logger.warning("%s: %s cannot be used and is made up for by other tracks: %s", shard, key, reason)
        if self._in_a_row >= MOST_IN_A_ROW or self._found.total() > self._most:
            reasons = ", ".join(f"{count} x {reason}" for reason, count in self._found.most_common())
            raise ShardError(
                f"{shard}: {key} is one of {self._found.total()} samples that cannot be used ({reasons}); at most "
                f"{self._most} in an epoch, and fewer than {MOST_IN_A_ROW} in a row, are passed over: run "
                "`python -m sharding verify`, or build the shards with this crop as the shortest track"
            )
