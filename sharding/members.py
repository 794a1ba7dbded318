"""The bytes of a shard that are not samples: what the writer writes, and what ``verify`` expects to find.

KEY.wav header, 44-byte WAV header, PCM, padding | KEY.json header, JSON, padding | next track | 1024 zero bytes
"""

from __future__ import annotations

import json
import struct
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass

from sharding.format import SAMPLE_BYTES, TAR_BLOCK_BYTES, WAV_HEADER_BYTES

END_OF_TAR = bytes(2 * TAR_BLOCK_BYTES)


@dataclass(frozen=True)
class IndexRow:
    """A row of ``index.parquet``, described in ``INDEX_SCHEMA``; the defaults are those of a skipped track."""

    key: str
    dataset: str
    split: str
    status: str
    song_id: str
    labels: tuple[str, ...]
    source: str
    reason: str | None = None
    shard: str | None = None
    pcm_offset: int | None = None
    frames: int | None = None
    duration: float | None = None
    source_sha256: str | None = None
    decoder: str | None = None
    pcm_xxh3: str | None = None
    peak: int | None = None
    clipped: int | None = None
    levels: bytes | None = None


Components = tuple[tuple[str, int, int, str], ...]
"""One sample in the DALI index: (extension, byte of the payload, bytes, member name) for each of its files."""


@dataclass(frozen=True)
class Frame:
    """What surrounds the PCM of a track, which begins ``len(before)`` bytes after the track."""

    before: bytes
    after: bytes
    components: Components


def frame_track(row: IndexRow, sample_rate: int, start: int) -> Frame:
    """The bytes around a track's PCM.

    Args:
        row: the track, written, with its frames.
        sample_rate: Hz.
        start: byte of the shard at which the track begins, a multiple of 512.
    """
    assert row.frames is not None
    wav_bytes = WAV_HEADER_BYTES + row.frames * SAMPLE_BYTES
    before = tar_header(f"{row.key}.wav", wav_bytes) + wav_header(row.frames, sample_rate)
    described = describe(row, sample_rate)
    between = padding(wav_bytes) + tar_header(f"{row.key}.json", len(described))
    wav_start = start + TAR_BLOCK_BYTES
    json_start = wav_start + wav_bytes + len(between)
    components = (
        ("wav", wav_start, wav_bytes, f"{row.key}.wav"),
        ("json", json_start, len(described), f"{row.key}.json"),
    )
    return Frame(before, between + described + padding(len(described)), components)


def describe(row: IndexRow, sample_rate: int) -> bytes:
    """``KEY.json``: what a reader of the tar alone can know of the track."""
    fields = {
        "key": row.key,
        "dataset": row.dataset,
        "split": row.split,
        "song_id": row.song_id,
        "labels": row.labels,
        "frames": row.frames,
        "sample_rate": sample_rate,
        "source": row.source,
        "source_sha256": row.source_sha256,
    }
    return json.dumps(fields, ensure_ascii=False).encode()


def tar_header(name: str, size: int) -> bytes:
    """A USTAR header of a plain file: mode 0644, owner 0, time 0, so that the same content gives the same bytes."""
    member = tarfile.TarInfo(name)
    member.size = size
    return member.tobuf(tarfile.USTAR_FORMAT)


def padding(size: int) -> bytes:
    """Zeros up to the next block of the tar."""
    return bytes(-size % TAR_BLOCK_BYTES)


def wav_header(frames: int, sample_rate: int) -> bytes:
    """The 44-byte RIFF header of ``frames`` mono int16 samples."""
    size = frames * SAMPLE_BYTES
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", 36 + size, b"WAVE"),
        *(b"fmt ", 16, 1, 1, sample_rate, sample_rate * SAMPLE_BYTES, SAMPLE_BYTES, 16),  # PCM, mono, 16 bits
        *(b"data", size),
    )


def idx_text(samples: Sequence[Sequence[tuple[str, int, int, str]]]) -> str:
    """A DALI index v1.2: for each sample its components (extension, byte of the payload, bytes, member name)."""
    lines = [" ".join(f"{ext} {offset} {size} {name}" for ext, offset, size, name in sample) for sample in samples]
    return f"v1.2 {len(samples)}\n" + "".join(line + "\n" for line in lines)
