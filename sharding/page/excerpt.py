"""What is heard of a track: at most half a minute from its middle, read by its address and encoded as MP3.

MP3, because every browser plays it, Safari included, at an eighth of the size of PCM. libsndfile encodes it in the
process, so the page needs no other program.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soundfile

from clmr.errors import ShardError
from sharding.format import SAMPLE_BYTES
from sharding.page.choice import Track
from sharding.storage import Place

LONGEST_SECONDS = 30
FULL_SCALE = 32768


@dataclass(frozen=True, eq=False)
class Excerpt:
    """Consecutive samples of a track."""

    pcm: npt.NDArray[np.int16]
    """Shape ``[N]``."""
    start: int
    """The track's sample at which it begins."""


def read_excerpt(place: Place, track: Track, sample_rate: int) -> Excerpt:
    """The track, or the middle of one that is longer than ``LONGEST_SECONDS``.

    Raises:
        ShardError: the shard is missing, or ends before the excerpt does.
    """
    frames = min(track.frames, LONGEST_SECONDS * sample_rate)
    start = (track.frames - frames) // 2
    where = place.address(track.shard)
    try:
        with place.open(track.shard) as file:
            file.seek(track.pcm_offset + SAMPLE_BYTES * start)
            data = file.read(SAMPLE_BYTES * frames)
    except FileNotFoundError as error:
        raise ShardError(f"{where} is missing; run `python -m sharding build` again") from error
    if len(data) != SAMPLE_BYTES * frames:
        raise ShardError(f"{where} ends within the track {track.key}: run `python -m sharding verify {place.name}`")
    return Excerpt(np.frombuffer(data, "<i2"), start)


def encode_mp3(pcm: npt.NDArray[np.int16], sample_rate: int) -> bytes:
    """A mono MP3 file of the same length to the sample, by the counts in its first frame.

    Args:
        pcm: int16, shape ``[N]``.
        sample_rate: 22050, 16000 or 8000 Hz.
    """
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", sample_rate, 1, "MPEG_LAYER_III", format="MP3") as writer:
        writer.write(pcm.astype(np.float32) / FULL_SCALE)
    return file.getvalue()
